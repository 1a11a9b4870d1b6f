"""Bytes that flow both ways: tunnels with half-close, early answers, and clients that do not read."""
import socket

import pytest

from edge import expected
from edge_stand import kill_edge, stand  # pylint: disable=unused-import



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


def test_a_chunked_body_with_extensions_is_refused_and_nothing_leaks_into_the_next(stand):
    client = stand.client()
    client.send(b"POST /echo/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n\r\n")
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
