"""Services that behave badly, beside one that behaves well and must not notice."""
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import accountant
from accountant import Accountant
from conftest import cgroups_made
from project import Project

STARTUP_S, GRACE_S = 3, 1
NOBODY = 65534
# Nothing that takes long: the neighbour's answers are counted, not its patience.
LIGHT_MIX = {"get": 60, "post": 20, "stream": 5, "chunks": 3, "websocket": 1, "upload": 3}

CALM = """name: nasty
services:
  calm:
    run: ./service
    public: PORT_HERE
    scale: 2
    env: {ARRIVALS_DIR: ARRIVALS_HERE}
"""


def wild(name, environment=None, run="./service", more=()):
    """A service of the manifest that was told to misbehave."""
    lines = [f"  {name}:", f"    run: {run}", f"    health: {{startup: {STARTUP_S}s}}", f"    stop: {{grace: {GRACE_S}s}}"]
    if environment:
        lines.append("    env: {" + ", ".join(f"{key}: '{value}'" for key, value in environment.items()) + "}")
    return "\n".join(lines + [f"    {line}" for line in more]) + "\n"


class Nasty(Project):
    """`calm`, and whatever the test puts beside it."""

    def __init__(self, *services):
        accountant.build()
        super().__init__("")
        # Where each instance of calm, whatever its user, appends what arrived.
        self.arrivals = self.base / "arrivals"
        self.arrivals.mkdir()
        self.arrivals.chmod(0o777)
        self.write((CALM + "".join(services)).replace("ARRIVALS_HERE", str(self.arrivals)))
        self.place("calm", {"service": accountant.SERVICE})
        for service in services:
            self.place(service.split(":", 1)[0].strip(), {"service": accountant.SERVICE})
        self.judge = Accountant(self.base)

    def close(self):
        self.judge.stop()
        super().close()

    def begin_load(self, rate=40, **more):
        self.judge.start(f"http://127.0.0.1:{self.port}", rate=rate, mix=LIGHT_MIX, hold={"websocket": 2, "events": 2},
                         arrivals=[str(self.arrivals / "arrivals.log")], **more)

    def end_load(self):
        report = self.judge.finish()
        assert report["passed"] and report["failed"] == 0, self.judge.text()
        return report

    def reasons(self):
        return {each["name"]: each["reason"] for each in self.seen()["services"]}

    def texts(self, service, kind=None):
        return [each["text"] for each in self.timeline(kind) if each["service"] == service]

    def spools(self, service):
        return [path for path in (self.data / "spool").glob(f"{service}-*") if path.suffix in (".out", ".err")]


def without_rights(project):
    """As somebody who may do nothing special: no cgroups, no users of its own."""
    # The build's own folder may be closed to others.
    made = project.base / "binaries"
    (made / "lib/thole").mkdir(parents=True)
    for name in ("thole", "lib/thole/keeper", "lib/thole/edge"):
        shutil.copy(project.binaries / name, made / name)
    project.binaries = made
    subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", project.base], check=True)
    project.base.chmod(0o755)
    project.asked_by = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


def become_nobody(project):
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    without_rights(project)


def json_lines(text):
    # Not splitlines(): what a service wrote may hold what that takes for a line's end.
    return [json.loads(line) for line in text.split("\n") if line]


def anonymous_kib(pid):
    """Memory of its own that it has touched."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    return 0


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def cgroups_of(system):
    """thole's own folder and those of slots below it; none where thole may not make them."""
    found = set()
    for made in cgroups_made(system.run.name):
        try:
            found |= {made} | {folder for folder in made.iterdir() if folder.is_dir()}
        except OSError:
            pass  # It never was, or keeper deletes it now.
    return found


def needs_cgroups(project):
    """Skips where what a service detaches may outlive it, as `ps` says."""
    if any("no cgroup rights" in note for note in project.seen()["notes"]):
        pytest.skip("no cgroup rights here")


def children_told(project, service):
    """Pids that a service with FORK_GRANDCHILDREN says it started, of which there still are any."""
    said = [line["text"] for line in json_lines(project.thole("logs", service, "--json").stdout) if "text" in line]
    pids = [int(text.split()[1]) for text in said if text.startswith("child ")]
    ours = set(project.pids())
    return [pid for pid in pids if pid in ours]
