"""A release takes another's place while it is asked, and what was promised holds: nothing lost, one process a slot."""
import pytest

from census import Census
from conftest import until
from judged import WHOLE
from rolling import ONE_WITH_STATE, THREE, Follower, Gates, Rolling, broken_ids, cut, ended, in_ms, strays
from stopped_thread import StoppedThread, workers


@pytest.fixture
def make():
    made = []

    def one(*words, **more):
        made.append(Rolling(*words, **more))
        made[-1].up()
        return made[-1]
    yield one
    for project in made:
        project.close()


def replaced(project, **load):
    """Changes a byte under load; the accountant's report, the timeline since then, and who ran."""
    project.ask(allow_broken=1_000_000, **load)
    after = project.last_entry()
    with Census(project) as census:
        project.change()
        project.up()
    report = project.judge.finish()
    print(project.judge.text())
    entries = project.entries_after(after)
    project.tell(entries)
    assert report["failed"] == 0 and "error" not in report
    assert project.service("echo")["release"] == 2
    assert strays(project, entries) == []
    assert census.twice() == {}
    return report, entries, census


def moments(entries, kind):
    """When it was said of each instance first, in ms. A drain lasts from "instance leaving", which is written before it is
    taken out of routing; that it drains may be written a busy moment later."""
    return {entry["instance"]: in_ms(entry) for entry in reversed(entries) if entry["kind"] == kind}


def assert_each_was_ended(report, entries, drain_ms, at_least):
    """What is open to an old instance stays for half of the drain, by the clock of who held it, too; then each is ended at a
    moment of its own, and nothing is left to be cut. The others have ended by themselves."""
    assert ended(entries) == report["broken"] == report["tunnels_broken"] >= at_least
    assert cut(entries) == 0 and broken_ids(entries) == set() and moments(entries, "instance cutting") == {}
    leaving, ending = moments(entries, "instance leaving"), moments(entries, "instance ending")
    assert ending and all(ending[name] - leaving[name] >= drain_ms / 2 - 10 for name in ending)
    stopping = moments(entries, "instance stopping")
    assert all(stopping[name] - leaving[name] < drain_ms + 1500 for name in stopping), entries
    began = in_ms({"time": report["began"][:23] + "Z"})
    first = min(leaving.values())
    assert all(began + fault["ended_s"] * 1000 - first >= drain_ms / 2 - 10 for fault in report["faults"])


def test_a_replacement_loses_nothing_and_ends_what_lasts_within_the_drain(make):
    project = make(THREE, drain="2s")
    report, entries, census = replaced(project, rate=200, slow_ms=500,
                                       hold={"websocket": 12, "lines": 4, "events": 4})
    assert_each_was_ended(report, entries, 2000, 20)
    assert 3 <= census.most["all"] <= 6


@pytest.mark.full
def test_two_hundred_tunnels_stay_for_half_of_the_drain_while_a_release_is_replaced_and_answers_take_eight_seconds(make):
    """Three instances, 30 s each: what was ended at the first may be open at the second again."""
    report, entries, _ = replaced(make(THREE), **WHOLE)
    assert_each_was_ended(report, entries, 30_000, sum(WHOLE["hold"].values()))
    assert len(moments(entries, "instance ending")) == 3
    assert report["kinds"]["slow"]["ok"] == report["kinds"]["slow"]["sent"] > 0


@pytest.mark.parametrize("manners,forced", [("NO_SIGTERM_HANDLER", 0), ("IGNORE_SIGTERM", 3)])
def test_a_service_that_knows_nothing_of_sigterm_is_replaced_without_loss(make, manners, forced):
    project = make(THREE, **{manners: "1"})
    report, entries, _ = replaced(project, rate=150, slow_ms=800)
    assert report["broken"] == 0
    assert len(moments(entries, "instance stopping")) == 3
    assert len(moments(entries, "instance killing")) == forced


@pytest.mark.parametrize("manifest,load", [(THREE, {"rate": 100}), (ONE_WITH_STATE, {"rate": 30, "added_max": "20s"})],
                         ids=["three", "one_with_state"])
def test_what_a_service_that_knows_nothing_of_sigterm_holds_open_is_ended_within_the_drain(make, manifest, load):
    project = make(manifest, drain="2s", NO_SIGTERM_HANDLER="1")
    report, entries, _ = replaced(project, slow_ms=500, hold={"websocket": 8, "lines": 3, "events": 4}, **load)
    assert_each_was_ended(report, entries, 2000, 15)
    assert moments(entries, "instance killing") == {}


def test_a_service_with_state_is_replaced_while_its_requests_wait_and_never_runs_twice(make):
    project = make(ONE_WITH_STATE, START_MS="300")
    report, entries, census = replaced(project, rate=30, slow_ms=2000, mix={"get": 10, "post": 6, "slow": 2, "upload": 1},
                                       hold={"websocket": 2, "events": 1}, added_max="20s")
    assert census.most["all"] == 1
    assert_each_was_ended(report, entries, 5000, 3)


def test_after_the_acknowledgement_only_the_requests_it_names_reach_an_instance(make):
    """Asserted at the instance, which lives on for its whole grace and aborts whatever else comes."""
    project = make(THREE, IGNORE_SIGTERM="1", ALLOWED_IDS_FILE="RECORDS_HERE/allowed.{port}")
    gates = Gates(project)
    follower = Follower(project, project.last_entry(), gates.told)
    project.ask(rate=200, slow_ms=800)
    project.change()
    process = project.start_up()
    follower.wait("instance stopping")
    assert gates.knock() is None, "the instance itself refuses what comes too late"
    assert project.finish_up(process) == 0
    report = project.judge.finish()
    follower.close()
    print(project.judge.text())
    assert report["passed"]
    assert len(gates.closed) == 3
    assert [line.split()[0] for line in gates.violations()] == ["too-late"], "and nobody else came"


def test_who_is_asked_back_before_the_other_release_was_done_is_done_with_it(make):
    project = make(THREE, START_MS="300")
    path = project.folder / "thole.yaml"
    before = path.read_text(encoding="utf-8")
    slow = before.replace("'300'", "'60000'")
    assert slow != before
    path.write_text(slow, encoding="utf-8")
    follower = Follower(project, project.last_entry())
    process = project.start_up()
    follower.wait("instance starting")
    path.write_text(before, encoding="utf-8")
    project.thole("up")
    follower.close()
    process.communicate(timeout=30)
    service = project.service("echo")
    assert (service["release"], service["deploy"]["status"]) == (1, "done"), service
    assert project.entries_after(0)[-1]["kind"] in ("deploy done", "instance ended")
    # What became of another release is not what a restart is asked for.
    project.thole("restart", "echo")


@pytest.mark.parametrize("worker", ["idlest", "busiest"])
def test_while_one_worker_of_the_edge_stands_still_nothing_is_acknowledged_and_nobody_is_asked_to_end(make, worker):
    """Its connections would lose what they have; after 5 s keeper replaces the edge and the replacement goes on."""
    project = make(THREE, drain="2s", START_MS="300")
    edge = project.role_pid("edge")
    follower = Follower(project, project.last_entry())
    project.ask(rate=60, slow_ms=300, added_max="25s", hold={"websocket": 4}, allow_broken=1_000_000)
    project.change()
    process = project.start_up()
    follower.wait("instance starting")
    stopped = StoppedThread(workers(edge)[-1 if worker == "busiest" else 0])
    try:
        follower.wait("instance leaving")
        until(stopped.bury, "keeper has killed the edge", 30)
    finally:
        stopped.let_go()
    assert project.finish_up(process) == 0
    report = project.judge.finish()
    follower.close()
    print(project.judge.text())
    entries = project.entries_after(follower.entries[0]["sequence"])
    project.tell(entries)
    killed = next(entry for entry in entries if entry["kind"] == "role killed")
    left = next(entry for entry in entries if entry["kind"] == "instance leaving")
    assert in_ms(killed) - in_ms(left) > 3000 and "edge" in killed["text"]
    steps = {"instance draining", "instance stopping", "instance ended"}
    assert all(entry["sequence"] > killed["sequence"] for entry in entries if entry["kind"] in steps)
    assert project.role_pid("edge") not in (None, edge)
    assert report["failed"] == 0 and strays(project, entries) == []
    # The death of the edge broke nothing: what did break was ended or cut, one by one.
    assert cut(entries) + ended(entries) == report["broken"] == report["tunnels_broken"] > 0
    assert {fault["request_id"] for fault in report["faults"]} >= broken_ids(entries)
    assert project.service("echo")["release"] == 2
