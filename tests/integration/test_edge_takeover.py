"""What a takeover must stand: a worker that hangs, core dumps, a full table of descriptors, deaths of both under load."""
import contextlib
import os
import select
import signal
import socket
import struct
import threading
import time

import pytest

from conftest import start_time, strike, until
from edge import OUT, SERVES, Client
from edge_stand import SERVICE, Load, Stand, kill_edge, kill_edge_and_holder, stand, three  # pylint: disable=unused-import

from stopped_thread import StoppedThread, workers
from test_edge_ceilings import descriptors_of, limited

SLOT, RECVFROM = 30, 45


@pytest.mark.parametrize("goes_first", [0, 1])
def test_who_gets_the_number_of_a_socket_that_was_closed_is_not_told_of_its_end(stand, goes_first):
    """An instance leaves and resets its idle connection in the moment in which clients come: one of them gets the number
    of that connection, and was closed for the other's error."""
    listener = socket.create_server(("127.0.0.1", 0))
    entry = (SLOT, 1, SERVICE, listener.getsockname()[1])
    others = [stand.client() for _ in range(8)]
    for client in others:
        client.expect("GET", "/get/1")
    stand.edge.endpoints([stand.entry(0, OUT), (*entry, SERVES)])
    first = stand.client()
    first.send(b"GET /get/1 HTTP/1.1\r\nHost: a\r\n\r\n")
    connection, _ = listener.accept()
    assert connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert first.answer()[0] == 200
    # In the midst of a turn: one that is stopped while it waits begins with a turn without events.
    stopped = [StoppedThread(thread) for thread in workers(stand.edge.pid)]
    for client in others:
        client.send(b"GET ")
    for each in stopped:
        each.run_to(RECVFROM)
    clients = [stand.client() for _ in range(12)]  # First, so that it is they who are told of first.
    for client in clients:
        client.send(b"GET /get/1 HTTP/1.1\r\nHost: a\r\n\r\n")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    change = threading.Thread(target=stand.edge.endpoints, args=([stand.entry(0, SERVES), (*entry, OUT)],))
    change.start()
    # It is told to the workers, who cannot hear it yet: nothing shows when.
    change.join(0.3)
    stopped.pop(goes_first).let_go()
    change.join(0.1)
    stopped.pop().let_go()
    change.join()
    for client in clients:
        assert client.answer()[0] == 200
    listener.close()


def waits_of(clients, began, limit_s):
    """How long after `began` each was answered, and that it was answered well."""
    waits, waiting = {}, {client.connection: client for client in clients}
    while waiting and time.monotonic() < began + limit_s:
        for ready in select.select(list(waiting), [], [], 0.05)[0]:
            client = waiting.pop(ready)
            assert client.answer()[0] == 200
            waits[client] = time.monotonic() - began
    assert not waiting, f"{len(waiting)} were not answered in {limit_s} s"
    return waits


@pytest.mark.parametrize("how", ["stopped", "looping"])
def test_who_is_with_a_worker_that_hangs_waits_seven_seconds_at_most_and_the_others_not_at_all(three, how):
    """Five until it counts as hung, and the takeover."""
    before = three.edge.pid
    clients = [three.client() for _ in range(16)]
    for client in clients:
        client.expect("GET", "/get/1")
    hung = StoppedThread(workers(before)[0])
    if how == "looping":
        hung.loop()
    began = time.monotonic()
    for client in clients:
        client.send(b"GET /get/1 HTTP/1.1\r\nHost: a\r\n\r\n")
    # Whoever traces a thread has to bury it, else its process has not ended.
    waiter = threading.Event()
    waits = {}
    if how == "looping":
        waits = waits_of(clients, began, 9)
    else:
        reader = threading.Thread(target=lambda: waits.update(waits_of(clients, began, 9)))
        reader.start()
        while reader.is_alive():
            hung.bury()
            waiter.wait(0.01)
    long = [wait for wait in waits.values() if wait > 1]
    print(f"{len(long)} of {len(waits)} waited, {max(waits.values()):.2f} s at most")
    assert 4 <= len(long) <= 12 and max(long) <= 7, sorted(waits.values())
    three.edge.connect()
    assert three.edge.pid != before


@pytest.fixture
def crowded():
    with limited("ulimit -n 160") as binaries, contextlib.closing(Stand(2, binaries)) as made:
        yield made


@pytest.mark.parametrize("turns", [1, 4])
def test_a_full_table_of_descriptors_is_taken_over_as_any_other(crowded, turns):
    """A successor needs some of its own before it can close those of the dead; without any it would be nobody's."""
    clients = [crowded.client() for _ in range(90)]
    for client in clients:
        client.send(b"GET /slow/2 HTTP/1.1\r\nHost: shop\r\n\r\n")
    until(lambda: descriptors_of(crowded.edge.pid) >= 130, "as many as may be")
    for _ in range(turns):
        kill_edge(crowded)
    for client in clients:
        assert client.answer()[0] == 200
    crowded.client().expect("GET", "/get/1")
