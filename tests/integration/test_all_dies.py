"""So much of thole ends in one moment that nobody is left who could have noticed: what comes back, and by whose hand."""
import os
import shutil
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

from conftest import until, words_of
from judged import Judged, pause
from nasty import become_nobody
from project import Project

VISITS = b"""
import http.server, os, pathlib
book = pathlib.Path(os.environ["STATE_DIR"]) / "visits"
class Visits(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/visit":
            with open(book, "a") as file:
                file.write("x")
                file.flush()
                os.fsync(file.fileno())
        text = str(book.stat().st_size if book.exists() else 0).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Visits).serve_forever()
"""
MANIFEST = """name: visits
services:
  web:
    run: python3 visits.py
    public: PORT_HERE
    state: 1Mi
"""


def asked(project, path="/"):
    with urllib.request.urlopen(f"http://127.0.0.1:{project.port}{path}", timeout=10) as answer:
        return answer.read().decode()


def is_answered(project):
    try:
        return asked(project, "/get/1") != ""
    except OSError:  # Its ports are closed until somebody opens them again.
        return False


@pytest.fixture
def visits():
    project = Project(MANIFEST)
    project.place("web", {"visits.py": VISITS})
    yield project
    project.close()


def name_of(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8")
    except OSError:  # It ended just now.
        return ""


def end_all(project):
    """As a power cut does, but for what the disk had not yet: every process, and the run folder, which is memory."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in project.pids():
            os.kill(pid, number)
    until(lambda: project.pids() == [], "everything has ended")
    shutil.rmtree(project.run)


def test_after_the_machines_end_up_starts_everything_with_what_it_had(visits):
    visits.up()
    assert [asked(visits, "/visit") for _ in range(3)] == ["1", "2", "3"]
    release = visits.service("web")["release"]
    end_all(visits)
    assert "try: thole up" in visits.thole("ps", wanted=5).stderr
    visits.up()
    assert asked(visits, "/visit") == "4", "its state is there"
    assert visits.service("web")["release"] == release, "nothing had changed"
    assert len(visits.instances("web")) == 1
    visits.thole("restart", "web")
    visits.wait_settled()
    assert asked(visits) == "4" and len(visits.instances("web")) == 1
    visits.down()


@pytest.mark.parametrize("rights", ["ours", "without rights"])
def test_of_a_run_folder_that_was_deleted_up_says_what_helps_and_it_does(visits, rights):
    """Without cgroups what ran before is known by its environment."""
    if rights == "without rights":
        become_nobody(visits)
    visits.up()
    assert asked(visits, "/visit") == "1"
    before = visits.pids()
    shutil.rmtree(visits.run)
    assert asked(visits, "/visit") == "2", "who runs goes on"
    said = visits.up(wanted=5).stderr
    command = "; ".join(f"pkill -{name} -f '[-]-run {visits.run} --data'" for name in ("STOP", "KILL"))
    assert f"its run folder ({visits.run}) was deleted" in said and f"try: {command}, and again" in said
    subprocess.run(["sh", "-c", command], check=True)
    until(lambda: len(visits.pids()) == 1, "none of thole's is left, only the service")
    visits.up()
    assert asked(visits, "/visit") == "3" and len(visits.instances("web")) == 1
    assert not set(before) & set(visits.pids()), "of the old ones nobody is left"
    mark = f"--run\0{visits.run}\0".encode()
    there = []

    def are_five():
        there[:] = [(pid, words) for pid in visits.pids() if mark in (words := words_of(pid).partition(b"--data")[0])]
        return len(there) == 5
    until(are_five, there)  # Four roles and a holder.
    visits.down()


def test_an_edge_that_outlives_its_run_folder_and_all_others_is_in_nobodys_way(visits):
    """Control has no way to it, and it ticks where no keeper looks: taken for the edge of the next one, it was ended
    every five seconds, and `down` waited for it for ever."""
    visits.up()
    assert asked(visits, "/visit") == "1"
    holder = next(pid for pid in visits.pids() if name_of(pid) == "holder\n")
    others = [pid for pid in visits.pids() if pid != holder]
    shutil.rmtree(visits.run)
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in others:
            os.kill(pid, number)
    until(lambda: not set(others) & set(visits.pids()) and len(visits.pids()) == 2, "the holder is an edge, and has one")
    visits.up()
    assert asked(visits, "/visit") == "2" and len(visits.instances("web")) == 1
    until(lambda: holder not in visits.pids(), "the edge of before has left")
    visits.thole("restart", "web")
    assert asked(visits, "/visit") == "3"
    visits.down()


def test_keeper_watch_edge_and_holder_die_together_and_come_back_by_themselves():
    """Nobody holds the listening sockets any more; control, which is left, has keeper started."""
    with Judged() as judged:
        before, control = judged.instance_pids(), judged.role_pid("control")
        for _ in range(3):
            victims = [judged.role_pid(role) for role in ("keeper", "watch", "edge")] + [judged.holder()]
            judged.kill_together(victims)
            until(lambda: is_answered(judged), "somebody answers again", 20)
            judged.wait_for_role("watch", victims[1])
            until(lambda: judged.holder() is not None, "another holder")
        assert judged.instance_pids() == before and judged.role_pid("control") == control
        # All of it works: one dies, another is started and found; none of the old is left behind.
        judged.kill_instance(before[0])
        until(lambda: len(judged.instances("echo")) == 3 and before[0] not in judged.instance_pids(), "another instance", 20)
        assert is_answered(judged)
        judged.down()


def test_keeper_watch_and_control_die_together_and_up_finds_who_still_runs():
    """The services and the edge go on; nobody starts anything until somebody says `up`."""
    with Judged() as judged:
        before, edge = judged.instance_pids(), judged.role_pid("edge")
        judged.load(rate=100, added_max="10s")
        judged.kill_together([judged.role_pid(role) for role in ("keeper", "watch", "control")])
        pause(1)
        judged.up()
        assert (judged.instance_pids(), judged.role_pid("edge")) == (before, edge)
        judged.assert_nothing_failed()
        judged.thole("restart", "echo")
        judged.wait_settled()
        assert not set(before) & set(judged.instance_pids())
        judged.down()


def test_keeper_watch_and_edge_die_together_and_the_holder_is_reached_by_control():
    """It serves at once; whoever is keeper next must not bind another socket than the one that it listens on."""
    with Judged() as judged:
        heir, victims = judged.holder(), [judged.role_pid(role) for role in ("keeper", "watch", "edge")]
        judged.kill_together(victims)
        judged.wait_for_role("keeper", victims[0])
        judged.wait_for_role("watch", victims[1])
        judged.wait_for_role("edge", victims[2])
        assert judged.role_pid("edge") == heir
        until(lambda: judged.holder() not in (None, heir), "it has a holder of its own")
        # The one before reached it while there was no keeper; the next has to come by the name.
        judged.kill_role("control")
        before = judged.instance_pids()
        judged.thole("restart", "echo")
        judged.wait_settled()
        assert not set(before) & set(judged.instance_pids()), "the edge has heard of them"
        assert all(asked(judged, "/get/1") for _ in range(20))
        judged.down()
