"""How many requests a service has at one time, who waits for a place among them, who is refused; and the limits of time that a
manifest may set, each with an instance that is slow indeed."""
import contextlib
import select
import signal
import socket
import threading
import time

import pytest

from edge import SECOND, Client
from edge_stand import LISTENER, SERVICE, kill_edge, strike, two, until  # noqa: F401 pylint: disable=unused-import
from raw_backend import RawBackend

INSIDE = 300
LOW = "Priority: u=7\r\n"


class Counted(RawBackend):
    """An instance that counts what it has at one time, and says nothing before it is let."""

    def __init__(self):
        super().__init__()
        self.lock, self.now, self.most, self.order = threading.Lock(), 0, 0, []
        self.gate = threading.Semaphore(0)
        self.answers = self.answer

    def answer(self, request):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.order.append(request.target)
        self.gate.acquire()
        with self.lock:
            self.now -= 1
        return 200, b"done"

    def let(self, count):
        self.gate.release(count)


@pytest.fixture
def counted(two):  # noqa: F811 pylint: disable=redefined-outer-name
    """One instance that counts, a public port and one that another service calls."""
    backend = Counted()
    two.edge.endpoints([(20, 2, SERVICE, backend.port, 0), (21, 2, SERVICE, 1, 8)], full=True)
    two.inside = two.keeper.ensure_listener(INSIDE)
    two.activate([(LISTENER, SERVICE), (INSIDE, SERVICE, 0)])
    yield two, backend
    backend.let(100_000)
    backend.close()


def limit(stand, **limits):
    stand.activate([(LISTENER, SERVICE), (INSIDE, SERVICE, 0)], **limits)


def begin(stand, target, port=None, more=""):
    client = Client(port or stand.port)
    client.send(f"GET {target} HTTP/1.1\r\nHost: shop\r\n{more}\r\n".encode())
    return client


def begin_many(stand, count, what, **more):
    return [begin(stand, f"/{what}/{number}", **more) for number in range(count)]


def waiting(stand, count, before=0):
    stand.edge.until(lambda: stand.edge.header.get("held_ever", 0) >= before + count, f"{count} wait")


def statuses(clients):
    return [client.answer()[0] for client in clients]


def test_never_more_than_the_cap_are_at_the_instance_whoever_of_the_workers_has_them(counted):
    stand, backend = counted
    limit(stand, in_flight=4, queued=200)
    clients = begin_many(stand, 60, "x")
    waiting(stand, 56)
    assert (backend.now, backend.most) == (4, 4)
    backend.let(60)
    assert statuses(clients) == [200] * 60
    assert backend.most == 4
    stand.edge.until(lambda: stand.in_hand() == 0, "nothing is left")
    # On connections that stay, from both workers, over and over.
    backend.let(3000)
    failures = []

    def load():
        client = stand.client()
        for _ in range(50):
            status, fields, body = client.request("GET", "/again")
            if (status, body) != (200, b"done"):
                failures.append((status, fields))
    threads = [threading.Thread(target=load) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [] and backend.most == 4


def test_the_line_is_bounded_and_who_finds_no_place_in_it_is_told_why_and_until_when(counted):
    stand, backend = counted
    limit(stand, in_flight=2, queued=0)
    clients = begin_many(stand, 2, "x")
    until(lambda: backend.now == 2, "both are at the instance")
    status, fields, body = stand.client().request("GET", "/more")
    assert status == 503 and 1 <= int(fields["retry-after"]) <= 30
    assert body == b"EDGE-QUEUE-FULL: this service has as many requests as it may, and as many wait"
    assert fields["connection"] == "close" and len(fields["x-request-id"]) == 32
    backend.let(2)
    assert statuses(clients) == [200, 200]
    # There is a place again at once.
    backend.let(1)
    assert stand.client().request("GET", "/then")[0] == 200


def test_who_has_waited_longest_in_a_full_line_makes_room(counted):
    stand, backend = counted
    limit(stand, in_flight=1, queued=3)
    first = begin(stand, "/first")
    until(lambda: backend.now == 1, "the first is at the instance")
    line = begin_many(stand, 40, "w")
    answers = []
    lock = threading.Lock()

    def hear(client):
        status = client.answer()[0]
        with lock:
            answers.append(status)
    threads = [threading.Thread(target=hear, args=(client,)) for client in line]
    for thread in threads:
        thread.start()
    until(lambda: len(answers) == 37, "all but three are refused")
    assert answers == [503] * 37
    backend.let(4)
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200] * 3 + [503] * 37 and first.answer()[0] == 200
    assert backend.most == 1


def test_who_waits_too_long_for_a_place_is_refused(counted):
    stand, backend = counted
    limit(stand, in_flight=1, queued=5)
    first = begin(stand, "/first")
    until(lambda: backend.now == 1, "the first is at the instance")
    began = time.monotonic()
    status, fields, body = stand.client().request("GET", "/second")
    assert status == 503 and body == b"EDGE-QUEUE-LATE: this service has as many requests as it may, for too long"
    assert 4.9 < time.monotonic() - began < 8 and int(fields["retry-after"]) >= 1
    assert float(fields["server-timing"].removeprefix("hold;dur=")) >= 5000
    backend.let(1)
    assert first.answer()[0] == 200


def test_low_priority_leaves_places_free_waits_longer_and_is_refused_first(counted):
    stand, backend = counted
    limit(stand, in_flight=10, queued=4)
    low = begin_many(stand, 10, "low", port=stand.inside, more=LOW)
    waiting(stand, 2)
    until(lambda: backend.now == 8, "eight of ten places are for them")
    normal = begin_many(stand, 2, "normal")
    until(lambda: backend.now == 10, "the last two are for others")
    more = begin_many(stand, 4, "waits")
    # The two that are low make room for the others.
    waiting(stand, 6)
    until(lambda: len(ready(low)) == 2, "two of low priority are refused")
    assert [client.answer()[0] for client in low if client.connection in ready(low)] == [503, 503]
    stand.edge.until(lambda: stand.edge.queued == 4 and sum(
        count for (*_, rule), count in stand.edge.refusals.items() if rule == "EDGE-QUEUE-LOW") == 2, "they are counted")
    status, _, _ = Client(stand.inside).request("GET", "/late", more=LOW)
    assert status == 503
    backend.let(14)
    assert statuses(normal + more) == [200] * 6
    assert backend.most == 10


def ready(clients):
    """Connections on which something has come."""
    return select.select([client.connection for client in clients], [], [], 0)[0]


def test_nobody_from_outside_says_how_little_it_matters(counted):
    """What a browser says is meant for its own page: behind a cap it would wait for everybody else."""
    stand, backend = counted
    limit(stand, in_flight=10, queued=4)
    clients = begin_many(stand, 10, "outside", more=LOW)
    until(lambda: backend.now == 10, "all ten are at the instance")
    backend.let(10)
    assert statuses(clients) == [200] * 10


def test_who_leaves_the_line_frees_its_place_in_it(counted):
    stand, backend = counted
    limit(stand, in_flight=1, queued=1)
    first = begin(stand, "/first")
    until(lambda: backend.now == 1, "the first is at the instance")
    second = begin(stand, "/gone")
    waiting(stand, 1)
    second.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    second.close()
    third = begin(stand, "/third")
    waiting(stand, 2)
    backend.let(2)
    assert statuses([first, third]) == [200, 200]
    assert backend.order == ["/first", "/third"]


def test_what_lasts_takes_no_place(two):  # noqa: F811
    """A thousand people with an open page are no overload."""
    two.activate([(LISTENER, SERVICE)], in_flight=2, queued=0)
    clients = [two.client() for _ in range(8)]
    for number, client in enumerate(clients):
        if number % 2:
            client.send(b"GET /tunnel/ HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
            assert client.head()[0] == 101
        else:
            client.send(b"GET /events/60 HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.head()[0] == 200
    two.client().expect("GET", "/get/1")
    kill_edge(two)  # Its successor counts them as little.
    two.client().expect("GET", "/get/2")
    for client in clients:
        client.close()


def test_after_twenty_deaths_no_place_is_lost_and_none_is_given_twice(counted):
    stand, backend = counted
    limit(stand, in_flight=6, queued=500)
    stop, answers, lock = threading.Event(), [], threading.Lock()

    def load():
        client = None
        while not stop.is_set():
            try:
                client = client or stand.client()
                status = client.request("GET", "/x")[0]
            except (OSError, ValueError, AssertionError):
                status, client = 0, None
            with lock:
                answers.append(status)
    threads = [threading.Thread(target=load) for _ in range(20)]
    for thread in threads:
        thread.start()
    # Answers come a little later, so that there always are some under way.
    feeding = threading.Thread(target=lambda: [(backend.let(1), stop.wait(0.002)) for _ in iter(stop.is_set, True)])
    feeding.start()
    try:
        for _ in range(20):
            done = len(answers)
            until(lambda done=done: len(answers) > done + 20, "it goes on")
            kill_edge(stand)
    finally:
        stop.set()
        backend.let(10_000)
        for thread in [*threads, feeding]:
            thread.join()
    assert set(answers) == {200} and backend.most <= 6, (set(answers), backend.most)
    stand.edge.until(lambda: stand.in_hand() == 0, "nothing is left")
    # All six places are there, and no seventh.
    while backend.gate.acquire(blocking=False):
        pass
    backend.most = 0
    clients = begin_many(stand, 12, "after")
    until(lambda: backend.now == 6, "six are at the instance")
    backend.let(12)
    assert statuses(clients) == [200] * 12 and backend.most == 6


def test_who_waited_for_an_instance_is_let_in_although_the_line_is_full(counted):
    """A restart: what waits for it is more than the cap, and is not refused for that."""
    stand, backend = counted
    limit(stand, in_flight=2, queued=0)
    assert stand.edge.hold(SERVICE, 1)
    clients = begin_many(stand, 20, "held")
    waiting(stand, 20)
    backend.let(20)
    assert stand.edge.hold(SERVICE, 0)
    assert statuses(clients) == [200] * 20 and backend.most <= 2


@pytest.fixture
def said(two):  # noqa: F811 pylint: disable=redefined-outer-name
    """Two instances that say what they are told to."""
    backends = [RawBackend(), RawBackend()]
    two.edge.endpoints([(20 + at, 2, SERVICE, backend.port, 0) for at, backend in enumerate(backends)], full=True)
    yield two, backends
    for backend in backends:
        backend.close()


def timed(stand, **more):
    began = time.monotonic()
    with contextlib.closing(stand.client()) as client:
        status, fields, body = client.request(**{"method": "GET", "target": "/x", **more})
    return status, time.monotonic() - began, fields, body


def test_an_attempt_has_its_time_and_the_next_one_its_own(said):
    stand, (slow, quick) = said
    stand.activate([(LISTENER, SERVICE)], head=SECOND)
    slow.answers = lambda request: (200, b"late", "", 10)
    took = max(timed(stand)[1] for _ in range(6))
    assert quick.requests and slow.requests and 0.9 < took < 4
    assert timed(stand)[0] == 200
    # What cannot be sent twice is told so after the same time.
    quick.answers = slow.answers
    status, took, _, body = timed(stand, method="POST", body=b"once")
    assert (status, body) == (504, b"the service did not answer in time") and 0.9 < took < 4


def test_all_attempts_together_have_the_total_which_instances_are_told(said):
    stand, backends = said
    stand.activate([(LISTENER, SERVICE)], head=SECOND, total=1_500_000_000)
    for backend in backends:
        backend.answers = lambda request: (200, b"late", "", 10)
    status, took, _, body = timed(stand)
    assert (status, body) == (504, b"its deadline has passed") and 1.4 < took < 2.5
    told = [int(request.fields["x-request-timeout-ms"]) for backend in backends for request in backend.requests]
    assert len(told) == 2 and 1300 < max(told) <= 1500 and min(told) < 600
    # A client may have less.
    assert timed(stand, more="X-Request-Timeout-Ms: 300\r\n")[1] < 1.2
    assert timed(stand, more="X-Request-Timeout-Ms: 60000\r\n")[1] < 2.5


def test_the_total_counts_while_a_request_waits_for_an_instance(two):  # noqa: F811
    two.activate([(LISTENER, SERVICE)], total=SECOND)
    assert two.edge.hold(SERVICE, 1)
    status, took, fields, _ = timed(two)
    assert status == 504 and 0.9 < took < 2 and float(fields["server-timing"].removeprefix("hold;dur=")) > 900


def test_who_has_begun_to_get_an_answer_gets_all_of_it(two):  # noqa: F811
    two.activate([(LISTENER, SERVICE)], total=SECOND // 2)
    status, took, _, body = timed(two, target="/events/1.2")
    assert (status, body) == (200, b"data: 0\n\ndata: 1\n\n") and took > 1.1


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_post_with_an_idempotency_key_is_sent_again_once_and_one_without_never(said, method):
    stand, (bad, good) = said
    bad.answers = lambda request: (503, b"bad")
    key = 'Idempotency-Key: "8e03978e-40d5-43dd-bc93-6894a57f9324"\r\n'
    # Until it has been drawn, of which nobody knows anything yet.
    count = 0
    while not bad.requests or count < 6:
        count += 1
        assert count < 40 and timed(stand, method=method, body=b"once", more=key)[0] == 200
    assert len(good.requests) == count and len(bad.requests) <= count
    again = [request for request in good.requests if request.fields["x-thole-attempt"] == "2/3"]
    assert again and all(request.body == b"once" for request in again)
    before = len(bad.requests), len(good.requests)
    good.answers = bad.answers
    answers = [timed(stand, method="POST", body=b"once")[0] for _ in range(12)]
    assert set(answers) == {503}
    assert len(bad.requests) + len(good.requests) - sum(before) == 12
    # Two keys are none.
    before = len(bad.requests) + len(good.requests)
    for _ in range(8):
        timed(stand, method="POST", body=b"once", more=key + key)
    assert len(bad.requests) + len(good.requests) - before == 8


def test_a_post_with_a_key_outlives_the_death_of_its_instance(said):
    stand, (bad, good) = said
    bad.answers = lambda request: b"HTTP/1.1 2"
    answers = [timed(stand, method="POST", body=b"once", more="Idempotency-Key: 7\r\n") for _ in range(20)]
    assert [answer[0] for answer in answers] == [200] * 20 and bad.requests and len(good.requests) == 20


def test_an_instance_that_hangs_is_left_alone_although_all_its_clients_are_in_a_hurry(said):
    """Each leaves after 400 ms: an instance that has nothing under way then must not look idle."""
    stand, (hung, good) = said
    hurry = "X-Request-Timeout-Ms: 400\r\n"
    assert all(timed(stand, more=hurry)[0] == 200 for _ in range(300))
    hung.answers = lambda request: None
    before = len(hung.requests), len(good.requests)
    answers = [timed(stand, more=hurry)[0] for _ in range(300)]
    assert answers.count(504) < 30, answers.count(504)
    assert len(hung.requests) - before[0] < 30 and len(good.requests) - before[1] > 270


def test_the_holder_too_dies_and_all_places_are_there(counted):
    stand, backend = counted
    limit(stand, in_flight=3, queued=50)
    clients = begin_many(stand, 9, "x")
    waiting(stand, 6)
    kill_edge(stand)
    strike(stand.system, stand.one_holder(), signal.SIGKILL)
    until(lambda: len(stand.holder()) == 1, "another holder")
    late = begin_many(stand, 3, "late")
    backend.let(12)
    assert statuses(clients + late) == [200] * 12 and backend.most <= 3
