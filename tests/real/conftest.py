"""The real distribution, built once per run in a fresh clone with an empty store."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from pathlib import Path

import pytest

from tests.mini import ROOT, Checkout

TARGET = "x86_64-unknown-linux-gnu"
DIST = f"dist:{TARGET}"
HOUR = 3600.0


def clone(place: Path) -> Checkout:
    """A fresh clone of this checkout's last commit, with an empty store."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(place)], check=True)
    return Checkout(place)


def _cpu_seconds() -> float:
    """User and system time of all processes that this one started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A clone in which the README's first command has ended well."""
    checkout = clone(tmp_path_factory.mktemp("first") / "clone")
    start, before = time.monotonic(), _cpu_seconds()
    done = checkout.doit(DIST, timeout=HOUR)
    wall, used = time.monotonic() - start, _cpu_seconds() - before
    cores = len(os.sched_getaffinity(0))
    print(f"\n{DIST} from an empty store: {wall:.0f} s, {used:.0f} CPU seconds, {cores} cores {used / wall / cores:.0%} busy")
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    print(done.stdout.splitlines()[-1])
    return checkout
