"""keeper where it was started oddly, was held up at a bad moment, or is short of something."""
import signal
import subprocess

import pytest

import wire
from conftest import System, start_time, strike, until
from project import Project

SLOT = 20

MANIFEST = """name: odd
services:
  web:
    run: python3 -m http.server --bind 127.0.0.1 $PORT
"""


@pytest.fixture
def system():
    made = System("none")
    yield made
    made.close()


def sleeper(system, **more):
    return wire.image(["/bin/sleep", "1000"], [f"MARK={system.base}"], **more)


def keeper_pid(keeper):
    return keeper.synced[5]


@pytest.fixture
def project():
    made = Project(MANIFEST)
    made.place("web", {"empty": b""})
    yield made
    made.close()


def test_whoever_ignores_the_end_of_children_may_start_thole(project):
    """A daemon's SIG_IGN for SIGCHLD outlives exec(): then the kernel tells nobody of any end."""
    project.asked_by = ["env", "--ignore-signal=CHLD"]
    project.up()
    before = project.instances("web", None)[0]["pid"]
    project.kill(before, 9)
    until(lambda: start_time(before) is None, "its death")
    until(lambda: [each["pid"] for each in project.instances("web", None)] not in ([], [0], [before]), "another instance")
    for role in ("control", "keeper", "watch", "edge"):
        pid = project.role_pid(role)
        project.kill(pid, 9)
        project.wait_for_role(role, pid)
    project.down()


def test_keeper_and_watch_see_ends_also_where_their_starter_ignored_them(system):
    subprocess.run(["env", "--ignore-signal=CHLD", *system.command()], check=True, timeout=20)
    keeper = wire.Keeper(system.run)
    for generation in (1, 2):
        pid = keeper.start(SLOT, generation, sleeper(system))
        strike(system, pid, signal.SIGKILL)
        assert keeper.wait_ended(SLOT, generation).wait_status == signal.SIGKILL
        keeper.forget(SLOT, generation)
        keeper.until(lambda: keeper.states[SLOT].status == wire.FREE)
        before = keeper_pid(keeper)
        strike(system, before, signal.SIGKILL)
        until(lambda before=before: start_time(before) is None, "keeper's death")
        keeper.connect()
