#!/usr/bin/env python3
"""All that a script can tell about code, tests and docs. `./dev lint` starts it; the last line counts its checks."""
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import acceptance  # noqa: E402
import defaults  # noqa: E402
import metrics  # noqa: E402
import tidy  # noqa: E402
from tidy import ROOT, tracked  # noqa: E402


def style():
    """tools/tidy.py over every file"""
    files, said = tidy.tidy()
    if not files:
        said.append("git lists no file here")
    wrong = len({line.split(":")[0] for line in said})
    return len(files) - wrong, said


def style_itself():
    """tools/*_test.py: the rules find what they must"""
    said, passed = [], 0
    for path in tracked("tools/*_test.py"):
        done = subprocess.run([sys.executable, str(path)], cwd=ROOT, check=False, capture_output=True, text=True)
        ran = re.search(r"^Ran (\d+) test", done.stderr, re.M)
        if done.returncode != 0 or not ran:
            said.append(f"{path}: {done.stderr[-3000:]}")
        else:
            passed += int(ran.group(1))
    return passed, said


def layout():
    """clang-format-14 has nothing to change"""
    files = [str(path) for path in tracked("*.cpp", "*.h")]
    if not files:
        return 0, ["there is no C++ here"]
    done = subprocess.run(["clang-format-14", "--dry-run", "--Werror", *files], cwd=ROOT, check=False,
                          capture_output=True, text=True)
    bad = sorted({line.split(":")[0] for line in done.stderr.split("\n") if "error:" in line})
    said = [f"{name}: ./dev format lays it out" for name in bad]
    if done.returncode != 0 and not said:
        said.append(done.stderr[-2000:])
    return len(files) - len(bad), said


def rows():
    """tests/acceptance.tsv names tests that exist"""
    said = acceptance.check()
    return (0 if said else 1), said


def dependencies():
    """docs/dependencies.md lists what we link, install and fetch"""
    text = (ROOT / "docs" / "dependencies.md").read_text()
    listed = set(re.findall(r"`([\w.+@/-]+)`", text))
    cmake = "\n".join((ROOT / path).read_text() for path in tracked("CMakeLists.txt", "cmake/*.cmake"))
    linked = set(re.findall(r"pkg_check_modules\(\w+ (?:REQUIRED |IMPORTED_TARGET )*([\w.+-]+)\)", cmake))
    linked |= set(re.findall(r"find_package\((\w+)", cmake)) - {"PkgConfig", "Threads"}
    table = re.search(r'^packages="\n(.*?)^"', (ROOT / "dev").read_text(), re.S | re.M).group(1)
    linked |= {line.split()[1] for line in table.splitlines() if line}
    linked |= {line.split("==")[0] for line in (ROOT / "tests" / "requirements.txt").read_text().split()}
    missing = sorted(linked - listed)
    return len(linked) - len(missing), [f"docs/dependencies.md: `{name}` is missing" for name in missing]


def limits():
    """docs/reference/defaults.md says what the code does"""
    said = defaults.check()
    return (0 if said else 1), said


def measures():
    """docs/reference/metrics.md says what the code does"""
    said = metrics.check()
    return (0 if said else 1), said


def links():
    """links between our pages lead somewhere"""
    passed, said = 0, []
    for path in tracked("*.md"):
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", (ROOT / path).read_text()):
            if re.match(r"[a-z]+:", target):
                continue
            if ((ROOT / path).parent / target).exists():
                passed += 1
            else:
                said.append(f"{path}: nothing is at {target}")
    return passed, said


def shell():
    """shell scripts parse"""
    passed, said = 0, []
    for path in [*tracked("*.sh"), Path("dev"), Path(".ci/run")]:
        done = subprocess.run(["bash", "-n", str(path)], cwd=ROOT, check=False, capture_output=True, text=True)
        passed, said = passed + (done.returncode == 0), said + ([done.stderr] if done.returncode else [])
    return passed, said


def main():
    passed = failed = 0
    for check in (style, style_itself, layout, rows, dependencies, limits, measures, links, shell):
        good, said = check()
        for line in said:
            print(line)
        passed, failed = passed + good, failed + len(said)
        print(f"{check.__name__:<13} {good} passed, {len(said)} failed: {check.__doc__}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
