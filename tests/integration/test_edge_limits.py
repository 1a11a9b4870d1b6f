"""Who is silent too long, at each place where somebody may be: on the way to an instance, in a head, in a body, in a
tunnel. The instance's side is the test's own, so that it falls silent just where the test says."""
import select
import socket
import struct
import time

import pytest

from conftest import BINARIES, until
from edge import LIMITS, OUT, SECOND, SERVES, Backend, Client
from edge_stand import LISTENER, SERVICE, Stand, kill_edge_and_holder

FIRST = (20, 1)
SHORT = 6 * SECOND // 10
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /post/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"
UPGRADE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
SWITCHES = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Taken(Client):
    """The instance's end of one connection from the edge."""

    def __init__(self, listener):  # pylint: disable=super-init-not-called
        self.connection, self.buffer = listener.accept()[0], b""
        self.connection.settimeout(20)


class Played(Stand):
    """One endpoint, and the test is the instance behind it."""

    def __init__(self, binaries=BINARIES):
        super().__init__(0, binaries)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.listener.settimeout(20)
        self.edge.endpoints([(*FIRST, SERVICE, self.listener.getsockname()[1], SERVES)])

    def limit(self, **limits):
        self.activate([(LISTENER, SERVICE)], **limits)

    def asked(self, request):
        """A client that has sent this, and the instance that has its head."""
        client = self.client()
        client.send(request)
        instance = Taken(self.listener)
        instance.until(b"\r\n\r\n")
        return client, instance

    def until_counted(self, outcome):
        """Once, and at the endpoint."""
        self.edge.until(lambda: self.edge.stats.get(FIRST, {}).get(outcome) == 1 and self.in_hand() == 0, outcome)

    def close(self):
        self.listener.close()
        super().close()


@pytest.fixture
def played():
    made = Played()
    yield made
    made.close()


@pytest.fixture
def nobody():
    """An address where each further connection waits for ever: its queue is full, and nobody takes any out of it."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = []
        while True:
            waiting.append(socket.socket())
            waiting[-1].settimeout(0.2)
            try:
                waiting[-1].connect(listener.getsockname())
            except TimeoutError:
                break
            assert len(waiting) < 10, "the queue does not fill"
        yield listener.getsockname()[1]
        for connection in waiting:
            connection.close()


def send_until_it_ends(connection):
    """Sends for as long as anybody takes it; until the other end answers, or closes."""
    deadline = time.monotonic() + 20
    connection.setblocking(False)
    while True:
        readable, writable, _ = select.select([connection], [connection], [], 0.1)
        assert time.monotonic() < deadline, "neither an answer nor an end"
        if readable:
            connection.settimeout(20)
            return
        if writable:
            try:
                connection.send(b"x" * 65536)
            except BlockingIOError:
                pass


def test_a_connection_that_nobody_takes_is_given_up_and_the_request_goes_elsewhere(played, nobody):
    """A POST, too: nothing of it was sent."""
    played.limit(connect=SHORT)
    played.edge.endpoints([(*FIRST, SERVICE, nobody, SERVES)])
    client = played.client()
    client.send(POST + b"x" * 1000)
    played.edge.until(lambda: played.edge.stats.get(FIRST, {}).get("in_flight") == 1, "the request on its way there")
    played.backends.append(Backend(played.system, "other"))
    played.edge.endpoints([(21, 1, SERVICE, played.backends[0].port, SERVES)])
    assert client.answer()[2] == b"POST /post/1"
    assert played.backends[0].lines("post") == [["1"]]
    played.edge.until(lambda: played.edge.outcome("success") == 1 and played.in_hand() == 0, "counted")


def test_a_request_that_no_connection_is_had_for_is_told_when_to_come_again(played, nobody):
    played.limit(connect=SHORT, hold=2 * SHORT)
    played.edge.endpoints([(*FIRST, SERVICE, nobody, SERVES)])
    status, fields, _ = played.client().request("GET", "/get/1")
    assert (status, fields["retry-after"]) == (503, "1")


def test_a_request_whose_body_stalls_is_told_so_and_the_instance_sees_its_end(played):
    played.limit(idle=SHORT)
    client, instance = played.asked(POST + b"x" * 10)
    assert instance.exactly(10) == b"x" * 10
    status, fields, _ = client.answer()
    assert (status, fields["connection"]) == (408, "close")
    assert client.connection.recv(1) == b""
    assert instance.connection.recv(1) == b""
    played.until_counted("refused")


def test_an_instance_that_does_not_take_a_body_is_the_one_that_is_slow(played):
    """The client has more to send, and is not blamed: 504, not 408."""
    played.limit(head=SHORT)
    client, _ = played.asked(b"POST /post/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
    send_until_it_ends(client.connection)
    assert client.answer()[0] == 504
    played.until_counted("timed_out")


@pytest.mark.parametrize("begun, left", [
    (b"Content-Length: 1000\r\n\r\nshort", b""), (b"Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n", b"\r\n"),
    (b"\r\nshort", None)], ids=["length", "chunked", "until-close"])
def test_an_answer_that_stalls_is_cut_and_nobody_takes_it_for_whole(played, begun, left):
    played.limit(idle=SHORT)
    client, instance = played.asked(GET)
    instance.send(b"HTTP/1.1 200 OK\r\n" + begun)
    client.until(b"short")
    if left is None:  # Where the end is all that says how long it is, only a reset tells.
        with pytest.raises(ConnectionResetError):
            client.more()
    else:
        with pytest.raises(ConnectionError):
            client.exactly(len(left) + 1)
        assert client.buffer == left
    assert instance.connection.recv(1) == b""
    played.until_counted("timed_out")


@pytest.mark.parametrize("how", ["reset", "cut", "edge and holder die"])
def test_an_answer_that_only_its_end_delimits_is_reset_where_it_is_not_whole(played, how):
    """Its instance resets the connection, the drain's time is over, or the kernel closes for the dead."""
    client, instance = played.asked(GET)
    instance.send(b"HTTP/1.1 200 OK\r\n\r\nshort")
    client.until(b"short")
    if how == "cut":
        played.edge.endpoints([(*FIRST, SERVICE, played.listener.getsockname()[1], OUT)])
        assert played.edge.cut(*FIRST) == 1
    elif how != "reset":
        kill_edge_and_holder(played)
    else:
        instance.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("<ii", 1, 0))
        instance.close()
    with pytest.raises(ConnectionResetError):
        client.more()
    played.until_counted(how if how == "cut" else "reset")


def test_a_client_that_does_not_take_its_answer_is_cut_and_the_instance_is_not_blamed(played):
    played.limit(stall=2 * SECOND)
    _, instance = played.asked(GET)
    instance.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    with pytest.raises(ConnectionError):
        send_until_it_ends(instance.connection)
        instance.more()
    played.until_counted("client_gone")


@pytest.mark.parametrize("said, outcome", [(SWITCHES, "informational"), (EVENTS, "timed_out")], ids=["tunnel", "events"])
def test_a_silent_tunnel_or_event_stream_outlives_the_ordinary_limit_and_ends_at_its_own(played, said, outcome):
    played.limit(idle=SHORT, tunnel=5 * SHORT)
    client, instance = played.asked(UPGRADE)
    silent_from = time.monotonic()
    instance.send(said)
    client.head()
    assert client.connection.recv(1) == b""
    # From the last byte to the end; between the two limits, and far from both.
    assert time.monotonic() - silent_from > 3 * SHORT / SECOND
    assert instance.connection.recv(1) == b""
    played.until_counted(outcome)


def test_a_client_that_keeps_its_end_open_after_the_last_answer_is_let_go(played):
    client, instance = played.asked(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    instance.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes")
    assert client.answer()[2] == b"yes"
    assert client.connection.recv(1) == b""

    def is_refused():
        try:
            client.send(b"x")
            return False
        except ConnectionError:
            return True
    until(is_refused, "the end of the connection")


@pytest.mark.full  # Ten seconds that no setting makes shorter.
def test_a_request_head_that_comes_slowly_is_cut_however_steadily_it_comes(played):
    """The first on its connection, one after another, and one whose first bytes came together with the request before."""
    slow = [(played.client(), time.monotonic())]
    slow[0][0].send(GET[:5])
    for more in (b"", GET[:5]):
        client, instance = played.asked(GET + more)
        instance.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nyes")
        slow.append((client, time.monotonic()))
        assert client.answer()[2] == b"yes"
        client.send(GET[len(more):5])
    while slow:
        ended, _, _ = select.select([client.connection for client, _ in slow], [], [], 0.5)
        for client, began in list(slow):
            assert time.monotonic() - began < 20, "still there"
            if client.connection in ended:
                with pytest.raises(ConnectionError):
                    client.more()
                assert time.monotonic() - began > 9, "cut too soon"
                slow.remove((client, began))
            else:
                client.send(b"a")
    assert LIMITS["idle"] > 20 * SECOND  # It was not that one.
