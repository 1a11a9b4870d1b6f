"""An instance inside the test's own process: says what it is told to, and remembers what it was asked."""
import socket
import struct
import threading


class Request:
    def __init__(self, method, target, fields, body):
        self.method, self.target, self.fields, self.body = method, target, fields, body
        self.closed = threading.Event()  # Its connection has ended.


class RawBackend:
    """`answers` gets a Request and gives (status, body[, more fields[, seconds until it is said]]), bytes after which the
    connection is reset, or None: nothing is said."""

    def __init__(self):
        self.answers = lambda request: (200, b"200")
        self.requests = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        # A thread that waits in accept() would keep it open.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        request = None
        try:
            with connection:
                stream = connection.makefile("rb")
                while line := stream.readline():
                    method, target, _ = line.decode().split(" ")
                    fields = {}
                    while (line := stream.readline().decode("latin-1")) not in ("\r\n", ""):
                        name, _, value = line.partition(":")
                        fields[name.lower()] = value.strip()
                    request = Request(method, target, fields, stream.read(int(fields.get("content-length", 0))))
                    self.requests.append(request)
                    answer = self.answers(request)
                    if answer is None:
                        stream.read(1)  # Until nobody waits.
                        return
                    if isinstance(answer, bytes):
                        connection.sendall(answer)
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        return
                    status, body, more, wait_s = (*answer, *("", 0)[len(answer) - 2:])
                    if wait_s:
                        threading.Event().wait(wait_s)  # What it is about: a slow instance.
                    connection.sendall(f"HTTP/1.1 {status} Said\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode()
                                       + body)
        except OSError:
            pass
        finally:
            if request is not None:
                request.closed.set()
