"""A service that is replaced while it is asked: what happens is followed on the timeline and in /proc, and compared."""
import datetime
import http.client
import json
import re
import socket
import subprocess
import threading
import time
from pathlib import Path

import accountant
from conftest import until
from project import COMMAND_S, Project

THREE = """name: rolling
services:
  echo:
    run: ./service
    public: PORT_HERE
    scale: 3
    stop: {grace: 2s}
    requests: {upgrade: [websocket, lines]}
    env: {ARRIVALS_DIR: RECORDS_HERE, MORE_HERE}
"""
ONE_WITH_STATE = THREE.replace("    scale: 3\n", "    state: 16Mi\n")
# Requests that end by themselves, soon: none of them is to be cut.
PASSING = {"get": 60, "post": 20, "slow": 4, "upload": 5, "stream": 6, "chunks": 3}


class Rolling(Project):
    """One service, the accountant's, with its records in a folder that outlives every release."""

    def __init__(self, manifest, drain=None, **variables):
        self.drain, self.variables = drain, variables
        accountant.build()
        super().__init__(manifest)
        self.place("echo", {"service": accountant.SERVICE, "text": b"0"})
        self.records.mkdir(mode=0o777)
        self.records.chmod(0o777)
        self.judge = accountant.Accountant(self.base)

    @property
    def records(self):
        return self.base / "records"

    def write(self, manifest):
        more = ", ".join(f"{name}: '{value}'" for name, value in {"A": 1, **self.variables}.items())
        super().write(manifest.replace("MORE_HERE", more).replace("RECORDS_HERE", str(self.records)))

    def environment(self):
        drain = {} if self.drain is None else {"THOLE_DRAIN_LIMIT": self.drain}
        return dict(super().environment(), **drain)

    def close(self):
        self.judge.stop()
        super().close()

    def change(self):
        """One byte, and another one each time."""
        text = self.folder / "echo" / "text"
        text.write_text(str(int(text.read_text(encoding="utf-8")) + 1), encoding="utf-8")

    def ask(self, **more):
        """The accountant asks from now on; what is held open is open when this returns."""
        more.setdefault("mix", PASSING)
        open_before = self.opened()
        self.judge.start(f"http://127.0.0.1:{self.port}", arrivals=[str(self.records / "arrivals.log")], **more)
        wanted = open_before + sum(more.get("hold", {}).values())
        until(lambda: self.opened() >= wanted and self.seen_lines(), "tunnels and streams are open", 30)

    def seen_lines(self):
        path = self.records / "seen.log"
        if not path.exists():
            return []
        return [line.split() for line in path.read_text(encoding="utf-8").split("\n")[:-1]]

    def opened(self):
        return sum(line[3].startswith(("/tunnel/", "/sse/")) for line in self.seen_lines())

    def start_up(self):
        """`thole up` beside the test."""
        return subprocess.Popen([str(self.binaries / "thole"), "up"], cwd=self.folder, env=self.environment(),
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    @staticmethod
    def finish_up(process, deadline_s=COMMAND_S):
        """Its exit code; what it said goes to the test's log."""
        try:
            print(process.communicate(timeout=deadline_s)[0])
            return process.returncode
        finally:
            process.kill()
            process.wait()

    def holder_pid(self):
        for pid in self.pids():
            try:
                if Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() == "holder":
                    return pid
            except OSError:
                continue
        return None

    def pid_of(self, role):
        return self.holder_pid() if role == "holder" else self.role_pid(role)


class Follower:
    """The timeline as it is written, over the API itself, until control dies or the test ends. `told` is called with
    each entry."""

    def __init__(self, project, after, told=lambda entry: None):
        self.entries, self.news, self.told = [], threading.Condition(), told
        link = socket.socket(socket.AF_UNIX)
        link.connect(str(project.run / "api.sock"))
        link.sendall(f"GET /api/v1/timeline?watch=1&after={after} HTTP/1.1\r\nHost: thole\r\n\r\n".encode())
        self.link = link
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        answer = http.client.HTTPResponse(self.link)
        try:
            answer.begin()
            while line := answer.readline():
                if line.strip():
                    entry = json.loads(line)
                    self.told(entry)
                    with self.news:
                        self.entries.append(entry)
                        self.news.notify_all()
        except (OSError, http.client.HTTPException, ValueError):
            pass  # Control died, or we ended it.

    def wait(self, kind, turn=1, deadline_s=60):
        """The `turn`th entry of this kind."""
        def found():
            return [entry for entry in self.entries if entry["kind"] == kind][turn - 1:turn]
        with self.news:
            assert self.news.wait_for(found, deadline_s), (kind, turn, self.entries)
            return found()[0]

    def close(self):
        try:
            self.link.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.thread.join()
        self.link.close()


class Gates:
    """Tells each instance that was taken out which requests may still reach it; it aborts all others itself."""

    def __init__(self, project):
        self.project, self.ports, self.closed = project, {}, []
        for instance in project.instances("echo"):
            self.ports[instance["name"]] = instance["port"]

    def told(self, entry):
        if entry["kind"] not in ("instance draining", "instance stopping") or entry["instance"] in self.closed:
            return
        port = self.ports[entry["instance"]]
        made = self.project.records / f"made.{port}"
        made.write_text(" ".join(named_in(entry)) or "none", encoding="utf-8")
        made.chmod(0o644)
        made.rename(self.project.records / f"allowed.{port}")
        self.closed.append(entry["instance"])

    def knock(self):
        """As somebody who comes too late; what the instance makes of it."""
        link = http.client.HTTPConnection("127.0.0.1", self.ports[self.closed[0]], timeout=10)
        try:
            link.request("GET", "/get/too-late", headers={"X-Request-Id": "too-late"})
            return link.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            link.close()

    def violations(self):
        path = self.project.records / "violations.log"
        return path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []


def named_in(entry):
    """Ids in an entry of the timeline about what is under way."""
    return [word for word in entry["text"].replace(",", "").split() if len(word) == 32]


def in_ms(entry):
    return datetime.datetime.fromisoformat(entry["time"].replace("Z", "+00:00")).timestamp() * 1000


def unnamed_in(entry):
    """How many more are under way than such an entry has room to name."""
    more = re.search(r" and (\d+) more$", entry["text"])
    return int(more[1]) if more else 0


def strays(project, entries):
    """Requests that reached an instance after the acknowledgement of its removal, and were not named in it."""
    found, seen = [], project.seen_lines()
    left = [entry for entry in entries if entry["kind"] in ("instance draining", "instance stopping")]
    removals = {entry["instance"]: entry for entry in reversed(left)}  # The first of each.
    assert removals, "nothing was removed"
    for instance, entry in removals.items():
        # The clock of the timeline has whole milliseconds.
        acknowledged, named = in_ms(entry) + 1, set(named_in(entry))
        late = [line for line in seen if line[4] == instance and int(line[5]) > acknowledged and line[0] not in named]
        if len(late) > unnamed_in(entry):
            found += late
    return found


def ended(entries):
    """Long-lived connections that were told to end, and did, before the drain deadline."""
    found = [re.search(r", (\d+) long-lived connections? (?:was|were) ended", entry["text"]) for entry in entries
             if entry["kind"] == "instance stopping"]
    return sum(int(each[1]) for each in found if each)


def cut(entries):
    return sum(int(entry["text"].split()[0]) for entry in entries if entry["kind"] == "requests cut")


def broken_ids(entries):
    return {entry["text"].split()[0] for entry in entries if entry["kind"] == "request broken"}
