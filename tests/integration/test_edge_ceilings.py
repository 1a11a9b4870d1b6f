"""More connections than descriptors and more bodies than memory: what goes first, and that the rest is served."""
import contextlib
import os
import resource
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from conftest import BINARIES, until
from edge import SERVES, Client
from edge_stand import Stand
from test_edge_limits import GET, Played, Taken
from test_edge_slow import ATTACKER, YES, post

MIB = 1024 * 1024


@contextlib.contextmanager
def limited(command, more=""):
    """thole's programs, of which the edge is limited."""
    with tempfile.TemporaryDirectory(prefix="thole-test-", dir="/dev/shm") as name:
        folder = Path(name) / "lib" / "thole"
        folder.mkdir(parents=True)
        (folder / "keeper").symlink_to(BINARIES / "lib" / "thole" / "keeper")
        (folder / "edge").write_text(f"#!/bin/sh\n{command}\nexec {BINARIES}/lib/thole/edge \"$@\" {more}\n",
                                     encoding="utf-8")
        (folder / "edge").chmod(0o755)
        yield Path(name)


@pytest.fixture
def few_descriptors():
    with limited("ulimit -n 500") as binaries, contextlib.closing(Stand(1, binaries)) as made:
        yield made


def is_open(connection):
    readable = select.select([connection], [], [], 0)[0]
    if not readable:
        return True
    try:
        return connection.recv(1, socket.MSG_PEEK) != b""
    except OSError:
        return False


def cpu_s(pid):
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descriptors_of(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n"], ids=["idle", "half a head"])
def test_an_address_that_opens_more_than_there_are_makes_room_for_the_others(few_descriptors, said):
    """Of its own connections the oldest; a quiet one of another address stays."""
    stand, crowd = few_descriptors, []
    kept = stand.client()
    kept.expect("GET", "/get/1")
    try:
        for number in range(900):
            crowd.append(Client(stand.port, ATTACKER))
            crowd[-1].send(said)
            if number % 100 == 0:
                stand.client().expect("GET", f"/get/{number}")
        until(lambda: descriptors_of(stand.edge.pid) < 400, "closed")
        kept.expect("GET", "/get/2")
        stand.client().expect("GET", "/get/3")
        assert not any(is_open(client.connection) for client in crowd[:200]), "the oldest"
        assert any(is_open(client.connection) for client in crowd[-100:]), "no more than needed"
    finally:
        for client in crowd:
            client.close()


def test_where_all_are_busy_who_comes_waits_and_nothing_spins(few_descriptors):
    """A full house is no reason to work: its listener is asked ten times a second."""
    stand, crowd = few_descriptors, []
    pid = stand.edge.pid
    try:
        for _ in range(600):
            crowd.append(Client(stand.port))
            crowd[-1].send(b"GET /tunnel/ HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        until(lambda: descriptors_of(pid) > 405, "full")
        before, began = cpu_s(pid), time.monotonic()
        assert not select.select([crowd[-1].connection], [], [], 2)[0]
        used = (cpu_s(pid) - before) / (time.monotonic() - began)
        print(f"{100 * used:.1f} % of a CPU while full")
        assert used < 0.1
        stand.edge.endpoints([stand.entry(0, SERVES)])  # Control is answered.
        for client in crowd[:500]:
            client.close()
        assert crowd[-1].head()[0] == 101
    finally:
        for client in crowd:
            client.close()


def test_twenty_thousand_connections_on_twenty_thousand_descriptors():
    """Each closed one is opened anew by nobody: those that remain stay, normal clients are served, control is answered."""
    helper = """if True:
        import resource, socket, sys
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
        held = []
        for _ in range(10_000):
            held.append(socket.create_connection(("127.0.0.1", int(sys.argv[1])), source_address=(sys.argv[2], 0)))
        print("done", flush=True)
        sys.stdin.read()
    """
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 20_000:
        pytest.skip("this machine does not allow 20000 descriptors")
    with limited("ulimit -n 20000") as binaries, contextlib.closing(Stand(1, binaries)) as stand:
        helpers = []
        try:
            for address in ("127.0.0.2", "127.0.0.3"):
                helpers.append(subprocess.Popen([sys.executable, "-c", helper, str(stand.port), address],
                                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            longest, served = 0, 0
            while not all(select.select([each.stdout], [], [], 0.01)[0] for each in helpers):
                asked = time.monotonic()
                stand.client().expect("GET", f"/get/{served}")
                longest, served = max(longest, time.monotonic() - asked), served + 1
            pid = stand.edge.pid
            until(lambda: descriptors_of(pid) <= 15_100, "shed")
            before, began = cpu_s(pid), time.monotonic()
            select.select([], [], [], 3)
            used = (cpu_s(pid) - before) / (time.monotonic() - began)
            stand.edge.endpoints([stand.entry(0, SERVES)])
            stand.client().expect("GET", "/get/1")
            print(f"{served} served, the longest {longest * 1000:.0f} ms; {descriptors_of(pid)} descriptors; "
                  f"{100 * used:.1f} % of a CPU")
            assert longest < 2 and used < 0.1
        finally:
            for each in helpers:
                each.kill()
                each.communicate()


def test_uploads_to_an_instance_that_does_not_take_them_stay_with_their_clients():
    """As in a cgroup of 64 MB: 500 of 100 MB. Memory stays below it, and what was begun goes on when the instance does."""
    with limited("", f"--memory {64 * MIB}") as binaries, contextlib.closing(Played(binaries)) as played, \
            contextlib.ExitStack() as until_closed:
        played.listener.listen(600)
        clients = [played.client() for _ in range(500)]
        try:
            for client in clients:
                client.send(post(100 * MIB))
                client.connection.setblocking(False)
            sent, still, data = [0] * len(clients), 0, bytes(65536)
            deadline = time.monotonic() + 120
            while still < 10:  # Until nobody takes more.
                assert time.monotonic() < deadline
                before = sum(sent)
                for number, client in enumerate(clients):
                    with contextlib.suppress(BlockingIOError, ConnectionError):
                        sent[number] += client.connection.send(data)
                still = still + 1 if sum(sent) == before else 0
                select.select([], [], [], 0.05)
            status = Path(f"/proc/{played.edge.pid}/status").read_text(encoding="utf-8").split("\n")
            resident = next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) * 1024
            refused = [client for client in clients if not is_silent_or_open(client)]
            print(f"{resident / MIB:.0f} MiB resident, {sum(sent) / MIB:.0f} MiB sent, {len(refused)} refused")
            assert resident < 64 * MIB
            assert len(refused) < 300
            assert max(sent) < 50 * MIB, "back-pressure"
            instances, moved = [], 0
            played.listener.setblocking(False)
            deadline = time.monotonic() + 20
            while moved < sum(sent) // 4:
                assert time.monotonic() < deadline, f"{moved / MIB:.0f} MiB came"
                with contextlib.suppress(BlockingIOError):
                    instances.append(until_closed.enter_context(played.listener.accept()[0]))
                    instances[-1].setblocking(False)
                for instance in instances:
                    with contextlib.suppress(BlockingIOError, ConnectionError):
                        moved += len(instance.recv(MIB))
        finally:
            for client in clients:
                client.close()


def is_silent_or_open(client):
    """False where it was answered or closed."""
    return not select.select([client.connection], [], [], 0)[0]


def test_answers_that_nobody_takes_do_not_take_all_buffers():
    """The largest are reset, and who comes is told to come again, until there is room."""
    with limited("", f"--memory {32 * MIB}") as binaries, contextlib.closing(Played(binaries)) as played:
        clients, instances = [], []
        try:
            for _ in range(200):
                client = played.client()
                client.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.send(GET)
                clients.append(client)
                instances.append(Taken(played.listener))
                instances[-1].send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
                instances[-1].connection.setblocking(False)
            stop = threading.Event()

            def talk():
                while not stop.is_set():
                    for instance in instances:
                        with contextlib.suppress(OSError):
                            instance.connection.send(bytes(1_000_000))
                    stop.wait(0.05)
            talker = threading.Thread(target=talk)
            talker.start()
            try:
                def is_one_reset():
                    for client in clients:
                        try:
                            client.connection.getpeername()
                        except OSError:
                            return True
                    return False
                until(is_one_reset, "the largest reset", 30)
            finally:
                stop.set()
                talker.join()

            status, fields, _ = played.client().request("GET", "/get/1")
            assert (status, fields["retry-after"]) == (503, "1")
            for client in clients:
                client.close()
            played.edge.until(lambda: played.in_hand() == 0, "all gone")
            client, instance = played.asked(GET)
            instance.send(YES)
            assert client.answer()[2] == b"yes"
        finally:
            for end in clients + instances:
                end.close()
