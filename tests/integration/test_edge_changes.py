"""Changes while requests come: a thousand sets of routes, instances that come and go a hundred times a second, a manifest that cannot be, and a control that is gone."""
import contextlib
import socket
import threading
import time
from pathlib import Path

import pytest

from conftest import until
from edge import OUT, SECOND, SERVES, snapshot
from edge_stand import LISTENER, SERVICE, Load, kill_edge_and_holder, two  # pylint: disable=unused-import
from project import Project, free_port
from test_edge_ejection import Traffic, instances, one_in_three_fails

PUSHES, PUSHES_LONG, PUSHED_IN_S = 100, 1000, 60
FLAPS, FLAPS_LONG = 200, 3000
PAUSE_S = 0.01
GROWTH = 1.05
SETTLED_S = 20
ROUTES_MAX = 1024  # docs/reference/defaults.md


def private_memory(pid):
    """In bytes, without what outlives the edge: that fills with the requests."""
    size, is_counted = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8").splitlines():
        if "-" in line.split(" ", 1)[0] and ":" not in line.split(" ", 1)[0]:
            is_counted = "memfd:" not in line
        elif line.startswith("Pss:") and is_counted:
            size += int(line.split()[1]) * 1024
    return size


def push(stand, count, spread_s):
    """So many snapshots, each with a second listener or without, evenly over that time."""
    second = LISTENER + 1
    stand.keeper.ensure_listener(second)
    began = time.monotonic()
    for number in range(count):
        more = [(second, SERVICE)] if number % 2 == 0 else []
        stand.activate([(LISTENER, SERVICE), *more], head=(30 + number % 7) * SECOND)
        left = began + (number + 1) * spread_s / count - time.monotonic()
        if left > 0:
            threading.Event().wait(left)
    return time.monotonic() - began


def assert_pushed(stand, count, spread_s):
    load = Load(stand)
    push(stand, 20, 1)  # All that is made once is there.
    before = private_memory(stand.edge.pid)
    took = push(stand, count, spread_s)
    kept = [path.name for path in (stand.system.data / "edge").iterdir()]
    load.end()
    print(f"{count} sets of routes in {took:.1f} s, {load.done} requests, private memory {before} -> {private_memory(stand.edge.pid)}, files {len(kept)}")
    until(lambda: private_memory(stand.edge.pid) <= before * GROWTH, f"back within 5 % of {before}", SETTLED_S)


def test_a_hundred_sets_of_routes_harm_no_request(two):
    assert_pushed(two, PUSHES, 6)


@pytest.mark.full
def test_a_thousand_sets_of_routes_in_a_minute_harm_no_request(two):
    assert_pushed(two, PUSHES_LONG, PUSHED_IN_S)


def flap(stand, count):
    """One of two goes and comes, fifty times a second each: what its acknowledged removal does not name must not reach
    it before it is back. How many were named in all."""
    backend, named = stand.backends[1], 0
    for _ in range(count):
        ids = [request for _, request in stand.edge.endpoints([stand.entry(1, OUT)])]
        named += len(ids)
        written = backend.allowed.with_suffix(".new")
        written.write_text(" ".join(ids), encoding="utf-8")
        written.rename(backend.allowed)
        threading.Event().wait(PAUSE_S)
        backend.allowed.unlink()
        stand.edge.endpoints([stand.entry(1, SERVES)])
        threading.Event().wait(PAUSE_S)
    return named


def assert_flaps(stand, count):
    load = Load(stand)
    began = time.monotonic()
    named = flap(stand, count)
    took = time.monotonic() - began
    load.end()
    print(f"{count} times out and in within {took:.1f} s, {named} named under way, {load.done} requests")
    assert named > 0
    assert stand.backends[1].lines("forbidden") == []


def test_an_instance_that_goes_and_comes_all_the_time_harms_no_request(two):
    assert_flaps(two, FLAPS)


@pytest.mark.full
def test_an_instance_that_goes_and_comes_for_minutes_harms_no_request(two):
    assert_flaps(two, FLAPS_LONG)


def test_who_waits_for_a_service_whose_port_goes_to_another_takes_nothing_of_either(two):
    """The line, the hold and the cap of both are as before."""
    other = SERVICE + 1
    limits = {"requests": 3, "in_flight": 2}

    def serving(number, service, bits):
        slot, generation, _, port, _ = two.entry(number, bits)
        return (slot, generation, service, port, bits)

    two.version += 1
    names = {SERVICE: "shop", other: "other"}
    assert two.edge.activate(two.version, snapshot(two.version, names, [(LISTENER, SERVICE)], **limits)) == (0, "")
    two.edge.endpoints([serving(0, SERVICE, OUT), serving(1, other, SERVES)], full=True)
    for turn in range(3):
        waiting = [two.client() for _ in range(3)]
        for number, client in enumerate(waiting):
            client.send(b"GET /get/%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
        two.edge.until(lambda: two.edge.header.get("held") == 3, "they wait")
        two.version += 1
        content = snapshot(two.version, {other: "other"}, [(LISTENER, other)], **limits)
        assert two.edge.activate(two.version, content) == (0, "")
        assert [client.answer()[0] for client in waiting] == [200] * 3, turn
        # As many may wait for it, and be at it, as before.
        two.edge.endpoints([serving(1, other, OUT)])
        again = [two.client() for _ in range(3)]
        for number, client in enumerate(again):
            client.send(b"GET /get/%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
        two.edge.until(lambda: two.edge.header.get("held") == 3, "these, too")
        two.edge.endpoints([serving(1, other, SERVES)])
        assert [client.answer()[0] for client in again] == [200] * 3, turn
        two.version += 1
        assert two.edge.activate(two.version, snapshot(two.version, names, [(LISTENER, SERVICE)], **limits)) == (0, "")
        two.edge.endpoints([serving(0, SERVICE, OUT)])
        two.edge.until(lambda: two.edge.header.get("held") == 0, "nobody waits")


# Answers with its release; fails when it is told to.
SERVICE_FILE = rb"""#!/usr/bin/env python3
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        fails = os.path.exists(os.environ["FAILS"] + os.environ["PORT"])
        text = (os.environ["THOLE_RELEASE"] + " " + os.environ["PORT"]).encode()
        self.send_response(503 if fails and self.path == "/" else 200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
"""
MANIFEST = """name: changes
services:
  web:
    run: ./service
    public: PORT_HERE
    scale: 3
    env: {FAILS: "FAILS_HERE"}
"""


class Web(Project):
    def __init__(self):
        super().__init__("")
        self.manifest = MANIFEST.replace("FAILS_HERE", str(self.base / "fails."))
        self.write(self.manifest)
        self.place("web", {"service": SERVICE_FILE})
        (self.folder / "web" / "service").chmod(0o755)

    def ask(self, path="/"):
        """Status, release and the port that answered."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as link:
            link.sendall(b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path.encode())
            answer = b""
            while more := link.recv(65536):
                answer += more
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), *body.decode().split()

    def metric(self, name):
        lines = self.thole("metrics").stdout.split("\n")
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


@pytest.fixture
def web():
    project = Web()
    yield project
    project.close()


def test_a_manifest_that_cannot_be_changes_nothing(web):
    web.up("--detach")
    before, revision = web.ask()[1], web.seen()["revision"]
    hosts = [f"h{number}.test" for number in range(ROUTES_MAX)]
    # Another manifest's, beside the one that is not pruned.
    beside = (web.manifest.replace("  web:\n", "  shop:\n    path: web\n")
              .replace("public: PORT_HERE", f"public: {{port: {free_port()}, hosts: [{', '.join(hosts)}]}}"))
    for number, (text, words) in enumerate([
            (web.manifest.replace("scale: 3", "scael: 3"), ["thole.yaml:6:5", "scale"]),
            (web.manifest.replace("    scale: 3", "    calls: [orders]"), ["thole.yaml:6:13", "orders"]),
            (web.manifest.replace("PORT_HERE", "70000"), ["thole.yaml:5:13", "65535"]),
            (beside, ["1025 hosts and paths in all", "1024", "try: thole up --prune"])], 1):
        web.write(text)
        refused = web.up("--detach", wanted=2)
        assert all(word in refused.stderr for word in words), refused.stderr
        assert web.metric("thole_manifests_refused_total") == number
        assert (web.ask()[1], web.seen()["revision"]) == (before, revision)
    web.write(web.manifest)
    web.up("--detach")
    web.down()


def goes_on_alone(stand, rest_s):
    """Nobody is control: verdicts, tries elsewhere, returns and counts go on; and then edge and holder die, too."""
    with instances(stand, 3) as (backends, _), contextlib.closing(Traffic(stand, 60)) as traffic:
        stand.edge.until(lambda: min(len(backend.requests) for backend in backends) >= 20, "all are asked")
        stand.edge.link.close()
        backends[1].answers = one_in_three_fails()
        until(lambda: is_left_out(backends[1]), "nobody asks who fails", 15)
        seen = len(backends[1].requests)
        backends[1].answers = lambda request: (200, b"")
        until(lambda: len(backends[1].requests) > seen + 3, "it is asked again", 30)
        threading.Event().wait(rest_s)
        stand.edge.connect()
        served = [status for _, status in traffic.answers].count(200)
        stand.edge.until(lambda: sum(each["success"] for each in stand.edge.stats.values()) >= served, "all are counted")
        bad = [status for _, status in traffic.answers if status != 200]
        assert len(bad) <= max(3, len(traffic.answers) / 50), bad
        stand.edge.link.close()
        kill_edge_and_holder(stand)
        count = len(traffic.answers)
        until(lambda: [status for _, status in traffic.answers[count:]].count(200) > 60, "it serves again", 20)
        print(f"{len(traffic.answers)} requests, {len(bad)} not served before both died")


def is_left_out(backend, for_s=1.5):
    seen = len(backend.requests)
    threading.Event().wait(for_s)
    return len(backend.requests) == seen


def test_without_control_verdicts_and_counts_go_on_and_so_does_the_next_edge(two):
    goes_on_alone(two, 0)


@pytest.mark.full
def test_ten_minutes_without_control(two):
    goes_on_alone(two, 600)
