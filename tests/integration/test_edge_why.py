"""What the edge remembers of single requests: told truly, over its deaths, and in a file that holds nobody up."""
import json
import os
import shutil
import signal
import statistics
import subprocess
import time

import pytest

from conftest import until
from edge import HELD, IDEMPOTENT, NO_SLOT, OUT, OWN_ANSWER, SERVES, UNDER_WAY
from edge_stand import LISTENER, SERVICE, Load, Stand, kill_edge, kill_edge_and_holder, stand, three  # pylint: disable=unused-import


def told(stand, number):
    rows = stand.edge.why(number)
    assert len(rows) == 1, rows
    assert rows[0]["id"] == number
    return rows[0]


def test_a_request_is_told_as_it_went(stand):
    fields, body = stand.client().expect("POST", "/post/7", body=b"0123456789")
    row = told(stand, fields["x-request-id"])
    expected = {"target": "POST /post/7", "outcome": "success", "status": 200, "phase": "answering", "slot": 20,
                "generation": 1, "release": 1, "service": SERVICE, "listener": LISTENER, "considered": 1, "attempts": 1,
                "tries": 0, "flags": 0, "why": "", "address": 0x7F000001}
    assert {name: row[name] for name in expected} == expected
    assert row["bytes_in"] == len(b"POST /post/7 HTTP/1.1\r\nHost: shop\r\nContent-Length: 10\r\n\r\n0123456789")
    assert len(body) < row["bytes_out"] < 500
    assert row["ended"] - row["begun"] < 10**9
    assert row["connect_us"] <= row["answer_us"] <= (row["ended"] - row["begun"]) // 1000
    # Its first digits are enough; others are nobody's.
    assert stand.edge.why(row["id"][:8])[0]["id"] == row["id"]
    assert stand.edge.why("0" * 32) == []
    assert stand.edge.reach[1] == 1


def test_where_the_time_went_is_told(stand):
    row = told(stand, stand.client().expect("GET", "/slow/0.3")[0]["x-request-id"])
    assert 250_000 < row["answer_us"] < 5_000_000
    fields, _ = stand.client().expect("GET", "/stream/1")
    row = told(stand, fields["x-request-id"])
    assert (row["ended"] - row["begun"]) // 1000 - row["attached_us"] - row["answer_us"] > 20_000
    assert row["bytes_out"] > 300_000


def test_a_try_that_nobody_took_is_told(three):
    """Two of three are no more, and control has not said so yet."""
    for backend in three.backends[:2]:
        backend.process.kill()
        backend.process.wait()
    rows = []

    def is_met():
        fields, _ = three.client().expect("GET", "/get/1")
        rows.append(told(three, fields["x-request-id"]))
        return rows[-1]["tries"] > 0
    until(is_met, "one that was refused first")
    row = rows[-1]
    assert row["slot"] == 22 and row["attempts"] == 1 and row["outcome"] == "success"
    assert {(slot, end) for slot, _, end in row["ended_tries"]} <= {(20, "refused"), (21, "refused")}
    assert len(row["ended_tries"]) == row["tries"] <= 2


def test_a_request_that_is_sent_again_is_told_with_both_who_had_it(three):
    status, fields, _ = three.client().request("GET", "/drop/1")
    assert status == 502
    row = told(three, fields["x-request-id"])
    assert [end for _, _, end in row["ended_tries"]] == ["lost", "lost"]
    assert {row["slot"], *(slot for slot, _, _ in row["ended_tries"])} == {20, 21, 22}
    assert (row["attempts"], row["outcome"], row["status"]) == (3, "reset", 502)
    assert row["flags"] == IDEMPOTENT | OWN_ANSWER
    assert row["why"] == "the instance went away before it answered"
    edge = three.edge
    edge.until(lambda: sum(route.get("retried", 0) for route in edge.routes.values()) == 1, "its release counts it")


def test_what_the_edge_answers_itself_is_told_with_its_reason(stand):
    client = stand.client()
    client.send(b"GET / HTTP/1.1\r\n\r\n")
    status, fields, body = client.answer()
    row = told(stand, fields["x-request-id"])
    assert status == row["status"] == 400
    assert row["why"] == body.decode() != ""
    assert (row["outcome"], row["phase"], row["slot"], row["target"]) == ("refused", "head", NO_SLOT, "")
    assert row["flags"] == OWN_ANSWER
    stand.activate([(LISTENER, SERVICE)], hold=300_000_000)
    stand.edge.endpoints([stand.entry(0, OUT)])
    status, fields, body = stand.client().request("GET", "/get/1")
    row = told(stand, fields["x-request-id"])
    assert status == row["status"] == 503
    assert row["why"] == body.decode()
    assert (row["outcome"], row["phase"], row["slot"]) == ("overloaded", "waiting", NO_SLOT)
    assert row["flags"] == IDEMPOTENT | HELD | OWN_ANSWER
    assert 300_000 <= row["held_us"] < 5_000_000


def test_a_request_that_waited_is_told_with_its_wait_and_counts_for_its_release(stand):
    edge = stand.edge
    assert edge.hold(SERVICE, 1)
    client = stand.client()
    client.send(b"GET /get/1 HTTP/1.1\r\nHost: a\r\n\r\n")
    edge.until(lambda: edge.header.get("held") == 1, "it waits")
    assert edge.hold(SERVICE, 0)
    row = told(stand, client.answer()[1]["x-request-id"])
    assert row["flags"] & HELD and row["held_us"] > 0 and row["held_us"] == row["attached_us"]
    edge.until(lambda: edge.routes.get((LISTENER, 1, 20), {}).get("held") == 1, "its release counts it")
    assert edge.routes[LISTENER, 1, 20]["added_wait_max_us"] == row["held_us"]
    assert "retried" not in edge.routes[LISTENER, 1, 20]


def test_what_is_under_way_is_told_too(stand):
    client = stand.client()
    client.send(b"GET /events/0.5 HTTP/1.1\r\nHost: a\r\n\r\n")
    status, fields = client.head()
    assert status == 200
    number = fields["x-request-id"]
    row = told(stand, number)
    assert row["flags"] & UNDER_WAY and row["phase"] == "answering" and row["slot"] == 20
    assert not row["outcome"]
    assert client.until(b"data: 1\n\n") == b"data: 0\n\n"
    until(lambda: not told(stand, number)["flags"] & UNDER_WAY, "it has ended")
    assert told(stand, number)["outcome"] == "success"


@pytest.mark.parametrize("kill", [kill_edge, kill_edge_and_holder])
def test_what_is_remembered_outlives_the_edge_killed_under_load(three, kill):
    """Also what was under way: told by the next edge, as it ended there."""
    fields, _ = three.client().expect("GET", "/get/1")
    before = told(three, fields["x-request-id"])
    client = three.client()
    lasts_s = 1 if kill is kill_edge else 30  # What is to be lost must not have ended before.
    client.send(f"GET /events/{lasts_s} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    open_id = client.head()[1]["x-request-id"]
    load = Load(three) if kill is kill_edge else None
    for _ in range(8 if load else 1):
        kill(three)
        three.edge.connect()
        assert told(three, before["id"]) == before
        if load:
            load.stop.wait(0.1)
    if load:
        load.end()
        assert client.until(b"data: 1\n\n") == b"data: 0\n\n"
    until(lambda: not told(three, open_id)["flags"] & UNDER_WAY, "its end")
    row = told(three, open_id)
    assert row["begun"] < row["ended"]
    if load:
        assert row["outcome"] == "success"
    else:
        assert (row["outcome"], row["why"]) == ("reset", "it was lost with the edge that had it")


def test_every_request_is_remembered_once_although_the_edge_dies(three):
    load = Load(three)
    for _ in range(10):
        kill_edge(three)
        load.stop.wait(0.1)
    load.end()
    edge = three.edge
    edge.until(lambda: sum(stats["in_flight"] for stats in edge.stats.values()) == 0, "quiet")
    edge.until(lambda: edge.outcome("success") == load.done, "all requests")
    edge.why("0" * 8)
    # Tunnels, too; and no more than are counted.
    assert edge.reach[1] == sum(sum(counts[name] for name in counts if name not in
                                    ("in_flight", "bits", "begun", "latency")) for counts in edge.stats.values())


def test_who_comes_just_after_a_kill_under_load_is_served_at_once(three):
    load, waits = Load(three), []
    for _ in range(5):
        os.kill(three.edge.pid, signal.SIGKILL)
        began = time.monotonic()
        three.client().expect("GET", "/get/1")
        waits.append(time.monotonic() - began)
        three.edge.connect()
        load.stop.wait(0.1)
    load.end()
    assert statistics.median(waits) < 0.3, waits


def lines_of(stand, name="access.log"):
    path = stand.system.data / "edge" / name
    if not path.exists():
        return []
    # The last one may just be being written.
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def test_errors_are_always_in_the_file_and_of_the_rest_some(stand):
    wrong = {stand.client().request("GET", "/status/500")[1]["x-request-id"] for _ in range(20)}
    lost = stand.client().request("POST", "/drop/1?token=secret")[1]["x-request-id"]
    wrong.add(lost)
    client = stand.client()
    right = [client.expect("GET", "/get/1")[0]["x-request-id"] for _ in range(600)]
    until(lambda: wrong <= {line["id"] for line in lines_of(stand)}, "all errors")
    stand.edge.until(lambda: stand.edge.header["access_written"] == len(lines_of(stand)), "its count")
    kept = [line for line in lines_of(stand) if line["id"] in right]
    assert 0 <= len(kept) < 60
    assert len({line["id"] for line in lines_of(stand)}) == len(lines_of(stand))
    error = next(line for line in lines_of(stand) if line["id"] == lost)
    assert (error["request"], error["status"], error["outcome"]) == ("POST /drop/1", 502, "reset")
    assert stand.edge.header["access_dropped"] == 0


def test_a_killed_edge_leaves_its_lines_to_the_next(stand):
    wrong = set()
    for _ in range(5):
        wrong |= {stand.client().request("GET", "/status/500")[1]["x-request-id"] for _ in range(10)}
        kill_edge(stand)
    until(lambda: wrong <= {line["id"] for line in lines_of(stand)}, "all errors")


def goes_on(stand, count=50):
    for _ in range(count):
        stand.client().expect("GET", "/get/1")


def drops(stand):
    """More than at first, which was none, while requests go on."""
    stand.edge.until(lambda: stand.client().request("GET", "/status/500")[0] == 500 and
                     stand.edge.header["access_dropped"] > 0, "the drop counter rises")


def test_a_pipe_that_nobody_empties_holds_nobody_up(stand):
    path = stand.system.data / "edge/access.log"
    if path.exists():
        path.unlink()
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        before = stand.edge.pid
        client = stand.client()
        for _ in range(2500):  # The pipe is full, what waits is full.
            assert client.request("GET", "/status/500")[0] == 500
        drops(stand)
        goes_on(stand)
        assert stand.edge.pid == before
    finally:
        path.unlink()
        os.close(reader)
    asked = set()

    def is_one_there():
        """Of those for which there was room again."""
        asked.add(stand.client().request("GET", "/status/503")[1]["x-request-id"])
        return asked & {line.get("id") for line in lines_of(stand)}
    until(is_one_there, "it goes on by itself")
    assert any("dropped" in line for line in lines_of(stand)), "and says what is missing"


@pytest.fixture
def small():
    """The edge's folder is a disk of its own, and small."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk that is small enough to fill")
    made = Stand(1)
    folder = made.system.data / "edge"
    kept = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=0700", "thole-test", folder], check=True)
    for name, content in kept.items():
        (folder / name).write_bytes(content)
    shutil.chown(folder, folder.parent.stat().st_uid)
    yield made
    made.close()
    until(lambda: subprocess.run(["umount", folder], check=False).returncode == 0, "nobody uses its disk any more")
    shutil.rmtree(made.system.base, ignore_errors=True)


def test_a_full_disk_holds_nobody_up_and_what_is_missing_is_counted(small):
    edge, client = small.edge, small.client()
    before = edge.pid
    for _ in range(1200):
        assert client.request("GET", "/status/500")[0] == 500
    drops(small)
    goes_on(small)
    assert edge.pid == before
    lines = lines_of(small)  # All of them whole.
    assert len(lines) > 100
    (small.system.data / "edge/access.log").unlink()
    fields = small.client().request("GET", "/status/503")[1]
    until(lambda: fields["x-request-id"] in {line.get("id") for line in lines_of(small)}, "it goes on by itself")
    assert sum(line.get("dropped", 0) for line in lines_of(small)) > 0
