"""What a request costs at the edge, counted with what bench/ counts with. Counts are the same on a slow machine and on a
busy one; times are not, and are measured there."""
import contextlib
import sys
import tempfile
from pathlib import Path

import pytest

from conftest import ROOT

sys.path.insert(0, str(ROOT / "bench"))
from counted import Stand, counted_binaries, difference, read_counts  # noqa: E402 pylint: disable=wrong-import-position
from programs import Load, Program  # noqa: E402 pylint: disable=wrong-import-position

CONNECTIONS, BODY = 32, 128
WARM_UP = COUNTED = 5000
RECEIVED = ("read", "readv", "recv", "recvmsg")
SENT = ("write", "writev", "send", "sendmsg")


@pytest.fixture
def counted():
    """A load whose connections and theirs to the instances were used before, and the folder with the counts."""
    with contextlib.ExitStack() as until_ended:
        folder = Path(until_ended.enter_context(tempfile.TemporaryDirectory(prefix="thole-test-", dir="/dev/shm")))
        upstream = until_ended.enter_context(contextlib.closing(Program("upstream", BODY)))
        stand = until_ended.enter_context(contextlib.closing(Stand(upstream, counted_binaries(folder))))
        load = until_ended.enter_context(contextlib.closing(Load(stand.port, CONNECTIONS, BODY)))
        load.run(WARM_UP)
        yield load, folder


def test_a_request_costs_four_calls_and_allocates_nothing(counted):
    """One recv and one send on each side. How often a worker waits, or is waited for, is the load's and the machine's."""
    load, folder = counted
    before = read_counts(folder)
    load.run(COUNTED)
    calls = {name: round(number * COUNTED) for name, number in difference(before, read_counts(folder), COUNTED).items()}
    # By time, not by request: reports to control.
    for name in ("main allocations", "main calls", "epoll_wait"):
        calls.pop(name, None)
    assert "allocations" not in calls
    # One in a hundred more: what a call says that came too late or too early.
    assert 2 * COUNTED <= sum(calls.pop(name, 0) for name in RECEIVED) <= 2.02 * COUNTED
    assert 2 * COUNTED <= sum(calls.pop(name, 0) for name in SENT) <= 2.02 * COUNTED
    # Where more requests than ever before are under way at one endpoint a connection is opened, five calls: of 32
    # clients and three endpoints at most 96.
    assert sum(calls.values()) <= 5 * 96, calls
