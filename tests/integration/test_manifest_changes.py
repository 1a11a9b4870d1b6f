"""A manifest changes while releases of an older one run: each is held to what its own says, until it is gone."""
import json
import os
import pwd
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from conftest import strike, until
from project import Project

# Writes down in what it keeps who started it, and tells all of it; may call the other one.
DIARY = b"""
import http.server, json, os, urllib.request
diary = os.environ.get("STATE_DIR", "/nowhere") + "/diary"
if "STATE_DIR" in os.environ:
    with open(diary, "a") as file: file.write(f"{os.getuid()}\\n")
class Diary(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/call":
            with urllib.request.urlopen(os.environ["OTHER_URL"] + "/env", timeout=20) as answer:
                said = answer.status
        elif self.path == "/diary":
            said = open(diary).read().split()
        else:
            said = dict(os.environ, uid=str(os.getuid()))
        text = json.dumps(said).encode()
        self.send_response(200 if self.path != "/nowhere" else 404)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Diary).serve_forever()
"""
BAD = b"raise SystemExit(1)\n"
MANIFEST = """name: changes
services:
  diary:
    run: python3 diary.py
    public: PORT_HERE
    stop: {grace: 2s}
MORE_HERE
  other:
    run: python3 diary.py
"""


class Changes(Project):
    def __init__(self):
        super().__init__("")
        self.place("other", {"diary.py": DIARY})

    def have(self, *more, code=DIARY):
        """The file, and the keys of the service."""
        self.write(MANIFEST.replace("MORE_HERE", "\n".join(f"    {line}" for line in more)))
        self.place("diary", {"diary.py": code})

    def ask(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            return json.load(answer)

    def beside(self, look):
        """What `up` ends with; `look` is called all the while."""
        up = subprocess.Popen([str(self.binaries / "thole"), "up"], cwd=self.folder, env=self.environment(),
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 60
            while up.poll() is None:
                assert time.monotonic() < deadline
                look()
            return up.returncode
        finally:
            up.kill()
            up.wait()

    def kill_one(self):
        """And its successor answers."""
        before = [each["pid"] for each in self.instances("diary")]
        strike(self, before[0], 9)
        until(lambda: len({each["pid"] for each in self.instances("diary")} - set(before[:1])) == len(before), "its successor", 20)


@pytest.fixture
def project():
    made = Changes()
    yield made
    made.close()


def uid_of(name):
    return str(pwd.getpwnam(name).pw_uid)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give services to other users")
def test_what_a_service_keeps_goes_with_it_to_another_user_and_back(project):
    project.have("state: 1Mi", "user: daemon")
    project.up()
    assert project.ask("/diary") == [uid_of("daemon")]
    # One that does not start takes nothing away from who goes on.
    project.have("state: 1Mi", "user: games", code=BAD)
    project.up(wanted=3)
    assert project.ask("/env")["uid"] == uid_of("daemon")
    project.kill_one()
    assert set(project.ask("/diary")) == {uid_of("daemon")}
    written = len(project.ask("/diary"))
    project.have("state: 1Mi", "user: games")
    project.up()
    assert project.ask("/diary") == [uid_of("daemon")] * written + [uid_of("games")]
    project.kill_one()
    # The release before, as it was: nothing is built, and it owns what it keeps again.
    project.have("state: 1Mi", "user: daemon")
    project.up()
    assert project.service("diary")["release"] == 1
    assert project.ask("/diary") == [uid_of("daemon")] * written + [uid_of("games")] * 2 + [uid_of("daemon")]


@pytest.mark.skipif(os.geteuid() != 0, reason="callers are told apart by their users")
def test_a_caller_of_another_user_is_let_in_beside_the_one_before(project):
    project.have("calls: [other]", "user: daemon", "scale: 2")
    project.up()
    project.have("calls: [other]", "user: games", "scale: 2")
    seen = set()

    def look():
        assert project.ask("/call") == 200
        seen.add(project.ask("/env")["uid"])
    assert project.beside(look) == 0
    look()
    assert seen == {uid_of("daemon"), uid_of("games")} and project.ask("/call") == 200


def test_who_runs_calls_whom_its_successor_does_not_know(project):
    project.have("calls: [other]")
    project.up()
    url = project.ask("/env")["OTHER_URL"]
    project.have("build: sleep 1; false")

    def look():
        assert project.ask("/call") == 200
    assert project.beside(look) == 1
    look()
    project.kill_one()
    assert project.ask("/call") == 200
    project.have()
    project.up()
    assert "OTHER_URL" not in project.ask("/env")

    def is_closed():
        try:
            urllib.request.urlopen(url + "/env", timeout=10).close()
        except urllib.error.HTTPError:
            return False
        except OSError:
            return True
        return False
    until(is_closed, "the port that nobody is to call any more is closed", 10)


def test_what_is_to_keep_state_runs_alone_and_until_then_as_many_as_before(project):
    project.have("scale: 3")
    project.up()
    project.have("state: 1Mi", "build: sleep 1; false")
    project.up(wanted=1)
    assert len(project.instances("diary")) == 3
    project.thole("scale", "diary", "4", wanted=2)
    project.have("state: 1Mi")
    project.up()
    assert len(project.instances("diary", None)) == 1 and len(project.ask("/diary")) == 1
    project.have("scale: 3", "build: sleep 1; false")
    project.up(wanted=1)
    assert len(project.instances("diary", None)) == 1 and len(project.ask("/diary")) == 1
    project.have("scale: 3")
    project.up()
    assert len(project.instances("diary")) == 3


def test_who_keeps_more_than_it_said_is_named(project):
    project.have("state: 1Mi", code=b"import os\nopen(os.environ['STATE_DIR'] + '/much', 'wb').write(bytes(3 << 20))\n" + DIARY)
    project.up()
    until(lambda: "diary keeps 3.0 MiB, more than its state of 1.0 MiB" in project.thole("ps").stdout, "it is summed up", 20)
    assert project.service("diary")["state_bytes"] >= 3 << 20


def test_a_probe_is_for_the_releases_of_its_manifest(project):
    project.have("health: {startup: 3s}")
    project.up()
    # The path is not there: what runs is not asked for it, and who follows it in its place neither.
    project.have("health: {startup: 3s, ready: /nowhere}", code=BAD)
    project.up(wanted=3)
    project.kill_one()
    assert project.service("diary")["release"] == 1 and project.service("diary")["state"] == "serving"
    # The same files and commands: no new release, and asked for from its next start on.
    project.have("health: {startup: 3s, ready: /env}")
    project.up()
    project.kill_one()
    assert project.service("diary")["release"] == 1
