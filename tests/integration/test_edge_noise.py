"""How soon one that fails is left out, and that nobody is who only has bad luck: services of one, two and three instances, at 1,
20 and 500 requests a second, all at once."""
import asyncio
import random
import resource
import threading

import pytest

from crowd import BAD, GOOD, RESET, SILENCE, Crowd, Member, Stage
from edge import snapshot
from edge_stand import Stand

EDGE_BIT = 1
NOISE_S = 180
CELLS = [(instances, rate) for instances in (1, 2, 3) for rate in (1, 20, 500)]
OUT_WITHIN_S, BACK_WITHIN_S = {1: 400, 20: 60, 500: 60}, 330  # As drawn in ejection_test.cpp, at most.
LASTS_S = 1380


def healthy():
    """One in a hundred fails, one in two hundred breaks, one in a hundred is slow: of a fleet that is well."""
    chance = random.random()
    wait_s = 0.3 if chance > 0.99 else 0
    return wait_s, BAD if chance < 0.01 else RESET if chance < 0.015 else GOOD


HANGS = "it hangs"
BADLY = {"30 % fail": lambda: (0, BAD if random.random() < 0.3 else GOOD), "all fail": lambda: (0, BAD),
         HANGS: lambda: (0, SILENCE)}


class Cell:
    """A service of its own. What is out is looked at in `stats`, which the test keeps up to date."""

    def __init__(self, number, instances, rate):
        self.number, self.rate, self.members = number, rate, [Member(healthy) for _ in range(instances)]
        self.name, self.crowd, self.stats = f"{instances} at {rate}/s", None, {}
        self.wrong, self.bad, self.took, self.failed_in_noise = set(), set(), {}, 0
        self.phase = "noise"
        self.asked, self.answered = {}, {}  # While it was bad: it alone; of all the answers.

    def slot(self, at):
        return 20 + 10 * self.number + at, 1

    def out(self):
        return {at for at in range(len(self.members)) if self.stats.get(self.slot(at), {"bits": 0})["bits"] & EDGE_BIT}

    async def until(self, condition, within_s):
        """How many seconds that took; None where it did not come."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while not condition():
            self.wrong |= {(self.phase, at) for at in self.out() - self.bad}
            if loop.time() - began > within_s:
                return None
            await asyncio.sleep(0.02)
        return loop.time() - began

    async def play(self):
        self.crowd.start()
        await self.until(lambda: False, NOISE_S)
        self.failed_in_noise = self.crowd.failures() / len(self.crowd.answers)
        for kind, badly in BADLY.items():
            self.phase, self.bad, self.members[0].behave = kind, {0}, badly
            within_s = OUT_WITHIN_S[self.rate] if len(self.members) > 1 and kind != HANGS else 60
            asked, answered = self.members[0].asked, len(self.crowd.answers)
            self.took[kind] = await self.until(lambda: 0 in self.out(), within_s)
            self.asked[kind] = self.members[0].asked - asked
            self.answered[kind] = len(self.crowd.answers) - answered
            self.members[0].behave = healthy
            assert await self.until(lambda: not self.out(), BACK_WITHIN_S) is not None, f"{self.name}: not back"
            # Whoever was left to hang there is given up after 30 s, and counts against it until then.
            await self.until(lambda: False, 35 if kind == HANGS else 0)
            assert await self.until(lambda: not self.out(), BACK_WITHIN_S) is not None, f"{self.name}: not back"
            self.phase, self.bad = f"after {kind}", set()
            await self.until(lambda: False, 10)
        await self.all_fail()
        self.crowd.stop()

    async def all_fail(self):
        """Then nobody is out, at the latest when it is seen that the others are no better, and all are asked."""
        self.bad = set(range(len(self.members)))
        for member in self.members:
            member.behave = BADLY["all fail"]
        await self.until(lambda: False, 60 if self.rate == 1 else 20)
        asked = [member.asked for member in self.members]
        assert await self.until(lambda: not self.out() and all(
            member.asked > before for member, before in zip(self.members, asked)), 120) is not None, f"{self.name}: panic"


async def all_cells(cells, began):
    for cell in cells:
        for member in cell.members:
            await member.start()
    began.set()
    while not all(cell.crowd for cell in cells):
        await asyncio.sleep(0.01)
    await asyncio.gather(*(cell.play() for cell in cells))


@pytest.fixture
def stand():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20_000), hard))
    made = Stand(0)
    yield made
    made.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def told(cell, kind):
    """Who hangs is asked so seldom that it may be long until enough of it has been seen, and nobody misses it."""
    took = cell.took.get(kind)
    return f"{took:.1f} s" if took is not None else "never" if kind != HANGS else \
        f"never, {cell.asked[kind]} of {cell.answered[kind] + cell.asked[kind]}" if kind in cell.asked else "-"


def show(cells):
    print(f"\n{'':<12}{''.join(f'{kind:>24}' for kind in BADLY)}{'answers':>10}{'failed in noise':>17}{'wrongly out':>13}")
    for cell in cells:
        took = "".join(f"{told(cell, kind):>24}" for kind in BADLY)
        print(f"{cell.name:<12}{took}{len(cell.crowd.answers):>10}{100 * cell.failed_in_noise:>15.2f} %{len(cell.wrong):>13}")


@pytest.mark.full  # Minutes of noise, and of waiting where one request comes a second.
def test_who_fails_is_out_soon_and_who_has_bad_luck_never(stand):
    cells = [Cell(number, *cell) for number, cell in enumerate(CELLS)]
    listeners = {cell.number: stand.keeper.ensure_listener(200 + cell.number) for cell in cells}
    content = snapshot(2, {1 + cell.number: f"cell{cell.number}" for cell in cells},
                       [(200 + cell.number, 1 + cell.number) for cell in cells])
    assert stand.edge.activate(2, content) == (0, "")
    began = threading.Event()
    stage = Stage(all_cells(cells, began))
    assert began.wait(10)
    stand.edge.endpoints([(*cell.slot(at), 1 + cell.number, member.port, 0)
                          for cell in cells for at, member in enumerate(cell.members)], full=True)
    for cell in cells:
        cell.stats, cell.crowd = stand.edge.stats, Crowd(listeners[cell.number], cell.rate)
    stand.edge.until(stage.done.is_set, "the play", LASTS_S)
    show(cells)
    stage.end()
    for cell in cells:
        assert not cell.wrong, (cell.name, cell.wrong)
        is_alone = len(cell.members) == 1
        assert all((cell.took[kind] is None) == is_alone for kind in BADLY if kind != HANGS), cell.name
        is_left_alone = cell.asked[HANGS] <= 3 + 0.05 * cell.answered[HANGS]
        assert is_alone or cell.took[HANGS] is not None or is_left_alone, cell.name
