"""The memory that outlives the edge is damaged just before its death. Nobody gets a byte of anybody else, whatever was hit;
who cannot be continued is closed; the next edge serves."""
import contextlib
import mmap
import os
import random
import re
import signal
import socket
import struct
import threading
from pathlib import Path

import pytest

from conftest import BINARIES, ROOT, start_time, strike, until, wait_until_still
from edge import SERVES, Client
from edge_stand import LISTENER, SERVICE, Stand
from test_edge_ceilings import limited

SLOT, CLIENTS = 40, 12
PIECE = 4000


def key_of(number, turn):
    return f"<{number:03d}.{turn:04d}>".encode()


class Keyed:
    """An instance whose answers are made of the key that it was asked with, said a piece at a time."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.mixed = []  # Requests whose body was not made of the key in their head.
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        buffer = b""
        try:
            with connection:
                while True:
                    while b"\r\n\r\n" not in buffer:
                        more = connection.recv(65536)
                        if not more:
                            return
                        buffer += more
                    head, _, buffer = buffer.partition(b"\r\n\r\n")
                    key = re.search(rb"/(<\d{3}\.\d{4}>)", head)
                    length = re.search(rb"(?i)content-length: (\d+)", head)
                    size = int(length.group(1)) if length else 0
                    while len(buffer) < size:
                        more = connection.recv(65536)
                        if not more:
                            return
                        buffer += more
                    body, buffer = buffer[:size], buffer[size:]
                    if key is None or foreign_in(body, key.group(1)):
                        self.mixed.append((head, body))
                        return
                    text = key.group(1) * (PIECE // 10)
                    chunked = b"/chunks/" in head
                    connection.sendall(b"HTTP/1.1 200 OK\r\n" + (b"Transfer-Encoding: chunked" if chunked else
                                                                  b"Content-Length: %d" % (10 * PIECE)) + b"\r\n\r\n")
                    for _ in range(10):
                        connection.sendall(b"%x\r\n%s\r\n" % (PIECE, text) if chunked else text)
                        threading.Event().wait(0.004)
                    if chunked:
                        connection.sendall(b"0\r\n\r\n")
        except OSError:
            pass


def foreign_in(data, key):
    """Keys in it that are not this one's."""
    return [found for found in re.findall(rb"<\d{3}\.\d{4}>", data) if found != key]


class Asker:
    """Asks again and again, on one connection as long as that lives; remembers all that it was told that is not its own."""

    def __init__(self, stand, number):
        self.stand, self.number, self.turn = stand, number, 0
        self.stop, self.foreign, self.good, self.broken = threading.Event(), [], 0, 0
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        client = None
        while not self.stop.is_set():
            self.turn += 1
            key = key_of(self.number, self.turn)
            try:
                if client is None:
                    client = Tapped(self.stand.port)
                    client.connection.settimeout(8)
                self.ask(client, key)
                self.good += 1
            except (OSError, ValueError, IndexError):
                self.broken += 1
                client = None

    def ask(self, client, key):
        kind = b"/chunks/" if self.turn % 2 else b"/length/"
        body = key * 3000 if self.turn % 3 == 0 else b""
        client.raw = b""
        try:
            client.send(b"POST %s%s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (kind, key, len(body)) + body)
            status, _, told = client.answer()
        finally:
            if found := foreign_in(client.raw, key):
                self.foreign.append((key, found[:3]))
        if status != 200 or told != key * (PIECE // 10) * 10:
            raise ConnectionError(status)


class Tapped(Client):
    """Keeps all that came since it asked."""

    raw = b""

    def more(self):
        before = len(self.buffer)
        super().more()
        self.raw += self.buffer[before:]


class Memory:
    """What an edge leaves (src/edge/segment.h, counted from its end)."""

    RECORDS, RECORD, EXCHANGES, HALF = 24576, 64, 49152, 352
    RINGS, HEADS = 4096, 8192
    NO_BLOCK, NONE, CLIENT = 0xFFFF, 2**32 - 1, 1

    def __init__(self, pid, dice):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            if "memfd:thole-edge" in str(link.readlink()):
                file = os.open(link, os.O_RDWR)
                break
        self.memory, self.dice = mmap.mmap(file, os.fstat(file).st_size), dice
        os.close(file)
        # It is padded to 64 bytes.
        self.records = max(range(0, 64, 8), key=lambda pad: self.place(pad) or len(self.used()))
        self.place(self.records)

    def place(self, pad):
        self.owners = len(self.memory) - pad - self.HEADS * 36 * 1024 - self.RINGS * 64 * 1024 - (self.RINGS + self.HEADS) * 16
        self.exchanges = self.owners - self.EXCHANGES * 2 * self.HALF
        self.records = self.exchanges - self.RECORDS * self.RECORD

    def record(self, fd):
        at = self.records + fd * self.RECORD
        cookie, state, _, _, kind, ring = struct.unpack_from("<QQQQII", self.memory, at)
        return at, cookie, state, kind, ring

    def used(self):
        return [fd for fd in range(500) if self.record(fd)[3] in (1, 2, 3) and 0 < self.record(fd)[1] < 2**40]

    def under_way(self):
        return [fd for fd in self.used() if self.record(fd)[3] == self.CLIENT and
                self.record(fd)[2] & 0xFFFF < self.EXCHANGES]

    def half(self, fd):
        """The one that counts."""
        state = self.record(fd)[2]
        return self.exchanges + (2 * (state & 0xFFFF) + (state >> 16 & 1)) * self.HALF

    def flip(self, begin, size):
        self.memory[begin + self.dice.randrange(size)] ^= 1 << self.dice.randrange(8)

    def change(self, begin, size):
        """A whole word, to another small or large value."""
        at = begin + self.dice.randrange(size // 4) * 4
        value = struct.unpack_from("<I", self.memory, at)[0]
        value = self.dice.choice([value + 1, value - 1, value + self.dice.randrange(100_000), 0, self.dice.randrange(64)])
        struct.pack_into("<I", self.memory, at, value & 0xFFFFFFFF)

    def damage(self):
        """One thing of what is under way just now; says what."""
        used, under_way = self.used(), self.under_way()
        kinds = ["record", "table"] + ["exchange", "word", "other half", "swap", "owner", "block", "ring"] * bool(under_way)
        kind = self.dice.choice(kinds)
        one = self.dice.choice(under_way or used)
        other = self.dice.choice(under_way or used)
        if kind == "record":
            self.flip(self.record(self.dice.choice(used))[0], self.RECORD)
        elif kind == "exchange":
            self.flip(self.half(one), self.HALF)
        elif kind == "word":
            self.change(self.half(one), self.HALF)
        elif kind == "other half":  # What was before, or never.
            self.memory[self.record(one)[0] + 10] ^= 1
        elif kind == "swap":  # One has what the other has.
            here, there = self.half(one), self.half(other)
            at = self.dice.randrange(self.HALF // 8) * 8
            size = self.dice.choice([8, 64, self.HALF - at])
            self.memory[here + at:here + at + size] = self.memory[there + at:there + at + size]
        elif kind == "owner":
            ring = self.record(one)[4]
            self.flip(self.owners + (ring % self.RINGS) * 16, 16)
        elif kind == "block":
            state = self.record(other)[2] if self.dice.random() < 0.5 else self.dice.randrange(40)
            struct.pack_into("<H", self.memory, self.record(one)[0] + 8, state & 0xFFFF)
        elif kind == "ring":
            ring = self.record(self.dice.choice(used))[4] if self.dice.random() < 0.5 else self.dice.randrange(40)
            struct.pack_into("<I", self.memory, self.record(self.dice.choice(used))[0] + 36, ring)
        else:  # What all go by, and the counts behind it.
            self.flip(0, self.dice.choice([4096, 2**20, self.records]))
        return kind

    def close(self):
        self.memory.close()


@pytest.fixture
def keyed():
    with contextlib.ExitStack() as stack:
        binaries = BINARIES
        if asan := os.environ.get("THOLE_ASAN_EDGE"):  # build/ci/bin/edge
            binaries = stack.enter_context(limited("export ASAN_OPTIONS=abort_on_error=1:handle_segv=0:detect_leaks=0:"
                                                   f"log_path={ROOT}/build/asan-edge"))
            edge = binaries / "lib/thole/edge"
            edge.write_text(edge.read_text(encoding="utf-8").replace(f"{BINARIES}/lib/thole/edge", str(ROOT / asan)),
                            encoding="utf-8")
        made = stack.enter_context(contextlib.closing(Stand(0, binaries)))
        instance = Keyed()
        made.edge.endpoints([(SLOT, 1, SERVICE, instance.port, SERVES)], full=True)
        yield made, instance
        instance.listener.close()


def survives(keyed, seed, variants):
    stand, instance = keyed
    dice, said = random.Random(seed), []
    askers = [Asker(stand, number) for number in range(CLIENTS)]
    try:
        for turn in range(variants):
            good = sum(asker.good for asker in askers)
            until(lambda good=good: sum(asker.good for asker in askers) > good, f"answers after {said[-3:]}", 30)
            pid = stand.edge.pid
            strike(stand.system, pid, signal.SIGSTOP)
            wait_until_still(pid)
            memory = Memory(pid, dice)
            assert memory.used(), "the records are not where they are looked for"
            said.append((turn, [memory.damage() for _ in range(dice.choice([1, 1, 2, 8]))]))
            memory.close()
            strike(stand.system, pid, signal.SIGKILL)
            until(lambda pid=pid: start_time(pid) is None, "its death")
            stand.edge.connect(30)
            # As control does when it finds another edge.
            stand.activate([(LISTENER, SERVICE)])
            stand.edge.endpoints([(SLOT, 1, SERVICE, instance.port, SERVES)], full=True)
    finally:
        for asker in askers:
            asker.stop.set()
        for asker in askers:
            asker.thread.join()
    good, broken = sum(asker.good for asker in askers), sum(asker.broken for asker in askers)
    print(f"{variants} variants from seed {seed}: {good} answers, {broken} broken")
    assert [asker.foreign for asker in askers if asker.foreign] == [], said[-5:]
    assert instance.mixed == []


@pytest.mark.parametrize("seed", [1, 2])
def test_damaged_memory_shows_nobody_what_is_anothers(keyed, seed):
    survives(keyed, seed, 12)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(10, 14))
def test_five_hundred_damages_show_nobody_what_is_anothers(keyed, seed):
    survives(keyed, seed, int(os.environ.get("THOLE_VARIANTS", "500")))
