"""The shop of examples/ as a project of a test, and the accountant that asks it."""
import shutil
import signal
import sqlite3
import urllib.error
import urllib.request

from accountant import Accountant
from conftest import ROOT, until
from judged import pause
from project import Project

SERVICES = ("web", "orders", "billing", "catalog")
BUILD_WITHIN_S = 300  # npm, pip, go and g++, on a machine that does other things, too.
READY_WITHIN_S = 30  # Of an instance: gunicorn takes a second where nothing else runs.
# Without reports: eight seconds each, and one in the hands of a killed instance is broken.
LIGHT = {"mix": {"page": 15, "product": 15, "list": 20, "item": 15, "reread": 12, "order": 17, "form": 3}}


class Shop(Project):
    def __init__(self, drain=None):
        self.drain = drain
        super().__init__("")
        shutil.copytree(ROOT / "examples" / "shop", self.folder, dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns("node_modules", ".venv", ".thole"))
        manifest = (ROOT / "examples" / "shop" / "thole.yaml").read_text(encoding="utf-8")
        assert "public: 8080" in manifest
        self.write(manifest.replace("public: 8080", "public: PORT_HERE"))
        self.judge = Accountant(self.base)

    def __enter__(self):
        self.thole("up", limit_s=BUILD_WITHIN_S)
        return self

    def __exit__(self, *_):
        self.judge.stop()
        self.close()

    def environment(self):
        drain = {} if self.drain is None else {"THOLE_DRAIN_LIMIT": self.drain}
        return dict(super().environment(), **drain)

    def state(self, service):
        return self.data / "state" / service

    def ask(self, path, body=None):
        """Status, type and text of a page; a form or JSON is POSTed."""
        kind = "application/json" if path.startswith("/api") else "application/x-www-form-urlencoded"
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body, {"Content-Type": kind})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers["Content-Type"], error.read().decode()

    def paid(self):
        """How often money was taken, by order: from billing's own books."""
        with sqlite3.connect(f"file:{self.state('billing')}/billing.db?mode=ro", uri=True) as books:
            return [row[0] for row in books.execute("SELECT id FROM charges")]

    def load(self, **more):
        asked = {"rate": 30, "kind": "shop", "hold": {"ticker": 5}, "added_max": "20s", "allow_broken": 100_000,
                 "arrivals": [f"{name}={self.state(name)}/arrivals.log" for name in ("orders", "billing")]} | more
        self.judge.start(f"http://127.0.0.1:{self.port}", **asked)
        pause(2)

    def kill_instance(self, service):
        """One of a service's; comes back when all are ready again."""
        wanted, victim = self.service(service)["instances_wanted"], self.instances(service)[0]["pid"]
        self.kill(victim, signal.SIGKILL)
        until(lambda: victim not in (pids := [each["pid"] for each in self.instances(service)]) and len(pids) == wanted,
              f"{service} is ready again", READY_WITHIN_S)

    def kill_role(self, role):
        before = self.role_pid(role)
        self.kill(before, signal.SIGKILL)
        self.wait_for_role(role, before)

    def judged(self):
        report = self.judge.finish()
        print(self.judge.text())
        return report
