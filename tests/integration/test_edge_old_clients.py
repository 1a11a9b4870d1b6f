"""Clients that speak HTTP/1.0: they know no chunks, and their connection ends unless they ask for more."""
import pytest

from edge import expected
from edge_stand import kill_edge, stand  # pylint: disable=unused-import


def ask(client, method, target, more="", body=b""):
    client.send(f"{method} {target} HTTP/1.0\r\n{more}\r\n".encode() + body)
    return client.answer(method)


def test_an_answer_of_unknown_length_comes_without_chunks(stand):
    """An instance that streams sends chunks to whoever says that he can read them."""
    for number in range(3):
        client = stand.client()
        status, fields, body = ask(client, "GET", f"/pieces/{number}", "Connection: keep-alive\r\n")
        assert (status, fields["connection"]) == (200, "close")
        assert "transfer-encoding" not in fields and body == expected(number, 30000)
        stand.client().expect("GET", f"/get/{number}")
    client = stand.client()
    for _ in range(2):
        status, fields, body = client.request("GET", "/pieces/7")
        assert (status, fields["transfer-encoding"], body) == (200, "chunked", expected(7, 30000))


def test_chunks_that_come_all_the_same_are_no_answer(stand):
    status, fields, body = ask(stand.client(), "GET", "/chunks/1", "Connection: keep-alive\r\n")
    assert (status, fields["connection"], body) == (502, "close", b"H1-TE-10")
    assert ask(stand.client(), "HEAD", "/pieces/1")[0] == 200
    edge = stand.edge
    edge.until(lambda: edge.outcome("reset") == 1 and edge.outcome("success") == 1 and stand.in_hand() == 0, "counted")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_that_is_to_stay_does(stand, method):
    """The one to the instance does not: whether it would is not said in a way that all servers mean."""
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
