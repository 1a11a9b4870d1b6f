"""Requests that wait, and what is cut when waiting is over."""
import contextlib
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from conftest import until
from edge import OUT, SERVES, Backend
from edge_stand import LISTENER, SERVICE, kill_edge, stand, three  # pylint: disable=unused-import
from project import free_port

FIRST = (20, 1)
GET = b"GET /get/1 HTTP/1.1\r\nHost: a\r\n\r\n"
UPGRADE = b"GET /tunnel/7 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"


# Begins after a while, then takes one connection after the other, as they come, and says which targets they asked for.
IN_TURN = """
import select, socket, sys
after, port, count = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
select.select([], [], [], after)
server = socket.create_server(("127.0.0.1", port), backlog=1024)
for _ in range(count):
    connection = server.accept()[0]
    data = b""
    while b"\\r\\n\\r\\n" not in data:
        data += connection.recv(65536)
    print(data.split(b" ")[1].decode(), flush=True)
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
    connection.close()
"""


@contextlib.contextmanager
def in_turn(port, count, after_s=0.0):
    """A service that serves `count` requests one by one."""
    words = [sys.executable, "-c", IN_TURN, str(after_s), str(port), str(count)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def longest_fall(numbers):
    """How many of them, in this order, fall. Two workers that each keep an order make no three of them fall."""
    falls = []
    for at, number in enumerate(numbers):
        falls.append(1 + max((falls[before] for before in range(at) if numbers[before] > number), default=0))
    return max(falls)


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


def ask_held(stand, clients):
    """One after the other: each waits before the next one comes. Their numbers are their targets."""
    # Worker by worker they would be in order also where they come in one moment; across an edge's death only by time.
    first = stand.edge.header.get("held", 0)
    for number, client in enumerate(clients):
        client.send(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
        stand.edge.until(lambda number=number: stand.edge.header.get("held", 0) == first + number + 1, f"{number} waits")


@pytest.mark.parametrize("edge_dies", [False, True])
def test_who_waits_goes_in_the_order_of_arrival(stand, edge_dies):
    """Not of descriptors, which are given out the other way round here; nor does the edge's death mix them up."""
    port = free_port()
    stand.edge.endpoints([(20, 1, SERVICE, port, OUT)], full=True)
    with in_turn(port, 40) as service:
        clients = [stand.client() for _ in range(40)]
        ask_held(stand, clients[::-1])
        if edge_dies:
            kill_edge(stand)
        else:
            stand.edge.until(lambda: stand.edge.header.get("held") == 40, "all wait")
        # A successor may not have looked at them yet.
        stand.edge.endpoints([(20, 1, SERVICE, port, SERVES)])
        assert [client.answer()[0] for client in clients] == [200] * 40
        order = [int(service.stdout.readline()[1:]) for _ in range(40)]
    assert sorted(order) == list(range(40))
    assert longest_fall(order) <= 2, order


def test_who_has_waited_before_goes_by_its_newest_request(stand):
    """On the same connection, and before the edge has looked who waits no more."""
    first, then = free_port(), free_port()
    clients = [stand.client() for _ in range(20)]
    assert stand.edge.hold(SERVICE, 1)
    stand.edge.endpoints([(20, 1, SERVICE, first, SERVES)], full=True)
    with in_turn(first, 20), in_turn(then, 20) as service:
        ask_held(stand, clients)
        assert stand.edge.hold(SERVICE, 0)
        assert [client.answer()[0] for client in clients] == [200] * 20
        assert stand.edge.hold(SERVICE, 1)
        stand.edge.endpoints([(20, 2, SERVICE, then, SERVES)])
        for number, client in enumerate(clients[::-1]):
            client.send(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
        stand.edge.until(lambda: stand.edge.header["held_ever"] == 40 and stand.edge.header["held"] == 20, "all wait")
        assert stand.edge.hold(SERVICE, 0)
        assert [client.answer()[0] for client in clients] == [200] * 20
        order = [int(service.stdout.readline()[1:]) for _ in range(20)]
    assert longest_fall(order) <= 2, order


def test_two_hundred_wait_for_a_start_of_three_seconds(stand):
    """And one more is too many. All of them are answered, and told how long they waited."""
    port = free_port()
    stand.activate([(LISTENER, SERVICE)], requests=200)
    stand.edge.endpoints([(20, 1, SERVICE, port, OUT)], full=True)
    clients = [stand.client() for _ in range(200)]
    for number, client in enumerate(clients):
        client.send(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
    stand.edge.until(lambda: stand.edge.header.get("held") == 200, "all wait")
    status, fields, _ = stand.client().request("GET", "/get/1")
    assert (status, fields["retry-after"]) == (503, "1")
    began = time.monotonic()
    with in_turn(port, 200, after_s=3) as service:
        stand.edge.endpoints([(20, 1, SERVICE, port, SERVES)])  # It refuses until then.
        for client in clients:
            status, fields, _ = client.answer()
            assert status == 200
            assert 3000 <= float(fields["server-timing"].removeprefix("hold;dur=")) < 20_000
        assert time.monotonic() - began < 8
        order = [int(service.stdout.readline()[1:]) for _ in range(200)]
    assert longest_fall(order) <= 2, order
    stand.edge.until(lambda: stand.edge.header["held"] == 0, "nobody waits")


def refused_in_all(stand):
    return sum(route.get("overloaded", 0) for route in stand.edge.routes.values())


def memory_of(pid):
    """Resident, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]) * 4096


def test_a_start_that_fails_is_one_clear_refusal_for_each_who_waits(stand):
    """At the hold's end, none later; and what they took is free again."""
    stand.activate([(LISTENER, SERVICE)], requests=200, hold=1_000_000_000)
    stand.edge.endpoints([(20, 1, SERVICE, free_port(), SERVES)], full=True)  # Nobody ever listens there.
    took = []
    for _ in range(4):
        clients = [stand.client() for _ in range(200)]
        for client in clients:
            client.send(b"POST /post/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 8000\r\n\r\n" + b"x" * 8000)
        for client in clients:
            status, fields, body = client.answer()
            assert (status, fields["retry-after"]) == (503, "1")
            assert b"no instance" in body, body
            assert 1000 <= float(fields["server-timing"].removeprefix("hold;dur=")) < 3000
            client.close()
        stand.edge.until(lambda: stand.edge.header["held"] == 0, "nobody waits")
        took.append(memory_of(stand.edge.pid))
    assert took[-1] - took[0] < 2**20, took
    stand.edge.until(lambda: refused_in_all(stand) == 800, "counted")


def test_the_places_are_as_many_as_were_said_for_both_workers_together(stand):
    """All at once, by requests and by bytes, again and again: never one more and never one less."""
    body = b"x" * 1000
    request = b"POST /post/1 HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    for at, (limits, places) in enumerate([({"requests": 50}, 50), ({"bytes": 100_000}, None)] * 3):
        stand.activate([(LISTENER, SERVICE)], **limits)
        stand.edge.endpoints([stand.entry(0, OUT)])
        clients = [stand.client() for _ in range(200)]
        refused_before = refused_in_all(stand)

        def ask(some):
            for client in some:
                client.send(request)
        threads = [threading.Thread(target=ask, args=(clients[part::4],)) for part in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stand.edge.until(lambda before=refused_before: stand.edge.header["held"] + refused_in_all(stand) - before == 200,
                         f"{at}: all wait or are refused")
        held = stand.edge.header["held"]
        stand.edge.endpoints([stand.entry(0, SERVES)])
        statuses = [client.answer()[0] for client in clients]
        assert statuses.count(200) == held and statuses.count(503) == 200 - held
        assert places is None or held == places
        assert places is not None or 60 < held <= 100, "what each takes is its head and its body"


def test_a_client_that_resets_frees_its_place_at_once(stand):
    """One that has only said that it sends no more waits on: that is legal."""
    stand.activate([(LISTENER, SERVICE)], requests=3)
    stand.edge.endpoints([stand.entry(0, OUT)])
    gone, half, stays = send_held(stand, 3)
    gone.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    gone.close()
    half.connection.shutdown(socket.SHUT_WR)
    stand.edge.until(lambda: stand.edge.header["held"] == 2, "its place is free", 2)
    (late,) = send_held(stand)
    assert stand.client().request("GET", "/get/1")[0] == 503
    stand.edge.endpoints([stand.entry(0, SERVES)])
    assert [client.answer()[0] for client in (half, stays, late)] == [200] * 3
