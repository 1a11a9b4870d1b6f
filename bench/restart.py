"""From the SIGKILL of an instance to the main() of the next one, beside the smallest program that restarts."""
import os
import signal
import time

from conftest import until
from programs import BIN, Program, spread, table
from project import Project  # pylint: disable=wrong-import-order

TURNS = 40
MANIFEST = """name: restart
services:
  starter:
    run: ./starter STARTS_HERE
    port: none
    scale: 3
"""


class Starts:
    """Who has started, and when: the lines that starters write."""

    def __init__(self, path):
        self.path = path
        self.killed = 0  # So many of the first.
        path.touch()
        path.chmod(0o666)  # A service has a user of its own.

    def all(self):
        return [tuple(map(int, line.split())) for line in self.path.read_text(encoding="ascii").splitlines()]

    def kill_the_oldest(self):
        """Milliseconds until the next one began. Of three it has been ready for turns: it is started again at once."""
        before = self.all()
        oldest = before[self.killed][0]
        self.killed += 1
        began = time.monotonic_ns()
        os.kill(oldest, signal.SIGKILL)
        until(lambda: len(self.all()) > len(before), "the next one")
        return (self.all()[len(before)][1] - began) / 1e6


def measure(project):
    ours, theirs = Starts(project.base / "ours"), Starts(project.base / "theirs")
    project.place("starter", {"starter": (BIN / "bench_starter").read_bytes()})
    (project.folder / "starter" / "starter").chmod(0o755)
    project.up()
    yardstick = Program("restarter", BIN / "bench_starter", theirs.path)
    try:
        until(theirs.all, "the first of the yardstick")
        pairs = []
        for _ in range(TURNS):
            pairs.append((ours.kill_the_oldest(), theirs.kill_the_oldest()))
            project.wait_settled()
        return pairs
    finally:
        yardstick.close()
        if theirs.all():
            os.kill(theirs.all()[-1][0], signal.SIGKILL)


def main():
    project = Project("")
    try:
        project.write(MANIFEST.replace("STARTS_HERE", str(project.base / "ours")))
        pairs = measure(project)
    finally:
        project.close()
    table(f"From SIGKILL to the main() of the next process, {TURNS} pairs (min / median / max)",
          ["thole, ms", "restarter, ms", "ratio"],
          [[spread([ours for ours, _ in pairs]), spread([theirs for _, theirs in pairs]),
            spread([ours / theirs for ours, theirs in pairs], 1)]])
