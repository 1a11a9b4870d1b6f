"""Services that behave badly: each gets a reason that a person understands, and its neighbours notice nothing."""
import os
import pty
import re
import select
import signal
import socket
import subprocess
import threading
import time

import pytest

from conftest import start_time, until
from judged import pause
from nasty import GRACE_S, Nasty, anonymous_kib, become_nobody, children_told, json_lines, needs_cgroups, wild

# Colours of a terminal's title, a cleared screen, a C1 byte: what a hostile line would like to do.
HOSTILE = rb"""printf '\033]0;owned\007\033[2J\033[31mred\033[0m \302\2332J end\n' >&2; exit 3"""
# Each line stands long enough to be read, and then nothing: a cut that is filled up at once is none to see.
CUTTER = b"""
n=0
while :; do n=$((n + 1)); echo line $n before the cut; sleep 0.4; : >/dev/stdout; sleep 0.4; done
"""
# Ends in order: what it had begun when it was asked to end takes a second more. Holds its state alone, or says so.
ORDERLY = b"""
import fcntl, http.server, os, signal, threading
asked = threading.Event()
class Orderly(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            print("begun", flush=True)
            asked.wait()
            threading.Event().wait(1)
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"whole")
    def log_message(self, *words): pass
class Server(http.server.ThreadingHTTPServer):
    daemon_threads = False
def end(*_):
    print("asked to end", flush=True)
    asked.set()
    threading.Thread(target=server.shutdown).start()
if "STATE_DIR" in os.environ:
    lock = open(os.environ["STATE_DIR"] + "/lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        print("two at one state", flush=True)
server = Server(("127.0.0.1", int(os.environ["PORT"])), Orderly)
signal.signal(signal.SIGTERM, end)
server.serve_forever()
server.server_close()
print("ended in order", flush=True)
"""
# What is kept, and what comes between two looks of a keeper that gets no processor for a second.
SPOOL_BYTES_MAX = 164 * 2**20


@pytest.fixture
def made():
    projects = []

    def make(*services):
        projects.append(Nasty(*services))
        return projects[-1]
    yield make
    for project in projects:
        project.close()


@pytest.fixture(scope="module")
def crowd():
    """All that can never serve, at once. `said` is what `up` had to say."""
    project = Nasty(wild("exits", {"EXIT_AT_START": 1}), wild("silent", {"NEVER_LISTEN": 1}),
                    wild("elsewhere", {"LISTEN_ELSEWHERE": 1}), wild("absent", run="[./no-such-program]"),
                    wild("nowhere", run="no-such-word --serve"), wild("hostile", run="sh hostile.sh"))
    project.place("hostile", {"hostile.sh": HOSTILE})
    try:
        project.said = project.up("--detach", wanted=1)
        yield project
    finally:
        project.close()


REASONS = {
    "exits": r"exit status 1",
    "silent": r"does not listen on PORT 2\d{4}",
    "elsewhere": r"listens on port (\d+), not on PORT 2\d{4}",
    "absent": r"program could not be started: there is no such file",
    "nowhere": r"exit status 127: a program was not found",
    "hostile": r"exit status 3",
}


@pytest.mark.parametrize("name", REASONS)
def test_up_names_what_does_not_serve_and_why(crowd, name):
    text = crowd.said.stdout + crowd.said.stderr
    told = re.search(rf"^{name}: \w+: (.*)$", text, re.MULTILINE)
    assert told and re.search(REASONS[name], told.group(1)), text
    assert f"try: thole logs {name}" in text


def test_up_shows_the_last_words_of_one_that_exits(crowd):
    assert "  | service: told to exit at once" in crowd.said.stderr


@pytest.mark.parametrize("name", REASONS)
def test_ps_and_timeline_name_the_reason(crowd, name):
    service = crowd.service(name)
    assert service["state"] == "failing" and service["instances_ready"] == 0
    until(lambda: re.search(REASONS[name], crowd.service(name)["reason"]), f"{name}'s reason in ps")
    assert any(re.search(REASONS[name], text) for text in crowd.texts(name, "instance lost"))
    assert re.search(rf"^{name} .*{REASONS[name]}", crowd.thole("ps").stdout, re.MULTILINE)


def test_the_port_that_is_named_is_the_one_it_listens_on(crowd):
    ports = {line["text"].rsplit(":", 1)[1] for line in json_lines(crowd.thole("logs", "elsewhere", "--json").stdout)
             if line.get("text", "").startswith("listening on ")}
    named = set()
    for text in crowd.texts("elsewhere", "instance lost"):
        named.update(re.findall(r"listens on port (\d+)", text))
    assert named and named <= ports


def test_neighbours_of_those_that_fail_lose_nothing(crowd):
    before = len(crowd.timeline("instance lost"))
    crowd.begin_load()
    pids = {each["pid"] for each in crowd.instances("calm")}
    # Asked again they do not wait: they come, fail and go under the load.
    for name in ("exits", "absent", "hostile"):
        crowd.thole("restart", name, wanted=1)
    assert len(crowd.timeline("instance lost")) >= before + 9
    pause(2)  # So that there are enough for the share of new connections to be what was asked for.
    assert crowd.end_load()["requests"] > 60
    assert pids == {each["pid"] for each in crowd.instances("calm")}


def on_a_terminal(project, *words):
    """What a person sees: the bytes that reach the terminal."""
    master, slave = pty.openpty()
    with subprocess.Popen([str(project.binaries / "thole"), *words], cwd=project.folder, stdin=slave, stdout=slave,
                          stderr=slave, env=dict(project.environment(), NO_COLOR="1", TERM="xterm")) as process:
        os.close(slave)
        seen = b""
        try:
            while part := os.read(master, 65536):
                seen += part
        except OSError:  # EIO: its end.
            pass
        os.close(master)
        assert process.wait(30) == 0, seen
    return seen


def test_escape_sequences_of_a_service_reach_no_terminal(crowd):
    def is_harmless(seen):
        return b"\x1b" not in seen and b"\x07" not in seen and "\x9b" not in seen.decode("utf-8", errors="replace")
    assert "red" in crowd.said.stderr and is_harmless(crowd.said.stderr.encode())
    assert is_harmless(crowd.said.stdout.encode())
    for words in (("logs", "hostile"), ("ps",), ("timeline",)):
        seen = on_a_terminal(crowd, *words)
        assert seen and is_harmless(seen), seen
    assert b"end" in on_a_terminal(crowd, "logs", "hostile")
    # Programs that read it get what was written.
    told = [line["text"] for line in json_lines(crowd.thole("logs", "hostile", "--json").stdout) if "text" in line]
    assert any(text.startswith("\x1b]0;owned\x07") for text in told), told


def entry(project, service, kind, after=0):
    return next((each for each in project.timeline(kind) if each["service"] == service and each["sequence"] > after), None)


def seconds_between(earlier, later):
    def parse(each):
        hours, minutes, seconds = each["time"].split("T")[1].rstrip("Z").split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return (parse(later) - parse(earlier)) % 86400


def can_bind(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def both_children(project, service):
    until(lambda: len(children_told(project, service)) == 2, f"{service}'s child and grandchild")
    return children_told(project, service)


def test_one_that_ignores_sigterm_is_killed_after_its_grace_with_all_it_started(made):
    project = made(wild("deaf", {"IGNORE_SIGTERM": 1, "FORK_GRANDCHILDREN": 1}))
    project.up("--detach")
    needs_cgroups(project)
    old = project.instances("deaf")[0]
    children = both_children(project, "deaf")
    assert all(os.getsid(pid) != os.getsid(old["pid"]) for pid in children)
    project.begin_load()
    restart = threading.Thread(target=project.thole, args=("restart", "deaf"))
    restart.start()
    until(lambda: [each for each in project.instances("deaf", None) if each["name"] == old["name"] and
                   f"SIGTERM was sent, SIGKILL follows after {GRACE_S}.0 s" in each["reason"]], "ps says why it is there")
    restart.join()
    assert project.end_load()["requests"] > 0
    asked, killed = entry(project, "deaf", "instance stopping"), entry(project, "deaf", "instance killing")
    ended = entry(project, "deaf", "instance ended")
    assert asked["instance"] == killed["instance"] == ended["instance"] == old["name"]
    assert GRACE_S <= seconds_between(asked, killed) <= GRACE_S + 0.5
    assert seconds_between(asked, ended) <= GRACE_S + 0.5
    assert "after SIGTERM: killed" in killed["text"]
    assert "forced" in ended["text"], ended
    assert all(start_time(pid) is None for pid in [old["pid"], *children])
    assert can_bind(old["port"])


def test_what_one_leaves_when_it_is_killed_goes_before_its_successor_is_ready(made):
    project = made(wild("parent", {"FORK_GRANDCHILDREN": 1}))
    project.up("--detach")
    needs_cgroups(project)
    for _ in range(3):
        old = project.instances("parent")[0]
        children = both_children(project, "parent")
        project.kill(old["pid"], signal.SIGKILL)
        until(lambda old=old: {each["name"] for each in project.instances("parent")} not in (set(), {old["name"]}),
              "its successor")
        until(lambda children=children: all(start_time(pid) is None for pid in children), "what it left", 2)
        assert can_bind(old["port"])
    assert "lost: SIGKILL" in project.texts("parent", "instance lost")[-1]
    project.down()


def said_by(project, service):
    return [line["text"] for line in json_lines(project.thole("logs", service, "--json").stdout) if "text" in line]


@pytest.mark.parametrize("rights", ["with cgroups", "without rights"])
@pytest.mark.parametrize("more", [(), ("state: 1Mi",)], ids=["two may run", "one at its state"])
def test_what_a_shell_left_when_it_was_asked_ends_in_order(made, rights, more):
    """The shell dies of SIGTERM at once; the server that it had started has work to finish."""
    service = wild("orderly", run="'python3 orderly.py; exit $?'", more=more).replace(f"{GRACE_S}s}}", "10s}")
    project = made(service)
    project.place("orderly", {"orderly.py": ORDERLY})
    if rights == "without rights":
        become_nobody(project)
    project.up("--detach")
    old = project.instances("orderly")[0]
    with open(f"/proc/{old['pid']}/comm", encoding="utf-8") as comm:
        assert comm.read().strip() == "sh", "a shell that waits"
    with socket.create_connection(("127.0.0.1", old["port"]), timeout=20) as client:
        client.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
        until(lambda: "begun" in said_by(project, "orderly"), "a request is under way")
        project.thole("restart", "orderly")
        answer = b""
        while part := client.recv(1000):
            answer += part
    assert answer.endswith(b"whole"), answer
    until(lambda: entry(project, "orderly", "instance ended"), "its end")
    said = said_by(project, "orderly")
    assert said.count("asked to end") == said.count("ended in order") == 1 and "two at one state" not in said, said
    asked, ended = entry(project, "orderly", "instance stopping"), entry(project, "orderly", "instance ended")
    assert "what it left ended, too" in ended["text"] and seconds_between(asked, ended) >= 0.9, (asked, ended)
    # One that is lost is another matter: what it left goes at once, for its successor.
    until(lambda: {each["name"] for each in project.instances("orderly")} not in (set(), {old["name"]}), "its successor")
    project.kill(project.instances("orderly")[0]["pid"], signal.SIGKILL)
    until(lambda: project.texts("orderly", "instance lost"), "the loss")
    assert said_by(project, "orderly").count("asked to end") == 1
    project.down()


def allocated(path):
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        return 0


def test_a_flood_of_garbage_drowns_nobody(made, record_property):
    project = made(wild("flood", {"FLOOD_STDOUT": 100}))
    project.up("--detach")
    keeper = project.role_pid("keeper")
    before = anonymous_kib(keeper)
    spool, = [path for path in project.spools("flood") if path.suffix == ".out"]
    begin = spool.stat().st_size
    project.begin_load()
    largest, answers = 0, 0
    began = time.monotonic()
    deadline = began + 30
    while spool.stat().st_size < begin + 300 * 2**20:
        assert time.monotonic() < deadline, "the flood is no flood"
        lines = json_lines(project.thole("logs", "--json", "--lines", "50", limit_s=30).stdout)
        assert any(line["service"] == "flood" for line in lines)
        assert any("listening on" in line.get("text", "") for line in lines if line["service"] == "calm")
        answers += 1
        largest = max(largest, allocated(spool))
    rate = (spool.stat().st_size - begin) / (time.monotonic() - began)
    record_property("megabytes_a_second", round(rate / 1e6))
    print(f"{rate / 1e6:.0f} MB/s, at most {largest / 2**20:.0f} MiB of it kept")
    assert answers > 0 and largest <= SPOOL_BYTES_MAX, largest
    # Who follows is told what he is too slow for.
    followed(project, "flood", lambda told: any("lost_bytes" in line for line in told))
    assert project.end_load()["requests"] > 0
    assert anonymous_kib(keeper) == before and project.role_pid("keeper") == keeper
    assert project.service("flood")["state"] == "serving"
    until(lambda: "says more than is kept" in project.instances("flood")[0]["reason"], "ps says why")
    assert "says more than is kept" in project.texts("flood", "output lost")[-1]
    assert b"\x1b" not in on_a_terminal(project, "logs", "flood", "--lines", "20")
    project.thole("restart", "flood")
    project.down()


def followed(project, service, is_enough, deadline_s=30):
    """Lines of `logs -f --json` until there are enough of them."""
    with subprocess.Popen([str(project.binaries / "thole"), "logs", service, "-f", "--json"], cwd=project.folder,
                          env=project.environment(), stdout=subprocess.PIPE) as follow:
        text, deadline = b"", time.monotonic() + deadline_s
        try:
            while not is_enough(json_lines(text[:text.rfind(b"\n") + 1].decode())):
                assert time.monotonic() < deadline, text
                if select.select([follow.stdout], [], [], 1)[0]:
                    text += os.read(follow.stdout.fileno(), 65536)
        finally:
            follow.kill()
    return json_lines(text[:text.rfind(b"\n") + 1].decode())


def test_one_that_truncates_its_output_is_read_on_and_told_so(made):
    project = made(wild("cutter", run="sh cutter.sh", more=("port: none",)))
    project.place("cutter", {"cutter.sh": CUTTER})
    project.up("--detach")
    project.begin_load()
    told = followed(project, "cutter", lambda told: sum(line.get("truncated", False) for line in told) >= 3)
    said = [re.fullmatch(r"line (\d+) before the cut", line.get("text", "")) for line in told]
    numbers = [int(match.group(1)) for match in said if match]
    assert numbers == sorted(set(numbers)), "what was cut may be missing, and comes never twice"
    assert project.end_load()["requests"] > 0
    assert project.service("cutter")["state"] == "serving"
    until(lambda: project.texts("cutter", "output lost"), "the timeline says why")
    assert project.texts("cutter", "output lost") == ["it empties its own output"]
    assert project.instances("cutter")[0]["reason"] == "it empties its own output"


BUILD = wild("broken", more=("build: \"for i in $(seq 1 50); do echo step $i; done; echo no such library: oar >&2; exit 7\"",))


def test_a_first_build_that_fails_says_how_it_ended_and_what_it_said(made):
    project = made(BUILD)
    done = project.up("--detach", wanted=1)
    text = done.stdout + done.stderr
    assert re.search(r"^broken: failing: build: exit status 7", text, re.MULTILINE), text
    assert "  | no such library: oar" in text and "  | step 50" in text and "| step 1\n" not in text
    hint = re.search(r"try: (thole logs .*)", text).group(1)
    assert "no such library: oar" in project.thole(*hint.split()[1:]).stdout
    assert project.service("calm")["state"] == "serving"
    assert "exit status 7" in project.reasons()["broken"]
    assert project.texts("broken", "release broken")
    # Mended, the next `up` has no memory of it.
    project.write((project.folder / "thole.yaml").read_text(encoding="utf-8").replace("exit 7", "true"))
    project.up("--detach")
    assert project.service("broken")["state"] == "serving"


MANY_ERRORS = """name: nasty
services:
  calm:
    run: ./service
    pubic: 8080
    scale: many
  calm2:
    scale: 0
    health: {startup: soon}
"""


def test_all_errors_of_a_manifest_are_told_at_once_and_nothing_starts(made):
    project = made()
    project.write(MANY_ERRORS)
    done = project.up("--detach", wanted=2)
    for place in ("5:5", "6:12", "7:3", "8:12", "9:23"):
        assert re.search(rf"\bthole\.yaml:{place}\b", done.stderr), (place, done.stderr)
    assert "public" in done.stderr and "try:" in done.stderr
    assert project.seen()["services"] == [] and project.timeline("manifest applied") == []


def test_a_public_port_that_is_taken_is_named_and_opened_once_it_is_free(made):
    project = made()
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", project.port))
        squatter.listen()
        done = project.up("--detach", wanted=1)
        assert re.search(rf"port {project.port} cannot be opened: .*in use", done.stdout + done.stderr)
        service = project.service("calm")
        assert str(project.port) in service["reason"] and service["state"] != "serving", service
        assert project.texts("calm", "port refused")
    until(lambda: project.service("calm")["state"] == "serving", "the port is opened", 15)
    assert project.service("calm")["reason"] == ""
    project.begin_load(seconds=1)
    assert project.end_load()["requests"] > 0


def test_nothing_is_left_of_a_system_that_never_served(made):
    project = made(wild("absent", run="./no-such-program"))
    project.write("name: nasty\nservices:\n" + wild("absent", run="./no-such-program"))
    project.up("--detach", wanted=1)
    project.down()
