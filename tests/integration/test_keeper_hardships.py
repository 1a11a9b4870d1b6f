"""keeper where things go wrong together: both it and watch gone, users without rights, numbers used again."""
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

import wire
from conftest import BINARIES, System, processes_of, start_time, strike, until

SLOT = 20
NOBODY = 65534
CONTROL, EDGE = 2, 3
FAKE_ROLE = Path(__file__).with_name("fake_role.py")


def sleeper(system, **more):
    return wire.image(["/bin/sleep", "1000"], [f"MARK={system.base}"], **more)


def shell(system, script, **more):
    return wire.image(["/bin/sh", "-c", script], [f"MARK={system.base}", "PATH=/usr/bin:/bin"], **more)


def keeper_pid(keeper):
    return keeper.synced[5]


def kill_keeper(system, keeper):
    before = keeper_pid(keeper)
    strike(system, before, signal.SIGKILL)
    until(lambda: start_time(before) is None, "keeper's death")
    keeper.connect()


def role_pid(keeper, role):
    """Of a role that lives."""
    keeper.until(lambda: start_time(keeper.roles.get(role, {}).get("pid", 0)) is not None)
    return keeper.roles[role]["pid"]


def ask(path, kind):
    """Who answers on a role's socket: its pid."""
    with socket.socket(socket.AF_UNIX, kind) as link:
        link.settimeout(5)
        link.connect(str(path))
        return int(link.recv(100))


@pytest.fixture
def system():
    made = System("none")
    yield made
    made.close()


@pytest.fixture
def roles():
    """A system whose control and edge are played by fake_role.py."""
    made = System("control,edge")
    made.binaries = made.base / "binaries"
    (made.binaries / "lib/thole").mkdir(parents=True)
    shutil.copy(BINARIES / "lib/thole/keeper", made.binaries / "lib/thole/keeper")
    for name in ("thole", "lib/thole/edge"):
        shutil.copy(FAKE_ROLE, made.binaries / name)
    yield made
    made.close()


class Unprivileged(System):
    """Started by a user who may do nothing special."""

    def start(self):
        os.chmod(self.base, 0o755)
        for path in (self.base, self.data):
            os.chown(path, NOBODY, NOBODY)
        done = subprocess.run(["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *self.command()],
                              check=False, capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, done.stderr
        return wire.Keeper(self.run)


@pytest.fixture
def nobody():
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    made = Unprivileged("none")
    # The build's own folder may be closed to others.
    made.binaries = made.base / "binaries"
    (made.binaries / "lib/thole").mkdir(parents=True)
    shutil.copy(BINARIES / "lib/thole/keeper", made.binaries / "lib/thole/keeper")
    os.chmod(made.base, 0o755)
    yield made
    made.close()


def test_a_cut_request_does_nothing_else(system):
    """A Signal that lost half its body must not be taken for a Forget of the same length."""
    keeper = system.start()
    keeper.spawn(SLOT, 1, wire.image(["/bin/true"]))
    keeper.wait_ended(SLOT, 1)
    keeper.send(wire.SIGNAL, struct.pack("<II", SLOT, 1))
    keeper.until(lambda: keeper.refused)
    keeper.connect()
    assert keeper.status(SLOT, 1) == wire.ENDED
    pid = keeper.start(SLOT + 1, 1, sleeper(system))
    keeper.send(wire.SPAWN, struct.pack("<IIiI", SLOT + 1, 1, signal.SIGKILL, wire.ALL))
    keeper.until(lambda: len(keeper.refused) == 2)
    assert start_time(pid) is not None


def test_the_edges_holder_takes_its_slot_and_may_die_as_well(roles):
    roles.run.mkdir(mode=0o700)
    (roles.run / "fake").touch()
    keeper = roles.start()
    seen = {role_pid(keeper, EDGE)}
    for _ in range(3):
        before = role_pid(keeper, EDGE)
        strike(roles, before, signal.SIGKILL)
        until(lambda before=before: start_time(before) is None, "the edge's death")
        until(lambda: ask(roles.run / "edge.sock", socket.SOCK_SEQPACKET) not in seen, "its holder as the edge")
        now = ask(roles.run / "edge.sock", socket.SOCK_SEQPACKET)
        keeper.until(lambda now=now: keeper.roles[EDGE]["pid"] == now)
        seen.add(now)
        edges = [pid for pid in processes_of(str(roles.binaries / "lib/thole/edge"))]
        assert len(edges) == 2, "the edge and its holder, and no other"


def kill_together(system, pids):
    """Stopped first: else the holder could take the edge's place, and clone one of its own, before its turn comes."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            strike(system, pid, number)


def test_an_adopted_edges_holder_takes_its_slot_as_well(roles):
    """After keeper's own death neither is its child any more; after watch's, not even watch's."""
    roles.run.mkdir(mode=0o700)
    (roles.run / "fake").touch()
    keeper = roles.start()
    for _ in range(3):
        role_pid(keeper, EDGE)
        watch = role_pid(keeper, 1)
        strike(roles, watch, signal.SIGKILL)
        until(lambda watch=watch: start_time(watch) is None, "watch's death")
        role_pid(keeper, 1)
        kill_keeper(roles, keeper)
        for _ in range(2):
            before = role_pid(keeper, EDGE)
            strike(roles, before, signal.SIGKILL)
            until(lambda before=before: start_time(before) is None, "the edge's death")
            now = ask(roles.run / "edge.sock", socket.SOCK_SEQPACKET)
            keeper.until(lambda now=now: keeper.roles[EDGE]["pid"] == now)
        # Longer than keeper waits to be told how an adopted process ended.
        deadline = time.monotonic() + 1.5
        keeper.until(lambda: time.monotonic() > deadline)
        assert keeper.roles[EDGE]["pid"] == now and start_time(now) is not None
        kill_together(roles, processes_of(str(roles.binaries / "lib/thole/edge")))
        until(lambda now=now: ask(roles.run / "edge.sock", socket.SOCK_SEQPACKET) != now, "the next edge")


def test_edge_and_holder_die_together_and_another_comes(roles):
    roles.run.mkdir(mode=0o700)
    (roles.run / "fake").touch()
    keeper = roles.start()
    role_pid(keeper, EDGE)
    for _ in range(3):
        until(lambda: len(processes_of(str(roles.binaries / "lib/thole/edge"))) == 2, "edge and holder")
        old = processes_of(str(roles.binaries / "lib/thole/edge"))
        kill_together(roles, old)
        until(lambda old=old: ask(roles.run / "edge.sock", socket.SOCK_SEQPACKET) not in old, "the next edge")


def test_keeper_and_watch_dead_and_the_roles_are_still_reached(roles):
    keeper = roles.start()
    control, edge = role_pid(keeper, CONTROL), role_pid(keeper, EDGE)
    pid = keeper.start(SLOT, 1, sleeper(roles))
    watch, first = role_pid(keeper, 1), keeper_pid(keeper)
    for victim in (watch, first):
        strike(roles, victim, signal.SIGSTOP)
    for victim in (watch, first):
        strike(roles, victim, signal.SIGKILL)
    until(lambda: start_time(watch) is None and start_time(first) is None, "both deaths")
    assert subprocess.run(roles.command(), check=False, timeout=20).returncode == 0
    keeper.connect()
    assert keeper.states[SLOT].pid == pid
    assert ask(roles.run / "api.sock", socket.SOCK_STREAM) == role_pid(keeper, CONTROL)
    assert ask(roles.run / "edge.sock", socket.SOCK_SEQPACKET) == role_pid(keeper, EDGE)
    # Where the kernel lets keeper take the sockets back, nobody had to be restarted for it.
    assert (role_pid(keeper, CONTROL), role_pid(keeper, EDGE)) == (control, edge)


def test_shutdown_asks_control_once_and_the_edge(roles):
    keeper = roles.start()
    role_pid(keeper, CONTROL)
    until(lambda: ask(roles.run / "api.sock", socket.SOCK_STREAM) > 0, "control")
    until(lambda: ask(roles.run / "edge.sock", socket.SOCK_SEQPACKET) > 0, "edge")
    keeper.send(wire.SHUTDOWN)
    until(lambda: not roles.pids(), "all processes gone")
    asked = dict(line.split() for line in (roles.base / "terms").read_text(encoding="utf-8").splitlines())
    assert set(asked) == {"2", "3"} and asked["2"] == "1", asked
    assert not roles.run.exists()


def test_shutdown_leaves_nothing_whatever_stood_there(system):
    """An image that was never spawned, a stopped watch, a daemon that left its session."""
    keeper = system.start()
    keeper.start(SLOT, 1, shell(system, "setsid sleep 1000 & sleep 1000"))
    until(lambda: len(system.pids()) == 5, "the daemon")
    (system.run / "images/77.1").write_bytes(b"never spawned")
    (system.run / "images/78.1").write_bytes(b"never spawned")
    strike(system, role_pid(keeper, 1), signal.SIGSTOP)
    keeper.send(wire.SHUTDOWN)
    until(lambda: not system.pids(), "all processes gone")
    assert not system.run.exists()


def test_start_during_shutdown_gives_a_keeper_that_stays(system):
    for _ in range(5):
        keeper = system.start()
        keeper.start(SLOT, 1, sleeper(system))
        keeper.send(wire.SHUTDOWN)
        keeper = system.start()
        assert SLOT not in keeper.states
    pid, deadline = keeper_pid(keeper), time.monotonic() + 7
    # Longer than watch would take to call it silent.
    while time.monotonic() < deadline:
        keeper.read(0.2)
    assert start_time(pid) is not None
    assert len(system.pids()) == 2


def own_sessions(system):
    """How many of its processes lead one."""
    found = 0
    for pid in system.pids():
        try:
            found += os.getsid(pid) == pid
        except ProcessLookupError:  # It ended just now.
            pass
    return found


def test_without_rights_all_of_it_works_but_cgroups(nobody):
    keeper = nobody.start()
    assert keeper.synced[4] == 0
    pids = {slot: keeper.start(slot, 1, sleeper(nobody, uid=NOBODY)) for slot in range(SLOT, SLOT + 5)}
    assert all(pids.values())
    kill_keeper(nobody, keeper)
    assert {slot: state.pid for slot, state in keeper.states.items()} == pids
    keeper.spawn(SLOT + 9, 1, sleeper(nobody, uid=0))
    assert keeper.wait_ended(SLOT + 9, 1).failed_step() == (8, 1)  # user, EPERM
    keeper.start(SLOT + 10, 1, shell(nobody, "setsid sleep 1000 & set -m; sleep 1000 & wait", uid=NOBODY))
    until(lambda: len(nobody.pids()) == 2 + 5 + 3 and own_sessions(nobody) == 2 + 5 + 2, "its children, one in a session of its own")
    keeper.signal(SLOT + 10, 1, signal.SIGKILL, wire.ALL)
    keeper.wait_ended(SLOT + 10, 1)
    # Its session goes with it, process groups of their own included; who left the session goes at the end.
    until(lambda: len(nobody.pids()) == 2 + 5 + 1, "its session gone")
    keeper.send(wire.SHUTDOWN)
    until(lambda: not nobody.pids(), "all processes gone")
    assert not nobody.run.exists()


def next_process_gets(pid, arguments):
    """A process of its own session with exactly this pid."""
    for _ in range(200):
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1), encoding="utf-8")
        made = subprocess.Popen(arguments, start_new_session=True)
        if made.pid == pid:
            return made
        made.kill()
        made.wait()
    return None


def test_an_ended_instances_number_may_belong_to_somebody_else():
    """Signals to what an instance left must not reach a stranger who was given its pid."""
    # In a PID namespace of its own: which number comes next is nobody else's business.
    if os.geteuid() != 0:
        pytest.skip("only root can choose pids")
    inner = [sys.executable, "-m", "pytest", "-q", __file__, "-k", "inner_stranger", "-p", "no:cacheprovider"]
    # Only this name is collected there, and nowhere else.
    inner += ["-o", "python_functions=inner_stranger"]
    done = subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", *inner], check=False, capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr


def inner_stranger(system):
    keeper = system.start()
    pid = keeper.start(SLOT, 1, sleeper(system))
    keeper.signal(SLOT, 1, signal.SIGKILL)
    began = keeper.wait_ended(SLOT, 1).start_time
    # A start time is a tick of 10 ms: within one, not even the kernel's numbers tell two processes apart.
    until(lambda: time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK") > began + 2, "the next tick")
    stranger = next_process_gets(pid, ["sleep", "1000"])
    assert stranger is not None
    keeper.signal(SLOT, 1, signal.SIGTERM, wire.ALL)
    keeper.signal(SLOT, 1, signal.SIGKILL, wire.ALL)
    keeper.forget(SLOT, 1)
    keeper.until(lambda: keeper.states[SLOT].status == wire.FREE)
    keeper.signal(SLOT, 1, signal.SIGKILL, wire.ALL)
    keeper.connect()
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_a_thousand_listeners_outlive_keeper_and_a_small_limit(system):
    command = system.command()
    done = subprocess.run(["prlimit", "--nofile=256:20000", *command], check=False, capture_output=True, timeout=20)
    assert done.returncode == 0
    keeper = wire.Keeper(system.run)
    for number in range(1000):
        keeper.send(wire.ENSURE_LISTENER, struct.pack("<IIHH", number, 0x7F000001, 0, 0))
    keeper.until(lambda: len(keeper.listeners) + len(keeper.failed_listeners) == 1000)
    assert not keeper.failed_listeners
    before = dict(keeper.listeners)
    for _ in range(3):
        keeper.listeners.clear()
        kill_keeper(system, keeper)
        assert keeper.listeners == before
    # A limit that was raised for keeper's sake is not passed on.
    out = system.data / "out"
    keeper.spawn(SLOT, 1, shell(system, "ulimit -Sn", out=str(out)))
    assert keeper.wait_ended(SLOT, 1).wait_status == 0
    assert out.read_text(encoding="utf-8") == "256\n"
    for number in range(1000, 1100):
        keeper.send(wire.ENSURE_LISTENER, struct.pack("<IIHH", number, 0x7F000001, 0, 0))
    keeper.until(lambda: len(keeper.listeners) + len(keeper.failed_listeners) == 1100)
    assert keeper.failed_listeners, "the table has an end, and says so"


def test_an_adopted_instances_end_is_told_at_once(system):
    keeper = system.start()
    for slot in range(SLOT, SLOT + 5):
        keeper.start(slot, 1, sleeper(system))
    kill_keeper(system, keeper)
    waits = []
    for slot in range(SLOT, SLOT + 5):
        strike(system, keeper.states[slot].pid, signal.SIGKILL)
        began = time.monotonic()
        state = keeper.wait_ended(slot, 1)
        waits.append(time.monotonic() - began)
        assert state.flags & wire.EXIT_KNOWN
    assert sorted(waits)[2] < 0.1, waits


def test_no_cgroup_outlives_its_instance_even_if_keeper_dies_between(system):
    keeper = system.start()
    if keeper.synced[4] == 0:
        pytest.skip("no cgroups here")
    for generation in range(1, 11):
        for slot in range(SLOT, SLOT + 5):
            keeper.start(slot, generation, sleeper(system, cgroup="x"))
        for slot in range(SLOT, SLOT + 5):
            keeper.signal(slot, generation, signal.SIGKILL)
        for slot in range(SLOT, SLOT + 5):
            keeper.wait_ended(slot, generation)
            keeper.forget(slot, generation)
        keeper.until(lambda: all(state.status == wire.FREE for state in keeper.states.values()))
        kill_keeper(system, keeper)
    def left():
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").split("\n")
                  if " - cgroup2 " in line]
        return [path for mount in mounts for path in Path(mount).glob(f"**/thole-{system.run.name}/slot-*")]
    until(lambda: not left(), "cgroups removed")


def test_a_service_may_open_its_own_stdout_again(system):
    """nginx logs to /dev/stdout, `tee /dev/stderr` truncates it: with a uid of its own it must be allowed to."""
    if os.geteuid() != 0:
        pytest.skip("services have uids of their own only where thole is root")
    keeper = system.start()
    out, err = system.data / "out", system.data / "err"
    os.chmod(system.base, 0o711)
    os.chmod(system.data, 0o711)
    script = "echo one >/dev/stdout && echo two | tee -a /dev/stderr"
    keeper.spawn(SLOT, 1, shell(system, script, out=str(out), err=str(err), uid=61200))
    assert keeper.wait_ended(SLOT, 1).wait_status == 0, err.read_text(encoding="utf-8")
    assert out.read_text(encoding="utf-8") == "one\ntwo\n"


def test_what_a_spool_dropped_is_counted_right_by_every_keeper(system):
    keeper = system.start()
    out = system.data / "out"
    keeper.start(SLOT, 1, shell(system, "head -c 200M /dev/zero; exec sleep 1000", out=str(out)))
    keeper.until(lambda: out.stat().st_size == 200 * 2**20, 20)
    until(lambda: out.stat().st_blocks * 512 <= 65 * 2**20, "trimmed")
    for _ in range(5):
        kill_keeper(system, keeper)
        with out.open("rb") as file:
            first = os.lseek(file.fileno(), 0, os.SEEK_DATA)
        keeper.until(lambda first=first: keeper.states[SLOT].dropped_out == first)


def test_a_truncated_spool_is_counted_on_from_there(system):
    keeper = system.start()
    out = system.data / "out"
    script = "head -c 200M /dev/zero; read go <$GO; : >/dev/stdout; head -c 100M /dev/zero; read go <$GO; exec sleep 1000"
    go = system.data / "go"
    os.mkfifo(go)
    keeper.start(SLOT, 1, wire.image(["/bin/sh", "-c", script], [f"GO={go}", "PATH=/usr/bin:/bin"], out=str(out)))
    keeper.until(lambda: out.stat().st_size == 200 * 2**20, 20)
    until(lambda: out.stat().st_blocks * 512 <= 65 * 2**20, "trimmed")
    time_of_count = time.monotonic() + 1
    keeper.until(lambda: time.monotonic() > time_of_count)
    keeper.connect()
    before = keeper.states[SLOT].dropped_out
    assert before > 100 * 2**20
    go.write_text("go\n", encoding="utf-8")
    keeper.until(lambda: out.stat().st_size == 100 * 2**20, 20)
    until(lambda: out.stat().st_blocks * 512 <= 65 * 2**20, "trimmed again")
    keeper.connect()
    assert before <= keeper.states[SLOT].dropped_out <= before + 100 * 2**20
    go.write_text("go\n", encoding="utf-8")
