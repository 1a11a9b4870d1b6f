"""Instructions of the edge's own a request, counted by callgrind: the same on a busy machine and on a quiet one."""
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from callgrind import read
from counted import Stand, edge_in
from programs import BIN, Load, Program, table

CONNECTIONS, REQUESTS = 32, 20000
# A worker's turn, and all that it calls: what the main thread reports meanwhile goes by time, not by request.
COUNTED = "thole::edge::Worker::turn()"
# By the begin of a file's name; the first that fits. What is for ids, counters and records has a bar of its own.
MARKS = "ids, counters, records"
PARTS = [
    (MARKS, ("edge/request_id", "edge/count", "edge/black_box", "edge/latency", "http/trace", "http/hex")),
    ("heads read", ("http/head", "http/field", "http/grammar", "edge/deadline")),
    ("heads written", ("http/emit", "edge/heads")),
    ("routes", ("edge/router", "edge/accept", "edge/snapshots")),
    ("choice of an instance", ("edge/balance", "edge/endpoints", "edge/attach", "edge/keepalive", "edge/attempts",
                               "edge/usual_time", "edge/retry_budget", "base/random")),
    ("exchanges, commits", ("edge/exchange", "edge/records", "edge/flow", "edge/bodies", "edge/ends", "http/body")),
    ("bytes and blocks", ("edge/sockets", "edge/blocks", "edge/pressure", "edge/runtime", "edge/segment")),
    ("loop, time limits", ("edge/worker", "edge/alarms", "edge/patience", "edge/clock", "edge/faulty")),
]


def part_of(file):
    return next((part for part, begins in PARTS if file.startswith(begins)), "other")


def command(*words):
    subprocess.run(["callgrind_control", *words], check=True, capture_output=True)


def count(body):
    """What callgrind wrote of REQUESTS requests on connections that were used before."""
    upstream = Program("upstream", body)
    with tempfile.TemporaryDirectory(prefix="thole-bench-", dir="/dev/shm") as name:
        folder = Path(name)
        stand = Stand(upstream, edge_in(folder, f"export LD_PRELOAD={BIN}/under_callgrind.so",
                                        f"valgrind --tool=callgrind --instr-atstart=no '--toggle-collect={COUNTED}' "
                                        f"--callgrind-out-file={folder}/counts.%p --log-file={folder}/log.%p"))
        try:
            load = Load(stand.port, CONNECTIONS, body)
            load.run(CONNECTIONS * 100)
            command("-i", "on", str(stand.pid))
            load.run(REQUESTS)
            command("-d", str(stand.pid))
            written = max(folder.glob("counts.*"), key=lambda file: file.stat().st_size)
            load.close()
            return read(written, "/lib/thole/edge")
        finally:
            stand.close()
            upstream.close()


def main():
    by_file, by_function, kernel = count(128)
    parts = Counter({"system calls, in libc": kernel})
    for file, number in by_file.items():
        parts[part_of(file)] += number
    table(f"Instructions a request outside the kernel, {REQUESTS} requests of 128 bytes, {CONNECTIONS} connections",
          ["part", "instructions"], [("all", f"{sum(parts.values()) / REQUESTS:.0f}")] +
          [(part, f"{number / REQUESTS:.0f}") for part, number in parts.most_common()])
    for what, found in (("file", by_file), ("function", by_function)):
        table(f"The same, by {what}, from 1 % on", [what, "instructions"],
              [(name, f"{number / REQUESTS:.0f}") for name, number in found.most_common()
               if number * 100 >= sum(parts.values())])
