"""Ports that come and go with the snapshot and outlive keeper, and ports that only one caller may use."""
import os
import signal
import subprocess

import pytest

from conftest import start_time, strike, until
from edge import NO_SLOT, Client
from edge_stand import LISTENER, SERVICE, kill_edge, kill_edge_and_holder, stand  # pylint: disable=unused-import

SECOND, OWN, STRANGERS = 101, 102, 103
GET = b"GET /get/1 HTTP/1.1\r\nHost: a\r\n\r\n"


def test_a_port_that_the_snapshot_drops_is_not_served_until_it_is_back(stand):
    """Its connections end, what is under way ends well, and whoever waits is served when it comes back."""
    port = stand.keeper.ensure_listener(SECOND)
    stand.activate([(LISTENER, SERVICE), (SECOND, SERVICE)])
    busy, idle = Client(port), Client(port)
    idle.expect("GET", "/get/1")
    busy.send(b"GET /slow/0.5 HTTP/1.1\r\nHost: a\r\n\r\n")
    stand.edge.until(lambda: stand.in_hand() == 1, "a request at work")
    stand.activate([(LISTENER, SERVICE)])
    assert busy.answer()[0] == 200
    assert idle.connection.recv(1) == b""
    waiting = Client(port)
    waiting.send(GET)
    waiting.connection.settimeout(0.3)
    with pytest.raises(TimeoutError):
        waiting.more()
    stand.client().expect("GET", "/get/1")
    kill_edge(stand)
    with pytest.raises(TimeoutError):
        waiting.more()
    waiting.connection.settimeout(10)
    stand.activate([(LISTENER, SERVICE), (SECOND, SERVICE)])
    assert waiting.answer()[0] == 200
    Client(port).expect("GET", "/get/1")


def test_a_port_comes_and_goes_fifty_times_and_no_descriptor_stays(stand):
    port = stand.keeper.ensure_listener(SECOND)
    count = len(os.listdir(f"/proc/{stand.edge.pid}/fd"))
    for _ in range(50):
        stand.activate([(LISTENER, SERVICE), (SECOND, SERVICE)])
        Client(port).expect("GET", "/get/1")
        stand.activate([(LISTENER, SERVICE)])
    # One connection to the instance may be kept.
    until(lambda: len(os.listdir(f"/proc/{stand.edge.pid}/fd")) <= count + 2, "no descriptor more")


def test_a_call_by_the_wrong_user_is_refused(stand):
    """Each service has a user of its own: another one on its port is not who it claims to be."""
    own, other = stand.keeper.ensure_listener(OWN), stand.keeper.ensure_listener(STRANGERS)
    stand.activate([(LISTENER, SERVICE), (OWN, SERVICE, os.getuid()), (STRANGERS, SERVICE, os.getuid() + 1)])
    for _ in range(2):
        Client(own).expect("GET", "/get/1")
        status, fields, body = Client(other).request("GET", "/get/refused")
        assert (status, fields["connection"]) == (403, "close"), body
        stand.client().expect("GET", "/get/1")
        kill_edge(stand)
    edge = stand.edge
    edge.until(lambda: edge.routes.get((STRANGERS, 0, NO_SLOT)) == {"refused": 2}, "both counted")


def test_a_caller_that_is_gone_already_is_taken_for_the_right_one(stand):
    """It sent its last request and closed before the edge could ask who it was."""
    port = stand.keeper.ensure_listener(STRANGERS)
    stand.activate([(STRANGERS, SERVICE, os.getuid() + 1)])
    before = stand.edge.pid
    strike(stand.system, before, signal.SIGSTOP)
    client = Client(port)
    client.send(b"POST /post/last HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    client.close()
    strike(stand.system, before, signal.SIGCONT)
    until(lambda: stand.backends[0].lines("post") == [["last"]], "the request at its instance")


def test_ports_outlive_keeper_watch_edge_and_holder_one_pair_after_the_other(stand):
    """The edge gives a new keeper what the old one had parked, or nobody could take it from there."""
    stand.client().expect("GET", "/get/1")
    stand.keeper.until(lambda: start_time(stand.keeper.roles.get(1, {}).get("pid", 0)) is not None)
    pair = [stand.keeper.roles[1]["pid"], stand.keeper.synced[5]]
    before = stand.edge.pid
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for victim in pair:
            strike(stand.system, victim, number)
    until(lambda: not any(start_time(pid) for pid in pair), "both deaths")
    assert subprocess.run(stand.system.command(), check=False, timeout=20).returncode == 0
    stand.client().expect("GET", "/get/1")
    until(lambda: parked(stand).get(LISTENER) == stand.port, "the port back with keeper")
    stand.edge.connect()
    assert stand.edge.pid == before
    kill_edge_and_holder(stand)
    stand.client().expect("GET", "/get/1")
    stand.edge.connect()
    # The segment came back, too: counts go on.
    stand.edge.until(lambda: stand.edge.outcome("success") == 3, "all three requests")


def parked(stand):
    """What the keeper of now says it has parked."""
    stand.keeper.listeners = {}
    stand.keeper.connect()
    return stand.keeper.listeners


def test_without_a_descriptor_left_whoever_comes_is_told_at_once(stand):
    """A listener that nobody can accept from would keep a processor busy for ever."""
    subprocess.run(["prlimit", f"--pid={stand.edge.pid}", "--nofile=96:96"], check=True)
    clients = []
    with pytest.raises(OSError):
        for _ in range(200):
            clients.append(stand.client())
            clients[-1].expect("GET", "/get/1")
    # The kernel had taken it; a reset says that nobody will.
    assert len(clients) > 20
    for client in clients:
        client.close()

    def serves():
        try:
            stand.client().expect("GET", "/get/1")
            return True
        except OSError:
            return False
    until(serves, "room again")
