"""One process of 32 threads: SQLite likes one writer, and a report of 8 s holds a thread.

Settings are looked at here, once: a worker that cannot start would be started again for ever.
"""
import os
import sys

for name, remedy in {
    "PORT": "PORT=3001 .venv/bin/python -m gunicorn -c gunicorn.conf.py app:app",
    "BILLING_URL": "calls: [billing, catalog] for orders in thole.yaml",
    "CATALOG_URL": "calls: [billing, catalog] for orders in thole.yaml",
    "STATE_DIR": "state: 256Mi for orders in thole.yaml",
}.items():
    if not os.environ.get(name):
        sys.exit(f"orders: {name} is not set\n  try: {remedy}")

bind = f"127.0.0.1:{os.environ['PORT']}"
worker_class = "gthread"
workers = 1
threads = 32
