"""The edge dies at each numbered place between an effect and its record, and wherever it just is, again and again; its
clients, who check every byte, must not notice."""
import mmap
import os
import random
import re
import shutil
import signal
import struct
import tempfile
import time
from pathlib import Path

import pytest

from conftest import BINARIES, ROOT, start_time
from edge import OUT, SERVES
from edge_stand import Load, Stand, kill_edge, three  # pylint: disable=unused-import

EDGE = ROOT / "build/faults/bin/edge"
SOURCES = sorted((ROOT / "src/edge").glob("*.cpp")) + [ROOT / "src/edge/records.h"]
ALL = sorted({place for source in SOURCES
              for place in re.findall(r'FAULT_POINT\("([^"]+)"\)', source.read_text(encoding="utf-8"))})
# Whoever takes over and dies of it before keeper has heard of its own holder is edge and holder in one.
OF_HEIRS = [place for place in ALL if place.startswith(("heir", "adopt"))]
PLACES = sorted(set(ALL) - set(OF_HEIRS))
VISITS_MAX, WAIT_S, BETWEEN_S = 40, 0.25, 0.02


class Places:
    """The file by which a process is told where to die (src/os/fault_point.h)."""

    def __init__(self, path):
        path.write_bytes(bytes(152))
        with path.open("r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 0)

    def arm(self, place, visits):
        self.memory[80:152] = bytes(72)
        self.memory[16:80] = place.encode().ljust(64, b"\0")
        self.memory[0:8] = struct.pack("<q", visits)

    def disarm(self):
        self.memory[0:8] = struct.pack("<q", 0)

    def dead(self):
        """Pid of who died since it was armed, or 0."""
        return struct.unpack("<I", self.memory[80:84])[0]


@pytest.fixture
def faulty(monkeypatch):
    if not EDGE.exists():
        pytest.skip("needs the build with fault points: cmake --preset faults && ninja -C build/faults edge")
    folder = Path(tempfile.mkdtemp(prefix="thole-points-", dir="/dev/shm"))
    (folder / "lib/thole").mkdir(parents=True)
    shutil.copy(BINARIES / "lib/thole/keeper", folder / "lib/thole/keeper")
    shutil.copy(EDGE, folder / "lib/thole/edge")
    places = Places(folder / "places")
    monkeypatch.setenv("THOLE_FAULT_FILE", str(folder / "places"))
    made = Stand(3, folder)
    yield made, places
    made.close()
    shutil.rmtree(folder)


def crashed_at(stand, places, place, visits):
    """Whether somebody came by in time."""
    places.arm(place, visits)
    if place in OF_HEIRS:  # Passed by whoever takes over.
        stand.edge.connect()
        os.kill(stand.edge.pid, signal.SIGKILL)
    deadline = time.monotonic() + WAIT_S
    while not places.dead() and time.monotonic() < deadline:
        time.sleep(0.001)
    places.disarm()
    if not places.dead():
        return False
    follow(stand, places)
    return True


def follow(stand, places):
    """To whoever took over."""
    while start_time(places.dead()) is not None:
        time.sleep(0.001)
    stand.edge.connect()


class Timed(list):
    """Failures, each with when it was seen."""

    def append(self, failure):
        super().append((round(time.monotonic(), 3), *failure))


def crash(stand, places, dice, crashes, told):
    """place -> how often. A place that nobody passes just now gives way to another one."""
    seen, bits = {}, SERVES
    while sum(seen.values()) < crashes:
        place = dice.choice(PLACES)
        if place.startswith("endpoint"):  # Passed when control says something.
            bits = OUT if bits == SERVES else SERVES
            places.arm(place, 1)
            stand.edge.endpoints([stand.entry(2, bits)])
            died = places.dead() != 0
            places.disarm()
            follow(stand, places)
        else:
            died = crashed_at(stand, places, place, dice.randint(1, VISITS_MAX) if dice.random() < 0.5 else 1)
        seen[place] = seen.get(place, 0) + died
        told.append((round(time.monotonic(), 3), place, died))
        time.sleep(BETWEEN_S)
    return seen


def crashes_go_unnoticed(faulty, seed, crashes):
    stand, places = faulty
    load, told = Load(stand), []
    load.failures = Timed()
    try:
        seen = crash(stand, places, random.Random(seed), crashes, told)
    finally:
        places.disarm()
        load.halt()
    print(f"{sum(seen.values())} crashes, {load.done} requests, {len(load.posts)} POSTs, "
          f"longest {load.longest * 1000:.0f} ms; never: {sorted(set(PLACES) - {at for at in seen if seen[at]})}")
    for failure in load.failures:
        print(failure, "after", [each for each in told if each[0] < failure[0] + 0.5][-8:])
    load.end()
    return seen


@pytest.mark.full
@pytest.mark.parametrize("place", OF_HEIRS)
def test_an_heir_that_dies_while_it_takes_over_refuses_nobody(faulty, place):
    """What was under way breaks, as where edge and holder die together; whoever comes is served, each time."""
    stand, places = faulty
    for _ in range(5):
        quiet = stand.client()  # Somebody to be adopted.
        quiet.expect("GET", "/get/1")
        assert crashed_at(stand, places, place, 1)
        stand.client().expect("GET", "/get/2")


@pytest.mark.full
@pytest.mark.parametrize("slice_of_five", range(5))
def test_a_thousand_crashes_between_effect_and_record_go_unnoticed(faulty, slice_of_five):
    seed = int(os.environ.get("THOLE_SEED", "0")) * 5 + slice_of_five
    seen = crashes_go_unnoticed(faulty, seed, int(os.environ.get("THOLE_CRASHES", "1000")))
    assert len([place for place in seen if seen[place]]) > len(PLACES) / 2


@pytest.mark.full
@pytest.mark.parametrize("slice_of_four", range(4))
def test_five_hundred_of_two_thousand_deaths_go_unnoticed(three, slice_of_four):
    """One every 200 ms."""
    load = Load(three)
    for _ in range(500):
        kill_edge(three)
        load.stop.wait(0.2)
    load.end()
    print(f"slice {slice_of_four}: {load.done} requests, {len(load.posts)} POSTs, longest {load.longest * 1000:.0f} ms")
