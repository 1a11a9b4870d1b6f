"""An edge whose calls and allocations are counted (count_calls.cpp): for bench/ and for tests/integration."""
import struct

from programs import BIN
from conftest import BINARIES, System  # pylint: disable=wrong-import-order
from edge import SERVES, Edge, snapshot  # pylint: disable=wrong-import-order

SERVICE, LISTENER, ENDPOINTS = 1, 100, 3


class Stand:
    """keeper and an edge; a service with three endpoints that are one upstream."""

    def __init__(self, upstream, binaries=BINARIES):
        self.system = System("edge", binaries)
        try:
            keeper = self.system.start()
            self.port = keeper.ensure_listener(LISTENER)
            self.edge = Edge(self.system)
            assert self.edge.activate(1, snapshot(1, {SERVICE: "bench"}, [(LISTENER, SERVICE)])) == (0, "")
            self.edge.endpoints([(20 + number, 1, SERVICE, upstream.port, SERVES) for number in range(ENDPOINTS)],
                                full=True)
        except BaseException:
            self.system.close()
            raise

    @property
    def pid(self):
        return self.edge.pid

    def close(self):
        self.edge.link.close()
        self.system.close()


def edge_in(folder, before, by=""):
    """thole's programs, of which the edge is started after this line of a shell, by these words."""
    (folder / "lib" / "thole").mkdir(parents=True)
    (folder / "lib" / "thole" / "keeper").symlink_to(BINARIES / "lib" / "thole" / "keeper")
    edge = folder / "lib" / "thole" / "edge"
    edge.write_text(f'#!/bin/sh\n{before}\nexec {by} {BINARIES}/lib/thole/edge "$@"\n', encoding="utf-8")
    edge.chmod(0o755)
    return folder


def counted_binaries(folder):
    """thole's programs, of which the edge counts its calls."""
    return edge_in(folder, f"export BENCH_COUNTS={folder}/counts LD_PRELOAD={BIN}/count_calls.so")


def read_counts(folder):
    data = (folder / "counts").read_bytes()
    return {name.split(b"\0")[0].decode(): number for name, number in struct.iter_unpack("<24sQ", data)
            if name[0] != 0}


def difference(before, after, requests):
    return {name: (number - before.get(name, 0)) / requests for name, number in after.items()
            if number > before.get(name, 0)}
