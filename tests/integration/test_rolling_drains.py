"""What is under way at an instance that is replaced, as its client sees it: long answers, and WebSockets of a library of others."""
import asyncio
import concurrent.futures
import http.client
import os
import signal
import time

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from conftest import until
from rolling import THREE, Follower, Rolling, broken_ids, cut, ended, in_ms

TWO = THREE.replace("scale: 3", "scale: 2")


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


def names(project):
    return {each["name"] for each in project.instances("echo")}


def first(entries, kind):
    """When it was said of each instance first, in ms."""
    return {entry["instance"]: in_ms(entry) for entry in reversed(entries) if entry["kind"] == kind}


def instance_of(project, path):
    """That which this was asked of."""
    return next(line[4] for line in project.seen_lines() if line[3] == path)


def slow_answer(project, number, slow_ms):
    link = http.client.HTTPConnection("127.0.0.1", project.port, timeout=60)
    link.request("GET", f"/slow/{slow_ms}/long{number}")
    answer = link.getresponse()
    answer.read()
    link.close()
    return answer.status, time.time() * 1000


@pytest.mark.parametrize("slow_ms,drain_s", [(3000, 6), pytest.param(29_000, 30, marks=pytest.mark.full)])
def test_answers_that_take_long_come_from_who_was_asked_and_that_one_ends_after_the_last(make, slow_ms, drain_s):
    project = make(TWO, drain=f"{drain_s}s")
    old, after, many = names(project), project.last_entry(), 20
    with concurrent.futures.ThreadPoolExecutor(many) as pool:
        asked = [pool.submit(slow_answer, project, number, slow_ms) for number in range(many)]
        until(lambda: len(project.seen_lines()) >= many, "all are under way")
        project.change()
        project.up()
        answers = [each.result() for each in asked]
    assert {status for status, _ in answers} == {200}
    entries = project.entries_after(after)
    stopping = first(entries, "instance stopping")
    assert set(stopping) == old
    for number, (_, came_ms) in enumerate(answers):
        instance = instance_of(project, f"/slow/{slow_ms}/long{number}")
        assert instance in old and came_ms <= stopping[instance] + 50, (instance, came_ms, entries)
    assert cut(entries) == ended(entries) == 0 and first(entries, "instance ending").keys() <= old


class Talkers:
    """Clients of WebSockets that say something all the time, check each answer, and come back when they are closed."""

    def __init__(self, project, many):
        self.project, self.many, self.closed, self.open, self.wrong = project, many, [], {}, []

    async def talk(self, number):
        for turn in range(1000):
            path = f"/tunnel/talker{number}.{turn}"
            async with connect(f"ws://127.0.0.1:{self.project.port}{path}", ping_interval=None, compression=None) as link:
                self.open[number] = path
                said = 0
                try:
                    while not self.over.is_set():
                        said += 1
                        await link.send(f"{path} says {said}")
                        answer = await link.recv()
                        if not answer.endswith(f"{path} says {said}"):
                            self.wrong.append((path, said, answer))
                        await asyncio.sleep(0.25)
                    return
                except ConnectionClosed as why:
                    self.closed.append((path, why.rcvd and why.rcvd.code, time.time() * 1000))

    async def run(self, act):
        self.over = asyncio.Event()
        tasks = [asyncio.create_task(self.talk(number)) for number in range(self.many)]
        while len(self.open) < self.many:
            await asyncio.sleep(0.05)
        await asyncio.to_thread(act)
        await asyncio.sleep(0.5)  # Who was closed last comes back.
        self.over.set()
        await asyncio.gather(*tasks)


def test_two_hundred_websockets_are_closed_one_by_one_and_come_back_to_the_successor(make):
    drain_ms, late_ms = 8000, 500  # Who rests between two words notices up to 250 ms later.
    project = make(TWO, drain="8s")
    old, after = names(project), project.last_entry()
    talkers = Talkers(project, 200)
    project.change()
    asyncio.run(talkers.run(project.up))
    entries = project.entries_after(after)
    project.tell(entries)
    assert talkers.wrong == []
    assert {code for _, code, _ in talkers.closed} == {1001}
    assert ended(entries) == len(talkers.closed) >= 200 and cut(entries) == 0 and broken_ids(entries) == set()
    where = {line[3]: line[4] for line in project.seen_lines()}
    assert {where[path] for path in talkers.open.values()} == names(project) and not names(project) & old
    leaving, stopping = first(entries, "instance leaving"), first(entries, "instance stopping")
    for instance in old:
        moments = sorted(ms - leaving[instance] for path, _, ms in talkers.closed if where[path] == instance)
        assert drain_ms / 2 - 10 <= moments[0] and moments[-1] < drain_ms + late_ms, moments
        assert moments[-1] <= stopping[instance] - leaving[instance] + late_ms
        tenths = [sum(int((moment / drain_ms - 0.5) * 20) == tenth for moment in moments) for tenth in range(10)]
        # Over three quarters of the second half, evenly: the fullest tenth has 2/15 of them on average.
        assert max(tenths) <= len(moments) * 0.35 and sum(each > 0 for each in tenths) >= 6, tenths


@pytest.mark.parametrize("role", ["edge", "control"])
def test_who_dies_while_connections_are_ended_has_a_successor_that_goes_on_with_it(make, role):
    project = make(TWO, drain="4s")
    after, killed = project.last_entry(), []

    def told(entry):
        if entry["kind"] == "instance ending" and not killed:
            killed.append(project.role_pid(role))
            os.kill(killed[0], signal.SIGKILL)

    follower = Follower(project, after, told)
    talkers = Talkers(project, 40)
    project.change()
    asyncio.run(talkers.run(project.up))
    follower.close()
    entries = project.entries_after(after)
    project.tell(entries)
    assert killed and project.role_pid(role) not in (None, *killed)
    assert talkers.wrong == []
    assert {code for _, code, _ in talkers.closed} == {1001}
    assert ended(entries) == len(talkers.closed) >= 40 and cut(entries) == 0 and broken_ids(entries) == set()
