"""The disk of thole's own data is full: services go on, what falls is restarted, and all is well again by itself."""
import os
import shutil
import signal
import subprocess

import pytest

from conftest import until
from nasty import Nasty, wild

DISK = "64m"


class SmallDisk(Nasty):
    """Its data folder is a file system of its own."""

    def __init__(self, *services):
        super().__init__(*services)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0711", "thole-test", self.data], check=True)

    def fill(self):
        with open(self.data / "filler", "wb", buffering=0) as filler:
            try:
                while filler.write(bytes(65536)) == 65536:
                    pass
                while filler.write(bytes(1)):
                    pass
            except OSError as problem:
                assert problem.errno == 28, problem

    def make_room(self):
        (self.data / "filler").unlink()

    def close(self):
        super().close()
        # What was just killed may still be leaving it.
        until(lambda: subprocess.run(["umount", self.data], check=False).returncode == 0, "nobody uses its disk any more")
        shutil.rmtree(self.base, ignore_errors=True)


@pytest.fixture
def small():
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk that is small enough to fill")
    project = SmallDisk(wild("other"))
    yield project
    project.close()


def replaced(project, service):
    """Kills its only instance; waits for the next, and gives its pid."""
    old = project.instances(service)[0]
    project.kill(old["pid"], signal.SIGKILL)
    until(lambda: [each for each in project.instances(service) if each["pid"] != old["pid"]], f"{service}'s next", 20)
    return project.instances(service)[0]["pid"]


def test_with_a_full_disk_services_go_on_and_restart_and_it_ends_alone(small):
    small.up("--detach")
    small.begin_load()
    pids = {each["pid"] for each in small.instances("calm")}
    small.fill()
    for _ in range(3):
        replaced(small, "other")
    until(lambda: "trouble: " in small.thole("ps").stderr, "ps says trouble")
    assert "full" in small.seen()["trouble"] or "space" in small.seen()["trouble"], small.seen()["trouble"]
    assert len(small.texts("other", "instance lost")) == 3, "told from memory meanwhile"
    small.make_room()
    until(lambda: small.seen()["trouble"] == "", "the trouble is over by itself")
    assert small.end_load()["failed"] == 0
    assert pids == {each["pid"] for each in small.instances("calm")}
    # What was kept in memory is on the disk now: the next control knows it.
    control = small.role_pid("control")
    small.kill(control, signal.SIGKILL)
    small.wait_for_role("control", other_than=control)
    assert len(small.texts("other", "instance lost")) == 3
    assert small.texts("other", "instance ready")


def test_control_dies_on_a_full_disk_and_the_next_one_keeps_everything_ready(small):
    small.up("--detach")
    small.begin_load()
    pids = {each["pid"] for each in small.instances("calm")}
    small.fill()
    replaced(small, "other")
    control = small.role_pid("control")
    small.kill(control, signal.SIGKILL)
    small.wait_for_role("control", other_than=control)
    until(lambda: small.thole("ps", wanted=None).returncode == 0, "control answers")
    replaced(small, "other")
    assert small.seen()["trouble"] != ""
    small.make_room()
    until(lambda: small.seen()["trouble"] == "", "the trouble is over by itself")
    assert small.end_load()["failed"] == 0
    assert pids == {each["pid"] for each in small.instances("calm")}
    small.thole("restart", "other")
    small.down()


def test_what_needs_the_disk_is_refused_with_a_reason_and_done_once_there_is_room(small):
    small.up("--detach")
    small.fill()
    (small.folder / "other" / "text").write_bytes(bytes(1000))
    done = small.up("--detach", "--timeout", "5s", wanted=None)
    text = done.stdout + done.stderr
    assert done.returncode in (1, 3, 6) and ("space" in text or "full" in text), (done.returncode, text)
    assert small.service("other")["instances_ready"] == 1 and small.service("other")["release"] == 1
    small.make_room()
    until(lambda: small.seen()["trouble"] == "", "the trouble is over by itself")
    small.up("--detach")
    assert small.service("other")["release_wanted"] == small.service("other")["release"] > 1


def test_a_build_that_fills_the_disk_gives_the_room_back(small):
    small.up("--detach")
    manifest = (small.folder / "thole.yaml").read_text(encoding="utf-8")
    small.write(manifest.replace("  other:\n", "  other:\n    build: cat /dev/zero > all\n"))
    done = small.up("--detach", wanted=1)
    assert "No space left" in done.stdout + done.stderr
    until(lambda: small.seen()["trouble"] == "", "the trouble is over by itself")
    assert shutil.disk_usage(small.data).free > 32 << 20
    small.write(manifest)
    (small.folder / "other" / "text").write_bytes(b"new")
    small.up("--detach")
    assert small.service("other")["release"] > 1
