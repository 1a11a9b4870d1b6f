"""A project whose every request is judged by the accountant while parts of thole or of the project die."""
import os
import signal
import struct
import time
from pathlib import Path

import accountant
from conftest import assert_own, start_time, until
from project import Project, free_port

ROLES = ("keeper", "watch", "control", "edge")
# A successor of the edge is there within milliseconds; on a machine that does other things, too, later.
SUCCESSOR_WITHIN_S = 10
# Control wakes keeper and watch when both have stood still for 10 s, of which it looks four times a second.
BOTH_STILL_S = 9.5
# Longer is failed (the limit of what a hold may add); the longest added wait is printed each time.
ADDED_MAX = "2s"
# What everybody holds open: enough to be seen, few enough for a machine of two cores that others use, too.
HELD = {"websocket": 10, "lines": 10, "events": 5}
# In its true size, which is for tests that take minutes.
WHOLE = {"rate": 200, "slow_ms": 8000, "hold": {"websocket": 100, "lines": 100, "events": 20}}
# `web` calls echo for each of its requests. `calm` has to do with nobody, and nobody touches it.
MANIFEST = """name: judged
services:
  echo:
    run: ./service
    public: PORT_HERE
    scale: SCALE_HERE
    requests: {upgrade: [websocket, lines]}
    env: {ENVIRONMENT_HERE}
  web:
    run: ./service
    public: WEB_HERE
    calls: [echo]
    scale: 2
    env: {PASS_ON: ECHO}
  calm:
    run: ./service
    public: CALM_HERE
    scale: 2
    env: {ARRIVALS_DIR: RECORDS_HERE}
"""
NEIGHBOURS = {
    "web": {"mix": {"get": 60, "post": 20, "slow": 5, "upload": 5}, "slow_ms": 200},
    "calm": {"mix": {"get": 60, "post": 20, "stream": 5, "upload": 3}, "hold": {"websocket": 2, "events": 1}},
}
# So few are asked in some seconds that half of them being new must be made sure.
NEIGHBOURS_RATE, NEIGHBOURS_NEW = 20, 0.85


def pause(span_s):
    """Lets the load go on for so long."""
    end = time.monotonic() + span_s
    until(lambda: time.monotonic() >= end, "the clock", span_s + 60)


class Judged(Project):
    """The accountant's own service, and the accountant. `with` it: what a failed test leaves is ended, too."""

    def __init__(self, scale=3, **environment):
        accountant.build()
        super().__init__("")
        self.records, self.calm_records = self.base / "records", self.base / "calm_records"
        for folder in (self.records, self.calm_records):
            folder.mkdir()
            folder.chmod(0o777)  # Each service has a user of its own.
        environment["ARRIVALS_DIR"] = self.records
        words = ", ".join(f'{name}: "{value}"' for name, value in environment.items())
        self.ports = {name: free_port() for name in NEIGHBOURS}
        manifest = MANIFEST.replace("SCALE_HERE", str(scale)).replace("ENVIRONMENT_HERE", words)
        for name, port in self.ports.items():
            manifest = manifest.replace(f"{name.upper()}_HERE", str(port))
        self.write(manifest.replace("RECORDS_HERE", str(self.calm_records)))
        self.judge, self.judges, self.calm_pids = accountant.Accountant(self.base), {}, []
        for name in ("echo", *NEIGHBOURS):
            self.place(name, {"service": accountant.SERVICE})
        for name in NEIGHBOURS:
            (self.base / name).mkdir()
            self.judges[name] = accountant.Accountant(self.base / name)

    def __enter__(self):
        try:
            self.up()
            self.calm_pids = self.instance_pids("calm")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        for judge in (self.judge, *self.judges.values()):
            judge.stop()
        self.close()

    def load(self, **more):
        """Of every kind, with tunnels and event streams held open; goes on until `judged`."""
        asked = {"rate": 200, "hold": HELD, "slow_ms": 1500, "added_max": ADDED_MAX,
                 "arrivals": self.records / "arrivals.log", "seen": self.records / "seen.log"} | more
        before = tunnels(asked["seen"].read_text(encoding="utf-8"))
        self.judge.start(f"http://127.0.0.1:{self.port}", **asked)
        for name, judge in self.judges.items():
            arrived = self.calm_records / "arrivals.log" if name == "calm" else asked["arrivals"]
            judge.start(f"http://127.0.0.1:{self.ports[name]}", NEIGHBOURS_RATE, new=NEIGHBOURS_NEW, arrivals=arrived,
                        added_max=asked["added_max"], allow_broken=asked.get("allow_broken", 0), **NEIGHBOURS[name])
        pause(1)  # The first answers are here.
        seen = asked["seen"]
        until(lambda: tunnels(seen.read_text(encoding="utf-8")) >= before + sum(asked["hold"].values()), "the tunnels are open", 30)

    def neighbours(self):
        """Their reports. Ends their load, and what the timeline has of theirs is all there will be."""
        reports = {}
        for judge in self.judges.values():
            judge.end()
        for name, judge in self.judges.items():
            reports[name] = judge.finish()
            print(f"{name}\n{judge.text()}")
            assert not reports[name].get("error") and reports[name]["requests"] > 0, judge.text()
        return reports

    def broken(self, but_of=()):
        """What the timeline lists as broken, id -> text, but for that which these reports are about."""
        return {each["text"].split()[0]: each["text"] for each in self.timeline("request broken")
                if not any(f"/{report['run']}-" in each["text"] for report in but_of)}

    def list_broken(self, neighbours):
        """For `--begun`: before the load ends, so that the accountant finds it when it closes its books."""
        path = self.base / "begun"
        path.write_text("\n".join(self.broken(neighbours.values())) + "\n", encoding="utf-8")
        return path

    def judged(self):
        report = self.judge.finish()
        print(self.judge.text())
        assert not report.get("error"), self.judge.text()
        assert self.instance_pids("calm") == self.calm_pids, self.told()
        return report

    def assert_unharmed(self, name, report):
        assert report["passed"] and report["broken"] == 0, name + self.judges[name].text() + self.told()

    def assert_nothing_failed(self):
        self.judge.end()
        neighbours, report = self.neighbours(), self.judged()
        assert report["passed"] and report["broken"] == 0, self.judge.text() + self.told()
        assert report["requests"] > 100
        for name, each in neighbours.items():
            self.assert_unharmed(name, each)
        return report

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

    def instance_pids(self, service="echo"):
        return sorted(each["pid"] for each in self.instances(service))

    def kill_instance(self, pid):
        self.kill(pid, signal.SIGKILL)
        return time.time()


def tunnels(seen):
    """How many were opened, and streams."""
    return seen.count(" /tunnel/") + seen.count(" /sse/")


def boot_clock():
    """That of thole's roles."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def process_state(pid):
    """A letter, as in /proc/<pid>/stat; None where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return None
