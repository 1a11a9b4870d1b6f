"""Bytes that flow both ways: tunnels with half-close, early answers, and clients that do not read."""
import contextlib
import resource
import socket
from pathlib import Path

import pytest

from conftest import until
from edge import OUT, SECOND, SERVES, expected, odd_chunks
from edge_stand import SERVICE, kill_edge, stand  # pylint: disable=unused-import
from test_edge_limits import FIRST, GET, SWITCHES, UPGRADE, played  # pylint: disable=unused-import


def open_tunnel(stand, number=7):
    client = stand.client()
    client.send(f"GET /tunnel/{number} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n".encode())
    assert client.head()[0] == 101
    return client


@pytest.mark.parametrize("dies", ["never", "before", "after"])
def test_who_has_said_all_in_a_tunnel_still_hears_all(stand, dies):
    client = open_tunnel(stand)
    client.send(b"a" * 64 * 500)
    if dies == "before":
        kill_edge(stand)
    client.connection.shutdown(socket.SHUT_WR)
    if dies == "after":
        kill_edge(stand)
    assert client.exactly(64 * 500) == b"a" * 64 * 500
    assert client.exactly(64) == b"%063d\n" % 7
    assert client.connection.recv(1) == b""
    edge = stand.edge
    edge.until(lambda: edge.outcome("informational") == 1 and stand.in_hand() == 0, "its end")


def test_the_instance_may_end_its_half_first(stand):
    """The client goes on sending; it is the one that ends the tunnel."""
    client = stand.client()
    client.send(b"GET /half/ HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
    assert client.head()[0] == 101
    assert client.exactly(4) == b"done"
    assert client.connection.recv(1) == b""
    client.send(b"b" * 100_000)
    kill_edge(stand)
    client.send(b"b" * 100_000)
    client.connection.shutdown(socket.SHUT_WR)
    edge = stand.edge
    edge.until(lambda: edge.outcome("informational") == 1, "its end")
    assert stand.backends[0].lines("half") == [["200000"]]


@pytest.mark.parametrize("offer", ["echo, other", "other,ECHO", "h2c, echo"])
def test_an_instance_may_choose_among_the_protocols_that_are_offered(stand, offer):
    client = stand.client()
    client.send(f"GET /tunnel/7 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: {offer}\r\n\r\n".encode())
    status, fields = client.head()
    assert (status, fields.get("upgrade")) == (101, "echo")
    client.send(b"d" * 64)
    assert client.exactly(64) == b"d" * 64


def test_bytes_sent_with_the_request_for_a_tunnel_are_the_tunnels(stand):
    client = stand.client()
    client.send(b"GET /tunnel/ HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n" + b"c" * 64)
    assert client.head()[0] == 101
    assert client.exactly(64) == b"c" * 64


def test_an_answer_may_come_before_the_request_is_whole(stand):
    """It reaches the client, which is told that the connection ends."""
    client = stand.client()
    client.send(b"POST /early/ HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 10_000)
    status, fields, _ = client.answer()
    assert (status, fields["connection"]) == (413, "close")
    assert client.connection.recv(1) == b""
    stand.client().expect("GET", "/get/1")


def test_chunk_extensions_and_trailers_stay_behind(stand):
    """Both ways, on connections that are used again: a trailer that came through would be the next message's."""
    client = stand.client()
    for number in range(4):
        client.expect("POST", "/echo/", body=expected(number, 5000), chunked="odd")
        client.expect("GET", f"/odd/{number}")
        client.expect("GET", f"/get/{number}")


def test_a_slow_reader_gets_no_extension_either(stand):
    """What is left out waits until all before it is written."""
    slow = stand.client()
    slow.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    data = b"".join(odd_chunks(expected(5, 200_000)))
    slow.send(b"POST /echo/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + data[:-20])
    stand.client().expect("GET", "/get/1")
    kill_edge(stand)
    slow.send(data[-20:] + b"GET /odd/9 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert slow.answer()[2] == expected(5, 200_000)
    stand.client().expect("GET", "/get/1")
    kill_edge(stand)
    assert slow.answer()[2] == expected(9, 30_000)


RINGS = 4096  # Buffers that an edge has.
ODD = b'3;x="\\"y"\r\nabc\r\n004 ; b\r\n0\r\n\r\r\n0;z\r\nT: 1\r\nHost: b\r\n\r\n'


@pytest.mark.parametrize("cut", range(0, len(ODD), 3))
def test_a_body_with_extensions_is_continued_by_the_successor(stand, cut):
    """Wherever the edge dies, nothing of it is lost, and nothing becomes a part of the next request."""
    client = stand.client()
    client.send(b"POST /echo/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + ODD[:cut])
    stand.edge.until(lambda: stand.in_hand() == 1, "the request at the instance")
    kill_edge(stand)
    client.send(ODD[cut:] + b"GET /get/1 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.answer()[2] == b"abc0\r\n\r"
    assert client.answer()[2] == b"GET /get/1"
    edge = stand.edge
    edge.until(lambda: edge.outcome("success") == 2 and stand.in_hand() == 0, "both counted")
    assert edge.broken == {}


@pytest.mark.parametrize("chunks", [b"3;\r\nabc\r\n", b"3;a\r\nabcd\r\n", b"3;" + b"a" * 1025, b"0;a\r\nno colon\r\n"])
def test_a_chunked_body_that_is_broken_is_refused_and_nothing_leaks_into_the_next(stand, chunks):
    client = stand.client()
    client.send(b"POST /echo/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
    assert client.answer()[0] == 400
    stand.client().expect("POST", "/echo/", body=b"abc" * 1000, chunked=True)


def test_a_client_that_does_not_read_holds_back_only_itself(stand):
    """Back-pressure: the edge keeps a ring for it, not the whole answer."""
    slow = stand.client()
    slow.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
    slow.send(b"GET /stream/3 HTTP/1.1\r\nHost: a\r\n\r\n")
    for number in range(50):
        stand.client().expect("GET", f"/get/{number}")
    kill_edge(stand)
    status, _, body = slow.answer()
    assert (status, body) == (200, expected(3, 300_000))


@pytest.fixture
def many_descriptors(request):
    needed = 12_000 if request.node.get_closest_marker("full") else 6_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < needed:
        pytest.skip(f"this machine allows {hard} descriptors, {needed} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# More than there are buffers, and more than there are pairs of rooms for heads.
@pytest.mark.parametrize("many", [2100, pytest.param(4500, marks=pytest.mark.full)])
def test_thousands_of_quiet_tunnels_are_in_nobodys_way(many_descriptors, stand, many):  # pylint: disable=unused-argument
    """Both are counted: one that waits for nothing but its peer's next word must not keep any of the first, nor two of the second."""
    with contextlib.ExitStack() as until_closed:
        tunnels = []
        for number in range(many):
            tunnels.append(open_tunnel(stand, number))
            until_closed.callback(tunnels[-1].connection.close)
        for number in range(20):
            stand.client().expect("GET", f"/get/{number}")
        for _ in range(2):  # Also by the next edge.
            for tunnel in tunnels[::100]:
                tunnel.send(b"y" * 64)
                assert tunnel.exactly(64) == b"y" * 64
            kill_edge(stand)


def own_kilobytes(pid):
    """Of memory, without what is shared."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").split("\n")
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


def is_closed(connection):
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_half_sent_heads_that_would_take_all_buffers_go_first(many_descriptors, played):  # pylint: disable=unused-argument
    """What is under way goes on, and waiting for a buffer costs no more the longer it lasts."""
    played.limit(head=3 * SECOND)
    with contextlib.ExitStack() as until_closed:
        def keep(ends):
            for end in ends:
                until_closed.callback(end.close)
            return ends
        tunnels = [keep(played.asked(UPGRADE)) for _ in range(6)]
        for client, instance in tunnels:
            instance.send(SWITCHES)
            client.head()
        asked = [keep(played.asked(GET)) for _ in range(200)]
        slow = keep([played.client() for _ in range(RINGS + 100)])
        for client in slow:
            client.send(b"G")
        began = played.edge.pid
        until(lambda: any(is_closed(client.connection) for client in slow), "room made")
        at = (*FIRST, SERVICE, played.listener.getsockname()[1])
        for bits in (OUT, SERVES):  # And looked at: each worker says that it has turned.
            played.edge.endpoints([(*at, bits)])
        before = own_kilobytes(began)
        for _, instance in asked:  # A part of a head: for these alone some are left.
            instance.send(b"HTTP/1.1 ")
        for client, instance in tunnels:
            client.send(b"up")
            instance.send(b"down")
        assert [client.answer()[0] for client, _ in asked] == [504] * 200  # Three seconds later.
        assert own_kilobytes(began) - before < 4000
        for client in slow:
            client.close()
        for client, instance in tunnels:
            assert (client.exactly(4), instance.exactly(2)) == (b"down", b"up")
        played.edge.endpoints([(*at, OUT)])
        assert played.edge.pid == began
