"""POSTs at the very moment at which Node and gunicorn close an idle connection: through the edge each arrives once and is
answered; what nginx makes of the same is printed beside it."""
import random
import subprocess
import sys
import threading
import time

import pytest

from conftest import until
from edge import SERVES, Client, snapshot
from edge_stand import Stand
from judged import pause
from project import free_port
from readers import LIBRARIES, program

# Tell by which of their connections they were asked, and write down each POST.
NODE = """
const http = require('http'), fs = require('fs');
const arrived = fs.openSync(process.argv[3], 'a');
http.createServer((request, response) => {
  if (request.method === 'POST') fs.writeSync(arrived, request.url + '\\n');
  response.setHeader('X-Connection', request.socket.remotePort);
  request.resume().on('end', () => response.end('yes'));
}).listen(Number(process.argv[2]), '127.0.0.1');
"""
GUNICORN = """
import os
ARRIVED = os.open("arrived", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def app(environ, start):
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    if environ["REQUEST_METHOD"] == "POST":
        os.write(ARRIVED, (environ["PATH_INFO"] + "\\n").encode())
    start("200 OK", [("Content-Length", "3"), ("X-Connection", environ["REMOTE_PORT"])])
    return [b"yes"]
"""
NAMES = ("node", "gunicorn")  # Each as it comes: idle connections are kept for 5 s and 2 s.
LOOKS = 10  # When they close is looked at so often: Node does it a second later than it says.
ALONE = 24  # Clients that POST to each, each by connections of its own.
BUSY = 4  # Clients of those that GET.
LASTS_S = 600
LINES = """worker_processes 1; daemon off; pid pid; error_log error.log crit;
events {{ worker_connections 1000; }}
http {{
    access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u;
    scgi_temp_path s; keepalive_timeout 600s;
    {servers}
}}
"""
SERVER = """upstream at{port} {{ server 127.0.0.1:{to}; keepalive 8; }}
    server {{ listen 127.0.0.1:{port};
        location / {{ proxy_pass http://at{port}; proxy_http_version 1.1; proxy_set_header Connection ""; }} }}
"""


class Servers:
    """Node, gunicorn and nginx."""

    def __init__(self, base):
        self.base, self.processes = base, []
        self.ports = {name: free_port() for name in NAMES}
        for name in (*NAMES, "nginx"):
            (base / name).mkdir()
        (base / "node" / "server.js").write_text(NODE, encoding="utf-8")
        (base / "gunicorn" / "teller.py").write_text(GUNICORN, encoding="utf-8")
        self.start("node", ["node", "server.js", str(self.ports["node"]), "arrived"])
        self.start("gunicorn", [sys.executable, "-m", "gunicorn", "-k", "gthread", "--threads", "32", "-b",
                                f"127.0.0.1:{self.ports['gunicorn']}", "teller:app"])
        self.fronts = {name: [free_port() for _ in range(ALONE)] for name in NAMES}
        servers = "".join(SERVER.format(port=port, to=self.ports[name]) for name, ports in self.fronts.items()
                          for port in ports)
        (base / "nginx" / "config").write_text(LINES.format(servers=servers), encoding="utf-8")
        self.start("nginx", [program("nginx"), "-p", str(base / "nginx"), "-c", str(base / "nginx" / "config")], LIBRARIES)
        for port in (*self.ports.values(), *(port for ports in self.fronts.values() for port in ports)):
            until(lambda port=port: is_there(port), "it listens", 30)

    def start(self, name, command, more=()):
        with (self.base / name / "log").open("wb") as log:
            self.processes.append(subprocess.Popen(command, cwd=self.base / name, stdout=log, stderr=log,
                                                   env=dict(more, PATH="/usr/bin:/usr/sbin")))

    def arrived(self, name):
        return (self.base / name / "arrived").read_text(encoding="utf-8").split()

    def close(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait()


def is_there(port):
    try:
        Client(port).close()
    except OSError:
        return False
    return True


class Asking(threading.Thread):
    """One client after the other's answer, at random moments, on one connection as long as it is kept."""

    def __init__(self, port, mark, stop, gap):
        super().__init__()
        self.port, self.mark, self.stop, self.gap = port, mark, stop, gap
        self.method = "POST" if mark else "GET"
        self.asked, self.failures, self.connections = [], [], []
        self.start()

    def run(self):
        client = None
        while not self.stop.wait(self.gap()):
            target = f"/{self.mark}-{len(self.asked)}"
            self.asked.append(target)
            try:
                client = client or Client(self.port)
                status, fields, body = client.request(self.method, target, body=b"0123456789" if self.mark else b"")
                if (status, body) != (200, b"yes"):
                    self.failures.append((time.time(), target, status))
                    client = None
                else:
                    self.connections.append(fields["x-connection"])
            except (OSError, ValueError) as problem:
                self.failures.append((time.time(), target, repr(problem)))
                client = None


def idle_until_closed(port, found):
    client = Client(port)
    client.request("GET", "/")
    began = time.monotonic()
    with pytest.raises(ConnectionError):
        client.more()
    found.append(time.monotonic() - began)


def when_closed(port):
    """After how many seconds of silence, at least and at most."""
    found = []
    looks = [threading.Thread(target=idle_until_closed, args=(port, found)) for _ in range(LOOKS)]
    for look in looks:
        look.start()
        pause(0.05)
    for look in looks:
        look.join()
    return min(found), max(found)


def about(first_s, last_s):
    """Pauses around the moment at which its connection is closed: half of them anywhere near it, half just there."""
    return lambda: random.uniform(0.8 * first_s, 1.2 * last_s) if random.random() < 0.5 else \
        random.uniform(first_s - 0.002, last_s + 0.002)


@pytest.fixture
def servers(tmp_path):
    made = Servers(tmp_path)
    yield made
    made.close()


@pytest.fixture
def stand(servers):
    """Of each server a service that GETs come to, and many to whose pool nobody comes but one client's POSTs."""
    made = Stand(0)
    services = {1 + at: name for at, name in enumerate([*NAMES] * (1 + ALONE))}
    made.doors = {name: [] for name in NAMES}
    for number, name in services.items():
        made.doors[name].append(made.keeper.ensure_listener(100 + number))
    content = snapshot(2, services, [(100 + number, number) for number in services])
    assert made.edge.activate(2, content) == (0, "")
    made.edge.endpoints([(20 + number, 1, number, servers.ports[name], SERVES) for number, name in services.items()],
                        full=True)
    yield made
    made.close()


def report(name, posts, gets, others):
    """In a line; the failures of the edge and how many of the GETs came by a connection that had been used."""
    asked, failed = sum(len(each.asked) for each in posts), [each for one in posts + gets for each in one.failures]
    seen = [connection for each in gets for connection in each.connections]
    reused = 1 - len(set(seen)) / len(seen)
    print(f"{name}: {asked} POSTs, {len(failed)} failed; {len(seen)} GETs, {100 * reused:.2f} % on used connections; "
          f"nginx: {sum(len(each.asked) for each in others)} POSTs, {sum(len(each.failures) for each in others)} failed")
    return failed, reused


@pytest.mark.full  # Ten minutes.
def test_no_post_runs_into_a_connection_that_its_server_is_closing(servers, stand):
    stop, posts, gets, others = threading.Event(), {}, {}, {}
    for name in NAMES:
        closed = when_closed(servers.ports[name])
        print(f"{name} closes after {closed[0]:.3f} to {closed[1]:.3f} s")
        busy, *alone = stand.doors[name]
        gets[name] = [Asking(busy, "", stop, lambda: random.expovariate(20)) for _ in range(BUSY)]
        posts[name] = [Asking(port, f"edge{at}", stop, about(*closed)) for at, port in enumerate(alone)]
        others[name] = [Asking(port, f"nginx{at}", stop, about(*closed)) for at, port in enumerate(servers.fronts[name])]
    end = time.monotonic() + LASTS_S
    try:
        stand.edge.until(lambda: time.monotonic() >= end, "the clock", LASTS_S + 60)
    finally:
        stop.set()
        for each in (each for group in (posts, gets, others) for many in group.values() for each in many):
            each.join()
    reports = {name: report(name, posts[name], gets[name], others[name]) for name in NAMES}
    for name, (failed, reused) in reports.items():
        assert failed == [], name
        assert reused >= 0.99, name
        asked = sorted(target for each in posts[name] for target in each.asked)
        assert sorted(each for each in servers.arrived(name) if each.startswith("/edge")) == asked, "each once"
