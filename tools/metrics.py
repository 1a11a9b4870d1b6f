#!/usr/bin/env python3
"""Writes docs/reference/metrics.md from the table in the code; `./dev lint` fails where the page is stale."""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = Path("docs/reference/metrics.md")
TABLE = Path("src/control/metrics_table.h")
HEAD = Path("tools/metrics_head.md")
METRIC = re.compile(r'^constexpr Metric k\w+\{\s*"(?P<name>\w+)",\s*MetricKind::(?P<kind>\w+),\s*"(?P<labels>[\w ]*)",'
                    r'\s*"(?P<help>[^"]+)"\};|^// (?P<heading>.*)\n\n', re.M)


def make():
    """The page, and what is wrong in the code."""
    text = (ROOT / TABLE).read_text()
    page, found = (ROOT / HEAD).read_text(), 0
    for metric in METRIC.finditer(text):
        if metric["heading"]:
            page += f"\n{metric['heading']}\n\n| Name | Type | Labels | |\n|---|---|---|---|\n"
            continue
        found += 1
        name = metric["name"] + ("_total" if metric["kind"] == "Counter" else "")
        labels = ", ".join(f"`{label}`" for label in metric["labels"].split())
        page += f"| `{name}` | {metric['kind'].lower()} | {labels} | {metric['help']} |\n"
    known = text.count("constexpr Metric ")
    return page, [] if found == known else [f"{TABLE}: tools/metrics.py reads {found} of {known} metrics"]


def check():
    page, said = make()
    stale = not (ROOT / PAGE).exists() or (ROOT / PAGE).read_text() != page
    return said + ([f"{PAGE}: differs from the code: python3 tools/metrics.py"] if stale else [])


if __name__ == "__main__":
    made, problems = make()
    (ROOT / PAGE).write_text(made)
    sys.exit("\n".join(problems) or None)
