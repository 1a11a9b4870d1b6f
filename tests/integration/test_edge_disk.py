"""The disk below the edge's folder hangs, is full or refuses: the edge goes on with the snapshot it has."""
import os
import struct
import subprocess
import time

import pytest

import wire
from conftest import start_time, until
from edge import OUT, SERVES, SNAPSHOT, SNAPSHOT_APPLIED, snapshot
from edge_stand import LISTENER, SERVICE, kill_edge, kill_edge_and_holder, stand  # pylint: disable=unused-import

TICKS_S = 5  # So long keeper waits for an edge that does not turn.
ACTIVE = 3  # In the welcome.


def content(version):
    return snapshot(version, {SERVICE: "shop"}, [(LISTENER, SERVICE)])


def ask_for(stand, version):
    file = stand.system.data / f"edge/snapshot.{version}"
    if not file.exists():
        file.write_bytes(content(version))
    stand.edge.sequence += 1
    stand.edge.link.send(wire.seal(SNAPSHOT, struct.pack("<QQ", stand.edge.sequence, version)))


def answer_of(stand):
    _, version, error, _, reason = struct.unpack("<QQiI104s", stand.edge.wait_for(SNAPSHOT_APPLIED))
    return version, error, reason.split(b"\0")[0].decode()


def active(stand):
    stand.edge.connect()
    return stand.edge.welcome[ACTIVE]


def goes_on(stand, seconds):
    """Requests are answered, and what control says of endpoints is acknowledged."""
    deadline = time.monotonic() + seconds

    def is_over():
        stand.edge.endpoints([stand.entry(0, OUT)])
        stand.edge.endpoints([stand.entry(0, SERVES)])
        stand.client().expect("GET", "/get/1")
        return time.monotonic() > deadline
    until(is_over, "the time is over", seconds + 10)


@pytest.mark.parametrize("name", ["current.new", "snapshot.2"])
def test_a_disk_that_hangs_holds_up_the_snapshot_and_nothing_else(stand, name):
    """Longer than keeper waits for who does not turn."""
    before, file = stand.edge.pid, stand.system.data / "edge" / name
    os.mkfifo(file)  # Whoever opens it waits for another side, which never comes.
    ask_for(stand, 2)
    goes_on(stand, TICKS_S + 2)
    assert active(stand) == 1
    # Another snapshot waits behind it; the hang is no reason to be replaced, and a death goes unnoticed.
    ask_for(stand, 3)
    goes_on(stand, 0.2)
    assert stand.edge.pid == before
    kill_edge(stand)
    file.unlink()
    goes_on(stand, 0)
    assert active(stand) == 1
    ask_for(stand, 4)
    assert answer_of(stand) == (4, 0, "")
    assert active(stand) == 4


def refused_until_mended(stand, word, mend):
    ask_for(stand, 2)
    version, error, reason = answer_of(stand)
    assert version == 2 and error != 0 and word in reason, reason
    assert active(stand) == 1
    goes_on(stand, 0)
    # Also who starts from the disk alone begins with the one before.
    kill_edge_and_holder(stand)
    until(lambda: active(stand) == 1, "the next edge")
    stand.client().expect("GET", "/get/1")
    mend()
    ask_for(stand, 2)
    assert answer_of(stand) == (2, 0, "")
    kill_edge_and_holder(stand)
    until(lambda: active(stand) == 2, "the next edge")
    stand.client().expect("GET", "/get/1")


def test_a_snapshot_that_cannot_be_named_is_refused_and_the_old_one_serves(stand):
    """Else the next edge would begin with one that is older than what was acknowledged."""
    in_the_way = stand.system.data / "edge/current.new"
    in_the_way.mkdir()
    refused_until_mended(stand, "edge/current.new", in_the_way.rmdir)


def test_where_nothing_is_served_yet_a_snapshot_that_cannot_be_named_serves(stand):
    """The one that is named has a listener that keeper has no more, and is gone from the disk at last."""
    folder = stand.system.data / "edge"
    (folder / "current.new").mkdir()
    (folder / "snapshot.1").unlink()
    kill_edge_and_holder(stand)
    until(lambda: active(stand) == 0, "the next edge")
    ask_for(stand, 2)
    version, error, reason = answer_of(stand)
    assert version == 2 and error != 0 and "edge/current.new" in reason, reason
    assert active(stand) == 2
    stand.edge.endpoints([stand.entry(0, SERVES)], full=True)
    stand.client().expect("GET", "/get/1")


def test_the_last_snapshot_serves_without_the_listeners_that_are_gone(stand):
    gone = LISTENER + 1
    stand.keeper.ensure_listener(gone)
    file = stand.system.data / "edge/snapshot.2"
    file.write_bytes(snapshot(2, {SERVICE: "shop"}, [(LISTENER, SERVICE), (gone, SERVICE)]))
    ask_for(stand, 2)
    assert answer_of(stand) == (2, 0, "")
    stand.keeper.drop_listener(gone)
    kill_edge_and_holder(stand)
    until(lambda: active(stand) == 0, "the next edge, which has not the whole of it")
    stand.client().expect("GET", "/get/1")
    stand.keeper.ensure_listener(gone)
    ask_for(stand, 2)
    assert answer_of(stand) == (2, 0, "")


def test_a_full_disk_refuses_the_snapshot_and_the_old_one_serves(stand):
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk that is small enough to fill")
    folder = stand.system.data / "edge"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "thole-test", folder], check=True)
    try:
        assert stand.edge.activate(1, content(1)) == (0, "")
        (folder / "snapshot.2").write_bytes(content(2))
        with pytest.raises(OSError), open(folder / "filler", "wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))
        refused_until_mended(stand, "space", (folder / "filler").unlink)
    finally:
        pid = stand.edge.pid
        assert start_time(pid) is not None
        subprocess.run(["umount", "-l", folder], check=True)
