"""What counts processes for other tests sees what it is there to see."""
import subprocess
import sys

import pytest

from census import BESIDE_S, Census
from conftest import System, until

# Says that it is there and waits for the end of its input; of two threads and named like an edge where it is told so.
BODY = """import ctypes, sys, threading
if sys.argv[1:] == ["edge"]:
    ctypes.CDLL(None).prctl(15, b"edge", 0, 0, 0)
    threading.Thread(target=threading.Event().wait, daemon=True).start()
print("here", flush=True)
sys.stdin.read()
"""


class Crowd:
    def __init__(self):
        self.system, self.processes = System("none"), []
        (self.system.base / "run").write_text("echo here\nread line\n", encoding="utf-8")
        (self.system.base / "body").write_text(BODY, encoding="utf-8")

    def start(self, executable, words, **environment):
        made = subprocess.Popen(words, executable=executable, cwd=self.system.base, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, env={"OURS": str(self.system.base), **environment})
        self.processes.append(made)
        assert made.stdout.readline() == b"here\n"
        return made

    def instance(self, name):
        return self.start("/bin/sh", ["service", "run"], THOLE_INSTANCE=name)

    def edge(self):
        return self.start(sys.executable, ["edge", "body", "edge"])

    def end(self, process):
        process.stdin.close()
        process.stdout.close()
        process.wait(10)
        self.processes.remove(process)

    def close(self):
        while self.processes:
            self.end(self.processes[0])
        self.system.close()


@pytest.fixture
def crowd():
    made = Crowd()
    yield made
    made.close()


def looks(census, number):
    """Lets it look so many times more."""
    goal = census.looks + number
    until(lambda: census.looks >= goal, "it looks")


def test_two_generations_of_one_slot_at_once_are_seen(crowd):
    with Census(crowd.system) as census:
        first = crowd.instance("echo-5.1")
        looks(census, 3)
        crowd.end(first)
        crowd.instance("echo-5.2")
        crowd.instance("echo-6.1")
        looks(census, 3)
        assert census.twice() == {} and census.most["all"] == 2
        crowd.instance("echo-5.3")
        looks(census, 3)
        assert census.twice() == {"echo-5": 2}


def test_keepers_beside_each_other_are_seen(crowd):
    with Census(crowd.system) as census:
        keeper = crowd.start("/bin/sh", ["keeper", "run"])
        looks(census, 3)
        assert [each.pid for each in census.now().roles["keeper"]] == [keeper.pid]
        crowd.start("/bin/sh", ["/proc/self/exe", "run"])
        until(lambda: census.beside_s["keeper"] > BESIDE_S["keeper"], "long enough")
        assert list(census.beside()) == ["keeper"]


def test_two_edges_that_serve_are_seen_at_once(crowd):
    with Census(crowd.system) as census:
        first = crowd.edge()
        looks(census, 3)
        crowd.end(first)
        crowd.edge()
        looks(census, 3)
        assert census.beside() == {}
        crowd.edge()
        looks(census, 3)
        assert census.beside() == {"serving": 2}
