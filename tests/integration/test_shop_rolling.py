"""A changed byte and `up`, for each of the shop's four services in turn, while people buy."""
import json
import sqlite3

import pytest

from rolling import broken_ids, cut, ended, in_ms
from shop import BUILD_WITHIN_S, LIGHT, SERVICES, Shop

DRAIN_S, DRAIN_SHORT_S = 30, 4  # A ticker never ends by itself.
# Each report holds one of the 32 threads of orders for 8 s.
MANY = {"page": 150, "product": 150, "list": 200, "item": 150, "reread": 120, "order": 170, "form": 30, "report": 5}
SOURCES = {"web": "server.js", "orders": "app.py", "billing": "billing.cpp", "catalog": "main.go"}


class RollingShop(Shop):
    """With a short drain its report takes 2.4 s in place of 8, so that it ends within it as every request is to."""

    def __init__(self, drain_s):
        self.drain_s = drain_s
        super().__init__(None if drain_s == DRAIN_S else f"{drain_s}s")
        if drain_s != DRAIN_S:
            report = self.folder / "orders" / "app.py"
            text = report.read_text(encoding="utf-8")
            assert text.count("sleep(1)") == 1
            report.write_text(text.replace("sleep(1)", "sleep(0.3)"), encoding="utf-8")

    def change(self, service):
        """One byte of the comment in its source's first line: "catalog: what …" becomes "catalog: What …"."""
        source = self.folder / service / SOURCES[service]
        name, mark, rest = source.read_text(encoding="utf-8").partition(": ")
        assert name.endswith(service)
        source.write_text(name + mark + rest[0].swapcase() + rest[1:], encoding="utf-8")

    def running(self):
        """Of each service its release, and the pids of those that are ready."""
        services = {each["name"]: each for each in self.seen()["services"]}
        return {name: (services[name]["release"],
                       {each["pid"] for each in services[name]["instances"] if each["state"] == "ready"})
                for name in SERVICES}

    def ordered(self):
        """Id and status of every order, from the books of orders."""
        with sqlite3.connect(f"file:{self.state('orders')}/orders.db?mode=ro", uri=True) as books:
            return dict(books.execute("SELECT id, status FROM orders"))


@pytest.fixture
def shop():
    with RollingShop(DRAIN_SHORT_S) as made:
        yield made


@pytest.fixture
def slow_shop():
    with RollingShop(DRAIN_S) as made:
        yield made


def roll(shop, service):
    """The timeline of its replacement; nobody else's process has changed."""
    before, after = shop.running(), shop.last_entry()
    shop.change(service)
    shop.thole("up", limit_s=BUILD_WITHIN_S)
    entries, now = shop.entries_after(after), shop.running()
    shop.tell(entries)
    assert [each["service"] for each in entries if each["kind"] == "deploy done"] == [service]
    assert now[service][0] == before[service][0] + 1
    assert len(now[service][1]) == len(before[service][1]) and not now[service][1] & before[service][1]
    assert {name: now[name] for name in SERVICES if name != service} == \
           {name: before[name] for name in SERVICES if name != service}
    return entries


def assert_only_tickers_were_ended(shop, service, entries):
    """Those that people hold at web, and those that web holds at catalog: in the second half of the drain, each counted."""
    assert broken_ids(entries) == set() and cut(entries) == 0
    assert (ended(entries) > 0) == (service in ("web", "catalog"))
    # Written before it is taken out of routing. What is written of the drain may come a busy moment after its begin.
    leaving = {each["instance"]: in_ms(each) for each in entries if each["kind"] == "instance leaving"}
    for each in entries:
        if each["kind"] == "instance stopping" and ended([each]) > 0:
            assert in_ms(each) - leaving[each["instance"]] >= shop.drain_s * 500 - 10, each


def assert_only_tickers_broke(shop, rolled):
    """Its report: what broke are the tickers at web, one by one; who held them goes on with the next price."""
    report = shop.judged()
    assert report["failed"] == report["lost"] == report["doubled"] == report["gaps"] == 0 and "error" not in report
    assert report["kinds"]["report"]["ok"] == report["kinds"]["report"]["sent"] > 0
    for service, entries in rolled.items():
        assert_only_tickers_were_ended(shop, service, entries)
    assert {fault["kind"] for fault in report["faults"]} == {"ticker"}
    assert report["broken"] == ended(rolled["web"]) >= 5
    return report


def test_each_service_is_replaced_while_people_buy_and_nothing_is_lost(shop):
    """The load is open, 25 requests a second, more than half of them on connections of their own, with five tickers
    held open. THOLE_DRAIN_LIMIT makes the drain short: a ticker stays for 2 to 4 s in place of 15 to 30, and is then ended."""
    first = json.dumps({"id": "before-all", "items": {"mug": 2}}).encode()
    assert shop.ask("/api/orders", first)[0] == 201
    paid = shop.ask("/api/orders/before-all")[2]
    shop.load(rate=25, mix=LIGHT["mix"] | {"report": 15})
    rolled = {service: roll(shop, service) for service in ("catalog", "billing", "orders", "web")}
    assert shop.ask("/api/orders/before-all")[2] == paid and shop.ask("/api/orders", first)[0] == 200
    report = assert_only_tickers_broke(shop, rolled)
    assert any(each["kind"] == "instance draining" for each in rolled["orders"]), "it had reports in hand"
    charged, ordered = shop.paid(), shop.ordered()
    assert len(charged) == len(set(charged)) == report["posts_sent"] + 1
    assert ordered == {order: "paid" for order in charged}


@pytest.mark.full
def test_the_pages_and_the_catalogue_are_replaced_in_their_own_time_while_many_buy(slow_shop, record_property):
    """A report of 8 s, 30 s for what is open, and as much as two processors bear beside the builds: at 200 a second
    nothing was lost either, but where others worked on the machine, too, requests waited for more than 20 s."""
    slow_shop.load(rate=100, mix=MANY)
    rolled = {service: roll(slow_shop, service) for service in ("catalog", "web")}
    report = assert_only_tickers_broke(slow_shop, rolled)
    record_property("longest_added_wait_ms", round(report["added_max_ms"]))
    record_property("requests", report["requests"])
    charged = slow_shop.paid()
    assert len(charged) == len(set(charged)) == report["posts_sent"]
