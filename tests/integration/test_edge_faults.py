"""Faults on purpose: each hurts whom it names and as many as it says, and is over at its end, whoever is dead by then."""
import os
import select
import signal
import socket
import threading
import time

import pytest

from conftest import until
from edge import (ABORT, BANDWIDTH, DELAY, HANG, NO_SLOT, PARTITION, RESET, SERVES, SLOW_BODY, Backend, Client, Edge,
                  snapshot)
from edge_stand import LISTENER, SERVICE, kill_edge, kill_edge_and_holder, stand, two  # pylint: disable=unused-import

OTHER, CALL, OTHER_CALL, WEB, BATCH = 2, 101, 102, 7, 8


def ask(make, more="", target="/get/1"):
    """How it went, and how long it took. On a connection of its own."""
    began = time.monotonic()
    client = make()
    try:
        status, fields, _ = client.request("GET", target, more=more)
        how = int(fields.get("x-thole-fault", 0)) or status
    except OSError:
        how = "reset"
    finally:
        client.close()
    return how, time.monotonic() - began


def ask_many(make, count, more="", threads=8):
    seen, lock = [], threading.Lock()

    def some():
        for _ in range(count // threads):
            one = ask(make, more)
            with lock:
                seen.append(one)
    every = [threading.Thread(target=some) for _ in range(threads)]
    for each in every:
        each.start()
    for each in every:
        each.join()
    return seen


def test_shares_are_as_asked_and_only_of_whom_it_is_for(stand):
    assert stand.edge.fault(1, SERVICE, ABORT, 200, 60, field="X", value="1") == ""
    assert stand.edge.fault(2, SERVICE, DELAY, 100, 60, delay_s=0.2, jitter_s=0.05, field="X", value="1") == ""
    count = 3200
    seen = ask_many(stand.client, count, "x: 1\r\n", 16)
    aborted = [took for how, took in seen if how == 1]
    served = sorted(took for how, took in seen if how == 200)
    assert len(aborted) + len(served) == count, "nothing else went wrong"
    stand.edge.until(lambda: stand.edge.faults[1]["hurt"] == len(aborted), "it is counted")
    at_once, delayed = served[:-stand.edge.faults[2]["hurt"]], served[-stand.edge.faults[2]["hurt"]:]
    assert len(aborted) / count == pytest.approx(0.2, abs=0.02)
    assert len(delayed) / count == pytest.approx(0.1, abs=0.02)
    assert sum(delayed) / len(delayed) - sum(at_once) / len(at_once) == pytest.approx(0.2, abs=0.02)
    assert 0.15 <= delayed[0] < 0.17 and delayed[-1] > 0.23
    assert [how for how, _ in ask_many(stand.client, 400, "x: 2\r\n")] == [200] * 400
    stand.edge.until(lambda: [stand.edge.faults[at]["matched"] for at in (1, 2)] == [count] * 2, "so is whom it fits")
    # No instance is blamed for it.
    stand.edge.until(lambda: stand.edge.routes.get((LISTENER, 0, NO_SLOT), {}).get("injected") == len(aborted), "a route")
    assert stand.edge.outcome("injected") == 0 and stand.edge.broken == {}


def test_more_than_half_has_to_be_said(stand):
    assert stand.edge.fault(1, SERVICE, ABORT, 501, 60) == (
        "50.1 % of what it is asked would be hurt; more than 50 % has to be said")
    assert stand.edge.fault(1, SERVICE, ABORT, 1000, 60, whole=1) == ""
    assert ask(stand.client)[0] == 1
    assert stand.edge.fault(2, SERVICE, ABORT, 1, 3601) == "a fault lasts an hour at most"
    assert stand.edge.end_fault(1) == ""
    assert [how for how, _ in ask_many(stand.client, 80)] == [200] * 80


def end_by(who, stand):
    if who == "control":
        stand.edge.link.close()
    elif who == "edge":
        os.kill(stand.edge.pid, signal.SIGKILL)
    elif who == "both":
        stand.edge.link.close()
        os.kill(stand.edge.pid, signal.SIGKILL)
    elif who == "edge and holder":
        kill_edge_and_holder(stand)


@pytest.mark.parametrize("who", ["nobody", "control", "edge", "both", "edge and holder"])
def test_it_goes_on_until_its_end_and_no_longer_whoever_dies(stand, who):
    lasts_s = 4
    begun = time.monotonic()
    assert stand.edge.fault(1, SERVICE, ABORT, 1000, lasts_s, whole=1) == ""
    said = time.monotonic()
    assert ask(stand.client)[0] == 1
    end_by(who, stand)
    later = []
    while not later or time.monotonic() < said + lasts_s + 0.5:
        before = time.monotonic()
        how, took = ask(stand.client)
        # What is begun before its end and answered after it may be either.
        if before + took < begun + lasts_s and how == 200:
            assert who == "edge and holder", "not over yet"  # Without a control nobody tells it of endpoints.
        if before > said + lasts_s:
            later.append(how)
    assert later and set(later) == {200}, later
    stand.edge.connect()
    stand.edge.until(lambda: stand.edge.faults is not None, "it tells of its faults")
    assert stand.edge.faults[1]["hurt"] > 1
    assert stand.edge.fault(1, SERVICE, ABORT, 1000, 60, whole=1) == "", "said again by who knows of no end"
    assert ask(stand.client)[0] == 200, "it does not come again"


def test_one_that_waits_goes_on_waiting_behind_the_next_edge_and_is_hurt_once(stand):
    assert stand.edge.fault(1, SERVICE, DELAY, 1000, 60, delay_s=1.5, whole=1) == ""
    clients = [stand.client() for _ in range(20)]
    began = time.monotonic()
    for number, client in enumerate(clients):
        client.send(f"POST /post/{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx".encode())
    stand.edge.until(lambda: stand.edge.faults[1]["hurt"] == 20, "all wait")
    kill_edge(stand)
    for client in clients:
        assert client.answer()[0] == 200
        assert 1.5 <= time.monotonic() - began < 2.9  # Twice would be 3.
    assert sorted(int(line[0]) for line in stand.backends[0].lines("post")) == list(range(20))
    stand.edge.until(lambda: stand.edge.faults, "it tells of its faults")
    assert stand.edge.faults[1]["hurt"] == 20


def test_who_waits_for_a_fault_goes_on_at_once_when_it_is_ended(stand):
    assert stand.edge.fault(1, SERVICE, DELAY, 1000, 60, delay_s=30, whole=1) == ""
    assert stand.edge.fault(2, SERVICE, HANG, 1000, 2, whole=1, field="hang", value="1") == ""
    slow, hung = stand.client(), stand.client()
    slow.send(b"GET /get/1 HTTP/1.1\r\nHost: a\r\n\r\n")
    stand.edge.until(lambda: stand.edge.faults[1]["hurt"] == 1, "it waits")
    assert stand.edge.end_fault(1) == ""
    began = time.monotonic()
    assert slow.answer()[0] == 200
    assert time.monotonic() - began < 0.5
    assert hung.request("GET", "/get/1", more="Hang: 1\r\n")[0] == 200, "until its end"


def test_one_that_hangs_is_ended_by_the_limit_of_time(stand):
    stand.activate([(LISTENER, SERVICE)], head=10**9)
    assert stand.edge.fault(1, SERVICE, HANG, 1000, 60, whole=1) == ""
    began = time.monotonic()
    status, fields, _ = stand.client().request("GET", "/get/1")
    assert (status, fields["x-thole-fault"]) == (504, "1")
    assert 1 <= time.monotonic() - began < 1.3


def test_a_reset_is_a_reset(stand):
    assert stand.edge.fault(1, SERVICE, RESET, 1000, 60, whole=1) == ""
    client = stand.client()
    with pytest.raises(ConnectionResetError):
        client.request("GET", "/get/1")


@pytest.mark.parametrize("target", ["/stream/5", "/chunks/7", "/untilclose/3"])
def test_a_slow_body_comes_at_its_rate_and_whole(stand, target):
    size = {"/stream/5": 300_000, "/chunks/7": 30_000, "/untilclose/3": 50_000}[target]
    assert stand.edge.fault(1, SERVICE, SLOW_BODY, 1000, 60, rate=size // 2, whole=1) == ""
    client, began = stand.client(), time.monotonic()
    if target == "/untilclose/3":
        assert len(client.request("GET", target)[2]) == size
    else:
        client.expect("GET", target)
    assert time.monotonic() - began == pytest.approx(2, rel=0.2)


def test_a_slow_body_is_slow_behind_the_next_edge_too_and_quick_once_it_is_over(stand):
    assert stand.edge.fault(1, SERVICE, SLOW_BODY, 1000, 60, rate=50_000, whole=1) == ""
    client, began = stand.client(), time.monotonic()
    client.send(b"GET /stream/5 HTTP/1.1\r\nHost: a\r\n\r\n")
    client.exactly(20_000)
    kill_edge(stand)
    client.exactly(80_000)
    assert time.monotonic() - began == pytest.approx(2, rel=0.3)
    assert stand.edge.end_fault(1) == ""
    began = time.monotonic()
    client.exactly(200_000)
    assert time.monotonic() - began < 1


def test_a_narrow_line_is_narrow_both_ways(stand):
    assert stand.edge.fault(1, SERVICE, BANDWIDTH, 1000, 60, rate=50_000, whole=1) == ""
    client, body, began = stand.client(), bytes(range(256)) * 200, time.monotonic()
    client.expect("POST", "/echo/", body=body)
    assert time.monotonic() - began == pytest.approx(2 * len(body) / 50_000, rel=0.2)
    client.send(b"GET /tunnel/ HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
    assert client.head()[0] == 101
    began = time.monotonic()
    blocks = b"".join(b"%063d\n" % number for number in range(800))
    client.send(blocks)
    assert client.exactly(len(blocks)) == blocks
    assert 0.75 < (time.monotonic() - began) / (len(blocks) / 50_000) < 1.6


@pytest.fixture
def calls(stand):
    """web and batch call the shop, and web another service, too."""
    stand.other = Backend(stand.system, "other")
    ports = {number: stand.keeper.ensure_listener(number) for number in (CALL, OTHER_CALL, OTHER_CALL + 1)}
    stand.version += 1
    content = snapshot(stand.version, {SERVICE: "shop", OTHER: "other", WEB: "web", BATCH: "batch"},
                       [(LISTENER, SERVICE), (CALL, SERVICE, {WEB}), (OTHER_CALL, SERVICE, {BATCH}),
                        (OTHER_CALL + 1, OTHER, {WEB})])
    assert stand.edge.activate(stand.version, content) == (0, "")
    stand.edge.endpoints([stand.entry(0, SERVES), (30, 1, OTHER, stand.other.port, SERVES)])
    yield stand, ports
    stand.other.process.kill()
    stand.other.process.wait()


def open_tunnel(client):
    client.send(b"GET /tunnel/ HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
    assert client.head()[0] == 101
    return client


def block(number):
    return b"%063d\n" % number


def is_silent(client, for_s=0.3):
    return not select.select([client.connection], [], [], for_s)[0]


@pytest.mark.parametrize("end", ["its time", "asked for", "edge killed"])
def test_a_partition_silences_what_is_under_way_and_it_goes_on_after_it(calls, end):
    stand, ports = calls
    tunnel, other = open_tunnel(Client(ports[CALL])), open_tunnel(Client(ports[OTHER_CALL]))
    slow = Client(ports[CALL])
    slow.send(b"GET /slow/1 HTTP/1.1\r\nHost: a\r\n\r\n")
    stand.edge.until(lambda: stand.in_hand() == 3, "all are under way")
    began = time.monotonic()
    assert stand.edge.fault(1, SERVICE, PARTITION, 1000, 3 if end != "asked for" else 60, caller=WEB, whole=1) == ""
    new = Client(ports[CALL])
    new.send(b"GET /get/1 HTTP/1.1\r\nHost: a\r\n\r\n")
    tunnel.send(block(1))
    other.send(block(2))
    assert other.exactly(64) == block(2), "others are well"
    if end == "edge killed":
        kill_edge(stand)
    assert is_silent(tunnel, 1.2) and is_silent(slow) and is_silent(new), "neither an answer nor an end"
    stand.edge.until(lambda: stand.edge.faults and stand.edge.faults[1]["hurt"] == 3, "each once")
    if end == "asked for":
        assert stand.edge.end_fault(1) == ""
    assert tunnel.exactly(64) == block(1), "nothing is lost"
    assert slow.answer()[0] == new.answer()[0] == 200
    if end != "asked for":
        assert 3 <= time.monotonic() - began < 4
    assert stand.edge.broken == {}


def test_one_that_is_cut_off_ends_by_the_limit_of_time_and_no_instance_is_blamed(calls):
    stand, ports = calls
    stand.version += 1
    content = snapshot(stand.version, {SERVICE: "shop", WEB: "web"}, [(LISTENER, SERVICE), (CALL, SERVICE, {WEB})],
                       head=10**9)
    assert stand.edge.activate(stand.version, content) == (0, "")
    client = Client(ports[CALL])
    client.send(b"GET /slow/1 HTTP/1.1\r\nHost: a\r\n\r\n")
    stand.edge.until(lambda: stand.in_hand() == 1, "it is under way")
    assert stand.edge.fault(1, SERVICE, PARTITION, 1000, 60, caller=WEB, whole=1) == ""
    status, fields, _ = client.answer()
    assert (status, fields["x-thole-fault"]) == (504, "1")
    stand.edge.until(lambda: stand.edge.outcome("injected") == 1, "it is counted")
    assert stand.edge.outcome("timed_out") == 0


@pytest.mark.parametrize("aim", ["instance", "release"])
def test_one_that_is_aimed_leaves_the_others_alone(two, aim):
    stand = two
    aimed = {"slot": 20} if aim == "instance" else {"release": 7}
    stand.edge.endpoints([stand.entry(0, SERVES), stand.entry(1, SERVES)], full=True, releases={20: 7, 21: 8})
    assert stand.edge.fault(1, SERVICE, ABORT, 500, 60, **aimed) == ""
    assert stand.edge.fault(2, SERVICE, DELAY, 500, 60, delay_s=0.2, whole=1, field="x", value="1", **aimed) == ""
    seen = [how for how, _ in ask_many(stand.client, 1600, threads=16)]
    stand.edge.until(lambda: stand.edge.faults[1]["hurt"] == seen.count(1)
                     and stand.edge.faults[1]["matched"] + stand.edge.stats[21, 1]["success"] == 1600,
                     "each went to one of the two, and is counted")
    matched = stand.edge.faults[1]["matched"]
    # Four standard deviations: how many it gets is the balance's to decide.
    assert seen.count(1) / matched == pytest.approx(0.5, abs=2 / matched ** 0.5)
    assert set(seen) == {1, 200}


def test_a_partition_is_between_two_services_alone(calls):
    stand, ports = calls
    assert stand.edge.fault(1, SERVICE, RESET, 1000, 60, caller=WEB, whole=1) == ""
    kept = Client(ports[CALL])
    for _ in range(20):
        assert ask(lambda: Client(ports[CALL]))[0] == "reset"
        for other in (stand.port, ports[OTHER_CALL], ports[OTHER_CALL + 1]):
            assert ask(lambda other=other: Client(other))[0] == 200
    with pytest.raises(OSError):
        kept.request("GET", "/get/1")
    assert stand.edge.end_fault(1) == ""
    assert ask(lambda: Client(ports[CALL]))[0] == 200
