"""What an instance says that is not one answer to what it was asked: it reaches nobody, its connection is not used again, and the
next client is served. The test is the instance."""
import socket
import struct

import pytest

from test_edge_limits import GET, Taken, played  # pylint: disable=unused-import

YES = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes"
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"


def is_over(instance):
    """The edge has closed it, whatever it was still told."""
    instance.connection.settimeout(5)
    try:
        return instance.connection.recv(1) == b""
    except ConnectionResetError:
        return True


def expect_unharmed(played):
    """Another client's request comes on another connection, and gets its own answer."""
    client, instance = played.asked(GET)
    instance.send(YES)
    assert client.answer()[2] == b"yes"
    instance.close()
    client.close()


def kept(played):
    """A client and an idle connection that has served two of its requests, so that it is one that is kept."""
    client, instance = played.asked(GET)
    instance.send(YES)
    assert client.answer()[2] == b"yes"
    client.send(GET)
    instance.until(b"\r\n\r\n")
    instance.send(YES)
    assert client.answer()[2] == b"yes"
    return client, instance


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


MORE = (EVIL, b"\r\n", b"x", EVIL[:20], b"\0")


def test_what_comes_with_an_answer_is_no_answer_to_the_next_request(played):
    for more in MORE:
        client, instance = played.asked(GET)
        instance.send(YES + more)
        assert client.answer()[2] == b"yes"
        assert is_over(instance), more
        client.send(GET)
        other = Taken(played.listener)
        other.until(b"\r\n\r\n")
        other.send(YES)
        assert client.answer()[2] == b"yes"
        other.close()
        expect_unharmed(played)


@pytest.mark.parametrize("more", [EVIL, b"\r\n"])
def test_who_speaks_unasked_on_an_idle_connection_is_not_asked_again(played, more):
    client, instance = kept(played)
    instance.send(more)
    assert is_over(instance)
    client.send(GET)
    other = Taken(played.listener)
    other.until(b"\r\n\r\n")
    other.send(YES)
    assert client.answer()[2] == b"yes"
    other.close()
    expect_unharmed(played)


@pytest.mark.parametrize("request_text", [GET, POST])
def test_what_was_said_unasked_just_before_a_request_is_no_answer_to_it(played, request_text):
    client, instance = kept(played)
    instance.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # At once, so that it comes before.
    instance.send(EVIL)
    client.send(request_text)
    other = Taken(played.listener)
    other.until(b"\r\n\r\n")
    other.send(YES)
    assert client.answer()[2] == b"yes"
    assert is_over(instance)


BROKEN = [
    ("H1-TE-CL", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\n\r\n"),
    ("H1-CL-DUP", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nyes"),
    ("H1-CL", b"HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nyes"),
    ("H1-CL", b"HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nyes"),
    ("H1-TE-DUP", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("H1-TE-CODING", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("H1-TE-10", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("H1-101", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n"),
    ("H1-205-BODY", b"HTTP/1.1 205 OK\r\nContent-Length: 3\r\n\r\nyes"),
    ("H1-STATUS-LINE", b"\r\n" + YES),
    ("H1-STATUS", b"HTTP/1.1 999 OK\r\nContent-Length: 3\r\n\r\nyes"),
    ("H1-VERSION", b"HTTQ/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes"),
    ("H1-LF", b"HTTP/1.1 200 OK\nContent-Length: 3\n\nyes"),
    ("H1-CR", b"HTTP/1.1 200 OK\rContent-Length: 3\r\n\r\nyes"),
    ("H1-CTL", b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 3\r\n\r\nyes"),
    ("H1-FOLD", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n 0\r\n\r\nyes"),
    ("H1-NAME-SPACE", b"HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\nyes"),
    ("H1-NAME-TWIN", b"HTTP/1.1 200 OK\r\nContent_Length: 3\r\n\r\nyes"),
    ("H1-COLON", b"HTTP/1.1 200 OK\r\nyes\r\n\r\n"),
    ("H1-CHUNK-SIZE", CHUNKED + b"x\r\nyes\r\n0\r\n\r\n"),
    ("H1-CHUNK-RANGE", CHUNKED + b"ffffffffffffffff\r\nyes\r\n"),
    ("H1-CHUNK-CRLF", CHUNKED + b"3\nyes\r\n0\r\n\r\n"),
    ("H1-CHUNK-EXT", CHUNKED + b"3;;\r\nyes\r\n0\r\n\r\n"),
]


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_an_answer_that_breaks_a_rule_is_a_502_that_names_it(played, version):
    """And not with a byte of it. Nobody is asked again: what was asked has been done."""
    for rule, said in BROKEN:
        client, instance = played.asked(GET.replace(b"1.1", version.encode()))
        instance.send(said)
        status, fields, body = client.answer()
        assert (status, fields["connection"], body.decode()) == (502, "close", rule)
        assert client.connection.recv(1) == b""
        assert is_over(instance), rule
    expect_unharmed(played)


@pytest.mark.parametrize("version, end", [(b"1.1", ConnectionError), (b"1.0", ConnectionResetError)])
@pytest.mark.parametrize("bad", [b"x\r\n", b"3\r\nyesno", b"3\nyes\r\n", b"0\r\nno colon\r\n\r\n"])
def test_a_chunk_that_is_broken_behind_others_cuts_the_answer_off(played, bad, version, end):
    """So that nobody takes it for whole: without a last chunk, or by a reset where an end would look whole."""
    client, instance = played.asked(GET.replace(b"1.1", version))
    instance.send(CHUNKED + b"3\r\nyes\r\n")
    assert client.head()[0] == 200
    client.until(b"yes")
    instance.send(bad + b"0\r\n\r\n" + EVIL)
    with pytest.raises(end):
        while True:
            client.more()
    assert b"0\r\n" not in client.buffer and b"evil" not in client.buffer
    assert is_over(instance)
    expect_unharmed(played)


@pytest.mark.parametrize("end", [reset, socket.socket.close])
def test_half_a_head_and_an_end_is_no_answer(played, end):
    """No byte of it was passed on: what is safe is asked again, the rest is answered 502."""
    for half in (b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r"):
        client, instance = played.asked(GET)
        instance.send(half)
        end(instance.connection)
        other = Taken(played.listener)
        other.until(b"\r\n\r\n")
        other.send(YES)
        assert client.answer()[2] == b"yes"
        other.close()
        client, instance = played.asked(POST)
        instance.exactly(3)
        instance.send(half)
        end(instance.connection)
        assert client.answer()[0] == 502
        assert client.connection.recv(1) == b""
    expect_unharmed(played)


def test_a_final_answer_before_the_body_ends_both_connections(played):
    """The rest of the body would be a request: to the instance, and to us."""
    client, instance = played.asked(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(GET))
    instance.send(YES)
    status, fields, body = client.answer()
    assert (status, fields["connection"], body) == (200, "close", b"yes")
    client.send(GET)
    assert client.connection.recv(1) == b""
    instance.connection.settimeout(5)
    try:
        instance.buffer = b""
        while True:
            instance.more()
            assert GET.startswith(instance.buffer)  # At most its body, and never another request behind it.
    except ConnectionError:
        pass
    expect_unharmed(played)
