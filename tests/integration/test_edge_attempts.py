"""One instance after the other: what is tried again for an answer's status or for silence, how often, and until when."""
import signal
import socket
import threading
import time

import pytest

from edge_stand import strike, two, until  # noqa: F401 pylint: disable=unused-import
from raw_backend import RawBackend

SECOND = 10**9


@pytest.fixture
def said(two):  # noqa: F811 pylint: disable=redefined-outer-name
    """Two instances that say what they are told to, and the system before them."""
    backends = [RawBackend(), RawBackend()]
    two.edge.endpoints([(20 + at, 2, 1, backend.port, 0) for at, backend in enumerate(backends)], full=True)
    yield two, backends
    for backend in backends:
        backend.close()


def ask(stand, method="GET", more="", target="/x", body=b""):
    client = stand.client()
    try:
        return client.request(method, target, body=body, more=more)
    finally:
        client.close()


def test_what_a_gateway_may_try_again_is_tried_once_elsewhere(said):
    stand, (bad, good) = said
    bad.answers = lambda request: (503, b"")
    assert [ask(stand)[0] for _ in range(12)] == [200] * 12
    assert len(good.requests) == 12 and 0 < len(bad.requests) <= 12
    # Which attempt it is is told to whoever gets it.
    assert {request.fields["x-thole-attempt"] for request in bad.requests} == {"1/3"}
    assert {request.fields["x-thole-attempt"] for request in good.requests} <= {"1/3", "2/3"}
    assert "2/3" in {request.fields["x-thole-attempt"] for request in good.requests}


def test_a_post_is_answered_what_its_instance_said(said):
    stand, backends = said
    for backend in backends:
        backend.answers = lambda request: (503, b"mine")
    assert [ask(stand, "POST", body=b"once")[::2] for _ in range(10)] == [(503, b"mine")] * 10
    assert sum(len(backend.requests) for backend in backends) == 10


def test_who_closes_without_a_word_is_replaced_by_the_other_one(said):
    stand, (bad, good) = said
    bad.answers = lambda request: b""
    assert [ask(stand)[0] for _ in range(12)] == [200] * 12
    assert bad.requests and len(good.requests) == 12


def test_who_closes_without_a_word_is_asked_once(said):
    """For what may not be sent again it is answered 502, and nobody sees it again."""
    stand, (bad, good) = said
    bad.answers = lambda request: b""
    posted = [ask(stand, "POST", target=f"/post/{number}", body=b"once")[0] for number in range(12)]
    at_bad = [request.target for request in bad.requests]
    assert posted.count(502) == len(at_bad) and posted.count(200) == 12 - len(at_bad)
    at_good = [request.target for request in good.requests]
    assert sorted(at_bad + at_good) == sorted(f"/post/{number}" for number in range(12)), "each met one instance, once"
    assert at_bad, "it was asked at all"


def test_an_instance_that_is_alone_is_asked_once(said):
    stand, (one, _) = said
    stand.edge.endpoints([(21, 2, 1, 1, 8)])
    one.answers = lambda request: (503, b"mine")
    assert [ask(stand)[::2] for _ in range(10)] == [(503, b"mine")] * 10
    assert len(one.requests) == 10


def test_a_500_is_an_answer(said):
    stand, backends = said
    for backend in backends:
        backend.answers = lambda request: (500, b"")
    assert [ask(stand)[0] for _ in range(10)] == [500] * 10
    assert sum(len(backend.requests) for backend in backends) == 10


def test_a_retry_after_that_is_long_is_passed_on(said):
    stand, backends = said
    for backend in backends:
        backend.answers = lambda request: (503, b"", "Retry-After: 30\r\n")
    status, fields, _ = ask(stand)
    assert (status, fields["retry-after"]) == (503, "30")
    assert sum(len(backend.requests) for backend in backends) == 1


def test_where_all_fail_no_storm_begins(said):
    """A budget: what all clients together send again is a fifth of what they send."""
    stand, backends = said
    for backend in backends:
        backend.answers = lambda request: (503, b"")
    clients = 2000
    client = stand.client()
    for _ in range(clients):
        assert client.request("GET", "/x")[0] == 503
    client.close()
    seen = sum(len(backend.requests) for backend in backends)
    assert clients < seen <= 1.2 * clients + 20, seen


def test_who_is_told_from_outside_that_its_caller_retries_does_so_all_the_same(said):
    stand, backends = said
    backends[0].answers = lambda request: (503, b"")
    for _ in range(10):
        assert ask(stand, more="X-Thole-Attempt: 1/3\r\n")[0] == 200


def test_who_is_told_that_its_caller_retries_does_not(said):
    """Only inside: from outside nobody says so."""
    stand, backends = said
    backends[0].answers = lambda request: (503, b"")
    listener = 300
    port = stand.keeper.ensure_listener(listener)
    stand.activate([(100, 1), (listener, 1, 0)])
    before = len(backends[0].requests)
    refused = 0
    for _ in range(40):
        client = type(stand.client())(port)
        status, _, _ = client.request("GET", "/x", more="X-Thole-Attempt: 1/3\r\n")
        client.close()
        refused += status == 503
    assert refused == len(backends[0].requests) - before > 0
    assert backends[0].requests[-1].fields["x-thole-attempt"] == "1/3"


@pytest.mark.parametrize("field, least", [("X-Request-Timeout-Ms: 100", 40), ("grpc-timeout: 100m", 40000)])
def test_a_deadline_ends_the_wait_and_goes_on_to_the_instance(said, field, least):
    stand, backends = said
    for backend in backends:
        backend.answers = lambda request: None  # Silent.
    begun = time.monotonic()
    status, _, body = ask(stand, more=field + "\r\n")
    took = time.monotonic() - begun
    assert status == 504 and b"deadline" in body
    assert 0.095 <= took <= 0.25, took
    request = (backends[0].requests + backends[1].requests)[0]
    told = request.fields[field.split(":")[0].lower()]
    assert least <= int(told.rstrip("mu")) <= 100000 if told.endswith("u") else 40 <= int(told) <= 100
    assert request.closed.wait(1), "its instance is not told that nobody waits"


def test_a_deadline_that_is_no_number_is_not_passed_on(said):
    stand, backends = said
    for bad in ("-1", "1e3", "100 ms", "123456789", ""):
        assert ask(stand, more=f"X-Request-Timeout-Ms: {bad}\r\ngrpc-timeout: {bad}\r\n")[0] == 200
    for request in backends[0].requests + backends[1].requests:
        assert "x-request-timeout-ms" not in request.fields and "grpc-timeout" not in request.fields


def test_who_waits_for_an_instance_is_told_at_its_deadline(said):
    stand, _ = said
    stand.edge.endpoints([(20, 2, 1, 1, 8), (21, 2, 1, 1, 8)])
    begun = time.monotonic()
    status, _, _ = ask(stand, more="X-Request-Timeout-Ms: 200\r\n")
    assert status == 504 and 0.19 <= time.monotonic() - begun <= 0.45


def test_what_cannot_be_answered_in_time_is_not_begun(said):
    stand, backends = said
    for backend in backends:
        backend.answers = lambda request: (200, b"", "", 0.05)
    for _ in range(2):  # Each worker learns by itself.
        threads = [threading.Thread(target=lambda: [ask(stand) for _ in range(15)]) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    before = sum(len(backend.requests) for backend in backends)
    took = []
    for _ in range(40):
        begun = time.monotonic()
        assert ask(stand, more="X-Request-Timeout-Ms: 10\r\n")[0] == 504
        took.append(time.monotonic() - begun)
    # One in sixteen goes on all the same.
    assert sum(len(backend.requests) for backend in backends) - before <= 15
    assert sorted(took)[10] < 0.008, sorted(took)[:12]


def test_who_is_silent_is_not_waited_for_where_others_are_known_to_be_quick(said):
    stand, (hung, good) = said
    for _ in range(2):
        threads = [threading.Thread(target=lambda: [ask(stand) for _ in range(40)]) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    hung.answers = lambda request: None
    took = []
    for _ in range(8):
        begun = time.monotonic()
        assert ask(stand)[0] == 200
        took.append(time.monotonic() - begun)
    assert max(took) < 7, took
    assert len(good.requests) > 0


def test_a_deadline_outlives_the_edge(said):
    stand, backends = said
    for backend in backends:
        backend.answers = lambda request: None
    client = stand.client()
    begun = time.monotonic()
    client.send(b"GET /x HTTP/1.1\r\nHost: shop\r\nX-Request-Timeout-Ms: 600\r\n\r\n")
    until(lambda: backends[0].requests + backends[1].requests, "an instance has it")
    strike(stand.system, stand.edge.pid, signal.SIGKILL)
    status, _, _ = client.answer()
    assert status == 504 and 0.59 <= time.monotonic() - begun <= 0.9


def test_half_a_head_is_tried_elsewhere(said):
    stand, (bad, _) = said
    bad.answers = lambda request: b"HTTP/1.1 200 OK\r\nContent-Le"
    for _ in range(10):
        assert ask(stand)[0] == 200


def test_half_a_body_is_never_a_clean_end(said):
    stand, (bad, _) = said
    bad.answers = lambda request: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    broken = 0
    for _ in range(20):
        try:
            assert ask(stand)[2] in (b"", b"200")
        except (ConnectionError, socket.timeout):
            broken += 1
    assert broken > 0
