"""Requests that others labelled, as bytes: http-desync-guardian's YAML and llhttp's Markdown, read where they lie
($THOLE_TEST_DATA, else ../shared/data beside the project). Their form is fixed, so a few lines read it."""
import os
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
LETTERS = {"r": "\r", "n": "\n", "t": "\t", "f": "\f"}
BODY_MAX = 100_000


@dataclass
class Case:
    name: str
    label: str  # compliant, acceptable, ambiguous, severe; of llhttp's: accepted, error.
    text: bytes


def folder(name):
    return Path(os.environ.get("THOLE_TEST_DATA", ROOT.parent / "shared" / "data")) / name


def unescaped(text, more=""):
    """\\r \\n \\t \\f \\xHH, and a backslash before any of `more`; other backslashes stay."""
    def one(found):
        after = found.group(1)
        if after in LETTERS:
            return LETTERS[after]
        if len(after) == 3:
            return chr(int(after[1:], 16))
        return after if after in more else "\\" + after
    return re.sub(r"\\(x[0-9a-fA-F]{2}|.)", one, text, flags=re.S)


def scalar(text):
    text = text.strip(" \t\r")
    if len(text) >= 2 and text[0] == '"':
        return unescaped(text[1:-1], '"\\')
    if len(text) >= 2 and text[0] == "'":
        return text[1:-1].replace("''", "'")
    return text


def body_for(fields):
    """They have heads alone: what a server would wait for behind one."""
    if any("chunked" in value.lower() for name, value in fields if "transfer-encoding" in name.lower()):
        return b"5\r\nhello\r\n0\r\n\r\n"
    for name, value in fields:
        if name.lower() == "content-length" and value.strip().isdecimal() and int(value) <= BODY_MAX:
            return b"x" * int(value)
    return b""


def encoded(text):
    """As it stands in their files: bytes by number, all else as UTF-8."""
    return b"".join(bytes([ord(c)]) if ord(c) < 256 else c.encode() for c in text)


def desync_guardian():
    cases, fields, said = [], [], {}

    def finish():
        if not said:
            return
        # They test framing and leave Host out; its absence has a rule of its own.
        named = fields if any(name.lower() == "host" for name, _ in fields) else fields + [("Host", "localhost")]
        head = f"{said['method']} {said['uri']}" + (f" {said['version']}" if said["version"] else "") + "\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in named) + "\r\n"
        cases.append(Case(said["name"], said["tier"].lower(), encoded(head) + body_for(fields)))

    for file in sorted(folder("http-desync-guardian").rglob("*.yaml")):
        for line in file.read_text(encoding="utf-8").split("\n"):
            if line.startswith("- name:"):
                finish()
                fields, said = [], {"name": f"{file.stem}: {scalar(line[7:])}", "version": ""}
            elif found := re.match(r"  (uri|method|version):(.*)", line):
                said[found[1]] = scalar(found[2])
            elif found := re.match(r"    tier:(.*)", line):
                said["tier"] = scalar(found[1])
            elif found := re.match(r"    - name:(.*)", line):
                fields.append((scalar(found[1]), ""))
            elif found := re.match(r"      value:(.*)", line):
                fields[-1] = (fields[-1][0], scalar(found[1]))
        finish()
        said = {}
    return cases


def wire_text(lines):
    """As their fixture reads it: lines end in CRLF but the last, and a backslash at an end joins two."""
    text = ""
    for at, line in enumerate(lines):
        joined = line.endswith("\\")
        text += unescaped(line[:-1] if joined else line) + ("" if joined or at + 1 == len(lines) else "\r\n")
    return encoded(text)


def with_host(text):
    """Their requests mostly lack Host: put behind each request line where there is none at all."""
    if re.search(rb"\nhost:", text, re.I):
        return text
    return re.sub(rb" HTTP/1\.[01]\r\n", lambda found: found[0] + b"Host: localhost\r\n", text)


def llhttp(kind):
    """kind: request or response. Those for their lenient modes, too."""
    cases, title, is_wanted, shown, into = [], "", False, [], None
    for file in sorted(folder("llhttp").rglob("*.md")):
        for line in file.read_text(encoding="utf-8").split("\n"):
            if into is not None and line == "```":
                if into == "log" and is_wanted:
                    label = "error" if any("error code=" in said for said in log) else "accepted"
                    cases.append(Case(f"{file.stem}: {title}", label, wire_text(shown)))
                into = None
            elif into is not None:
                (shown if into == "http" else log).append(line)
            elif line in ("```http", "```log"):
                into = line[3:]
                shown, log = ([], []) if into == "http" else (shown, [])
            elif line.startswith("#"):
                title = line.strip("# ")
            elif found := re.search(r'"type":\s*"(\w+)', line):
                is_wanted = found[1] == kind
    return cases
