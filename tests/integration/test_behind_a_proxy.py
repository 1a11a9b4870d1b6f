"""nginx and Caddy in front, as docs/behind-a-proxy.md has them; who answers for a host and a path, and who is believed."""
import json
import re
import signal
import socket
import subprocess
import threading

import pytest

from conftest import ROOT, until
from project import Project, free_port
from readers import program

# Tells its name and what has come, as it came.
TELLER = rb"""#!/usr/bin/env python3
import http.server, json, os
class Teller(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        said = {"service": os.environ["THOLE_SERVICE"], "target": self.path, "bytes": len(body),
                "fields": [[name.lower(), value] for name, value in self.headers.items()]}
        text = json.dumps(said).encode()
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
    do_POST = do_GET
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Teller).serve_forever()
"""
PAGE = (ROOT / "docs" / "behind-a-proxy.md").read_text(encoding="utf-8")
LIES = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "wss", "X-Forwarded-Host": "bank.example", "X-Real-IP": "6.6.6.6",
        "Forwarded": "for=6.6.6.6", "X-Request-Id": "6" * 32, "traceparent": f"00-{'6' * 32}-{'6' * 16}-01"}


class Link:
    """A connection on which one request follows the other."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def ask(self, host, path="/", fields=(), body=b"", method="GET"):
        """Status and body."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
        lines += [f"{name}: {value}" for name, value in dict(fields).items()] if isinstance(fields, dict) else list(fields)
        lines += [f"Content-Length: {len(body)}"] if body else []
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        status, length = int(self.file.readline().split()[1]), 0
        while (line := self.file.readline().strip()):
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        return status, self.file.read(length).decode()


def ask(port, host, path="/", fields=(), body=b"", method="GET"):
    with Link(port) as link:
        return link.ask(host, path, fields, body, method)


class Told:
    def __init__(self, answer):
        status, text = answer
        assert status == 200, answer
        said = json.loads(text)
        self.service, self.target, self.bytes = said["service"], said["target"], said["bytes"]
        self.fields = said["fields"]

    def __getitem__(self, name):
        """All of that name, so that none hides behind another."""
        return [value for key, value in self.fields if key == name]


class Tellers(Project):
    def have(self, **services):
        lines = "".join(f"  {name}: {{run: ./teller, public: {{port: PORT_HERE, {said}}}}}\n"
                        for name, said in services.items())
        self.write(f"name: tellers\nservices:\n{lines}")
        for name in services:
            self.place(name, {"teller": TELLER})
            (self.folder / name / "teller").chmod(0o755)

    def tell(self, host, path="/", fields=()):
        return Told(ask(self.port, host, path, fields))


@pytest.fixture
def project():
    made = Tellers("")
    yield made
    made.close()


def snippet(language):
    return re.search(rf"```{language}\n(.*?)```", PAGE, re.S).group(1)


class Front:
    """nginx or Caddy, with the lines of the page."""

    def __init__(self, project, name, config, command):
        self.folder = project.base / "front"
        self.folder.mkdir()
        self.port = free_port()
        path = self.folder / "config"
        path.write_text(config.replace("8080", str(project.port)).replace("FRONT", str(self.port)), encoding="utf-8")
        self.log = self.folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([program(name), *command, str(path)], cwd=self.folder, stdout=log,
                                            stderr=log, env=dict(project.environment(), HOME=str(self.folder)))
        until(self.is_there, "it listens")

    def is_there(self):
        assert self.process.poll() is None, self.log.read_text(encoding="utf-8")
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except OSError:
            return False
        return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def nginx(project, lines):
    config = ("daemon off;\nuser root;\nmaster_process off;\npid FOLDER/pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n"
              + "".join(f"{kind}_temp_path FOLDER/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
              + lines.replace("listen 80;", "listen 127.0.0.1:FRONT;") + "}\n")
    return Front(project, "nginx", config.replace("FOLDER", str(project.base / "front")), ["-e", "stderr", "-c"])


def caddy(project):
    config = "{\n    admin off\n    auto_https off\n}\n" + snippet("caddy").replace("shop.example.com {", "http://shop.example.com:FRONT {")
    return Front(project, "caddy", config, ["run", "--adapter", "caddyfile", "--config"])


needs_nginx = pytest.mark.skipif(program("nginx") is None, reason="no nginx here; try: ./dev prepare unpacked")
needs_caddy = pytest.mark.skipif(program("caddy") is None, reason="no caddy here; try: ./dev prepare unpacked")
BEHIND = {"web": "trust: [127.0.0.1], hosts: [shop.example.com]",
          "api": "trust: [127.0.0.1], hosts: [shop.example.com], path: /api"}


def assert_forwarded(told):
    """By a proxy on this machine, for a client on it; nothing of what the client claimed."""
    assert told["x-forwarded-for"] == ["127.0.0.1, 127.0.0.1"], told.fields
    assert told["x-forwarded-proto"] == ["http"] and told["x-forwarded-host"] == ["shop.example.com"], told.fields
    assert told["host"] == ["shop.example.com"]
    assert not any("6666" in value or "6.6.6.6" in value for _, value in told.fields), told.fields


@needs_nginx
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_nginx_in_front(project, version):
    project.have(**BEHIND)
    project.up()
    lines = snippet("nginx")
    if version == "1.0":
        lines, count = re.subn(r" *proxy_(http_version|set_header (Connection|Upgrade)) [^\n]*\n", "", lines)
        assert count == 3
    with nginx(project, lines) as front, Link(front.port) as link:
        for turn in range(20):
            told = Told(link.ask("shop.example.com", f"/api/{turn}?a=%2F", LIES))
            assert (told.service, told.target) == ("api", f"/api/{turn}?a=%2F")
            assert_forwarded(told)
            assert told["x-real-ip"] == ["127.0.0.1"] and re.fullmatch("[0-9a-f]{32}", told["x-request-id"][0])
            big = Told(link.ask("shop.example.com", "/", body=b"x" * 300_000, method="POST"))
            assert (big.service, big.bytes) == ("web", 300_000)


@needs_caddy
def test_caddy_in_front(project):
    project.have(**BEHIND)
    project.up()
    with caddy(project) as front, Link(front.port) as link:
        for turn in range(20):
            told = Told(link.ask("shop.example.com", f"/api/{turn}", LIES))
            assert told.service == "api"
            assert_forwarded(told)
            big = Told(link.ask("shop.example.com", "/", body=b"x" * 300_000, method="POST"))
            assert (big.service, big.bytes) == ("web", 300_000)


def test_a_stranger_is_not_believed(project):
    """Also where somebody is: the peer is nobody in the list."""
    project.have(web="trust: [10.0.0.0/8, 127.0.0.2]")
    project.up()
    told = project.tell("shop.example.com", "/", LIES | {"X-Forwarded-Port": "666", "Proxy": "http://6.6.6.6", "baggage": "6666"})
    assert told["x-forwarded-for"] == ["127.0.0.1"] and told["x-forwarded-host"] == ["shop.example.com"]
    assert told["x-forwarded-proto"] == ["http"] and told["forwarded"] == told["proxy"] == told["x-real-ip"] == []
    assert not any("666" in value or "6.6.6.6" in value for _, value in told.fields), told.fields


def test_a_trusted_proxy_is_believed_as_far_as_it_makes_sense(project):
    project.have(web="trust: [127.0.0.0/8]")
    project.up()
    told = project.tell("a", "/", LIES | {"X-Forwarded-Port": "443", "Proxy": "http://6.6.6.6", "baggage": "a=b"})
    assert told["x-forwarded-for"] == ["6.6.6.6, 127.0.0.1"] and told["x-forwarded-proto"] == ["wss"]
    assert told["x-forwarded-host"] == ["bank.example"] and told["x-real-ip"] == ["6.6.6.6"] and told["x-forwarded-port"] == ["443"]
    assert told["forwarded"] == ["for=6.6.6.6"] and told["x-request-id"] == ["6" * 32] and told["baggage"] == ["a=b"]
    assert told["traceparent"][0].split("-")[1] == "6" * 32 and told["proxy"] == []
    # What one cannot go by is as if it had not been said; a chain in several fields is one.
    told = project.tell("shop.example.com:80", "/", ["X-Forwarded-For: 1.1.1.1,2.2.2.2", "X-Forwarded-Proto: gopher", "x-forwarded-for:",
                                  "X-Forwarded-Host: a/b", "X-FORWARDED-FOR: 3.3.3.3",
                                  "X-Request-Id: 123e4567-e89b-12d3-a456-426614174000", "traceparent: 00-1-2-3"])
    assert told["x-forwarded-for"] == ["1.1.1.1,2.2.2.2, 3.3.3.3, 127.0.0.1"] and told["x-forwarded-proto"] == ["http"]
    assert told["x-forwarded-host"] == ["shop.example.com:80"] and re.fullmatch("[0-9a-f]{32}", told["x-request-id"][0])
    told = project.tell("a", "/", ["X-Forwarded-Proto: https", "X-Forwarded-Proto: http", "X-Forwarded-Host: a", "X-Forwarded-Host: b"])
    assert told["x-forwarded-proto"] == ["http"] and told["x-forwarded-host"] == ["a"]
    assert project.tell("a")["x-forwarded-for"] == ["127.0.0.1"]
    assert ask(project.port, "a", "/", [f"X-Forwarded-For: {'1.1.1.1,' * 2000}" for _ in range(2)])[0] == 200


SHARED = {"web": "hosts: [shop.example.com]", "api": 'hosts: [shop.example.com, "*.example.com"], path: /api',
          "files": "hosts: [files.test]"}
ASKED = [("shop.example.com", "/", "web"), ("SHOP.example.com.:80", "/apix", "web"), ("shop.example.com", "/api", "api"),
         ("other.example.com", "/api/v1?x", "api"), ("shop.example.com", "/%61pi;x//.//y%41", "api"),
         ("files.test", "/@scope%2Fname/../%c3%a9", "files")]
REFUSED = [("stranger.test", "/", 404, "EDGE-NO-ROUTE"), ("other.example.com", "/", 404, "EDGE-NO-ROUTE"),
           ("127.0.0.1", "/", 404, "EDGE-NO-ROUTE"), ("shop.example.com", "/x/..%2fapi", 400, "EDGE-PATH-SLASH"),
           ("shop.example.com", "/x/%2e%2e/api", 400, "EDGE-PATH-DOTS"), ("shop.example.com", "/x/..;/api", 400, "EDGE-PATH-DOTS"),
           ("shop.example.com", "/x\\api", 400, "EDGE-PATH-BACKSLASH"), ("shop.example.com", "/%zz", 400, "EDGE-PATH-ESCAPE"),
           ("files.test", "/%00", 400, "H1-TARGET-NUL")]


def assert_routed(project):
    with Link(project.port) as link:  # All on one connection: what it asked before does not matter.
        for host, path, service in ASKED:
            told = Told(link.ask(host, path))
            assert (told.service, told.target, told["host"]) == (service, path, [host]), (host, path)
    for host, path, status, rule in REFUSED:
        answer = ask(project.port, host, path)
        assert answer[0] == status and answer[1].startswith(rule), (host, path, answer)


def test_services_share_a_port_by_host_and_path(project):
    project.have(**SHARED)
    project.up()
    assert_routed(project)
    assert project.service("api")["address"] == f"http://shop.example.com:{project.port}/api"


def test_routes_outlive_the_edge_and_control(project):
    """With its holder; and without, when all that is left is the snapshot on the disk."""
    project.have(**SHARED)
    project.up()
    for _ in range(5):
        edge = project.role_pid("edge")
        project.kill(edge, signal.SIGKILL)
        assert_routed(project)
        project.wait_for_role("edge", other_than=edge)
    control, edge = project.role_pid("control"), project.role_pid("edge")
    project.kill(control, signal.SIGSTOP)
    holders = [pid for pid in project.pids() if is_named(pid, "holder")]
    for pid in [*holders, edge]:
        project.kill(pid, signal.SIGKILL)
    project.wait_for_role("edge", other_than=edge)
    until(lambda: answers(project), "it serves again")
    assert_routed(project)
    if project.role_pid("control") == control:
        project.kill(control, signal.SIGCONT)


def is_named(pid, name):
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as comm:
            return comm.read().strip() == name
    except OSError:
        return False


def answers(project):
    try:
        return ask(project.port, "files.test")[0] == 200
    except (OSError, IndexError):
        return False


def test_a_request_meets_the_old_routes_or_the_new_ones_whole(project):
    """Of two services that change places none is asked for what neither the one nor the other manifest gives it."""
    there = {"left": "path: /a", "right": "hosts: [b.test]", "rest": "hosts: [c.test]"}
    back = {"right": "path: /a", "left": "hosts: [b.test]", "more": "hosts: [c.test]", "rest": "hosts: [d.test]"}
    project.have(**there)
    project.up()
    over, wrong, seen = threading.Event(), [], set()

    def run():
        while not over.is_set() and not wrong:
            try:
                with Link(project.port) as link:
                    for _ in range(20):
                        services = [Told(link.ask(*each)).service for each in (("x", "/a"), ("b.test", "/"))]
                        seen.update(services)
                        if not set(services) <= {"left", "right"}:
                            wrong.append(services)
                        if Told(link.ask("c.test", "/")).service not in ("rest", "more"):
                            wrong.append("c.test")
            except (OSError, AssertionError, IndexError) as problem:
                wrong.append(repr(problem))
    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for services in (back, there, back):
        project.have(**services)
        project.up("--prune")
    over.set()
    for thread in threads:
        thread.join()
    assert not wrong and seen == {"left", "right"}, wrong
    until(lambda: project.tell("x", "/a").service == "right", "the new routes")


def test_who_claims_what_a_service_before_still_has_waits_for_it_alone(project):
    """The manifests do not know of each other; those who share the port with the one before are not held up by it."""
    project.have(web="hosts: [a.test]", api="hosts: [b.test]")
    project.up()
    project.have(late="hosts: [a.test]", api="hosts: [b.test, c.test]")
    project.up(wanted=1)
    assert [project.tell(host).service for host in ("a.test", "b.test", "c.test")] == ["web", "api", "api"]
    states = {name: project.service(name)["state"] for name in ("web", "api", "late")}
    assert states == {"web": "serving", "api": "serving", "late": "failing"}
    project.up("--prune")
    assert [project.tell(host).service for host in ("a.test", "b.test", "c.test")] == ["late", "api", "api"]
    assert project.service("late")["reason"] == ""


def test_a_manifest_that_is_wrong_changes_nothing(project):
    project.have(**SHARED)
    project.up()
    before, entry = project.seen(), project.last_entry()
    for said, finding in (({"api": "hosts: [shop.example.com]", "web": "hosts: [shop.example.com]"},
                           "services 'api' and 'web' both answer"),
                          ({"web": "hosts: [a], trust: [10.0.0.1/8]"}, "'10.0.0.1/8' names one address"),
                          ({"web": "hosts: ['*']"}, "is not the name of a host"),
                          ({"web": "trust: [127.0.0.1], hosts: [a]", "api": "path: /x"}, "'trust' of port")):
        project.have(**said)
        done = project.up(wanted=2)
        assert re.search(r"thole\.yaml:\d+:\d+: .*" + re.escape(finding), done.stderr) and "try:" in done.stderr, done.stderr
        assert_routed(project)
    after = project.seen()
    pick = [(each["name"], each["release"], [one["pid"] for one in each["instances"]]) for each in before["services"]]
    assert pick == [(each["name"], each["release"], [one["pid"] for one in each["instances"]]) for each in after["services"]]
    assert project.entries_after(entry) == []
