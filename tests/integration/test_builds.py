"""A build that runs while thole dies or is to end, and what builds and releases leave on the disk."""
import signal
import sqlite3
import subprocess
import time

import pytest

from conftest import until
from project import Project

MANIFEST = """name: builds
services:
  web:
    run: sleep 1000
    port: none
    build: BUILD
"""
FAILS = '"head -c 100000 /dev/zero > left; exit 7"'


class Builds(Project):
    """One service, whose build is what a test says."""

    def have(self, build, content):
        self.write(MANIFEST.replace("BUILD", build))
        self.place("web", {"what": content})

    def begin_up(self):
        return subprocess.Popen([str(self.binaries / "thole"), "up"], cwd=self.folder, env=self.environment(),
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def copies(self, service="web"):
        folder = self.data / "releases" / service
        return sorted(each.name for each in folder.iterdir()) if folder.exists() else []

    def has_copies(self, names, service="web"):
        until(lambda: self.copies(service) == names, f"of {service} the disk holds {names}, not {self.copies(service)}")

    def is_building(self):
        return (self.folder / "begun").exists()


@pytest.fixture
def project():
    project = Builds(MANIFEST)
    yield project
    project.close()


def build_that_tells(project, rest):
    """Writes where the test sees it that it has begun."""
    project.folder.chmod(0o777)
    return f'"echo once >> {project.folder}/begun; {rest}"'


def test_a_build_outlives_keeper(project):
    project.have(build_that_tells(project, "sleep 3; echo made > made"), b"one")
    up = project.begin_up()
    until(project.is_building, "the build runs")
    keeper = project.role_pid("keeper")
    project.kill(keeper, signal.SIGKILL)
    project.wait_for_role("keeper", other_than=keeper)
    assert up.wait(60) == 0, project.timeline()[-10:]
    assert project.service("web")["release"] == 1
    assert not project.timeline("release broken")


def test_down_does_not_wait_for_a_build(project):
    project.have(build_that_tells(project, "sleep 600"), b"one")
    up = project.begin_up()
    until(project.is_building, "the build runs")
    began = time.monotonic()
    project.thole("down", limit_s=60)
    assert time.monotonic() - began < 10
    up.wait(60)
    until(lambda: project.pids() == [], "the last process has gone", 5)


def test_a_pruned_service_leaves_its_build_and_its_copies(project):
    project.have("echo made", b"one")
    project.up()
    project.has_copies(["v1"])
    project.have(build_that_tells(project, "sleep 600"), b"two")
    up = project.begin_up()
    until(project.is_building, "the build runs")
    project.write("name: builds\nservices:\n  other:\n    run: sleep 1000\n    port: none\n")
    project.place("other", {"what": b"one"})
    project.up("--prune")
    until(lambda: not any(each["name"] == "web" for each in project.seen()["services"]), "web has gone")
    project.has_copies([])
    project.has_copies(["v1"], "other")
    up.wait(60)
    control = project.role_pid("control")
    project.kill(control, signal.SIGKILL)
    project.wait_for_role("control", other_than=control)
    project.wait_settled()
    assert project.copies("other") == ["v1"] and project.copies() == []
    project.down()


def test_builds_that_fail_leave_no_copies(project):
    project.have("echo made", b"good")
    project.up()
    for turn in range(5):
        project.have(FAILS, f"bad {turn}".encode())
        project.up(wanted=1)
    project.has_copies(["v1"])
    assert project.service("web")["deploy"]["status"] == "broken"
    control = project.role_pid("control")
    project.kill(control, signal.SIGKILL)
    project.wait_for_role("control", other_than=control)
    assert project.service("web")["deploy"]["status"] == "broken", "whoever comes after it knows, too"


def test_a_release_that_was_taken_back_leaves_no_copy(project):
    project.have("echo made", b"good")
    project.up()
    project.write(MANIFEST.replace("BUILD", "echo made").replace("sleep 1000", "exit 7"))
    project.up(wanted=3)
    project.has_copies(["v1"])


def test_a_copy_that_was_left_behind_is_removed_at_the_next_start(project):
    project.have("echo made", b"good")
    project.up()
    project.have("exit 7", b"bad")
    project.up(wanted=1)
    project.down()
    left = project.data / "releases" / "web" / "v2"
    left.mkdir(exist_ok=True)
    (left / "what").write_bytes(b"left")
    project.have("echo made", b"good")
    project.up()
    project.has_copies(["v1"])


def test_manifests_that_nothing_refers_to_are_forgotten(project):
    project.have("echo made", b"good")
    for _ in range(5):
        project.up()
    lists = project.data / "files"
    until(lambda: [each.name for each in lists.iterdir()] == ["5"], "one list of files is left")
    project.down()
    project.up()
    until(lambda: [each.name for each in lists.iterdir()] == ["6"], "one list of files is left")
    assert len(project.instances("web")) == 1


def test_an_old_manifest_that_is_refused_now_does_not_stop_control(project):
    """As a later thole may, of what an earlier one took."""
    project.have("echo made", b"one")
    project.up()
    project.have("echo made", b"two")
    project.up()
    project.down()
    with sqlite3.connect(project.data / "state.db") as rows:
        assert rows.execute("UPDATE manifests SET text = 'services: 7' WHERE revision = 1").rowcount == 1
    rows.close()
    project.up()
    assert project.service("web")["release"] == 2
    assert "revision 1 cannot be read any more" in project.timeline("trouble")[0]["text"]
