"""Ports that two systems on one machine want; public ports that go from one service to another, are taken by somebody else, or are given up while keeper stands still."""
import os
import signal
import socket
import threading

import pytest

from conftest import until, wait_until_still
from project import Project, free_port

SERVICE = rb"""#!/usr/bin/env python3
import os, socket
listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])), backlog=1024)
name = os.environ["THOLE_SERVICE"].encode()
while True:
    connection = listener.accept()[0]
    if connection.recv(65536):
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(name), name))
    connection.close()
"""
REST_S, BUSY_S = 3, 0.3


def ask(port):
    """Which service answers there."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        link.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = b""
        while more := link.recv(65536):
            answer += more
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), answer
    return body.decode()


def is_refused(port):
    try:
        ask(port)
    except ConnectionRefusedError:
        return True
    return False


class Asking:
    """Somebody who asks at all of these ports, and notes what fails."""

    def __init__(self, *ports):
        self.ports, self.failures, self.answered = ports, [], 0
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join()

    def run(self):
        while not self.is_over.is_set() and len(self.failures) < 10:
            for port in self.ports:
                try:
                    ask(port)
                    self.answered += 1
                except (OSError, AssertionError) as problem:
                    self.failures.append((port, repr(problem)))

    def assert_nothing_failed(self):
        assert self.answered > 0 and self.failures == [], self.failures


class Ports(Project):
    def write_services(self, **said):
        services = "".join(f"  {name}:\n    run: ./service\n{more}" for name, more in said.items())
        self.write(f"name: ports\nservices:\n{services}")
        for name in said:
            self.place(name, {"service": SERVICE})
            (self.folder / name / "service").chmod(0o755)


@pytest.fixture
def project():
    made = Ports("")
    yield made
    made.close()


def public(port):
    return f"    public: {port}\n"


def test_two_services_change_their_ports_and_nobody_is_refused(project):
    first, second = free_port(), free_port()
    project.write_services(left=public(first), right=public(second))
    project.up()
    assert (ask(first), ask(second)) == ("left", "right")
    with Asking(first, second) as asking:
        project.write_services(left=public(second), right=public(first))
        project.up()
        until(lambda: (ask(first), ask(second)) == ("right", "left"), "each answers where the other did")
    asking.assert_nothing_failed()
    assert project.timeline("port refused") == []


def status_of(port, line, *fields):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        link.sendall("\r\n".join((line, "Host: a", "Connection: close", *fields, "", "")).encode())
        return link.makefile("rb").readline().split(b" ")[1].decode()


def test_what_a_manifest_says_of_requests_holds_for_its_service_alone(project):
    port = free_port()
    shared = f"    public: {{port: {port}, path: /PATH}}\n"
    project.write_services(
        odd=shared.replace("PATH", "odd") + "    requests: {check: report, encoded-slash: keep, upgrade: []}\n",
        usual=shared.replace("PATH", "usual"))
    project.up()
    for path, status in (("/odd", "200"), ("/usual", "400")):
        assert status_of(port, f"GET {path}/a%2Fb HTTP/1.1") == status
        assert status_of(port, f"GET {path}/a HTTP/1.1", "X-A : b") == status
        assert status_of(port, f"GET {path}/a HTTP/1.1", "Content-Length : 0") == "400"

    def counted():
        lines = project.thole("metrics").stdout.splitlines()
        return {line.rsplit(" ", 1)[0].partition('side="')[2] or line.rsplit(" ", 1)[0]: line.rsplit(" ", 1)[1] for line in lines
                if line.startswith(("thole_edge_refused_total", "thole_edge_reported_total"))}
    reported = f'thole_edge_reported_total{{service="odd",caller="",route="127.0.0.1:{port}",rule="H1-NAME-SPACE"}}'
    wanted = {'request",rule="EDGE-PATH-SLASH"}': "1", 'request",rule="H1-NAME-SPACE"}': "3", reported: "1"}
    until(lambda: counted() == wanted, "all is counted")


def test_a_port_goes_on_under_another_name_of_its_service(project):
    port = free_port()
    project.write_services(before=public(port))
    project.up()
    with Asking(port) as asking:
        project.write_services(after=public(port))
        project.up("--prune")
        until(lambda: ask(port) == "after", "the other one answers")
    asking.assert_nothing_failed()


def test_the_port_goes_on_also_where_both_wanted_it_before(project):
    """The other one was refused it, until the first was removed."""
    port = free_port()
    project.write_services(before=public(port))
    project.up()
    project.write_services(after=public(port))
    project.up(wanted=1)
    project.up("--prune")
    until(lambda: ask(port) == "after", "the other one answers")
    service = project.service("after")
    assert (service["state"], service["reason"]) == ("serving", ""), service


def cpu_s(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
        words = stat.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def test_a_port_that_is_taken_costs_nothing_while_it_is(project):
    """Also where there are others, which are well."""
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        taken = squatter.getsockname()[1]
        project.write_services(calm=public(taken), web=public(free_port()) + "    calls: [api, calm]\n",
                               api="    calls: [calm]\n")
        project.up("--detach", wanted=1)
        until(lambda: project.timeline("port refused"), "it is said")
        pids = [project.role_pid(role) for role in ("keeper", "control")]
        before = sum(cpu_s(pid) for pid in pids)
        over = threading.Event()
        over.wait(REST_S)
        assert sum(cpu_s(pid) for pid in pids) - before < BUSY_S
        # Nothing stands before what has to be done.
        pid = project.instances("api")[0]["pid"]
        project.kill(pid, signal.SIGKILL)
        until(lambda: [each["pid"] for each in project.instances("api")] not in ([], [pid]), "it is there again", 5)
    until(lambda: not is_refused(taken), "the port is open")
    assert ask(taken) == "calm"


def test_a_port_that_was_given_up_while_keeper_stood_still_is_closed(project):
    before, after = free_port(), free_port()
    project.write_services(only=public(before))
    project.up()
    keeper = project.role_pid("keeper")
    project.kill(keeper, signal.SIGSTOP)
    wait_until_still(keeper)
    project.write_services(only=public(after))
    project.up()
    assert project.role_pid("keeper") != keeper
    until(lambda: is_refused(before), "nobody listens there any more")
    assert ask(after) == "only"


def claim(port):
    """As another system does. Not what it looks like: an abstract socket that whoever gives a port to a process has."""
    claimed = socket.socket(socket.AF_UNIX)
    try:
        claimed.bind(f"\0thole port {port}")
    except OSError:
        claimed.close()
        return None
    return claimed


def test_no_two_systems_give_one_port_to_their_instances(project):
    """Between the look whether a port is free and its use by an instance another system looks, too: requests of the one
    were answered by the other."""
    project.write_services(one="")
    project.up()
    port = project.instances("one")[0]["port"]
    assert claim(port) is None, "it has it"
    others = [claim(port + 1), claim(port + 2)]
    project.thole("restart", "one")
    after = project.instances("one")[0]["port"]
    assert after not in (port, port + 1, port + 2)
    until(lambda: claim(port) is not None, "who has gone has it no more")
    control = project.role_pid("control")
    project.kill(control, signal.SIGKILL)
    project.wait_for_role("control", other_than=control)
    assert project.instances("one")[0]["port"] == after
    assert claim(after) is None, "the next control has it again"
    for each in others:
        if each is not None:  # Somebody else's.
            each.close()
