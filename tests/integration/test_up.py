"""`thole up` as a user has it: the release binaries, real services, real clients."""
import urllib.request

import pytest

from project import Project

HELLO = b"""
import http.server, os
class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = (open("text").read() + os.environ["THOLE_INSTANCE"]).encode()
        self.send_response(200 if self.path != "/readyz" else 404)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *words): print(self.path, flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Hello).serve_forever()
"""
MANIFEST = """name: hello
services:
  web:
    run: python3 hello.py
    public: PORT_HERE
    scale: 2
"""


@pytest.fixture
def hello():
    project = Project(MANIFEST)
    project.place("web", {"hello.py": HELLO, "text": b"one "})
    yield project
    project.close()


def page(project):
    with urllib.request.urlopen(f"http://127.0.0.1:{project.port}/", timeout=10) as answer:
        return answer.read().decode()


def test_up_serves_and_down_leaves_nothing(hello):
    done = hello.up()
    assert f"http://127.0.0.1:{hello.port}" in done.stdout
    assert page(hello).startswith("one web-")
    assert len(hello.instances("web")) == 2
    hello.thole("down")
    assert hello.pids() == [] and not hello.run.exists()
    assert "try: thole up" in hello.thole("ps", wanted=5).stderr
    hello.up()
    assert page(hello).startswith("one web-")


def test_a_changed_byte_is_a_new_release_and_an_unchanged_folder_is_none(hello):
    hello.up()
    hello.up()
    assert hello.service("web")["release"] == 1
    (hello.folder / "web" / "text").write_text("two ")
    assert page(hello).startswith("one "), "editing a file changes nothing that runs"
    hello.up()
    assert hello.service("web")["release"] == 2
    assert page(hello).startswith("two ")
    (hello.folder / "web" / "text").write_text("one ")
    hello.up()
    assert hello.service("web")["release"] == 1, "files as they were are the release that they were"
    assert page(hello).startswith("one ")


def test_a_release_that_does_not_start_is_taken_back(hello):
    hello.up()
    (hello.folder / "web" / "hello.py").write_bytes(b"raise SystemExit('no boat today')")
    done = hello.up(wanted=3)
    assert "no boat today" in done.stdout + done.stderr
    assert hello.service("web")["release"] == 1
    assert page(hello).startswith("one ")
    assert hello.timeline("deploy reversed")


def test_scale_and_restart(hello):
    hello.up()
    hello.thole("scale", "web", "3")
    hello.wait_settled()
    assert len(hello.instances("web")) == 3
    before = {each["pid"] for each in hello.instances("web")}
    hello.thole("restart", "web")
    hello.wait_settled()
    assert not before & {each["pid"] for each in hello.instances("web")}
    hello.thole("scale", "web", "0", wanted=2)
    hello.thole("restart", "wbe", wanted=2)
