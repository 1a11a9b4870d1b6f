"""Releases that share a service: over the API, on the disk, and told to whatever edge is there."""
import http.client
import json
import signal
import socket

import pytest

from conftest import until
from project import Project
from rolling import Rolling

MANIFEST = """name: shares
services:
  web:
    run: python3 -u serve.py
    public: PORT_HERE
    scale: 2
    stop: {grace: 3s}
    requests: {sticky: {cookie: user}}
  keeps:
    run: python3 -u serve.py
    state: 16Mi
"""
SERVE = b"""
import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self):
        body = open("text", "rb").read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
USERS = 600


class Shares(Project):
    def __init__(self):
        super().__init__(MANIFEST)
        self.process = None
        self.change("1")
        self.place("keeps", {"serve.py": SERVE, "text": b"1"})

    def change(self, text):
        """The sources of another release, which answers so."""
        self.place("web", {"serve.py": SERVE, "text": text.encode()})

    def up_beside(self):
        """`up` waits for a deploy that is not to be done yet."""
        self.end_up()
        self.process = Rolling.start_up(self)
        until(lambda: self.thole("ps", wanted=None).returncode != 5, "it answers", 60)

    def end_up(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def share(self, wanted=200, service="web", **shares):
        """What the API answers."""
        link = http.client.HTTPConnection("thole", timeout=20)
        link.sock = socket.socket(socket.AF_UNIX)
        link.sock.settimeout(20)
        link.sock.connect(str(self.run / "api.sock"))
        link.request("PUT", f"/api/v1/services/{service}/shares", body=json.dumps({"shares": shares}))
        answer = link.getresponse()
        body = json.loads(answer.read())
        link.close()
        assert answer.status == wanted, body
        return body.get("error")

    def sides(self):
        links = [http.client.HTTPConnection("127.0.0.1", self.port, timeout=40) for _ in range(8)]
        sides = []
        for user in range(USERS):
            links[user % 8].request("GET", "/", headers={"Cookie": f"user=u{user}"})
            answer = links[user % 8].getresponse()
            sides.append(answer.read())
            assert answer.status == 200
        for link in links:
            link.close()
        return sides

    def wait_for_both(self):
        until(lambda: sorted(each["release"] for each in self.instances("web")) == [1, 1, 2, 2], "both serve", 60)

    def close(self):
        self.end_up()
        super().close()


@pytest.fixture
def project():
    made = Shares()
    made.up()
    yield made
    made.close()


def test_a_user_stays_on_his_side_through_every_death_and_a_whole_restart(project):
    project.share(v1="100%")
    project.change("2")
    project.up_beside()
    project.wait_for_both()
    assert set(project.sides()) == {b"1"}, "the new release has no share yet"
    project.share(v2="10%", v1="90%")
    sides = project.sides()
    assert USERS // 20 < sides.count(b"2") < USERS // 5
    assert project.service("web")["shares"] == {"v2": "10%", "v1": "90%"}
    assert "v2 10%, v1 90%" in project.thole("ps", wanted=None).stdout
    for role in ("edge", "control", "keeper"):
        pid = project.role_pid(role)
        project.kill(pid, signal.SIGKILL)
        project.wait_for_role(role, other_than=pid)
        assert project.sides() == sides, f"after the death of {role}"
    project.end_up()
    project.down()
    project.up_beside()
    project.wait_for_both()
    assert project.sides() == sides, "after a restart of everything"
    # Nobody goes back while it grows.
    project.share(v2="50%", v1="50%")
    grown = project.sides()
    assert all(now == b"2" for now, before in zip(grown, sides) if before == b"2")
    assert grown.count(b"2") > 2 * sides.count(b"2")
    project.share(v2="100%")
    until(lambda: project.service("web")["deploy"]["status"] == "done", "the deploy is done", 60)
    assert {each["release"] for each in project.instances("web")} == {2}
    assert set(project.sides()) == {b"2"} and project.service("web")["shares"] == {}
    told = [(each["kind"], each["text"]) for each in project.timeline() if each["kind"].startswith("shares ")]
    assert told == [("shares changed", "v1 100%, root"), ("shares changed", "v2 10%, v1 90%, root"),
                    ("shares changed", "v2 50%, v1 50%, root"), ("shares changed", "v2 100%, root"),
                    ("shares ended", "the deploy is done")]


@pytest.mark.parametrize("control_dies", [False, True])
def test_a_release_that_is_taken_back_takes_its_share_with_it(project, control_dies):
    project.share(v1="100%")
    # One of it becomes ready, and goes slowly; the other one never does.
    name = f"thole-test-{project.port}"
    project.place("web", {"serve.py": b"import signal, socket\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
                          + b"alone = socket.socket(socket.AF_UNIX)\n" + f"alone.bind('\\0{name}')\n".encode() + SERVE, "text": b"2"})
    project.up(wanted=None)
    until(lambda: project.service("web")["deploy"]["status"] == "reversed", "it is taken back", 60)
    if control_dies:
        pid = project.role_pid("control")
        project.kill(pid, signal.SIGKILL)
        project.wait_for_role("control", other_than=pid)
    until(lambda: project.service("web")["shares"] == {}, "its shares end", 30)
    told = [each["kind"] for each in project.timeline()]
    gone = max(at for at, kind in enumerate(told) if kind == "instance ended")
    assert told.index("deploy reversed") < gone < told.index("shares ended"), "nobody is sent to it until it has gone"
    assert set(project.sides()) == {b"1"}


def start_shared(project):
    project.share(v1="100%")
    project.change("2")
    project.up_beside()
    project.wait_for_both()
    project.share(v2="10%", v1="90%")
    project.end_up()


def test_a_release_that_is_given_up_for_what_serves_takes_its_share_with_it(project):
    start_shared(project)
    project.change("1")
    project.up()
    until(lambda: project.service("web")["shares"] == {}, "its shares end", 30)
    assert {each["release"] for each in project.instances("web")} == {1} and set(project.sides()) == {b"1"}
    project.change("3")
    project.up()
    assert set(project.sides()) == {b"3"} and project.service("web")["deploy"]["status"] == "done"


def test_a_release_that_is_given_up_for_a_newer_one_takes_its_share_with_it(project):
    start_shared(project)
    project.change("3")
    project.up_beside()
    until(lambda: project.service("web")["deploy"]["status"] == "done", "the newer one is done", 30)
    assert project.service("web")["shares"] == {} and set(project.sides()) == {b"3"}


def test_shares_that_make_no_sense_are_refused_and_change_nothing(project):
    project.share(v1="100%")
    for shares, why in (({"v1": "99%"}, "shares: together 99%, and must be 100%"),
                        ({"v1": "99.95%", "v2": "0.05%"}, "is not a share: 0% to 100%, in steps of 0.1%"),
                        ({"v1": 100}, "shares.v1: must be a text")):
        error = project.share(400, **shares)
        assert why in error["message"] and "v2" in error["hint"], error
    error = project.share(404, v7="100%")
    assert error["message"] == "shares: 'v7' neither serves nor is about to; these do: v1" and error["hint"] == "thole ps"
    assert "two of its releases never run at once" in project.share(400, "keeps", v1="100%")["message"]
    assert "there is no service 'x'" in project.share(404, "x", v1="100%")["message"]
    assert project.service("web")["shares"] == {"v1": "100%"}
    project.share()
    assert project.service("web")["shares"] == {} and project.wait_settled()["settled"]
