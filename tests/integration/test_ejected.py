"""One of two instances whose requests fail: its users notice little, and who runs it is told."""
import threading
import urllib.error
import urllib.request

import pytest

from conftest import until
from project import Project

# The one of two that has made the file fails what it is asked, as long as the other file is there.
SERVICE = rb"""#!/usr/bin/env python3
import http.server, os, pathlib
marks = pathlib.Path(os.environ["MARKS"])
try:
    os.close(os.open(marks / "first", os.O_CREAT | os.O_EXCL))
    is_first = True
except FileExistsError:
    is_first = False
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        is_bad = is_first and (marks / "bad").exists()
        self.send_response(503 if is_bad else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
"""
MANIFEST = """name: judged
services:
  web:
    run: ./service
    public: PORT_HERE
    scale: 2
    env: {MARKS: MARKS_HERE}
"""


@pytest.fixture
def project():
    made = Project(MANIFEST)
    try:
        marks = made.folder / "marks"
        marks.mkdir(mode=0o777)
        marks.chmod(0o777)
        made.place("web", {"service": SERVICE})
        (made.folder / "web" / "service").chmod(0o755)
        made.write(MANIFEST.replace("MARKS_HERE", str(marks)))
        made.up()
        yield made
    finally:
        made.close()


def test_who_runs_it_is_told_that_an_instance_is_left_out_and_that_it_is_back(project):
    marks, statuses, stop = project.folder / "marks", [], threading.Event()

    def ask():
        while not stop.wait(0.01):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{project.port}/", timeout=10) as answer:
                    statuses.append(answer.status)
            except urllib.error.HTTPError as refused:
                statuses.append(refused.code)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        until(lambda: len(statuses) > 100, "it is asked")
        (marks / "bad").write_text("", encoding="utf-8")
        until(lambda: project.timeline("instance ejected"), "it is left out", 15)
        assert any("left out by the edge" in instance["reason"] for instance in project.instances("web"))
        (marks / "bad").unlink()
        until(lambda: project.timeline("instance returned"), "it is back", 20)
        assert not any(instance["reason"] for instance in project.instances("web"))
    finally:
        stop.set()
        asking.join()
    bad = len(statuses) - statuses.count(200)
    assert bad <= len(statuses) / 20, f"{bad} of {len(statuses)}"
