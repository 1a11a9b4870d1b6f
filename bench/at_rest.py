"""What thole needs while nobody asks for anything: memory and processor time of each role."""
import time
from pathlib import Path

from programs import cpu_s, memory_kb, table
from project import Project  # pylint: disable=wrong-import-order

REST_S = 30
ECHO = b"""
import http.server, os
class Echo(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.path)))
        self.end_headers()
        self.wfile.write(self.path.encode())
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Echo).serve_forever()
"""
MANIFEST = """name: rest
services:
  echo:
    run: python3 echo.py
    public: PORT_HERE
    scale: 3
"""


def roles(project):
    """Pids by name: the roles that have a slot, and the holder, who is the edge's child."""
    found = {role: project.role_pid(role) for role in ("keeper", "watch", "control", "edge")}
    for pid in project.pids():
        if Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() == "holder":
            found["holder"] = pid
    return found


def measure(project):
    project.place("echo", {"echo.py": ECHO})
    project.up()
    project.wait_settled()
    time.sleep(5)  # What `up` has left to do is done.
    found = roles(project)
    before = {role: cpu_s(pid) for role, pid in found.items()}
    time.sleep(REST_S)
    used = {role: cpu_s(pid) - before[role] for role, pid in found.items()}
    assert roles(project) == found, "one of them died meanwhile"
    rows = []
    for role, pid in found.items():
        pss, private = memory_kb(pid)
        rows.append((role, pss, private, used[role] / REST_S * 1e3))
    sums = [sum(column) for column in list(zip(*rows))[1:]]
    rows.append(("all", *sums))
    return [(role, f"{pss / 1024:.1f}", f"{private / 1024:.1f}", f"{cpu:.2f}") for role, pss, private, cpu in rows]


def main():
    project = Project(MANIFEST)
    try:
        rows = measure(project)
    finally:
        project.close()
    table(f"At rest for {REST_S} s, three instances of a service ready", ["role", "PSS, MiB", "private, MiB",
                                                                        "processor, ms a second"], rows)
