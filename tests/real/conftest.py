"""The real distribution, built once per run in a fresh clone with an empty store."""

from __future__ import annotations

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


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A clone in which the README's first command has ended well."""
    checkout = clone(tmp_path_factory.mktemp("first") / "clone")
    start = time.monotonic()
    done = checkout.doit(DIST, timeout=HOUR)
    print(f"\n{DIST} from an empty store: {time.monotonic() - start:.0f} s")
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    print(done.stdout.splitlines()[-1])
    return checkout
