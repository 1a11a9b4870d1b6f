"""What only control and the edge together show: a list that is too short, a snapshot that cannot be had."""
import signal
import socket
from pathlib import Path

import pytest

from conftest import until, wait_until_still
from project import Project

COUNT, KEPT = 700, 511
# Is ready; takes every POST, says how many it has, and answers none.
SERVICE = rb"""#!/usr/bin/env python3
import os, socket
listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])), backlog=1024)
taken = []
while True:
    connection = listener.accept()[0]
    if connection.recv(4) == b"POST":
        taken.append(connection)
        with open(os.environ["TAKEN"], "ab") as file:
            file.write(b".")
    else:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
"""
MANIFEST = "name: silent\nservices:\n  silent:\n    run: ./service\n    public: PORT_HERE\n    env: {TAKEN: TAKEN_HERE}\n"
MORE = "  more:\n    run: ./service\n    env: {TAKEN: TAKEN_HERE}\n"


@pytest.fixture
def silent():
    project = Project("")
    taken = project.base / "taken"
    taken.touch()
    taken.chmod(0o666)
    project.manifest = MANIFEST.replace("TAKEN_HERE", str(taken))
    project.write(project.manifest)
    for name in ("silent", "more"):
        project.place(name, {"service": SERVICE})
        (project.folder / name / "service").chmod(0o755)
    project.taken = taken
    yield project
    project.close()


def holders(project):
    return [pid for pid in project.pids() if Path(f"/proc/{pid}/comm").read_text(encoding="utf-8") == "holder\n"]


def test_more_than_can_be_listed_is_a_line_of_its_own(silent):
    """Once, whoever is control."""
    silent.up("--detach")
    clients = [socket.create_connection(("127.0.0.1", silent.port)) for _ in range(COUNT)]
    for client in clients:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    until(lambda: silent.taken.stat().st_size == COUNT, "all are at the instance", 30)
    edge, holder = silent.role_pid("edge"), holders(silent)[0]
    silent.kill(edge, signal.SIGSTOP)
    wait_until_still(edge)
    silent.kill(holder, signal.SIGKILL)
    silent.kill(edge, signal.SIGKILL)
    silent.wait_for_role("edge", other_than=edge)
    until(lambda: len(silent.timeline("request broken")) == KEPT, "those that are listed", 20)
    until(lambda: silent.timeline("requests broken"), "the others", 20)
    for more in (1, 2):
        control = silent.role_pid("control")
        silent.kill(control, signal.SIGKILL)
        silent.wait_for_role("control", other_than=control)
        # Who hears of this one has heard of all before.
        with socket.create_connection(("127.0.0.1", silent.port)) as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            until(lambda more=more: silent.taken.stat().st_size == COUNT + more, "it is at the instance")
            silent.kill(silent.instances("silent")[0]["pid"], signal.SIGKILL)
            until(lambda more=more: len(silent.timeline("request broken")) == KEPT + more, "it is listed", 20)
        silent.wait_settled()
        assert [each["text"] for each in silent.timeline("requests broken")] == [
            f"{COUNT - KEPT} more broke than could be listed"]
    for client in clients:
        client.close()
    silent.down()


def test_a_snapshot_that_was_refused_is_asked_for_until_it_is_active(silent):
    """And the file of the one before is kept as long."""
    silent.up("--detach")
    folder = silent.data / "edge"
    before = int((folder / "current").read_text(encoding="utf-8"))
    (folder / "current.new").mkdir()
    for turn in range(4):
        silent.write(silent.manifest + (MORE if turn % 2 == 0 else "").replace("TAKEN_HERE", str(silent.taken)))
        silent.up("--detach")
    until(lambda: silent.timeline("snapshot refused"), "it is refused", 5)
    assert int((folder / "current").read_text(encoding="utf-8")) == before
    assert (folder / f"snapshot.{before}").exists()
    (folder / "current.new").rmdir()
    until(lambda: int((folder / "current").read_text(encoding="utf-8")) > before + 3, "the newest", 5)
    assert len(silent.timeline("snapshot refused")) == 1, "told once, not each second"
    silent.down()
