"""Any of thole's processes dies or stands still, alone or with another, at each step of a rolling replacement."""
import pytest

from rolling import THREE, Census, Follower, Rolling, strays
from struck import Struck, all_strikes, drawn_strikes

MIX = {"get": 45, "post": 15, "slow": 30, "upload": 5, "stream": 5}
OF_CONNECTION = {"closed", "reset", "cut", "broken"}
# Stopped one after the other, two that see to each other take 5 s each; a held request waits for both.
ADDED_MAX = "25s"


class Field:
    """One system for many strikes; another one after a failure, so that it is the failure of one strike."""

    def __init__(self):
        self.made = None

    def project(self):
        if self.made is None:
            self.made = Rolling(THREE, START_MS="200")
            self.made.up()
        return self.made

    def drop(self):
        if self.made is not None:
            self.made.close()
            self.made = None


@pytest.fixture(scope="module")
def field():
    made = Field()
    yield made
    made.drop()


def allowed(fault, strike):
    """Edge and holder at once: what was in flight is lost with their connections; nobody is refused."""
    return strike.ends_all_connections and fault["reason"] in OF_CONNECTION and fault["written"] > 0


def replaced_under(project, strike):
    before, after = project.service("echo")["release"], project.last_entry()
    project.ask(rate=50, slow_ms=800, mix=MIX, added_max=ADDED_MAX, allow_broken=1_000_000)
    struck = Struck(project, strike)
    follower = Follower(project, after)
    with Census(project) as census:
        project.change()
        process = project.start_up()
        follower.wait(strike.step, strike.turn)
        struck.do()
        struck.wake()
        code = project.finish_up(process, 120)
        struck.wait_settled()
        now = census.now()
    follower.close()
    report = project.judge.finish()
    entries = project.entries_after(after)
    project.tell(entries)
    print(project.judge.text())
    assert [fault for fault in report["faults"] if not allowed(fault, strike)] == [] and "error" not in report
    assert strays(project, entries) == [] and census.twice() == {}
    assert sorted(now.values()) == [1, 1, 1], now
    ends = [entry["kind"] for entry in entries if entry["kind"] in ("deploy done", "deploy reversed")]
    assert (code, ends[-1:]) in ((0, ["deploy done"]), (3, ["deploy reversed"])), (code, ends)
    assert (project.service("echo")["release"] > before) == (code == 0)
    assert len(project.instances("echo")) == 3


def strike_at(field, strike):
    try:
        replaced_under(field.project(), strike)
    except BaseException:
        field.drop()
        raise


@pytest.mark.parametrize("strike", drawn_strikes(), ids=str)
def test_a_replacement_ends_whatever_of_thole_dies_or_stands_still_meanwhile(field, strike):
    """A twentieth of the whole matrix below, another one for each commit."""
    strike_at(field, strike)


@pytest.mark.full
@pytest.mark.parametrize("strike", all_strikes(), ids=str)
def test_a_replacement_ends_at_whatever_step_anything_dies_or_stands_still(field, strike):
    strike_at(field, strike)
