"""Long-lived connections of an instance that leaves: each is ended at a moment of its own, in a way that its client knows, and
who does not end by that is cut. The test is the instance, so that it stands just where the test says."""
import contextlib
import select
import socket
import time

import pytest

from conftest import until
from edge import OUT, SERVES
from edge_stand import LISTENER, SERVICE, Stand, kill_edge
from test_edge_limits import EVENTS, FIRST, GET, SWITCHES, UPGRADE, played  # pylint: disable=unused-import

WEBSOCKET = UPGRADE.replace(b"echo", b"websocket")
AGREED = SWITCHES.replace(b"echo", b"WebSocket")
GOING_AWAY = b"\x88\x0c\x03\xe9going away"
GOING_AWAY_MASKED = b"\x88\x8c\0\0\0\0\x03\xe9going away"
AT_ONCE = 0


def frame(payload, opcode=2, mask=False):
    """With a mask of zeros, where one is wanted."""
    bit, size = 0x80 if mask else 0, len(payload)
    length = bytes([bit | size]) if size < 126 else bytes([bit | 126]) + size.to_bytes(2, "big") if size < 2**16 \
        else bytes([bit | 127]) + size.to_bytes(8, "big")
    return bytes([0x80 | opcode]) + length + (b"\0\0\0\0" if mask else b"") + payload


ANSWER = frame(b"\x03\xe9", 8, mask=True)


def opened(played, asks=WEBSOCKET, answers=AGREED):
    client, instance = played.asked(asks)
    instance.send(answers)
    assert client.head()[0] == int(answers.split(b" ")[1])
    return client, instance


def leaves(played, within_s=AT_ONCE):
    """It takes no more, and what lasts is to end."""
    played.edge.endpoints([(*FIRST, SERVICE, played.listener.getsockname()[1], OUT)])
    played.edge.drain(*FIRST, within_s)


def ended(peer):
    """All that it still hears, until the end."""
    while data := peer.connection.recv(65536):
        peer.buffer += data
    return peer.buffer


def is_silent(peer, seconds):
    return not peer.buffer and not select.select([peer.connection], [], [], seconds)[0]


def until_told(played, wanted, cut=0):
    played.edge.until(lambda: (lambda stats: stats.get("ended") == wanted and stats.get("cut") == cut and
                               stats.get("in_flight") == 0)(played.edge.stats.get(FIRST, {})),
                      f"{wanted} ended, {cut} cut")


@pytest.mark.parametrize("dies", ["never", "before", "between", "after"])
def test_a_websocket_is_closed_between_two_frames_and_what_its_client_said_before_its_answer_arrives(played, dies):
    client, instance = opened(played)
    client.send(frame(b"one", mask=True))
    assert instance.exactly(9) == frame(b"one", mask=True)
    whole = frame(b"x" * 70_000)
    instance.send(whole[:12])
    assert client.exactly(12) == whole[:12]
    if dies == "before":
        kill_edge(played)
    leaves(played)
    assert is_silent(client, 0.4), "in the midst of a frame nobody is told anything"
    if dies == "between":
        kill_edge(played)
        played.edge.drain(*FIRST, AT_ONCE)
    instance.send(whole[12:] + frame(b"never heard")[:5])
    assert client.exactly(len(whole) - 12) == whole[12:]
    assert client.exactly(len(GOING_AWAY)) == GOING_AWAY
    if dies == "after":
        kill_edge(played)
        played.edge.drain(*FIRST, AT_ONCE)
    client.send(frame(b"two", mask=True) + ANSWER)
    assert instance.exactly(9 + len(ANSWER)) == frame(b"two", mask=True) + ANSWER
    instance.send(frame(b"never heard")[5:] + frame(b"\x03\xe9", 8))
    instance.close()
    assert ended(client) == b""
    client.close()
    until_told(played, 1)
    assert played.edge.outcome("informational") == 1 and played.edge.broken == {}


def test_a_frame_has_not_begun_before_its_header_is_whole(played):
    """Byte by byte it comes whole; and where the rest of a header is missing, its client is told before it."""
    client, instance = opened(played)
    sent = frame(b"y" * 300)
    for at in range(len(sent)):
        instance.send(sent[at:at + 1])
    instance.send(sent[:3])
    assert client.exactly(len(sent)) == sent
    leaves(played)
    assert client.exactly(len(GOING_AWAY)) == GOING_AWAY
    instance.send(sent[3:])
    client.send(ANSWER)
    assert instance.exactly(len(ANSWER)) == ANSWER
    assert ended(client) == b""


def test_who_does_not_answer_stays_until_it_is_cut_and_the_instance_is_told_at_a_border(played):
    client, instance = opened(played)
    sent = frame(b"z" * 100, mask=True)
    client.send(sent[:50])
    assert instance.exactly(50) == sent[:50]
    leaves(played)
    assert client.exactly(len(GOING_AWAY)) == GOING_AWAY
    assert ended(client) == b"", "no more comes: it was told so"
    assert is_silent(instance, 0.4)
    client.send(sent[50:] + frame(b"too late", mask=True))
    assert ended(instance) == sent[50:] + GOING_AWAY_MASKED
    assert played.in_hand() == 1
    assert played.edge.cut(*FIRST) == 1
    until_told(played, 0, cut=1)


def test_who_has_closed_by_itself_is_not_told_again(played):
    client, instance = opened(played)
    client.send(ANSWER)
    assert instance.exactly(len(ANSWER)) == ANSWER
    instance.send(ANSWER[:1] + b"\x02\x03\xe9")
    assert client.exactly(4) == ANSWER[:1] + b"\x02\x03\xe9"
    leaves(played)
    assert ended(client) == b"" == ended(instance)
    client.close()
    instance.close()
    until_told(played, 1)


def test_another_protocol_under_that_name_passes_byte_by_byte(played):
    client, instance = opened(played)
    for text in (b"h", b"ello", b"\x82", b"\x7e", b"A", b"B"):
        instance.send(text)
        assert client.exactly(len(text)) == text
        client.send(text)
        assert instance.exactly(len(text)) == text
    leaves(played)
    assert ended(client) == b"" == ended(instance)


def test_a_tunnel_of_another_protocol_hears_that_no_more_comes(played):
    client, instance = opened(played, UPGRADE, SWITCHES)
    client.send(b"question")
    assert instance.exactly(8) == b"question"
    leaves(played)
    assert ended(client) == b"" == ended(instance)
    assert played.in_hand() == 1
    client.close()
    instance.close()
    until_told(played, 1)


def chunk(text):
    return b"%x\r\n%s\r\n" % (len(text), text)


def heard(client):
    """A chunked answer, to its end."""
    body = b""
    while size := int(client.until(b"\r\n"), 16):
        body += client.exactly(size)
        client.until(b"\r\n")
    client.until(b"\r\n")
    return body


@pytest.mark.parametrize("dies", ["never", "after"])
@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_a_stream_of_events_ends_after_an_event_and_its_client_asks_again_on_the_same_connection(played, end, dies):
    client, instance = opened(played, GET, EVENTS)
    instance.send(chunk(b"data: 1" + end + end) + b"20\r\ndata: ")
    begun = chunk(b"data: 1" + end + end) + b"20\r\ndata: "
    assert client.exactly(len(begun)) == begun
    leaves(played)
    time_of_leaving = time.monotonic()
    assert is_silent(client, 0.5), "in the midst of an event, and of a chunk"
    if dies == "after":
        kill_edge(played)
        played.edge.drain(*FIRST, AT_ONCE)
        assert is_silent(client, 0.5), "its moment has come while the chunk is open"
    rest = b"b" * (0x20 - 6 - 2 * len(end)) + 2 * end
    instance.send(rest + b"\r\n")
    assert client.exactly(len(rest) + 2) == rest + b"\r\n"
    assert client.exactly(5) == b"0\r\n\r\n"
    assert time.monotonic() - time_of_leaving < 5
    until_told(played, 1)
    instance.close()
    # The successor has another listener: the same connection goes there.
    with socket.create_server(("127.0.0.1", 0)) as successor:
        played.edge.endpoints([(21, 1, SERVICE, successor.getsockname()[1], SERVES)])
        client.send(GET)
        answers, _ = successor.accept()
        assert answers.recv(10).startswith(b"GET /")
        answers.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nv2")
        assert client.answer()[2] == b"v2"
        answers.close()


@pytest.mark.parametrize("head", [EVENTS, EVENTS.replace(b"Transfer-Encoding: chunked\r\n", b"")],
                         ids=["chunked", "until_close"])
def test_a_stream_in_which_nothing_happens_is_ended_too(played, head):
    client, instance = opened(played, GET, head)
    is_chunked = b"chunked" in head
    instance.send(chunk(b"data: 1\n\n") if is_chunked else b"data: 1\n\n")
    leaves(played)
    if is_chunked:
        assert heard(client) == b"data: 1\n\n"
    else:
        assert ended(client) == b"data: 1\n\n"
    until_told(played, 1)
    instance.close()


def test_a_stream_that_never_comes_between_two_chunks_is_cut(played):
    client, instance = opened(played, GET, EVENTS)
    instance.send(b"1000\r\ndata: 1\n\n")
    leaves(played)
    assert client.until(b"data: 1\n\n") == b"1000\r\n"
    assert is_silent(client, 0.5)
    assert played.edge.cut(*FIRST) == 1
    with contextlib.suppress(ConnectionResetError):
        assert client.connection.recv(10) == b"", "and no last chunk"
    until_told(played, 0, cut=1)


def test_an_answer_that_ends_by_itself_is_left_alone(played):
    client, instance = played.asked(GET)
    instance.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"a\n\n"))
    leaves(played)
    assert client.head()[0] == 200
    assert client.exactly(len(chunk(b"a\n\n"))) == chunk(b"a\n\n")
    assert is_silent(client, 0.6)
    instance.send(chunk(b"b") + b"0\r\n\r\n")
    assert heard(client) == b"b"
    until_told(played, 0)


MANY, WITHIN_S = 80, 5


def test_who_is_told_is_told_at_a_moment_of_its_own(played):
    """None at once and none after the time; no tenth of it holds many of them."""
    pairs = [opened(played) for _ in range(MANY)]
    began = time.monotonic()
    leaves(played, WITHIN_S)
    waiting, moments = {client.connection: client for client, _ in pairs}, []
    while waiting:
        ready = select.select(list(waiting), [], [], WITHIN_S)[0]
        assert ready, f"{len(waiting)} were not told"
        for connection in ready:
            client = waiting.pop(connection)
            moments.append(time.monotonic() - began)
            assert client.exactly(len(GOING_AWAY)) == GOING_AWAY
            client.send(ANSWER)
            client.connection.shutdown(socket.SHUT_WR)
    for _, instance in pairs:
        assert instance.exactly(len(ANSWER)) == ANSWER
        instance.close()
    until_told(played, MANY)
    tenths = [sum(int(moment / WITHIN_S * 10) == tenth for moment in moments) for tenth in range(10)]
    assert max(moments) < WITHIN_S, moments
    # Spread evenly over 4 of the 5 s, the fullest half second has 10 of 80 on average.
    assert max(tenths) <= MANY * 3 // 10 and sum(count > 0 for count in tenths) >= 6, tenths


@pytest.fixture
def two_ports():
    made = Stand(1)
    made.other = made.keeper.ensure_listener(LISTENER + 1)
    made.activate([(LISTENER, SERVICE), (LISTENER + 1, SERVICE)])
    yield made
    made.close()


def test_an_idle_client_of_a_port_that_is_served_no_more_may_ask_once_more(two_ports):
    asks, rests = two_ports.client(), two_ports.client()
    for client in (asks, rests):
        client.expect("GET", "/get/1")
    began = time.monotonic()
    two_ports.activate([(LISTENER + 1, SERVICE)])
    assert is_silent(asks, 0.5), "not closed at once"
    asks.send(b"GET /get/2 HTTP/1.1\r\nHost: a\r\n\r\n")
    status, fields, _ = asks.answer()
    assert (status, fields["connection"]) == (503, "close")
    assert asks.connection.recv(1) == b""
    assert rests.connection.recv(1) == b"", "an end, and no reset"
    assert 1.9 < time.monotonic() - began < 5
    # Also who speaks just now is not answered by a reset.
    rests.send(b"GET /get/3 HTTP/1.1\r\nHost: a\r\n\r\n")
    until(lambda: not select.select([rests.connection], [], [], 0)[0] or rests.connection.recv(1) == b"", "no reset")
