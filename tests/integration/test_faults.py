"""Faults on purpose as a user has them: `thole fault`, what is told of them, and that nobody's death keeps one."""
import json
import re
import signal
import threading
import time

import pytest

from conftest import until
from edge import Client
from project import Project

# Answers with its name; what is asked of /call/<name> is what that service answers, or "broken".
SERVICE = rb"""#!/usr/bin/env python3
import http.server, os, urllib.request

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        text = os.environ["NAME"]
        if self.path.startswith("/call/"):
            try:
                url = os.environ[self.path[6:].upper() + "_URL"]
                text = urllib.request.urlopen(url, timeout=2).read().decode()
            except OSError:
                text = "broken"
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())
    def log_message(self, *words):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
MANIFEST = """name: faults
services:
  web: {run: ./service, public: PORT_HERE, calls: [one, two], env: {NAME: web}}
  one: {run: ./service, env: {NAME: one}}
  two: {run: ./service, env: {NAME: two}}
"""


@pytest.fixture
def project():
    made = Project(MANIFEST)
    for name in ("web", "one", "two"):
        made.place(name, {"service": SERVICE})
        (made.folder / name / "service").chmod(0o755)
    made.up("--detach")
    yield made
    made.close()


def ask(project, target="/", more=""):
    try:
        client = Client(project.port)
        status, _, body = client.request("GET", target, more=more)
        client.close()
    except OSError:
        return "reset"
    return body.decode() if status == 200 else status


def faults(project):
    return {each["id"]: each for each in json.loads(project.thole("fault", "--list", "--json").stdout)["faults"]}


def test_a_fault_is_told_when_it_begins_and_when_it_ends(project):
    project.thole("fault", "web", "--abort", "503", "--share", "100%", "--whole", "--header", "X-Run=1", "--for", "4s",
                  "--why", "to see")
    begun = time.monotonic()
    assert ask(project, more="x-run: 1\r\n") == 503
    assert ask(project) == "web"
    seen = project.thole("ps").stdout
    assert "fault 1 on web until " in seen and "100 % of requests with X-Run: 1 are answered 503" in seen, seen
    told = project.timeline("fault begun")
    assert [each["service"] for each in told] == ["web"]
    assert told[0]["text"].startswith("fault 1: 100 % of requests with X-Run: 1 are answered 503, for 4s; by ")
    assert told[0]["text"].endswith(": to see")
    until(lambda: ask(project, more="x-run: 1\r\n") == "web", "it has ended", 6)
    assert time.monotonic() - begun < 5
    until(lambda: project.timeline("fault ended"), "its end is told", 5)
    hurt = faults(project)[1]["hurt"]
    assert project.timeline("fault ended")[0]["text"] == (
        f"fault 1: it hurt {hurt} of {hurt} requests that fitted")
    assert "fault 1 on web" not in project.thole("ps").stdout


def test_a_partition_between_two_services_leaves_all_others(project):
    project.thole("fault", "one", "--partition", "--caller", "web", "--for", "60s")
    for _ in range(2):
        assert ask(project, "/call/one") == "broken"
        assert ask(project, "/call/two") == "two"
        assert ask(project) == "web"
    project.wait_settled()
    assert len(project.instances("one")) == 1, "its instance is well"
    project.thole("fault", "--all")
    assert ask(project, "/call/one") == "one"
    until(lambda: project.timeline("fault ended"), "its end is told", 5)
    assert not any(each["on"] for each in faults(project).values())


def test_whoever_is_control_next_knows_it_and_tells_its_end_once(project):
    project.thole("fault", "web", "--reset", "--share", "100%", "--whole", "--header", "X-Run=1", "--for", "5s")
    begun = time.monotonic()
    for number in range(2):
        control = project.role_pid("control")
        project.kill(control, signal.SIGKILL)
        project.wait_for_role("control", other_than=control)
        if number == 0:
            assert ask(project, more="x-run: 1\r\n") == "reset"
            until(lambda: "fault 1 on web" in project.thole("ps").stdout, "it is on", 3)
    until(lambda: ask(project, more="x-run: 1\r\n") == "web", "it has ended", 6)
    assert time.monotonic() - begun < 6
    until(lambda: project.timeline("fault ended"), "its end is told", 5)
    control = project.role_pid("control")
    project.kill(control, signal.SIGKILL)
    project.wait_for_role("control", other_than=control)
    # The next one has another number, and whoever tells of it has heard of the first.
    project.thole("fault", "web", "--hang", "--share", "1%", "--for", "1s")
    until(lambda: len(project.timeline("fault ended")) == 2, "the second one's end", 5)
    assert [each["text"].split(":")[0] for each in project.timeline("fault begun")] == ["fault 1", "fault 2"]
    assert [each["text"].split(":")[0] for each in project.timeline("fault ended")] == ["fault 1", "fault 2"]


def test_with_control_stopped_and_the_edge_killed_it_ends_in_time(project):
    project.thole("fault", "web", "--abort", "503", "--share", "100%", "--whole", "--for", "4s")
    begun = time.monotonic()
    control, edge = project.role_pid("control"), project.role_pid("edge")
    project.kill(control, signal.SIGSTOP)
    project.kill(edge, signal.SIGKILL)
    while time.monotonic() < begun + 3.5:
        assert ask(project) == 503
    until(lambda: ask(project) == "web", "it has ended", 2)
    assert time.monotonic() - begun < 5
    # keeper ends it for its silence, and the next one tells.
    until(lambda: project.timeline("fault ended"), "its end is told", 20)


def ask_all(project, seen, stop, more):
    """Asks on, on one connection as long as it lasts; how each went and how long it took."""
    client = None
    while not stop.is_set():
        began = time.monotonic()
        try:
            client = client or Client(project.port)
            how, fields, _ = client.request("GET", "/", more=more)
            if fields.get("connection") == "close":
                client = None
        except OSError:
            how, client = "broken", None
        seen.append((how, time.monotonic() - began, began))


def bound(share, count):
    """Two of a hundred, or four times what chance makes of so few as a busy machine lets through."""
    return max(0.02, 4 * (share * (1 - share) / count) ** 0.5)


@pytest.mark.parametrize("lasts_s", [8, pytest.param(30, marks=pytest.mark.full)])
def test_a_fifth_fails_a_tenth_waits_and_all_is_well_after_it_although_control_is_dead(project, lasts_s):
    """And only with its header."""
    begun = time.monotonic()
    project.thole("fault", "web", "--abort", "503", "--share", "20%", "--header", "X-Run=1", "--for", f"{lasts_s}s")
    project.thole("fault", "web", "--delay", "200ms", "--jitter", "50ms", "--share", "10%", "--header", "X-Run=1",
                  "--for", f"{lasts_s}s")
    both = time.monotonic()
    seen, others, stop = [], [], threading.Event()
    threads = [threading.Thread(target=ask_all, args=(project, seen, stop, "x-run: 1\r\n")) for _ in range(12)]
    threads.append(threading.Thread(target=ask_all, args=(project, others, stop, "x-run: 2\r\n")))
    for thread in threads:
        thread.start()
    try:
        until(lambda: time.monotonic() > begun + lasts_s / 2, "a half of it", lasts_s)
        told = faults(project)
        control = project.role_pid("control")
        project.kill(control, signal.SIGKILL)
        project.wait_for_role("control", other_than=control)
        project.kill(project.role_pid("control"), signal.SIGSTOP)  # Else there would be one again at the end.
        until(lambda: time.monotonic() > both + lasts_s + 2, "more than all of it", lasts_s + 3)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    hurt = [(how, took) for how, took, at in seen if both < at < begun + lasts_s - 0.3]
    count = len(hurt)
    aborted, waited = sum(how == 503 for how, _ in hurt), sum(how == 200 and took >= 0.145 for how, took in hurt)
    assert count > 500
    assert aborted / count == pytest.approx(0.2, abs=bound(0.2, count))
    assert waited / count == pytest.approx(0.1, abs=bound(0.1, count))
    waits = sorted(took for how, took in hurt if how == 200)[-waited:]
    assert waits[waited // 2] == pytest.approx(0.2, abs=0.05)
    assert {how for how, _, at in seen if at > both + lasts_s + 1} == {200}, "gone a second after its end"
    assert {how for how, _, _ in others} == {200}
    assert {how for how, _ in hurt} == {200, 503}


def test_whoever_burns_the_budget_ends_what_hurts_it(project_slo):
    project = project_slo
    project.thole("fault", "one", "--abort", "503", "--share", "20%", "--for", "60s")
    project.thole("fault", "two", "--abort", "503", "--share", "20%", "--for", "60s")
    begun = time.monotonic()
    stop, seen = threading.Event(), []

    def call():
        while not stop.is_set():
            seen.append(ask(project, "/call/one"))
    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: not faults(project)[1]["on"], "it ends by itself", 20)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert time.monotonic() - begun < 20 and "broken" in seen
    now = faults(project)
    assert re.fullmatch(r"one burned its budget \d+ times too fast \(\d+ of \d+ failed in \S+ m?s; allowed 0.1 %\)",
                        now[1]["ended"]), now
    assert now[2]["on"] and now[2]["ended"] == "", "nobody has asked it"
    assert now[1]["ended"] in project.thole("fault", "--list").stdout
    until(lambda: project.timeline("fault ended"), "its end is told", 5)
    assert project.timeline("fault ended")[0]["text"].endswith("; ended: " + now[1]["ended"])
    assert [ask(project, "/call/one") for _ in range(20)] == ["one"] * 20


def test_whoever_only_hangs_burns_the_budget_as_well(project_slo):
    """Nothing ends meanwhile, so no end is counted."""
    project = project_slo
    until(lambda: ask(project) == "web", "it serves", 20)
    project.thole("fault", "web", "--hang", "--whole", "--share", "100%", "--for", "60s")
    begun, seen = time.monotonic(), []
    threads = [threading.Thread(target=lambda: seen.append(ask(project))) for _ in range(20)]
    for thread in threads:
        thread.start()
    until(lambda: not faults(project)[1]["on"], "it ends by itself", 10)
    for thread in threads:
        thread.join()
    assert seen == ["web"] * 20 and time.monotonic() - begun < 15
    assert re.fullmatch(r"web burned its budget \d+ times too fast \(20 of 20 failed in .*; allowed 0.1 %\)",
                        faults(project)[1]["ended"]), faults(project)


@pytest.fixture
def project_slo():
    made = Project(re.sub("(web|one): {run", r"\1: {slo: {availability: 99.9%}, run", MANIFEST))
    for name in ("web", "one", "two"):
        made.place(name, {"service": SERVICE})
        (made.folder / name / "service").chmod(0o755)
    made.up("--detach")
    yield made
    made.close()


@pytest.mark.parametrize("words, said", [
    (["web", "--for", "1s", "--reset"], "how many are hurt has to be said"),
    (["web", "--share", "1%", "--reset"], "how long it lasts has to be said, at most 1h"),
    (["web", "--share", "60%", "--reset", "--for", "1s"], "60 % of what it is asked would be hurt; more than 50 %"),
    (["web", "--share", "1%", "--for", "1s"], "a fault is one of --delay"),
    (["web", "--share", "1", "--for", "1s", "--hang"], "'1' is not a share"),
    (["wbe", "--share", "1%", "--for", "1s", "--hang"], "there is no service 'wbe'"),
    (["one", "--partition", "--for", "1s"], "--partition needs --caller"),
    (["web", "--share", "1%", "--for", "1s", "--hang", "--release", "v9"], "'web' has no release 'v9'"),
    (["web", "--share", "1%", "--for", "1s", "--hang", "--instance", "one-1"], "'web' has no instance 'one-1'"),
    (["web", "--share", "1%", "--for", "2h", "--hang"], "for_ms: must be 1 to 3600000"),
])
def test_what_cannot_be_is_refused_in_words(project_once, words, said):
    done = project_once.thole("fault", *words, wanted=None)
    assert done.returncode != 0 and said in done.stderr, (done.returncode, done.stderr)
    assert "try: " in done.stderr
    assert faults(project_once) == {}


@pytest.fixture(scope="module")
def project_once():
    made = Project(MANIFEST)
    for name in ("web", "one", "two"):
        made.place(name, {"service": SERVICE})
        (made.folder / name / "service").chmod(0o755)
    made.up("--detach")
    yield made
    made.close()
