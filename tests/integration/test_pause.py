"""`thole pause` and `resume`: requests wait, nothing else changes, whatever dies meanwhile."""
import http.client
import json
import shutil
import signal
import threading
import time

import pytest

from conftest import until
from project import Project

MANIFEST = """name: paused
services:
  web:
    run: python3 -u serve.py
    public: PORT_HERE
    calls: [back]
  back:
    run: python3 -u serve.py
"""
SERVE = b"""
import http.server, os, select, urllib.request

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        word, _, more = self.path[1:].partition("/")
        if word == "slow":
            select.select([], [], [], float(more))
        body = str(os.getpid()).encode()
        if word == "ask":
            body = urllib.request.urlopen(os.environ["BACK_URL"] + "/").read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture
def project():
    made = Project(MANIFEST)
    for service in ("web", "back"):
        made.place(service, {"serve.py": SERVE})
    made.up()
    yield made
    made.close()


class Asked(threading.Thread):
    """One request from outside."""

    def __init__(self, project, path="/"):
        super().__init__()
        self.port, self.path = project.port, path
        self.status = self.timing = self.body = None
        self.start()

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=40)
        connection.request("GET", self.path)
        answer = connection.getresponse()
        self.body, self.timing = answer.read(), answer.getheader("server-timing")
        self.status = answer.status
        connection.close()

    def assert_answered(self):
        self.join(40)
        assert self.status == 200 and self.timing.startswith("hold;dur="), (self.status, self.timing)


def held(project):
    return project.seen()["traffic"]["held"]


def ask_and_wait(project, count=1, path="/"):
    before = held(project)
    asked = [Asked(project, path) for _ in range(count)]
    until(lambda: held(project) == before + count, f"{count} wait")
    return asked


def resume(project, asked, service="web"):
    assert all(each.status is None for each in asked)
    project.thole("resume", service)
    for each in asked:
        each.assert_answered()
    until(lambda: held(project) == 0, "nobody waits")


def test_what_is_paused_waits_and_its_instances_go_on(project):
    pid = Asked(project).body, project.instances("web")[0]["pid"]
    slow = Asked(project, "/slow/2")
    until(lambda: project.instances("web")[0]["in_flight"] == 1, "under way")
    said = json.loads(project.thole("pause", "web", "--json").stdout)
    assert (said["result"], said["exit"]) == ("paused", 0)
    slow.join(1)
    assert slow.status == 200 and slow.timing is None, "what was under way has ended, and pause has waited for it"
    asked = ask_and_wait(project, 3)
    project.thole("pause", "web")  # Said twice it is the same.
    seen = project.service("web")
    assert seen["state"] == "serving" and seen["paused"]["by"] == "root" and seen["paused"]["until"] == ""
    assert "paused for" in project.thole("ps").stdout
    resume(project, asked)
    project.thole("resume", "web")
    assert project.service("web")["paused"] is None
    assert project.instances("web")[0]["pid"] == pid[1] and project.instances("web")[0]["restarts"] == 0
    kinds = [(each["kind"], each["text"]) for each in project.timeline() if each["kind"].startswith("service ")
             and each["kind"].split()[1] in ("paused", "resumed")]
    assert kinds == [("service paused", "by thole pause, root"), ("service resumed", "by thole resume, root")]


def test_who_is_called_may_be_paused_too_and_others_go_on(project):
    project.thole("pause", "back")
    (asked,) = ask_and_wait(project, 1, "/ask")
    direct = Asked(project)
    direct.join(5)
    assert direct.status == 200 and direct.timing is None
    assert asked.status is None
    project.thole("resume", "back")
    asked.join(10)
    assert asked.status == 200 and asked.body == str(project.instances("back")[0]["pid"]).encode()


def test_a_pause_of_nothing_names_what_there_is(project):
    said = project.thole("pause", "wbe", wanted=2).stderr
    assert "there is no service 'wbe'; there are: web, back" in said and "try: thole pause web" in said


@pytest.mark.parametrize("roles", [("control",), ("edge",), ("keeper",), ("edge", "control"), ("keeper", "edge")], ids="+".join)
def test_it_is_still_paused_whoever_dies(project, roles):
    project.thole("pause", "web")
    asked = ask_and_wait(project, 3)
    pids = {role: next(each["pid"] for each in project.seen()["roles"] if each["role"] == role) for role in roles}
    for number in (signal.SIGSTOP, signal.SIGKILL):  # None of them makes up for another.
        for pid in pids.values():
            project.kill(pid, number)
    until(lambda: all(each["pid"] not in pids.values() for each in project.seen()["roles"]), "others are there")
    assert project.service("web")["paused"] is not None
    late = ask_and_wait(project)
    resume(project, asked + late)


def test_after_everything_has_died_it_is_still_paused(project):
    """As after the machine's end: of the run folder nothing is left."""
    project.thole("pause", "web")
    stopped = set()
    while pids := set(project.pids()) - stopped:  # Until nobody is left who could start another one.
        for pid in pids:
            project.kill(pid, signal.SIGSTOP)
        stopped |= pids
    for pid in stopped:
        project.kill(pid, signal.SIGKILL)
    until(lambda: not project.pids(), "all have ended")
    shutil.rmtree(project.run)
    project.up()
    assert project.service("web")["paused"] is not None
    resume(project, ask_and_wait(project, 3))


def test_a_restart_and_a_deploy_of_what_is_paused_leave_it_paused(project):
    project.thole("pause", "web")
    asked = ask_and_wait(project, 3)
    project.thole("restart", "web")
    project.place("web", {"serve.py": SERVE + b"# Another release.\n"})
    assert "web is paused" in project.up().stderr
    assert project.service("web")["release"] == 2 and project.service("web")["paused"] is not None
    resume(project, asked)
    assert asked[0].body == str(project.instances("web")[0]["pid"]).encode()


def test_it_ends_by_itself_where_that_was_said(project):
    began = time.monotonic()
    project.thole("pause", "web", "--for", "2s")
    (asked,) = ask_and_wait(project)
    asked.assert_answered()
    assert 1.5 < time.monotonic() - began < 6
    assert project.service("web")["paused"] is None
    assert project.timeline("service resumed")[-1]["text"] == "its 2.0 s are over"


def test_it_ends_also_where_control_was_dead_when_its_time_was_over(project):
    project.thole("pause", "web", "--for", "3s")
    over = time.monotonic() + 3.2
    (asked,) = ask_and_wait(project)
    control = project.role_pid("control")
    project.kill(control, signal.SIGSTOP)  # Nobody takes its place before 5 s.
    until(lambda: time.monotonic() > over, "its time is over")
    assert asked.status is None
    project.kill(control, signal.SIGKILL)
    asked.assert_answered()
    assert float(asked.timing.removeprefix("hold;dur=")) < 8000


def test_down_ends_every_pause(project):
    project.thole("pause", "web")
    project.down()
    project.up()
    assert project.service("web")["paused"] is None
    asked = Asked(project)
    asked.join(10)
    assert asked.status == 200


def test_up_without_it_ends_its_pause(project):
    project.thole("pause", "web")
    (asked,) = ask_and_wait(project)
    project.write(MANIFEST[:MANIFEST.index("  web:")] + MANIFEST[MANIFEST.index("  back:"):])
    project.up("--prune")
    asked.join(20)
    assert asked.status in (200, 503)
    project.write(MANIFEST)
    project.up()
    assert project.service("web")["paused"] is None
