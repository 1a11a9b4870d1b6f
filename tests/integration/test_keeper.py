"""keeper and watch: one process per slot, adoption after any death, parked listeners, spools, a clean end."""
import ctypes
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest

import accountant
import wire
from conftest import BINARIES, System, is_oom_known, processes_of, start_time, until, words_of

SLOT = 20
SEIZE, TO_SYSTEM_CALL, DETACH, READ_REGISTER, READ_CHILD = 0x4206, 24, 17, 3, 0x4201
TRACE_FORK, STOPPED_IN_FORK, WALL = 2, signal.SIGTRAP | 1 << 8, 0x40000000
ORIG_RAX, SETSID = 15 * 8, 112
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
LIBC.ptrace.restype = ctypes.c_long


def shell(system, script, **more):
    """An image that runs this under sh, marked so that it can be found."""
    return wire.image(["/bin/sh", "-c", script], [f"MARK={system.base}", "PATH=/usr/bin:/bin"], **more)


def sleeper(system, **more):
    return wire.image(["/bin/sleep", "1000"], [f"MARK={system.base}"], **more)


def keeper_pid(keeper):
    return keeper.synced[5]


def kill_keeper(keeper):
    """SIGKILLs keeper and waits for the next one's answer; the new pid."""
    before = keeper_pid(keeper)
    os.kill(before, signal.SIGKILL)
    until(lambda: start_time(before) is None, "keeper's death")
    keeper.connect()
    assert keeper_pid(keeper) != before
    return keeper_pid(keeper)


def is_traced(pid):
    try:
        return b"TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_bytes()
    except FileNotFoundError:
        return False


def next_stop(pid, what):
    """Of a process that is traced: the status of its stop or of its end."""
    taken = [(0, 0)]

    def is_taken():
        taken[0] = os.waitpid(pid, WALL | os.WNOHANG)
        return taken[0][0] == pid
    until(is_taken, what)
    return taken[0][1]


def child_of_fork(parent, cause):
    """Traces this process and gives it cause to fork: the child's pid. It has made no system call yet, and the parent is
    still in its own."""
    child = ctypes.c_ulong()
    assert LIBC.ptrace(SEIZE, parent, None, TRACE_FORK) == 0
    cause()
    assert next_stop(parent, "the parent in fork()") >> 8 == STOPPED_IN_FORK
    assert LIBC.ptrace(READ_CHILD, parent, None, ctypes.addressof(child)) == 0
    next_stop(child.value, "the child's first stop")
    return child.value


def kill_traced(pid):
    os.kill(pid, signal.SIGKILL)
    assert os.WIFSIGNALED(next_stop(pid, "its death"))


def kill_keeper_in_fork(keeper, content):
    """Asked to start this, keeper dies before fork() returns to it. The child's pid: it waits where it no longer has
    keeper's lock and has not claimed its slot, until it is no longer traced."""
    before = keeper_pid(keeper)
    child = child_of_fork(before, lambda: keeper.spawn(SLOT, 1, content))
    while LIBC.ptrace(READ_REGISTER, child, ORIG_RAX, None) != SETSID:
        assert LIBC.ptrace(TO_SYSTEM_CALL, child, None, None) == 0
        assert os.WIFSTOPPED(next_stop(child, "the child's next system call"))
    kill_traced(before)
    return child


def watch_pid(keeper):
    """Of a watch that lives."""
    keeper.until(lambda: start_time(keeper.roles.get(1, {}).get("pid", 0)) is not None)
    return keeper.roles[1]["pid"]


def test_starting_twice_is_one_keeper(system):
    """Two people type `thole up` at once."""
    starts = [subprocess.Popen(system.command()) for _ in range(4)]
    assert [start.wait(timeout=30) for start in starts] == [0, 0, 0, 0]
    keeper = wire.Keeper(system.run)
    until(lambda: len(system.pids()) == 2, "one keeper and one watch")
    assert keeper_pid(keeper) in system.pids()


def test_an_instance_runs_with_its_image_and_its_end_is_known(system):
    keeper = system.start()
    out = system.data / "out"
    content = shell(system, "pwd; echo $MARK; ls /proc/self/fd | wc -l; exit 7", cwd="/usr", out=str(out))
    keeper.spawn(SLOT, 1, content)
    state = keeper.wait_ended(SLOT, 1)
    assert os.waitstatus_to_exitcode(state.wait_status) == 7
    assert state.flags == wire.EXIT_KNOWN
    lines = out.read_text(encoding="utf-8").split()
    assert lines[:2] == ["/usr", str(system.base)]
    # 0, 1, 2 and the one that ls itself opens: nothing of keeper's leaks into services.
    assert lines[2] == "4"


def test_what_is_said_of_its_memory_is_what_could_be_read(system):
    """Killed, and nobody can know whether for want of memory: then that is said, also of one that watch waited for."""
    keeper = system.start()
    for generation in (1, 2):
        pid = keeper.start(SLOT, generation, sleeper(system, cgroup="x"))
        until(lambda pid=pid: b"sleep" in words_of(pid), "its program")
        known = wire.OOM_KNOWN if is_oom_known(pid) else 0
        if generation == 2:
            kill_keeper(keeper)
        os.kill(pid, signal.SIGKILL)
        state = keeper.wait_ended(SLOT, generation)
        assert (state.flags, state.oom_kills) == (wire.EXIT_KNOWN | known, 0)
        keeper.forget(SLOT, generation)
        keeper.until(lambda: keeper.states[SLOT].status == wire.FREE)


def test_what_cannot_run_says_at_which_step(system):
    keeper = system.start()
    keeper.spawn(SLOT, 1, wire.image(["/no/such/program"]))
    state = keeper.wait_ended(SLOT, 1)
    assert state.flags & wire.SPAWN_FAILED
    assert state.failed_step() == (10, 2)  # exec, ENOENT
    keeper.spawn(SLOT + 1, 1, wire.image(["/bin/true"], cwd="/no/such/folder"))
    assert keeper.wait_ended(SLOT + 1, 1).failed_step() == (9, 2)


def test_a_slot_takes_each_generation_once_and_one_process(system):
    keeper = system.start()
    pid = keeper.start(SLOT, 5, sleeper(system))
    keeper.send(wire.SPAWN, struct.pack("<II", SLOT, 5))  # Asked again: nothing new.
    keeper.spawn(SLOT, 4, sleeper(system))
    keeper.spawn(SLOT, 6, sleeper(system))
    keeper.until(lambda: len(keeper.refused) == 2)
    assert keeper.refused == ["this generation is over", "the slot is taken"]
    assert processes_of(str(system.base)).count(pid) == 1
    assert len(system.pids()) == 3
    keeper.signal(SLOT, 5, signal.SIGKILL)
    keeper.wait_ended(SLOT, 5)
    keeper.spawn(SLOT, 6, sleeper(system))  # Not before control has taken note of the end.
    keeper.until(lambda: len(keeper.refused) == 3)
    keeper.forget(SLOT, 5)
    keeper.until(lambda: keeper.states[SLOT].status == wire.FREE)
    assert keeper.start(SLOT, 6, sleeper(system)) != pid


def test_a_damaged_or_missing_image_is_refused(system):
    keeper = system.start()
    content = sleeper(system)
    for number, damaged in enumerate([b"", content[:-1], content[:70] + b"\xff" + content[71:], b"x" * 2_000_000]):
        keeper.spawn(SLOT, number + 1, damaged)
    keeper.send(wire.SPAWN, struct.pack("<II", SLOT + 1, 1))
    keeper.until(lambda: len(keeper.refused) == 5)
    assert set(keeper.refused) == {"its image is missing or damaged"}
    assert SLOT not in keeper.states


def test_garbage_on_the_socket_closes_only_that_client(system):
    keeper = system.start()
    for junk in (b"x", b"\0" * 16, wire.seal(wire.SPAWN, b"123"), wire.seal(99), b"\xff" * 100_000):
        other = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        other.connect(str(system.run / "keeper.sock"))
        other.send(junk)
        other.settimeout(5)
        assert other.recv(100) == b""
    assert keeper.start(SLOT, 1, sleeper(system)) > 0


def test_keepers_death_changes_nothing_for_instances(system):
    keeper = system.start()
    pids = {slot: keeper.start(slot, 1, sleeper(system)) for slot in range(SLOT, SLOT + 5)}
    for _ in range(10):
        kill_keeper(keeper)
        assert {slot: state.pid for slot, state in keeper.states.items()} == pids
    assert all(start_time(pid) is not None for pid in pids.values())
    # watch is still their next ancestor, so it can tell how they end.
    os.kill(pids[SLOT], signal.SIGSEGV)
    state = keeper.wait_ended(SLOT, 1)
    assert os.waitstatus_to_exitcode(state.wait_status) == -signal.SIGSEGV
    assert state.flags & wire.EXIT_KNOWN


def test_who_ended_while_no_keeper_lived_is_known_to_the_next(system):
    keeper = system.start()
    pid = keeper.start(SLOT, 1, sleeper(system))
    os.kill(keeper_pid(keeper), signal.SIGKILL)
    os.kill(pid, signal.SIGTERM)
    keeper.connect()
    assert os.waitstatus_to_exitcode(keeper.wait_ended(SLOT, 1).wait_status) == -signal.SIGTERM


def test_a_child_that_comes_after_its_keepers_death_leaves_the_slot_alone(system):
    """It was forked and had not claimed yet; meanwhile the next keeper has given the slot to somebody else."""
    keeper = system.start()
    late = kill_keeper_in_fork(keeper, sleeper(system))
    keeper.connect()
    assert keeper.wait_ended(SLOT, 1).flags & wire.SPAWN_FAILED
    keeper.forget(SLOT, 1)
    keeper.until(lambda: keeper.states[SLOT].status == wire.FREE)
    pid = keeper.start(SLOT, 2, sleeper(system))
    assert LIBC.ptrace(DETACH, late, None, None) == 0
    until(lambda: start_time(late) is None, "the end of who came late")
    keeper.connect()
    assert (keeper.states[SLOT].generation, keeper.states[SLOT].pid) == (2, pid)
    assert start_time(pid) is not None


def test_watchs_death_brings_another_and_then_keepers_death_is_survived(system):
    keeper = system.start()
    pid = keeper.start(SLOT, 1, sleeper(system))
    port = keeper.ensure_listener(7)
    first = watch_pid(keeper)
    os.kill(first, signal.SIGKILL)
    until(lambda: start_time(first) is None, "its death")
    assert watch_pid(keeper) != first
    kill_keeper(keeper)
    assert keeper.states[SLOT].pid == pid
    assert keeper.listeners[7] == port
    # Its parent is neither keeper nor watch now: nobody can be told how it ended, and keeper says so.
    os.kill(pid, signal.SIGKILL)
    assert keeper.wait_ended(SLOT, 1).flags & wire.EXIT_KNOWN == 0


def test_a_keeper_whose_watch_died_in_fork_takes_nobody_else_for_it(system):
    """Orphaned before its first system call it is adopted, here by this very process, and killed whoever adopted it once
    that had been silent for five seconds."""
    keeper = system.start()
    first = watch_pid(keeper)
    before = keeper_pid(keeper)
    orphan = child_of_fork(first, lambda: os.kill(before, signal.SIGKILL))
    kill_traced(first)
    assert LIBC.ptrace(DETACH, orphan, None, None) == 0

    def has_a_watch():
        watch = wire.claimed_pid(system.run, 1)
        assert watch != os.getpid(), "whoever adopted keeper stands in watch's slot"
        return watch != first and start_time(watch) is not None
    until(has_a_watch, "a watch of its own", 4)  # By then nobody was killed for silence.
    keeper.connect()
    assert keeper_pid(keeper) == orphan
    until(lambda: sorted(system.pids()) == sorted([orphan, watch_pid(keeper)]), "one keeper and one watch")
    assert keeper.start(SLOT, 1, sleeper(system)) > 0


def test_a_listener_outlives_keeper_and_refuses_nobody(system):
    keeper = system.start()
    port = keeper.ensure_listener(7)
    waiting = []
    for _ in range(5):
        os.kill(keeper_pid(keeper), signal.SIGKILL)
        for _ in range(20):
            waiting.append(socket.create_connection(("127.0.0.1", port), timeout=5))
        keeper.connect()
    keeper.send(wire.TAKE_LISTENER, struct.pack("<I", 7))
    keeper.until(lambda: keeper.handed)
    listener = socket.socket(fileno=keeper.handed[0])
    listener.setblocking(False)
    accepted = 0
    while True:
        try:
            listener.accept()[0].close()
            accepted += 1
        except BlockingIOError:
            break
    assert accepted == 100


def test_a_port_that_is_taken_says_so(system):
    keeper = system.start()
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert keeper.ensure_listener(7, other.getsockname()[1]) is None
    assert keeper.failed_listeners[7] == 98  # EADDRINUSE


def test_a_segment_is_parked_for_the_next_edge(system):
    keeper = system.start()
    memory = os.memfd_create("segment")
    os.write(memory, b"outlives")
    socket.send_fds(keeper.link, [wire.seal(wire.PARK_SEGMENT)], [memory])
    keeper.until(lambda: len(keeper.handed) == 1)
    kill_keeper(keeper)
    keeper.send(wire.TAKE_SEGMENT)
    keeper.until(lambda: len(keeper.handed) == 2)
    assert os.pread(keeper.handed[1], 100, 0) == b"outlives"


def test_a_kill_of_all_takes_what_the_instance_left(system):
    """An app that ignores SIGTERM and forks grandchildren must not hold its port for ever."""
    keeper = system.start()
    script = "trap '' TERM; (sleep 1000 & sleep 1000 & exit) & sleep 1000 & echo ready; wait; sleep 1000"
    out = system.data / "out"
    keeper.start(SLOT, 1, shell(system, script, out=str(out), cgroup="x"))
    until(lambda: "ready" in out.read_text(encoding="utf-8"), "the children")
    until(lambda: len(system.pids()) >= 5, "four processes and the rest")
    keeper.signal(SLOT, 1, signal.SIGTERM)
    keeper.signal(SLOT, 1, signal.SIGKILL, wire.ALL)
    keeper.wait_ended(SLOT, 1)
    until(lambda: len(system.pids()) == 2, "only keeper and watch")


def test_a_flood_on_stdout_stays_within_its_cap(system):
    keeper = system.start()
    out = system.data / "out"
    keeper.start(SLOT, 1, shell(system, "head -c 400M /dev/zero; echo end", out=str(out)))
    keeper.wait_ended(SLOT, 1)
    # At any instant the cap is the paced flood's to prove: memory takes 400 MB within one turn of keeper's.
    assert out.stat().st_size > 400_000_000
    until(lambda: out.stat().st_blocks * 512 <= 65 * 1024 * 1024, "trimmed")
    with out.open("rb") as file:
        file.seek(-4, os.SEEK_END)
        assert file.read() == b"end\n"
    until(lambda: keeper.read(0) or True, "read")
    kill_keeper(keeper)
    keeper.until(lambda: keeper.states[SLOT].dropped_out > 300_000_000)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to mount a file system that knows no holes")
def test_without_holes_a_flood_is_emptied_and_counted(system):
    """Where nothing can be punched out the disk must not fill all the same."""
    before, folder = system.command(), system.base / "flat"
    folder.mkdir()
    mounted = f"mount -t ramfs none {folder} && exec \"$@\""
    system.command = lambda: ["unshare", "-m", "sh", "-c", mounted, "sh", *before]
    keeper = system.start()
    out = Path(f"/proc/{keeper_pid(keeper)}/root{folder}/out")
    keeper.start(SLOT, 1, shell(system, "head -c 200M /dev/zero; echo end; exec sleep 1000", out=f"{folder}/out"))
    until(lambda: words_of(keeper.states[SLOT].pid).startswith(b"sleep"), "all is written")
    until(lambda: out.stat().st_size <= 64 * 2**20, "emptied")
    keeper.connect()  # Who asks is told the newest count.
    accounted = keeper.states[SLOT].dropped_out + out.stat().st_size
    assert 64 * 2**20 < accounted <= 200 * 2**20 + 4
    assert "knows no holes" in (system.data / "keeper.log").read_text(encoding="utf-8")


def test_what_an_ended_instance_left_writes_within_the_cap_of_the_next_keeper_too(system):
    keeper = system.start()
    out, go = system.data / "out", system.data / "go"
    script = f"(until [ -e {go} ]; do sleep 0.05; done; head -c 400M /dev/zero; echo end) & exit 0"
    keeper.start(SLOT, 1, shell(system, script, out=str(out)))
    keeper.wait_ended(SLOT, 1)
    kill_keeper(keeper)
    go.touch()
    until(lambda: out.stat().st_size > 400_000_000, "all is written")
    until(lambda: out.stat().st_blocks * 512 <= 65 * 1024 * 1024, "trimmed")
    kill_keeper(keeper)
    keeper.until(lambda: keeper.states[SLOT].dropped_out > 300_000_000)


def test_a_thousand_spawns_allocate_nothing(system):
    """Large environments are common in containers; keeper's memory must not follow them."""
    keeper = system.start()
    content = wire.image(["/bin/true"], [f"BIG{number}={'x' * 1000}" for number in range(100)])

    def memory():
        return [line for line in Path(f"/proc/{keeper_pid(keeper)}/status").read_text(encoding="utf-8").split("\n")
                if line.startswith("RssAnon")][0]
    first = None
    for generation in range(1, 21):
        for slot in range(SLOT, SLOT + 50):
            keeper.spawn(slot, generation, content)
        for slot in range(SLOT, SLOT + 50):
            state = keeper.wait_ended(slot, generation)
            assert (state.wait_status, state.flags) == (0, wire.EXIT_KNOWN)
            keeper.forget(slot, generation)
        keeper.until(lambda: all(state.status == wire.FREE for state in keeper.states.values()))
        first = first or memory()
    assert memory() == first
    before = keeper_pid(keeper)
    keeper.connect()
    assert keeper_pid(keeper) == before
    assert keeper.synced[3] == 0, "allocations since start"
    assert not list((system.run / "images").iterdir())


def test_a_stopped_keeper_is_replaced(system):
    """A keeper that hangs for five seconds of watch's own on-time turns."""
    keeper = system.start()
    pid = keeper.start(SLOT, 1, sleeper(system))
    before = keeper_pid(keeper)
    os.kill(before, signal.SIGSTOP)
    until(lambda: start_time(before) is None, "watch's verdict", 15)
    keeper.connect()
    assert keeper.states[SLOT].pid == pid


def test_a_stopped_watch_is_replaced(system):
    keeper = system.start()
    before = watch_pid(keeper)
    os.kill(before, signal.SIGSTOP)
    until(lambda: start_time(before) is None, "keeper's verdict", 15)
    assert watch_pid(keeper) != before


def test_shutdown_leaves_nothing(system):
    keeper = system.start()
    for slot in range(SLOT, SLOT + 5):
        keeper.start(slot, 1, shell(system, "trap '' TERM; sleep 1000 & sleep 1000", cgroup="x"))
    keeper.ensure_listener(7)
    keeper.send(wire.SHUTDOWN)
    until(lambda: not system.pids(), "all processes gone")
    until(lambda: not system.run.exists(), "the run folder gone")
    hierarchy = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").split("\n")
                 if " - cgroup2 " in line]
    for mount in hierarchy:
        assert not list(Path(mount).glob(f"**/thole-{system.run.name}/slot-*"))
    # And it starts again as if nothing had been.
    assert system.start().start(SLOT, 1, sleeper(system)) > 0


def test_random_deaths_never_double_a_slot(system):
    """Keeper and watch are killed again and again while instances come and go."""
    keeper = system.start()
    generations = dict.fromkeys(range(SLOT, SLOT + 8), 1)
    for slot in generations:
        keeper.start(slot, 1, sleeper(system))
    for round_number in range(12):
        slot = SLOT + round_number % 8
        keeper.signal(slot, generations[slot], signal.SIGKILL)
        keeper.wait_ended(slot, generations[slot])
        keeper.forget(slot, generations[slot])
        keeper.until(lambda slot=slot: keeper.states[slot].status == wire.FREE)
        generations[slot] += 1
        keeper.spawn(slot, generations[slot], sleeper(system))
        victim = keeper_pid(keeper) if round_number % 3 else watch_pid(keeper)
        os.kill(victim, signal.SIGKILL)
        until(lambda victim=victim: start_time(victim) is None, "its death")
        keeper.connect()
        watch_pid(keeper)
        keeper.until(lambda slot=slot: keeper.status(slot, generations[slot]) in (wire.RUNNING, wire.ENDED, None))
        if keeper.status(slot, generations[slot]) != wire.RUNNING:
            if slot in keeper.states:
                keeper.forget(slot, generations[slot])
            generations[slot] += 1
            keeper.start(slot, generations[slot], sleeper(system))
        running = {state.pid for state in keeper.states.values() if state.status == wire.RUNNING}
        # One that has just claimed its slot may still wear keeper's name; one too many sleeps for as long as we look.
        until(lambda running=running: {pid for pid in system.pids() if b"sleep" in words_of(pid)} == running, "each once")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become somebody else")
def test_an_unprivileged_user_without_cgroups_is_served_too():
    """The tools are installed, the rights are not: it runs, and says what is not promised."""
    system = System("none")
    try:
        nobody = 65534
        shutil.copytree(BINARIES / "lib", system.base / "lib")
        system.binaries = system.base
        for path in (system.base, system.data):
            os.chown(path, nobody, nobody)
        before = system.command()
        system.command = lambda: ["setpriv", f"--reuid={nobody}", f"--regid={nobody}", "--clear-groups", *before]
        keeper = system.start()
        assert keeper.synced[4] == 0, "no cgroups of its own"
        pid = keeper.start(SLOT, 1, sleeper(system, uid=nobody))
        kill_keeper(keeper)
        assert keeper.states[SLOT].pid == pid
        # Becoming somebody else is not in its power, and that is said.
        keeper.spawn(SLOT + 1, 1, sleeper(system, uid=0))
        assert keeper.wait_ended(SLOT + 1, 1).failed_step()[0] == 8
        keeper.signal(SLOT, 1, signal.SIGKILL, wire.ALL)
        keeper.wait_ended(SLOT, 1)
        keeper.send(wire.SHUTDOWN)
        until(lambda: not system.pids(), "all processes gone")
    finally:
        system.close()


@pytest.mark.full
def test_keeper_may_die_at_any_system_call(system):
    """strace kills it at its n-th call after a spawn was asked for; the slot must end up with one process."""
    keeper = system.start()
    generation = 0
    for number in range(1, 81):
        generation += 1
        before = keeper_pid(keeper)
        tracer = subprocess.Popen(["strace", "-qq", "-o", "/dev/null", "-p", str(before),
                                   "-e", f"inject=all:signal=KILL:when={number}"])
        # It may die at a call of its own turn before it is asked for anything.
        until(lambda before=before: start_time(before) is None or is_traced(before), "strace")
        try:
            keeper.spawn(SLOT, generation, sleeper(system))
        except BrokenPipeError:
            pass

        def has_died(before=before, generation=generation):
            try:
                # Asked again, which changes nothing: an idle keeper would take minutes to come to its n-th call.
                keeper.send(wire.SPAWN, struct.pack("<II", SLOT, generation))
            except OSError:
                pass
            return start_time(before) is None
        until(has_died, "its death", 15)
        tracer.wait(timeout=10)
        keeper.connect()
        keeper.until(lambda generation=generation: keeper.status(SLOT, generation) in (wire.RUNNING, wire.ENDED, None))
        running = keeper.status(SLOT, generation) == wire.RUNNING
        if not running:  # It never was, or was taken back: control would try again with the next generation.
            if SLOT in keeper.states and keeper.states[SLOT].status == wire.ENDED:
                keeper.forget(SLOT, keeper.states[SLOT].generation)
            generation += 1
            keeper.start(SLOT, generation, sleeper(system))
        running = [keeper.states[SLOT].pid]
        until(lambda running=running: [pid for pid in system.pids() if b"/bin/sleep" in words_of(pid)] == running,
              f"one, killed at system call {number}")
        keeper.signal(SLOT, generation, signal.SIGKILL)
        keeper.wait_ended(SLOT, generation)
        keeper.forget(SLOT, generation)
        keeper.until(lambda: keeper.states[SLOT].status == wire.FREE)


@pytest.mark.full
def test_a_paced_flood_never_takes_more_than_its_cap(system, record_property):
    """100 MB/s of binary garbage for six seconds; who writes it makes up for what the machine held back."""
    accountant.build()
    keeper = system.start()
    out = system.data / "out"
    began = time.monotonic()
    keeper.start(SLOT, 1, shell(system, f"NEVER_LISTEN=1 FLOOD_STDOUT=100 exec {accountant.SERVICE}", out=str(out)))
    most = 0
    while time.monotonic() < began + 6:
        keeper.read(0.01)
        most = max(most, out.stat().st_blocks * 512)
    rate = out.stat().st_size / (time.monotonic() - began)
    keeper.signal(SLOT, 1, signal.SIGKILL)
    keeper.wait_ended(SLOT, 1)
    record_property("megabytes_a_second", round(rate / 1e6))
    print(f"{rate / 1e6:.0f} MB/s, at most {most / 2**20:.0f} MiB of it kept")
    assert rate > 95e6, "the flood is no flood"
    assert 64 * 2**20 < most <= 96 * 2**20, most
