"""orders: what was ordered, and whether it is paid.

An order's id comes from the buyer, so sending it twice is one order. Money is billing's business,
and billing, too, counts by that id: whatever dies between the two, the buyer sends again.
"""
import json
import os
import re
import sqlite3
import threading
import time
import urllib.error
import urllib.request

from flask import Flask, Response, g, jsonify, request, stream_with_context

BILLING, CATALOG = os.environ["BILLING_URL"], os.environ["CATALOG_URL"]
STATE = os.environ["STATE_DIR"]
REPORT_SECONDS = 8

app = Flask(__name__)
local = threading.local()
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
# Every POST that arrives, also one that is then found to be known: one line "id request-id".
arrivals = os.open(f"{STATE}/arrivals.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)


def database():
    """One connection per thread; each statement is a transaction of its own."""
    if not hasattr(local, "connection"):
        local.connection = sqlite3.connect(f"{STATE}/orders.db", timeout=10, isolation_level=None)
        local.connection.row_factory = sqlite3.Row
        local.connection.execute("PRAGMA journal_mode=WAL")
        local.connection.execute("PRAGMA synchronous=FULL")
    return local.connection


database().execute(
    "CREATE TABLE IF NOT EXISTS orders(id TEXT PRIMARY KEY, items TEXT NOT NULL,"
    " lines TEXT NOT NULL, total_cents INTEGER NOT NULL, status TEXT NOT NULL, at REAL NOT NULL)")


class CalleeFailed(Exception):
    pass


def call(method, url, body=None):
    """Calls another service, with the ids by which a request is followed. Never tries again:
    thole does that where it is safe, and the buyer where it is not."""
    data = None if body is None else json.dumps(body).encode()
    outgoing = urllib.request.Request(url, data, method=method)
    outgoing.add_header("Content-Type", "application/json")
    for name in ("traceparent", "tracestate", "x-request-id"):
        if name in request.headers:
            outgoing.add_header(name, request.headers[name])
    try:
        with direct.open(outgoing, timeout=35) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code in (404, 409):
            return error.code, {}
        raise CalleeFailed(f"{method} {url}: {error.code}") from error
    except (OSError, ValueError) as error:
        raise CalleeFailed(f"{method} {url}: {error}") from error


def problem(status, text):
    return jsonify(error=text), status


def row_of(order):
    return database().execute("SELECT * FROM orders WHERE id = ?", (order,)).fetchone()


def shown(row):
    return {"id": row["id"], "status": row["status"], "total_cents": row["total_cents"],
            "lines": json.loads(row["lines"])}


def mark_paid(order):
    database().execute("UPDATE orders SET status = 'paid' WHERE id = ?", (order,))
    return row_of(order)


def priced(items):
    """[{"name", "count", "price_cents"}] at this second's prices, or None for an unknown product."""
    lines = []
    for product, count in items.items():
        status, found = call("GET", f"{CATALOG}/products/{product}")
        if status != 200:
            return None
        lines.append({"name": found["name"], "count": count, "price_cents": found["price_cents"]})
    return lines


def wellformed(asked):
    return (isinstance(asked, dict) and re.fullmatch(r"[\w-]{1,64}", str(asked.get("id", "")), re.A)
            and isinstance(asked.get("items"), dict) and 0 < len(asked["items"]) <= 50
            and all(re.fullmatch(r"[\w-]{1,64}", product, re.A) and type(count) is int
                    and 0 < count <= 99 for product, count in asked["items"].items()))


@app.post("/orders")
def place():
    asked = request.get_json(silent=True)
    if not wellformed(asked):
        return problem(400, 'wanted {"id": "…", "items": {"<product>": <1 to 99>}}')
    order, items = asked["id"], json.dumps(asked["items"], sort_keys=True)
    os.write(arrivals, f"{order} {request.headers.get('X-Request-Id', '-')}\n".encode())

    known = row_of(order)
    if known is None:
        lines = priced(asked["items"])
        if lines is None:
            return problem(400, "there is no such product")
        total = sum(line["count"] * line["price_cents"] for line in lines)
        database().execute("INSERT OR IGNORE INTO orders VALUES(?, ?, ?, ?, 'unpaid', ?)",
                           (order, items, json.dumps(lines), total, time.time()))
        known = row_of(order)  # Of two at the same moment, the first one's prices count.
    if known["items"] != items:
        return problem(409, "this id is an order of something else")
    if known["status"] == "paid":
        return jsonify(shown(known))

    status, _ = call("POST", f"{BILLING}/charges/{order}", {"amount_cents": known["total_cents"]})
    if status == 409:
        return problem(409, "billing knows this id with another amount")
    return jsonify(shown(mark_paid(order))), 201


@app.get("/orders/<order>")
def show(order):
    known = row_of(order)
    if known is None:
        return problem(404, "there is no such order")
    # Somebody died between taking the money and writing it down: billing knows.
    if known["status"] == "unpaid" and call("GET", f"{BILLING}/charges/{order}")[0] == 200:
        known = mark_paid(order)
    return jsonify(shown(known))


@app.get("/report")
def report():
    """Takes 8 s on purpose: one line a second, then the sum."""
    def lines():
        yield "sales report\n"
        for part in range(REPORT_SECONDS):
            time.sleep(1)
            yield f"part {part + 1} of {REPORT_SECONDS}\n"
        count, cents = database().execute(
            "SELECT count(*), coalesce(sum(total_cents), 0) FROM orders"
            " WHERE status = 'paid'").fetchone()
        yield f"orders paid: {count}\nsold for: {cents / 100:.2f}\nend of report\n"
    return Response(stream_with_context(lines()), content_type="text/plain; charset=utf-8")


@app.get("/arrivals")
def raw_arrivals():
    with open(f"{STATE}/arrivals.log", encoding="utf-8") as lines:
        wanted = request.args.get("id")
        found = [line for line in lines if wanted is None or line.split(" ")[0] == wanted]
    return Response("".join(found), content_type="text/plain")


@app.get("/healthz")
@app.get("/readyz")
def healthy():
    database().execute("SELECT 1 FROM orders LIMIT 1")
    return jsonify(ok=True)


@app.get("/whoami")
def whoami():
    return jsonify(service="orders", pid=os.getpid(), release=os.environ.get("THOLE_RELEASE", ""),
                   instance=os.environ.get("THOLE_INSTANCE", ""))


@app.errorhandler(CalleeFailed)
def callee_failed(error):
    # 502: it may have happened. The id makes it safe to ask again.
    log("error", str(error))
    return problem(502, "a service that orders needs did not answer; sending the order again is safe")


def log(level, message, **fields):
    print(json.dumps({"time": time.time(), "level": level, "message": message,
                      "request_id": request.headers.get("X-Request-Id", ""),
                      "traceparent": request.headers.get("Traceparent", ""), **fields}), flush=True)


@app.before_request
def begin():
    g.began = time.monotonic()


@app.after_request
def written_down(response):
    if request.path not in ("/readyz", "/healthz"):
        log("info", f"{request.method} {request.path}", status=response.status_code,
            took_ms=round((time.monotonic() - g.began) * 1000))
    return response
