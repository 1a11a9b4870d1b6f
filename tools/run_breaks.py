#!/usr/bin/env python3
"""Plants each bug of tests/breaks in a scratch copy and fails unless the test named in it turns red. `./dev breaks` starts it."""
import argparse
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def git(*arguments, folder=ROOT):
    done = subprocess.run(["git", *arguments], cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def read_head(patch):
    """The comment lines before the diff: what, test, suite."""
    head = dict(re.findall(r"^# (\w+): (.+)$", patch.read_text().split("diff --git")[0], re.M))
    if "what" not in head or "test" not in head:
        raise RuntimeError(f"{patch.name}: needs the lines '# what: …' and '# test: …'")
    by_name = "integration" if head["test"].startswith("test_") else "unit"
    return head["what"].strip(), head["test"].strip(), head.get("suite", by_name).strip()


def outcome_of(copy, test, suite):
    """`green`, `red`, or in words why the test did not run in the copy."""
    results = copy / "build" / "results" / f"{suite}.xml"
    results.unlink(missing_ok=True)
    name = f"^{re.escape(test)}$" if suite in ("unit", "tsan") else test
    done = subprocess.run(["./dev", "test", "--suite", suite, name], cwd=copy, check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if not results.exists():
        return f"did not run:\n{done.stdout[-3000:]}"
    cases = [case for case in ElementTree.parse(results).getroot().iter("testcase")
             if re.sub(r"\[.*", "", case.get("name", "")) == test]
    if not cases:
        return f"there is no such test in the suite {suite}"
    for case in cases:
        if case.get("status") == "fail" or case.find("failure") is not None or case.find("error") is not None:
            return "red"
    if any(case.find("skipped") is not None for case in cases):
        return "was skipped"
    return "green"


def try_break(copy, patch, green):
    """None when the planted bug was found, else what went wrong. `green` remembers which tests pass without a bug."""
    what, test, suite = read_head(patch)
    if test not in green:
        outcome = outcome_of(copy, test, suite)
        if outcome != "green":
            return f"without the patch {test} must be green: {outcome}"
        green.add(test)
    try:
        git("apply", str(patch), folder=copy)
        outcome = outcome_of(copy, test, suite)
    finally:
        git("checkout", "-q", "--", ".", folder=copy)
    return None if outcome == "red" else f"{test} did not see '{what}': {outcome}"


def run_all(patches, copy):
    passed = failed = 0
    green = set()
    for patch in patches:
        try:
            problem = try_break(copy, patch, green)
        except RuntimeError as error:
            problem = str(error)
        print(f"found  {patch.stem}" if problem is None else f"FAILED {patch.stem}: {problem}", flush=True)
        passed, failed = passed + (problem is None), failed + (problem is not None)
    return passed, failed


def main():
    parser = argparse.ArgumentParser(prog="./dev breaks")
    parser.add_argument("name", nargs="?", default="", help="only patches whose name contains this")
    options = parser.parse_args()
    patches = [patch for patch in sorted((ROOT / "tests" / "breaks").glob("*.patch")) if options.name in patch.name]
    if not patches:
        print(f"FAILED no patch in tests/breaks has '{options.name}' in its name\n0 passed, 1 failed")
        sys.exit(1)
    scratch = tempfile.mkdtemp(prefix="thole-breaks-")
    copy = Path(scratch) / "thole"
    # What stands in the working tree, committed or not; files that git does not know yet are left out.
    git("worktree", "add", "-q", "--detach", str(copy), git("stash", "create") or "HEAD")
    try:
        if (ROOT / ".venv").exists():
            (copy / ".venv").symlink_to(ROOT / ".venv")
        passed, failed = run_all(patches, copy)
    finally:
        git("worktree", "remove", "--force", str(copy))
        Path(scratch).rmdir()
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
