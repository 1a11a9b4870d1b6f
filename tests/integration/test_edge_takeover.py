"""What a takeover must stand: a worker that hangs, core dumps, a full table of descriptors, deaths of both under load."""
import socket
import struct
import threading

import pytest

from edge import OUT, SERVES
from edge_stand import SERVICE, stand  # pylint: disable=unused-import
from stopped_thread import StoppedThread, workers

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
