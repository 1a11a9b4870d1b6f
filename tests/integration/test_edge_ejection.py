"""An instance whose traffic is bad is left out, and comes back: judged by what its requests show, with two instances, too."""
import asyncio
import contextlib
import random
import threading
import time

import pytest

from crowd import GOOD, Crowd, Member, Stage
from edge import snapshot
from edge_stand import kill_edge, two  # noqa: F401 pylint: disable=unused-import
from raw_backend import RawBackend

EDGE_BIT, CONTROL_BIT = 1, 2
# Two seconds in the mean. Who fails is asked little from its first failure on, so that chance decides when there are enough.
OUT_WITHIN_S = 20
USUAL_S = 0.06


class Traffic:
    """Requests at a steady rate from a few clients; of each answer the status and how long it took, in seconds."""

    def __init__(self, stand, rate, clients=4, method="GET"):
        self.stand, self.answers, self.stop = stand, [], threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(clients / rate, method)) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def run(self, pause, method):
        client = None
        while not self.stop.wait(pause):
            begun = time.monotonic()
            try:
                client = client or self.stand.client()
                status, fields, _ = client.request(method, "/x")
                if fields.get("connection") == "close":
                    client.close()
                    client = None
            except OSError:
                status, client = 0, None
            self.answers.append((time.monotonic() - begun, status))

    def close(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()


@contextlib.contextmanager
def instances(stand, number):
    backends = [RawBackend() for _ in range(number)]
    entries = [(20 + at, 2, 1, backend.port, 0) for at, backend in enumerate(backends)]
    stand.edge.endpoints(entries, full=True)
    yield backends, entries
    for backend in backends:
        backend.close()


def bits(stand, number):
    return stand.edge.stats.get((20 + number, 2), {"bits": 0})["bits"]


def one_in_three_fails():
    count = [0]

    def answer(_):
        count[0] += 1
        return (503, b"") if count[0] % 3 == 0 else (200, b"")
    return answer


def test_one_of_three_that_fails_now_and_then_is_out_in_seconds_and_comes_back(two):  # noqa: F811
    with instances(two, 3) as (backends, _), contextlib.closing(Traffic(two, 50)) as traffic:
        two.edge.until(lambda: min(len(backend.requests) for backend in backends) >= 20, "all are asked")
        begun = time.monotonic()
        backends[1].answers = one_in_three_fails()
        two.edge.until(lambda: bits(two, 1) == EDGE_BIT, "it is out", OUT_WITHIN_S)
        print(f"out after {time.monotonic() - begun:.1f} s")
        # It heals, and is back by itself; the others were never out.
        backends[1].answers = lambda request: (200, b"")
        seen = len(backends[1].requests)
        two.edge.until(lambda: bits(two, 1) == 0, "it is back", 15)
        two.edge.until(lambda: len(backends[1].requests) > seen + 3, "it is asked again")
        assert bits(two, 0) == bits(two, 2) == 0
        bad = [status for _, status in traffic.answers if status != 200]
        assert len(bad) <= len(traffic.answers) / 50, bad


def test_where_all_fail_all_are_tried(two):  # noqa: F811
    with instances(two, 2) as (backends, _):
        for backend in backends:
            backend.answers = lambda request: (503, b"")
        with contextlib.closing(Traffic(two, 100)) as traffic:
            two.edge.until(lambda: len(traffic.answers) > 600, "many have failed", 60)
        assert bits(two, 0) == bits(two, 1) == 0
        assert min(len(backend.requests) for backend in backends) > 150
        assert {status for _, status in traffic.answers} == {503}


def test_one_of_two_that_hangs_gets_almost_nothing_and_nobody_waits_long(two):  # noqa: F811
    with instances(two, 2) as (backends, _), contextlib.closing(Traffic(two, 100, clients=16)) as traffic:
        two.edge.until(lambda: min(len(backend.requests) for backend in backends) >= 400, "both are known", 30)
        backends[0].answers = lambda request: None
        hung, all_before = len(backends[0].requests), len(traffic.answers)
        two.edge.until(lambda: len(traffic.answers) >= all_before + 600, "it goes on", 20)
        hung = len(backends[0].requests) - hung
        assert hung <= 0.05 * (len(traffic.answers) - all_before), hung
        assert {status for _, status in traffic.answers} == {200}
        # An attempt may be silent for five seconds at least.
        took = sorted(took for took, _ in traffic.answers[all_before:])
        assert took[len(took) * 99 // 100] < 10, took[-10:]


def test_out_stays_out_when_the_edge_dies_and_control_says_its_own(two):  # noqa: F811
    with instances(two, 2) as (backends, entries), contextlib.closing(Traffic(two, 60)) as traffic:
        two.edge.until(lambda: min(len(backend.requests) for backend in backends) >= 20, "both are asked")
        backends[0].answers = lambda request: (503, b"")
        two.edge.until(lambda: bits(two, 0) == EDGE_BIT, "it is out", OUT_WITHIN_S)
        kill_edge(two)
        two.edge.until(lambda: two.edge.stats and bits(two, 0) == EDGE_BIT, "its successor knows it")
        # Control's word about it is not the edge's.
        two.edge.endpoints(entries)
        two.edge.until(lambda: bits(two, 0) == EDGE_BIT, "it is out still")
        seen = len(backends[0].requests)
        answered = len(traffic.answers)
        two.edge.until(lambda: len(traffic.answers) > answered + 20, "others answer")
        assert len(backends[0].requests) - seen <= 2
        # Another instance in its place begins anew.
        two.edge.endpoints([(20, 3, 1, backends[0].port, 0)])
        backends[0].answers = lambda request: (200, b"")
        two.edge.until(lambda: len(backends[0].requests) > seen + 5, "the next one is asked")


@pytest.mark.parametrize("status", [400, 404, 429])
def test_what_is_the_clients_fault_is_not_the_instances(two, status):  # noqa: F811
    with instances(two, 2) as (backends, _):
        backends[0].answers = lambda request: (status, b"")
        with contextlib.closing(Traffic(two, 200)) as traffic:
            two.edge.until(lambda: len(traffic.answers) > 600, "many were asked", 20)
        assert bits(two, 0) == 0


def takes(usual_s):
    """Half of it more or less."""
    return lambda: (random.uniform(0.5, 1.5) * usual_s, GOOD)


async def both_fleets(fleets, crowds, began, lasts_s):
    """Until it is known how quick each is, then a while; how many each was asked in it, and the slowest but one in a hundred."""
    for member in (member for fleet in fleets for member in fleet):
        await member.start()
    began.set()
    while len(crowds) < len(fleets):
        await asyncio.sleep(0.01)
    for crowd in crowds:
        crowd.start()
    await asyncio.sleep(3)
    asked = [[member.asked for member in fleet] for fleet in fleets]
    answered = [len(crowd.answers) for crowd in crowds]
    await asyncio.sleep(lasts_s)
    for crowd in crowds:
        crowd.stop()
    took = [sorted(took for took, _ in crowd.answers[number:]) for crowd, number in zip(crowds, answered)]
    return ([[member.asked - before for member, before in zip(fleet, befores)] for fleet, befores in zip(fleets, asked)],
            [each[len(each) * 99 // 100] for each in took], [crowd.failures() for crowd in crowds])


def beside_one_that_is_slow(stand, lasts_s):
    """Which share it gets, in per cent, and p99 there and where all three are well and are asked as much, in seconds."""
    fleets = [[Member(takes(USUAL_S)) for _ in range(3)] for _ in range(2)]
    fleets[1][0].behave = takes(10 * USUAL_S)
    ports, crowds, began = [stand.keeper.ensure_listener(200 + number) for number in range(2)], [], threading.Event()
    content = snapshot(2, {2: "well", 3: "ill"}, [(200, 2), (201, 3)])
    assert stand.edge.activate(2, content) == (0, "")
    stage = Stage(both_fleets(fleets, crowds, began, lasts_s))
    assert began.wait(10)
    stand.edge.endpoints([(20 + 10 * at + number, 1, 2 + at, member.port, 0) for at, fleet in enumerate(fleets)
                          for number, member in enumerate(fleet)], full=True)
    crowds += [Crowd(port, 60) for port in ports]
    stand.edge.until(stage.done.is_set, "the play", lasts_s + 60)
    (_, ill), (usual_s, longest_s), failures = stage.end()
    percent = 100 * ill[0] / sum(ill)
    print(f"{percent:.1f} % of {sum(ill)}; p99 {1000 * longest_s:.0f} ms, where all are well {1000 * usual_s:.0f} ms")
    assert failures == [0, 0]
    return percent, longest_s, usual_s


def test_one_ten_times_slower_gets_little(two):  # noqa: F811
    assert beside_one_that_is_slow(two, 5)[0] < 15


@pytest.mark.full  # Where others have the processor, it is they for whom requests wait.
def test_beside_one_ten_times_slower_nobody_waits_much_longer(two):  # noqa: F811
    percent, longest_s, usual_s = beside_one_that_is_slow(two, 60)
    assert percent < 15
    assert longest_s <= 2 * usual_s
