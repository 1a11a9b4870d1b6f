"""`thole why` as a user has it: a request from outside, what its service called for it, and what the edge said itself."""
import json
import os
import re
import signal
import urllib.error
import urllib.request

import pytest

from conftest import until
from project import Project

# web passes its request's id on to orders, as every library for traces does.
SERVICE = rb"""#!/usr/bin/env python3
import http.server, os, urllib.request
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_):
        pass
    def do_GET(self):
        body = b"orders"
        if "ORDERS_URL" in os.environ and self.path == "/a":
            mark = {"X-Request-Id": self.headers["X-Request-Id"]}
            with urllib.request.urlopen(urllib.request.Request(os.environ["ORDERS_URL"] + "/o", None, mark)) as answer:
                body = answer.read()
        self.send_response(404 if self.path == "/none" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
MANIFEST = """name: shop
services:
  orders:
    run: ./service
  web:
    run: ./service
    public: PORT_HERE
    calls: [orders]
"""


@pytest.fixture
def shop():
    project = Project(MANIFEST)
    for name in ("orders", "web"):
        project.place(name, {"service": SERVICE})
        (project.folder / name / "service").chmod(0o755)
    project.thole("up", "--detach")
    yield project
    project.close()


def ask(project, path):
    """The id of its answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{project.port}{path}", timeout=30) as answer:
            return answer.headers["X-Request-Id"]
    except urllib.error.HTTPError as error:
        return error.headers["X-Request-Id"]


def why(project, number):
    return json.loads(project.thole("why", number, "--json").stdout)["why"]["requests"]


def test_why_tells_a_request_and_what_was_called_for_it(shop):
    number = ask(shop, "/a")
    said = shop.thole("why", number).stdout
    assert re.search(rf"from outside by port {shop.port} \(127.0.0.1\) to web\n  try 1: web-\d+\.1 \(v1\), one of 1 that "
                     r"served\n  answered by web-\d+\.1 \(v1\) with 200\n", said), said
    assert re.search(r"GET /o\n  web calls orders\n  try 1: orders-\d+\.1 \(v1\), one of 1 that served\n", said), said
    outer, inner = why(shop, number[:20])
    assert (outer["service"], outer["caller"], outer["request"]) == ("web", "", "GET /a")
    assert (inner["service"], inner["caller"], inner["request"]) == ("orders", "web", "GET /o")
    assert outer["id"] == inner["id"] == number and inner["total_us"] <= outer["total_us"]


def test_an_id_that_nobody_has_is_told_with_how_far_the_edge_remembers(shop):
    ask(shop, "/a")
    done = shop.thole("why", "0" * 32, wanted=2)
    assert re.search(r"remembers \d+ requests, back to .* ago", done.stderr), done.stderr
    assert "try: thole timeline" in done.stderr
    assert "is no request's id" in shop.thole("why", "web", wanted=2).stderr


def test_what_failed_is_told_also_where_the_edge_has_forgotten_all(shop):
    number = ask(shop, "/none")
    log = shop.data / "edge/access.log"
    until(lambda: log.exists() and number in log.read_text(encoding="utf-8"), "its line")
    before = why(shop, number)
    assert len(before) == 1
    shop.thole("down")
    shop.thole("up", "--detach")
    after = why(shop, number)
    assert [each["request"] for each in after] == ["GET /none"]
    same = ("status", "outcome", "service", "instance", "release", "total_us", "answered_by", "bytes_out")
    assert {name: after[0][name] for name in same} == {name: before[0][name] for name in same}


def test_control_that_dies_while_it_is_asked_is_asked_again(shop):
    number = ask(shop, "/a")
    control = next(role["pid"] for role in json.loads(shop.thole("ps", "--json").stdout)["system"]["roles"]
                   if role["role"] == "control")
    os.kill(control, signal.SIGKILL)
    assert len(why(shop, number)) == 2
