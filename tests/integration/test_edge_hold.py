"""Requests that wait, and what is cut when waiting is over."""
import time

import pytest

from edge import OUT, SERVES, Backend
from edge_stand import LISTENER, SERVICE, kill_edge, stand, three  # pylint: disable=unused-import

FIRST = (20, 1)
GET = b"GET /get/1 HTTP/1.1\r\nHost: a\r\n\r\n"
UPGRADE = b"GET /tunnel/7 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"


def send_held(stand, count=1):
    """Clients whose request waits."""
    before = stand.edge.header.get("held_ever", 0)
    clients = [stand.client() for _ in range(count)]
    for client in clients:
        client.send(GET)
    stand.edge.until(lambda: stand.edge.header.get("held_ever", 0) == before + count, f"{count} held")
    return clients


def test_a_held_service_answers_nobody_until_it_goes_on(stand):
    assert stand.edge.hold(SERVICE, 1)
    clients = send_held(stand, 5)
    assert stand.edge.header["held"] == 5
    kill_edge(stand)  # Held requests and the hold itself go on.
    late = stand.client()
    late.send(GET)
    stand.edge.until(lambda: stand.edge.header["held"] == 6, "six held")
    assert stand.edge.hold(SERVICE, 0)
    for client in clients + [late]:
        status, fields, _ = client.answer()
        assert status == 200
        assert fields["server-timing"].startswith("hold;dur=")
    assert "server-timing" not in stand.client().expect("GET", "/get/1")[0]
    edge = stand.edge
    edge.until(lambda: edge.header["held"] == 0 and edge.outcome("success") == 7, "quiet")
    assert edge.header["added_wait_max"] > 0


def test_a_request_that_waits_too_long_is_told_when_to_come_again(stand):
    stand.activate([(LISTENER, SERVICE)], hold=300_000_000)
    stand.edge.endpoints([stand.entry(0, OUT)])
    status, fields, _ = stand.client().request("GET", "/get/1")
    assert (status, fields["retry-after"]) == (503, "1")
    assert 300 <= float(fields["server-timing"].removeprefix("hold;dur=")) < 5000
    stand.edge.until(lambda: any("overloaded" in route for route in stand.edge.routes.values()), "counted")


def test_no_more_requests_wait_than_the_service_allows(stand):
    stand.activate([(LISTENER, SERVICE)], requests=3)
    stand.edge.endpoints([stand.entry(0, OUT)])
    clients = send_held(stand, 3)
    for _ in range(4):
        assert stand.client().request("GET", "/get/1")[0] == 503
    stand.edge.endpoints([stand.entry(0, SERVES)])
    assert [client.answer()[0] for client in clients] == [200] * 3
    # Places are free again.
    stand.edge.endpoints([stand.entry(0, OUT)])
    clients = send_held(stand, 3)
    stand.edge.endpoints([stand.entry(0, SERVES)])
    assert [client.answer()[0] for client in clients] == [200] * 3


def test_no_more_bytes_wait_than_the_service_allows(stand):
    stand.activate([(LISTENER, SERVICE)], bytes=10_000)
    stand.edge.endpoints([stand.entry(0, OUT)])
    send_held(stand)
    client = stand.client()
    client.send(b"POST /post/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 12000\r\n\r\n" + b"x" * 12000)
    assert client.answer()[0] == 503


def test_requests_to_an_instance_that_is_just_gone_wait_for_the_next(stand):
    """Between its death and control's word that it is out nobody may see a 502; POSTs come once."""
    stand.client().expect("GET", "/get/1")
    stand.backends[0].process.kill()
    stand.backends[0].process.wait()
    clients = [stand.client() for _ in range(10)]
    for number, client in enumerate(clients):
        client.send(f"POST /post/{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".encode())
    stand.edge.until(lambda: stand.edge.header["held"] == 10, "all held")
    stand.backends.append(Backend(stand.system, "next"))
    stand.edge.endpoints([(20, 2, SERVICE, stand.backends[1].port, SERVES)])
    assert [client.answer()[0] for client in clients] == [200] * 10
    assert sorted(line[0] for line in stand.backends[1].lines("post")) == sorted(map(str, range(10)))


def test_an_instance_that_is_gone_delays_nobody_where_there_are_others(three):
    for number in range(30):
        three.client().expect("GET", f"/get/{number}")
    three.backends[0].process.kill()
    three.backends[0].process.wait()
    for number in range(60):
        three.client().expect("POST", f"/post/{number}", body=b"x")
    three.edge.until(lambda: three.edge.outcome("success") == 90, "all counted")
    assert three.edge.header["held_ever"] == 0


def test_what_is_open_to_an_endpoint_is_cut_and_counted(three):
    """The drain's time is over: tunnels, streams and requests end, those of other endpoints do not."""
    edge = three.edge
    edge.endpoints([three.entry(1, OUT), three.entry(2, OUT)])
    tunnel, stream, post, get = (three.client() for _ in range(4))
    tunnel.send(UPGRADE)
    assert tunnel.head()[0] == 101
    stream.send(b"GET /events/60 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert stream.head()[0] == 200
    post.send(b"POST /slow/60 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    get.send(b"GET /slow/0.5 HTTP/1.1\r\nHost: a\r\n\r\n")
    edge.until(lambda: edge.stats[FIRST]["in_flight"] == 4, "four at work")
    edge.endpoints([three.entry(0, OUT), three.entry(1, SERVES)])
    other = three.client()
    other.send(UPGRADE)
    assert other.head()[0] == 101
    assert edge.cut(*FIRST) == 3
    assert edge.stats[FIRST]["in_flight"] == 0 and edge.stats[FIRST]["cut"] == 3
    assert tunnel.connection.recv(10) == b""
    with pytest.raises(ConnectionError):
        while True:
            stream.more()
    assert post.answer()[0] == 502
    assert get.answer()[0] == 200  # May be sent again, and was.
    assert edge.header["replayed_ever"] == 1
    assert sorted(entry[2] for entry in edge.broken.values()) == ["cut"] * 3
    other.send(b"x" * 64)
    assert other.exactly(64) == b"x" * 64
    assert edge.cut(*FIRST) == 0


def test_each_service_has_its_own_limits(stand):
    """An event stream may be silent for as long as a tunnel; anything else may not."""
    stand.activate([(LISTENER, SERVICE)], head=300_000_000, idle=300_000_000, tunnel=20 * 10**9)
    stream = stand.client()
    stream.send(b"GET /events/1.5 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert stream.head()[0] == 200
    tunnel = stand.client()
    tunnel.send(UPGRADE)
    assert tunnel.head()[0] == 101
    assert stand.client().request("GET", "/slow/10")[0] == 504
    idle = stand.client()
    idle.expect("GET", "/get/1")
    assert idle.connection.recv(1) == b""
    stream.until(b"data: 1\n\n")
    tunnel.send(b"y" * 64)
    assert tunnel.exactly(64) == b"y" * 64
    stand.edge.until(lambda: stand.edge.stats[FIRST]["timed_out"] == 1, "the timed out one")


def test_a_request_that_its_listener_does_not_outlive_is_told_so_at_once(stand):
    """Half of its head has come when the listener is dropped."""
    client = stand.client()
    client.expect("GET", "/get/1")
    client.send(GET[:10])
    stand.activate([])
    began = time.monotonic()
    client.send(GET[10:])
    assert client.answer()[0] == 503
    assert time.monotonic() - began < 5
    assert client.connection.recv(1) == b""
    stand.edge.until(lambda: any("overloaded" in route for route in stand.edge.routes.values()), "counted")
