"""`GET /metrics`: what other people's parsers read there is exactly what clients did, whoever of edge and control dies."""
import collections
import http.client
import json
import signal
import socket
import threading
import urllib.error
import urllib.request

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

import wire
from conftest import until
from project import Project

# Asked by what its path says, it answers with that status, or asks the other service.
SERVICE = rb"""#!/usr/bin/env python3
import http.server, os, urllib.request
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        word = self.path[1:]
        status = int(word) if word.isdigit() else 200
        if self.path == "/call":
            with urllib.request.urlopen(os.environ["ORDERS_URL"] + "/200") as answer:
                status = answer.status
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
"""
MANIFEST = """name: counted
services:
  web:
    run: ./service
    public: PORT_HERE
    calls: [orders]
  orders:
    run: ./service
    scale: 2
"""
REQUESTS, DURATIONS = "thole_edge_requests_total", "thole_edge_request_duration_seconds"
OPEN = "application/openmetrics-text; version=1.0.0"


class Link(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("thole", timeout=10)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(self.path)


class Counted(Project):
    def __init__(self):
        super().__init__(MANIFEST)
        for name in ("web", "orders"):
            self.place(name, {"service": SERVICE})
            (self.folder / name / "service").chmod(0o755)

    def ask(self, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
                return answer.status
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code

    def scrape_once(self, accept=""):
        """(status, content type, text)"""
        link = Link(self.run / "api.sock")
        try:
            link.request("GET", "/metrics", headers={"Accept": accept} if accept else {})
            answer = link.getresponse()
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
        finally:
            link.close()

    def families(self):
        """By name, or None where control is just being replaced or knows nothing yet."""
        try:
            status, _, text = self.scrape_once()
        except (OSError, http.client.HTTPException):
            return None
        assert status in (200, 503), text
        return {family.name: family for family in prometheus(text)} if status == 200 else None

    def samples(self):
        """Of all counters and histograms, by name and labels."""
        families = self.families()
        return families and {(sample.name, *sorted(sample.labels.items())): sample.value
                             for family in families.values() if family.type in ("counter", "histogram")
                             for sample in family.samples}

    def counts(self):
        """Requests by service, caller and outcome; None where they are not known at this moment."""
        samples = self.samples()
        if samples is None:
            return None
        counts = collections.Counter()
        for (name, *labels), value in samples.items():
            if name == REQUESTS:
                at = dict(labels)
                counts[at["service"], at["caller"], at["outcome"]] += int(value)
        return counts

    def wait_for(self, wanted):
        seen = []

        def are_there():
            seen[:] = [self.counts()]
            return seen[0] == wanted
        try:
            until(are_there, "the counts", 15)
        except AssertionError as problem:
            raise AssertionError((seen, wanted)) from problem


@pytest.fixture
def counted():
    made = Counted()
    try:
        made.up()
        yield made
    finally:
        made.close()


def some_requests(counted):
    """And what must be counted for them."""
    done = collections.Counter()
    for path, times, outcome in (("/200", 20, "success"), ("/404", 7, "client_error"), ("/500", 3, "server_error"),
                                 ("/call", 11, "success")):
        for _ in range(times):
            counted.ask(path)
            done["web", "", outcome] += 1
            if path == "/call":
                done["orders", "web", "success"] += 1
    return done


def test_what_is_counted_is_what_clients_did_and_other_peoples_parsers_read_it(counted):
    """Also the probes' requests must not be in it: they do not pass the edge."""
    done = some_requests(counted)
    counted.wait_for(done)
    plain, opened = counted.scrape_once(), counted.scrape_once(OPEN)
    assert plain[:2] == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert opened[:2] == (200, "application/openmetrics-text; version=1.0.0; charset=utf-8")
    names = []
    for families in (list(prometheus(plain[2])), list(open_metrics(opened[2]))):
        names.append({family.name for family in families})
        assert all(family.documentation and family.type != "unknown" for family in families)
        counts = collections.Counter()
        for sample in next(each for each in families if each.name == "thole_edge_requests").samples:
            labels = sample.labels
            assert labels["release"] == "1" and labels["route"] == (
                "call" if labels["caller"] else f"127.0.0.1:{counted.port}")
            counts[labels["service"], labels["caller"], labels["outcome"]] += int(sample.value)
        assert counts == done
        histogram = next(each for each in families if each.name == DURATIONS)
        check_histograms(histogram.samples, done)
    assert names[0] == names[1]


def check_histograms(samples, done):
    """Each grows to its count, which is that of its requests; what it sums up fits its buckets."""
    series = collections.defaultdict(dict)
    for sample in samples:
        labels = dict(sample.labels)
        bound = labels.pop("le", None)
        key = labels["service"], labels["caller"], labels["outcome"]
        series[key][bound if bound else sample.name] = sample.value
    assert set(series) == set(done)
    for key, values in series.items():
        total, count = values.pop(f"{DURATIONS}_sum"), values.pop(f"{DURATIONS}_count")
        bounds = sorted(values, key=float)
        buckets = [values[bound] for bound in bounds]
        assert buckets == sorted(buckets) and bounds[-1] == "+Inf" and buckets[-1] == count == done[key]
        least = most = before = 0
        for low, high, bucket in zip(["0", *bounds], bounds, buckets):
            least += (bucket - before) * float(low) * 15 / 16
            most += (bucket - before) * min(float(high), 3600)
            before = bucket
        assert least <= total <= most, (key, values, total)


class Watch:
    """Somebody who scrapes all the time and sees to it that nothing shown ever falls."""

    def __init__(self, counted):
        self.counted, self.fell, self.scrapes = counted, [], 0
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join()

    def run(self):
        before = {}
        while not self.is_over.wait(wire.POLL_S):
            now = self.counted.samples()
            if now is None:
                continue
            self.scrapes += 1
            for key, value in now.items():
                # What counts since control began is its process's; the rest outlives it.
                if key[0].startswith(("thole_edge_", "thole_service_starts", "thole_role_", "thole_control_timeline")):
                    if value < before.get(key, 0):
                        self.fell.append((key, before[key], value))
            before.update(now)


def test_counts_go_on_when_edge_and_control_die(counted):
    done = some_requests(counted)
    counted.wait_for(done)
    with Watch(counted) as watch:
        for roles in (["edge"], ["control"], ["control", "edge"], ["edge"]):
            pids = {role: counted.role_pid(role) for role in roles}
            for pid in pids.values():
                counted.kill(pid, signal.SIGKILL)
            for role, pid in pids.items():
                counted.wait_for_role(role, other_than=pid)
            done += some_requests(counted)
            counted.wait_for(done)
        families = counted.families()
    assert watch.scrapes > 20 and watch.fell == []
    check_histograms(families[DURATIONS].samples, done)
    one = {name: family.samples[0].value for name, family in families.items() if len(family.samples) == 1}
    assert one["thole_edge_epoch"] == 4 and one["thole_edge_up"] == 1
    assert one["thole_edge_broken_requests"] == 0 and one["process_resident_memory_bytes"] > 1e6


def test_thole_metrics_prints_them(counted):
    done = some_requests(counted)
    counted.wait_for(done)
    families = {family.name: family for family in prometheus(counted.thole("metrics").stdout)}
    serving = {sample.labels["service"]: sample.value for sample in families["thole_service_instances_serving"].samples}
    assert serving == {"web": 1, "orders": 2}
    said = json.loads(counted.thole("metrics", "--json").stdout)
    assert said["format"] == 1
    requests = next(each for each in said["metrics"] if each["name"] == "thole_edge_requests")["samples"]
    assert sum(each["value"] for each in requests) == sum(done.values())
