#!/usr/bin/env python3
"""What of our style a script can tell. Each rule is a function from a file to findings; RULES lists them.

Exceptions stand in tools/tidy-allow.tsv: rule, path, reason. One that nothing needs any more is itself a finding.
"""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Which folders of src/ a folder may include, besides itself.
MAY_INCLUDE = {
    "base": set(),
    "env": {"base"},
    "os": {"base", "env"},
    "sim": {"base", "env"},
    "model": {"base"},
    "wire": {"base", "model"},
    "http": {"base"},
    "web": {"base", "env", "http"},
    "manifest": {"base", "model"},
    "recovery": {"base", "model"},
    "deploy": {"base", "model"},
    "keeper": {"base", "os", "env", "wire"},
    "edge": {"base", "os", "env", "http", "wire", "model"},
    "control": {"base", "env", "model", "wire", "http", "web", "manifest", "recovery", "deploy", "platform"},
    "platform": {"base", "env", "model", "wire", "http", "web"},
    "cli": {"base", "env", "http", "web", "model"},
    "app": {"base", "env", "os", "model", "wire", "http", "web", "manifest", "recovery", "deploy", "platform",
            "keeper", "edge", "control", "cli"},
}
ON_THE_KERNEL = {"os", "keeper", "edge", "app"}

LINE_MAX, HEADER_MAX, SOURCE_MAX = 100, 200, 500

BANNED_CALLS = [  # (pattern, what instead)
    (r"\bsystem_clock\b|\bsteady_clock\b|\bclock_gettime\b|\bgettimeofday\b", "time comes through env::Clock"),
    (r"\bsleep_for\b|\bsleep_until\b|\busleep\(|\bnanosleep\(", "waiting is a timer"),
    (r"\brand\(|\bsrand\(|\brandom_device\b|\bmt19937", "chance comes through base/random.h"),
    (r"\bgetenv\(", "settings are passed in"),
    (r"#include <(fstream|filesystem)>", "files come through env::Files"),
    (r"::socket\(|#include <sys/socket\.h>", "sockets come through env::Network"),
    (r"\bfork\(|\bvfork\(|\bposix_spawn", "keeper starts processes"),
]
BANNED_EVERYWHERE = [
    (r"uniform_(int|real)_distribution|normal_distribution", "std distributions differ between libraries"),
    (r"#include <(iostream|regex|ranges)>", "too dear to compile"),
    (r"\bgmock\b", "no mocks of our own classes"),
]
BANNED_IN_HEADERS = [
    (r"#include <(fmt/|filesystem|regex|iostream|ranges)", "not in a header"),
    (r"#include <(simdjson|yaml|sqlite3|CLI/)", "libraries hide behind a plain header"),
]


def tracked(*patterns):
    found = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", *patterns], cwd=ROOT,
                           capture_output=True, text=True, check=True).stdout.split("\n")
    return [Path(name) for name in found if name and (ROOT / name).exists()]


def without_comments(text):
    text = re.sub(r"//[^\n]*", "", text)
    return re.sub(r"/\*.*?\*/", lambda match: "\n" * match.group().count("\n"), text, flags=re.S)


def folder_of(path):
    return path.parts[1] if len(path.parts) > 2 and path.parts[0] == "src" else ""


def is_test(path):
    return path.stem.endswith("_test") or path.parts[0] in ("tests", "fuzz", "bench", "examples")


def check_length(path, text):
    lines = text.count("\n")
    most = HEADER_MAX if path.suffix == ".h" else SOURCE_MAX
    if not is_test(path) and lines > most:
        yield 0, f"{lines} lines, at most {most}"
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > LINE_MAX:
            yield number, f"{len(line)} columns, at most {LINE_MAX}"
        if "\t" in line or line != line.rstrip():
            yield number, "a tab, or blanks at the end"


def check_purpose(path, text):
    if path.suffix == ".h" and not text.startswith("// "):
        yield 1, "a header opens with what it is for"


def check_includes(path, text):
    folder = folder_of(path)
    if not folder:
        return
    if folder not in MAY_INCLUDE:
        yield 1, f"the folder {folder} stands in no table: tools/tidy.py, ARCHITECTURE.md"
        return
    for number, line in enumerate(text.split("\n"), 1):
        match = re.match(r'#include "([a-z]+)/', line)
        if match and match.group(1) != folder and match.group(1) not in MAY_INCLUDE[folder]:
            yield number, f"{folder}/ may not include {match.group(1)}/"


def check_banned(path, text):
    code = without_comments(text)
    banned = list(BANNED_EVERYWHERE)
    if folder_of(path) and folder_of(path) not in ON_THE_KERNEL and not is_test(path):
        banned += BANNED_CALLS
    if path.suffix == ".h":
        banned += BANNED_IN_HEADERS
    for number, line in enumerate(code.split("\n"), 1):
        for pattern, instead in banned:
            if re.search(pattern, line):
                yield number, f"'{line.strip()[:60]}': {instead}"


def check_threads(path, text):
    if folder_of(path) in ("", "os", "app", "edge") or is_test(path):
        return
    for number, line in enumerate(without_comments(text).split("\n"), 1):
        if re.search(r"std::(thread|mutex|condition_variable)\b", line):
            yield number, "threads and locks are os/'s business"


def check_try(path, text):
    for number, line in enumerate(without_comments(text).split("\n"), 1):
        if re.search(r"\{[^{}()]*\bTRY\(", line) and not re.search(r"\{\s*$", line.split("TRY(")[0]):
            yield number, "TRY inside braces skips destructors"


def check_bool_parameters(path, text):
    if path.suffix != ".h" or folder_of(path) == "":
        return
    for number, line in enumerate(without_comments(text).split("\n"), 1):
        if re.search(r"\w\((?:[^()]*,\s*)?(?:const )?bool \w+[,)]", line) and "explicit" not in line:
            if not re.search(r"\b(value|Json)\(bool", line):
                yield number, "a bool parameter says nothing where it is called: an enum"


def check_todo(path, text):
    for number, line in enumerate(text.split("\n"), 1):
        if re.search(r"\b(TODO|FIXME|XXX|HACK)\b(?!\(#\d+\))", line):
            yield number, "TODO with the number of an issue, as TODO(#12), or not at all"


RULES = {
    "length": check_length, "purpose": check_purpose, "includes": check_includes, "banned": check_banned,
    "threads": check_threads, "try": check_try, "bool": check_bool_parameters, "todo": check_todo,
}


def read_allowed():
    path = ROOT / "tools" / "tidy-allow.tsv"
    allowed = {}
    if path.exists():
        for line in path.read_text().split("\n"):
            if line and not line.startswith("#"):
                rule, name, reason = line.split("\t")
                allowed[(rule, name)] = reason
    return allowed


def findings_of(path, text):
    for rule, check in RULES.items():
        for line, what in check(path, text):
            yield rule, line, what


def check_acceptance():
    """Each row of the acceptance lists stands in tests/acceptance.tsv, and the test it names is there."""
    ids = (ROOT / "tests" / "acceptance-ids.txt").read_text().split()
    rows = {}
    for line in (ROOT / "tests" / "acceptance.tsv").read_text().split("\n"):
        if line and not line.startswith("#"):
            row, where, test = line.split("\t")
            rows[row] = (where, test)
    sources = "\n".join((ROOT / name).read_text(errors="replace")
                        for name in tracked("*_test.cpp", "tests/**/*.py", "tests/**/*.go"))
    for row in ids:
        if row not in rows:
            yield f"tests/acceptance.tsv: the row {row} is missing"
    for row, (where, test) in rows.items():
        if row not in ids:
            yield f"tests/acceptance.tsv: there is no row {row}"
        if test != "later" and (where not in ("gate", "full", "machine") or test.split(".")[-1] not in sources):
            yield f"tests/acceptance.tsv: {row} names '{test}' ({where}), which is not there"


def main():
    passed, failed = 0, 0
    allowed = read_allowed()
    used = set()
    for path in tracked("*.cpp", "*.h", "*.py"):
        if path.suffix == ".py" and path.parts[0] != "tests":
            continue
        bad = False
        text = (ROOT / path).read_text(errors="replace")
        for rule, line, what in findings_of(path, text) if path.suffix != ".py" else ():
            if (rule, str(path)) in allowed:
                used.add((rule, str(path)))
                continue
            print(f"{path}:{line}: {what} [{rule}]")
            bad = True
        if path.suffix == ".py" and re.search(r"time\.sleep\((?!POLL)", text):
            print(f"{path}: a sleep: wait for a condition with a deadline [sleep]")
            bad = True
        passed, failed = passed + (not bad), failed + bad
    for rule, name in set(allowed) - used:
        print(f"tools/tidy-allow.tsv: {rule} {name} is not needed any more")
        failed += 1
    if (ROOT / "tests" / "acceptance.tsv").exists():
        wrong = list(check_acceptance())
        print("\n".join(wrong), end="\n" if wrong else "")
        passed, failed = passed + (not wrong), failed + len(wrong)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
