"""All requests that others labelled, and ours for each rule, through the edge to an upstream that writes down what comes. What came
is read by Node, Go, h11 and nginx: a request that two of them read differently is how one user's request becomes another's."""
import collections
import re
import select
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import corpus
import corpus_requests
from corpus import Case
from edge import ANY_UPGRADE, REPORTS_RULES, SERVES
from edge_stand import LISTENER, SERVICE, Stand
from readers import READERS, Reading, Request, answer_by_h11, by_go, program
from test_edge_limits import FIRST

PROBE = b"GET /probe HTTP/1.1\r\nHost: probe\r\n\r\n"
SILENT_S, CLIENTS = 0.2, 8


class Exchange:
    """What one upstream connection got: bytes, and whether they were a whole request when they were answered."""

    def __init__(self):
        self.text, self.is_whole = b"", False

    @property
    def number(self):
        found = re.search(rb"\r\nX-Request-Id: ([0-9a-f]{32})\r\n", self.text)
        return found[1].decode() if found else ""

    def request(self):
        """As it was written by us, read by the letter; None where it is not whole."""
        head, mark, rest = self.text.partition(b"\r\n\r\n")
        if not mark:
            return None
        line, *fields = head.decode("latin-1").split("\r\n")
        method, target, version = line.split(" ")
        assert version == "HTTP/1.1"
        said = collections.defaultdict(list)
        for field in fields:
            name, value = re.fullmatch(r"([^ \t:]+): (.*)", field).groups()
            said[name.lower()].append(value)
        assert len(said["host"]) == 1 and len(said["content-length"]) + len(said["transfer-encoding"]) <= 1, head
        body = b""
        if said["content-length"]:
            size = int(said["content-length"][0])
            body, rest = rest[:size], rest[size:]
            if len(body) < size:
                return None
        elif said["transfer-encoding"]:
            assert said["transfer-encoding"] == ["chunked"]
            body, rest = self.unchunked(rest)
            if body is None:
                return None
        assert rest == b"", (head, rest)
        return Request(method, target, said["host"][0], body)

    @staticmethod
    def unchunked(rest):
        body = b""
        while found := re.match(rb"([0-9A-Fa-f]{1,16})\r\n", rest):
            size, rest = int(found[1], 16), rest[found.end():]
            if len(rest) < size + 2:
                return None, rest
            assert rest[size:size + 2] == b"\r\n"
            body, rest = body + rest[:size], rest[size + 2:]
            if size == 0:
                return body, rest
        return None, rest


class Recorder:
    """One request a connection; all bytes until the edge closes it."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.exchanges, self.threads = [], []
        self.acceptor = threading.Thread(target=self.accept)
        self.acceptor.start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            exchange = Exchange()
            self.exchanges.append(exchange)
            self.threads.append(threading.Thread(target=self.serve, args=(connection, exchange)))
            self.threads[-1].start()

    @staticmethod
    def serve(connection, exchange):
        with connection:
            connection.settimeout(30)
            try:
                while more := connection.recv(65536):
                    exchange.text += more
                    if not exchange.is_whole and exchange.request() is not None:
                        exchange.is_whole = True
                        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            except ConnectionError:
                pass

    def close(self):
        """Once the edge has closed what was open to us."""
        if self.listener.fileno() < 0:
            return
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.acceptor.join()
        for thread in self.threads:
            thread.join()


class Answer:
    def __init__(self, head, body):
        lines = head.decode("latin-1").split("\r\n")
        self.status, self.body = int(lines[0].split(" ")[1]), body.decode()
        self.fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}


def answers_in(text, asked_head):
    """Whole ones; all of the edge's and the recorder's say their length."""
    found = []
    while (end := text.find(b"\r\n\r\n")) >= 0:
        answer = Answer(text[:end], b"")
        size = 0 if asked_head and not found else int(answer.fields.get("content-length", 0))
        if len(text) < end + 4 + size:
            break
        found.append(Answer(text[:end], text[end + 4:end + 4 + size]))
        text = text[end + 4 + size:]
    return found, text


def ask(port, text):
    """All answers to it and to the probe behind it. Where nothing more comes the client says that it has said all; whom the edge
    has refused, it must not wait for that."""
    got = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        said_all = False
        try:
            connection.sendall(text + PROBE)
            deadline = time.monotonic() + 10
            while True:
                assert time.monotonic() < deadline, ("neither an answer nor an end", text[:300])
                found, rest = answers_in(got, text.startswith(b"HEAD "))
                is_refused = bool(found) and found[-1].status >= 400
                if not is_refused and not said_all and not select.select([connection], [], [], SILENT_S)[0]:
                    connection.shutdown(socket.SHUT_WR)
                    said_all = True
                more = connection.recv(65536)
                if not more:
                    assert rest == b"", ("bytes behind the last answer", text[:300], rest)
                    return found
                assert not is_refused, ("bytes after a refusal", text[:300], more)
                got += more
        except ConnectionError:  # What is not read any more was dropped.
            return answers_in(got, text.startswith(b"HEAD "))[0]


class Through(Stand):
    """All cases went through the edge; what each got, and what reached the upstream."""

    def __init__(self, check):
        super().__init__(0)
        self.activate([(LISTENER, SERVICE)], flags=ANY_UPGRADE | (REPORTS_RULES if check == "report" else 0))
        self.recorder = Recorder()
        self.edge.endpoints([(*FIRST, SERVICE, self.recorder.listener.getsockname()[1], SERVES)])

    def send(self, cases):
        with ThreadPoolExecutor(CLIENTS) as pool:
            return list(pool.map(lambda case: ask(self.port, case.text), cases))

    def recorded(self):
        """What has come, once the edge has let go of all of it."""
        self.recorder.close()
        return [exchange for exchange in self.recorder.exchanges if exchange.text]

    def close(self):
        super().close()
        self.recorder.close()


@pytest.fixture(params=["refuse", "report"], name="check")
def check_setting(request):
    return request.param


@pytest.fixture
def through(check):
    made = Through(check)
    yield made
    made.close()


# Served although they are labelled so: one framing, written anew, which all read alike.
SERVED_ANYWAY = {"ambiguous: Get with a body and Content-Length", "ambiguous: Get with a body and Transfer-Encoding",
                 "ambiguous: Head with a body and Content-Length", "ambiguous: Head with a body and Transfer-Encoding",
                 "real-life-test-cases: Has a CL in GET", "real-life-test-cases: Has a TE in GET"}
# The same with `check: report`: what made them ambiguous to others is not passed on.
REPORTED_ANYWAY = SERVED_ANYWAY | {
    "ambiguous: Duplicate Content-Length", "real-life-test-cases: Two Identical Fields - CL",  # Equal, and sent once.
    # A body of GET or HEAD, as above; the control beside it is mended.
    "edge-cases: Non-compliant customer header does not shadow ambiguous Transfer-Encoding for GET",
    "edge-cases: Non-compliant customer header does not shadow ambiguous Content-Length for HEAD",
    "edge-cases: Bad URI does not shadow essential ambiguous headers"}
# Refused although they are labelled compliant or acceptable: each by a rule that we do not bend.
REFUSED_ANYWAY = {
    "more-compliant-tests: Correct TE OK": "H1-TE-CODING",
    "more-compliant-tests: Transfer-Encoding: identity and chunked OK": "H1-TE-CODING",
    "more-compliant-tests: Multiple transfer encoding headers in a single request OK": "H1-TE-CODING",
    "more-compliant-tests: TE with custom parameters OK": "H1-TE-CODING",
    "rfc-compliant: Different Transfer-Encoding headers": "H1-TE-CODING",
    "rfc-compliant: Different Transfer-Encoding headers combined": "H1-TE-CODING",
    "rfc-compliant: Transfer-Encoding with a param: chunked;custom_param": "H1-TE-CODING",
    "rfc-compliant: Compliant URL": "H1-TARGET-BYTE",  # '#'
    "rfc-compliant: International in URI": "H1-TARGET-BYTE",
    "rfc-compliant: Empty URI": "H1-LINE-SPACE",
    "acceptable: No TE/CL headers, some others are non-compliant": "H1-NAME-SPACE",
    "acceptable: TE and some others are non-compliant": "H1-NAME-SPACE",
    "acceptable: CL and some others are non-compliant": "H1-NAME-SPACE",
    "acceptable: A non-essential header with a non-printable character (x01)": "H1-CTL",
    "acceptable: Non-RFC, but OK HTTP/0.9": "H1-VERSION",
    "acceptable: Empty version, which means HTTP/0.9": "H1-VERSION",
    "acceptable: Unknown but OK HTTP/1.2": "H1-VERSION-NUMBER",
    "bad-header-characters: Some-Header\\x01": "H1-CTL",
    "bad-header-characters: \\x01Some-Header": "H1-CTL",
    "bad-header-characters: Some-Header: \\x01value": "H1-CTL",
    "bad-header-characters: Some-Header: value\\x01": "H1-CTL",
    "uri-specific-test-cases: Extra spaces in version": "H1-LINE-SPACE",
    "uri-specific-test-cases: [space] in URI": "H1-LINE-SPACE",
}
# Rules of which some of ours below are bent with `check: report`.
REPORTED = {"H1-CL-DUP", "H1-CTL", "H1-LINE-SPACE", "H1-NAME-TWIN", "H1-TARGET-BYTE", "H1-TE-CODING", "H1-VERSION",
            "H1-VERSION-NUMBER"}
# What is right and some take none of: Node knows a list of methods, nginx no OPTIONS of a server as a whole.
TAKEN_BY_OTHERS_ONLY = {("node", "ANNOUNCE", "/music/sweet/music"), ("node", "BREW", "/pot"), ("nginx", "OPTIONS", "*")}


def refusal(answers):
    """The rule by which it was refused (of HEAD its status alone), or none."""
    return answers[0].body or str(answers[0].status) if answers and answers[0].status >= 400 else ""


def check_labelled(cases, answers, check):
    """Each label is kept but for those named above. Prints how many were passed on, and which were not."""
    count, passed = collections.Counter(), collections.Counter()
    served, refused = set(), {}
    for case, got in zip(cases, answers):
        count[case.label] += 1
        passed[case.label] += not refusal(got)
        if case.label in ("ambiguous", "severe") and not refusal(got):
            served.add(case.name)
        if case.label in ("compliant", "acceptable") and refusal(got):
            refused[case.name] = refusal(got)
    for label in ("compliant", "acceptable", "ambiguous", "severe"):
        print(f"{label}: {passed[label]} of {count[label]} passed on")
    for name, rule in refused.items():
        print(f"refused: {name}: {rule}")
    assert (served, refused) == ((SERVED_ANYWAY, REFUSED_ANYWAY) if check == "refuse" else (REPORTED_ANYWAY, {}))


def check_ours(answers, written, check):
    """Those that break a rule are refused by its id, the others leave as they should. Where rules are only reported, some are
    served: check_readings() says that all read them alike."""
    refused = [[(one.status, one.body) for one in got] for got in answers[len(corpus_requests.ACCEPTED):]]
    wanted = [[(status, rule)] for rule, status, _ in corpus_requests.REFUSED]
    if check == "report":
        served = [at for at, got in enumerate(refused) if got[0][0] == 200]
        print("served, and reported:", collections.Counter(corpus_requests.REFUSED[at][0] for at in served))
        assert {corpus_requests.REFUSED[at][0] for at in served} == REPORTED
        refused, wanted = ([each for at, each in enumerate(all_of) if at not in served] for all_of in (refused, wanted))
    assert refused == wanted
    left = [got and written.get(got[0].fields["x-request-id"]) for got in answers[:len(corpus_requests.ACCEPTED)]]
    assert left == [Request(*what) for _, _, what in corpus_requests.ACCEPTED]


def check_counts(edge, answers):
    """Each refusal is counted by its rule; who asked for a head alone is told no rule."""
    told = collections.Counter(got[-1].body or "" for got in answers if got and got[-1].status >= 400)
    silent = told.pop("", 0)

    def counted():
        return {rule: number for (kind, listener, _, rule), number in edge.refusals.items()
                if (kind, listener) == ("request", LISTENER)}
    edge.until(lambda: sum(counted().values()) >= told.total() + silent, "all are counted")
    assert sum(counted().values()) == told.total() + silent
    assert all(counted()[rule] >= number for rule, number in told.items())


def check_probes(answers, written):
    """What stood behind a request with an end of its own came to the upstream as the next one, unchanged."""
    probed = [got[1] for got in answers if len(got) > 1 and got[1].status == 200]
    assert len(probed) > 50
    for answer in probed:
        assert written[answer.fields["x-request-id"]] == Request("GET", "/probe", "probe", b"")


def check_readings(exchanges, readings):
    """Each reader finds exactly the request that we sent, or, of those named above, none. What was not whole is whole to nobody."""
    not_taken = set()
    for at, exchange in enumerate(exchanges):
        ours = exchange.request()
        for name, reading in ((name, each[at]) for name, each in readings.items()):
            if ours is None:
                assert reading.requests == [], (name, exchange.text, reading)
            elif not reading.requests:
                not_taken.add((name, ours.method, ours.target))
            else:
                assert reading == Reading([ours]), (name, exchange.text[:600], reading, ours)
    assert not_taken <= TAKEN_BY_OTHERS_ONLY


@pytest.mark.skipif(program("nginx") is None, reason="no nginx here; try: ./dev prepare unpacked")
def test_what_is_forwarded_is_read_alike_by_everybody(through, check, tmp_path):
    """And each refusal names its rule and ends the connection."""
    labelled, free = corpus.desync_guardian(), corpus.llhttp("request")
    if not labelled or not free:
        pytest.skip(f"no {corpus.folder('http-desync-guardian')} or {corpus.folder('llhttp')}")
    ours = [Case(what, "ours", text) for what, text, _ in corpus_requests.ACCEPTED]
    ours += [Case(rule, "refused", text) for rule, _, text in corpus_requests.REFUSED]
    cases = labelled + ours + free
    answers = through.send(cases)
    exchanges = through.recorded()
    written = {exchange.number: exchange.request() for exchange in exchanges if exchange.is_whole}
    check_labelled(labelled, answers, check)
    check_ours(answers[len(labelled):len(labelled) + len(ours)], written, check)
    check_counts(through.edge, answers)
    check_probes(answers[:len(labelled) + len(ours)], written)
    # Nothing reached the upstream of which no client heard: what stood behind a last request or a refusal stayed here.
    assert set(written) <= {one.fields.get("x-request-id") for got in answers for one in got}
    check_readings(exchanges, {name: read([exchange.text for exchange in exchanges], tmp_path)
                               for name, read in READERS.items()})
    print(f"{len(cases)} requests, {len(exchanges)} forwarded, read by {', '.join(READERS)}")


def say(connection, cases):
    """To whoever asks for /n the n-th, and the end."""
    with connection:
        head = b""
        while b"\r\n\r\n" not in head:
            more = connection.recv(65536)
            if not more:
                return
            head += more
        connection.sendall(cases[int(head.split(b" ")[1][1:])].text)


def say_to_all(listener, cases):
    with ThreadPoolExecutor(CLIENTS) as pool:
        while True:
            try:
                pool.submit(say, listener.accept()[0], cases)
            except OSError:  # It was shut.
                return


def all_that_comes(port, number):
    text = b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(b"GET /%d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % number)
        try:
            while more := connection.recv(65536):
                text += more
        except ConnectionResetError:
            pass
    return text


def test_what_is_passed_on_of_an_answer_is_read_alike(tmp_path):
    """Of what llhttp tries its parser with: one answer or none, to Go and to h11, or a 502 that names the rule."""
    cases = corpus.llhttp("response")
    if not cases:
        pytest.skip(f"no {corpus.folder('llhttp')}")
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    sayer = threading.Thread(target=say_to_all, args=(listener, cases))
    sayer.start()
    stand = Stand(0)
    try:
        stand.edge.endpoints([(*FIRST, SERVICE, listener.getsockname()[1], SERVES)])
        with ThreadPoolExecutor(CLIENTS) as pool:
            texts = list(pool.map(lambda number: all_that_comes(stand.port, number), range(len(cases))))
    finally:
        stand.close()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        sayer.join()
    count = collections.Counter()
    for case, text, by_others in zip(cases, texts, by_go(texts, tmp_path, "answers")):
        by_us = answer_by_h11(text)
        assert by_others.requests == by_us.requests and not (by_us.requests and by_us.problem + by_others.problem), (
            case, text, by_us, by_others)
        is_refused = bool(by_us.requests) and by_us.requests[0].body.startswith(b"H1-")
        count["refused" if is_refused else "passed on" if by_us.requests else "cut off"] += 1
    print(f"{len(cases)} answers: {dict(count)}")
    assert count["passed on"] > 20 and count["refused"] > 20
