"""A service for tests: knows what each answer must be, writes down each POST and PUT that arrives, and refuses what it must not
get. One process, a thread per connection.

    backend.py PORT-FILE ARRIVALS-FILE ALLOWED-FILE

ALLOWED-FILE: once it exists, a request whose X-Request-Id it does not name is written down as forbidden.
"""
import os
import socket
import sys
import threading
from pathlib import Path

PIECE = bytes(range(97, 123)) * 40


def expected(seed, size):
    start = seed % 26
    return (PIECE[start:] + PIECE * (size // len(PIECE) + 1))[:size]


def odd_chunks(data):
    """A chunked body in pieces, with all that must not be passed on: extensions and trailers."""
    step = max(1000, len(data) // 40)
    for at in range(0, len(data), step):
        yield b"%04X;n=%d\r\n%s\r\n" % (len(data[at:at + step]), at, data[at:at + step])
    yield b'0 ;last="a\\"b"\r\nX-Sum: 1\r\nContent-Length: 7\r\n\r\n'


def is_forbidden(allowed, number):
    try:
        return number not in allowed.read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return False


class Peer:
    def __init__(self, connection):
        self.connection, self.buffer = connection, b""

    def until(self, mark):
        while mark not in self.buffer:
            more = self.connection.recv(65536)
            if not more:
                return None
            self.buffer += more
        head, _, self.buffer = self.buffer.partition(mark)
        return head

    def exactly(self, size):
        while len(self.buffer) < size:
            more = self.connection.recv(65536)
            if not more:
                return None
            self.buffer += more
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def chunked(self):
        data = b""
        while True:
            line = self.until(b"\r\n")
            if line is None:
                return None
            size = int(line, 16)
            piece = self.exactly(size)
            if piece is None or self.until(b"\r\n") is None:
                return None
            if size == 0:
                return data
            data += piece


def read_head(peer):
    head = peer.until(b"\r\n\r\n")
    if head is None:
        return None
    lines = head.decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    method, target, _ = lines[0].split(" ")
    return method, target, fields


def serve(connection, arrivals, allowed):
    peer = Peer(connection)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while True:
        request = read_head(peer)
        if request is None:
            return
        method, target, fields = request
        number = fields.get("x-request-id", "")
        if is_forbidden(allowed, number):
            os.write(arrivals, f"forbidden {number} {target}\n".encode())
        if len(number) != 32 or len(fields.get("traceparent", "")) != 55:
            os.write(arrivals, f"unmarked {number} {target}\n".encode())
        if target == "/early/":  # Answers, and reads no further.
            connection.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        body = b""
        if fields.get("transfer-encoding") == "chunked":
            body = peer.chunked()
        elif "content-length" in fields:
            body = peer.exactly(int(fields["content-length"]))
        if body is None:
            return
        kind, _, rest = target[1:].partition("/")
        if method == "POST" and kind in ("post", "die"):
            os.write(arrivals, f"post {rest}\n".encode())
        if method == "PUT":
            os.write(arrivals, f"put {rest}\n".encode())
        if kind == "tunnel":
            offered = fields.get("upgrade", "echo")
            connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: %s\r\nConnection: Upgrade\r\n\r\n" %
                               ("echo" if "," in offered else offered).encode())
            while (block := peer.exactly(64)) is not None:
                connection.sendall(block)
            # Whoever has said all still hears all.
            connection.sendall(b"%063d\n" % int(rest or 0))
            return
        if kind == "half":
            connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\ndone")
            connection.shutdown(socket.SHUT_WR)
            size = len(peer.buffer)
            while more := connection.recv(65536):
                size += len(more)
            os.write(arrivals, f"half {size}\n".encode())
            return
        if kind == "die":
            os._exit(1)
        if kind == "drop":  # Takes it, and says nothing.
            os.write(arrivals, f"drop {rest}\n".encode())
            return
        if kind == "stream":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n")
            data = expected(int(rest), 300000)
            for at in range(0, len(data), 30000):
                connection.sendall(data[at:at + 30000])
                threading.Event().wait(0.004)
            continue
        if kind == "chunks":
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            data = expected(int(rest), 30000)
            for at in range(0, len(data), 1000):
                connection.sendall(b"3e8\r\n" + data[at:at + 1000] + b"\r\n")
                threading.Event().wait(0.001)
            connection.sendall(b"0\r\n\r\n")
            continue
        if kind == "odd":
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for piece in odd_chunks(expected(int(rest), 30000)):
                connection.sendall(piece)
                threading.Event().wait(0.001)
            continue
        if kind == "last":  # Answers, and dies as far as this connection goes.
            threading.Event().wait(float(rest))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()
            os.write(arrivals, b"said 1\n")
            return
        if kind == "untilclose":
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + expected(int(rest), 50000))
            return
        if kind == "cut":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort")
            return
        if kind == "bad":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello")
            return
        if kind in ("events", "Events"):
            named = b"text/event-stream" if kind == "events" else b"Text/Event-Stream;charset=utf-8"
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\n\r\ndata: 0\n\n" % named)
            threading.Event().wait(float(rest.partition("?")[0]))
            connection.sendall(b"data: 1\n\n")
            return
        if kind == "status":
            connection.sendall(b"HTTP/1.1 %s Said\r\nContent-Length: 0\r\n\r\n" % rest.encode())
            continue
        if kind == "timed":
            connection.sendall(b"HTTP/1.1 200 OK\r\nServer-Timing: db;dur=1\r\nServer-Timing: %s;dur=2\r\n"
                               b"Content-Length: 0\r\n\r\n" % (b"x" * 600))
            continue
        if kind == "hints":
            connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        if kind == "slow":
            threading.Event().wait(float(rest.partition("?")[0]))
        text = body if kind == "echo" else f"{method} {target}".encode()
        if kind == "fields":
            text = "\n".join(f"{name}: {value}" for name, value in sorted(fields.items())).encode()
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text)
        connection.sendall(answer + (b"" if method == "HEAD" else text))


def serve_safely(connection, arrivals, allowed):
    with connection:
        try:
            serve(connection, arrivals, allowed)
        except OSError:
            pass


def main():
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    arrivals = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    port_file = Path(sys.argv[1])
    port_file.with_suffix(".new").write_text(str(listener.getsockname()[1]), encoding="utf-8")
    port_file.with_suffix(".new").rename(port_file)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve_safely, args=(connection, arrivals, Path(sys.argv[3])), daemon=True).start()


if __name__ == "__main__":
    main()
