"""keeper, watch or a child dies at each numbered place between an effect and its record; then all must be well."""
import mmap
import os
import re
import shutil
import signal
import socket
import struct
import time

import pytest

import wire
from conftest import ROOT, System, processes_of, start_time, strike, until

KEEPER = ROOT / "build/faults/bin/keeper"
SOURCES = sorted((ROOT / "src/keeper").glob("*.cpp"))
PLACES = sorted({place for source in SOURCES
                 for place in re.findall(r'FAULT_POINT\("([^"]+)"\)', source.read_text(encoding="utf-8"))})
SLOT, FLOOD = 20, 30
# Where a keeper must have died before, and where, for the next one to come by.
BEFORE = {"adopt, unclaimed": "spawn, armed", "adopt, taken from the late": "spawn, armed"}


class Faults:
    """The file by which a process is told where to die (src/os/fault_point.h)."""

    def __init__(self, path):
        path.write_bytes(bytes(152))
        with path.open("r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 0)

    def arm(self, place):
        self.memory[80:152] = bytes(72)
        self.memory[16:80] = place.encode().ljust(64, b"\0")
        self.memory[0:8] = struct.pack("<q", 1)

    def disarm(self):
        self.memory[0:8] = struct.pack("<q", 0)

    def died_at(self):
        """Where somebody died since it was armed; empty: nobody has."""
        pid = struct.unpack("<I", self.memory[80:84])[0]
        return self.memory[88:152].rstrip(b"\0").decode() if pid else ""


class Driver:
    """Does what control would do: repeats what was not answered, forgets what ended, starts the next generation."""

    def __init__(self, system):
        self.system = system
        self.keeper = system.start()
        self.generations = {}
        self.ports = {}
        self.copies = {}
        self.restarts = 0

    def mark(self, slot):
        return f"SLOT={slot};{self.system.base};"

    def attempt(self, step):
        """Until it has gone through once with an unbroken link."""
        deadline = time.monotonic() + 20
        while True:
            try:
                return step()
            except (OSError, ConnectionError):
                assert time.monotonic() < deadline, "no keeper stays"
                try:
                    self.connect()
                except ConnectionError:
                    pass

    def connect(self):
        """With keeper and watch both gone, control starts them again and the edge gives back the listeners."""
        try:
            self.keeper.connect(1)
        except AssertionError:
            if processes_of(f"--run\0{self.system.run}\0"):
                raise ConnectionError("not yet") from None
            self.system.start().link.close()
            self.keeper.connect()
            self.restarts += 1
            for number, listener in self.copies.items():
                self.keeper.handed.clear()
                socket.send_fds(self.keeper.link, [wire.seal(wire.PARK_LISTENER, struct.pack("<I", number))], [listener])
                self.keeper.until(lambda: self.keeper.handed)

    def converge(self, slot):
        def step():
            deadline = time.monotonic() + 10
            while True:
                assert time.monotonic() < deadline, f"slot {slot} does not run"
                state = self.keeper.states.get(slot)
                if state is not None:
                    self.generations[slot] = max(self.generations.get(slot, 0), state.generation)
                if state is None or state.status == wire.FREE:
                    self.generations[slot] = self.generations.get(slot, 0) + 1
                    content = wire.image(["/bin/sleep", "1000"], [self.mark(slot), f"MARK={self.system.base}"], cgroup="x")
                    self.keeper.refused.clear()
                    self.keeper.spawn(slot, self.generations[slot], content)
                    wanted = self.generations[slot]
                    self.keeper.until(lambda: self.keeper.refused or
                                      self.keeper.status(slot, wanted) in (wire.RUNNING, wire.ENDED), 3)
                elif state.status == wire.ENDED:
                    self.keeper.forget(slot, state.generation)
                    self.keeper.until(lambda: self.keeper.states[slot].status != wire.ENDED, 3)
                elif state.status == wire.RUNNING:
                    return
                else:
                    self.keeper.read(0.05)
        self.attempt(step)

    def end(self, slot):
        def step():
            state = self.keeper.states.get(slot)
            if state is not None and state.status == wire.RUNNING:
                self.keeper.signal(slot, state.generation, signal.SIGKILL)
                self.keeper.wait_ended(slot, state.generation, 3)
        self.attempt(step)

    def listen(self, number):
        def step():
            self.keeper.listeners.pop(number, None)
            port = self.keeper.ensure_listener(number, self.ports.get(number, 0))
            self.keeper.handed.clear()
            self.keeper.send(wire.TAKE_LISTENER, struct.pack("<I", number))
            self.keeper.until(lambda: self.keeper.handed)
            self.ports[number], self.copies[number] = port, self.keeper.handed[0]
        self.attempt(step)

    def drop(self, number):
        self.ports.pop(number, None)
        os.close(self.copies.pop(number))
        # Followed by something that is answered, so that it has been done.
        self.attempt(lambda: self.keeper.send(wire.DROP_LISTENER, struct.pack("<I", number)))
        self.end(SLOT)

    def flood(self):
        def step():
            self.generations[FLOOD] = self.generations.get(FLOOD, 0) + 1
            content = wire.image(["/bin/sh", "-c", "head -c 80M /dev/zero; exec sleep 1000"],
                                 [f"MARK={self.system.base}", "PATH=/usr/bin:/bin"], out=str(self.system.data / "flood"))
            self.keeper.spawn(FLOOD, self.generations[FLOOD], content)
            spool = self.system.data / "flood"
            self.keeper.until(lambda: spool.exists() and spool.stat().st_size >= 80 * 2**20, 10)
            self.keeper.until(lambda: spool.stat().st_blocks * 512 <= 65 * 2**20, 5)
            self.end(FLOOD)
            self.keeper.forget(FLOOD, self.generations[FLOOD])
        self.attempt(step)

    def kill_keeper(self, slot):
        """And an instance while there is none."""
        before = self.keeper.synced[5]
        victim = self.keeper.states[slot].pid
        for pid in (before, victim):
            if pid in self.system.pids():
                strike(self.system, pid, signal.SIGKILL)
        until(lambda: start_time(before) is None, "keeper's death")
        self.attempt(self.connect)

    def kill_watch(self):
        pid = self.keeper.roles.get(1, {}).get("pid", 0)
        if pid in self.system.pids():
            strike(self.system, pid, signal.SIGKILL)
            until(lambda: start_time(pid) is None, "watch's death")

    def steps(self):
        """Whatever keeper does in its life, once; ends are yielded so that the caller can look."""
        yield lambda: [self.converge(slot) for slot in (SLOT, SLOT + 1)]
        yield lambda: self.listen(1)
        yield lambda: self.listen(2)
        yield lambda: self.end(SLOT)
        yield lambda: self.converge(SLOT)
        yield self.flood
        yield lambda: self.kill_keeper(SLOT)
        yield lambda: self.converge(SLOT)
        yield self.kill_watch
        yield lambda: self.drop(2)
        yield lambda: self.kill_keeper(SLOT + 1)

    def shut_down(self):
        """Asked again while somebody is there: `down` does the same."""
        deadline = time.monotonic() + 25
        while self.system.pids() or self.system.run.exists():
            assert time.monotonic() < deadline, f"left: {self.system.pids()}, {list(self.system.run.glob('*'))}"
            try:
                self.keeper.send(wire.SHUTDOWN)
                until(lambda: not self.system.pids() and not self.system.run.exists(), "the end", 1)
            except OSError:
                try:
                    self.keeper.connect(1)
                except AssertionError:
                    pass
            except AssertionError:
                pass
        for listener in self.copies.values():
            os.close(listener)


@pytest.fixture
def faulty(monkeypatch):
    if not KEEPER.exists():
        pytest.skip("needs the build with fault points: cmake --preset faults && ninja -C build/faults keeper")
    system = System("none")
    system.binaries = system.base / "binaries"
    (system.binaries / "lib/thole").mkdir(parents=True)
    shutil.copy(KEEPER, system.binaries / "lib/thole/keeper")
    faults = Faults(system.base / "faults")
    monkeypatch.setenv("THOLE_FAULT_FILE", str(system.base / "faults"))
    yield system, faults
    system.close()


def check_all_is_well(driver):
    driver.attempt(driver.connect)
    for slot in (SLOT, SLOT + 1):
        # Never two, at any moment; and in the end the one that keeper names. Who died while no keeper lived may
        # stand there as running for the second in which watch may still say how it ended.
        deadline = time.monotonic() + 10
        while True:
            driver.converge(slot)
            there = processes_of(driver.mark(slot))
            assert len(there) <= 1, "one process per slot"
            if there == [driver.keeper.states[slot].pid]:
                break
            assert time.monotonic() < deadline, (there, vars(driver.keeper.states[slot]))
            driver.keeper.read(0.1)
    for number, port in driver.ports.items():
        assert driver.keeper.listeners.get(number) == port, "a listener that was promised is there"


def kill_the_one_before(driver, faults, place):
    """Watch waits meanwhile, or the next keeper would have come and gone before it could be armed."""
    system, keeper = driver.system, driver.keeper
    driver.converge(SLOT)
    driver.end(SLOT)
    keeper.forget(SLOT, driver.generations[SLOT])
    keeper.until(lambda: keeper.states[SLOT].status == wire.FREE)
    keeper.until(lambda: start_time(keeper.roles.get(1, {}).get("pid", 0)) is not None)
    watch, before = keeper.roles[1]["pid"], keeper.synced[5]
    strike(system, watch, signal.SIGSTOP)
    faults.arm(BEFORE[place])
    driver.generations[SLOT] += 1
    keeper.spawn(SLOT, driver.generations[SLOT], wire.image(["/bin/sleep", "1000"], [driver.mark(SLOT)]))
    until(lambda: start_time(before) is None, "the keeper before")
    faults.arm(place)
    strike(system, watch, signal.SIGCONT)
    until(faults.died_at, "the place")


@pytest.mark.full
@pytest.mark.parametrize("place", PLACES)
def test_a_death_at_any_place_changes_nothing_in_the_end(faulty, place):
    system, faults = faulty
    driver = Driver(system)
    if place in BEFORE:
        kill_the_one_before(driver, faults, place)
    elif not place.startswith("stop, "):
        for step in driver.steps():
            faults.arm(place) if not faults.died_at() else None
            driver.attempt(step)
            if faults.died_at():
                break
        assert faults.died_at() == place, "nobody came by"
    faults.disarm()
    driver.attempt(driver.connect)
    check_all_is_well(driver)
    if place.startswith("stop, "):
        faults.arm(place)
    driver.shut_down()
    assert faults.died_at() in (place, BEFORE.get(place, place))
    assert not system.pids() and not system.run.exists()
