"""An instance and the edge die, in this order and before the edge has looked: its successor finds a connection reset."""
import os
import signal

import pytest

from conftest import start_time, strike, until, wait_until_still
from edge import OUT, SERVES
from edge_stand import LISTENER, stand, three  # pylint: disable=unused-import


def only_the_first_serves(three):
    three.edge.endpoints([three.entry(1, OUT), three.entry(2, OUT)])


def kill_edge_that_has_not_seen(stand, happens):
    """What `happens` while the edge stands still is its successor's to find."""
    before = stand.edge.pid
    strike(stand.system, before, signal.SIGSTOP)
    wait_until_still(before)
    happens()
    strike(stand.system, before, signal.SIGKILL)
    until(lambda: start_time(before) is None, "the edge's death")
    stand.edge.connect()
    assert stand.edge.pid != before


def request_at_a_stopped_instance(three, client, request):
    """The instance has read nothing of it, so that its death is a reset."""
    instance = three.backends[0].process
    os.kill(instance.pid, signal.SIGSTOP)
    wait_until_still(instance.pid)
    client.send(request)
    three.edge.until(lambda: three.in_hand() == 1, "the request at the instance")
    three.edge.endpoints([three.entry(1, SERVES), three.entry(2, SERVES)])

    def die():
        instance.kill()
        instance.wait()
    return die


@pytest.mark.parametrize("connection", ["new", "from the pool"])
@pytest.mark.parametrize("request_bytes, answer", [
    (b"GET /get/7 HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /get/7"),
    (b"PUT /echo/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", b"hello")])
def test_what_may_be_sent_again_is_sent_elsewhere(three, connection, request_bytes, answer):
    only_the_first_serves(three)
    client = three.client()
    if connection == "from the pool":
        client.expect("GET", "/get/1")
    die = request_at_a_stopped_instance(three, client, request_bytes)
    kill_edge_that_has_not_seen(three, die)
    assert client.answer()[::2] == (200, answer)
    client.expect("GET", "/get/2")
    assert three.edge.broken == {}


@pytest.mark.parametrize("connection", ["new", "from the pool"])
@pytest.mark.parametrize("body", [b"hello", b"he"])
def test_what_may_not_be_sent_again_is_answered_and_listed(three, connection, body):
    only_the_first_serves(three)
    client = three.client()
    if connection == "from the pool":
        client.expect("GET", "/get/1")
    die = request_at_a_stopped_instance(
        three, client, b"POST /post/7 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n" + body)
    kill_edge_that_has_not_seen(three, die)
    assert client.answer()[0] == 502
    edge = three.edge
    edge.until(lambda: edge.broken, "the broken one")
    assert [entry[:5] for entry in edge.broken.values()] == [(20, 1, "reset", LISTENER, "POST /post/7")]
    assert [line for backend in three.backends[1:] for line in backend.lines("post")] == []


def test_what_went_out_without_its_extensions_is_not_sent_again(three):
    """Where it begins in what the client sent is known no more."""
    only_the_first_serves(three)
    client = three.client()
    head = b"PUT /echo/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    die = request_at_a_stopped_instance(three, client, head + b"3;x\r\nabc\r\n")
    kill_edge_that_has_not_seen(three, die)
    assert client.answer()[0] == 502
    three.edge.until(lambda: three.edge.broken, "the broken one")
    assert three.edge.header["replayed_ever"] == 0


def test_an_answer_that_came_before_the_reset_is_the_answer(stand):
    """Of a POST, too: it is in the kernel, and nobody has read of it."""
    client = stand.client()
    client.send(b"POST /last/0.3 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    stand.edge.until(lambda: stand.in_hand() == 1, "the request at the instance")
    backend = stand.backends[0]
    kill_edge_that_has_not_seen(stand, lambda: until(lambda: backend.lines("said") == [["1"]], "its answer"))
    assert client.answer()[::2] == (200, b"yes")
    client.expect("GET", "/get/2")
