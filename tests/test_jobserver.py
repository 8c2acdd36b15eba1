"""The jobserver with real makes: never more jobs than tokens, none left idle, none lost for good."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from graph.errors import Interrupted, UsageError
from graph.jobserver import Jobserver

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="no make on this host")

MAKEFILE = """
all: $(addprefix job,{numbers})
job%: ; @echo + >> {log}; sleep {seconds}; echo - >> {log}
"""


@pytest.fixture
def jobserver() -> Iterator[Jobserver]:
    made = Jobserver(2)
    yield made
    made.close()


def make(jobserver: Jobserver, folder: Path, log: Path, jobs: int, seconds: float) -> subprocess.Popen[bytes]:
    folder.mkdir()
    numbers = " ".join(map(str, range(jobs)))
    (folder / "Makefile").write_text(MAKEFILE.format(numbers=numbers, log=log, seconds=seconds))
    env = {"PATH": "/usr/bin:/bin", "MAKEFLAGS": jobserver.makeflags(jobserver.fds)}
    return subprocess.Popen(["make"], cwd=folder, env=env, pass_fds=jobserver.fds, stderr=subprocess.PIPE)


def most_at_once(log: Path) -> int:
    now = most = 0
    for line in log.read_text().split():
        now += 1 if line == "+" else -1
        most = max(most, now)
    assert now == 0
    return most


def run_node(jobserver: Jobserver, folder: Path, log: Path, jobs: int) -> None:
    with jobserver.slot():
        process = make(jobserver, folder, log, jobs, 0.05)
        assert process.communicate()[1] == b""
        assert process.returncode == 0


@needs_make
def test_two_makes_never_run_more_jobs_than_tokens_and_one_alone_uses_all(jobserver: Jobserver, tmp_path: Path) -> None:
    log, alone = tmp_path / "log", tmp_path / "alone"
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: run_node(jobserver, tmp_path / name, log, 5), ("a", "b")))
    assert most_at_once(log) == 2
    run_node(jobserver, tmp_path / "c", alone, 4)
    assert most_at_once(alone) == 2
    assert jobserver.free() == 2


@needs_make
def test_the_token_of_a_node_that_ends_goes_to_one_that_runs(jobserver: Jobserver, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with jobserver.slot():
        with jobserver.slot():
            process = make(jobserver, tmp_path / "a", log, 40, 0.05)
            while not log.exists() or log.read_text().count("-") < 3:
                time.sleep(0.01)
            first = log.read_text()
        assert process.wait() == 0
        process.communicate()
    assert "+\n+" not in first
    assert most_at_once(log) == 2


@needs_make
def test_tokens_of_a_killed_make_come_back_when_no_node_runs(jobserver: Jobserver, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with jobserver.slot():
        process = make(jobserver, tmp_path / "a", log, 4, 1.0)
        while not log.exists() or log.read_text().count("+") < 2:
            time.sleep(0.01)
        process.kill()
        process.communicate()
        assert jobserver.free() == 0
    assert jobserver.free() == 2


def test_a_slot_waits_for_a_token(jobserver: Jobserver) -> None:
    order = []

    def third() -> None:
        with jobserver.slot():
            order.append("third")

    with jobserver.slot():
        with jobserver.slot():
            thread = threading.Thread(target=third)
            thread.start()
            time.sleep(0.15)
            order.append("first ends")
        thread.join(timeout=5)
    assert order == ["first ends", "third"]
    assert jobserver.free() == 2


def test_a_waiting_slot_can_be_cancelled(jobserver: Jobserver) -> None:
    cancel = threading.Event()
    threading.Timer(0.05, cancel.set).start()
    with jobserver.slot(), jobserver.slot(), pytest.raises(Interrupted), jobserver.slot(cancel):
        pass
    assert jobserver.free() == 2


def test_tokens_that_a_make_invented_are_taken_away(jobserver: Jobserver) -> None:
    import os

    with jobserver.slot():
        os.write(jobserver.fds[1], b"+++")
    assert jobserver.free() == 2


def test_an_error_inside_gives_the_token_back(jobserver: Jobserver) -> None:
    with pytest.raises(ZeroDivisionError), jobserver.slot():
        raise ZeroDivisionError
    assert jobserver.free() == 2


def test_other_systems_share_the_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graph.jobserver.sys.platform", "darwin")
    jobserver = Jobserver(3)
    with jobserver.slot():
        assert jobserver.free() == 2
    assert jobserver.free() == 3
    jobserver.close()


@pytest.mark.parametrize("tokens", [0, 4097, 100_000])
def test_more_jobs_than_a_pipe_holds_are_refused(tokens: int) -> None:
    with pytest.raises(UsageError, match=f"{tokens} jobs cannot run at once") as caught:
        Jobserver(tokens)
    assert "FREESTANDING_JOBS" in caught.value.hint


def test_as_many_jobs_as_a_pipe_surely_holds() -> None:
    server = Jobserver(4096)
    with server.slot():
        assert server.free() == 4095
    assert server.free() == 4096
    server.close()


def test_slots_are_given_in_the_order_in_which_they_were_asked_for() -> None:
    """Who ends a node and asks for the next one comes behind who waits: what is named first is ended first."""
    server = Jobserver(1)
    order: list[int] = []

    def run(number: int) -> None:
        with server.slot():
            order.append(number)

    with ThreadPoolExecutor(5) as pool:
        with server.slot():
            for number in range(5):
                pool.submit(run, number)
                while len(server._waiting) <= number:
                    time.sleep(0.001)
        run(5)
    server.close()
    assert order == [0, 1, 2, 3, 4, 5]
