"""Any of thole's processes dies or stands still, alone or with another, at each step of a rolling replacement."""
import pytest

from census import ROLES, Census
from conftest import until
from rolling import THREE, Follower, Rolling, broken_ids, strays
from struck import Struck, all_strikes, drawn_strikes

MIX = {"get": 45, "post": 15, "slow": 30, "upload": 5, "stream": 5}
# Instances that outlive SIGTERM, and tunnels that do not end by themselves, on each of them.
DEAF = THREE.replace("grace: 2s", "grace: 1s")
HELD = {"websocket": 8}
OF_CONNECTION = {"closed", "reset", "cut", "broken"}
# What a hold may add is 2 s, on a machine that does nothing else. Measured, also where edge and holder die at once: 0.1 s.
ADDED_MAX_KILLED = "5s"
# Stopped one after the other, two that see to each other take 5 s each; a held request waits for both.
ADDED_MAX_STOPPED = "25s"


class Field:
    """A system for many strikes; another one after a failure, so that it is the failure of one strike."""

    def __init__(self):
        self.made = {}

    def project(self, strike):
        deaf = strike.needs_the_deaf
        if deaf not in self.made:
            self.made[deaf] = (Rolling(DEAF, drain="1s", START_MS="200", IGNORE_SIGTERM="1") if deaf
                               else Rolling(THREE, START_MS="200"))
            self.made[deaf].up()
        return self.made[deaf]

    def drop(self):
        while self.made:
            self.made.popitem()[1].close()


@pytest.fixture(scope="module")
def field():
    made = Field()
    yield made
    made.drop()


def allowed(fault, strike):
    """Edge and holder at once: what was in flight is lost with their connections; nobody is refused."""
    return strike.ends_all_connections and fault["reason"] in OF_CONNECTION and fault["written"] > 0


def assert_only_what_is_listed_broke(report, entries, strike):
    """But for strikes that leave nobody who could list it."""
    faults = [fault for fault in report["faults"] if not allowed(fault, strike)]
    listed = broken_ids(entries)
    if not strike.needs_the_deaf:
        assert faults == []
    assert report["failed"] == 0 or strike.ends_all_connections
    # Tunnels were told to end, which is no loss.
    unlisted = [fault for fault in faults if fault["request_id"] not in listed and fault["kind"] not in HELD]
    assert unlisted == [], "the client lost what nobody listed"
    if not strike.ends_all_connections:
        assert listed <= {fault["request_id"] for fault in faults}, "listed, and the client lost nothing"


def one_of_each(look):
    return {role: len(found) for role, found in look.roles.items()} == dict.fromkeys(ROLES, 1)


def others(project, look):
    """Processes with our folder in their words that are neither a role nor an instance."""
    roles = {each.pid for found in look.roles.values() for each in found}
    instances = {each["pid"] for each in project.instances("echo", None)}
    return set(project.pids()) - roles - instances


def assert_nobody_else_is_left(project, census):
    until(lambda: one_of_each(census.now()), "one of each role", 20)
    until(lambda: not others(project, census.now()), "no other process", 10)
    now = census.now()
    assert one_of_each(now) and sorted(now.instances.values()) == [1, 1, 1], now


def replaced_under(project, strike, record_property):
    before, after = project.service("echo")["release"], project.last_entry()
    project.ask(rate=50, slow_ms=800, mix=MIX, allow_broken=1_000_000, hold=HELD if strike.needs_the_deaf else {},
                added_max=ADDED_MAX_STOPPED if strike.stops else ADDED_MAX_KILLED)
    struck = Struck(project, strike)
    follower = Follower(project, after)
    with Census(project) as census:
        project.change()
        process = project.start_up()
        follower.wait(strike.step, strike.turn)
        struck.do()
        struck.wait_for_thole()
        code = project.finish_up(process, 120)
        struck.wake_holder()
        struck.wait_settled()
    follower.close()
    report = project.judge.finish()
    entries = project.entries_after(after)
    project.tell(entries)
    print(project.judge.text())
    assert_nobody_else_is_left(project, census)
    assert "error" not in report
    assert_only_what_is_listed_broke(report, entries, strike)
    assert strays(project, entries) == []
    assert census.twice() == {} and census.beside() == {}
    kinds = [entry["kind"] for entry in entries]
    assert kinds.count("role continued") == strike.stops_both_that_look
    # Nothing of ours is a reason to turn back: that takes three starts of the new release that went wrong by themselves.
    assert code == 0 and [kind for kind in kinds if kind in ("deploy done", "deploy reversed")] == ["deploy done"]
    assert project.service("echo")["release"] == before + 1
    assert len(project.instances("echo")) == 3
    record_property("longest_added_wait_ms", round(report["added_max_ms"]))
    record_property("replaced_or_woken_ms", {role: round(took * 1000) for role, took in struck.took.items()})


def strike_at(field, strike, record_property):
    try:
        replaced_under(field.project(strike), strike, record_property)
    except BaseException:
        field.drop()
        raise


@pytest.mark.parametrize("strike", drawn_strikes(), ids=str)
def test_a_replacement_ends_whatever_of_thole_dies_or_stands_still_meanwhile(field, strike, record_property):
    """A twentieth of the whole matrix below, another one for each commit."""
    strike_at(field, strike, record_property)


@pytest.mark.full
@pytest.mark.parametrize("strike", all_strikes(), ids=str)
def test_a_replacement_ends_at_whatever_step_anything_dies_or_stands_still(field, strike, record_property):
    strike_at(field, strike, record_property)
