"""The accountant as integration tests use it. What it finds is proved in tests/accountant."""
import os
import subprocess

import pytest

from accountant import SERVICE, Accountant
from conftest import until


class Service:
    def __init__(self, folder):
        self.arrivals = folder / "arrivals.log"
        self.process = subprocess.Popen([SERVICE], env=dict(os.environ, PORT="0", ARRIVALS_DIR=str(folder)),
                                        stdout=subprocess.PIPE, text=True)
        self.target = "http://" + self.process.stdout.readline().removeprefix("listening on ").strip()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def until_arrived(self, count, deadline_s=20):
        until(lambda: self.arrivals.read_text(encoding="utf-8").count("\n") >= count, f"{count} arrivals", deadline_s)


@pytest.fixture
def judge(tmp_path):
    made = Accountant(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def service(judge, tmp_path):
    made = Service(tmp_path)
    yield made
    made.close()


def test_a_load_runs_until_it_is_ended_and_every_request_is_accounted_for(judge, service):
    judge.start(service.target, hold={"websocket": 2, "events": 2}, arrivals=[service.arrivals], slow_ms=200)
    service.until_arrived(40)
    report = judge.finish()
    assert report["passed"], judge.text()
    assert report["posts_sent"] >= 40
    assert report["ok"] == report["requests"] == sum(kind["sent"] for kind in report["kinds"].values())


def test_a_service_that_is_killed_leaves_its_requests_in_the_report(judge, service):
    judge.start(service.target, hold={"lines": 3}, arrivals=[service.arrivals], slow_ms=200)
    service.until_arrived(40)
    service.close()
    report = judge.finish()
    assert not report["passed"]
    assert len([fault for fault in report["faults"] if fault["reason"] == "broken" and fault["kind"] == "lines"]) >= 3
    assert len(report["faults"]) == report["failed"] + report["broken"] == report["requests"] - report["ok"]
    assert all(fault["request_id"] and fault["number"].startswith(report["run"]) for fault in report["faults"])
