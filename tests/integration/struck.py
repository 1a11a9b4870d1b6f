"""One strike at thole's own processes in the middle of a rolling replacement: which, how, and at which step."""
import dataclasses
import itertools
import os
import random
import signal
import subprocess

from census import ROLES
from conftest import ROOT, assert_own, start_time, until
from judged import BOTH_STILL_S, boot_clock, process_state

# Each replacement of three comes by these.
STEPS = ("deploy began", "instance starting", "instance ready", "instance leaving", "instance draining",
         "instance stopping", "instance ended", "deploy done")
# By these only one whose instances are deaf to SIGTERM and hold what does not end by itself.
STEPS_OF_THE_DEAF = ("instance ending", "instance killing")
# At the first there is; elsewhere at any of three.
FIRST = ("deploy began", "instance draining", "instance ending", "deploy done")
# Who does not turn is killed after 5 s of turns that come on time, of which a busy machine has few.
SILENT_S, FOUND_WITHIN_S = 4, 20


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
    def needs_the_deaf(self):
        return self.step in STEPS_OF_THE_DEAF

    @property
    def stops(self):
        return self.signal == signal.SIGSTOP

    @property
    def stops_both_that_look(self):
        return self.stops and set(self.roles) == {"keeper", "watch"}

    @property
    def ends_all_connections(self):
        return {"edge", "holder"} <= set(self.roles)


def all_strikes():
    targets = [(role,) for role in ROLES] + list(itertools.combinations(ROLES, 2))
    steps = STEPS + STEPS_OF_THE_DEAF
    return [Strike(*each) for each in itertools.product(targets, (signal.SIGKILL, signal.SIGSTOP), steps)]


def tree():
    """The hash of what is tested."""
    done = subprocess.run(["git", "rev-parse", "HEAD^{tree}"], cwd=ROOT, check=False, capture_output=True, text=True)
    return done.stdout.strip()


def drawn_strikes():
    """A twentieth, drawn by what is tested: one commit always draws the same."""
    strikes = all_strikes()
    return random.Random(tree()).sample(strikes, len(strikes) // 20)


class Struck:
    """Sends the signal, and sees that thole itself makes up for it."""

    def __init__(self, project, strike):
        self.project, self.strike = project, strike
        self.lives = {role: (pid, start_time(pid)) for role in strike.roles if (pid := project.pid_of(role))}
        assert len(self.lives) == len(strike.roles), self.lives
        assert_own(project, [pid for pid, _ in self.lives.values()])
        self.took = {}

    def do(self):
        self.struck_at = boot_clock()
        for pid, _ in self.lives.values():
            os.kill(pid, self.strike.signal)
        # A process of many threads stands still a moment later.
        until(lambda: all(not self.lives_on(role) or self.strike.stops and self.stands_still(role)
                          for role in self.lives), "the signal has arrived")

    def lives_on(self, role):
        pid, born = self.lives[role]
        return start_time(pid) == born

    def stands_still(self, role):
        return self.lives_on(role) and process_state(self.lives[role][0]) == "T"

    def look(self):
        """Notes who does not stand still any more; True when that is everybody but a holder."""
        for role in self.lives:
            if role not in self.took and not self.stands_still(role):
                self.took[role] = boot_clock() - self.struck_at
        return set(self.took) | {"holder"} >= set(self.lives)

    def wait_for_thole(self):
        """Returns when thole has replaced, or told to go on, everybody it has promised that to."""
        if not self.strike.stops:
            return
        # keeper's successor begins to count anew.
        limit_s = FOUND_WITHIN_S * (2 if "keeper" in self.strike.roles and len(self.lives) > 1 else 1)
        until(self.look, f"{self.strike.roles} were replaced or go on", limit_s)
        print("replaced or woken after", {role: f"{took:.2f} s" for role, took in self.took.items()})
        if self.strike.stops_both_that_look:
            assert all(self.lives_on(role) for role in self.lives), "they go on, and are not replaced"
            assert all(took >= BOTH_STILL_S for took in self.took.values()), self.took
            return
        for role in set(self.took) - {"holder"}:
            # Who is killed stands still no more, and is gone a moment later.
            until(lambda role=role: not self.lives_on(role), f"{role} is killed, not woken", 2)
            assert self.took[role] > SILENT_S, f"{role} was silent for {self.took[role]} s only"

    def wake_holder(self):
        """One that stands still is seen by nobody before its edge dies: it goes on by our hand, and nobody else does.
        Beside a stopped edge keeper kills it, a second after the edge."""
        if not self.strike.stops or "holder" not in self.lives:
            return
        if "edge" in self.lives:
            until(lambda: not self.lives_on("holder"), "keeper kills a holder that does not become the edge", 10)
            return
        assert self.stands_still("holder"), "the holder was touched"
        os.kill(self.lives["holder"][0], signal.SIGCONT)

    def wait_settled(self):
        """`ps` says that nothing is under way."""
        for role in ROLES:
            until(lambda role=role: self.project.pid_of(role), f"{role} is there again", 30)
        return self.project.wait_settled()
