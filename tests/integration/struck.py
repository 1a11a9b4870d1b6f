"""One strike at thole's own processes in the middle of a rolling replacement: which, how, and at which step."""
import dataclasses
import itertools
import os
import random
import signal
import subprocess
import time

from conftest import ROOT, assert_own, start_time, until

ROLES = ("keeper", "watch", "control", "edge", "holder")
STEPS = ("deploy began", "instance starting", "instance ready", "instance leaving", "instance draining",
         "instance stopping", "instance ended", "deploy done")
FIRST = ("deploy began", "instance draining", "deploy done")  # At the first there is; elsewhere at any of three.
STOPPED_S, BOTH_STOPPED_S = 7, 10  # keeper and watch see to each other; control wakes them when both stand still.


@dataclasses.dataclass(frozen=True)
class Strike:
    roles: tuple
    signal: signal.Signals
    step: str

    def __str__(self):
        return f"{self.signal.name}-{'+'.join(self.roles)}-at-{self.step.replace(' ', '-')}"

    @property
    def turn(self):
        return 1 if self.step in FIRST else random.Random(str(self)).randint(1, 3)

    @property
    def ends_all_connections(self):
        return {"edge", "holder"} <= set(self.roles)


def all_strikes():
    targets = [(role,) for role in ROLES] + list(itertools.combinations(ROLES, 2))
    return [Strike(*each) for each in itertools.product(targets, (signal.SIGKILL, signal.SIGSTOP), STEPS)]


def drawn_strikes():
    """A twentieth, drawn by what is tested: one commit always draws the same."""
    tree = subprocess.run(["git", "rev-parse", "HEAD^{tree}"], cwd=ROOT, check=False, capture_output=True, text=True)
    strikes = all_strikes()
    return random.Random(tree.stdout.strip()).sample(strikes, len(strikes) // 20)


class Struck:
    """Sends the signal; what was stopped goes on when it was replaced, or after a while."""

    def __init__(self, project, strike):
        self.project, self.strike = project, strike
        self.lives = {role: (pid, start_time(pid)) for role in strike.roles if (pid := project.pid_of(role))}
        assert len(self.lives) == len(strike.roles), self.lives
        assert_own(project, [pid for pid, _ in self.lives.values()])

    def do(self):
        for pid, _ in self.lives.values():
            os.kill(pid, self.strike.signal)
        self.struck_at = time.monotonic()

    def living(self):
        return [pid for pid, born in self.lives.values() if start_time(pid) == born]

    def wake(self):
        """Returns when nobody stands still any more."""
        if self.strike.signal == signal.SIGSTOP:
            limit_s = BOTH_STOPPED_S if set(self.strike.roles) == {"keeper", "watch"} else STOPPED_S
            until(lambda: not self.living() or time.monotonic() > self.struck_at + limit_s, "time passes", 60)
            for pid in self.living():
                os.kill(pid, signal.SIGCONT)

    def wait_settled(self):
        """Every role is there, one holder, and `ps` says that nothing is under way."""
        for role in ROLES:
            until(lambda: self.project.pid_of(role), f"{role} is there again", 30)
        return self.project.wait_settled()
