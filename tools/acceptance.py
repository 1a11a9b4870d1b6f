#!/usr/bin/env python3
"""Checks that tests/acceptance.tsv says the truth: each row of the acceptance lists is there, each test it names exists.

The lists themselves are no part of this repository; tests/acceptance-ids.txt is a copy of their rows' ids. Run with a
folder of lists it checks that copy, too (a row of a list begins `| H1 |`, `12. ` or `E3 `).
"""
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from tidy import ROOT, tracked  # noqa: E402

WHERE = ("gate", "full", "machine")


def ids_of_list(name, text):
    """Ids of one list's rows. Numbered rows are told apart by the list's name."""
    for line in text.split("\n"):
        match = re.match(r"\| *([HD]\d+) *\||(\d+)\. |([EUSI]\d+) ", line)
        if match:
            yield f"{name}.{match.group(2)}" if match.group(2) else match.group(1) or match.group(3)


def tests_of(path, text):
    """Names of the tests in one file: Suite.Name, test_name or TestName."""
    if path.suffix == ".cpp":
        return {".".join(found) for found in re.findall(r"^TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\s*\)", text, re.M)}
    if path.suffix == ".py":
        return set(re.findall(r"^\s*(?:async )?def (test_\w+)\(", text, re.M))
    if path.suffix == ".go":
        return set(re.findall(r"^func (Test\w+)\(", text, re.M))
    return set(re.findall(r"^# test: (\w+)", text, re.M))  # A script says what it proves.


def problems(ids, table, tests):
    """What is wrong with the table, as lines of text."""
    rows = set()
    for number, line in enumerate(table.split("\n"), 1):
        if not line or line.startswith("#"):
            continue
        place = f"tests/acceptance.tsv:{number}"
        fields = line.split("\t")
        if fields[0] in rows:
            yield f"{place}: {fields[0]} is there twice"
        rows.add(fields[0])
        if fields[0] not in ids:
            yield f"{place}: there is no row {fields[0]}"
        if len(fields) == 2 and fields[1] == "later":
            continue
        if len(fields) != 3 or fields[1] not in WHERE:
            yield f"{place}: row, {' | '.join(WHERE)}, tests; or row, later"
            continue
        for name in fields[2].split(", "):
            if name not in tests:
                yield f"{place}: {fields[0]} names the test {name}, which does not exist"
    for row in ids:
        if row not in rows:
            yield f"tests/acceptance.tsv: the row {row} is missing"


def check():
    ids = (ROOT / "tests" / "acceptance-ids.txt").read_text().split()
    tests = set()
    for path in tracked("src/**/*_test.cpp", "tests"):
        if path.suffix in (".cpp", ".py", ".go", ".sh"):
            tests |= tests_of(path, (ROOT / path).read_text(errors="replace"))
    return list(problems(ids, (ROOT / "tests" / "acceptance.tsv").read_text(), tests))


def main():
    copy = ROOT / "tests" / "acceptance-ids.txt"
    listed = [row for path in sorted(Path(sys.argv[1]).glob("*.md")) if path.name != "README.md"
              for row in ids_of_list(path.stem, path.read_text())]
    if sys.argv[2:] == ["--write"]:
        copy.write_text("\n".join(listed) + "\n")
    elif copy.read_text().split() != listed:
        sys.exit(f"tests/acceptance-ids.txt differs from the lists: {set(copy.read_text().split()) ^ set(listed)}")


if __name__ == "__main__":
    main()
