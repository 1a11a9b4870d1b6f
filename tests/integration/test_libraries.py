"""The libraries that keeper and edge may load: what they map is what can be wrong in them, and what they weigh."""
import os
import re
import subprocess
from pathlib import Path

from conftest import BINARIES
from edge_stand import stand  # pylint: disable=unused-import

# Each with the reason why it is there. Another line is a decision: docs/dependencies.md says what a library needs to come in.
EDGE_MAY_LOAD = {
    "libc.so.6": "the system; threads, too",
    "libstdc++.so.6": "the language's own library",
    "libgcc_s.so.1": "comes with libstdc++: unwinds the stack",
    "libm.so.6": "comes with libstdc++",
    "libfmt.so.9": "the text of errors and of what goes into the log",
}


def run(*command):
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)


def libraries(names):
    """Without the kernel's part and the loader, which are no choice of ours."""
    found = [re.match(r"(.+\.so\.\d+)", name) for name in names]
    return {each[1] for each in found if each and not each[1].startswith(("linux-vdso", "ld-linux"))}


def mapped(pid):
    """Names of all libraries in a process's memory."""
    lines = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines()
    return libraries({line.rpartition("/")[2] for line in lines if "/" in line})


def test_keeper_loads_no_library():
    """What keeper loads it would have to find again at a moment when the disk may be gone."""
    keeper = BINARIES / "lib/thole/keeper"
    said = run("readelf", "--wide", "--program-headers", "--dynamic", keeper)
    assert said.returncode == 0, said.stderr
    assert "LOAD" in said.stdout and "INTERP" not in said.stdout and "(NEEDED)" not in said.stdout, said.stdout


def test_edge_loads_what_is_listed_and_nothing_else():
    """A library more in the data plane must be somebody's decision, not what a target happened to link."""
    said = run("ldd", BINARIES / "lib/thole/edge")
    assert said.returncode == 0, said.stderr
    assert libraries({line.split()[0].rpartition("/")[2] for line in said.stdout.splitlines()}) == set(EDGE_MAY_LOAD)


def test_what_serves_has_loaded_nothing_later(stand):
    """What dlopen() brings in stands in no program's list: look-ups of names, plug-ins."""
    stand.client().expect("GET", "/get/1")
    for pid in (stand.edge.pid, stand.one_holder()):
        assert mapped(pid) == set(EDGE_MAY_LOAD)
    keepers = [pid for pid in stand.system.pids() if os.readlink(f"/proc/{pid}/exe").endswith("lib/thole/keeper")]
    assert len(keepers) == 2 and not any(mapped(pid) for pid in keepers), keepers  # watch is the same program.
