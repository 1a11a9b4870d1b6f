#!/usr/bin/env python3
"""What of our style a script can tell. Each rule is a function from a path and its text to findings; RULES lists them.

Exceptions stand in tools/tidy-allow.tsv: rule, path, reason. One that nothing needs any more is itself a finding.
tools/tidy_test.py shows for each rule what it finds and what it leaves alone. It reads tokens, not meaning: where a
rule would need to understand C++, it looks for the form that our layout gives it.
"""
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# What a folder of src/ stands on, besides itself: these, and what they stand on. ARCHITECTURE.md draws it.
STANDS_ON = {
    "base": [],
    "env": ["base"],
    "os": ["env"],
    "sim": ["env"],
    "model": ["base"],
    "wire": ["model"],
    "http": ["base"],
    "web": ["http", "env"],
    "manifest": ["model"],
    "health": ["model"],
    "recovery": ["model"],
    "deploy": ["model"],
    "scale": ["model"],
    "chaos": ["model"],
    "platform": ["web", "wire", "model"],
    "telemetry": ["web", "wire", "model"],
    "events": ["web", "wire", "model"],
    "security": ["web", "model"],
    "keeper": ["os", "wire"],
    "edge": ["os", "http", "wire", "model"],
    "control": ["web", "wire", "manifest", "health", "recovery", "deploy", "scale", "chaos", "platform", "telemetry",
                "events", "security"],
    "cli": ["web", "model"],
    "app": ["os", "keeper", "edge", "control", "cli"],
}
ON_THE_KERNEL = {"os", "keeper", "edge", "app"}  # May use clocks, sockets, files and processes as they are.
MAY_HAVE_THREADS = {"os", "edge", "app"}
REPLAYED = {"control", "sim", "health", "recovery", "deploy", "scale", "chaos", "platform"}  # Same seed, same steps.

COLUMNS_MAX, HEADER_LINES_MAX, SOURCE_LINES_MAX, FUNCTION_LINES_MAX, PARAMETERS_MAX = 100, 150, 500, 70, 4

BANNED_OFF_THE_KERNEL = [  # (pattern, what instead)
    (r"\b(system|steady|high_resolution)_clock\b|\bclock_gettime\b|\bgettimeofday\b|\bstd::time\(|(?<!\w)::time\(",
     "time comes through env::Clock"),
    (r"\bsleep_(for|until)\b|\b(usleep|nanosleep|clock_nanosleep)\(|(?<!\w)::sleep\(", "waiting is a timer of env::Timers"),
    (r"\bgetenv\(", "settings are passed in"),
    (r"#include <(fstream|filesystem)>|\bfopen\(|(?<!\w)::open\(", "files come through env::Files"),
    (r"(?<!\w)::socket\(|#include <(sys/socket|netinet/\w+|arpa/inet|sys/epoll)\.h>", "sockets come through env::Network"),
    (r"\b(vfork|fork|popen|system)\(|\bposix_spawn|\bexecv\w*\(", "processes come through env::Processes"),
]
BANNED_IN_SRC = [
    (r"(std::|(?<!\w)::|[=(,{;] *)(s?rand|random|drand48)\(|\brandom_device\b|\bmt19937", "chance comes through base/random.h"),
    (r"\b\w+_distribution\b", "std distributions differ between libraries: base/random.h"),
    (r"#include <(iostream|regex|ranges|gmock/.*|nlohmann/.*|asio.*)>", "too dear to compile, or a mock of our own"),
    (r"\bthrow\b", "no exception crosses a function: Result"),
    (r"\b(ato[ifl]|atoll|strto[ld]\w*|sscanf|stoi|stol|stoul|stod)\(", "half-read numbers: base/parse.h"),
    (r"(?<![\w_])assert\(|#include <cassert>", "CHECK stays on in production"),
    (r"\b(std::co_\w+|co_await|co_return|co_yield)\b", "no coroutines on this compiler"),
]
BANNED_IN_HEADERS = [
    (r"#include <(fmt/.*|filesystem|fstream|simdjson|yaml|sqlite3|openssl/.*|CLI/.*)(\.h|\.hpp)?>",
     "too dear in a header, or a library that hides behind one"),
]
# One word for one thing; ARCHITECTURE.md has the glossary.
SYNONYMS = {
    "replica": "instance", "deployment": "deploy", "rollout": "deploy, or rolling replacement",
    "backend": "endpoint", "microservice": "service", "outage": "incident", "healthcheck": "probe",
    "blacklist": "say what is refused", "whitelist": "say what is allowed",
}
NAMES_THAT_SAY_NOTHING = r"(^|_)(utils?|helpers?|common|manager|impl|misc|stuff)(_|$)"


# --- Reading C++ ---------------------------------------------------------------------------------

def blank(match):
    """Nothing but the line ends, so that line numbers stay."""
    return "\n" * match.group().count("\n")


TOKENS = re.compile(
    r'(?P<comment>//[^\n]*|/\*.*?\*/)'
    r'|(?P<raw>R"(?P<tag>[^(\n]*)\(.*?\)(?P=tag)")'
    r'|(?P<include>^[ \t]*#[ \t]*include[^\n]*)'
    r'|(?P<string>"(?:\\.|[^"\\\n])*")'
    r"|(?P<character>(?<![0-9A-Za-z_])'(?:\\[^\n]|[^'\\\n])[^'\n]*')", re.S | re.M)


def code_of(text):
    """The text without comments and without what stands in quotes; every line keeps its number."""
    def replace(match):
        if match.group("include"):
            return match.group()
        if match.group("comment"):
            return blank(match)
        return '""' + blank(match)
    return TOKENS.sub(replace, text)


def without_macros(code):
    """Preprocessor lines out, too: their braces need not pair."""
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", blank, code, flags=re.M)


NOT_A_FUNCTION = re.compile(r"^(namespace|class|struct|union|enum|extern|if|for|while|switch|else|do|try|catch)\b")


def opens_block(before):
    """Whether a brace after this text opens a block; else it lists values: `x{`, `= {`, `({`, `return {`."""
    if not before or not before[-1].isspace():
        return not before
    return not re.search(r"([=,({\[<]|\breturn|\?)$", before.rstrip())


def braces(code):
    """Walks the code; yields (position, character, kind of the braces open, innermost last)."""
    stack = []
    for match in re.finditer(r"[{}()\[\];?]|\bTRY\(", code):
        character = match.group()
        if character == "{":
            stack.append(("block" if opens_block(code[max(0, match.start() - 200):match.start()]) else "list",
                          match.start()))
        elif character == "}" and stack:
            yield match.start(), character, stack
            stack.pop()
            continue
        yield match.start(), character, stack


def functions_of(code):
    """(first line, last line, what stands before the brace) of each function, lambdas inside them not counted."""
    code = without_macros(code)
    begin = 0  # Where what stands before the next brace begins.
    inside = None
    for position, character, stack in braces(code):
        depth = len(stack)
        if character == ";" and inside is None:
            begin = position + 1
        elif character == "{" and stack[-1][0] == "block" and inside is None:
            head = code[begin:position]
            plain = re.sub(r"^\s*((public|private|protected):\s*|template\s*<[^{}]*?>\s*(?=[\w\[]))*", "", head).strip()
            if "(" in plain and not NOT_A_FUNCTION.match(plain):
                start = begin + len(head.rstrip()) - len(plain)
                inside = (depth, code.count("\n", 0, start) + 1, plain)
            else:
                begin = position + 1
        elif character == "}" and stack[-1][0] == "block":
            if inside is not None and inside[0] == depth:
                yield inside[1], code.count("\n", 0, position) + 1, inside[2]
                inside = None
            if inside is None:
                begin = position + 1


def declarations_of(code):
    """(line, name, [parameters]) of what looks like a function declared or defined in a header."""
    for match in re.finditer(r"(\w+)\(((?:[^()]|\([^()]*\))*)\)\s*(?:const|noexcept|override|final|&|\s)*"
                             r"(?:= *(?:0|default|delete)\s*;|;|\{|:\s*\w)", without_macros(code)):
        flat, depth = "", 0
        for character in match.group(2):
            depth += (character in "<([{") - (character in ">)]}")
            flat += ";" if character == "," and depth == 0 else character
        parameters = [" ".join(part.split()) for part in flat.split(";") if part.strip()]
        yield code.count("\n", 0, match.start()) + 1, match.group(1), parameters


def folder_of(path):
    return path.parts[1] if len(path.parts) > 2 and path.parts[0] == "src" else ""


def is_test(path):
    return path.stem.endswith("_test") or path.parts[0] != "src"


# --- Rules: each yields (line, what is wrong) ----------------------------------------------------

def check_layout(path, text):
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > COLUMNS_MAX:
            yield number, f"{len(line)} columns, at most {COLUMNS_MAX}"
        if "\t" in line or line != line.rstrip():
            yield number, "a tab, or blanks at the end"


def check_file_length(path, text):
    lines = text.count("\n")
    most = HEADER_LINES_MAX if path.suffix == ".h" else SOURCE_LINES_MAX
    if path.as_posix().endswith("src/model/defaults.h"):  # A table, in one place.
        most = SOURCE_LINES_MAX
    if lines > most:
        yield 1, f"{lines} lines, at most {most}"


def check_function_length(path, text):
    for first, last, _ in functions_of(code_of(text)):
        if last - first + 1 > FUNCTION_LINES_MAX:
            yield first, f"a function of {last - first + 1} lines, at most {FUNCTION_LINES_MAX}"


def check_header(path, text):
    if path.suffix != ".h":
        return
    if not re.match(r"// ?[\w`]", text):
        yield 1, "a header opens with what it is for"
    if "#pragma once" not in text:
        yield 1, "#pragma once"


def check_direction(path, text):
    folder = folder_of(path)
    if not folder:
        return
    if folder not in STANDS_ON:
        yield 1, f"the folder {folder} stands in no table: STANDS_ON in tools/tidy.py, and ARCHITECTURE.md"
        return
    below = reachable(folder)
    if is_test(path):
        below |= reachable("os") | reachable("sim")  # A test brings the outside along: the real one, or one from a seed.
    for number, line in enumerate(text.split("\n"), 1):
        match = re.match(r'\s*#\s*include "(\w+)/', line)
        if match and match.group(1) not in below:
            yield number, f"{folder}/ may not include {match.group(1)}/"
        elif re.match(r'\s*#\s*include "[^/"]+"', line):
            yield number, 'write the folder, too: #include "base/result.h"'


def reachable(folder):
    found, waiting = set(), [folder]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += STANDS_ON[name]
    return found


def check_banned(path, text):
    folder = folder_of(path)
    banned = []
    if folder:
        banned += BANNED_IN_SRC
        if folder not in ON_THE_KERNEL and not is_test(path):
            banned += BANNED_OFF_THE_KERNEL
    if path.suffix == ".h" and folder:
        banned += BANNED_IN_HEADERS
    if is_test(path):
        banned += [(r"\bsleep_(for|until)\b|\b(usleep|nanosleep)\(|(?<!\w)::sleep\(", "a test waits for a condition"),
                   (r"gmock", "no mocks of our own classes")]
    for number, line in enumerate(code_of(text).split("\n"), 1):
        for pattern, instead in banned:
            if re.search(pattern, line):
                yield number, f"'{line.strip()[:60]}': {instead}"


def check_threads(path, text):
    if folder_of(path) in MAY_HAVE_THREADS | {""} or is_test(path):
        return
    for number, line in enumerate(code_of(text).split("\n"), 1):
        if re.search(r"\bstd::(jthread|thread|async)\b|\bpthread_create\b", line):
            yield number, "threads are os/'s, app/'s and edge/'s business"


def check_locks(path, text):
    if folder_of(path) in ("", "os") or is_test(path):
        return
    for number, line in enumerate(code_of(text).split("\n"), 1):
        if re.search(r"\bstd::(\w*mutex|condition_variable\w*|lock_guard|unique_lock|scoped_lock)\b", line):
            yield number, "locks are os/'s business, and the queue's in base/: one thread owns each object"


def check_replay(path, text):
    """Hash order and addresses differ from run to run; what a simulation replays may depend on neither."""
    if folder_of(path) not in REPLAYED or is_test(path):
        return
    code = code_of(text)
    header = ROOT / path.with_suffix(".h")
    known = code + (code_of(header.read_text()) if path.suffix == ".cpp" and header.exists() else "")
    unordered = set(re.findall(r"unordered_(?:map|set)<[^;{}()]*>\s+(\w+)\s*[;{=,)]", known))
    for number, line in enumerate(code.split("\n"), 1):
        match = re.search(r"\bfor \([^;]*:\s*(?:\w+(?:\.|->))*(\w+)\)|\b(\w+)\.begin\(\)", line)
        if match and (match.group(1) or match.group(2)) in unordered:
            yield number, "goes through a container in the order of its hashes"
        if re.search(r"\bstd::(map|set)<(const )?\w+(::\w+)*\s*\*", line):
            yield number, "orders by address"


def check_try(path, text):
    code = without_macros(code_of(text))
    begin = 0
    asked = False
    for position, character, stack in braces(code):
        is_block = not stack or stack[-1][0] == "block"
        if character in "{};" and (character == ";" or is_block):
            begin, asked = position, False
        elif character == "?":
            asked = True
        elif character == "TRY(":
            line = code.count("\n", 0, position) + 1
            if not is_block:
                yield line, "TRY inside braces skips destructors of what was built there"
            elif asked:
                yield line, "TRY inside ?: skips destructors of what was built there"
            elif re.search(r"\bco_\w+", code[begin:position]):
                yield line, "TRY and coroutines do not mix"


def check_bool_parameters(path, text):
    if path.suffix != ".h" or not folder_of(path):
        return
    for number, name, parameters in declarations_of(code_of(text)):
        for parameter in parameters:
            # `value(bool value)`: the truth is the datum itself.
            if re.match(r"(const )?bool( \w+)?( = \w+)?$", parameter) and \
                    not (len(parameters) == 1 and re.search(r"\b(value|truth)$", parameter)):
                yield number, f"{name}({parameter}) says nothing where it is called: an enum"


def check_parameters(path, text):
    if path.suffix != ".h" or not folder_of(path):
        return
    for number, name, parameters in declarations_of(code_of(text)):
        if len(parameters) > PARAMETERS_MAX:
            yield number, f"{name} has {len(parameters)} parameters, at most {PARAMETERS_MAX}: a struct"


def check_todo(path, text):
    for number, line in enumerate(text.split("\n"), 1):
        if re.search(r"\b(TODO|FIXME|XXX|HACK)\b(?!\(#\d+\))", line):
            yield number, "a TODO has the number of an issue, as TODO(#12), or is not there"


def check_words(path, text):
    if not folder_of(path):
        return
    for number, line in enumerate(text.split("\n"), 1):
        for found in re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", line).lower()):
            word = found[:-1] if found.endswith("s") else found
            if word in SYNONYMS:
                yield number, f"'{found}' is called otherwise here: {SYNONYMS[word]}"


def check_file_name(path, text):
    for part in (path.stem, *path.parent.parts):
        if re.search(NAMES_THAT_SAY_NOTHING, part):
            yield 1, f"'{part}' says nothing of what is in it"
    if path.parts[0] == "src" and path.suffix in (".cpp", ".h") and not re.fullmatch(r"[a-z][a-z0-9_]*", path.stem):
        yield 1, "files are named in snake_case"


def check_sleep(path, text):
    """Waiting for a condition with a deadline is one function of the tests' kit, and its pause is called POLL."""
    banned = r"\btime\.sleep\b" if path.name.startswith("test_") else r"\bsleep\((?!(wire\.)?POLL)"
    found = re.search(banned, text)
    if found:
        yield text[:found.start()].count("\n") + 1, "a sleep: wait for a condition"


def check_machine_paths(path, text):
    for number, line in enumerate(text.split("\n"), 1):
        if re.search(r"(?<![\w.$}/-])/(home|root|Users|work)/\w", line):
            yield number, "a path that only one machine has"


CODE_RULES = {
    "layout": check_layout, "file_length": check_file_length, "function_length": check_function_length,
    "header": check_header, "direction": check_direction, "banned": check_banned, "threads": check_threads,
    "locks": check_locks, "replay": check_replay, "try": check_try, "bool": check_bool_parameters,
    "parameters": check_parameters, "words": check_words,
}
TEXT_RULES = {"todo": check_todo, "machine_paths": check_machine_paths, "file_name": check_file_name}
RULES = {**CODE_RULES, **TEXT_RULES, "sleep": check_sleep}


# --- Running them --------------------------------------------------------------------------------

def rules_for(path):
    rules = dict(TEXT_RULES)
    if path.suffix in (".cpp", ".h") and path.parts[0] != "examples":
        rules.update(CODE_RULES)
    if path.suffix == ".py" and path.parts[:2] == ("tests", "integration"):
        rules["sleep"] = check_sleep
    return rules


def findings_of(path, text):
    """All findings in one file as (rule, line, what)."""
    for rule, check in rules_for(path).items():
        for line, what in check(path, text):
            yield rule, line, what


def tracked(*patterns):
    """Files that git lists or would list."""
    found = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard", "--", *patterns],
                           cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    return [Path(name) for name in sorted(set(found)) if name and (ROOT / name).is_file()]


def read_allowed():
    allowed = {}
    for line in (ROOT / "tools" / "tidy-allow.tsv").read_text().split("\n"):
        if line and not line.startswith("#"):
            rule, name, reason = line.split("\t")
            allowed[(rule, name)] = reason
    return allowed


TEXT_SUFFIXES = {".cpp", ".h", ".py", ".go", ".md", ".sh", ".ts", ".js", ".cmake", ".txt", ".tsv", ".json", ".yaml", ""}


def tidy():
    """(files looked at, findings as lines of text)."""
    allowed, used, said = read_allowed(), set(), []
    files = [path for path in tracked() if path.suffix in TEXT_SUFFIXES and path.name != "package-lock.json"]
    for path in files:
        for rule, line, what in findings_of(path, (ROOT / path).read_text(errors="replace")):
            if (rule, str(path)) in allowed:
                used.add((rule, str(path)))
            else:
                said.append(f"{path}:{line}: {what} [{rule}]")
    said += [f"tools/tidy-allow.tsv: '{rule} {name}' is not needed any more" for rule, name in set(allowed) - used]
    return files, said
