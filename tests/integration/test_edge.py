"""The edge: strict, exact, and its death goes unnoticed. Driven as control drives it, under the real keeper."""
import os
import signal
import socket
import threading
from pathlib import Path

import pytest

import wire
from conftest import start_time, until
from edge import OUT, SERVES, snapshot
from edge_stand import LISTENER, SERVICE, Load, four, kill_edge, kill_edge_and_holder, stand, three  # pylint: disable=unused-import


def test_every_kind_of_exchange_passes_unchanged(stand):
    client = stand.client()
    body = bytes(range(256)) * 2000
    client.expect("GET", "/get/1")
    client.expect("HEAD", "/get/1")
    client.expect("POST", "/post/1", body=b"x" * 100)
    client.expect("PUT", "/echo/", body=body)
    client.expect("POST", "/echo/", body=body, chunked=True)
    client.expect("GET", "/stream/5")
    client.expect("GET", "/chunks/7")
    status, fields, _ = client.request("GET", "/hints/")
    assert (status, fields["link"]) == (103, "</a>")
    assert client.answer()[0] == 200
    status, _, body = client.request("GET", "/untilclose/3")
    assert (status, len(body)) == (200, 50000)
    assert stand.backends[0].lines("unmarked") == []


def test_heads_say_who_asks_and_nothing_that_is_only_for_us(stand):
    _, body = stand.client().expect(
        "GET", "/fields/", more="X-Forwarded-For: 6.6.6.6\r\nX-Request-Id: " + "a" * 32 +
        "\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nForwarded: for=6.6.6.6\r\n")
    fields = dict(line.split(": ", 1) for line in body.decode().split("\n"))
    assert fields["x-forwarded-for"] == "127.0.0.1"
    assert fields["x-request-id"] != "a" * 32
    assert fields["host"] == "shop"
    assert "x-hop" not in fields and "forwarded" not in fields


CLAIMS = "".join(f"{name}: 6.6.6.6\r\n" for name in (
    "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-User", "X-Real-IP",
    "Forwarded", "tracestate", "baggage", "Proxy"))


@pytest.mark.parametrize("line, names", [
    ("HTTP/1.1\r\nHost: shop", {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"}),
    ("HTTP/1.0", {"x-forwarded-for", "x-forwarded-proto"})])
def test_what_somebody_from_outside_claims_of_himself_is_not_passed_on(stand, line, names):
    client = stand.client()
    client.send(f"GET /fields/ {line}\r\n{CLAIMS}\r\n".encode())
    status, _, body = client.answer()
    assert status == 200 and b"6.6.6.6" not in body, body
    fields = {each.split(": ", 1)[0] for each in body.decode().split("\n")}
    assert {name for name in fields if "forwarded" in name} == names


@pytest.mark.parametrize("upgrade, left", [
    ("h2c", None), ("H2C,, h2c", None), ("h2c, echo", "echo"), ("echo/1,h2C,other", "echo/1, other"),
    ("h2c, " + "x" * 1000, None)])
def test_nobody_is_switched_to_http_2_behind_our_back(stand, upgrade, left):
    """What else is offered stays on offer."""
    client = stand.client()
    client.send(f"GET /fields/ HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {upgrade}\r\n"
                "HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n".encode())
    status, _, body = client.answer()
    assert status == 200 and b"h2c" not in body.lower() and b"http2" not in body.lower(), body
    fields = dict(each.split(": ", 1) for each in body.decode().split("\n"))
    assert (fields.get("upgrade"), fields.get("connection")) == (left, left and "upgrade")


@pytest.mark.parametrize("request_text,status", [
    ("GET / HTTP/1.1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
    ("GET / HTTP/1.1\nHost: a\n\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 501),
    ("GET / HTTP/1.1\r\nHost: a\r\n folded: x\r\n\r\n", 400),
    ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    ("GET /" + "a" * 9000 + " HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    ("GET / HTTP/1.1\r\nHost: a\r\n" + "a: b\r\n" * 200 + "\r\n", 431),
])
def test_what_is_not_http_is_refused_and_the_connection_ends(stand, request_text, status):
    client = stand.client()
    client.send(request_text.encode() + b"GET /get/smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
    got, fields, _ = client.answer()
    assert got == status
    assert fields["connection"] == "close"
    assert client.connection.recv(1000) == b""
    stand.client().expect("GET", "/get/1")


def test_an_answer_that_is_not_http_is_a_502_and_one_cut_short_is_cut_short(stand):
    assert stand.client().request("GET", "/bad/")[0] == 502
    client = stand.client()
    with pytest.raises(ConnectionError):
        client.request("GET", "/cut/")


def test_pipelined_requests_are_answered_in_order(stand):
    client = stand.client()
    client.send(b"".join(b"GET /get/%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(50)))
    for number in range(50):
        assert client.answer()[2] == b"GET /get/%d" % number


def connections_of_workers(pid):
    """How many sockets each of the edge's epolls watches."""
    counts = []
    for info in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            counts.append(info.read_text(encoding="utf-8").count("tfd:"))
        except OSError:  # Closed just now.
            pass
    return sorted(counts)[-2:]


def test_clients_that_come_at_once_fall_to_both_workers(stand):
    """Who is woken first accepts them all: by itself one worker would have most of the work."""
    clients = [stand.client() for _ in range(64)]
    for client in clients:
        client.expect("GET", "/get/1")
    fewer, more = connections_of_workers(stand.edge.pid)
    assert fewer + more > 64 and fewer > 16, (fewer, more)
    kill_edge(stand)
    for client in clients:
        client.expect("GET", "/get/2")


def test_a_request_in_drops_is_one_request(stand):
    client = stand.client()
    for byte in b"POST /echo/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n":
        client.send(bytes([byte]))
    assert client.answer()[2] == b"abc"


def test_without_an_endpoint_requests_wait_for_one(stand):
    """The only instance restarts: nobody sees an error."""
    stand.edge.endpoints([stand.entry(0, OUT)])
    client = stand.client()
    client.send(b"GET /get/1 HTTP/1.1\r\nHost: a\r\n\r\n")
    client.connection.settimeout(0.3)
    with pytest.raises(TimeoutError):
        client.more()
    client.connection.settimeout(10)
    stand.edge.endpoints([stand.entry(0, SERVES)])
    assert client.answer()[2] == b"GET /get/1"


def test_an_idempotent_request_goes_elsewhere_when_its_instance_dies(three):
    """What it had in hand, and what would have been next."""
    clients = [three.client() for _ in range(9)]
    for client in clients:
        client.send(b"GET /slow/2 HTTP/1.1\r\nHost: a\r\n\r\n")
    three.edge.until(lambda: three.in_hand() == 9, "all are at an instance")
    dying = three.edge.stats[20, 1]["in_flight"]
    assert dying > 0
    three.backends[0].process.kill()
    three.backends[0].process.wait()
    for client in clients:
        status, _, body = client.answer()
        assert (status, body) == (200, b"GET /slow/2")
    three.edge.until(lambda: three.edge.header["replayed_ever"] >= dying, "those that died with it were sent again")
    for number in range(30):
        three.client().expect("GET", f"/get/{number}")


@pytest.mark.parametrize("size, status", [(65536, 200), (65537, 502)])
def test_a_body_of_up_to_64_kib_is_sent_again_and_none_above(three, size, status):
    three.edge.endpoints([three.entry(1, OUT), three.entry(2, OUT)])
    client = three.client()
    client.send(b"PUT /slow/60 HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
    backend = three.backends[0]
    until(lambda: backend.lines("put"), "all of it is at the instance")
    three.edge.endpoints([three.entry(1, SERVES), three.entry(2, SERVES)])
    backend.process.kill()
    backend.process.wait()
    if status == 200:
        until(lambda: [line for other in three.backends[1:] for line in other.lines("put")], "it is at another one")
    else:
        assert client.answer()[0] == 502
    three.edge.until(lambda: three.edge.header["replayed_ever"] == (1 if status == 200 else 0), "as many were sent again")


def test_a_request_that_kills_each_instance_it_meets_ends_after_three_at_most(four):
    """The others go on."""
    assert four.client().request("GET", "/die/1")[0] == 502

    def dead():
        return [backend for backend in four.backends if backend.process.poll() is not None]
    # One that is just dying may take a connection still: then an attempt was that.
    until(dead, "a death")
    for number in range(30):
        four.client().expect("GET", f"/get/{number}")
    assert len(dead()) <= 3


def test_each_attempt_of_a_request_goes_to_another_instance(four):
    for number in range(20):
        assert four.client().request("GET", f"/drop/{number}")[0] == 502
    for number in range(20):
        met = [[str(number)] in backend.lines("drop") for backend in four.backends]
        assert met.count(True) == 3, (number, met)


def test_a_post_on_a_dying_instance_is_never_sent_twice(three):
    """Although two others would take it."""
    assert three.client().request("POST", "/die/1", body=b"x")[0] == 502
    assert [line for backend in three.backends for line in backend.lines("post")] == [["1"]]


def test_an_acknowledged_removal_holds(three):
    """After the acknowledgement not one request reaches the endpoint but those it names."""
    stop = threading.Event()
    failures = []

    def load(number):
        client = None
        while not stop.is_set():
            number += 1
            try:
                client = three.client() if client is None or number % 2 else client
                client.expect("GET", f"/get/{number}")
            except (OSError, AssertionError, ValueError) as problem:
                failures.append(problem)
                client = None
    threads = [threading.Thread(target=load, args=(number * 1000,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for turn in range(30):
        number = turn % 3
        ids = three.edge.endpoints([three.entry(number, OUT)])
        backend = three.backends[number]
        named = " ".join(request for slot, request in ids if slot == 20 + number)
        backend.allowed.with_suffix(".tmp").write_text(named, encoding="utf-8")
        backend.allowed.with_suffix(".tmp").rename(backend.allowed)
        three.client().expect("GET", f"/get/{turn}")
        stop.wait(0.02)
        backend.allowed.unlink()
        three.edge.endpoints([three.entry(number, SERVES)])
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [backend.lines("forbidden") for backend in three.backends] == [[], [], []]


def test_the_edges_death_goes_unnoticed(three):
    load = Load(three)
    for _ in range(15):
        kill_edge(three)
        load.stop.wait(0.2)
    load.end()
    # keeper knows who carries the traffic, and has started nobody beside it.
    three.keeper.connect()
    until(lambda: three.keeper.read(0.05) or three.keeper.roles[3]["pid"] == three.edge.pid, "keeper's view")
    until(lambda: len(three.holder()) == 1, "one holder")


def test_a_removal_outlives_the_edge_that_acknowledged_it(three):
    ids = three.edge.endpoints([three.entry(0, OUT)])
    assert ids == []
    three.backends[0].allowed.write_text("none", encoding="utf-8")
    for _ in range(3):
        kill_edge(three)
        for number in range(10):
            three.client().expect("GET", f"/get/{number}")
    assert three.backends[0].lines("forbidden") == []


def test_keepers_and_watchs_death_are_nothing_to_the_edge(three):
    load = Load(three)
    before = three.edge.pid
    for _ in range(3):
        os.kill(three.keeper.synced[5], signal.SIGKILL)
        three.keeper.connect()
        load.stop.wait(0.2)
    load.end()
    three.edge.connect()
    assert three.edge.pid == before


def test_edge_and_holder_together_refuse_nobody(three):
    """What was under way breaks; whoever connects waits a moment and is served from the last snapshot."""
    holder, before = kill_edge_and_holder(three)
    client = three.client()
    client.expect("GET", "/get/1")
    three.edge.connect()
    assert three.edge.pid not in (before, holder)
    assert start_time(before) is None


def test_a_snapshot_that_is_damaged_is_refused_and_the_old_one_serves(stand):
    content = snapshot(2, {SERVICE: "shop"}, [(LISTENER, SERVICE)])
    error, reason = stand.edge.activate(2, content[:-1] + b"\0")
    assert error != 0 and "checksum" in reason
    assert stand.edge.activate(3, content[:10])[0] != 0
    stand.client().expect("GET", "/get/1")


def test_an_endpoint_that_is_gone_takes_nothing(stand):
    stand.edge.endpoints([], full=True)
    client = stand.client()
    client.send(b"GET /get/1 HTTP/1.1\r\nHost: a\r\n\r\n")
    client.connection.settimeout(0.3)
    with pytest.raises(TimeoutError):
        client.more()
    stand.edge.endpoints([stand.entry(0, SERVES, generation=2)], full=True)
    client.connection.settimeout(10)
    assert client.answer()[0] == 200


def test_garbage_from_control_closes_only_that_link(stand):
    for junk in (b"x", wire.seal(77), wire.seal(3, b"123"), wire.seal(2, b"")):
        link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        link.connect(str(stand.system.run / "edge.sock"))
        link.send(junk)
        link.settimeout(5)
        assert link.recv(100) == b""
    stand.edge.connect()
    stand.client().expect("GET", "/get/1")


@pytest.mark.full
def test_five_hundred_deaths_go_unnoticed(three):
    """One every 200 ms; the longest wait of any client is printed."""
    load = Load(three)
    for _ in range(500):
        kill_edge(three)
        load.stop.wait(0.2)
    load.end()
    print(f"{load.done} requests, {len(load.posts)} POSTs, longest {load.longest * 1000:.0f} ms")
