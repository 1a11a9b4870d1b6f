"""Services that leave the manifest, and come back by their names."""
import http.client
import json
import threading
import urllib.request

import pytest

from conftest import processes_of, until
from project import Project

SLOW_S = 3

# Keeps a line for each start; `/slow` takes a while, and says on the log that it has begun.
API = b"""
import http.server, json, os, threading
lines = os.path.join(os.environ["STATE_DIR"], "inside", "lines")
os.makedirs(os.path.dirname(lines), exist_ok=True)
with open(lines, "a") as file: file.write(os.environ["THOLE_RELEASE"] + "\\n")
class Api(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            print("begun", flush=True)
            threading.Event().wait(SLOW_HERE)
        text = json.dumps({"lines": open(lines).read().split(), "uid": os.getuid()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Api).serve_forever()
""".replace(b"SLOW_HERE", str(SLOW_S).encode())
# Passes on what it is asked.
WEB = b"""
import http.server, os, urllib.request
class Web(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = b"alone"
        if "API_URL" in os.environ:
            with urllib.request.urlopen(os.environ["API_URL"] + self.path, timeout=30) as answer:
                text = answer.read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Web).serve_forever()
"""
WITH_API = """name: pruned
services:
  web:
    run: python3 web.py
    public: PORT_HERE
    calls: [api]
  api:
    run: python3 api.py
    state: 1Mi
"""
ALONE = WITH_API[:WITH_API.index("    calls")]
API_ALONE = """name: pruned
services:
  other:
    run: python3 web.py
  api:
    run: python3 api.py
    state: 1Mi
    public: PORT_HERE
"""
OTHER_ALONE = """name: pruned
services:
  other:
    run: python3 web.py
"""


@pytest.fixture
def project():
    made = Project(WITH_API)
    made.place("web", {"web.py": WEB})
    made.place("other", {"web.py": WEB})
    made.place("api", {"api.py": API})
    yield made
    made.close()


def ask(project, path="/"):
    with urllib.request.urlopen(f"http://127.0.0.1:{project.port}{path}", timeout=20) as answer:
        return answer.read()


def begin_prune(project):
    """`up --prune`, whatever its exit status, in a thread to be joined."""
    up = threading.Thread(target=project.up, args=("--prune",), kwargs={"wanted": None})
    up.start()
    return up


def apis(project):
    return [pid for pid in processes_of(str(project.base)) if b"api.py" in words(pid)]


def words(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


def test_a_service_that_was_pruned_comes_back_once_and_has_what_it_kept(project):
    # Two of it would write to one database, and under another user it could not read its own.
    project.up()
    first = json.loads(ask(project))
    assert first["lines"] == ["1"] and len(apis(project)) == 1
    project.write(ALONE)
    project.up("--prune")
    assert ask(project) == b"alone"
    assert apis(project) == []
    # Other code than before: the release is a new one, and is not copied over the old one.
    project.place("api", {"api.py": API + b"# again\n"})
    project.write(WITH_API)
    project.up()
    assert json.loads(ask(project)) == {"lines": ["1", "2"], "uid": first["uid"]}
    assert len(apis(project)) == 1
    seen = project.seen()
    assert seen["settled"] and sorted(each["name"] for each in seen["services"]) == ["api", "web"]
    # Nor does control's next life find another one.
    control = project.role_pid("control")
    project.kill(control, 9)
    project.wait_for_role("control", other_than=control)
    project.up()
    assert json.loads(ask(project))["lines"] == ["1", "2"] and len(apis(project)) == 1


def test_a_service_that_comes_back_before_it_has_ended_never_runs_beside_itself(project):
    project.write(API_ALONE)
    project.up()
    status = begin_slow(project)
    project.write(OTHER_ALONE)
    up = begin_prune(project)
    until(lambda: project.timeline("instance leaving"), "api is to end")
    project.write(API_ALONE)
    project.place("api", {"api.py": API + b"# again\n"})
    seen = []
    again = threading.Thread(target=lambda: seen.append(project.up(wanted=None).returncode))
    again.start()
    most = 0
    while again.is_alive():
        most = max(most, len(apis(project)))
    up.join()
    assert seen == [0] and most == 1 and status() == 200
    assert json.loads(ask(project))["lines"][-1] == "2"


def test_a_request_to_a_pruned_service_is_answered_though_control_dies(project):
    # The next control took it for a stranger and killed it at once.
    project.write(API_ALONE)
    project.up()
    status = begin_slow(project)
    project.write(OTHER_ALONE)
    up = begin_prune(project)
    until(lambda: project.timeline("instance draining"), "api is draining")
    project.kill(project.role_pid("control"), 9)
    assert status() == 200
    up.join()
    project.wait_settled()
    until(lambda: apis(project) == [], "api has ended")
    assert project.timeline("instance ended") != []
    assert project.timeline("instance lost") == []


def test_a_pruned_service_goes_on_while_a_caller_could_not_be_replaced(project):
    # The caller keeps state: its old release ends before the new one is tried, and is started again.
    with_state = "    public: PORT_HERE\n    state: 1Mi\n"
    project.write(WITH_API.replace("    public: PORT_HERE\n", with_state))
    project.up()
    before = apis(project)
    project.write(ALONE.replace("    public: PORT_HERE\n", with_state))
    project.place("web", {"web.py": b"raise SystemExit(1)\n"})
    project.up("--prune", wanted=3)
    assert json.loads(ask(project))["lines"] == ["1"] and apis(project) == before
    project.place("web", {"web.py": WEB})
    project.up("--prune")
    assert ask(project) == b"alone"
    assert apis(project) == []


def begin_slow(project):
    """A request that its instance has; what is returned waits for its status."""
    answers = []

    def run():
        connection = http.client.HTTPConnection("127.0.0.1", project.port, timeout=30)
        connection.request("GET", "/slow")
        answers.append(connection.getresponse().status)
        connection.close()

    asking = threading.Thread(target=run)
    asking.start()
    until(lambda: "begun" in project.thole("logs", "api", wanted=None).stdout, "the request has come")

    def status():
        asking.join(40)
        return answers[0] if answers else None
    return status
