"""What a request costs at the edge: processor time against a raw forwarder in the same run, system calls, allocations.

All on loopback: load -> edge -> upstream, load -> forwarder -> upstream. Turns alternate, each edge's turn is
compared with the forwarder's beside it, so that a busy neighbour slows both.
"""
import re
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from counted import Stand, counted_binaries, difference, read_counts
from programs import Load, Program, cpu_s, spread, table, user_s
from conftest import until  # pylint: disable=wrong-import-order

PAIRS = 16
TURNS_OF_CONNECTIONS = 2
# (connections, bytes of the body, requests a turn)
CASES = [(1, 128, 5000), (32, 128, 20000), (64, 128, 20000), (32, 10240, 10000)]
COUNTED = 20000


class Turns:
    """One of the two, in one case: its load, and what each turn cost."""

    def __init__(self, target, case):
        self.target, (self.connections, self.body, self.requests) = target, case
        self.load = None
        self.cpu_us, self.user_us, self.rate, self.p50, self.p99 = [], [], [], [], []

    def take(self):
        # How connections fall to the two workers is chance and stays while they live: now and then new ones.
        if len(self.cpu_us) % TURNS_OF_CONNECTIONS == 0:
            self.close()
            self.load = Load(self.target.port, self.connections, self.body)
            self.load.run(self.connections * 100)
        cpu, user = cpu_s(self.target.pid), user_s(self.target.pid)
        seconds, p50, p99 = self.load.run(self.requests)
        self.cpu_us.append((cpu_s(self.target.pid) - cpu) / self.requests * 1e6)
        self.user_us.append((user_s(self.target.pid) - user) / self.requests * 1e6)
        self.rate.append(self.requests / seconds)
        self.p50.append(p50)
        self.p99.append(p99)

    def close(self):
        if self.load is not None:
            self.load.close()


def compare(edge, forwarder, case):
    ours, raw = Turns(edge, case), Turns(forwarder, case)
    for pair in range(PAIRS):
        for turns in (ours, raw) if pair % 2 else (raw, ours):
            turns.take()
    ratios = [mine / theirs for mine, theirs in zip(ours.cpu_us, raw.cpu_us)]
    row = [case[0], case[1], spread(ratios), spread(ours.cpu_us, 1), spread(raw.cpu_us, 1),
           ", ".join(f"{statistics.mean(turns.user_us):.1f}" for turns in (ours, raw))]
    for numbers in ("rate", "p50", "p99"):
        row.append(", ".join(f"{statistics.median(getattr(turns, numbers)):.0f}" for turns in (ours, raw)))
    ours.close()
    raw.close()
    return row


def cost():
    rows = []
    for body in sorted({case[1] for case in CASES}):
        upstream = Program("upstream", body)
        forwarder = Program("forwarder", upstream.port)
        stand = Stand(upstream)
        try:
            rows += [compare(stand, forwarder, case) for case in CASES if case[1] == body]
        finally:
            stand.close()
            forwarder.close()
            upstream.close()
    table(f"Processor time a request, edge against forwarder, {PAIRS} pairs (min / median / max)",
          ["connections", "body, bytes", "ratio", "edge, us", "forwarder, us", "of it user, us: edge, forwarder",
           "requests/s: edge, forwarder", "median, us", "99th percentile, us"], rows)


def strace(pid, act):
    """Every system call of all threads of the process while `act` runs, by name."""
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as report:
        tracer = subprocess.Popen(["strace", "-f", "-c", "-o", report.name, "-p", str(pid)],
                                  stderr=subprocess.DEVNULL)
        threads = [task / "status" for task in Path(f"/proc/{pid}/task").iterdir()]
        until(lambda: all("TracerPid:\t0\n" not in status.read_text(encoding="utf-8") for status in threads),
              "strace sees all threads")
        act()
        tracer.send_signal(signal.SIGINT)
        tracer.wait(timeout=20)
        lines = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", report.read(), re.M)
    return {name: int(number) for number, name in lines if name != "total"}


def listed(calls):
    return ", ".join(f"{name} {number:.2f}" if number >= 0.005 else f"{name} {number:.4f}"
                     for name, number in sorted(calls.items(), key=lambda each: -each[1]))


def counts_of(folder, pid, load, rows):
    """Counts at one load: undisturbed, then again under strace, which sees all calls but slows them."""
    load.run(2 * COUNTED)
    before = read_counts(folder)
    load.run(COUNTED)
    calls = difference(before, read_counts(folder), COUNTED)
    allocations = [f"{calls.pop(name, 0) * COUNTED:.0f}" for name in ("allocations", "main allocations")]
    calls.pop("main calls", None)
    rows.append(["undisturbed", f"{sum(calls.values()):.2f}", listed(calls), ", ".join(allocations)])
    calls = difference({}, strace(pid, lambda: load.run(COUNTED)), COUNTED)
    rows.append(["under strace", f"{sum(calls.values()):.2f}", listed(calls), ""])


def counts():
    rows = []
    upstream = Program("upstream", 128)
    with tempfile.TemporaryDirectory(prefix="thole-bench-", dir="/dev/shm") as name:
        stand = Stand(upstream, counted_binaries(Path(name)))
        try:
            for connections in (1, 32, 64):
                found = []
                load = Load(stand.port, connections, 128)
                counts_of(Path(name), stand.pid, load, found)
                load.close()
                rows += [[connections, *row] for row in found]
        finally:
            stand.close()
            upstream.close()
    table(f"Calls a request, {COUNTED} requests of 128 bytes on connections that were used before",
          ["connections", "counted", "system calls", "which", "allocations in all: workers, main"], rows)


def main():
    cost()
    counts()
