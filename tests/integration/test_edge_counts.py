"""What the edge tells control: counts that are exact although it dies, and each request that broke, by its id."""
import socket

import pytest

from edge import NO_SLOT, OUT, SERVES
from edge_stand import LISTENER, Load, kill_edge, kill_edge_and_holder, stand, three  # pylint: disable=unused-import

FIRST = (20, 1)


def test_every_request_counts_once_by_how_it_ended(stand):
    client = stand.client()
    for _ in range(7):
        client.expect("GET", "/get/1")
    for status in (202, 301, 404, 404, 500):
        assert client.request("GET", f"/status/{status}")[0] == status
    stand.client().request("GET", "/bad/")
    broken = stand.client()
    broken.send(b"GET / HTTP/1.1\r\n\r\n")
    assert broken.answer()[0] == 400
    edge = stand.edge
    edge.until(lambda: edge.stats[FIRST]["begun"] == 13, "all requests")
    stats = edge.stats[FIRST]
    assert {name: number for name, number in stats.items() if number} == {
        "begun": 13, "success": 8, "redirect": 1, "client_error": 2, "server_error": 1, "reset": 1,
        "latency": stats["latency"]}
    edge.until(lambda: (LISTENER, 0, NO_SLOT) in edge.routes, "the refused one")
    assert edge.routes == {
        (LISTENER, 1, 20): {"success": 8, "redirect": 1, "client_error": 2, "server_error": 1, "reset": 1},
        (LISTENER, 0, NO_SLOT): {"refused": 1}}


def test_a_new_control_knows_every_endpoint_at_once(three):
    """With its counts, also those of nobody's request."""
    three.client().expect("GET", "/get/1")
    three.edge.endpoints([three.entry(2, OUT)])
    three.edge.connect()
    edge = three.edge
    edge.until(lambda: len(edge.stats) == 3 and edge.outcome("success") == 1, "three endpoints", deadline_s=1)
    assert [edge.stats[20 + number, 1]["bits"] for number in range(3)] == [SERVES, SERVES, OUT]


def test_in_flight_is_known_when_a_removal_is_acknowledged(stand):
    """Control must never take an instance for idle that still works."""
    edge = stand.edge
    for _ in range(5):
        client = stand.client()
        client.send(b"GET /slow/0.4 HTTP/1.1\r\nHost: a\r\n\r\n")
        edge.until(lambda: stand.in_hand() == 1, "the request at the instance")
        ids = edge.endpoints([stand.entry(0, OUT)])
        assert edge.stats[FIRST]["in_flight"] == len(ids)
        assert client.answer()[0] == 200
        edge.until(lambda: edge.stats[FIRST]["in_flight"] == 0, "the end of it")
        edge.endpoints([stand.entry(0, SERVES)])


def test_counts_are_exact_although_the_edge_dies(three):
    """Counted twice or never at one kill of a thousand, and no sum in a receipt can be believed."""
    load = Load(three)
    for _ in range(15):
        kill_edge(three)
        load.stop.wait(0.1)
    load.end()
    edge = three.edge
    edge.until(lambda: sum(stats["in_flight"] for stats in edge.stats.values()) == 0, "quiet")
    edge.until(lambda: edge.outcome("success") == load.done, f"{load.done} requests")
    others = {name: edge.outcome(name) for name in ("reset", "timed_out", "connect_failed", "cut", "refused")}
    assert set(others.values()) == {0}, others
    begun = sum(stats["begun"] for stats in edge.stats.values())
    assert begun == load.done + 6 + edge.header["replayed_ever"]  # Six tunnels.


def test_what_breaks_is_listed_with_its_id(stand):
    edge = stand.edge
    status, fields, _ = stand.client().request("POST", "/die/now?x=1", body=b"x")
    assert status == 502
    edge.until(lambda: edge.broken, "the broken one")
    assert edge.broken.pop(fields["x-request-id"])[:5] == (20, 1, "reset", LISTENER, "POST /die/now?x=1")
    assert edge.broken == {}
    # Whoever comes to be control later learns of it, too, also from another edge.
    kill_edge(stand)
    edge.until(lambda: fields["x-request-id"] in edge.broken, "the same from its successor")


def test_a_truncated_answer_is_listed(stand):
    client = stand.client()
    with pytest.raises(ConnectionError):
        client.request("GET", "/cut/")
    stand.edge.until(lambda: [entry[2] for entry in stand.edge.broken.values()] == ["reset"], "the truncated one")


def test_what_was_begun_is_listed_when_edge_and_holder_die_together(stand):
    clients = [stand.client() for _ in range(5)]
    for number, client in enumerate(clients):
        client.send(f"POST /slow/20?{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".encode())
    edge = stand.edge
    edge.until(lambda: edge.stats[FIRST]["in_flight"] == 5, "five requests at work")
    stand.client().expect("GET", "/get/1")
    edge.until(lambda: edge.outcome("success") == 1, "one that is done")
    kill_edge_and_holder(stand)
    stand.client().expect("GET", "/get/2")
    edge.connect()
    edge.until(lambda: len(edge.broken) == 5, "five broken ones")
    assert sorted(entry[4] for entry in edge.broken.values()) == [f"POST /slow/20?{number}" for number in range(5)]
    assert {entry[2] for entry in edge.broken.values()} == {"reset"}
    edge.until(lambda: edge.stats[FIRST]["reset"] == 5 and edge.stats[FIRST]["success"] == 2, "the counts go on")
    assert edge.stats[FIRST]["in_flight"] == 0


def test_more_than_can_be_listed_is_counted(stand):
    """Hundreds that break in one moment: none is forgotten without a word."""
    clients = [stand.client() for _ in range(700)]
    for client in clients:
        client.send(b"POST /slow/60 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    edge = stand.edge
    edge.until(lambda: edge.stats[FIRST]["in_flight"] == 700, "all at work", 30)
    kill_edge_and_holder(stand)
    edge.connect()
    edge.until(lambda: len(edge.broken) + edge.lost == 700, "each listed or counted")
    assert edge.lost == 700 - 511
    edge.lost, edge.broken = 0, {}
    kill_edge(stand)
    edge.until(lambda: (len(edge.broken), edge.lost) == (511, 700 - 511), "the same from its successor")
    for client in clients:
        client.close()


def test_a_client_that_leaves_is_not_the_instances_fault(stand):
    client = stand.client()
    client.send(b"GET /slow/5 HTTP/1.1\r\nHost: a\r\n\r\n")
    edge = stand.edge
    edge.until(lambda: edge.stats[FIRST]["in_flight"] == 1, "the request at work")
    client.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    edge.until(lambda: edge.stats[FIRST]["client_gone"] == 1, "its end")
    assert edge.stats[FIRST]["in_flight"] == 0
