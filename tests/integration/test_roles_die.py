"""Any role of thole dies or hangs under load, and whoever uses the services learns nothing of it."""
import socket
import time

import pytest

from judged import Judged, pause

ANSWERS_WITHIN_S = 10  # The bar is 1 s, on a machine that does nothing else; what was measured is printed.


@pytest.fixture
def judged():
    with Judged() as made:
        yield made


def api_answers(project):
    """One request over the API's socket: keeper holds it open, so that whoever asks meanwhile just waits."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(ANSWERS_WITHIN_S)
        try:
            link.connect(str(project.run / "api.sock"))
            link.sendall(b"GET /api/v1/version HTTP/1.1\r\nHost: thole\r\n\r\n")
            return link.recv(1000).startswith(b"HTTP/1.1 200")
        except ConnectionError:
            return False  # It died with our request in its hands.


def wait_for_api(project):
    deadline = time.monotonic() + ANSWERS_WITHIN_S
    while not api_answers(project):
        assert time.monotonic() < deadline, f"control does not answer\n{project.log()}"


TOLD = {"control": ("role started", "control runs again; the one before: SIGKILL, sender unknown"), "keeper": ("keeper lost", ""),
        "watch": ("role started", "watch runs again; the one before: SIGKILL, sender unknown")}


@pytest.mark.parametrize("role", ["control", "keeper", "watch"])
def test_the_death_of_a_role_is_nothing_to_whoever_uses_the_services(judged, role):
    before = judged.instance_pids()
    told_before = judged.count(*TOLD[role])
    judged.load()
    waits = []
    for _ in range(3):
        began = time.monotonic()
        judged.kill_role(role)
        wait_for_api(judged)
        waits.append(time.monotonic() - began)
        pause(0.5)
    print(f"{role}: control answered {', '.join(f'{wait * 1000:.0f}' for wait in waits)} ms after each kill")
    judged.assert_nothing_failed()
    assert judged.instance_pids() == before
    assert judged.count(*TOLD[role]) == told_before + 3, judged.told()


def strike_edge(project, times):
    """One SIGKILL each 200 ms, or as soon as there is a next one; the longest way from a death to a successor."""
    longest = 0.0
    for _ in range(times):
        began = time.monotonic()
        longest = max(longest, project.kill_role("edge"))
        pause(max(0.0, began + 0.2 - time.monotonic()))
    print(f"{times} deaths of the edge, a successor after {longest * 1000:.0f} ms at the latest")


def edge_dies(project, times):
    before = project.instance_pids()
    project.load(expect_header="x-request-id")
    strike_edge(project, times)
    project.assert_nothing_failed()
    assert project.instance_pids() == before
    assert project.broken() == []
    assert project.count("edge lost") > 0 and project.count("edge serving") > 0, project.told()


def test_the_edges_death_breaks_nothing_and_nothing_arrives_twice(judged):
    edge_dies(judged, 25)


@pytest.mark.full
def test_five_hundred_deaths_of_the_edge_break_nothing(judged):
    edge_dies(judged, 500)
