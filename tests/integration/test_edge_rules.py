"""Who was refused by which rule, and what a service may want instead: rules that only report, and its own list of upgrades."""
import pytest

from edge import NO_SERVICE, REPORTS_RULES
from edge_stand import LISTENER, SERVICE, kill_edge
from test_edge_answers import YES
from test_edge_limits import GET, Taken, played  # pylint: disable=unused-import

TWO_LENGTHS = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"
CHUNKS = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
UPGRADE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n"


def refuse(played, request):
    """The status, and the rule that the answer names."""
    client = played.client()
    client.send(request)
    status, _, body = client.answer()
    assert client.connection.recv(1) == b""
    return status, body.partition(b":")[0].decode()


def count(played, kind, service, rule, number):
    """So many are told of in the end, and not one more."""
    at = (kind, LISTENER, service, rule)
    played.edge.until(lambda: played.edge.refusals.get(at, 0) >= number, at)
    assert played.edge.refusals[at] == number


def test_each_refusal_counts_by_its_rule_and_route_and_outlives_the_edge(played):
    for _ in range(2):
        assert refuse(played, TWO_LENGTHS) == (400, "H1-CL-DUP")
    client, instance = played.asked(GET)
    instance.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nyes")
    assert client.answer()[::2] == (502, b"H1-CL-DUP")
    client, instance = played.asked(CHUNKS)
    client.send(b"x\r\n")
    assert client.answer()[::2] == (400, b"H1-CHUNK-SIZE")
    played.limit(body=3)
    assert refuse(played, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello") == (413, "EDGE-BODY-LARGE")
    for _ in range(2):
        count(played, "request", NO_SERVICE, "H1-CL-DUP", 2)
        count(played, "answer", SERVICE, "H1-CL-DUP", 1)
        count(played, "request", SERVICE, "H1-CHUNK-SIZE", 1)
        count(played, "request", NO_SERVICE, "EDGE-BODY-LARGE", 1)
        assert len(played.edge.refusals) == 4
        kill_edge(played)
    assert refuse(played, TWO_LENGTHS) == (400, "H1-CL-DUP")
    count(played, "request", NO_SERVICE, "H1-CL-DUP", 3)


def test_a_service_may_want_to_be_told_instead(played):
    """What is bent leaves in one form; what two may read differently is refused all the same; nothing is bent for others."""
    odd = b"GET /a?b c#d HTTP/1.1\r\nHost: a\r\nX-A : b\r\nX-B: \x01c\r\n\r\n"
    assert refuse(played, odd)[0] == 400
    played.activate([(LISTENER, SERVICE)], flags=REPORTS_RULES)
    client = played.client()
    for at in range(0, len(odd), 7):  # However it comes.
        client.send(odd[at:at + 7])
    instance = Taken(played.listener)
    head = instance.until(b"\r\n\r\n")
    assert head.startswith(b"GET /a?b%20c HTTP/1.1\r\n") and b"\r\nX-A: b\r\n" in head and b"\r\nX-B: c\r\n" in head
    instance.send(YES)
    assert client.answer()[2] == b"yes"
    for rule in ("H1-LINE-SPACE", "H1-TARGET-BYTE", "H1-NAME-SPACE", "H1-CTL"):
        count(played, "reported", SERVICE, rule, 1)
    assert refuse(played, TWO_LENGTHS) == (400, "H1-CL-DUP")
    assert refuse(played, odd.replace(b"X-A", b"Content-Length")) == (400, "H1-NAME-SPACE")


def test_a_coding_is_passed_on_with_what_was_coded(played):
    """Its framing is ours, its bytes are the client's, and whoever reads them is told what was done to them."""
    played.activate([(LISTENER, SERVICE)], flags=REPORTS_RULES)
    client, instance = played.client(), None
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    instance = Taken(played.listener)
    head = instance.until(b"\r\n\r\n")
    assert head.count(b"Transfer-Encoding") == 1 and b"\r\nTransfer-Encoding: chunked\r\n" in head
    assert b"\r\nContent-Encoding: gzip\r\n" in head
    assert instance.until(b"0\r\n\r\n") == b"3\r\nabc\r\n"
    instance.send(YES)
    assert client.answer()[2] == b"yes"


@pytest.mark.parametrize("asked, passed", [(b"echo", b"echo"), (b"lines", None), (b"h2c", None), (b"lines, Echo", b"Echo")])
def test_only_listed_protocols_are_asked_for(played, asked, passed):
    """A server may go on without an upgrade (RFC 9110 section 7.8), and so do we."""
    played.activate([(LISTENER, SERVICE)], flags=0, upgrades="websocket, echo")
    client = played.client()
    client.send(UPGRADE % asked)
    instance = Taken(played.listener)
    head = instance.until(b"\r\n\r\n")
    if passed is None:
        assert b"pgrade" not in head
        instance.send(YES)
        assert client.answer()[2] == b"yes"
        return
    assert b"\r\nUpgrade: %s\r\n" % passed in head
    instance.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nhello")
    assert client.head()[0] == 101 and client.exactly(5) == b"hello"
