"""A CI run in small: forty cells, eight job processes with stores of their own, and one shared store. How often is each node run?"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import cast

import pytest

from graph.remote import claims
from tests.mini import Mini, many, nodes_done
from tests.real.cache_servers import SERVERS, CacheServer
from tests.remotes import http_cache

JOBS = 8
CELLS = 40


def checkout(root: Path) -> Mini:
    """The same small checkout, as each job of a CI run clones it."""
    mini = many(root, CELLS)
    mini.settings |= {"FREESTANDING_OFFLINE": "", "FREESTANDING_JOBS": "2"}
    return mini


def shards(dists: list[str]) -> list[list[str]]:
    """Cells to jobs, in turn."""
    return [dists[start::JOBS] for start in range(JOBS)]


def cells(mini: Mini) -> list[str]:
    return [row["dist"] for row in json.loads(mini.doit("matrix", "--json").stdout)]


def run_jobs(root: Path, *options: str) -> tuple[list[str], float, list[str]]:
    """Every job's nodes that were run, by what its own store recorded; the seconds of all; what each printed."""
    jobs = [checkout(root / f"job{number}") for number in range(JOBS)]
    wanted = shards(cells(jobs[0]))
    start = time.monotonic()
    processes = [job.start(*options, *dists) for job, dists in zip(jobs, wanted, strict=True)]
    printed = [process.communicate(timeout=500) for process in processes]
    seconds = time.monotonic() - start
    for process, (out, err) in zip(processes, printed, strict=True):
        assert process.returncode == 0, out + err
    ran = [span["node"] for job in jobs if (job.store / "runs/last.json").exists() for span in recorded(job)]
    assert sorted(ran) == sorted(name for out, _ in printed for name in nodes_done(out))
    for job, dists in zip(jobs, wanted, strict=True):
        assert len(list((job.root / "dist").glob("*.txt"))) == len(dists)
    return ran, seconds, [out for out, _ in printed]


def recorded(job: Mini) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads((job.store / "runs/last.json").read_text())
    return found


@contextmanager
def folder(root: Path) -> Iterator[str]:
    (root / "shared").mkdir()
    yield f"file://{root}/shared"


def doubles(ran: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(ran).items() if count > 1]


def test_the_jobs_of_a_ci_run_execute_each_node_once(tmp_path: Path) -> None:
    with folder(tmp_path) as url:
        ran, seconds, _ = run_jobs(tmp_path / "claimed", "--remote", url, "--push", "--claim")
        again, seconds_again, _ = run_jobs(tmp_path / "again", "--remote", url)
        left = list((tmp_path / "shared/claims").iterdir())
    alone, seconds_alone, _ = run_jobs(tmp_path / "naive")
    print(f"\n{CELLS} cells, {JOBS} jobs, {len(set(ran))} nodes: with claims {len(ran)} run in {seconds:.1f} s; ", end="")
    print(f"the next time {len(again)} in {seconds_again:.1f} s; by jobs that share nothing {len(alone)} in {seconds_alone:.1f} s")
    assert doubles(ran) == []
    assert set(ran) == set(alone)
    assert again == []
    assert left == []
    assert len(alone) > len(ran)


@contextmanager
def fake() -> Iterator[str]:
    with http_cache() as running:
        yield running.url
        assert running.kept.wrong == []


@contextmanager
def served(name: str, place: Path) -> Iterator[str]:
    """A server of the field, by the last of its addresses: bazel-remote's is HTTP."""
    place.mkdir()
    with cast(AbstractContextManager[CacheServer], SERVERS[name](place)) as server:
        yield server.pull[-1]


SERVED = ("http", *SERVERS)
"""The first runs in this process. A gRPC server cannot: it does not survive the forks."""


@pytest.mark.parametrize("kind", SERVED)
def test_where_the_last_writer_wins_each_node_is_executed_about_once(kind: str, tmp_path: Path) -> None:
    """A race that is lost costs a second run, so it is counted, not forbidden; what comes out is whole."""
    with fake() if kind == "http" else served(kind, tmp_path / "server") as url:
        ran, seconds, printed = run_jobs(tmp_path / "claimed", "--remote", url, "--push", "--claim")
    print(f"\n{kind}: {len(set(ran))} nodes, {len(doubles(ran))} of them run more than once, {seconds:.1f} s")
    lines = [line for text in printed for line in text.splitlines() if line.startswith("remote: ")]
    faults = [line for line in lines if "without it" in line or "any more" in line]
    assert "marks" not in "".join(printed)
    # (a server that stalls is done without, and claims nothing: the faults say so)
    assert len(ran) < 2 * len(set(ran)), faults


def test_jobs_that_share_without_claims_run_nodes_twice(tmp_path: Path) -> None:
    """What claims are for."""
    with folder(tmp_path) as url:
        ran, seconds, _ = run_jobs(tmp_path / "jobs", "--remote", url, "--push")
    print(f"\nwithout claims: {len(ran)} runs of {len(set(ran))} nodes in {seconds:.1f} s")
    assert doubles(ran)


def wait_for(process: subprocess.Popen[str], start: str) -> str:
    """The first line that begins so."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(start):
            return line
    raise AssertionError(f"it ended without {start!r}")


def test_another_job_takes_over_from_one_that_was_killed(tmp_path: Path) -> None:
    first, second = (Mini(tmp_path / name, recipes="FAILING") for name in ("first", "second"))
    with folder(tmp_path) as url:
        options = ("--remote", url, "--push", "--claim", "make:slow")
        owner = first.start(*options)
        wait_for(owner, "run  make:slow")
        # or it may end before the other looks
        os.killpg(owner.pid, signal.SIGSTOP)
        other = second.start(*options)
        wait_for(other, "wait make:slow")
        os.killpg(owner.pid, signal.SIGKILL)
        owner.communicate()
        killed = time.monotonic()
        out, err = other.communicate(timeout=120)
        seconds = time.monotonic() - killed
        assert other.returncode == 0, out + err
        assert "done make:slow" in out
        third = Mini(tmp_path / "third", recipes="FAILING")
        assert third.ran(*options) == []
    print(f"\ntaken over {seconds:.1f} s after the kill; lease {claims.LEASE:g} s")
