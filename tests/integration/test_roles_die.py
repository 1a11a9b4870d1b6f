"""Any role of thole dies or hangs under load, and whoever uses the services learns nothing of it."""
import os
import signal
import socket
import time

import pytest

import wire
from conftest import assert_own, until, wait_until_still
from judged import BOTH_STILL_S, ROLES, WHOLE, Judged, boot_clock, pause, process_state

ANSWERS_WITHIN_S = 5  # The bar is 1 s, on a machine that does nothing else; what was measured is printed.


@pytest.fixture
def judged():
    with Judged() as made:
        yield made


def left(deadline):
    assert time.monotonic() < deadline, f"no answer in {ANSWERS_WITHIN_S} s"
    return deadline - time.monotonic()


def api_answers(project, deadline):
    """One request over the API's socket: keeper holds it open, so that whoever asks meanwhile just waits."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(left(deadline))
        try:
            link.connect(str(project.run / "api.sock"))
            link.sendall(b"GET /api/v1/version HTTP/1.1\r\nHost: thole\r\n\r\n")
            return link.recv(1000).startswith(b"HTTP/1.1 200")
        except ConnectionError:
            return False  # It died with our request in its hands.


def wait_for_api(project):
    deadline = time.monotonic() + ANSWERS_WITHIN_S
    try:
        until(lambda: api_answers(project, deadline), "control answers", ANSWERS_WITHIN_S)
    except (AssertionError, TimeoutError) as problem:
        raise AssertionError(f"control does not answer in {ANSWERS_WITHIN_S} s\n{project.log()}") from problem


def measured(record_property, what, waits_s):
    """Into the results' file, and for whoever looks on (`pytest -s`)."""
    waits = [round(wait * 1000) for wait in waits_s]
    record_property(what, waits)
    print(what, waits)


def known_pid(project, role):
    """As control has it."""
    return next((each["pid"] for each in project.seen()["roles"] if each["role"] == role), None)


TOLD = {"control": ("role started", "control runs again; the one before: SIGKILL, sender unknown"), "keeper": ("keeper lost", ""),
        "watch": ("role started", "watch runs again; the one before: SIGKILL, sender unknown")}


@pytest.mark.parametrize("role", ["control", "keeper", "watch"])
def test_the_death_of_a_role_is_nothing_to_whoever_uses_the_services(judged, role, record_property):
    before = judged.instance_pids()
    told_before = judged.count(*TOLD[role])
    judged.load()
    waits = []
    for _ in range(3):
        began = time.monotonic()
        judged.kill_role(role)
        wait_for_api(judged)
        waits.append(time.monotonic() - began)
        assert judged.instance_pids() == before, "its first answer says what runs"
        # A keeper that dies before control has heard of it is none that control has lost.
        until(lambda: known_pid(judged, role) == judged.role_pid(role), f"control knows {role}")
        pause(0.5)
    measured(record_property, "control_answered_ms_after_the_kill", waits)
    judged.assert_nothing_failed()
    assert judged.instance_pids() == before
    assert judged.count(*TOLD[role]) == told_before + 3, judged.told()


def edge_dies(project, times):
    """One SIGKILL each 200 ms, or as soon as there is a next one; how long each successor took."""
    before = project.instance_pids()
    project.load(expect_header="x-request-id")
    waits = []
    for _ in range(times):
        began = time.monotonic()
        waits.append(project.kill_role("edge"))
        pause(max(0.0, began + 0.2 - time.monotonic()))
    project.assert_nothing_failed()
    assert project.instance_pids() == before
    # A session that its client had just ended may still be listed.
    listed = [each["text"] for each in project.timeline("request broken")]
    assert all("/sse/" in text or "/tunnel/" in text for text in listed), listed
    assert project.count("edge lost") > 0 and project.count("edge serving") > 0, project.told()
    return waits


def test_the_edges_death_breaks_nothing_and_nothing_arrives_twice(judged, record_property):
    measured(record_property, "next_edge_ms_after_the_kill", edge_dies(judged, 25))


@pytest.mark.full
def test_five_hundred_deaths_of_the_edge_break_nothing(judged, record_property):
    waits = sorted(edge_dies(judged, 500))
    measured(record_property, "next_edge_ms_after_the_kill_median_longest", [waits[250], waits[-1]])


def wait_for_answer(project):
    """How long until somebody who comes now is answered; being refused is a failure, waiting is not."""
    began = time.monotonic()
    while True:
        try:
            with socket.create_connection(("127.0.0.1", project.port), timeout=left(began + ANSWERS_WITHIN_S)) as link:
                link.sendall(b"GET /get/1 HTTP/1.1\r\nHost: judged\r\nConnection: close\r\n\r\n")
                if link.recv(1000).startswith(b"HTTP/1.1 200"):
                    return time.monotonic() - began
        except ConnectionRefusedError:
            raise
        except ConnectionError:
            pass  # It was in the dying edge's hands.


def test_keeper_does_not_take_an_edge_for_dead_that_came_while_it_looked_away(judged):
    """The death of one edge and the word of the next reach keeper in one turn."""
    judged.kill_role("edge")  # The one that keeper started is its child; from now on it only watches them.
    judged.load(rate=100)
    keeper, before = judged.role_pid("keeper"), judged.role_pid("edge")
    judged.kill(keeper, signal.SIGSTOP)
    wait_until_still(keeper)
    judged.kill(before, signal.SIGKILL)
    wait_for_answer(judged)
    pause(0.3)  # It has told keeper, who has not read it.
    judged.kill(keeper, signal.SIGCONT)
    after = judged.wait_for_role("edge", before)
    holder = judged.holder()
    pause(2.5)  # keeper asks for a second how one ended, and gives a holder another second.
    assert (judged.role_pid("edge"), judged.holder()) == (after, holder), judged.told()
    judged.assert_nothing_failed()


def test_the_holder_becomes_the_edge_also_while_keeper_is_replaced(judged):
    """The next keeper may see the edge's end before it has seen anybody serve: it starts none of its own beside the holder."""
    judged.load(rate=100)
    for _ in range(8):
        keeper, edge, holder = judged.role_pid("keeper"), judged.role_pid("edge"), judged.holder()
        judged.kill_together([keeper, edge])
        judged.wait_for_role("keeper", keeper)
        judged.wait_for_role("edge", edge)
        wire.Keeper(judged.run, 20).link.close()
        until(lambda: judged.holder() not in (None, holder), "it has a holder of its own")
        assert judged.role_pid("edge") == holder, judged.told()
        pause(0.3)
    judged.assert_nothing_failed()


def break_edge_and_holder(project):
    """How long until the next answer; comes back when there is an edge with a holder again."""
    edge, holder = project.role_pid("edge"), project.holder()
    assert holder is not None, "no holder to kill"
    project.kill_together([holder, edge])
    waited = wait_for_answer(project)
    assert project.wait_for_role("edge", edge) != holder
    until(lambda: project.holder() not in (None, holder), "another holder")
    return waited


def edge_and_holder_die(judged, times, record_property, **load):
    """Nobody is refused, and what was lost is listed."""
    before = judged.instance_pids()
    judged.load(begun=judged.base / "begun", allow_broken=100_000, **load)
    waits = []
    for _ in range(times):
        waits.append(break_edge_and_holder(judged))
        pause(1)
    measured(record_property, "next_answer_ms_after_the_death_of_edge_and_holder", waits)
    neighbours = judged.neighbours()
    judged.list_broken(neighbours)
    report = judged.judged()
    for each in (report, *neighbours.values()):
        assert each["lost"] == each["doubled"] == 0
        assert not [fault for fault in each["faults"] if "refused" in fault["detail"]], each["faults"]
    # What the client lost is listed, or no instance ever read it. An answer whose last byte had just left may be
    # listed, too: whoever could have written down that it had is dead.
    begun = report["begun"]
    assert len(begun["only_edge"]) < begun["matched"] / 10, (judged.judge.text(), begun)
    assert sorted(begun["only_client"]) == sorted(begun["never_seen"]), (judged.judge.text(), begun)
    assert report["broken"] > 0, "tunnels were open"
    for each in (report, neighbours["calm"]):
        assert {fault["reason"] for fault in each["faults"]} <= {"closed", "reset", "cut", "broken"}, each["faults"]
    assert judged.instance_pids() == before


def test_edge_and_holder_together_refuse_nobody_and_what_was_lost_is_listed(judged, record_property):
    edge_and_holder_die(judged, 3, record_property)


@pytest.mark.full
def test_each_role_dies_once_beside_two_hundred_tunnels_and_answers_of_eight_seconds(judged, record_property):
    before = judged.instance_pids()
    judged.load(**WHOLE)
    for role in ROLES:
        measured(record_property, f"next_{role}_ms_after_the_kill", [judged.kill_role(role)])
        pause(2)
    report = judged.assert_nothing_failed()
    measured(record_property, "longest_added_wait_ms", [report["added_max_ms"] / 1000])
    assert report["kinds"]["slow"]["ok"] > 0 and judged.instance_pids() == before
    edge_and_holder_die(judged, 1, record_property, **WHOLE)


# Five seconds of silence, seen in turns of a quarter of a second, on a machine that is busy.
FOUND_WITHIN_S = 20
WOKEN_WITHIN_S = 20  # Both, after 10 s.
STOPPED = {"control": ("role started", "control runs again"), "keeper": ("keeper lost", ""),
           "watch": ("role started", "watch runs again"), "edge": ("role killed", "edge did not turn for 5 s")}


@pytest.mark.parametrize("role", ["keeper", "watch", "control", "edge"])
def test_a_role_that_stands_still_is_found_and_replaced(judged, role, record_property):
    before = judged.instance_pids()
    judged.load(rate=100, added_max="10s")
    took = judged.kill_role(role, signal.SIGSTOP, FOUND_WITHIN_S)
    measured(record_property, "replaced_ms_after_it_was_stopped", [took])
    assert took > 4, "nobody may be killed for less than five seconds"
    wait_for_api(judged)
    pause(0.5)
    judged.assert_nothing_failed()
    assert judged.instance_pids() == before
    assert judged.count(*STOPPED[role]) == 1, judged.told()


def test_keeper_and_watch_that_stand_still_together_are_told_to_go_on(judged, record_property):
    pids = [judged.role_pid(role) for role in ("keeper", "watch")]
    before = judged.instance_pids()
    judged.load(rate=100)
    began = boot_clock()
    for pid in pids:
        judged.kill(pid, signal.SIGSTOP)
    until(lambda: all(process_state(pid) == "T" for pid in pids), "both stand still")
    until(lambda: any(process_state(pid) != "T" for pid in pids), "somebody tells them to go on", WOKEN_WITHIN_S)
    took = boot_clock() - began
    until(lambda: all(process_state(pid) != "T" for pid in pids), "both of them", 1)
    measured(record_property, "woken_ms_after_both_were_stopped", [took])
    assert took >= BOTH_STILL_S, "one that kills the other must have had its time"
    until(lambda: judged.count("role continued") == 1, "the timeline tells it", 10)
    judged.kill_role("watch")  # keeper works.
    judged.assert_nothing_failed()
    assert judged.instance_pids() == before and judged.role_pid("keeper") == pids[0]


def test_a_command_waits_for_keeper_and_control_that_stand_still_together_to_be_replaced(judged):
    """One after the other, 5 s each: watch has to see that keeper does not turn, and the next keeper that control does not."""
    pids = {role: judged.role_pid(role) for role in ("keeper", "control")}
    assert_own(judged, pids.values())
    for pid in pids.values():  # At once: the command waits from the first moment.
        os.kill(pid, signal.SIGSTOP)
    judged.thole("ps")
    assert all(judged.role_pid(role) not in (None, pid) for role, pid in pids.items())


def kill_pair(project, roles):
    before = {role: project.role_pid(role) for role in roles}
    project.kill_together(before.values())
    for role in roles:
        project.wait_for_role(role, before[role], 20)
    wire.Keeper(project.run, 20).link.close()  # It answers: whoever started it has seen that it did.
    wait_for_api(project)


PAIRS = [(first, second) for at, first in enumerate(ROLES) for second in ROLES[at + 1:]]
DRAWN = [("keeper", "watch"), ("control", "edge")]  # The worst, and the one that both serve and decide.


@pytest.mark.parametrize("first,second", [
    pytest.param(*pair, marks=[] if pair in DRAWN else pytest.mark.full) for pair in PAIRS])
def test_two_roles_that_die_together_are_nothing_to_whoever_uses_the_services(judged, first, second):
    before = judged.instance_pids()
    judged.load(rate=100)
    for order in ((first, second), (second, first)):
        kill_pair(judged, order)
        pause(0.5)
    # Everything still works: an instance is started, found by the edge, and taken out again.
    judged.thole("scale", "echo", "4")
    judged.wait_settled()
    judged.assert_nothing_failed()
    assert set(before) < set(judged.instance_pids())
    assert not judged.timeline("trouble"), judged.told()
    # keeper has the listeners, also where the edge alone had them: an edge that knows nothing gets them.
    break_edge_and_holder(judged)
    judged.thole("down")
    assert judged.pids() == [], "down leaves nothing"
