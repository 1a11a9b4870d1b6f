"""Who serves dies while a new release is still starting: what served is there again, and nobody hears of it."""
import contextlib
import signal

import pytest

import accountant
from conftest import until
from rolling import THREE, Follower, Rolling, in_ms

ONE = THREE.replace("scale: 3", "scale: 1")
START_MS = 300
# Far beyond the test: the new release never gets ready.
NEVER_MS = 600_000
# The first release ends at its start while the file is there.
CRASHING = b"""#!/bin/sh
[ "$THOLE_RELEASE" = 1 ] && [ -e "$ARRIVALS_DIR/crash" ] && exit 1
exec ./real
"""


@pytest.fixture
def make():
    made = []

    def one(manifest, program=None, **variables):
        made.append(Rolling(manifest, **variables))
        if program is not None:
            made[-1].place("echo", {"real": accountant.SERVICE, "service": program})
        made[-1].up()
        return made[-1]
    yield one
    for project in made:
        project.close()


@contextlib.contextmanager
def replaced_in_vain(project, manifest):
    """By a release that never gets ready, beside what serves."""
    project.variables["START_MS"] = NEVER_MS
    project.write(manifest)
    follower = Follower(project, project.last_entry())
    process = project.start_up()
    try:
        follower.wait("instance starting")
        yield follower
    finally:
        process.kill()
        process.wait()
        follower.close()
        project.tell(follower.entries)


def more_arrive(project, number=50):
    wanted = len(project.seen_lines()) + number
    until(lambda: len(project.seen_lines()) >= wanted, f"{number} more requests arrive", 30)


def releases(project, state):
    return [each["release"] for each in project.instances("echo", state)]


def test_the_only_one_that_serves_dies_in_a_replacement_and_requests_wait_for_it_and_not_for_the_new_one(make, record_property):
    project = make(ONE, START_MS=START_MS)
    served = project.instances("echo")[0]
    # Answers that take little, so that the longest added wait is that of the hold and not of what began anew.
    project.ask(rate=50, mix={"get": 10, "post": 3}, added_max="2s", allow_broken=3)
    with replaced_in_vain(project, ONE) as follower:
        more_arrive(project)
        project.kill(served["pid"], signal.SIGKILL)
        follower.wait("instance ready")
        more_arrive(project)
        assert (releases(project, "ready"), releases(project, "starting")) == ([1], [2])
    report = project.judge.finish()
    print(project.judge.text())
    record_property("longest_added_wait_ms", round(report["added_max_ms"]))
    assert report["failed"] == 0 and "error" not in report
    assert START_MS - 100 < report["added_max_ms"] < 2000, "somebody must have waited, and not long"


def test_an_old_release_that_crashes_at_its_start_is_tried_less_and_less_often_and_the_new_one_goes_on(make):
    project = make(THREE, CRASHING)
    served = project.instances("echo")[0]
    with replaced_in_vain(project, THREE) as follower:
        (project.records / "crash").touch()
        project.kill(served["pid"], signal.SIGKILL)
        second, eighth = (follower.wait("instance lost", turn) for turn in (2, 8))
        (project.records / "crash").unlink()
        follower.wait("instance ready")
        assert (releases(project, "ready"), releases(project, "starting")) == ([1, 1, 1], [2])
        newest = project.instances("echo", "starting")[0]
        assert newest["name"] == follower.wait("instance starting")["instance"], "it was not held up"
    # 100 ms that double five times, of each at least the half.
    assert in_ms(eighth) - in_ms(second) > 1500
