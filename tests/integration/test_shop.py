"""The shop as a newcomer runs it: real services in four languages. Each part of it and of thole is killed, it goes on."""
import json
import signal

import pytest

from judged import ROLES, pause
from shop import BUILD_WITHIN_S, LIGHT, SERVICES, Shop


@pytest.fixture(scope="module")
def shop():
    with Shop() as made:
        yield made


def test_its_pages_and_its_json_work(shop):
    for path, words in {"/": "Ash oar", "/products/mug": "Enamel mug", "/cart": "Your cart is empty",
                        "/report": "Sales report", "/style.css": "body", "/live.js": "prices"}.items():
        status, _, text = shop.ask(path)
        assert status == 200 and words in text, (path, status, text[:500])
    assert shop.ask("/products/none")[0] == 404
    assert shop.ask("/orders/none")[0] == 404
    products = json.loads(shop.ask("/api/products")[2])["products"]
    assert len(products) == 8 and json.loads(shop.ask("/api/products/oar")[2])["name"].startswith("Ash oar")


def test_an_order_is_paid_once_however_often_it_is_sent(shop):
    order = json.dumps({"id": "pressed-often", "items": {"mug": 2}}).encode()
    assert [shop.ask("/api/orders", order)[0] for _ in range(4)] == [201, 200, 200, 200]
    paid = json.loads(shop.ask("/api/orders/pressed-often")[2])
    assert paid["status"] == "paid" and "Thank you!" in shop.ask("/orders/pressed-often")[2]
    shop.kill_instance("billing")
    shop.kill_instance("orders")
    assert shop.ask("/api/orders", order)[0] == 200, "whoever died, it is known"
    assert json.loads(shop.ask("/api/orders/pressed-often")[2]) == paid
    assert shop.paid().count("pressed-often") == 1
    arrived = (shop.state("orders") / "arrivals.log").read_text(encoding="utf-8").splitlines()
    assert sum(line.startswith("pressed-often ") for line in arrived) == 5, "each POST was passed on, once"
    assert shop.ask("/api/orders", b'{"id": "pressed-often", "items": {"oar": 1}}')[0] == 409


def everything_dies(shop, rounds, **more):
    """Each service's instance and each role in turn; the report."""
    shop.load(**more)
    for _ in range(rounds):
        for service, role in zip(SERVICES, ROLES):
            shop.kill_instance(service)
            pause(0.5)
            shop.kill_role(role)
            pause(0.5)
    shop.wait_settled()
    report = shop.judged()
    text = shop.judge.text() + shop.log()[-2000:]
    # What broke had been in the hands of an instance that was killed; nothing else failed, nothing was done twice.
    assert report["failed"] == report["lost"] == report["doubled"] == report["gaps"] == 0, text
    assert report["broken"] < report["requests"] / 10, text
    assert report["ok"] > 100, text
    paid = shop.paid()
    assert len(paid) == len(set(paid)) > 10
    return report


def test_each_part_of_it_and_of_thole_dies_and_the_shop_goes_on(shop):
    everything_dies(shop, 1, **LIGHT)


@pytest.mark.full
def test_the_shop_goes_on_for_many_rounds_of_deaths(shop):
    everything_dies(shop, 10, rate=60)


@pytest.mark.full
@pytest.mark.parametrize("service", SERVICES)
def test_only_what_a_killed_instance_had_in_hand_breaks(shop, service):
    """Where nothing that takes orders dies, no order breaks at all."""
    shop.load(**LIGHT)
    for _ in range(5):
        shop.kill_instance(service)
        pause(1)
    report = shop.judged()
    assert report["failed"] == report["doubled"] == report["lost"] == 0, shop.judge.text()
    if service == "catalog":
        assert report["broken"] == 0, shop.judge.text()


@pytest.mark.full
@pytest.mark.parametrize("role", ROLES)
def test_a_roles_death_breaks_nothing_in_the_shop(shop, role):
    shop.load(mix=LIGHT["mix"] | {"report": 1})
    for number in [signal.SIGKILL] * 5 + [signal.SIGSTOP]:
        before = shop.role_pid(role)
        shop.kill(before, number)
        shop.wait_for_role(role, before, 20)
        pause(1)
    report = shop.judged()
    assert report["passed"] and report["broken"] == 0, shop.judge.text()


@pytest.mark.full
def test_down_ends_the_shop_and_up_finds_what_it_had(shop):
    order = json.dumps({"id": "before-down", "items": {"mug": 1}}).encode()
    assert shop.ask("/api/orders", order)[0] == 201
    before = shop.paid()
    shop.thole("down")
    assert shop.pids() == []
    shop.thole("up", limit_s=BUILD_WITHIN_S)
    assert shop.paid() == before
    assert json.loads(shop.ask("/api/orders/before-down")[2])["status"] == "paid"
