"""Control's side of the edge, as its protocol describes it, and a client that checks every byte."""
import select
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import wire
from backend import expected, odd_chunks

HELLO, SNAPSHOT, ENDPOINTS, HOLD, CUT, WHY, FAULT, DRAIN, SHARES = 1, 2, 3, 4, 5, 6, 7, 8, 9
WELCOME, SNAPSHOT_APPLIED, ENDPOINTS_APPLIED, HOLD_APPLIED, CUT_DONE = 32, 33, 34, 35, 36
STATS, BROKEN, ROUTES, DURATIONS, FOUND, DRAIN_APPLIED, REFUSALS, SHARES_APPLIED, FAULT_APPLIED, FAULTS, QUEUED = 37, 38, 39, 40, 41, 42, 43, 44, 48, 49, 50
UPGRADED = 51
SERVES, OUT, GONE = 0, 2, 8
PUBLIC, CALL = 1, 2
DELAY, ABORT, RESET, HANG, SLOW_BODY, BANDWIDTH, PARTITION = range(7)
TERMS = "<IIIIIIqqQqIIII32s128s64s"
FAULT_STATE = struct.calcsize(TERMS) + struct.calcsize("<qQQ")
WANTS_ROUTES = 1
REPORTS_RULES, KEEPS_SLASH, ANY_UPGRADE = 1, 2, 4
NO_SLOT = NO_SERVICE = 2**32 - 1
OUTCOMES = ("informational", "success", "redirect", "client_error", "server_error", "connect_failed", "reset",
            "timed_out", "overloaded", "refused", "client_gone", "cut", "injected")
ROUTE_COUNTS = OUTCOMES + ("retried", "held", "added_wait_max_us")
TRY_ENDS = ("", "refused", "not_in_time", "was_closed", "lost", "cut", "answered", "silent")
REFUSAL_KINDS = ("request", "answer", "reported")
PHASES = ("head", "waiting", "asked", "answering", "tunnel")
IDEMPOTENT, HELD, OWN_ANSWER, UNDER_WAY = 1, 2, 4, 64
REQUEST = ("begun", "ended", "bytes_in", "bytes_out", "head_us", "held_us", "attached_us", "connect_us", "answer_us",
           "listener", "service", "release", "slot", "generation", "address", "status", "outcome", "phase",
           "considered", "attempts", "tries", "flags")
SECOND = 10**9
LIMITS = {"connect": SECOND, "head": 30 * SECOND, "idle": 60 * SECOND, "tunnel": 3600 * SECOND, "hold": 30 * SECOND,
          "requests": 1000, "bytes": 2**26, "stall": 30 * SECOND, "grace": 5 * SECOND, "body": 0, "rate": 500, "total": 0,
          "in_flight": 1024, "queued": 1024}


def text(value):
    data = value.encode()
    return struct.pack("<I", len(data)) + data


def snapshot(version, services, listeners, sticky=(0, ""), flags=ANY_UPGRADE, upgrades="", **limits):
    """services: names by id; listeners: (id, service) of public ones, (id, service, caller's uid, or two) of calls, and
    (id, service, {caller}) of those whose caller is not looked at; sticky: by what users are told apart."""
    limits = struct.pack("<qqqqqIIqqQIqII", *{**LIMITS, **limits}.values())
    body = struct.pack("<IIQI", 0x70616E73, 5, version, len(services))
    for number, name in services.items():
        body += struct.pack("<I", number) + text(name) + limits + struct.pack("<I", sticky[0]) + text(sticky[1])
        body += struct.pack("<I", flags) + text(upgrades)
    body += struct.pack("<I", len(listeners))
    for number, service, *uid in listeners:
        if uid and isinstance(uid[0], set):
            body += struct.pack("<IIIIIII", number, CALL, service, *uid[0], 0, 0, 0)
        elif uid:
            body += struct.pack("<IIIIIII", number, CALL, service, service, uid[0], uid[-1], 1)
        else:
            body += struct.pack("<IIIIIII", number, PUBLIC, service, NO_SERVICE, 0, 0, 0)
        body += struct.pack("<II", 0, 0)  # Trusts nobody, and has no further routes.
    return body + struct.pack("<I", wire.crc32c(body))


class Edge:
    """Control, as far as the edge can tell."""

    def __init__(self, system):
        self.system, self.sequence, self.link = system, 0, None
        self.stats, self.header, self.broken, self.routes, self.lost = {}, {}, {}, {}, 0
        self.faults, self.refusals, self.queued = None, {}, 0
        self.upgraded = None
        self.connect()

    def connect(self, deadline_s=10):
        deadline = time.monotonic() + deadline_s
        while True:
            if self.link is not None:
                self.link.close()
            self.link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                self.link.connect(str(self.system.run / "edge.sock"))
                self.stats, self.routes, self.faults, self.refusals = {}, {}, None, {}
                self.link.send(wire.seal(HELLO, struct.pack("<II32s", 1, WANTS_ROUTES, b"test")))
                self.welcome = struct.unpack("<IIQQQII32s", self.wait_for(WELCOME, 2))
                return
            except (OSError, AssertionError):
                assert time.monotonic() < deadline, "the edge does not answer"
                time.sleep(wire.POLL_S)

    @property
    def pid(self):
        return self.welcome[1]

    def wait_for(self, kind, wait_s=5):
        deadline = time.monotonic() + wait_s
        while True:
            left = max(0, deadline - time.monotonic())
            assert select.select([self.link], [], [], left)[0], f"no message {kind} in {wait_s} s"
            data = self.link.recv(256 * 1024)
            if not data:
                raise ConnectionError("the edge closed the link")
            got, body = wire.open_frame(data)
            self.hear(got, body)
            if got == kind:
                return body

    def hear(self, kind, body):
        """Remembers what the edge tells unasked."""
        if kind == STATS:
            names = ("epoch", "time", "count", "held", "held_ever", "replayed_ever", "diverted_ever", "added_wait_max",
                     "broken_ever", "access_written", "access_dropped")
            self.header = dict(zip(names, struct.unpack_from("<QqIIQQQqQQQ", body)))
            for at in range(self.header["count"]):
                slot, generation, in_flight, bits, begun, *outcomes, latency, ended = struct.unpack_from(
                    "<IIIIQ13QQQ", body, 80 + at * 144)
                self.stats[slot, generation] = {"in_flight": in_flight, "bits": bits, "begun": begun,
                                                "latency": latency, "ended": ended, **dict(zip(OUTCOMES, outcomes))}
        elif kind == BROKEN:
            _, count, self.lost = struct.unpack_from("<QII", body)
            for at in range(count):
                high, low, slot, generation, begun, outcome, listener, target = struct.unpack_from(
                    "<QQIIqII72s", body, 16 + at * 112)
                self.broken[f"{high:016x}{low:016x}"] = (slot, generation, OUTCOMES[outcome], listener,
                                                         target.split(b"\0")[0].decode(), begun)
        elif kind == ROUTES:
            _, count, _ = struct.unpack_from("<QII", body)
            for at in range(count):
                listener, release, slot, _, *counts = struct.unpack_from("<IIII16Q", body, 16 + at * 144)
                self.routes[listener, release, slot] = {name: number for name, number in zip(ROUTE_COUNTS, counts)
                                                        if number}
        elif kind == QUEUED:
            _, self.queued, _ = struct.unpack("<QII", body)
        elif kind == REFUSALS:
            _, count, _ = struct.unpack_from("<QII", body)
            for at in range(count):
                kind_of, listener, service, _, rule, number = struct.unpack_from("<IIII24sQ", body, 16 + at * 48)
                self.refusals[REFUSAL_KINDS[kind_of], listener, service, rule.split(b"\0")[0].decode()] = number
        elif kind == UPGRADED:
            self.upgraded = body
        elif kind == FAULTS:
            _, _, count, _ = struct.unpack_from("<QqII", body)
            self.faults = {}
            for at in range(count):
                terms = struct.unpack_from(TERMS, body, 24 + at * FAULT_STATE)
                begun, matched, hurt = struct.unpack_from("<qQQ", body, 24 + at * FAULT_STATE + struct.calcsize(TERMS))
                self.faults[terms[0]] = {"until": terms[9], "begun": begun, "matched": matched, "hurt": hurt}

    def until(self, condition, what, deadline_s=10):
        """Listens until it holds, connecting again where this edge has died."""
        deadline = time.monotonic() + deadline_s
        while not condition():
            assert time.monotonic() < deadline, f"{what}: not in {deadline_s} s; {self.stats} {self.header}"
            try:
                if select.select([self.link], [], [], 0.05)[0]:
                    data = self.link.recv(256 * 1024)
                    if not data:
                        raise ConnectionError
                    self.hear(*wire.open_frame(data))
            except OSError:
                self.connect()

    def outcome(self, name):
        """Over all endpoints and generations."""
        return sum(stats[name] for stats in self.stats.values())

    def hold(self, service, on):
        self.sequence += 1
        self.link.send(wire.seal(HOLD, struct.pack("<QII", self.sequence, service, on)))
        return struct.unpack("<QII", self.wait_for(HOLD_APPLIED)) == (self.sequence, service, on)

    def share(self, *services):
        """All there are: (service, salt, {release: thousandths})."""
        self.sequence += 1
        body = struct.pack("<QII", self.sequence, len(services), 0)
        for service, salt, parts in services:
            newest_first = [number for part in sorted(parts.items(), reverse=True) for number in part]
            body += struct.pack("<QQII16I", *salt, service, len(parts), *newest_first, *[0] * (16 - 2 * len(parts)))
        self.link.send(wire.seal(SHARES, body))
        assert struct.unpack("<Q", self.wait_for(SHARES_APPLIED)) == (self.sequence,)

    def fault(self, number, service, kind, share, lasts_s, **more):
        """Why it was refused, or nothing."""
        asked = {"caller": NO_SERVICE, "status": 503, "delay_s": 0, "jitter_s": 0, "rate": 0, "whole": 0, "release": 0,
                 "slot": NO_SLOT, "field": "", "value": "", **more}
        until = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + int(lasts_s * SECOND)
        terms = struct.pack(
            TERMS, number, service, asked["caller"], kind, share, asked["status"], int(asked["delay_s"] * SECOND),
            int(asked["jitter_s"] * SECOND), asked["rate"], until, asked["whole"], asked["release"], asked["slot"], 0,
            asked["field"].encode(),
            asked["value"].encode(), b"test")
        self.sequence += 1
        self.link.send(wire.seal(FAULT, struct.pack("<Q", self.sequence) + terms))
        sequence, answered, _, reason = struct.unpack("<QIi112s", self.wait_for(FAULT_APPLIED))
        assert (sequence, answered) == (self.sequence, number)
        return reason.split(b"\0")[0].decode()

    def end_fault(self, number):
        return self.fault(number, 0, 0, 0, -1)

    def cut(self, slot, generation):
        """How many were cut."""
        self.sequence += 1
        self.link.send(wire.seal(CUT, struct.pack("<QII", self.sequence, slot, generation)))
        sequence, *at, count, _ = struct.unpack("<QIIII", self.wait_for(CUT_DONE))
        assert (sequence, *at) == (self.sequence, slot, generation)
        return count

    def drain(self, slot, generation, within_s):
        """What lasts there is ended, each at a moment of its own within this time."""
        self.sequence += 1
        self.link.send(wire.seal(DRAIN, struct.pack("<QIIq", self.sequence, slot, generation, int(within_s * SECOND))))
        assert struct.unpack("<QII", self.wait_for(DRAIN_APPLIED)) == (self.sequence, slot, generation)

    def why(self, digits):
        """What the edge remembers of the requests whose ids begin so; how far back, and of how many."""
        self.sequence += 1
        whole = digits.ljust(32, "0")
        self.link.send(wire.seal(WHY, struct.pack("<QQQII", self.sequence, int(whole[:16], 16), int(whole[16:], 16),
                                                  len(digits), 0)))
        body = self.wait_for(FOUND)
        sequence, oldest, now, kept, count, _ = struct.unpack_from("<QqqQII", body)
        assert sequence == self.sequence and len(body) == 40 + 256 * count
        self.reach = (now - oldest, kept)
        return [self.request_in(body[at:at + 256]) for at in range(40, len(body), 256)]

    @staticmethod
    def request_in(row):
        high, low, *values = struct.unpack_from("<QQqqQQIIIIIIIIIIIHBBHBBI", row)
        told = {"id": f"{high:016x}{low:016x}", **dict(zip(REQUEST, values))}
        ended = [struct.unpack_from("<IIHBB", row, 160 + 12 * at) for at in range(min(told["tries"], 3))]
        return {**told, "outcome": told["outcome"] < len(OUTCOMES) and OUTCOMES[told["outcome"]],
                "phase": PHASES[told["phase"]],
                "ended_tries": [(slot, generation, TRY_ENDS[end]) for generation, _, slot, end, _ in ended],
                "target": row[104:160].split(b"\0")[0].decode(), "why": row[196:].split(b"\0")[0].decode()}

    def activate(self, version, content):
        folder = self.system.data / "edge"
        folder.mkdir(exist_ok=True)
        (folder / f"snapshot.{version}").write_bytes(content)
        self.sequence += 1
        self.link.send(wire.seal(SNAPSHOT, struct.pack("<QQ", self.sequence, version)))
        _, _, error, _, reason = struct.unpack("<QQiI104s", self.wait_for(SNAPSHOT_APPLIED))
        return error, reason.split(b"\0")[0].decode()

    def endpoints(self, changes, full=False, releases=None):
        """changes: (slot, generation, service, port, bits); releases by slot, else 1. The ids in flight at endpoints that do not serve. Asked
        again of the next edge where this one dies before it has acknowledged."""
        self.sequence += 1
        body = struct.pack("<QII", self.sequence, len(changes), 1 if full else 0)
        for slot, generation, service, port, bits in changes:
            body += struct.pack("<IIIIIHHII", slot, generation, service, (releases or {}).get(slot, 1), 0x7F000001, port,
                                0, bits, 100)
        while True:
            try:
                self.link.send(wire.seal(ENDPOINTS, body))
                ids, more = [], 1
                while more:
                    answer = self.wait_for(ENDPOINTS_APPLIED)
                    _, count, more = struct.unpack_from("<QII", answer)
                    for at in range(count):
                        slot, generation, high, low = struct.unpack_from("<IIQQ", answer, 16 + at * 24)
                        ids.append((slot, f"{high:016x}{low:016x}"))
                return ids
            except (OSError, AssertionError):
                self.connect()


class Backend:
    def __init__(self, system, name):
        self.base = system.base / name
        self.arrivals, self.allowed = Path(f"{self.base}.arrivals"), Path(f"{self.base}.allowed")
        port_file = Path(f"{self.base}.port")
        self.process = subprocess.Popen([sys.executable, str(Path(__file__).parent / "backend.py"), str(port_file),
                                         str(self.arrivals), str(self.allowed)])
        deadline = time.monotonic() + 20
        while not port_file.exists():
            assert time.monotonic() < deadline, "the backend does not start"
            time.sleep(wire.POLL_S)
        self.port = int(port_file.read_text(encoding="utf-8"))

    def lines(self, word):
        return [line.split()[1:] for line in self.arrivals.read_text(encoding="utf-8").split("\n")
                if line.startswith(word)]


class Client:
    """One connection to the edge. Every method raises where the answer is not what it must be."""

    def __init__(self, port, address=None):
        # Bound to an address, each would take one of the numbers that there are for all of them.
        source = None if address is None else (address, 0)
        self.connection = socket.create_connection(("127.0.0.1", port), timeout=20, source_address=source)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def close(self):
        self.connection.close()

    def send(self, data):
        self.connection.sendall(data)

    def more(self):
        data = self.connection.recv(65536)
        if not data:
            raise ConnectionError("closed")
        self.buffer += data

    def until(self, mark):
        while mark not in self.buffer:
            self.more()
        head, _, self.buffer = self.buffer.partition(mark)
        return head

    def exactly(self, size):
        while len(self.buffer) < size:
            self.more()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def head(self):
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        return int(lines[0].split(" ")[1]), {name.lower(): value.strip() for name, _, value in
                                             (line.partition(":") for line in lines[1:])}

    def answer(self, method="GET"):
        status, fields = self.head()
        if method == "HEAD" or status < 200:
            return status, fields, b""
        if fields.get("transfer-encoding") == "chunked":
            body = b""
            while True:
                size = int(self.until(b"\r\n"), 16)
                body += self.exactly(size)
                self.until(b"\r\n")
                if size == 0:
                    return status, fields, body
        if "content-length" in fields:
            return status, fields, self.exactly(int(fields["content-length"]))
        body = self.buffer
        while True:
            data = self.connection.recv(65536)
            if not data:
                return status, fields, body
            body += data

    def request(self, method, target, body=b"", more="", chunked=False, version="1.1"):
        head = f"{method} {target} HTTP/{version}\r\nHost: shop\r\n{more}"
        if chunked:
            head += "Transfer-Encoding: chunked\r\n"
            data = b"".join(odd_chunks(body) if chunked == "odd" else
                            [b"%x\r\n%s\r\n" % (len(body[at:at + 700]), body[at:at + 700])
                             for at in range(0, len(body), 700)] + [b"0\r\n\r\n"])
        else:
            head += f"Content-Length: {len(body)}\r\n" if body else ""
            data = body
        self.send(head.encode() + b"\r\n" + data)
        return self.answer(method)

    def expect(self, method, target, **more):
        status, fields, body = self.request(method, target, **more)
        assert status == 200, (status, target, body[:100])
        assert len(fields["x-request-id"]) == 32
        kind, _, rest = target[1:].partition("/")
        if kind == "stream":
            assert body == expected(int(rest), 300000), "the stream's bytes"
        elif kind in ("chunks", "odd"):
            assert body == expected(int(rest), 30000), "the chunks' bytes"
        elif kind == "echo":
            assert body == more["body"], "the echo's bytes"
        elif method != "HEAD" and kind in ("get", "post", "slow"):
            assert body == f"{method} {target}".encode(), body[:100]
        return fields, body
