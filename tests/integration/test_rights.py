"""Who may do what: services of root's thole that keep apart, and a thole of somebody who may do nothing special."""
import contextlib
import json
import os
import pwd
import random
import shutil
import struct
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import wire
from conftest import processes_of, until
from nasty import NOBODY, cgroups_of, needs_cgroups, without_rights
from project import Project

UIDS = range(61184, 65520)
# Tries what it is told to, says how it went, and serves its caller's answers.
SPY = b"""
import errno, http.server, json, os, socket, urllib.request
def attempt(path):
    try:
        if not path.endswith(".sock"):
            with open(path, "rb") as file: return file.read(10).decode("latin-1")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM if "api" in path else socket.SOCK_SEQPACKET) as link:
            link.settimeout(5)
            link.connect(path)
            link.send(b"GET /api/v1/system HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n" if "api" in path else
                      bytes.fromhex(os.environ["HELLO"]))
            return link.recv(1000).decode("latin-1")
    except OSError as problem:
        return errno.errorcode.get(problem.errno, str(problem))
class Spy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/try":
            text = json.dumps({path: attempt(path) for path in os.environ["PATHS"].split()})
        elif self.path == "/call":
            with urllib.request.urlopen(os.environ["VAULT_URL"] + "/get/1", timeout=20) as answer:
                text = json.dumps(answer.status)
        else:
            text = json.dumps(dict(os.environ, uid=str(os.getuid())))
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Spy).serve_forever()
"""
VAULT = b"""
import http.server, os
open(os.environ["STATE_DIR"] + "/secret", "w").write("oars under the bench")
class Vault(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Vault).serve_forever()
"""
MANIFEST = """name: rights
services:
  spy:
    run: python3 spy.py
    public: PORT_HERE
    calls: [vault]
    env: {PATHS: 'PATHS_HERE', HELLO: 'HELLO_HERE'}
  vault:
    run: python3 vault.py
    state: 1Mi
"""


class Rights(Project):
    def __init__(self):
        super().__init__("")
        self.closed = [f"{self.data}/{name}" for name in
                       ("releases/vault/v1/vault.py", "state/vault/secret", "state.db", "spool/vault-17.out",
                        "spool/spy-16.out", "files/1", "keeper.log")]
        self.sockets = [f"{self.run}/{name}" for name in ("api.sock", "keeper.sock", "edge.sock")]
        hello = wire.seal(wire.HELLO, struct.pack("<II32s", 3, os.getpid(), b"test"))
        self.write(MANIFEST.replace("PATHS_HERE", " ".join(self.closed + self.sockets)).replace("HELLO_HERE", hello.hex()))
        self.place("spy", {"spy.py": SPY})
        self.place("vault", {"vault.py": VAULT})

    def spy(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            return json.load(answer)


@pytest.fixture
def rights():
    if os.geteuid() != 0:
        pytest.skip("services have uids of their own only where thole is root")
    project = Rights()
    yield project
    project.close()


def uids_of(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        lines = dict(line.split(":\t", 1) for line in status if ":\t" in line)
    return set(lines["Uid"].split()), set(lines["Gid"].split()), lines["Groups"].split()


def test_each_service_is_a_user_of_its_own_and_sees_nothing_of_the_others(rights):
    rights.up("--detach")
    uids = []
    for name in ("spy", "vault"):
        for instance in rights.instances(name):
            uid, gid, groups = uids_of(instance["pid"])
            assert len(uid) == len(gid) == 1 and set(groups) <= gid, (uid, gid, groups)
            uids.append(int(uid.pop()))
    assert len(set(uids)) == 2 and all(uid in UIDS for uid in uids), uids
    rights.thole("restart", "spy")
    assert uids[0] == int(rights.spy("/env")["uid"]), "the same one after a restart"
    tried = rights.spy("/try")
    for path in rights.closed + rights.sockets:
        own = path.endswith("spy-16.out")
        assert tried[path] in ("EACCES", "EPERM", "ENOENT") or own, (path, tried[path])
    for path in rights.closed[:3] + rights.sockets:
        assert os.path.exists(path) and tried[path] == "EACCES", (path, tried[path])
    assert rights.thole("ps").returncode == 0 and "not promised" not in rights.thole("ps").stdout


def test_a_service_knows_where_to_listen_whom_to_call_and_where_its_state_is(rights):
    rights.up("--detach")
    spy, = rights.instances("spy")
    seen = rights.spy("/env")
    assert seen["PORT"] == str(spy["port"]) and 20000 <= spy["port"] < 30000 and seen["HOST"] == "127.0.0.1"
    assert seen["VAULT_URL"].startswith("http://127.0.0.1:") and "STATE_DIR" not in seen
    assert seen["THOLE_INSTANCE"] == spy["name"]
    assert not [name for name in seen if name.startswith(("THOLE_RUN", "THOLE_DATA"))], "nothing of ours leaks in"
    assert seen["HOME"].startswith(str(rights.data / "releases/spy"))
    secret = rights.data / "state/vault/secret"
    assert secret.read_text(encoding="utf-8") == "oars under the bench"
    assert oct(secret.parent.stat().st_mode & 0o777) == "0o700"


def test_a_call_port_serves_its_caller_and_refuses_everybody_else(rights):
    rights.up("--detach")
    assert rights.spy("/call") == 200
    url = rights.spy("/env")["VAULT_URL"]
    for _ in range(5):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(url + "/get/1", timeout=10)
        assert refused.value.code == 403
    assert rights.spy("/call") == 200


def test_a_service_of_a_named_user_calls_as_that_user_and_loses_it_with_the_key(rights):
    """The port is for whom the service runs as; and who was root once does not stay it."""
    manifest = (rights.folder / "thole.yaml").read_text(encoding="utf-8")
    rights.write(manifest.replace("public:", "user: root\n    public:"))
    rights.up("--detach")
    assert rights.spy("/env")["uid"] == "0"
    rights.write(manifest.replace("public:", "user: daemon\n    public:"))
    rights.up("--detach")
    assert rights.spy("/env")["uid"] == str(pwd.getpwnam("daemon").pw_uid)
    assert rights.spy("/call") == 200
    rights.write(manifest)
    rights.up("--detach")
    assert 61184 <= int(rights.spy("/env")["uid"]) <= 65519
    assert rights.spy("/call") == 200


def test_a_service_that_is_root_may_not_ask_the_api_either(rights):
    manifest = (rights.folder / "thole.yaml").read_text(encoding="utf-8")
    rights.write(manifest.replace("public:", "user: root\n    public:"))
    rights.up("--detach")
    assert rights.spy("/env")["uid"] == "0"
    tried = rights.spy("/try")
    assert " 403 " in tried[rights.sockets[0]], tried
    needs_cgroups(rights)
    assert all(tried[path] in ("", "ECONNRESET", "EPIPE") for path in rights.sockets[1:]), tried
    rights.asked_by = []
    rights.wait_settled()


@contextlib.contextmanager
def where_a_user_has_it(project, owner):
    """The folders that thole takes by itself, where no variable names any."""
    name = f"{random.randrange(1 << 48):012x}"
    project.place(".thole", {"id": f"{name}\n".encode()})
    for made in (project.folder / ".thole", project.folder / ".thole" / "id"):
        os.chown(made, owner, owner)
    project.environment = lambda: {key: value for key, value in os.environ.items() if key != "XDG_RUNTIME_DIR"}
    project.run = Path(f"/run/thole/{name}" if owner == 0 else f"/dev/shm/thole-{owner}/{name}")
    project.data = Path(f"/var/lib/thole/{name}") if owner == 0 else project.folder / ".thole" / "data"
    project.pids = lambda: sorted({*processes_of(name), *processes_of(str(project.base))})
    try:
        yield
        project.down()
    finally:
        for folder in (project.run, project.data):
            shutil.rmtree(folder, ignore_errors=True)


AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


def assert_not_allowed(project, said):
    for words in (("ps",), ("up", "--detach"), ("down",), ("logs",), ("timeline",), ("scale", "spy", "2")):
        done = project.thole(*words, wanted=4)
        assert said.replace("COMMAND", words[0]) in done.stderr and not done.stdout, (words, done)


def test_a_user_is_told_that_root_runs_it_and_starts_no_second_one(rights):
    with where_a_user_has_it(rights, owner=0):
        rights.up("--detach")
        rights.asked_by = AS_NOBODY
        assert_not_allowed(rights, f"root runs thole for {rights.folder}\n  try: sudo thole COMMAND\n")
        rights.asked_by = []
        assert rights.spy("/call") == 200


def test_root_is_told_how_to_ask_for_what_somebody_else_runs(nobody):
    with where_a_user_has_it(nobody, owner=NOBODY):
        nobody.up("--detach")
        as_nobody, nobody.asked_by = nobody.asked_by, []
        assert_not_allowed(nobody, f"try: THOLE_RUN_DIR={nobody.run} thole COMMAND\n")
        nobody.asked_by = ["env", f"THOLE_RUN_DIR={nobody.run}"]
        assert nobody.service("spy")["instances_ready"] == 1
        nobody.asked_by = as_nobody


def test_root_among_an_instances_processes_may_not_ask(rights):
    rights.up("--detach")
    needs_cgroups(rights)
    home = next(made for made in cgroups_of(rights) if made.name.startswith("slot-"))
    rights.asked_by = ["sh", "-c", f'echo $$ >{home}/cgroup.procs && exec "$@"', "inside"]
    for words in (("ps",), ("up", "--detach"), ("down",), ("logs", "-f"), ("scale", "spy", "2")):
        assert "thole takes no orders from its services\n  try: " in rights.thole(*words, wanted=4).stderr
    rights.asked_by = []
    rights.wait_settled()


@pytest.fixture
def nobody():
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    project = Rights()
    without_rights(project)
    yield project
    project.close()


def test_a_user_without_rights_has_all_of_it_and_is_told_what_is_not_promised(nobody):
    nobody.up("--detach")
    told = nobody.thole("ps").stdout
    for words in ("not promised here", "cgroup", "outlive", "memory", "who calls whom", "no users of their own",
                  "can read what the others keep", "each can say `thole down`"):
        assert words in told, (words, told)
    assert uids_of(nobody.instances("spy")[0]["pid"])[0] == {str(NOBODY)}
    assert nobody.spy("/call") == 200
    assert nobody.spy("/env")["uid"] == str(NOBODY)
    before = nobody.instances("spy")[0]["pid"]
    nobody.kill(before, 9)
    until(lambda: [each for each in nobody.instances("spy") if each["pid"] != before], "its successor")
    for role in ("control", "keeper", "edge", "watch"):
        pid = nobody.role_pid(role)
        nobody.kill(pid, 9)
        nobody.wait_for_role(role, other_than=pid)
    nobody.wait_settled()
    assert nobody.spy("/call") == 200
    (nobody.folder / "spy" / "text").write_bytes(b"a byte more")
    nobody.up("--detach")
    assert nobody.service("spy")["release"] == 2
    nobody.down()
