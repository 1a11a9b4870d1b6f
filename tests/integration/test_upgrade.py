"""Another binary of the edge takes over from the one that serves; or does not, and then that one goes on."""
import contextlib
import json
import os
import re
import resource
import shutil
import signal
import struct
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import pytest

import wire
from conftest import BINARIES, ROOT, start_time, strike, until
from edge import SNAPSHOT, snapshot
from edge_stand import LISTENER, SERVICE, Load, Stand, kill_edge, kill_edge_and_holder, stand, three  # pylint: disable=unused-import
from project import Project
from test_edge_deaths import edges_of
from test_keeper_faults import Faults

UPGRADE_EDGE, EDGE, NEXT_EDGE = 13, 3, 5
NOBODY = 2**32 - 1
OLD_IS_GONE_WITHIN_S = 2

# An edge that is one only as far as it says; what it does then is filled in.
FAKE = f"""#!{sys.executable}
import os, signal, socket, struct, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import wire
HELLO, REFUSED, OFFER, DESCRIPTORS, ALL_SENT = 1, 2, 3, 4, 5
link = socket.socket(fileno=3)
link.setblocking(True)

def hello(layout, version=1):
    mine = os.pidfd_open(os.getpid())
    socket.send_fds(link, [wire.seal(HELLO, struct.pack("<IIII", version, layout, os.getpid(), 0))], [mine])

def hear():
    data, fds, _, _ = socket.recv_fds(link, 65536, 64)
    if not data:
        sys.exit(0)
    kind, body = wire.open_frame(data)
    return kind, body, fds

def hear_until(wanted):
    while True:
        kind, body, fds = hear()
        if kind == wanted:
            return body, fds

def hang():
    while True:
        signal.pause()

LAYOUT = LAYOUT_HERE
"""


def layout():
    text = (Path(__file__).parent.parent.parent / "src/edge/segment.h").read_text(encoding="utf-8")
    return int(re.search(r"kLayoutVersion = (\d+)", text)[1])


def fake(stand, *lines):
    """The path of an edge that does this."""
    path = stand.system.base / f"fake-{len(list(stand.system.base.glob('fake-*')))}"
    path.write_text(FAKE.replace("LAYOUT_HERE", str(layout())) + "\n".join(lines) + "\n", encoding="utf-8")
    path.chmod(0o755)
    return path


class Done:
    """What the edges said."""

    def __init__(self, body):
        self.old, self.new, self.connections, self.tunnels, self.lost, _, self.quiet, reason = struct.unpack(
            "<IIIIIIq128s", body)
        self.reason = reason.split(b"\0")[0].decode()


def ask(stand, program=""):
    stand.keeper.connect()
    stand.keeper.link.send(wire.seal(UPGRADE_EDGE, str(program).encode().ljust(1024, b"\0")))


def beside(stand):
    """(generation, pid) of the last edge that was started beside another."""
    with open(f"{stand.system.run}/slots", "rb") as table:
        table.seek(128 + 64 * NEXT_EDGE)
        return struct.unpack("<II", table.read(8))


def begin(stand):
    """The pid of the new edge, from its first moment on; it may have the old one's slot by now. Asked again where the old
    one has only just begun."""
    last = beside(stand)[0]
    stand.keeper.refused.clear()
    ask(stand)
    deadline = time.monotonic() + 10
    while beside(stand)[0] == last or beside(stand)[1] == 0:
        assert time.monotonic() < deadline, "no new edge"
        stand.keeper.read()
        if stand.keeper.refused:
            stand.keeper.refused.clear()
            ask(stand)
    return beside(stand)[1] if beside(stand)[1] != NOBODY else wire.claimed_pid(stand.system.run, EDGE)


def upgrade(stand, program=""):
    """What became of it; control's link is the one of whoever serves afterwards."""
    stand.edge.upgraded = None
    ask(stand, program)
    stand.edge.until(lambda: stand.edge.upgraded is not None, "it is said what became of it", 15)
    stand.edge.connect()
    return Done(stand.edge.upgraded)


def inodes(stand):
    """Of the listening sockets that the edge has."""
    listening = {line.split()[9] for line in Path("/proc/net/tcp").read_text(encoding="utf-8").splitlines()[1:]
                 if line.split()[3] == "0A"}
    found = set()
    for link in Path(f"/proc/{stand.edge.pid}/fd").iterdir():
        try:
            target = os.readlink(link)
        except OSError:  # A connection that was just closed.
            continue
        if target.startswith("socket:[") and target[8:-1] in listening:
            found.add(target[8:-1])
    return found


def succeeds(stand, program=""):
    before, holder, listening = stand.edge.pid, stand.one_holder(), inodes(stand)
    done = upgrade(stand, program)
    assert (done.old, done.new, done.lost, done.reason) == (before, stand.edge.pid, 0, "")
    assert start_time(before) is None and start_time(holder) is None
    assert inodes(stand) == listening
    until(lambda: set(edges_of(stand)) == {stand.edge.pid, stand.one_holder()}, "one edge and its holder")
    return done


def goes_on(stand, reason, program):
    """It fails so, and the old edge has lost nothing by it."""
    before, holder = stand.edge.pid, stand.one_holder()
    done = upgrade(stand, program)
    assert (done.old, done.new) == (before, 0) and reason in done.reason, done.reason
    assert stand.edge.pid == before and stand.one_holder() == holder
    stand.client().expect("GET", "/get/1")
    return done


def upgraded_under_load(stand, times):
    load, pids, quiet = Load(stand), {stand.edge.pid}, []
    try:
        for _ in range(times):
            load.stop.wait(0.1)
            quiet.append(succeeds(stand).quiet / 1e6)
            pids.add(stand.edge.pid)
    finally:
        load.halt()
    load.end()
    print(f"{load.done} requests; quiet for {[round(each) for each in sorted(quiet)]} ms; longest {load.longest:.3f} s")
    assert len(pids) == times + 1


def test_five_upgrades_under_load_lose_nothing(stand):
    upgraded_under_load(stand, 5)


@pytest.mark.full
def test_twenty_upgrades_under_load_lose_nothing(three):
    upgraded_under_load(three, 20)


class Tunnels(threading.Thread):
    """Half of them WebSockets, the others raw, each with a block on its way every tenth of a second; every byte is checked."""

    def __init__(self, stand, count):
        super().__init__()
        self.clients, self.sent, self.failures, self.over = [], [0] * count, [], threading.Event()
        for number in range(count):
            client = stand.client()
            word = ("websocket", "echo")[number % 2]
            client.send(f"GET /tunnel/ HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: {word}\r\n\r\n".encode())
            assert client.head()[0] == 101
            self.clients.append(client)
        self.start()

    @staticmethod
    def block(number, sequence):
        body = f"{number:06d} {sequence:051d}".encode()
        return (b"\x82\xba" if number % 2 == 0 else b"ra") + b"mask" + body

    def run(self):
        while not self.over.is_set():
            began = time.monotonic()
            for number, client in enumerate(self.clients):
                try:
                    client.send(self.block(number, self.sent[number]))
                    self.sent[number] += 1
                except OSError as problem:
                    self.failures.append((number, repr(problem)))
            for number, client in enumerate(self.clients):
                try:
                    got = client.exactly(64)
                    assert got == self.block(number, self.sent[number] - 1), (got, self.sent[number])
                except (OSError, AssertionError) as problem:
                    self.failures.append((number, repr(problem)))
            if self.failures:
                return
            self.over.wait(max(0, began + 0.1 - time.monotonic()))

    def end(self):
        """Nothing was lost, doubled or cut, and nothing more comes than was sent."""
        self.over.set()
        self.join()
        assert self.failures == []
        for client in self.clients:
            client.connection.setblocking(False)
            with pytest.raises(BlockingIOError):
                client.connection.recv(1)
            assert client.buffer == b""
            client.close()
        return sum(self.sent)


def upgraded_with_tunnels(stand, count, times):
    tunnels, old = Tunnels(stand, count), []
    try:
        for _ in range(times):
            sent = sum(tunnels.sent)
            until(lambda sent=sent: sum(tunnels.sent) >= sent + 2 * count or tunnels.failures, "blocks go round", 60)
            before, began = stand.edge.pid, time.monotonic()
            done = succeeds(stand)
            assert start_time(before) is None
            old.append(time.monotonic() - began)
            assert done.tunnels == count and done.connections >= count
    finally:
        tunnels.over.set()
    print(f"{tunnels.end()} blocks; from the wish until the old edge is gone {old} s")
    assert max(old) < OLD_IS_GONE_WITHIN_S


def test_sixty_tunnels_notice_nothing(stand):
    upgraded_with_tunnels(stand, 60, 2)


@pytest.mark.full
def test_five_hundred_tunnels_notice_nothing(three):
    upgraded_with_tunnels(three, 500, 10)


@pytest.mark.full
def test_ten_thousand_connections_are_handed_over(stand):
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
        done = succeeds(stand)
        print(f"quiet for {done.quiet / 1e6:.0f} ms")
        assert done.connections >= 10_000
        for client in clients[::37] + clients[::100]:
            client.expect("GET", "/get/2")
    finally:
        for client in clients:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_is_under_way_goes_on(stand):
    """A request at its instance, one that waits for an instance, half a head, an idle connection, one that was pipelined."""
    slow, half, idle, held = (stand.client() for _ in range(4))
    idle.expect("GET", "/get/1")
    slow.send(b"GET /slow/1 HTTP/1.1\r\nHost: a\r\n\r\nGET /get/2 HTTP/1.1\r\nHost: a\r\n\r\n")
    half.send(b"GET /get/3 HTTP/1.1\r\nHo")
    stand.edge.until(lambda: stand.in_hand() == 1, "the request at the instance")
    stand.edge.hold(SERVICE, True)
    held.send(b"GET /get/4 HTTP/1.1\r\nHost: a\r\n\r\n")
    stand.edge.until(lambda: stand.edge.header["held"] == 1, "one waits")
    done = succeeds(stand)
    assert done.connections == 4 and done.tunnels == 0
    assert slow.answer()[2] == b"GET /slow/1"
    stand.edge.hold(SERVICE, False)
    assert slow.answer()[2] == b"GET /get/2"
    assert held.answer()[2] == b"GET /get/4"
    half.send(b"st: a\r\n\r\n")
    assert half.answer()[2] == b"GET /get/3"
    idle.expect("GET", "/get/5")


BROKEN = {
    "is not there": ("/nowhere/edge", "is not there"),
    "may not be run": ("/etc/passwd", "may not be run"),
    "is no program": (b"nothing that runs", "ended before it was ready"),
    "ends at once": ("/bin/false", "ended before it was ready"),
    "ends once it has greeted": (("hello(LAYOUT)",), "ended"),
    "has another layout": (("hello(LAYOUT + 1)", "hear()", "hang()"), f"has layout {layout() + 1} of its memory"),
    "hands over in another way": (("hello(LAYOUT, 2)", "hear()", "hang()"), "in another way"),
    "says what nobody expects": (("link.send(b'what?')", "hang()"), "ended before it was ready"),
    "ends with the offer": (("hello(LAYOUT)", "hear_until(OFFER)"), "ended"),
    "ends half way": (("hello(LAYOUT)", "hear_until(DESCRIPTORS)"), "ended"),
    "ends with all of it": (("hello(LAYOUT)", "hear_until(ALL_SENT)"), "ended before it took over"),
    "is killed with all of it": (("hello(LAYOUT)", "hear_until(ALL_SENT)", "os.kill(os.getpid(), 9)"),
                                 "ended before it took over"),
    "hangs with all of it": (("hello(LAYOUT)", "hear_until(ALL_SENT)", "hang()"), "did not take over in 2 s"),
}
NOT_STARTED = ("is not there", "may not be run")


def program_of(stand, how):
    if isinstance(how, tuple):
        return fake(stand, *how)
    if isinstance(how, str):
        return how
    path = stand.system.base / "no-program"
    path.write_bytes(how)
    path.chmod(0o755)
    return path


def refused(stand, program):
    """keeper's reason, where it started nobody."""
    stand.keeper.refused.clear()
    ask(stand, program)
    stand.keeper.until(lambda: stand.keeper.refused)
    return stand.keeper.refused[-1]


def each_fails_and_the_old_one_goes_on(stand, names):
    load = Load(stand)
    try:
        for name in names:
            how, reason = BROKEN[name]
            program = program_of(stand, how)
            if name in NOT_STARTED:
                assert reason in refused(stand, program)
                continue
            goes_on(stand, reason, program)
            wait_for_its_end(stand)
        load.stop.wait(0.3)
    finally:
        load.halt()
    load.end()
    succeeds(stand)


def wait_for_its_end(stand):
    """Of who was started beside the edge."""
    until(lambda: start_time(wire.claimed_pid(stand.system.run, NEXT_EDGE)) is None, "it is gone")


def test_a_new_edge_that_ends_or_is_another_leaves_the_old_one_as_it_was(stand):
    each_fails_and_the_old_one_goes_on(stand, [*NOT_STARTED, "ends at once", "has another layout",
                                               "is killed with all of it"])


@pytest.mark.full
@pytest.mark.parametrize("name", [name for name in BROKEN if name not in NOT_STARTED])
def test_a_new_edge_that_fails_at_any_step_leaves_the_old_one_as_it_was(three, name):
    each_fails_and_the_old_one_goes_on(three, [name])


@pytest.mark.full  # Five seconds that no setting makes shorter.
@pytest.mark.parametrize("lines", [("hang()",), ("os.kill(os.getpid(), signal.SIGSTOP)",)])
def test_a_new_edge_that_does_not_start_is_given_up_and_killed(three, lines):
    load = Load(three)
    goes_on(three, "did not start in 5 s", fake(three, *lines))
    wait_for_its_end(three)
    load.end()
    succeeds(three)


@pytest.mark.full
def test_the_old_edge_dies_when_it_has_offered_its_place(three):
    """Its holder takes it, and who came too late ends."""
    load = Load(three)
    program = fake(three, "hello(LAYOUT)", "body, fds = hear_until(OFFER)",
                   "os.kill(struct.unpack('<QqII', body)[2], signal.SIGKILL)", "hear_until(0)")
    try:
        for _ in range(3):
            before, holder = three.edge.pid, three.one_holder()
            three.edge.upgraded = None
            ask(three, program)
            until(lambda before=before: start_time(before) is None, "the old edge's death")
            three.edge.connect()
            assert three.edge.pid == holder and three.edge.upgraded is None
            wait_for_its_end(three)
            until(lambda holder=holder: set(edges_of(three)) == {holder, three.one_holder()}, "one edge and its holder")
    finally:
        load.halt()
    load.end()
    succeeds(three)


def kill_in_the_middle(stand, turns, step_s):
    """SIGKILL of one or the other, ever later after the new edge was started. Whoever is left: exactly one edge serves,
    with one holder, and nothing is lost."""
    load, said = Load(stand), {}
    try:
        for turn in range(turns):
            before, holder, new = stand.edge.pid, stand.one_holder(), begin(stand)
            whom, victim = (("old", before), ("new", new))[turn % 2]
            later = time.monotonic() + turn // 2 * step_s
            while time.monotonic() < later:
                pass
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
            until(lambda victim=victim: start_time(victim) is None, "its death")
            until(lambda: len(edges_of(stand)) == 2 and len(stand.holder()) == 1, "one edge and one holder")
            stand.edge.connect()
            serves = "the old" if stand.edge.pid == before else "its holder" if stand.edge.pid == holder else "the new"
            said[whom, serves] = said.get((whom, serves), 0) + 1
            stand.client().expect("GET", "/get/1")
    finally:
        load.halt()
    print("killed and served afterwards:", said, f"longest {load.longest:.3f} s; failed: {load.failures}")
    load.end()


def test_either_edge_is_killed_in_the_middle(stand):
    kill_in_the_middle(stand, 8, 0.004)


@pytest.mark.full
@pytest.mark.parametrize("begin", range(2))
def test_either_edge_is_killed_a_hundred_times_ever_later(three, begin):
    kill_in_the_middle(three, 100, 0.0006 + begin * 0.0003)


@pytest.mark.full
def test_keeper_dies_in_the_middle(three):
    """The next one knows of the edge beside the edge, and starts no third."""
    load = Load(three)
    try:
        for turn in range(4):
            before, new = three.edge.pid, begin(three)
            keeper = three.keeper.synced[5]
            later = time.monotonic() + turn * 0.004
            until(lambda later=later: time.monotonic() >= later, "a moment")
            strike(three.system, keeper, signal.SIGKILL)
            # One that cannot tell keeper of its holder, or was never joined with the old one, does not take over.
            until(lambda new=new: start_time(new) is None or wire.claimed_pid(three.system.run, EDGE) == new, "an end of it")
            three.edge.connect()
            assert three.edge.pid == (before if start_time(new) is None else new)
            until(lambda: set(edges_of(three)) == {three.edge.pid, three.one_holder()}, "one edge and its holder")
            until(lambda: wire.claimed_pid(three.system.run, EDGE) == three.edge.pid, "keeper's table")
    finally:
        load.halt()
    load.end()


@pytest.mark.full
def test_the_next_deaths_are_unnoticed_again(three):
    """Of who was started beside another: its holder is as good as any, and keeper knows both."""
    load = Load(three)
    try:
        for _ in range(2):
            succeeds(three)
            three.keeper.connect()
            until(lambda: three.keeper.read(0.05) or three.keeper.roles[EDGE]["pid"] == three.edge.pid, "keeper's view")
            kill_edge(three)
            until(lambda: set(edges_of(three)) == {three.edge.pid, three.one_holder()}, "one edge and its holder")
    finally:
        load.halt()
    load.end()
    kill_edge_and_holder(three)
    three.edge.connect()
    three.client().expect("GET", "/get/1")
    succeeds(three)


@pytest.mark.full
def test_a_second_wish_is_refused_while_one_is_under_way(three):
    ask(three, fake(three, "hello(LAYOUT)", "hear_until(ALL_SENT)", "hang()"))
    assert "under way" in refused(three, "")
    three.edge.until(lambda: three.edge.upgraded is not None, "the first one is given up")
    succeeds(three)


def upgraded_amid_snapshots(stand, times):
    load = Load(stand)
    try:
        for _ in range(times):
            version = stand.version + 1
            path = stand.system.data / "edge" / f"snapshot.{version}"
            path.write_bytes(snapshot(version, {SERVICE: "shop"}, [(LISTENER, SERVICE)]))
            stand.edge.sequence += 1
            stand.edge.link.send(wire.seal(SNAPSHOT, struct.pack("<QQ", stand.edge.sequence, version)))
            succeeds(stand)
            assert stand.edge.welcome[3] in (version - 1, version)
            stand.activate([(LISTENER, SERVICE)])
            stand.client().expect("GET", "/get/1")
    finally:
        load.halt()
    load.end()


def test_a_snapshot_half_way_holds_as_a_whole_or_is_said_again(stand):
    upgraded_amid_snapshots(stand, 2)


@pytest.mark.full
def test_twenty_snapshots_half_way_hold_as_a_whole_or_are_said_again(three):
    upgraded_amid_snapshots(three, 20)


PLACES = sorted({place for source in (ROOT / "src/edge").glob("*.cpp") for place in
                 re.findall(r'FAULT_POINT\("((?:hand|inherit|take) ?[^"]*)"\)', source.read_text(encoding="utf-8"))})


@pytest.fixture
def faulty(monkeypatch):
    edge, keeper = ROOT / "build/faults/bin/edge", BINARIES / "lib/thole/keeper"
    if not edge.exists():
        pytest.skip("needs the build with fault points: cmake --preset faults && ninja -C build/faults edge")
    folder = Path(tempfile.mkdtemp(prefix="thole-points-", dir="/dev/shm"))
    (folder / "lib/thole").mkdir(parents=True)
    for program in (edge, keeper):
        shutil.copy(program, folder / "lib/thole")
    faults = Faults(folder / "places")
    monkeypatch.setenv("THOLE_FAULT_FILE", str(folder / "places"))
    made = Stand(3, folder)
    yield made, faults
    made.close()
    shutil.rmtree(folder)


@pytest.mark.full
@pytest.mark.parametrize("place", PLACES)
def test_whoever_dies_between_two_steps_leaves_one_that_serves(faulty, place):
    """Whose step it is: the old edge's, or the new one's."""
    stand, faults = faulty
    load = Load(stand)
    try:
        for _ in range(5):
            stand.edge.connect()
            faults.arm(place)
            begin(stand)
            until(faults.died_at, "somebody comes by")
            wait_for_its_end(stand)
            until(lambda: len(edges_of(stand)) == 2 and len(stand.holder()) == 1, "one edge and one holder")
            stand.edge.connect()
            stand.client().expect("GET", "/get/1")
    finally:
        faults.disarm()
        load.halt()
    load.end()
    succeeds(stand)


MANIFEST = """name: upgraded
services:
  web:
    run: python3 -u -m http.server --bind 127.0.0.1 $PORT
    public: PORT_HERE
"""


@pytest.fixture
def project():
    made = Project(MANIFEST)
    made.place("web", {"index.html": b"hello"})
    made.up()
    yield made
    made.close()


def test_thole_upgrade_tells_what_it_did(project):
    """By pid and count; or why nothing was done, and what to try."""
    before = project.role_pid("edge")
    done = json.loads(project.thole("upgrade", "--edge", "--json").stdout)
    now = project.role_pid("edge")
    assert done["format"] == 1 and done["result"] == "upgraded" and now != before
    assert (done["edge"]["old_pid"], done["edge"]["new_pid"], done["edge"]["failed"]) == (before, now, 0)
    copied = project.base / "another-edge"
    shutil.copy(BINARIES / "lib/thole/edge", copied)
    line = project.thole("upgrade", "--edge", "--binary", "../another-edge").stderr
    assert f"was {now}" in line and "requests failed: 0" in line
    assert os.readlink(f"/proc/{project.role_pid('edge')}/exe") == str(copied)
    text = project.timeline("edge upgraded")[-1]["text"]
    assert text.startswith(f"pid {project.role_pid('edge')} took over from {now}:")
    with urllib.request.urlopen(f"http://127.0.0.1:{project.port}/", timeout=10) as answer:
        assert answer.read() == b"hello"
    serves = project.role_pid("edge")
    for words, reason in ((("--binary", "/nowhere"), "is not there"), (("--binary", "/bin/false"), "before it was ready")):
        failed = project.thole("upgrade", "--edge", *words, wanted=None)
        assert failed.returncode == 1 and reason in failed.stderr and "try:" in failed.stderr, failed
    assert "try: thole upgrade --edge" in project.thole("upgrade", wanted=2).stderr
    assert project.role_pid("edge") == serves
    assert reason in project.timeline("edge not upgraded")[-1]["text"]
