"""The accountant for integration tests: builds it and its service once, runs it in the background, reads its report.

    judge = Accountant(folder)
    judge.start("http://127.0.0.1:8080", rate=200, hold={"websocket": 20}, arrivals=["/…/arrivals.log"], slow_ms=2000)
    ...kill things...
    report = judge.finish()
    assert report["passed"], judge.text()
"""
import fcntl
import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BUILT = ROOT / "build" / "accountant"
SERVICE, ACCOUNTANT = BUILT / "service", BUILT / "accountant"
BUILD_WITHIN_S, CLOSE_BOOKS_WITHIN_S = 300, 90  # The latter beyond the time-out of a request.
# At least half of what is asked is to come on connections of its own; of a hundred drawn ones that is then sure, too.
NEW_ASKED, NEW_SHARE_MIN = 0.7, 0.5
built = False


def build():
    """Go's cache makes this cheap the second time; the lock is for tests that run side by side."""
    global built
    if built:
        return
    BUILT.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ, GOTOOLCHAIN="local", GOPROXY="off", GOFLAGS="", CGO_ENABLED="0",
                       GOCACHE=str(ROOT / "build" / "go-cache"))
    with open(BUILT / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(["/usr/bin/go", "build", "-buildvcs=false", "-o", f"{BUILT}/", "./cmd/..."], check=True,
                       cwd=ROOT / "tests" / "accountant", env=environment, timeout=BUILD_WITHIN_S)
    built = True


def counts(numbers):
    return ",".join(f"{kind}={number}" for kind, number in numbers.items())


class Accountant:
    """One run at a time. `folder` holds the report and what the accountant said."""

    def __init__(self, folder):
        build()
        self.report_path, self.text_path = Path(folder) / "accountant.json", Path(folder) / "accountant.txt"
        self.process = None

    def start(self, target, rate=200, mix=None, hold=None, **more):
        """Asks until finish(), or for `seconds`. `more`: flags of `accountant run --help` with _ for -; a list repeats
        its flag."""
        assert self.process is None, "it runs already"
        command = [ACCOUNTANT, "run", "--target", target, "--rate", str(rate), "--report", str(self.report_path)]
        command += ["--new", str(more.pop("new", NEW_ASKED))]
        command += ["--mix", counts(mix)] if mix else []
        command += ["--hold", counts(hold)] if hold else []
        command += [] if "seconds" in more else ["--until-stdin-closes"]
        for name, value in more.items():
            for one in value if isinstance(value, (list, tuple)) else [value]:
                command += [f"--{name.replace('_', '-')}", str(one)]
        self.report_path.unlink(missing_ok=True)
        with open(self.text_path, "w", encoding="utf-8") as text:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=text, stderr=text)

    def end(self):
        """The load alone: finish() need not wait as long."""
        self.process.stdin.close()

    def finish(self, within_s=CLOSE_BOOKS_WITHIN_S):
        """Ends the load, waits for what is open, and gives the report. It fails where there is none, or where the load
        was not what every load is to be."""
        process, self.process = self.process, None
        process.stdin.close()
        try:
            process.wait(within_s)
        finally:
            process.kill()
            process.wait()
        assert self.report_path.exists(), f"the accountant gave no report: {self.text()}"
        report = json.loads(self.report_path.read_text(encoding="utf-8"))
        assert report["new_connections"] >= NEW_SHARE_MIN, self.text()
        return report

    def stop(self):
        """For a test that failed: no report, no process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def text(self):
        return self.text_path.read_text(encoding="utf-8")
