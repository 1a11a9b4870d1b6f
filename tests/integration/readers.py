"""Others who read HTTP/1.1: Node, Go, Python's h11, nginx. Each is one process that is given the bytes of many connections and
tells the requests it found on each. None of them shares a line of code with us or with another."""
import base64
import json
import os
import shutil
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import h11

from conftest import until

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES, BUILT = ROOT / "tests" / "readers", ROOT / "build" / "readers"
UNPACKED = ROOT / "build" / "unpacked"
PROGRAMS = os.pathsep.join([f"{UNPACKED}/usr/bin", f"{UNPACKED}/usr/sbin", "/usr/bin", "/usr/sbin"])
LIBRARIES = {"LD_LIBRARY_PATH": f"{UNPACKED}/usr/lib/{os.uname().machine}-linux-gnu"}
HEAD_MAX, WITHIN_S = 1 << 17, 120


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    host: str
    body: bytes


@dataclass
class Reading:
    requests: list
    problem: str = ""


def program(name):
    """As `./dev` has unpacked it, else as it is installed; none where it is neither."""
    return shutil.which(name, path=PROGRAMS)


def of_lines(command, texts):
    """One line of base64 in, one of JSON out."""
    lines = b"\n".join(base64.b64encode(text) for text in texts) + b"\n"
    said = subprocess.run(command, input=lines, stdout=subprocess.PIPE, check=True, timeout=WITHIN_S).stdout
    readings = []
    for line in said.decode().splitlines():
        found = json.loads(line)
        readings.append(Reading([Request(one["method"], one["target"], one["host"], base64.b64decode(one["body"]))
                                 for one in found["requests"]], found["problem"]))
    return readings


def by_node(texts, folder):  # pylint: disable=unused-argument
    return of_lines(["node", str(SOURCES / "read.js")], texts)


def by_go(texts, folder, *words):  # pylint: disable=unused-argument
    BUILT.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ, GOTOOLCHAIN="local", GOPROXY="off", GOFLAGS="", CGO_ENABLED="0",
                       GOCACHE=str(ROOT / "build" / "go-cache"))
    subprocess.run(["/usr/bin/go", "build", "-buildvcs=false", "-o", str(BUILT / "read"), "."], check=True, cwd=SOURCES,
                   env=environment, timeout=300)
    return of_lines([str(BUILT / "read"), *words], texts)


def one_by_h11(text):
    reader, reading = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_MAX), Reading([])
    head, body = None, b""
    reader.receive_data(text)
    try:
        while True:
            event = reader.next_event()
            if isinstance(event, h11.Request):
                head, body = event, b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                host = dict(head.headers).get(b"host", b"").decode("latin-1")
                reading.requests.append(Request(head.method.decode(), head.target.decode("latin-1"), host, body))
                reader.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                reader.send(h11.EndOfMessage())
                if reader.our_state is h11.MUST_CLOSE:
                    reading.problem = "more behind the last one" if reader.trailing_data[0] else ""
                    return reading
                reader.start_next_cycle()
            else:  # It waits for more.
                begun = reader.their_state is not h11.IDLE or reader.trailing_data[0]
                reading.problem = "not whole" if begun else ""
                return reading
    except h11.RemoteProtocolError as problem:
        reading.problem = str(problem)
        return reading


def answer_by_h11(text):
    """The final answer to a GET; the connection ends behind it."""
    reader, status, body = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_MAX), 0, b""
    reader.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
    reader.send(h11.EndOfMessage())
    reader.receive_data(text)
    reader.receive_data(b"")
    try:
        while True:
            event = reader.next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return Reading([Request(str(status), "", "", body)], "more behind it" if reader.trailing_data[0] else "")
            elif event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.ConnectionClosed):
                return Reading([], "not whole")
    except h11.RemoteProtocolError as problem:
        return Reading([], str(problem))


def by_h11(texts, folder):  # pylint: disable=unused-argument
    return [one_by_h11(text) for text in texts]


NGINX = """daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.errors crit;
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d;
    scgi_temp_path {folder}/e; large_client_header_buffers 8 128k; client_body_buffer_size 1m; client_max_body_size 0;
    log_format read escape=json '["$remote_port", $status, "$request_method", "$request_uri", "$http_host", "$request_body"]';
    # A body is read, and so logged, where it is passed on.
    server {{ listen 127.0.0.1:{port}; access_log {folder}/nginx.log read; proxy_ignore_client_abort on;
             location / {{ proxy_pass http://unix:{folder}/inner; }} }}
    server {{ listen unix:{folder}/inner; access_log off; return 204; }}
}}
"""


def send_to_nginx(port, text):
    """The connection's port, by which the log tells it from others. Its end is said once an answer is there: an end that
    comes before would be an abort."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(text)
        connection.settimeout(1)
        try:
            connection.recv(1)
        except OSError:  # Nothing: it waits for more of the request, or has reset us.
            pass
        try:
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(20)
            while connection.recv(65536):
                pass
        except OSError:
            pass
        return connection.getsockname()[1]


def by_nginx(texts, folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port), encoding="utf-8")
    with open(folder / "nginx.said", "wb") as said, \
            subprocess.Popen([program("nginx"), "-c", str(folder / "nginx.conf"), "-e", str(folder / "nginx.errors"),
                              "-p", str(folder)], stdout=said, stderr=said, env=LIBRARIES) as process:
        try:
            until(lambda: process.poll() is not None or is_open(port), "nginx")
            with ThreadPoolExecutor(8) as pool:
                ports = list(pool.map(lambda text: send_to_nginx(port, text), texts))
        finally:
            process.terminate()
    assert len(set(ports)) == len(ports), "a port was given out twice"
    readings = {port: Reading([]) for port in ports}
    for line in (folder / "nginx.log").read_text(encoding="latin-1").splitlines():
        port, status, method, target, host, body = json.loads(line, strict=False)
        reading = readings.get(int(port))
        if reading is not None and status == 204:
            reading.requests.append(Request(method, target, host, body.encode("latin-1")))
        elif reading is not None:
            reading.problem = f"status {status}"
    return [readings[port] for port in ports]


def is_open(port):
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


READERS = {"node": by_node, "go": by_go, "h11": by_h11, "nginx": by_nginx}
