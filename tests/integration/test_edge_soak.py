"""Twenty minutes of everything at once under a sanitizer: no race, no leak, no descriptor kept, and whoever no fault names
gets every byte. `./dev test --suite soak_tsan`; THOLE_SOAK_S says how long, THOLE_SOAK_PRESET whose edge it is."""
import contextlib
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path

import pytest

from conftest import BINARIES, ROOT
from edge import ABORT, BANDWIDTH, DELAY, HANG, PARTITION, RESET, SERVES, SLOW_BODY, Client, snapshot
from edge_stand import LISTENER, SERVICE, Load, Stand

SOAK_S = int(os.environ.get("THOLE_SOAK_S", "1200"))
PRESET = os.environ.get("THOLE_SOAK_PRESET", "tsan")
CALL, WEB = 101, 7
ROUND_S = 3
# Each with a header of its own, so that whoever names none is hurt by none.
FAULTS = {
    "abort": (ABORT, 200, {}), "delay": (DELAY, 100, {"delay_s": 0.2, "jitter_s": 0.05}), "reset": (RESET, 100, {}),
    "hang": (HANG, 100, {}), "slow": (SLOW_BODY, 100, {"rate": 200_000}), "narrow": (BANDWIDTH, 100, {"rate": 200_000}),
    "instance": (DELAY, 100, {"delay_s": 0.05, "slot": 20}), "release": (ABORT, 100, {"release": 1})}
GROWTH_MAX = 0.01  # Of its memory, an hour.


class Hurt:
    """Clients that a fault may hurt: they go on, however it ends."""

    def __init__(self, port, calls):
        self.stop, self.ends = threading.Event(), {}
        self.threads = [threading.Thread(target=self.ask, args=(port, name)) for name in FAULTS]
        self.threads += [threading.Thread(target=self.call, args=(calls,)) for _ in range(2)]
        for thread in self.threads:
            thread.start()

    def one(self, port, target, more, body=b""):
        client = None
        try:
            client = Client(port)
            how = client.request("POST" if body else "GET", target, body=body, more=more)[0]
        except (OSError, ValueError):
            how = "reset"
        finally:
            if client is not None:
                client.close()
        self.ends[how] = self.ends.get(how, 0) + 1

    def ask(self, port, name):
        turn = 0
        while not self.stop.wait(0.02):
            turn += 1
            target, body = [("/get/1", b""), ("/stream/1", b""), ("/echo/", bytes(range(256)) * 40)][turn % 3]
            self.one(port, target, f"X-Fault: {name}\r\n", body)

    def call(self, port):
        while not self.stop.wait(0.02):
            self.one(port, "/slow/0.1", "")

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def memory_kb(pid):
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


@contextlib.contextmanager
def binaries():
    """What users run, but for the edge."""
    with tempfile.TemporaryDirectory() as folder:
        lib = Path(folder) / "lib/thole"
        lib.mkdir(parents=True)
        (lib / "keeper").symlink_to(BINARIES / "lib/thole/keeper")
        options = {name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")}
        said = "".join(f"export {name}='{value}'\n" for name, value in options.items())
        edge = ROOT / "build" / PRESET / "bin/edge"
        (lib / "edge").write_text(f'#!/bin/sh\n{said}exec {edge} "$@"\n', encoding="utf-8")
        (lib / "edge").chmod(0o755)
        yield Path(folder)


def keeper_says(stand):
    return (stand.system.data / "keeper.log").read_text(encoding="utf-8", errors="replace")[-600:]


def inject_all(edge, number):
    """The leases of one round; the number of the last."""
    for name, (kind, share, more) in FAULTS.items():
        number += 1
        assert edge.fault(number, SERVICE, kind, share, ROUND_S, whole=1, field="x-fault", value=name, **more) == ""
    number += 1
    assert edge.fault(number, SERVICE, PARTITION, 1000, 1, whole=1, caller=WEB) == ""
    return number


@pytest.mark.full
def test_all_at_once_for_twenty_minutes(record_property):
    with binaries() as folder, contextlib.closing(Stand(2, folder)) as stand:
        calls = stand.keeper.ensure_listener(CALL)
        stand.version += 1
        content = snapshot(stand.version, {SERVICE: "shop", WEB: "web"}, [(LISTENER, SERVICE), (CALL, SERVICE, {WEB})],
                           head=20 * 10**9)
        assert stand.edge.activate(stand.version, content) == (0, "")
        stand.edge.endpoints([stand.entry(0, SERVES), stand.entry(1, SERVES)], full=True)
        load, hurt = Load(stand), Hurt(stand.port, calls)
        began, number, seen, deaths, pid = time.monotonic(), 0, [], [], stand.edge.pid
        try:
            while time.monotonic() < began + SOAK_S:
                round_began = time.monotonic()
                try:
                    number = inject_all(stand.edge, number)
                    stand.edge.until(lambda at=round_began: time.monotonic() > at + ROUND_S, "a round", ROUND_S + 15)
                except (OSError, AssertionError):
                    number += len(FAULTS) + 1
                    deaths.append(keeper_says(stand))
                    stand.edge.connect(60)
                    pid = stand.edge.pid
                seen.append((time.monotonic() - began, memory_kb(pid), open_files(pid)))
        finally:
            hurt.end()
            load.halt()
        counted = {name: sum(row[name] for row in stand.edge.stats.values()) for name in ("begun", "injected")}
    told = report(seen)
    record_property("soak", told)
    print(f"{PRESET}: {SOAK_S} s, {load.done} checked and {sum(hurt.ends.values())} hurt requests {hurt.ends}, "
          f"{counted}, {number} faults; {told}")
    assert deaths == []
    assert load.failures == [] and load.done > 20
    assert hurt.ends.get("reset") and hurt.ends.get(503) and hurt.ends.get(200)
    first, last = quarters(seen, 2)
    assert statistics.median(last) <= statistics.median(first) + 8, "descriptors"
    assert growth_an_hour(seen) <= GROWTH_MAX, told


def quarters(seen, column):
    """Of what is seen once it is warm, the first and the last quarter."""
    warm = [row[column] for row in seen[len(seen) // 4:]]
    return warm[:max(1, len(warm) // 4)], warm[-max(1, len(warm) // 4):]


def growth_an_hour(seen):
    """Of its memory, as a line through all that is seen once it is warm."""
    warm = seen[len(seen) // 4:]
    slope = statistics.linear_regression([row[0] for row in warm], [row[1] for row in warm]).slope
    return slope * 3600 / statistics.mean(row[1] for row in warm)


def report(seen):
    first, last = quarters(seen, 2)
    return (f"memory {seen[len(seen) // 4][1]} to {seen[-1][1]} kB, {growth_an_hour(seen) * 100:+.2f} % an hour; "
            f"descriptors {statistics.median(first):.0f} to {statistics.median(last):.0f}")
