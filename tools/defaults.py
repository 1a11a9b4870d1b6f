#!/usr/bin/env python3
"""Writes docs/reference/defaults.md from the constants in the code; `./dev lint` fails where the page is stale.

A constant's comment, above it or behind it, is its reason; what follows `Source:` is where the number comes from, and
where that is missing it was chosen here.
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = Path("docs/reference/defaults.md")
HEAD = """# Defaults and limits

Made by `tools/defaults.py` from the code, which is where to change them. Those that a manifest can set are in
[manifest.md](manifest.md). A number without a unit counts things.
"""
ALL = r"\w+"
# What is shown: a heading, a file, which of its constants.
SHOWN = [
    ("Services", "src/model/defaults.h", ALL),
    ("Services: builds", "src/control/builds.cpp", "kBuildLimit|kBuildsMax"),
    ("Services: starting and ending", "src/control/instances.cpp", "kPortFirst|kPortCount|kNoPortReady"),
    ("Services: starting and ending", "src/control/probe.cpp", "kPauseMin|kAnswerBytesMax"),
    ("Services: starting and ending", "src/recovery/leaving.cpp", "kCutLimit"),
    ("Requests: what is read", "src/http/head.h", "kHeadBytesMax|kTargetBytesMax|kMethodBytesMax|kFieldsMax"),
    ("Requests: what is read", "src/http/body.h", "kExtensionBytesMax|kTrailerBytesMax"),
    ("The edge", "src/edge/keepalive.h", ALL),
    ("The edge", "src/edge/worker.cpp", "kSweepNs"),
    ("The edge", "src/edge/endpoints.cpp", "kRefusedNs"),
    ("The edge", "src/edge/segment.h", "kDescriptorsMax|kRings|kRingBytes|kWorkers"),
    ("The edge", "src/edge/all_routes.h", "kListenersMax|kServicesMax"),
    ("The edge", "src/edge/counters.h", "kRoutesMax|kRouteIdleNs|kBrokenKept"),
    ("The manifest", "src/manifest/read.h", ALL),
    ("What services write", "src/keeper/spool.h", ALL),
    ("What services write", "src/control/spools.h", ALL),
    ("Roles of thole", "src/keeper/roles.h", ALL),
    ("Roles of thole", "src/keeper/role_table.cpp", "kSuccessorNs|kStarvedNs"),
    ("Roles of thole", "src/keeper/start.cpp", "kStartNs"),
    ("Roles of thole", "src/keeper/keeper.cpp", "kStopAllNs|kStopRolesNs"),
    ("Roles of thole", "src/app/keeper_guard.cpp", "kGoneNs|kStillNs"),
    ("Roles of thole", "src/wire/slots.h", "kSlotsMax"),
    ("What control keeps", "src/control/control.cpp", "kResync|kDownLinger"),
    ("What control keeps", "src/control/database.h", "kTimelineRowsMax"),
    ("What control keeps", "src/control/database.cpp", "kLogPagesMax"),
]
CONSTANT = re.compile(r"(?P<above>(?:^ *//.*\n)*)^ *(?:static )?constexpr [\w:]+ (?P<name>k\w+) =\s+(?P<value>[^;]+);"
                      r"(?: *// (?P<behind>.*))?$", re.M)
TIMES = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000}


def largest(number, units):
    """The number in the largest unit that leaves it whole."""
    name, size = [(name, size) for name, size in units if number % size == 0][-1]
    return f"{number // size} {name}"


def value_of(name, text):
    """A constant's value with its unit."""
    text = re.sub(r"std::chrono::(milliseconds|seconds)\((\d+)\)", lambda m: m[2] + {"m": "ms", "s": "s"}[m[1][0]], text)
    if time := re.fullmatch(r"(\d+)(ms|s|min|h)", text):
        return f"{time[1]} {time[2]}"
    number = eval(re.sub(r"(?<=\d)[UL]+", "", text.replace("'", "")), {})  # pylint: disable=eval-used
    if name.endswith("Ns"):
        return largest(number // 1_000_000, TIMES.items())
    if "Bytes" in name:
        return largest(number, [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)])
    return str(number)  # How many.


def rows_of(path, wanted):
    """(name, value, reason, source) of each wanted constant of a file, in its order."""
    for found in CONSTANT.finditer((ROOT / path).read_text()):
        if re.fullmatch(wanted, found["name"]):
            above = " ".join(line.strip()[2:].strip() for line in found["above"].splitlines())
            comment = " ".join(filter(None, (above, found["behind"])))
            reason, _, source = comment.partition("Source:")
            yield found["name"], value_of(found["name"], found["value"]), reason.strip(), source.strip().rstrip(".")


def make():
    """The page, and what is wrong in the code."""
    page, said, heading = HEAD, [], ""
    for title, path, wanted in SHOWN:
        rows = list(rows_of(path, wanted))
        missing = set() if wanted == ALL else set(wanted.split("|")) - {row[0] for row in rows}
        said += [f"{path}: tools/defaults.py does not find {name}" for name in sorted(missing)]
        said += [] if rows else [f"{path}: tools/defaults.py finds no constant"]
        said += [f"{path}: {row[0]} has no reason in its comment" for row in rows if not row[2]]
        if title != heading:
            page += f"\n## {title}\n\n| Name | Value | Reason | Source | File |\n|---|---|---|---|---|\n"
            heading = title
        page += "".join(f"| `{name}` | {value} | {reason} | {source or 'chosen here'} | `{path}` |\n"
                        for name, value, reason, source in rows)
    return page, said


def check():
    page, said = make()
    stale = not (ROOT / PAGE).exists() or (ROOT / PAGE).read_text() != page
    return said + ([f"{PAGE}: differs from the code: python3 tools/defaults.py"] if stale else [])


if __name__ == "__main__":
    text, problems = make()
    (ROOT / PAGE).write_text(text)
    sys.exit("\n".join(problems) or None)
