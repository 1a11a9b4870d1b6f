"""A project that thole runs: a folder with a manifest, and the command line as a user has it."""
import collections
import json
import os
import random
import shutil
import socket
import subprocess
import time
from pathlib import Path

import wire
from conftest import BINARIES, System, start_time, strike, until, words_of

# How many clicks a user waits; every command ends long before.
COMMAND_S = 90


# Below what the kernel gives to connections, which come and go all the time, and apart from what instances get.
PORTS = range(10_000, 20_000)
claims = collections.deque(maxlen=100)


def free_port():
    """Of other tests that run at once, none is given the same while this one may still be about to use it."""
    while True:
        port, claim = random.choice(PORTS), socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0thole-test port {port}")
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        if len(claims) == claims.maxlen:
            claims.popleft().close()
        claims.append(claim)
        return port


class Project(System):
    """Run and data folder of its own, so that many may run at once; services have users of their own."""

    def __init__(self, manifest, binaries=BINARIES):
        super().__init__("all", binaries)
        self.base.chmod(0o711)
        self.folder = self.base / "project"
        self.folder.mkdir(mode=0o755)
        self.port = free_port()
        self.asked_by = []  # The command that becomes somebody else, where it is not ourselves who types.
        self.write(manifest)

    def write(self, manifest):
        """`PORT_HERE` in it is the public port."""
        (self.folder / "thole.yaml").write_text(manifest.replace("PORT_HERE", str(self.port)), encoding="utf-8")

    def place(self, service, files):
        """files: name -> a path to copy, or bytes."""
        folder = self.folder / service
        folder.mkdir(exist_ok=True)
        for name, content in files.items():
            if isinstance(content, bytes):
                (folder / name).write_bytes(content)
            else:
                shutil.copy(content, folder / name)

    def environment(self):
        return dict(os.environ, THOLE_RUN_DIR=str(self.run), THOLE_DATA_DIR=str(self.data))

    def thole(self, *words, wanted=0, limit_s=COMMAND_S):
        done = subprocess.run([*self.asked_by, str(self.binaries / "thole"), *words], cwd=self.folder,
                              env=self.environment(), check=False, capture_output=True, text=True, timeout=limit_s, stdin=subprocess.DEVNULL)
        if wanted is not None:
            assert done.returncode == wanted, (words, done.returncode, done.stdout, done.stderr, self.log())
        return done

    def log(self):
        path = self.data / "keeper.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def up(self, *words, wanted=0):
        return self.thole("up", *words, wanted=wanted)

    def down(self):
        """Nothing is left. keeper deletes the run folder, which `down` waits for, with its last breath."""
        self.thole("down")
        left = []

        def is_over():
            left[:] = [(pid, words_of(pid)[:200]) for pid in self.pids()]
            return not left
        until(is_over, left, 5)
        assert not self.run.exists()

    def seen(self):
        """What `ps --json` says."""
        return json.loads(self.thole("ps", "--json").stdout)["system"]

    def service(self, name):
        return next(each for each in self.seen()["services"] if each["name"] == name)

    def instances(self, name, state="ready"):
        return [each for each in self.service(name)["instances"] if state in (None, each["state"])]

    def timeline(self, kind=None):
        lines = self.thole("timeline", "--json", "--limit", "100000").stdout
        entries = json.loads(lines)["timeline"]["entries"]
        return [each for each in entries if kind in (None, each["kind"])]

    def last_entry(self):
        return self.timeline()[-1]["sequence"]

    def entries_after(self, sequence):
        return [entry for entry in self.timeline() if entry["sequence"] > sequence]

    @staticmethod
    def tell(entries):
        """For the log of a test that fails."""
        for entry in entries:
            print(entry["time"][14:-1], entry["kind"], entry["instance"], entry["text"][:200])

    def role_pid(self, role):
        """From the slot table itself, so that it is known whoever of them is dead; None where nobody lives."""
        pid = wire.claimed_pid(self.run, {"keeper": 0, "watch": 1, "control": 2, "edge": 3}[role])
        return pid if pid and start_time(pid) is not None else None

    def kill(self, pid, number):
        strike(self, pid, number)

    def wait_for_role(self, role, other_than=None, deadline_s=10):
        until(lambda: self.role_pid(role) not in (None, other_than), f"{role} is there again", deadline_s)
        return self.role_pid(role)

    def wait_settled(self, deadline_s=60):
        deadline = time.monotonic() + deadline_s
        while True:
            done = self.thole("ps", "--json", wanted=None)
            if done.returncode == 0 and json.loads(done.stdout)["system"]["settled"]:
                return json.loads(done.stdout)["system"]
            assert time.monotonic() < deadline, (done.stdout, done.stderr, self.log())
            time.sleep(wire.POLL_S)
