"""From the SIGKILL of a part of thole to the next answer: of a service through the edge, of control. Beside the smallest
program that restarts another."""
import os
import signal
import socket
import time

from conftest import until
from judged import Judged
from programs import BIN, Program, spread, table
from restart import Starts

TURNS = 30
GET = b"GET /get/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
SYSTEM = b"GET /api/v1/version HTTP/1.1\r\nHost: thole\r\nConnection: close\r\n\r\n"


def answered_ms(began, connect, request):
    """Milliseconds until an answer came; asked again whenever there was none."""
    while True:
        try:
            with connect() as link:
                link.settimeout(5)
                link.sendall(request)
                if b" 200 " in link.recv(4096):
                    return (time.monotonic_ns() - began) / 1e6
        except OSError:
            pass
        assert time.monotonic_ns() - began < 30e9, "nobody answers"


def to_edge(project):
    return lambda: socket.create_connection(("127.0.0.1", project.port), 5)


def to_control(project):
    def connect():
        link = socket.socket(socket.AF_UNIX)
        try:
            link.connect(str(project.run / "api.sock"))
        except OSError:
            link.close()
            raise
        return link
    return connect


def wait_whole(project, before):
    """Nobody of them lives, and all roles and a holder do."""
    until(lambda: all(project.role_pid(role) for role in ("keeper", "watch", "control", "edge")) and project.holder(),
          "all are there", 30)
    until(lambda: not set(before) & {project.role_pid("control"), project.role_pid("edge"), project.holder()}, "others", 30)
    project.wait_settled()


def measure(project, yardstick):
    parts = {"edge": (lambda: [project.role_pid("edge")], to_edge(project), GET),
             "edge and holder": (lambda: [project.role_pid("edge"), project.holder()], to_edge(project), GET),
             "control": (lambda: [project.role_pid("control")], to_control(project), SYSTEM)}
    took = {name: [] for name in parts}
    took["restarter"] = []
    for _ in range(TURNS):
        for name, (victims, connect, request) in parts.items():
            pids = victims()
            for pid in pids:  # Stopped first: else one could act before the other has gone.
                os.kill(pid, signal.SIGSTOP)
            began = time.monotonic_ns()
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            took[name].append(answered_ms(began, connect, request))
            wait_whole(project, pids)
        took["restarter"].append(yardstick.kill_the_last())
    return took


def main():
    with Judged(scale=3) as project:
        starts = Starts(project.base / "theirs")
        restarter = Program("restarter", BIN / "bench_starter", starts.path)
        try:
            until(starts.all, "the first of the yardstick")
            took = measure(project, starts)
        finally:
            restarter.close()
            if starts.all():
                os.kill(starts.all()[-1][0], signal.SIGKILL)
        project.down()
    yardstick = took.pop("restarter")
    table(f"From SIGKILL to the next answer, {TURNS} times (min / median / max)",
          ["what was killed", "until it answers, ms", "a restarter's next main(), ms", "ratio"],
          [[name, spread(times), spread(yardstick), spread([ours / theirs for ours, theirs in zip(times, yardstick)], 1)]
           for name, times in took.items()])
