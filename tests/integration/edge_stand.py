"""A system with an edge and services behind it, and clients that check every byte while something dies."""
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from conftest import BINARIES, System, start_time, strike, until
from edge import SERVES, Backend, Client, Edge, snapshot

SERVICE, LISTENER = 1, 100


class Stand:
    """keeper, an edge, one public port and some backends of one service."""

    def __init__(self, backends, binaries=BINARIES):
        self.system = System("edge", binaries)
        self.keeper = self.system.start()
        self.port = self.keeper.ensure_listener(LISTENER)
        self.edge = Edge(self.system)
        self.version = 0
        self.activate([(LISTENER, SERVICE)])
        self.backends = [Backend(self.system, f"backend{number}") for number in range(backends)]
        self.edge.endpoints([self.entry(number, SERVES) for number in range(backends)], full=True)

    def activate(self, listeners, **limits):
        self.version += 1
        content = snapshot(self.version, {SERVICE: "shop"}, listeners, **limits)
        assert self.edge.activate(self.version, content) == (0, "")

    def entry(self, number, bits, generation=1):
        return (20 + number, generation, SERVICE, self.backends[number].port, bits)

    def in_hand(self):
        """Requests that have reached an instance, as the edge's own counts have it."""
        return sum(stats["in_flight"] for stats in self.edge.stats.values())

    def client(self):
        return Client(self.port)

    def holder(self):
        """Pids of those who live; one at rest."""
        found = []
        for pid in self.system.pids():
            try:
                if Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() == "holder":
                    found.append(pid)
            except OSError:
                pass  # It has just ended.
        return found

    def one_holder(self):
        """Cloned by its edge, it looks like another one for a moment."""
        until(lambda: len(self.holder()) == 1, "one holder")
        return self.holder()[0]

    def close(self):
        for backend in self.backends:
            backend.process.kill()
            backend.process.wait()
        self.system.close()


@pytest.fixture
def stand():
    made = Stand(1)
    yield made
    made.close()


@pytest.fixture
def two():
    made = Stand(2)
    yield made
    made.close()


@pytest.fixture
def three():
    made = Stand(3)
    yield made
    made.close()


@pytest.fixture
def four():
    made = Stand(4)
    yield made
    made.close()


class Load:
    """Clients of every kind that check every byte while something dies."""

    def __init__(self, stand):
        self.stand, self.stop, self.failures, self.done = stand, threading.Event(), [], 0
        self.posts, self.lock, self.longest = [], threading.Lock(), 0.0
        self.threads = [threading.Thread(target=self.run, args=(number,)) for number in range(6)]
        self.threads += [threading.Thread(target=self.tunnel, args=(number,)) for number in range(6)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        client, turn = None, number * 100_000
        kinds = [("GET", "/get/", {}), ("POST", "/post/", {"body": b"0123456789"}), ("GET", "/stream/", {}),
                 ("GET", "/chunks/", {}), ("POST", "/echo/", {"body": bytes(range(256)) * 40, "chunked": True}),
                 ("GET", "/odd/", {}), ("POST", "/echo/", {"body": bytes(range(256)) * 40, "chunked": "odd"}),
                 ("GET", "/odd/", {"version": "1.0"}), ("GET", "/chunks/", {"version": "1.0"})]
        while not self.stop.is_set():
            turn += 1
            method, target, more = kinds[turn % len(kinds)]
            target += "" if target == "/echo/" else str(turn)
            if target.startswith("/post/"):
                with self.lock:
                    self.posts.append(str(turn))
            began = time.monotonic()
            try:
                if client is None or turn % 2:
                    client = self.stand.client()
                client.expect(method, target, **more)
                self.done += 1
                if "version" in more:  # It ends with its connection.
                    client = None
            except (OSError, AssertionError, ValueError) as problem:
                self.failures.append((method, target, repr(problem)[:200]))
                client = None
            self.longest = max(self.longest, time.monotonic() - began)

    def tunnel(self, number):
        try:
            client = self.stand.client()
            client.send(b"GET /tunnel/ HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
            assert client.head()[0] == 101
            sequence = 0
            while not self.stop.is_set():
                blocks = [f"{number:04d} {sequence + at:058d}\n".encode() for at in range(8)]
                sequence += 8
                client.send(b"".join(blocks))
                for block in blocks:
                    assert client.exactly(64) == block
                self.stop.wait(0.01)
        except (OSError, AssertionError, ValueError) as problem:
            self.failures.append(("GET", "/tunnel/", repr(problem)[:200]))

    def halt(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def end(self):
        self.halt()
        arrived = [line[0] for backend in self.stand.backends for line in backend.lines("post")]
        assert self.failures == []
        assert sorted(arrived) == sorted(self.posts), "each POST exactly once"
        assert self.done > 20


def kill_edge_and_holder(stand):
    """Stopped first: else the edge could clone another holder before it dies."""
    holder, before = stand.one_holder(), stand.edge.pid
    strike(stand.system, before, signal.SIGSTOP)
    strike(stand.system, holder, signal.SIGKILL)
    strike(stand.system, before, signal.SIGKILL)
    until(lambda: start_time(before) is None, "the edge's death")
    return holder, before


def kill_edge(stand):
    """SIGKILLs the edge; its holder must be serving within a second."""
    before = stand.edge.pid
    os.kill(before, signal.SIGKILL)
    stand.edge.connect()
    assert stand.edge.pid != before
