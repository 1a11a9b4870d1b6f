"""Connections to a service are used again only as long as the service itself keeps them: no request runs into one that
is just being closed."""
import socket
import threading

import pytest

from edge import SERVES
from edge_stand import SERVICE, Stand
from judged import pause


class Closing:
    """A service that closes a connection on which nothing came for `idle_s`; knows which came on which."""

    def __init__(self, idle_s, head=b""):
        self.idle_s, self.head, self.seen, self.connections = idle_s, head, [], 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(connection, self.connections), daemon=True).start()

    def serve(self, connection, number):
        connection.settimeout(self.idle_s)
        with connection:
            try:
                while block := connection.recv(65536):
                    self.seen.append((number, block.split(b" ")[1].decode()))
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + self.head + b"\r\n")
            except OSError:
                pass  # Nothing came for so long: closed.

    def close(self):
        self.listener.close()


@pytest.fixture
def stand():
    made = Stand(0)
    made.services = []
    yield made
    for service in made.services:
        service.close()
    made.close()


def serve(stand, **more):
    service = Closing(**more)
    stand.services.append(service)
    stand.edge.endpoints([(20, 1, SERVICE, service.port, SERVES)], full=True)
    return service


def post_after(client, pauses):
    for number, span_s in enumerate(pauses):
        pause(span_s)
        client.expect("POST", f"/{number}", body=b"0123456789")


def test_when_a_service_closes_is_learned_and_no_post_runs_into_it(stand):
    service, client = serve(stand, idle_s=0.2), stand.client()
    for number in range(3):
        client.expect("GET", f"/learn{number}")
        pause(0.4)
    service.seen.clear()
    post_after(client, [0.19 + 0.0005 * number for number in range(40)])
    assert [target for _, target in service.seen] == [f"/{number}" for number in range(40)], "each once"
    assert len({connection for connection, _ in service.seen}) == 40, "on a new connection each"
    service.seen.clear()
    post_after(client, [0.02] * 20)
    assert len(service.seen) == 20 and len({connection for connection, _ in service.seen}) < 5, "what is young is used again"


def test_what_a_service_says_of_its_connections_is_believed(stand):
    service, client = serve(stand, idle_s=20, head=b"Keep-Alive: timeout=1\r\n"), stand.client()
    post_after(client, [0.05] * 4 + [1.1, 0.05, 1.1])
    assert [connection for connection, _ in service.seen] == [1, 1, 1, 1, 2, 2, 3]
