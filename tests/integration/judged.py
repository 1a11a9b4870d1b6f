"""A project whose every request is judged by the accountant while parts of thole or of the project die."""
import os
import signal
import struct
import time
from pathlib import Path

import accountant
from conftest import assert_own, start_time, until
from project import Project

ROLES = ("keeper", "watch", "control", "edge")
# A successor of the edge is there within milliseconds; on a machine that does other things, too, later.
SUCCESSOR_WITHIN_S = 10
# Control wakes keeper and watch when both have stood still for 10 s, of which it looks four times a second.
BOTH_STILL_S = 9.5
# Longer is failed (the limit of what a hold may add); the longest added wait is printed each time.
ADDED_MAX = "2s"
# What everybody holds open: enough to be seen, few enough for a machine of two cores that others use, too.
HELD = {"websocket": 10, "lines": 10, "events": 5}
MANIFEST = """name: judged
services:
  echo:
    run: ./service
    public: PORT_HERE
    scale: SCALE_HERE
    env: {ENVIRONMENT_HERE}
"""


def pause(span_s):
    """Lets the load go on for so long."""
    end = time.monotonic() + span_s
    until(lambda: time.monotonic() >= end, "the clock", span_s + 60)


class Judged(Project):
    """The accountant's own service, and the accountant. `with` it: what a failed test leaves is ended, too."""

    def __init__(self, scale=3, **environment):
        accountant.build()
        super().__init__("")
        self.records = self.base / "records"
        self.records.mkdir()
        self.records.chmod(0o777)  # The service has a user of its own.
        environment["ARRIVALS_DIR"] = self.records
        words = ", ".join(f'{name}: "{value}"' for name, value in environment.items())
        self.write(MANIFEST.replace("SCALE_HERE", str(scale)).replace("ENVIRONMENT_HERE", words))
        self.place("echo", {"service": accountant.SERVICE})
        self.judge = accountant.Accountant(self.base)

    def __enter__(self):
        self.up()
        return self

    def __exit__(self, *_):
        self.judge.stop()
        self.close()

    def load(self, **more):
        """Of every kind, with tunnels and event streams held open; goes on until `judged`."""
        asked = {"rate": 200, "hold": HELD, "slow_ms": 1500, "added_max": ADDED_MAX,
                 "arrivals": self.records / "arrivals.log", "seen": self.records / "seen.log"} | more
        self.judge.start(f"http://127.0.0.1:{self.port}", **asked)
        pause(1)  # The tunnels are open, the first answers are here.

    def broken(self):
        """Request ids that the timeline lists as broken."""
        return [each["text"].split()[0] for each in self.timeline("request broken")]

    def list_broken(self):
        """For `--begun`: before the load ends, so that the accountant finds it when it closes its books."""
        path = self.base / "begun"
        path.write_text("\n".join(self.broken()) + "\n", encoding="utf-8")
        return path

    def judged(self):
        report = self.judge.finish()
        print(self.judge.text())
        assert not report.get("error"), self.judge.text()
        return report

    def assert_nothing_failed(self):
        report = self.judged()
        assert report["passed"] and report["broken"] == 0, self.judge.text() + self.told()
        assert report["requests"] > 100

    def told(self):
        """The timeline, for whoever must find out why a test failed."""
        return "\n".join(f"{each['time']} {each['instance'] or each['service']} {each['kind']}: {each['text']}"
                         for each in self.timeline()[-60:]) + self.log()[-3000:]

    def count(self, kind, words=""):
        return sum(words in each["text"] for each in self.timeline(kind))

    def kill_role(self, role, number=signal.SIGKILL, within_s=SUCCESSOR_WITHIN_S):
        """Signals it and waits for the next one; how long that took, in seconds."""
        before = self.role_pid(role)
        assert before is not None, f"no {role} to kill"
        began = time.monotonic()
        self.kill(before, number)
        self.wait_for_role(role, before, within_s)
        return time.monotonic() - began

    def kill_together(self, pids):
        """SIGKILL to all, without a moment in which one of them could make up for another."""
        pids = list(pids)
        assert_own(self, pids)
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                os.kill(pid, number)

    def holder(self):
        """The pid of the edge's holder, as its slot's record has it; None where there is none that lives."""
        with open(self.run / "slots", "rb") as table:
            table.seek(128 + 64 * 3 + 56)
            pid, start = struct.unpack("<II", table.read(8))
        is_it = pid > 1 and (start_time(pid) or 0) & 0xFFFFFFFF == start
        return pid if is_it else None

    def instance_pids(self):
        return sorted(each["pid"] for each in self.instances("echo"))

    def kill_instance(self, pid):
        self.kill(pid, signal.SIGKILL)
        return time.time()


def boot_clock():
    """That of thole's roles."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def process_state(pid):
    """A letter, as in /proc/<pid>/stat; None where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return None
