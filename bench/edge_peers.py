"""The edge beside HAProxy and nginx, and all of them beside the raw forwarder, in the same run: processor time of a request,
and how much later an answer comes. Each round takes all four one after the other, the next one in the reverse order; the
first round warms up and does not count. A ratio is of two turns of one round."""
import contextlib
import http.client
import statistics

from counted import ENDPOINTS, Stand
from peers import Peer
from programs import Load, Program, cpu_s, spread, table, user_s

ROUNDS = 6  # And one that is dropped.
# (connections, bytes of the answer, of the request, requests a turn)
CASES = [(8, 128, 0, 15000), (32, 128, 0, 25000), (128, 128, 0, 25000), (32, 10240, 0, 15000), (32, 128, 1024, 20000)]
RATE, RATE_REQUESTS, RATE_CONNECTIONS = 2000, 4000, 64
BODY_MAX = 1 << 20


def ask(port, announced=0):
    """A GET, or the head of a POST whose body is so long."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.putrequest("POST" if announced else "GET", "/bench")
        if announced:
            connection.putheader("Content-Length", announced)
        connection.endheaders()
        answer = connection.getresponse()
        answer.read()
        return answer
    finally:
        connection.close()


def prove_edge(stand):
    """That what is on by default takes part before its cost is measured."""
    answer = ask(stand.port)
    assert answer.status == 200
    number = answer.headers["X-Request-Id"]
    rows = stand.edge.why(number)
    assert [row["id"] for row in rows] == [number], "the black box has it, under the id that its client was told"
    assert rows[0]["considered"] == ENDPOINTS, "two of these are drawn"
    assert rows[0]["outcome"] == "success" and rows[0]["attempts"] == 1
    assert ask(stand.port, BODY_MAX + 1).status == 413, "bodies have a limit"


def prove_counted(stand, requests):
    """All that were measured are counted, and every endpoint had its share."""
    stand.edge.until(lambda: stand.edge.outcome("success") >= requests, "the counters have all of them", 30)
    shares = [stats["success"] / requests for stats in stand.edge.stats.values()]
    assert len(shares) == ENDPOINTS and min(shares) > 0.1, shares


def prove_peer(peer):
    answers = [ask(peer.port) for _ in range(2)]
    ids = {answer.headers["X-Request-Id"] for answer in answers}
    assert all(answer.status == 200 for answer in answers) and len(ids) == 2 and all(map(len, ids)), ids


class Turns:
    """One of the four: what each turn cost."""

    def __init__(self, name, target):
        self.name, self.target = name, target
        self.requests = 0
        self.cpu_us, self.user_us, self.p50, self.p99 = [], [], [], []

    def take(self, case, rate=0):
        connections, body, sent, requests = case
        load = Load(self.target.port, connections, body, sent)
        try:
            load.run(connections * 50)
            cpu, user = cpu_s(self.target.pid), user_s(self.target.pid)
            _, p50, p99 = load.run(requests, rate)
            self.cpu_us.append((cpu_s(self.target.pid) - cpu) / requests * 1e6)
            self.user_us.append((user_s(self.target.pid) - user) / requests * 1e6)
            self.p50.append(p50)
            self.p99.append(p99)
            self.requests += connections * 50 + requests
        finally:
            load.close()


@contextlib.contextmanager
def four(body, sent):
    """All of them before one upstream, each proved to do what it is measured for."""
    with contextlib.ExitStack() as until_ended:
        keep = lambda made: until_ended.enter_context(contextlib.closing(made))
        upstream = keep(Program("upstream", body, sent))
        plain = keep(Program("upstream", body))  # For the proofs, which have no bodies.
        stand = keep(Stand(upstream, body=BODY_MAX))
        named = {"forwarder": keep(Program("forwarder", upstream.port)), "edge": stand}
        if sent == 0:
            prove_edge(stand)
        for name in ("haproxy", "nginx"):
            with contextlib.closing(Peer(name, plain)) as proved:
                prove_peer(proved)
            named[name] = keep(Peer(name, upstream))
        turns = {name: Turns(name, target) for name, target in named.items()}
        yield turns
        prove_counted(stand, turns["edge"].requests)


def rounds(turns, case, rate=0):
    for number in range(ROUNDS + 1):
        order = list(turns.values())
        for each in order if number % 2 else reversed(order):
            each.take(case, rate)
    for each in turns.values():
        for numbers in (each.cpu_us, each.user_us, each.p50, each.p99):
            del numbers[0]


def against(ours, others):
    return [mine / theirs for mine, theirs in zip(ours, others)]


def verdict(ratios):
    """Only where every turn says so."""
    return "less" if max(ratios) < 1 else "more" if min(ratios) > 1 else "tied"


def processor(case):
    with four(case[1], case[2]) as turns:
        rounds(turns, case)
    raw = turns["forwarder"].cpu_us
    row = [case[0], case[1], case[2], ", ".join(f"{statistics.median(each.cpu_us):.1f}" for each in turns.values())]
    row += [spread(against(each.cpu_us, raw)) for name, each in turns.items() if name != "forwarder"]
    for name in ("haproxy", "nginx"):
        ratios = against(turns["edge"].cpu_us, turns[name].cpu_us)
        row.append(f"{spread(ratios)}: {verdict(ratios)}")
    row.append(", ".join(f"{statistics.mean(each.user_us):.1f}" for each in turns.values()))
    return row


def latency():
    """At a fixed rate, well below what any of them can do: what each adds to the forwarder's median."""
    with four(128, 0) as turns:
        rounds(turns, (RATE_CONNECTIONS, 128, 0, RATE_REQUESTS), RATE)
    raw = turns["forwarder"]
    rows = []
    for name, each in turns.items():
        added = [mine - theirs for mine, theirs in zip(each.p50, raw.p50)]
        rows.append([name, spread(each.p50, 0), spread(added, 0), spread(against(each.p99, raw.p99))])
    return rows


def main():
    heads = ["connections", "answer, bytes", "request, bytes", "us: forwarder, edge, haproxy, nginx"]
    heads += [f"{name} / forwarder" for name in ("edge", "haproxy", "nginx")]
    heads += ["edge / haproxy", "edge / nginx", "of it user, us: forwarder, edge, haproxy, nginx"]
    table(f"Processor time a request, {ROUNDS} rounds (min / median / max; less or more where each round says so)", heads,
          [processor(case) for case in CASES])
    table(f"At {RATE} requests/s begun by the clock, {RATE_CONNECTIONS} connections, {ROUNDS} rounds",
          ["", "median, us", "median above the forwarder's, us", "99th percentile / forwarder's"], latency())
