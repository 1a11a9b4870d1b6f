#!/usr/bin/env python3
"""Lets fuzzers search, one after the other, and says how long each has searched in all: minutes and runs of all calls add up
in build/fuzz/searched.json, what they learned lies in build/fuzz/corpus, what they found in build/fuzz/found.

    tools/run_fuzz.py [--minutes M] [NAME ...]      minutes of each; all of fuzz/, built as the preset `fuzz`
"""
import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILT = ROOT / "build" / "fuzz"
SEARCHED = BUILT / "searched.json"
# Of an input, in bytes: none of these reads more at once.
LENGTH_MAX = 4096
RUN_MAX_S = 10  # Longer is found, too: it hangs.


def names():
    """Those that cmake/fuzz.cmake makes."""
    return re.findall(r"^thole_fuzzer\((\w+) ", (ROOT / "cmake" / "fuzz.cmake").read_text(encoding="utf-8"), re.M)


def command(name, minutes):
    corpus, found = BUILT / "corpus" / name, BUILT / "found"
    corpus.mkdir(parents=True, exist_ok=True)
    found.mkdir(parents=True, exist_ok=True)
    words = ROOT / "fuzz" / f"{name.partition('_')[0]}.dict"
    return [str(BUILT / "bin" / f"fuzz_{name}"), f"-max_total_time={int(minutes * 60)}", f"-max_len={LENGTH_MAX}",
            f"-timeout={RUN_MAX_S}", "-print_final_stats=1", "-verbosity=0", f"-artifact_prefix={found}/{name}-",
            *([f"-dict={words}"] if words.exists() else []), str(corpus), str(ROOT / "fuzz" / "seeds" / name)]


def search(name, minutes):
    """Minutes, runs, and what it said where it found something."""
    began = time.monotonic()
    done = subprocess.run(command(name, minutes), cwd=BUILT, check=False, text=True, errors="replace",
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    runs = re.search(r"number_of_executed_units: (\d+)", done.stdout)
    problem = "" if done.returncode == 0 and runs else f"exit code {done.returncode}\n{done.stdout[-4000:]}"
    return (time.monotonic() - began) / 60, int(runs.group(1)) if runs else 0, problem


def main():
    parser = argparse.ArgumentParser(description="Lets fuzzers search; the last line counts them.")
    parser.add_argument("--minutes", type=float, default=2.5, help="of each")
    parser.add_argument("names", nargs="*", choices=[[], *names()], help="only these")
    options = parser.parse_args()
    searched = json.loads(SEARCHED.read_text(encoding="utf-8")) if SEARCHED.exists() else {}
    chosen, failed = options.names or names(), 0
    for name in chosen:
        minutes, runs, problem = search(name, options.minutes)
        in_all = searched.setdefault(name, {"minutes": 0, "runs": 0})
        in_all["minutes"] += minutes
        in_all["runs"] += runs
        SEARCHED.write_text(json.dumps(searched, indent=1) + "\n", encoding="utf-8")
        print(f"{name}: {minutes:.1f} min, {runs} runs; in all {in_all['minutes']:.1f} min, {in_all['runs']} runs", flush=True)
        if problem:
            failed += 1
            print(f"FAILED {name}: {problem}", flush=True)
    print(f"{len(chosen) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
