#!/usr/bin/env python3
"""Runs the gate, or the long suites too, and counts what passed, failed and was skipped.

A suite is one row of SUITES. Counts come from the result files that ctest, pytest and go write, never from their exit
code alone. A build that does not succeed, a suite that wrote no results, ran no test or did not end in time is a
failed test: silence is not success. `./dev test` starts this file.
"""
import argparse
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build" / "results"
PAIRS_WITHOUT_KEEPER = "watch+ or control+ or edge+"
TEXT_MAX = 6000  # Characters shown of one failed test.


@dataclasses.dataclass
class Counts:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def __str__(self):
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


def say(text):
    print(text, flush=True)


def failure(text):
    """One failed test that no result file knows of."""
    say(f"FAILED {text}")
    return Counts(failed=1)


def prepare(*steps):
    """Builds presets and makes ready what tests need; ./dev says what went wrong."""
    return subprocess.run([str(ROOT / "dev"), "prepare", *steps], cwd=ROOT, check=False).returncode == 0


def run(command, log, limit_s, folder=ROOT, environment=None):
    """Runs a command with its output in a file; its exit code, or None when it did not end in time and was killed."""
    with open(log, "w", encoding="utf-8") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT,
                                   stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            return process.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def tail(log):
    return log.read_text(errors="replace")[-TEXT_MAX:]


def read_junit(path, log):
    """Counts of a JUnit file; what failed or was skipped is printed with its text or its reason."""
    counts = Counts()
    try:
        cases = list(ElementTree.parse(path).getroot().iter("testcase"))
    except (OSError, ElementTree.ParseError) as problem:
        return failure(f"{path.stem}: no results could be read ({problem})\n{tail(log)}")
    for case in cases:
        name = ".".join(dict.fromkeys(part for part in (case.get("classname"), case.get("name")) if part))
        bad = [child for child in case if child.tag in ("failure", "error")]
        skipped = [child for child in case if child.tag == "skipped"]
        if bad or case.get("status") == "fail":
            counts.failed += 1
            text = (case.findtext("system-out") or "") + "\n".join((child.text or "") for child in bad)
            say(f"FAILED {name}\n{text[-TEXT_MAX:]}")
        elif skipped or case.get("status") in ("disabled", "notrun"):
            counts.skipped += 1
            reason = skipped[0].get("message", "") if skipped else case.get("status")
            text = case.findtext("system-out") or ""
            said = re.search(r"Skipped\n(.*)", text)  # Where gtest prints the reason.
            say(f"skipped {name}: {said.group(1).strip() if said else reason}")
        else:
            counts.passed += 1
    return counts


def ended(name, counts, code, log):
    """Adds what the result file cannot tell: no end, a bad exit without a failed test, no test at all."""
    if code is None:
        counts.add(failure(f"{name}: did not end in time and was killed\n{tail(log)}"))
    elif code != 0 and counts.failed == 0:
        counts.add(failure(f"{name}: exit code {code} without a failed test\n{tail(log)}"))
    elif counts.passed + counts.failed == 0:
        counts.add(failure(f"{name}: no test ran"))
    return counts


def ctest(options, name, preset, limit_s, environment=None):
    if not prepare(preset):
        return failure(f"{name}: the build {preset} did not succeed")
    results, log = RESULTS / f"{name}.xml", RESULTS / f"{name}.log"
    results.unlink(missing_ok=True)
    command = ["ctest", "--test-dir", f"build/{preset}", "-j", os.environ.get("THOLE_JOBS", str(os.cpu_count())),
               "--output-junit", str(results), "--output-on-failure", "--no-tests=error"]
    if options.filter:
        command += ["-R", options.filter]
    code = run(command, log, limit_s, environment=environment)
    if options.filter and "No tests were found" in tail(log):
        return Counts()
    return ended(name, read_junit(results, log), code, log)


def pytest(options, name, marker, limit_s, among="", environment=None):
    """`among`: only tests whose names fit this expression of pytest's -k."""
    folder = ROOT / "tests" / "integration"
    files = sorted(folder.glob("test_*.py"))
    # A word that stands in no file cannot be a test's name: spare the build.
    if options.filter and options.filter.isidentifier():
        files = [file for file in files if options.filter in file.name or options.filter in file.read_text()]
    if not files:
        return Counts()
    if not prepare("venv", "release", "binaries"):
        return failure(f"{name}: what it needs could not be built")
    if any("shop" in file.read_text() for file in files) and not prepare("need-shop"):
        return failure(f"{name}: what the shop needs could not be installed")
    if any("readers" in file.read_text() for file in files) and not prepare("unpacked"):
        return failure(f"{name}: others who read what the edge says could not be unpacked")
    if any("/ \"bench\"" in file.read_text() for file in files) and not prepare("bench-programs"):
        return failure(f"{name}: what bench/ counts with could not be built")
    results, log = RESULTS / f"{name}.xml", RESULTS / f"{name}.log"
    results.unlink(missing_ok=True)
    command = [".venv/bin/pytest", "-v", "--junitxml", str(results), "-m", marker, "tests/integration"]
    expressions = [f"({each})" for each in (among, options.filter) if each]
    if expressions:
        command += ["-k", " and ".join(expressions)]
    code = run(command, log, limit_s, environment=environment)
    if code == 5 and (options.filter or marker == "full"):  # Nothing was selected.
        return Counts()
    return ended(name, read_junit(results, log), code, log)


def unit(options):
    """unit tests of all folders under sanitizers"""
    return ctest(options, "unit", "ci", limit_s=1200)


def integration(options):
    """the release binaries, real services and kills"""
    return pytest(options, "integration", "not full", limit_s=1500, among="not test_keeper_faults")


def accountant(options):
    """the independent judge finds each planted fault, and none where there is none"""
    folder = ROOT / "tests" / "accountant"
    if options.filter or not (folder / "go.mod").exists():
        return Counts()
    log = RESULTS / "accountant.log"
    environment = dict(os.environ, GOTOOLCHAIN="local", GOPROXY="off", GOFLAGS="",
                       GOCACHE=str(ROOT / "build" / "go-cache"))
    code = run(["/usr/bin/go", "test", "-count=1", "-json", "./..."], log, 900, folder, environment)
    counts = Counts()
    outputs = {}
    for line in log.read_text(errors="replace").splitlines():
        event = json.loads(line) if line.startswith("{") else {}
        name = event.get("Test", "")
        if not name or "/" in name:  # Parts of a test count with it.
            continue
        key = f"{event.get('Package', '')}.{name}"
        outputs[key] = outputs.get(key, "") + event.get("Output", "")
        if event["Action"] == "pass":
            counts.passed += 1
        elif event["Action"] == "skip":
            counts.skipped += 1
            say(f"skipped {key}")
        elif event["Action"] == "fail":
            counts.failed += 1
            say(f"FAILED {key}\n{outputs[key][-TEXT_MAX:]}")
    return ended("accountant", counts, code, log)


def alone(options):
    """each file compiles alone: no unity, no precompiled header"""
    if options.filter:
        return Counts()
    return Counts(passed=1) if prepare("dev") else failure("alone: the build dev did not succeed")


def tsan(options):
    """unit tests under the thread sanitizer, and the roles that they start"""
    # To files: what a role says goes to a log that its test deletes.
    for report in RESULTS.glob("tsan-report.*"):
        report.unlink()
    environment = dict(os.environ, TSAN_OPTIONS=f"log_path={RESULTS / 'tsan-report'}")
    counts = ctest(options, "tsan", "tsan", limit_s=1500, environment=environment)
    for report in sorted(RESULTS.glob("tsan-report.*")):
        counts.add(failure(f"tsan: {report.name}\n{tail(report)}"))
    return counts


def kills(options):
    """long rounds of kills: each role, each pair, five hundred edges, every part of the shop"""
    return pytest(options, "kills", "full", limit_s=1500, among=" and ".join(
        f"not {other}" for other in ("at_whatever_step", "test_keeper_faults", "test_edge_crash_points", "test_edge_soak",
                                     "test_edge_posts", "test_edge_noise", "test_edge_changes")))


def changes(options):
    """ten minutes without control, a thousand sets of routes, instances that come and go for a minute"""
    return pytest(options, "changes", "full", limit_s=1500, among="test_edge_changes")


def deaths(options):
    """SIGKILL of the edge two thousand times, one every 200 ms"""
    return pytest(options, "deaths", "full", limit_s=1500, among="two_thousand_deaths")


def crash_points(options):
    """the edge dies five thousand times between an effect and its record"""
    if not prepare("faults"):
        return failure("crash_points: the build faults did not succeed")
    return pytest(options, "crash_points", "full", limit_s=1500, among="test_edge_crash_points and not two_thousand_deaths")


def faults(options):
    """keeper, watch or a child dies at each numbered place between an effect and its record"""
    if not prepare("faults"):
        return failure("faults: the build faults did not succeed")
    return pytest(options, "faults", "full or not full", limit_s=1500, among="test_keeper_faults")


def posts(options):
    """ten minutes of POSTs at the moment at which Node and gunicorn close a connection, nginx beside it"""
    return pytest(options, "posts", "full", limit_s=1500, among="test_edge_posts")


def ejection(options):
    """one to three instances at 1 to 500 requests a second: time until one is out, and nobody is by bad luck"""
    return pytest(options, "ejection", "full", limit_s=1500, among="test_edge_noise")


def strikes_kill(options):
    """SIGKILL of each role and each pair at each of 10 steps of a rolling replacement"""
    return pytest(options, "strikes_kill", "full", limit_s=1500, among="at_whatever_step and SIGKILL")


def strikes_stop(options):
    """SIGSTOP of each role and of keeper with each other one"""
    return pytest(options, "strikes_stop", "full", limit_s=1500,
                  among=f"at_whatever_step and SIGSTOP and not ({PAIRS_WITHOUT_KEEPER})")


def strikes_stop_pairs(options):
    """SIGSTOP of each pair without keeper"""
    return pytest(options, "strikes_stop_pairs", "full", limit_s=1500,
                  among=f"at_whatever_step and SIGSTOP and ({PAIRS_WITHOUT_KEEPER})")


def soak(options, name, preset, variable):
    """Twenty minutes of mixed load and faults on purpose; what the sanitizer reports fails it, too."""
    if options.filter or not prepare(preset):
        return Counts() if options.filter else failure(f"{name}: the build {preset} did not succeed")
    for report in RESULTS.glob(f"{name}-report.*"):
        report.unlink()
    environment = dict(os.environ, THOLE_SOAK_PRESET=preset)
    environment[variable] = f"log_path={RESULTS / name}-report"
    counts = pytest(options, name, "full", limit_s=1500 + 300, among="test_edge_soak", environment=environment)
    for report in sorted(RESULTS.glob(f"{name}-report.*")):
        counts.add(failure(f"{name}: {report.name}\n{tail(report)}"))
    return counts


def soak_tsan(options):
    """the edge under the thread sanitizer for 20 minutes, with faults on purpose"""
    return soak(options, "soak_tsan", "tsan", "TSAN_OPTIONS")


def soak_asan(options):
    """the same under the address sanitizer"""
    return soak(options, "soak_asan", "ci", "ASAN_OPTIONS")


def script(name, command, limit_s):
    """A suite of its own whose last line says `N passed, N failed`."""
    log = RESULTS / f"{name}.log"
    code = run(command, log, limit_s)
    lines = log.read_text(errors="replace").strip().splitlines() or [""]
    said = re.fullmatch(r"(\d+) passed, (\d+) failed(?:, (\d+) skipped)?", lines[-1])
    counts = Counts(*(int(number or 0) for number in said.groups())) if said else Counts()
    if counts.failed or not said:
        say(tail(log))
    return ended(name, counts, code, log)


def breaks(options):
    """known bugs, planted in a copy, each turn their test red"""
    if options.filter or not list((ROOT / "tests" / "breaks").glob("*.patch")):
        return Counts()
    return script("breaks", ["/usr/bin/python3", "tools/run_breaks.py"], 1500 * 4)


def fuzz(options):
    """each fuzzer searches for two and a half minutes, with what it has learned before (tools/run_fuzz.py)"""
    if options.filter:
        return Counts()
    if not prepare("fuzz"):
        return failure("fuzz: the build fuzz did not succeed")
    return script("fuzz", ["/usr/bin/python3", "tools/run_fuzz.py"], 1500)


def machine(options):
    """a bare Debian 12 root: the two commands of the README"""
    if options.filter:
        return Counts()
    if not prepare("need-machine"):
        return failure("machine: debootstrap could not be installed")
    return script("machine", ["tests/machine/bare_debian.sh"], 1500 * 3)


GATE = [unit, integration, accountant]
FULL = [alone, tsan, soak_tsan, soak_asan, kills, deaths, crash_points, faults, changes, posts, ejection, strikes_kill, strikes_stop, strikes_stop_pairs, breaks, fuzz, machine]
SUITES = {suite.__name__: suite for suite in GATE + FULL}


def read_options():
    parser = argparse.ArgumentParser(prog="./dev test", description="Runs tests; the last line counts them.")
    parser.add_argument("filter", nargs="?", help="run only tests whose name contains this")
    parser.add_argument("--full", action="store_true", help="the long suites, too, one by one")
    parser.add_argument("--suite", action="append", choices=SUITES, help="only this one; may be repeated")
    parser.add_argument("--list", action="store_true", help="what the suites are")
    parser.add_argument("--repeat", type=int, default=1, help="run everything so many times; stops at a failure")
    parser.add_argument("--busy", type=int, default=0, help="so many busy loops beside the tests")
    return parser.parse_args()


def run_suites(suites, options):
    total = Counts()
    lines = []
    for suite in suites:
        began = time.monotonic()
        counts = suite(options)
        total.add(counts)
        if counts != Counts():
            lines.append(f"{suite.__name__:<12} {counts}, {time.monotonic() - began:.0f} s: {suite.__doc__}")
            say(lines[-1])
    if len(lines) > 1 and total.failed:
        say("\n" + "\n".join(lines))  # Once more below the failures.
    return total


def main():
    options = read_options()
    if options.list:
        for suite in SUITES.values():
            say(f"{suite.__name__:<12} {'gate' if suite in GATE else 'full'}: {suite.__doc__}")
        return
    RESULTS.mkdir(parents=True, exist_ok=True)
    suites = [SUITES[name] for name in options.suite] if options.suite else GATE + (FULL if options.full else [])
    total = Counts()
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(options.busy)]
    try:
        for _ in range(options.repeat):
            total.add(run_suites(suites, options))
            if total.failed:
                break
    finally:
        for process in busy:
            process.kill()
            process.wait()
    if total.passed + total.failed == 0:
        total.add(failure(f"no test matches '{options.filter}'" if options.filter else "no test ran"))
    say(str(total))
    sys.exit(1 if total.failed else 0)


if __name__ == "__main__":
    main()
