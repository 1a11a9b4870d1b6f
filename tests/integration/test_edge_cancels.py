"""A client that goes while it waits: its request ends at the instance, too. One that only says no more still gets its answer."""
import os
import socket
import subprocess
import sys
import time

import pytest

from edge import OUT, SERVES
from edge_stand import LISTENER, SERVICE, kill_edge, stand  # pylint: disable=unused-import
from test_edge_answers import YES, is_over
from test_edge_limits import FIRST, GET, Taken, played  # pylint: disable=unused-import

POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"


@pytest.mark.parametrize("request_text", [GET, POST], ids=["get", "post"])
def test_a_client_that_closes_cancels_its_request(played, request_text):
    """Within 50 ms its instance is let go of; it counts as the client's doing, and its place is free."""
    client, instance = played.asked(request_text)
    began = time.monotonic()
    client.close()
    assert is_over(instance)
    took_s = time.monotonic() - began
    print(f"cancelled after {took_s * 1000:.1f} ms")
    assert took_s < 0.05
    played.until_counted("client_gone")
    assert sum(played.edge.outcome(name) for name in ("reset", "timed_out", "connect_failed", "server_error")) == 0


def test_what_was_sent_and_let_go_of_at_once_still_comes_to_an_instance(played):
    client = played.client()
    client.send(POST)
    client.close()
    instance = Taken(played.listener)
    instance.until(b"\r\n\r\n")
    assert instance.exactly(3) == b"abc" and is_over(instance)


def test_a_client_that_only_says_no_more_gets_its_answer(played):
    """And nothing before it: whoever reads a status line finds that of the answer."""
    client, instance = played.asked(GET)
    client.connection.shutdown(socket.SHUT_WR)
    instance.connection.settimeout(1.5)
    with pytest.raises(TimeoutError):
        instance.connection.recv(1)
    instance.send(YES)
    assert client.answer()[2] == b"yes"


def test_one_that_says_no_more_and_then_closes_cancels_its_request(played):
    client, instance = played.asked(GET)
    client.connection.shutdown(socket.SHUT_WR)
    instance.connection.settimeout(0.3)
    with pytest.raises(TimeoutError):
        instance.connection.recv(1)
    client.close()
    assert is_over(instance)
    played.until_counted("client_gone")


def test_a_client_that_closes_while_it_waits_for_an_instance_frees_its_place(stand):
    stand.activate([(LISTENER, SERVICE)], requests=1)
    stand.edge.endpoints([stand.entry(0, OUT)])
    gone = stand.client()
    gone.send(b"GET /get/1 HTTP/1.1\r\nHost: a\r\n\r\n")
    stand.edge.until(lambda: stand.edge.header.get("held") == 1, "it waits")
    gone.close()
    stand.edge.until(lambda: stand.edge.header["held"] == 0, "its place is free", 2)
    late = stand.client()
    late.send(b"GET /get/2 HTTP/1.1\r\nHost: a\r\n\r\n")
    stand.edge.until(lambda: stand.edge.header["held"] == 1, "the next one waits")
    stand.edge.endpoints([stand.entry(0, SERVES)])
    assert late.answer()[0] == 200
    assert FIRST not in stand.edge.stats or stand.edge.stats[FIRST].get("reset", 0) == 0


# Asks at once, ends its side when told so, and says what it then got; or closes.
ELSEWHERE = """
import socket, sys
link = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20)
link.sendall(b"GET / HTTP/" + sys.argv[3].encode() + b"\\r\\nHost: a\\r\\n\\r\\n")
sys.stdin.readline()
if sys.argv[4] == "close":
    link.close()
else:
    link.shutdown(socket.SHUT_WR)
    got = b""
    while b"yes" not in got and (more := link.recv(65536)):
        got += more
    sys.stdout.write(got.decode())
sys.stdin.readline()
"""
ANYWHERE = 61


class Elsewhere:
    """A machine of its own, as far as the kernel is concerned."""

    def __init__(self):
        self.name, self.clients = f"thole{os.getpid()}", []
        # Of those for documentation; two such tests at one time have their own.
        here, there = (f"198.51.100.{os.getpid() % 64 * 4 + last}" for last in (1, 2))
        self.here = here
        ip = ["ip", "-n", self.name]
        for words in (["ip", "netns", "add", self.name],
                      ["ip", "link", "add", self.name, "type", "veth", "peer", "name", "there", "netns", self.name],
                      ["ip", "address", "add", f"{here}/30", "dev", self.name], ["ip", "link", "set", self.name, "up"],
                      [*ip, "address", "add", f"{there}/30", "dev", "there"], [*ip, "link", "set", "there", "up"]):
            subprocess.run(words, check=True, capture_output=True, timeout=20)

    def client(self, *words):
        self.clients.append(subprocess.Popen(["ip", "netns", "exec", self.name, sys.executable, "-c", ELSEWHERE, self.here, *words],
                                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return self.clients[-1]

    def close(self):
        for client in self.clients:
            client.kill()
            client.communicate()
        subprocess.run(["ip", "netns", "delete", self.name], check=False, capture_output=True, timeout=20)


@pytest.fixture
def elsewhere():
    try:
        made = Elsewhere()
    except (OSError, subprocess.CalledProcessError) as problem:
        pytest.skip(f"no network namespace here: {problem}")
    yield made
    made.close()


def asked_from(played, elsewhere, version, how):
    port = played.keeper.ensure_listener(ANYWHERE, address=0)
    played.activate([(LISTENER, SERVICE), (ANYWHERE, SERVICE)])
    client = elsewhere.client(str(port), version, how)
    instance = Taken(played.listener)
    instance.until(b"\r\n\r\n")
    return client, instance


def tell(client):
    client.stdin.write("\n")
    client.stdin.flush()


def test_a_client_elsewhere_that_closes_cancels_its_request_a_second_later(played, elsewhere):
    """On the wire it looks like one that only says no more; what tells is the reset that answers an interim 100."""
    client, instance = asked_from(played, elsewhere, "1.1", "close")
    began = time.monotonic()
    tell(client)
    assert is_over(instance)
    assert 0.9 < time.monotonic() - began < 1.5
    played.until_counted("client_gone")


@pytest.mark.parametrize("version, interim", [("1.1", "HTTP/1.1 100 Continue\n\n"), ("1.0", "")])
def test_a_client_elsewhere_that_only_says_no_more_gets_its_answer(played, elsewhere, version, interim):
    client, instance = asked_from(played, elsewhere, version, "shutdown")
    tell(client)
    instance.connection.settimeout(2)
    with pytest.raises(TimeoutError):
        instance.connection.recv(1)
    kill_edge(played)  # Its successor knows of it what was sent.
    instance.send(YES)
    tell(client)
    got = client.communicate(timeout=20)[0]
    assert got.startswith(interim + "HTTP/1.1 200 OK\n") and got.endswith("\n\nyes"), got
