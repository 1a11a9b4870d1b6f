"""What every integration test stands on: the release binaries, folders that go away, and no process left behind."""
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

import wire

ROOT = Path(__file__).resolve().parent.parent.parent
BINARIES = ROOT / "build"
PR_SET_CHILD_SUBREAPER = 36
# What was orphaned comes to us, so that nothing hides below init.
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def until(condition, what, deadline_s=10):
    deadline = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not in {deadline_s} s"
        time.sleep(wire.POLL_S)


def start_time(pid):
    """None where there is no such process (0 is none), or only a zombie of it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def words_of(pid):
    """Its arguments and environment; nothing where it has ended or is somebody else's. In the midst of exec() a process
    has no arguments for a moment: asked again until it does. The kernel's own threads never have: they have no program."""
    deadline = time.monotonic() + 1
    try:
        while start_time(pid) is not None and os.readlink(f"/proc/{pid}/exe"):
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            if words or time.monotonic() > deadline:
                return words + Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        pass
    return b""


def processes_of(mark):
    """Pids of all living processes that carry this text in their arguments or environment."""
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and int(entry) != os.getpid()]
    return [pid for pid in pids if mark.encode() in words_of(pid)]


def is_oom_known(pid):
    """Whether this machine lets anybody read how often memory was wanting in this process's cgroup."""
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    own = [line[4:] for line in Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines() if line[:4] == "0::/"]
    return any((Path(line.split()[4]) / path / "memory.events").exists() for line in mounts if " - cgroup2 " in line
               for path in own if "/thole-" in f"/{path}")


def cgroups_made(name):
    """Where the folder of a system's cgroups is, if there is one: below ours, as keeper is started by us."""
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    own = [line[4:] for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines() if line[:4] == "0::/"]
    return [Path(line.split()[4]) / own[0] / f"thole-{name}" for line in mounts if " - cgroup2 " in line and own]


def delete_cgroups(name):
    """What a killed keeper leaves of a system's cgroups, when nobody is in them any more."""
    for made in cgroups_made(name):
        for folder in [*made.glob("slot-*"), made]:
            try:
                folder.rmdir()
            except OSError:
                pass  # It never was, or the last process in it is on its way out.


def strike(system, pid, number):
    """Signals a process of this test's own, and nobody else: a wrong number in a test must not reach a stranger."""
    assert_own(system, [pid])
    os.kill(pid, number)


def wait_until_still(pid):
    """After SIGSTOP: on a busy machine a thread of it may run on for a moment."""
    def is_still(task):
        try:
            return (task / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] in ("T", "t")
        except OSError:
            return True
    until(lambda: all(is_still(task) for task in Path(f"/proc/{pid}/task").iterdir()), f"{pid} stands still")


def assert_own(system, pids):
    """Processes of this test's own, all of them, and they live."""
    assert all(pid is not None and pid > 1 for pid in pids), pids
    # One that is there may be missed by the first look on a busy machine: that has been seen, and not been explained.
    deadline = time.monotonic() + 2
    while not set(pids) <= set(system.pids()):
        assert time.monotonic() < deadline, [(pid, start_time(pid), words_of(pid)[:300]) for pid in pids]
        time.sleep(wire.POLL_S)


class System:
    """One run folder and one data folder, with keeper started on them."""

    def __init__(self, roles, binaries=BINARIES):
        self.base = Path(tempfile.mkdtemp(prefix="thole-test-", dir="/dev/shm"))
        # The last part of its path names the system's cgroup: two of one name would end each other's instances.
        self.run = self.base / self.base.name
        self.data = self.base / "data"
        self.roles, self.binaries = roles, binaries
        self.data.mkdir()

    def command(self):
        return [str(self.binaries / "lib/thole/keeper"), "start", "--run", str(self.run), "--data", str(self.data),
                "--binaries", str(self.binaries), "--roles", self.roles]

    def start(self):
        done = subprocess.run(self.command(), check=False, capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, done.stderr
        return wire.Keeper(self.run)

    def pids(self):
        return processes_of(str(self.base))

    def close(self):
        # By pid, and only what carries our folder's name. A role that takes another one's place just then is seen a look
        # later.
        deadline, empty_looks = time.monotonic() + 10, 0
        while empty_looks < 3 and time.monotonic() < deadline:
            pids = self.pids()
            empty_looks = 0 if pids else empty_looks + 1
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        log = self.data / "keeper.log"
        said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        shutil.rmtree(self.base, ignore_errors=True)
        delete_cgroups(self.run.name)
        while True:
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    break
            except ChildProcessError:
                break
        # The next keeper would hide that the one before was ended by its sanitizer.
        assert "Sanitizer" not in said and "runtime error" not in said, said


@pytest.fixture
def system():
    made = System("none")
    yield made
    made.close()
