"""Clients that speak HTTP/1.0: they know no chunks, and their connection ends unless they ask for more."""
import socket
import struct

import pytest

from edge import OUT, SECOND, expected
from edge_stand import SERVICE, kill_edge, kill_edge_and_holder, stand  # pylint: disable=unused-import
from test_edge_limits import FIRST, SHORT, Taken, played  # pylint: disable=unused-import

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
OLD = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
BODY = b'3;x="\\"y"\r\nabc\r\n004 ; b\r\n0\r\n\r\r\n0;z\r\nT: 1\r\nHost: b\r\n\r\n'


def ask(client, method, target, more="", body=b""):
    client.send(f"{method} {target} HTTP/1.0\r\n{more}\r\n".encode() + body)
    return client.answer(method)


@pytest.mark.parametrize("kind", ["chunks", "odd"])
def test_an_answer_in_chunks_comes_as_its_data_alone(stand, kind):
    """An instance that streams sends chunks, some whatever is asked; what was done must not be answered 502."""
    for number in range(3):
        client = stand.client()
        status, fields, body = ask(client, "GET", f"/{kind}/{number}", "Connection: keep-alive\r\n")
        assert (status, fields["connection"]) == (200, "close")
        assert "transfer-encoding" not in fields and body == expected(number, 30000)
        stand.client().expect("GET", f"/get/{number}")
    client = stand.client()
    for _ in range(2):
        status, fields, body = client.request("GET", f"/{kind}/7")
        assert (status, fields["transfer-encoding"], body) == (200, "chunked", expected(7, 30000))
    edge = stand.edge
    edge.until(lambda: edge.outcome("success") == 8 and stand.in_hand() == 0, "counted")
    assert edge.broken == {}


def test_a_head_alone_is_one_whatever_it_says(stand):
    client = stand.client()
    for _ in range(2):
        status, fields, _ = ask(client, "HEAD", "/get/1", "Connection: keep-alive\r\n")
        assert (status, fields["connection"]) == (200, "keep-alive")


def test_a_head_that_speaks_of_chunks_has_none(played):
    client, instance = played.asked(OLD.replace(b"GET", b"HEAD"))
    instance.send(CHUNKED)
    assert client.head()[1]["connection"] == "keep-alive"
    client.send(OLD)
    assert instance.until(b"\r\n\r\n").startswith(b"GET / HTTP/1.1\r\n")  # On the same connection.
    instance.send(CHUNKED + BODY)
    assert client.answer()[2] == b"abc0\r\n\r"


@pytest.mark.parametrize("cut", range(0, len(BODY) + 1, 3))
def test_the_successor_goes_on_with_the_data_alone(played, cut):
    """Wherever the edge dies. The connection to the instance is not used again: where its answer ends says memory that
    an edge has left."""
    client, instance = played.asked(OLD)
    instance.send(CHUNKED + BODY[:cut])
    client.head()
    kill_edge(played)
    instance.send(BODY[cut:])
    assert client.exactly(7) == b"abc0\r\n\r"
    assert client.connection.recv(1) == b""
    played.client().send(OLD)
    assert Taken(played.listener).until(b"\r\n\r\n").startswith(b"GET / HTTP/1.1\r\n")


def test_an_instance_that_has_said_all_and_closes_is_heard_to_the_end(played):
    """More chunks than leave in one go: what is left then is not all that will ever come."""
    client, instance = played.asked(OLD)
    instance.send(CHUNKED + b"".join(b"1\r\n%c\r\n" % (97 + at % 26) for at in range(1000)) + b"0\r\n\r\n")
    instance.close()
    assert client.answer()[2] == expected(0, 1000)
    played.until_counted("success")


def test_a_slow_reader_gets_the_data_alone(stand):
    slow = stand.client()
    slow.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.send(b"GET /odd/9 HTTP/1.0\r\n\r\n")
    for number in range(2):
        stand.client().expect("GET", f"/get/{number}")
        kill_edge(stand)
    assert slow.answer()[2] == expected(9, 30_000)


@pytest.mark.parametrize("how", ["end", "reset", "time", "cut", "broken", "edge and holder die"])
@pytest.mark.parametrize("killed", [False, True], ids=["", "after a takeover"])
def test_what_is_cut_is_reset(played, how, killed):
    """An end would be taken for the body's."""
    played.limit(idle=SHORT if how == "time" else 60 * SECOND)
    client, instance = played.asked(OLD)
    instance.send(CHUNKED + b"5\r\nshort\r\n")
    client.until(b"short")
    if killed:
        kill_edge(played)
    if how == "reset":
        instance.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("<ii", 1, 0))
    if how in ("end", "reset"):
        instance.close()
    elif how == "broken":
        instance.send(b"no chunk")
    elif how == "cut":
        played.edge.endpoints([(*FIRST, SERVICE, played.listener.getsockname()[1], OUT)])
        assert played.edge.cut(*FIRST) == 1
    elif how != "time":
        kill_edge_and_holder(played)
    with pytest.raises(ConnectionResetError):
        client.more()
    played.until_counted({"cut": "cut", "time": "timed_out"}.get(how, "reset"))


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_that_is_to_stay_does(stand, method):
    client = stand.client()
    for number in range(6):
        body = b"x" * 10 if method == "POST" else b""
        more = "Connection: keep-alive\r\n" + (f"Content-Length: {len(body)}\r\n" if body else "")
        status, fields, text = ask(client, method, f"/post/{number}", more, body)
        assert (status, fields["connection"], text) == (200, "keep-alive", f"{method} /post/{number}".encode())
        stand.client().expect("POST", f"/post/1{number}", body=b"y")
        if number == 3:
            kill_edge(stand)
    status, fields, _ = ask(client, "GET", "/get/1")
    assert (status, fields["connection"]) == (200, "close")
    assert client.connection.recv(1) == b""
