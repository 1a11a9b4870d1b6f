#!/usr/bin/env python3
"""Runs the gate, or with --full the long suites too, and counts what passed, failed and was skipped.

A suite is one row of SUITES: a name, when it runs, and a function that returns Counts. A build that does not succeed is
a failed test, and a suite that ran no test at all is one, too: silence is not success.
"""
import argparse
import dataclasses
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build" / "results"


@dataclasses.dataclass
class Counts:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped


def say(text):
    print(text, flush=True)


def dev(*arguments):
    return subprocess.run([str(ROOT / "dev"), *arguments], cwd=ROOT, check=False).returncode == 0


def read_junit(path):
    """Counts of a JUnit file, and the names and texts of what failed or was skipped."""
    counts = Counts()
    if not path.exists():
        say(f"FAILED {path.stem}: no results were written")
        return Counts(failed=1)
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname', '')}.{case.get('name', '')}"
        bad = [child for child in case if child.tag in ("failure", "error")]
        skipped = [child for child in case if child.tag == "skipped"]
        if bad or case.get("status") == "fail":
            counts.failed += 1
            text = (case.findtext("system-out") or "") + "".join((child.text or "") for child in bad)
            say(f"FAILED {name}\n{text[-6000:]}")
        elif skipped or case.get("status") in ("disabled", "notrun"):
            counts.skipped += 1
            reason = skipped[0].get("message", "") if skipped else ""
            say(f"skipped {name}: {reason}")
        else:
            counts.passed += 1
    if counts.passed + counts.failed == 0:
        say(f"FAILED {path.stem}: no test ran")
        counts.failed += 1
    return counts


def unit(options):
    """Unit tests under sanitizers."""
    if not dev("prepare-build", "ci"):
        return Counts(failed=1)
    results = RESULTS / "unit.xml"
    results.unlink(missing_ok=True)
    command = ["ctest", "--test-dir", "build/ci", "-j", str(os.cpu_count()), "--output-junit", str(results),
               "--output-on-failure", "--no-tests=ignore"]
    if options.filter:
        command += ["-R", options.filter]
    subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.DEVNULL)
    if options.filter and not any(True for _ in ElementTree.parse(results).getroot().iter("testcase")):
        return Counts()
    return read_junit(results)


def integration(options):
    """The release binaries, real services, and kills; by pytest."""
    folder = ROOT / "tests" / "integration"
    if not list(folder.glob("test_*.py")):
        return Counts()
    if not (dev("prepare-venv") and dev("prepare-build", "release") and dev("prepare-binaries")):
        return Counts(failed=1)
    return pytest(options, "integration", ["-m", "not full"])


def pytest(options, name, more):
    results = RESULTS / f"{name}.xml"
    results.unlink(missing_ok=True)
    command = [".venv/bin/pytest", "-q", "--junitxml", str(results), "-p", "no:cacheprovider", *more,
               "tests/integration"]
    if options.filter:
        command += ["-k", options.filter]
    done = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.DEVNULL)
    if options.filter and done.returncode == 5:
        return Counts()
    return read_junit(results)


def accountant(options):
    """The independent judge finds each planted fault, and none where there is none."""
    folder = ROOT / "tests" / "accountant"
    if options.filter or not (folder / "go.mod").exists():
        return Counts()
    environment = dict(os.environ, GOFLAGS="-mod=mod", GOTOOLCHAIN="local", GOPROXY="off")
    done = subprocess.run(["/usr/bin/go", "test", "-count=1", "-v", "./..."], cwd=folder, env=environment,
                          check=False, capture_output=True, text=True)
    counts = Counts(passed=done.stdout.count("\n--- PASS") + done.stdout.startswith("--- PASS"),
                    failed=done.stdout.count("\n--- FAIL") + done.stdout.startswith("--- FAIL"))
    if done.returncode != 0 or counts.passed == 0:
        say(done.stdout[-6000:] + done.stderr[-2000:])
        counts.failed = max(counts.failed, 1)
    return counts


def full_integration(options):
    """The long ones: matrices of kills, many rounds."""
    if not list((ROOT / "tests" / "integration").glob("test_*.py")):
        return Counts()
    if not (dev("prepare-venv") and dev("prepare-build", "release") and dev("prepare-binaries")):
        return Counts(failed=1)
    return pytest(options, "full", ["-m", "full"])


GATE = [unit, integration, accountant]
FULL = [full_integration]


def main():
    parser = argparse.ArgumentParser(prog="./dev test", description=__doc__.splitlines()[0])
    parser.add_argument("filter", nargs="?", help="run only tests whose name contains this")
    parser.add_argument("--full", action="store_true", help="add the long suites")
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    total = Counts()
    for suite in GATE + (FULL if options.full else []):
        began = time.monotonic()
        counts = suite(options)
        total.add(counts)
        say(f"{suite.__name__}: {counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped, "
            f"{time.monotonic() - began:.0f} s")
    if options.filter and total.passed + total.failed == 0:
        say(f"no test matches '{options.filter}'")
        total.failed += 1
    say(f"{total.passed} passed, {total.failed} failed, {total.skipped} skipped")
    sys.exit(1 if total.failed else 0)


if __name__ == "__main__":
    main()
