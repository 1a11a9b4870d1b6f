"""The programs of bench/, what a process has used so far, and numbers as a table."""
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "integration"))
BIN = ROOT / "build" / "bench" / "bin"


class Program:
    """One of ours that prints its port. In a session of its own, as the edge is: the kernel shares the processors among
    sessions first, and the two must be alike to it."""

    def __init__(self, name, *words):
        self.process = subprocess.Popen([str(BIN / f"bench_{name}"), *map(str, words)], stdout=subprocess.PIPE,
                                        text=True, start_new_session=True)
        self.port = int(self.process.stdout.readline())

    @property
    def pid(self):
        return self.process.pid

    def close(self):
        self.process.kill()
        self.process.wait()


class Load:
    """Keep-alive connections that stay between runs."""

    def __init__(self, port, connections, body, sent=0):
        self.process = subprocess.Popen([str(BIN / "bench_load"), str(port), str(connections), str(body), str(sent)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, requests, rate=0):
        """(seconds, median, 99th percentile in microseconds). Each answer was as long as it had to be. At a rate: so many
        are begun a second, and their time begins when they were to be."""
        self.process.stdin.write(f"{requests} {rate}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline().split()
        assert line, "the load has ended: an answer did not come"
        answered, wrong, seconds, p50, p99 = int(line[0]), int(line[1]), *map(float, line[2:])
        assert (answered, wrong) == (requests, 0), f"{wrong} wrong answers"
        return seconds, p50, p99

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=10)


def cpu_s(pid):
    """Processor seconds of all its threads, to the nanosecond: the kernel's clock of that process."""
    return time.clock_gettime((~pid << 3) | 2)


def user_s(pid):
    """Of these, outside the kernel; to the tick."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return int(fields[11]) / os.sysconf("SC_CLK_TCK")


def memory_kb(pid):
    """(PSS, private) in KiB."""
    found = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").split("\n")[1:]:
        name, _, rest = line.partition(":")
        if rest:
            found[name] = int(rest.split()[0])
    return found["Pss"], found["Private_Clean"] + found["Private_Dirty"]


def spread(numbers, digits=2):
    """min / median / max"""
    return " / ".join(f"{number:.{digits}f}" for number in (min(numbers), statistics.median(numbers), max(numbers)))


def table(title, heads, rows):
    print(f"\n{title}\n\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |")
    sys.stdout.flush()


def where():
    """When, what and on how busy a machine: numbers without these are none."""
    commit = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], check=False,
                            capture_output=True, text=True).stdout.strip()
    load = Path("/proc/loadavg").read_text(encoding="utf-8").split()[:2]
    return (f"{time.strftime('%F %R')}, commit {commit}, {os.cpu_count()} processors, Linux {platform.release()}, "
            f"load average {' '.join(load)} (1, 5 min; the bench itself adds up to 4)")
