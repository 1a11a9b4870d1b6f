"""What of one exchange may serve another: a connection to an instance, a body that is sent again, the room for a head. The
test is the instance, so that each byte comes just where it says."""
import fcntl
import resource
import select
import socket
import termios

import pytest

from conftest import until
from edge import OUT, SERVES
from edge_stand import LISTENER, SERVICE
from test_edge_limits import FIRST, GET, Taken, played  # pylint: disable=unused-import

HINT = b"HTTP/1.1 103 Early Hints\r\nLink: <" + b"a" * 2000 + b">\r\n\r\n"
YES = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes"
HEADS, SPARED = 8192, 64  # Rooms for heads that an edge has; of them each worker's for answers alone.


def put(size):
    return b"PUT /1 HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size


def fill(connection, piece):
    """Sends it again and again until nobody takes any more of it; how many bytes that were."""
    sent = 0
    connection.setblocking(False)
    while select.select([], [connection], [], 0.3)[1]:
        try:
            sent += connection.send(piece[sent % len(piece):])
        except BlockingIOError:
            pass
    connection.settimeout(20)
    return sent


def test_a_body_is_kept_until_its_answer_has_begun_whatever_was_said_in_between(played):
    """Hints to a client that does not read; then the instance goes, and another one gets the same body."""
    body = bytes(range(256)) * 40
    client, instance = played.asked(put(len(body)) + body)
    assert instance.exactly(len(body)) == body
    sent = fill(instance.connection, HINT)
    hints = sent // len(HINT) + 1
    for _ in range(hints // 2):
        assert client.head()[0] == 103
    instance.send(HINT[sent % len(HINT):])
    for _ in range(hints - hints // 2):
        assert client.head()[0] == 103
    instance.close()
    other = Taken(played.listener)
    other.until(b"\r\n\r\n")
    assert other.exactly(len(body)) == body
    other.send(YES)
    assert client.answer()[2] == b"yes"


def test_an_instance_that_answered_before_it_had_all_is_not_asked_again_on_that_connection(played):
    """It may take the rest for its next request."""
    client, instance = played.asked(put(len(GET)))
    instance.send(YES[:-1])
    client.until(b"ye")
    client.send(GET)
    assert instance.exactly(len(GET)) == GET
    instance.send(YES[-1:])
    assert client.exactly(1) == b"s"
    instance.connection.settimeout(5)
    assert instance.connection.recv(1) == b""


def test_a_connection_whose_end_came_with_the_answers_last_byte_is_not_kept(played):
    client, instance = played.asked(GET)
    instance.send(YES[:-1])
    client.until(b"ye")
    instance.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)  # Both in one segment.
    instance.send(YES[-1:])
    instance.connection.shutdown(socket.SHUT_WR)
    assert client.exactly(1) == b"s"
    instance.connection.settimeout(5)
    assert instance.connection.recv(1) == b""


def test_an_answer_that_its_end_delimits_is_whole_although_the_request_never_was(played):
    """All of it has come when the rest of the request is refused: by a reset, as the instance has closed."""
    client, instance = played.asked(put(100))
    instance.send(b"HTTP/1.1 200 OK\r\n\r\n")
    assert client.head()[0] == 200
    left = fill(instance.connection, b"x" * 65536)
    instance.connection.shutdown(socket.SHUT_WR)

    def is_there():
        """All of it, with its end, has reached the edge: it need not have read it."""
        nonlocal left
        if fcntl.ioctl(instance.connection, termios.TIOCOUTQ, b"\0" * 4) == b"\0" * 4:
            return True
        left -= len(client.exactly(65536))
        return False
    until(is_there, "all of the answer at the edge")
    instance.close()
    client.send(b"x" * 100)
    assert len(client.exactly(left)) == left
    assert client.connection.recv(1) == b""


@pytest.fixture
def crowded(played):
    """One more request than there is room for is asked; the instance has the first, and the rest wait."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 11_000:
        pytest.skip(f"this machine allows {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (11_000, hard))
    waiting = []
    try:
        played.limit(requests=2 * HEADS, bytes=2**31)
        played.first = played.asked(put(3) + b"abc")
        played.edge.endpoints([(*FIRST, SERVICE, played.listener.getsockname()[1], OUT)])
        for _ in range(HEADS + 800):
            waiting.append(played.client())
            waiting[-1].send(GET)
        played.edge.until(lambda: played.edge.header.get("held") == HEADS - 2 * SPARED - 1, "no room left")
        yield played
    finally:
        for other in waiting:
            other.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.full  # As many requests as there is room for.
def test_an_answer_finds_room_where_requests_have_taken_all_of_theirs(crowded):
    """Else they would wait for one another; and an answer that is not read could be taken for none, and asked for again."""
    client, instance = crowded.first
    instance.exactly(3)
    instance.send(YES)
    instance.close()
    assert client.answer()[2] == b"yes"
    crowded.edge.until(lambda: crowded.edge.outcome("success") == 1, "counted")
    assert crowded.edge.header["replayed_ever"] == 0


@pytest.mark.full  # As many requests as there is room for, and ten seconds that no setting makes shorter.
def test_a_request_that_finds_no_room_is_told_so_also_if_its_client_says_no_more(crowded):
    clients = [crowded.client() for _ in range(2)]
    for client in clients:
        client.send(GET)
    clients[1].connection.shutdown(socket.SHUT_WR)
    for client in clients:
        status, fields, _ = client.answer()
        assert (status, fields["retry-after"]) == (503, "1")
    crowded.edge.until(lambda: any("overloaded" in route for route in crowded.edge.routes.values()), "counted")
