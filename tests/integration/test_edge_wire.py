"""Exact bytes on both sides of the edge: the scripts in tests/wire, each run by varnishtest."""
import socket
import subprocess
from pathlib import Path

import pytest

from edge import SECOND, SERVES
from edge_stand import LISTENER, SERVICE, Stand
from readers import LIBRARIES, program
from test_edge_limits import FIRST

LIMITS = {"head": SECOND, "idle": 3 * SECOND // 2}
SCRIPTS = Path(__file__).resolve().parent.parent / "wire"


@pytest.mark.skipif(program("varnishtest") is None, reason="no varnishtest here; try: ./dev prepare unpacked")
@pytest.mark.parametrize("script", sorted(path.stem for path in SCRIPTS.glob("*.vtc")))
def test_the_bytes_on_both_sides_are_these(script, tmp_path):
    stand = Stand(0)
    try:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        stand.activate([(LISTENER, SERVICE)], **LIMITS)
        stand.edge.endpoints([(*FIRST, SERVICE, port, SERVES)])
        done = subprocess.run([program("varnishtest"), "-v", "-t", "30", f"-Dedge={stand.port}", f"-Dupstream={port}",
                               str(SCRIPTS / f"{script}.vtc")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              timeout=60, env={"TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin", **LIBRARIES})
        assert done.returncode == 0, done.stdout.decode(errors="replace")[-6000:]
    finally:
        stand.close()
