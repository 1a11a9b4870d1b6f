"""Requests that wait, and what is cut when waiting is over."""
import contextlib
import socket
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


def test_waiting_is_said_beside_what_the_instance_says_of_its_time(stand):
    """All of it: a field of its own costs the instance's none."""
    assert stand.edge.hold(SERVICE, 1)
    client = stand.client()
    client.send(b"GET /timed/ HTTP/1.1\r\nHost: a\r\n\r\n")
    stand.edge.until(lambda: stand.edge.header.get("held") == 1, "held")
    assert stand.edge.hold(SERVICE, 0)
    lines = client.until(b"\r\n\r\n").split(b"\r\n")
    said = [line.removeprefix(b"Server-Timing: ") for line in lines if line.startswith(b"Server-Timing: ")]
    assert said[:2] == [b"db;dur=1", b"x" * 600 + b";dur=2"]
    assert len(said) == 3 and said[2].startswith(b"hold;dur=")


def test_a_long_upload_is_no_waiting(three):
    """Its instance dies after a time in which nobody may wait: it waits for the next one like any other."""
    three.activate([(LISTENER, SERVICE)], hold=1_000_000_000)
    three.edge.endpoints([three.entry(1, OUT), three.entry(2, OUT)])
    client = three.client()
    client.send(b"PUT /echo/ HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
    three.edge.until(lambda: three.in_hand() == 1, "it is at the instance")
    three.client().expect("GET", "/slow/1.3")
    three.edge.endpoints([three.entry(0, OUT)])
    three.backends[0].process.kill()
    three.backends[0].process.wait()
    three.edge.until(lambda: three.edge.header["held"] == 1, "it waits")
    three.edge.endpoints([three.entry(1, SERVES)])
    client.send(b"world")
    status, fields, body = client.answer()
    assert (status, body) == (200, b"helloworld")
    assert 0 < float(fields["server-timing"].removeprefix("hold;dur=")) < 1000


def test_an_instance_that_refuses_again_and_again_does_not_prolong_the_wait(stand):
    """It is gone and control has not said so: each try is refused and counts as waiting."""
    stand.activate([(LISTENER, SERVICE)], hold=700_000_000)
    stand.backends[0].process.kill()
    stand.backends[0].process.wait()
    status, fields, _ = stand.client().request("GET", "/get/1")
    assert status == 503
    assert 700 <= float(fields["server-timing"].removeprefix("hold;dur=")) < 5000


@pytest.mark.parametrize("many", [1, 2])
def test_instances_that_take_no_connection_do_not_prolong_the_wait(stand, many):
    """They hang: the time of each try counts as waiting, too, also where there is always another one to be tried."""
    stand.activate([(LISTENER, SERVICE)], connect=500_000_000, hold=1_000_000_000)
    with contextlib.ExitStack() as until_closed:
        ports = []
        for _ in range(many):
            hanging = until_closed.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            ports.append(hanging.getsockname()[1])
            with pytest.raises(TimeoutError):
                while True:  # Those that nobody accepts, until there is room for no more.
                    until_closed.enter_context(socket.create_connection(hanging.getsockname(), timeout=0.3))
        stand.edge.endpoints([(20 + at, 1, SERVICE, port, SERVES) for at, port in enumerate(ports)], full=True)
        began = time.monotonic()
        status, fields, _ = stand.client().request("GET", "/get/1")
        assert (status, fields["retry-after"]) == (503, "1")
        assert 1 <= time.monotonic() - began < 4
        assert many > 1 or float(fields["server-timing"].removeprefix("hold;dur=")) >= 1000


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
    streams = [stand.client() for _ in range(2)]
    for stream, kind in zip(streams, ("events", "Events")):  # Media types have no case.
        stream.send(f"GET /{kind}/1.5 HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert stream.head()[0] == 200
    tunnel = stand.client()
    tunnel.send(UPGRADE)
    assert tunnel.head()[0] == 101
    assert stand.client().request("GET", "/slow/10")[0] == 504
    idle = stand.client()
    idle.expect("GET", "/get/1")
    assert idle.connection.recv(1) == b""
    for stream in streams:
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
