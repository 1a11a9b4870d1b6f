"""A request that a service sends back to where it came from: it ends, and whoever calls and is called in a circle is served."""
import contextlib
import re
import socket
import threading

import pytest

from edge import NO_SERVICE, Client, snapshot
from edge_stand import LISTENER, SERVICE, Stand, kill_edge, kill_edge_and_holder
from raw_backend import RawBackend
from test_edge_ejection import EDGE_BIT, Traffic

CALLER, CALLED = SERVICE, 2
THERE, BACK = 300, 301
MOST = 16
# Of a request that would go round for ever here, too.
GUARD = 50


class Relay:
    """An instance that sends what it is asked on to a port, as it came: what /n asks for is asked for as /n-1, and /0 is
    answered; anything else goes on as it is. Remembers the Via fields of each request."""

    def __init__(self, port):
        self.to, self.seen = port, []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, contextlib.suppress(OSError):
            stream = connection.makefile("rb")
            while line := stream.readline():
                fields = []
                while (field := stream.readline()) not in (b"\r\n", b""):
                    fields.append(field)
                sizes = [int(field[16:]) for field in fields if field.lower().startswith(b"content-length:")]
                body = stream.read(sizes[0] if sizes else 0)
                self.seen.append([field[4:].strip().decode() for field in fields if field.lower().startswith(b"via:")])
                status, answer = self.ask(line, fields, body)
                connection.sendall(b"HTTP/1.1 %d Said\r\nContent-Length: %d\r\n\r\n" % (status, len(answer)) + answer)

    def ask(self, line, fields, body):
        method, target, version = line.split(b" ")
        left = re.fullmatch(rb"/(\d+)", target)
        if len(self.seen) >= GUARD or left and int(left[1]) == 0:
            return 200, b"served"
        target = b"/%d" % (int(left[1]) - 1) if left else target
        client = Client(self.to)
        with client.connection:
            client.send(b" ".join([method, target, version]) + b"".join(fields) + b"\r\n" + body)
            status, answered, answer = client.answer()
            assert "via" not in answered
            return status, answer

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Circle(Stand):
    """The caller's instance asks the called one's, which asks the caller's, over the ports that are for it."""

    def __init__(self):
        super().__init__(0)
        self.there, self.back = (self.keeper.ensure_listener(number) for number in (THERE, BACK))
        self.version += 1
        content = snapshot(self.version, {CALLER: "caller", CALLED: "called"},
                           [(LISTENER, CALLER), (THERE, CALLED, {CALLER}), (BACK, CALLER, {CALLED})])
        assert self.edge.activate(self.version, content) == (0, "")
        self.caller, self.called = Relay(self.there), Relay(self.back)
        self.edge.endpoints([(20, 1, CALLER, self.caller.port, 0), (21, 1, CALLED, self.called.port, 0)], full=True)

    def close(self):
        self.caller.close()
        self.called.close()
        super().close()


@pytest.fixture
def circle():
    made = Circle()
    yield made
    made.close()


def vias_of(stand, more="", line="GET /0 HTTP/1.1\r\nHost: shop"):
    """Those of a request with these fields, as the instance got them."""
    client = stand.client()
    client.send(f"{line}\r\n{more}\r\n".encode())
    assert client.answer()[::2] == (200, b"served")
    return stand.caller.seen[-1]


def own_via(stand):
    """As it stands in a request that brings none."""
    via, = vias_of(stand)
    assert re.fullmatch("1.1 thole-[0-9a-f]{8}", via)
    return via


@pytest.mark.parametrize("method, body", [("GET", b""), ("POST", b"x" * 1000)], ids=["GET", "POST"])
def test_a_request_that_a_service_sends_back_ends(circle, method, body):
    """After one way round more than is let, with the same answer for all who wait for it; it is counted once."""
    own = own_via(circle)
    circle.caller.seen.clear()
    circle.caller.to = circle.port
    status, fields, answer = circle.client().request(method, "/round", body=body)
    assert (status, answer.partition(b":")[0]) == (508, b"EDGE-LOOP") and "via" not in fields
    assert circle.caller.seen == [[own] * (way + 1) for way in range(MOST + 1)]
    rule = ("request", LISTENER, NO_SERVICE, "EDGE-LOOP")
    circle.edge.until(lambda: circle.edge.refusals.get(rule) == 1 and circle.in_hand() == 0, "it is counted, and all have ended")
    assert own_via(circle) == own


def test_services_that_ask_each_other_are_served(circle):
    own = own_via(circle)
    for ways in (1, 2, 3, MOST):
        circle.caller.seen.clear()
        circle.called.seen.clear()
        assert circle.client().request("GET", f"/{ways}")[::2] == (200, b"served")
        assert circle.caller.seen == [[own] * (way + 1) for way in range(0, ways + 1, 2)]
        assert circle.called.seen == [[own] * (way + 1) for way in range(1, ways + 1, 2)]
    assert circle.client().request("GET", f"/{MOST + 1}")[0] == 508


def test_the_way_a_request_came_is_passed_on_in_order(circle):
    """However long it is, and however it is written; ours stands behind."""
    own = own_via(circle)
    foreign = [f"1.1 cache{number}" for number in range(20)]
    assert vias_of(circle, "".join(f"Via: {via}\r\n" for via in foreign)) == [*foreign, own]
    assert vias_of(circle, f"VIA: {', '.join(foreign)}\r\nX-A: b\r\nvia: 1.0 last (a, b)\r\n") == [
        ", ".join(foreign), "1.0 last (a, b)", own]
    assert vias_of(circle, "Connection: Via, close\r\nVia: 1.1 kept\r\n") == ["1.1 kept", own]
    assert vias_of(circle, "Via: 1.1 kept\r\n", "GET /0 HTTP/1.0") == ["1.1 kept", own.replace("1.1", "1.0")]


def test_who_claims_to_have_come_by_us_is_refused_alone(circle):
    own = own_via(circle)
    for claimed in (f"Via: {own}\r\n" * MOST, f"Via: {', '.join([own] * MOST)}\r\n", f"Via: {own}0\r\n" * 50):
        assert vias_of(circle, claimed)[-1] == own
    asked = len(circle.caller.seen)
    for claimed in (f"Via: {own}\r\n" * (MOST + 1), f"Via: {own}\r\nVia: 1.1 a, {', '.join([own] * MOST)} (b)\r\n"):
        client = circle.client()
        client.send(f"GET /0 HTTP/1.1\r\nHost: a\r\n{claimed}\r\n".encode())
        assert client.answer()[0] == 508
        assert client.connection.recv(1) == b""
    assert len(circle.caller.seen) == asked
    assert own_via(circle) == own


def test_a_request_is_known_again_by_the_next_edge(circle):
    own = own_via(circle)
    kill_edge(circle)
    assert own_via(circle) == own
    kill_edge_and_holder(circle)
    circle.edge.connect()
    assert own_via(circle) == own


def test_an_instance_is_not_left_out_for_what_goes_round(circle):
    """As it would be for any other failure of its own."""
    backends = [RawBackend() for _ in range(3)]
    circle.edge.endpoints([(30 + at, 1, CALLER, backend.port, 0) for at, backend in enumerate(backends)], full=True)
    with contextlib.closing(Traffic(circle, 100)) as traffic:
        def ask(number):
            before = len(backends[0].requests)
            circle.edge.until(lambda: len(backends[0].requests) >= before + number, "it is asked", 20)
        backends[0].answers = lambda request: (508, b"EDGE-LOOP")
        ask(100)
        assert circle.edge.stats[30, 1]["bits"] == 0
        before = len(backends[0].requests)
        backends[0].answers = lambda request: (500, b"")
        circle.edge.until(lambda: circle.edge.stats[30, 1]["bits"] == EDGE_BIT, "it is out", 20)
        assert len(backends[0].requests) - before < 100
        assert {status for _, status in traffic.answers} <= {200, 500, 508}
    for backend in backends:
        backend.close()
