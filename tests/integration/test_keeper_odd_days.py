"""keeper where it was started oddly, was held up at a bad moment, or is short of something."""
import os
import shutil
import signal
import socket
import struct
import subprocess
import time

import pytest

import wire
from conftest import System, assert_own, start_time, strike, until, wait_until_still, words_of
from judged import Judged, pause
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


def kill_keeper(system, keeper):
    before = keeper_pid(keeper)
    strike(system, before, signal.SIGKILL)
    until(lambda: start_time(before) is None, "keeper's death")
    keeper.connect()


def wait_s(keeper, span_s):
    deadline = time.monotonic() + span_s
    keeper.until(lambda: time.monotonic() > deadline, span_s + 10)


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
        kill_keeper(system, keeper)


def ended_generation(project, slot):
    """Which generation of a slot keeper has recorded the end of, and which there is."""
    with open(project.run / "slots", "rb") as table:
        table.seek(128 + 64 * slot)
        generation, _, _, ended = struct.unpack("<IIQI", table.read(20))
        return ended, generation


def stop(pid):
    os.kill(pid, signal.SIGSTOP)
    wait_until_still(pid)


def stop_keeper_with_an_heir_to_come(judged):
    """keeper has seen the edge die and stands still before the heir's one second is over; the heir's pid. None: it was too late."""
    keeper, edge, heir = judged.role_pid("keeper"), judged.role_pid("edge"), judged.holder()
    assert_own(judged, [keeper, edge, heir])  # Once: each look takes a part of that second.
    stop(heir)
    began = time.monotonic()
    os.kill(edge, signal.SIGKILL)
    until(lambda: len(set(ended_generation(judged, 3))) == 1 or time.monotonic() - began > 0.5, "keeper has reaped it")
    stop(keeper)
    is_early = time.monotonic() - began < 0.9 and len(set(ended_generation(judged, 3))) == 1
    for pid in (heir,) if is_early else (heir, keeper):
        os.kill(pid, signal.SIGCONT)
    if not is_early:
        judged.wait_for_role("edge", edge)
        until(judged.holder, "a holder")
    return heir if is_early else None


def test_an_heir_that_keeper_was_too_late_to_hear_goes_on():
    """keeper saw the edge die, was stopped itself, and comes back when the heir has long been serving."""
    with Judged() as judged:
        heir = None
        for _ in range(20):  # On a busy machine that second is soon over.
            heir = stop_keeper_with_an_heir_to_come(judged)
            if heir is not None:
                break
        assert heir is not None, "never quick enough"
        judged.load(rate=100, hold={})  # The heir serves. Nothing is waited for: watch gives keeper five seconds.
        pause(0.5)  # It has told keeper, who has not read it.
        os.kill(judged.role_pid("keeper"), signal.SIGCONT)
        until(lambda: judged.role_pid("edge") == heir or start_time(heir) is None, "keeper has looked")
        pause(0.5)
        assert judged.role_pid("edge") == heir, judged.told()
        judged.assert_nothing_failed()


def test_short_of_descriptors_the_next_keeper_takes_nobody_for_dead(system):
    subprocess.run(["prlimit", "--nofile=200:200", *system.command()], check=True, timeout=20)
    keeper = wire.Keeper(system.run)
    for slot in range(SLOT, SLOT + 80):
        keeper.start(slot, 1, sleeper(system, out=str(system.data / f"{slot}.out"), err=str(system.data / f"{slot}.err")))
    before = {slot: state.pid for slot, state in keeper.states.items()}
    for _ in range(2):
        kill_keeper(system, keeper)
        wait_s(keeper, 1.5)  # It gives watch a second to tell how those ended of whom it has no descriptor.
        assert {slot: state.pid for slot, state in keeper.states.items() if state.status == wire.RUNNING} == before
    strike(system, before[SLOT], signal.SIGKILL)
    keeper.wait_ended(SLOT, 1)
    assert keeper.start(SLOT + 80, 1, sleeper(system)) > 0, "another one can be started"


def read_until(link, wanted):
    """Messages until each of these kinds has come: (kind, how many descriptors)."""
    seen = []
    while not wanted <= {kind for kind, _ in seen}:
        data, descriptors, _, _ = socket.recv_fds(link, 256 * 1024, 4)
        for descriptor in descriptors:
            os.close(descriptor)
        seen.append((wire.open_frame(data)[0], len(descriptors)))
    return seen


def test_who_asks_before_reading_all_the_news_is_answered_when_they_do(system):
    """An edge that starts beside hundreds of listeners: its segment must not count as gone because its socket was full."""
    keeper = system.start()
    for number in range(400):
        keeper.ensure_listener(number)
    segment = os.memfd_create("segment")
    socket.send_fds(keeper.link, [wire.seal(wire.PARK_SEGMENT)], [segment])
    os.close(segment)
    keeper.until(lambda: keeper.handed)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
        link.settimeout(5)
        link.connect(str(system.run / "keeper.sock"))
        link.send(wire.seal(wire.HELLO, struct.pack("<II32s", 3, os.getpid(), b"test")))
        link.send(wire.seal(wire.TAKE_SEGMENT))
        wait_s(keeper, 0.3)
        seen = read_until(link, {wire.HANDED, wire.SYNCED})
        assert (wire.HANDED, 1) in seen
        assert sum(kind == wire.LISTENER_READY for kind, _ in seen) == 400


def controls_of(project):
    return [pid for pid in project.pids() if b"\0control\0--run\0" in words_of(pid)]


def test_no_second_control_comes_where_the_run_folder_was_deleted_and_keeper_died(project):
    """The next keeper knows of nobody: with a table of its own it would start everything beside what still runs."""
    project.up()
    control, watch = project.role_pid("control"), project.role_pid("watch")
    keeper = project.role_pid("keeper")
    shutil.rmtree(project.run)
    os.kill(keeper, signal.SIGKILL)
    until(lambda: project.log().count("was deleted") >= 2, "keeper tried again", 30)
    assert controls_of(project) == [control] and start_time(watch) is not None
    said = project.up(wanted=5).stderr
    command = "; ".join(f"pkill -{name} -f '[-]-run {project.run} --data'" for name in ("STOP", "KILL"))
    assert f"its run folder ({project.run}) was deleted" in said and f"try: {command}, and again" in said
    assert controls_of(project) == [control]
    subprocess.run(["sh", "-c", command], check=True)
    project.up()
    assert control not in controls_of(project) and len(controls_of(project)) == 1
    project.down()


@pytest.mark.parametrize("who", ["the run folder", "the folder it is in"])
def test_keeper_works_in_no_folder_that_others_may_change(system, who):
    """A name in /dev/shm may be taken before its user comes: what is started would be read there."""
    holds = system.base / "holds"
    holds.mkdir()
    system.run = holds / system.base.name
    system.run.mkdir(mode=0o700)
    (system.run if who == "the run folder" else holds).chmod(0o777)
    done = subprocess.run(system.command(), check=False, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and f"others may write to the run folder {system.run}\n  try: ls -ld" in done.stderr
    holds.chmod(0o1777)  # As /dev/shm: names in it stay their owners'.
    system.run.chmod(0o700)
    system.start().link.close()


def test_keeper_says_that_its_lock_cannot_be_opened(system):
    (system.data / "lock").mkdir()
    done = subprocess.run(system.command(), check=False, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "ended at once" in done.stderr
    assert "keeper: cannot open its lock in" in (system.data / "keeper.log").read_text(encoding="utf-8")


def test_keeper_says_that_the_file_system_of_its_run_folder_is_full(system):
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    system.run.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "none", str(system.run)], check=True)
    try:
        done = subprocess.run(system.command(), check=False, capture_output=True, text=True, timeout=20)
        assert done.returncode == 1 and "ended at once" in done.stderr
        log = (system.data / "keeper.log").read_text(encoding="utf-8")
        assert "keeper: cannot map its tables in" in log and "No space left on device" in log
    finally:
        until(lambda: not system.pids(), "nobody is left")
        subprocess.run(["umount", str(system.run)], check=True)
