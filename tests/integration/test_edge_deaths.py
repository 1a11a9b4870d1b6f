"""Deaths of the edge that are not a plain kill: a worker that hangs, a holder that dies alone, faults, many connections."""
import contextlib
import ctypes
import os
import resource
import signal
import threading
import time
from pathlib import Path

import pytest

from conftest import start_time, strike, until
from edge import OUT
from stopped_thread import workers
from edge_stand import Load, kill_edge, stand, three  # pylint: disable=unused-import

SEIZE, INTERRUPT, WALL = 0x4206, 0x4207, 0x40000000
TO_SYSTEM_CALL, ONE_INSTRUCTION, READ_REGISTER = 24, 9, 3
RAX, ORIG_RAX, GETSOCKOPT, ACCEPT4, RECVFROM = 10 * 8, 15 * 8, 55, 288, 45
SYS_TGKILL = 234
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def private_kib(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon:"))


def test_a_worker_that_hangs_is_a_hung_edge(three):
    """Until it is replaced nothing is acknowledged; its successor acknowledges, and the acknowledgement holds."""
    before, tid = three.edge.pid, workers(three.edge.pid)[0]
    for number in range(8):
        three.client().expect("GET", f"/get/{number}")
    assert LIBC.ptrace(SEIZE, tid, None, None) == 0
    assert LIBC.ptrace(INTERRUPT, tid, None, None) == 0
    assert os.waitpid(tid, WALL)[0] == tid
    ended = threading.Event()

    def wait():
        # A traced thread's death is its tracer's to take: until then the process has not ended.
        while not ended.is_set():
            if os.waitpid(tid, WALL | os.WNOHANG)[0] == tid:
                return
            ended.wait(0.01)
    waiter = threading.Thread(target=wait)
    waiter.start()
    clients = [three.client() for _ in range(8)]
    for client in clients:
        client.send(b"GET /get/1 HTTP/1.1\r\nHost: a\r\n\r\n")
    began = time.monotonic()
    ids = three.edge.endpoints([three.entry(0, OUT)])
    took = time.monotonic() - began
    three.edge.connect()
    ended.set()
    waiter.join()
    assert three.edge.pid != before and 4 < took < 14
    assert [slot for slot, _ in ids if slot != 20] == []
    three.backends[0].allowed.write_text("none", encoding="utf-8")
    for client in clients:
        assert client.answer()[0] == 200
    for number in range(20):
        three.client().expect("GET", f"/get/{number}")
    assert three.backends[0].lines("forbidden") == []


def test_a_holder_that_dies_alone_is_replaced(three):
    """The next death of the edge is unnoticed again."""
    load = Load(three)
    before = three.edge.pid
    load.stop.wait(0.3)
    kib = private_kib(before)
    for _ in range(3):
        holder = three.one_holder()
        strike(three.system, holder, signal.SIGKILL)
        until(lambda holder=holder: three.holder() not in ([], [holder]), "another holder")
        three.edge.connect()
        assert three.edge.pid == before
        kill_edge(three)
        before = three.edge.pid
        until(lambda: len(three.holder()) == 1, "one holder")
        load.stop.wait(0.1)
    load.end()
    three.keeper.connect()
    until(lambda: three.keeper.read(0.05) or three.keeper.roles[3]["pid"] == three.edge.pid, "keeper's view")
    # It was a copy of an edge that served, of which it keeps nothing.
    assert private_kib(before) < 1.2 * kib + 256


def test_a_fault_costs_at_most_the_request_in_hand(three):
    """Not the others of its worker, not those of the other one; and what is lost is listed, unless no instance ever
    met it."""
    load = Load(three)
    for turn in range(3):
        before = three.edge.pid
        LIBC.syscall(SYS_TGKILL, before, workers(before)[turn % 2], signal.SIGSEGV)
        until(lambda before=before: start_time(before) is None, "its death")
        three.edge.connect()
        load.stop.wait(3)  # Three in five seconds are keeper's business.
    load.halt()
    assert len(load.failures) <= 3, load.failures
    three.edge.connect()
    edge = three.edge
    # One whose head was just being read had met no endpoint: it is closed, and counts for none.
    edge.until(lambda: edge.outcome("reset") <= len(load.failures) and edge.outcome("success") > 0, "counts")
    edge.until(lambda: len(edge.broken) == edge.outcome("reset"), "each that counts is listed, too")
    lost = [f"{method} {target}" for method, target, _ in load.failures]
    listed = [target for _, _, outcome, _, target, _ in edge.broken.values()]
    print(lost, listed)
    arrived = {f"POST /post/{line[0]}" for backend in three.backends for line in backend.lines("post")}
    assert set(listed) <= set(lost) and arrived & set(lost) <= set(listed)


def stop_of(tid):
    """The next stop of a traced thread: (system call, what it returned); None where it has not stopped yet."""
    if os.waitpid(tid, WALL | os.WNOHANG)[0] != tid:
        return None
    return LIBC.ptrace(READ_REGISTER, tid, ORIG_RAX, None), LIBC.ptrace(READ_REGISTER, tid, RAX, None)


def killed_at(stand, begin, is_it, steps):
    """What begin() gave, and the edge killed so many instructions after one of its workers had left the call that it is."""
    pid, tids = stand.edge.pid, workers(stand.edge.pid)
    for tid in tids:
        assert LIBC.ptrace(SEIZE, tid, None, None) == 0 and LIBC.ptrace(INTERRUPT, tid, None, None) == 0
        assert os.waitpid(tid, WALL)[0] == tid and LIBC.ptrace(TO_SYSTEM_CALL, tid, None, None) == 0
    begun, found = begin(), []

    def has_come():
        for tid in tids:
            stop = stop_of(tid)
            if stop is None:
                continue
            if is_it(tid, *stop):
                found.append(tid)
                return True
            assert LIBC.ptrace(TO_SYSTEM_CALL, tid, None, None) == 0
        return False
    until(has_come, "a worker is at that call")
    for _ in range(steps):
        assert LIBC.ptrace(ONE_INSTRUCTION, found[0], None, None) == 0
        assert os.WIFSTOPPED(os.waitpid(found[0], WALL)[1])
    os.kill(pid, signal.SIGKILL)
    for tid in tids:  # A traced thread's death is its tracer's to take.
        until(lambda tid=tid: not os.WIFSTOPPED(os.waitpid(tid, WALL)[1]), "a worker's death")
    until(lambda: start_time(pid) is None, "the edge's death")
    stand.edge.connect()
    return begun


def killed_while_it_writes_down(three, steps):
    """A client, of whom a worker had just asked the kernel for the cookie when it got so many instructions more."""
    accepted = set()

    def has_asked(tid, call, result):
        if call == ACCEPT4 and result >= 0:
            accepted.add(tid)
        return call == GETSOCKOPT and result == 0 and tid in accepted
    return killed_at(three, three.client, has_asked, steps)


@pytest.mark.parametrize("steps", range(0, 160, 8))
def test_who_was_just_being_written_down_is_served_however_far_that_was(three, steps):
    client = killed_while_it_writes_down(three, steps)
    deadline = time.monotonic() + 0.3  # A few sweeps, each of which closes what nobody serves.
    until(lambda: time.monotonic() > deadline, "sweeps")
    client.expect("GET", "/get/1")


@pytest.mark.full  # Ten seconds that no setting makes shorter.
def test_a_head_whose_first_bytes_were_read_just_before_the_edge_died_has_its_time_too(stand):
    client = stand.client()
    client.expect("GET", "/get/1")
    killed_at(stand, lambda: client.send(b"GET /"), lambda _, call, result: call == RECVFROM and result == 5, 0)
    client.connection.settimeout(14)
    assert client.connection.recv(1) == b""


def edges_of(stand):
    return [pid for pid in stand.system.pids() if b"lib/thole/edge" in command_line(pid)]


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as line:
            return line.read()
    except OSError:  # It ended just now.
        return b""


def test_no_heir_that_keeper_does_not_know_serves_beside_another_edge(stand):
    """The holder dies just after the edge: by then it may have cloned a holder of its own."""
    for turn in range(24):
        client, edge, holder = stand.client(), stand.edge.pid, stand.one_holder()
        client.connection.settimeout(5)
        client.send(b"GET /slow/0.2 HTTP/1.1\r\nHost: a\r\n\r\n")
        stand.edge.until(lambda: stand.in_hand() == 1, "the request at the instance")
        stand.edge.link.close()
        with contextlib.suppress(ProcessLookupError):  # keeper may have had it replaced just now.
            os.kill(edge, signal.SIGKILL)
        later = time.monotonic() + turn * 0.0002
        until(lambda later=later: time.monotonic() >= later, "a moment")
        with contextlib.suppress(ProcessLookupError):
            os.kill(holder, signal.SIGKILL)
        try:
            status = client.answer()[0]
        except ConnectionError:  # But not a timeout: nobody lets it hang.
            status = None
        assert status in (200, 502, None)
        stand.edge.connect()
        until(lambda: len(edges_of(stand)) == 2, "one edge and one holder", 10)
        stand.client().expect("GET", "/get/1")


def test_an_edge_that_is_told_to_end_for_good_has_no_heir(stand):
    """keeper says so at the end of all. It cannot end both at once: one cloned between the two would serve for ever."""
    for _ in range(5):
        stand.edge.connect()
        edge, holder = stand.edge.pid, stand.one_holder()
        os.kill(edge, signal.SIGUSR2)
        until(lambda holder=holder: start_time(holder) is None, "its holder's end")
        until(lambda: len(edges_of(stand)) == 2, "another edge, with a holder")
        stand.edge.connect()
        assert stand.edge.pid != holder
        stand.edge.link.close()


def test_an_edge_that_faults_again_and_again_leaves_it_to_keeper(stand):
    """Whoever sends what kills it must not hold it in a circle of holders."""
    pids = []
    for _ in range(3):
        stand.edge.connect()
        pids.append(stand.edge.pid)
        LIBC.syscall(SYS_TGKILL, pids[-1], workers(pids[-1])[0], signal.SIGSEGV)
        until(lambda: start_time(pids[-1]) is None, "its death")
    stand.client().expect("GET", "/get/1")
    stand.edge.connect()
    stand.keeper.connect()
    # Started anew: its parent is keeper, and its holder is its own.
    until(lambda: stand.keeper.read(0.05) or stand.keeper.roles[3]["starts"] >= 2, "keeper's start")


@pytest.mark.full
def test_ten_thousand_idle_connections_survive_in_a_blink(stand):
    """Each is asked of the kernel at a takeover; that must not take seconds."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 11_000:
        pytest.skip(f"this machine allows {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (11_000, hard))
    clients = []
    try:
        for number in range(10_000):
            clients.append(stand.client())
            if number % 100 == 0:
                clients[-1].expect("GET", "/get/1")
        began = time.monotonic()
        kill_edge(stand)
        took = time.monotonic() - began
        for client in clients[::37] + clients[::100]:
            client.expect("GET", "/get/2")
        print(f"{took * 1000:.0f} ms from the kill until control was answered")
        assert took < 1
    finally:
        for client in clients:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
