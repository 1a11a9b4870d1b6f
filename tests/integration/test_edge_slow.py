"""Clients that are slow on purpose, too large, or gone: they cost themselves their connection, and nobody else anything."""
import contextlib
import resource
import select
import socket
import struct
import threading
import time

import pytest

from edge import OUT, SECOND, SERVES, Client
from edge_stand import LISTENER, SERVICE, stand  # noqa: F401 pylint: disable=unused-import
from test_edge_limits import FIRST, GET, Taken, played  # noqa: F401 pylint: disable=unused-import

YES = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes"
CHUNKED = b"POST /post/1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
ATTACKER = "127.0.0.2"


def post(size, more=b""):
    return b"POST /post/1 HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%s\r\n" % (size, more)


def is_silent(connection, wait_s):
    return not select.select([connection], [], [], wait_s)[0]


def reset(client):
    """Its program is killed in the middle, or gives up: the kernel says so at once."""
    client.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("<ii", 1, 0))
    client.close()


def test_a_body_that_comes_a_byte_now_and_then_is_refused(played):  # noqa: F811
    """Each pause is far within the limit for pauses."""
    played.limit(grace=SECOND)
    client, instance = played.asked(post(1000))
    began = time.monotonic()
    while is_silent(client.connection, 0.05):
        assert time.monotonic() - began < 10, "it goes on"
        client.send(b"x")
    status, fields, _ = client.answer()
    assert (status, fields["connection"]) == (408, "close")
    assert time.monotonic() - began > 0.9, "the grace"
    while instance.connection.recv(1000):
        pass
    played.until_counted("refused")


def test_a_body_that_keeps_up_may_take_longer_than_the_grace(played):  # noqa: F811
    played.limit(grace=SECOND // 2, rate=1000)
    client, instance = played.asked(post(6000))
    for _ in range(30):
        client.send(b"x" * 200)
        assert is_silent(client.connection, 0.05)
    assert len(instance.exactly(6000)) == 6000
    instance.send(YES)
    assert client.answer()[2] == b"yes"


def test_a_body_is_not_slow_where_its_instance_does_not_take_it(played):  # noqa: F811
    """A client that would send more is not the one that is waited for."""
    played.limit(grace=SECOND // 2, rate=1_000_000)
    size = 32_000_000
    client, instance = played.asked(post(size))
    sender = threading.Thread(target=client.send, args=(b"x" * size,))
    sender.start()
    assert is_silent(client.connection, 2), "refused"
    left = size - len(instance.buffer)
    while left > 0:  # Counted, not kept: to put so much together takes a busy machine longer than its sender waits.
        some = len(instance.connection.recv(65536))
        assert some > 0, "closed"
        left -= some
    sender.join()
    instance.send(YES)
    assert client.answer()[2] == b"yes"
    played.until_counted("success")


@pytest.mark.parametrize("more", [b"", b"Expect: 100-continue\r\n"], ids=["body", "expect"])
def test_a_body_that_says_it_is_too_large_is_refused_before_anything_is_sent(played, more):  # noqa: F811
    played.limit(body=1000)
    client = played.client()
    client.send(post(1001, more) + b"x" * 10)
    status, fields, _ = client.answer()
    assert (status, fields["connection"]) == (413, "close")
    client, instance = played.asked(post(1000) + b"x" * 1000)  # The first that it hears of.
    instance.exactly(1000)
    instance.send(YES)
    assert client.answer()[2] == b"yes"


def test_a_chunked_body_that_becomes_too_large_is_cut_and_never_looks_whole(played):  # noqa: F811
    played.limit(body=1000)
    client, instance = played.asked(CHUNKED)
    whole = b"3d0\r\n" + b"x" * 976 + b"\r\n0\r\n\r\n"
    client.send(whole.replace(b"x", b"xx").replace(b"3d0", b"7a0"))
    assert client.answer()[0] == 413
    said = instance.buffer
    while data := instance.connection.recv(65536):
        said += data
    assert b"0\r\n\r\n" not in said
    played.until_counted("refused")
    client, instance = played.asked(CHUNKED + whole)
    instance.until(b"0\r\n\r\n")
    instance.send(YES)
    assert client.answer()[2] == b"yes"


def narrow(client):
    """Little fits into its own kernel's buffer."""
    client.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)


def test_a_client_that_takes_its_answer_slowly_gets_all_of_it(played):  # noqa: F811
    """So slowly that for longer than the limit nothing can be written: the kernel's buffer for it is still full."""
    size = 300_000
    played.limit(stall=SECOND // 2, idle=SECOND // 2)
    client = played.client()
    narrow(client)
    client.send(GET)
    instance = Taken(played.listener)
    instance.until(b"\r\n\r\n")
    sender = threading.Thread(target=instance.send, args=(
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size,))
    sender.start()
    client.head()
    got, began = len(client.buffer), time.monotonic()
    while time.monotonic() - began < 4:
        got += len(client.connection.recv(2000))
        select.select([], [], [], 0.1)
    client.buffer = b""
    client.exactly(size - got)
    sender.join()
    played.until_counted("success")


def test_a_client_that_does_not_take_its_events_is_let_go_however_many_more_come(played):  # noqa: F811
    """What its instance says is no sign that it lives."""
    played.limit(stall=SECOND)
    client, instance = played.asked(GET)
    narrow(client)
    instance.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
    instance.connection.settimeout(0.2)
    deadline = time.monotonic() + 15
    with pytest.raises(ConnectionError):
        while True:
            assert time.monotonic() < deadline, "still there"
            with contextlib.suppress(TimeoutError):
                instance.send(b"data: x\n\n" * 1000)
    played.until_counted("client_gone")


def test_a_client_that_goes_while_it_waits_takes_its_request_with_it(played):  # noqa: F811
    """Within 50 ms, so that nothing works for nobody; and it is nobody's failure."""
    client, instance = played.asked(GET)
    began = time.monotonic()
    reset(client)
    assert instance.connection.recv(1) == b""
    assert time.monotonic() - began < 0.5
    played.until_counted("client_gone")
    assert played.edge.broken == {}


def test_a_client_that_goes_while_it_is_held_leaves_its_place(played):  # noqa: F811
    at = (*FIRST, SERVICE, played.listener.getsockname()[1])
    played.edge.endpoints([(*at, OUT)])
    client = played.client()
    client.send(GET)
    played.edge.until(lambda: played.edge.header.get("held") == 1, "held")
    reset(client)
    played.edge.until(lambda: played.edge.header.get("held") == 0, "its place")
    played.edge.endpoints([(*at, SERVES)])
    client, instance = played.asked(b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n")
    instance.send(YES)
    assert client.answer()[2] == b"yes"


def test_a_client_that_only_ends_its_half_is_answered(played):  # noqa: F811
    """That is allowed, and scripts do it (RFC 9112 section 9.6)."""
    client, instance = played.asked(GET)
    client.connection.shutdown(socket.SHUT_WR)
    assert is_silent(instance.connection, 0.3)
    instance.send(YES)
    assert client.answer()[2] == b"yes"


@pytest.fixture
def many_open():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 6000:
        pytest.skip(f"this machine allows {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 6000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Attack(threading.Thread):
    """Thousands of connections of another address, and what each says now and then; opened anew where they are closed."""

    def __init__(self, port, many, first, then):
        super().__init__()
        self.port, self.many, self.first, self.then = port, many, first, then
        self.stop, self.full, self.opened = threading.Event(), threading.Event(), 0

    def run(self):
        connections = []
        while not self.stop.wait(0.2):
            alive = []
            for connection in connections:
                try:
                    connection.send(self.then) if self.then else connection.recv(5)
                    alive.append(connection)
                except BlockingIOError:
                    alive.append(connection)
                except OSError:
                    connection.close()
            connections = alive
            while len(connections) < self.many and not self.stop.is_set():
                try:
                    connection = Client(self.port, ATTACKER).connection
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                    connection.send(self.first)
                    connection.setblocking(False)
                except OSError:
                    break
                connections.append(connection)
                self.opened += 1
            if len(connections) >= self.many:
                self.full.set()
        for connection in connections:
            connection.close()


@pytest.mark.full  # Longer than the limit for a head, which no setting makes shorter.
@pytest.mark.parametrize("first, then", [
    (b"GET / HTTP/1.1\r\nHost: a\r\n", b"X: y\r\n"), (post(100_000), b"x"), (GET.replace(b"/", b"/stream/1", 1), b"")],
    ids=["head", "body", "reader"])
def test_a_normal_client_is_served_whatever_two_thousand_slow_ones_do(many_open, stand, first, then):  # pylint: disable=unused-argument
    stand.activate([(LISTENER, SERVICE)])
    attack = Attack(stand.port, 2000, first, then)
    attack.start()
    try:
        assert attack.full.wait(60), "never were there so many"
        began, longest, served, kept = time.monotonic(), 0, 0, stand.client()
        while time.monotonic() - began < 25:
            for client in (kept, stand.client()):
                asked = time.monotonic()
                client.expect("GET", f"/get/{served}")
                longest, served = max(longest, time.monotonic() - asked), served + 1
            select.select([], [], [], 0.05)
        print(f"{served} served, the longest {longest * 1000:.0f} ms; {attack.opened} attackers' connections")
        assert longest < 2
    finally:
        attack.stop.set()
        attack.join()
