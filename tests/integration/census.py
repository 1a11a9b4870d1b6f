"""Counts, from /proc alone and all the time, the processes of each instance and of each role of one system."""
import collections
import dataclasses
import os
import threading
import time
from pathlib import Path

ROLES = ("keeper", "watch", "control", "edge", "holder")
# So long two of a role may be seen beside each other. A keeper waits 2 s for the lock before it believes that another
# one has it. What is between fork and exec looks like its parent, and what was killed takes a moment to be gone.
BESIDE_S = {"keeper": 3, "watch": 1, "control": 1, "edge": 2, "holder": 2}


@dataclasses.dataclass(frozen=True)
class Process:
    pid: int
    born: int
    parent: int
    threads: int
    name: str
    is_gone: bool


def process_at(pid):
    """None where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    before, _, after = text.rpartition(")")
    fields = after.split()
    return Process(pid, int(fields[19]), int(fields[1]), int(fields[17]), before.partition("(")[2], fields[0] in "ZX")


def role_of(process):
    """By its arguments; whoever was cloned and not yet replaced by exec() has its parent's."""
    try:
        words = Path(f"/proc/{process.pid}/cmdline").read_bytes().decode("utf-8", errors="replace").split("\0")
    except OSError:
        return None
    program, verb = os.path.basename(words[0]), words[1] if len(words) > 1 else ""
    if program == "edge":
        return process.name if process.name in ("edge", "holder") else None
    if program == "thole":
        return "control" if verb == "control" else None
    # keeper and watch start each other as /proc/self/exe.
    return {"run": "keeper", "watch": "watch"}.get(verb) if program in ("keeper", "exe") else None


@dataclasses.dataclass
class Look:
    """All who lived at one and the same moment."""
    instances: collections.Counter  # By name, as echo-5.2.
    roles: dict  # To its processes.

    def slots(self):
        counts = collections.Counter()
        for name, count in self.instances.items():
            counts[name.rpartition(".")[0]] += count
        return counts

    def serving(self):
        """Edges that have begun: they start their workers once they have taken over."""
        return [edge for edge in self.roles["edge"] if edge.threads > 1]


class Census:
    """For services that start no processes of their own: of what an ended instance left, killed as it is, the last moment
    may be the first one of the next generation."""

    def __init__(self, project):
        self.base, self.instances, self.not_ours = str(project.base).encode(), {}, set()
        self.most = collections.Counter()  # By slot; and of the service, as "all".
        self.most_serving, self.beside_s = 0, collections.Counter()  # How long more than one of a role was there.
        self.since, self.looks = {}, 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def is_ours(self, process):
        """What comes from keeper has our folder in its environment before it execs, too."""
        key = process.pid, process.born
        if key in self.not_ours:
            return False
        if key in self.instances:
            return True
        try:
            environment = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return False
        if environment == [b""]:
            return False  # In the middle of its exec: look again.
        if not any(self.base in line for line in environment):
            self.not_ours.add(key)
            return False
        name = next((line[15:] for line in environment if line.startswith(b"THOLE_INSTANCE=")), None)
        if name is not None:
            self.instances[key] = name.decode()
        return True

    def now(self):
        """Whoever was seen, and is there still when all have been seen, was there at that moment."""
        seen = [process_at(int(entry)) for entry in os.listdir("/proc") if entry.isdigit()]
        ours = [each for each in seen if each is not None and not each.is_gone and self.is_ours(each)]
        roles = {each: role_of(each) for each in ours if (each.pid, each.born) not in self.instances}
        still = [each for each in ours if lives(each)]
        look = Look(collections.Counter(), {role: [] for role in ROLES})
        for each in still:
            name = self.instances.get((each.pid, each.born))
            if name is not None:
                look.instances[name] += 1
            elif roles[each] is not None:
                look.roles[roles[each]].append(each)
        for role, found in look.roles.items():
            pids = {each.pid for each in found}
            look.roles[role] = [each for each in found if each.parent not in pids]
        return look

    def note(self, look):
        for slot, count in look.slots().items():
            self.most[slot] = max(self.most[slot], count)
        self.most["all"] = max(self.most["all"], look.instances.total())
        self.most_serving = max(self.most_serving, len(look.serving()))
        now = time.monotonic()
        for role, found in look.roles.items():
            if len(found) < 2:
                self.since.pop(role, None)
            else:
                since = self.since.setdefault(role, now)
                self.beside_s[role] = max(self.beside_s[role], now - since)

    def run(self):
        while not self.over.wait(0.02):
            self.note(self.now())
            self.looks += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def twice(self):
        """Slots that held two processes at once, whatever their generations: the next one is started when the one
        before has ended."""
        return {slot: count for slot, count in self.most.items() if count > 1 and slot != "all"}

    def beside(self):
        """Roles that were there twice for longer than one of them takes to find out, or to be gone; edges that served
        beside each other, for however short."""
        found = {role: span for role, span in self.beside_s.items() if span > BESIDE_S[role]}
        return found | ({"serving": self.most_serving} if self.most_serving > 1 else {})


def lives(process):
    still = process_at(process.pid)
    return still is not None and not still.is_gone and still.born == process.born
