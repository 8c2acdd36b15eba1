"""Two build hosts that have nothing in common but the kernel: the same bytes, and a step that writes down its host is caught."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.mini import LEAKS, Mini
from tests.real.conftest import Folder
from tests.real.hosts import NAME, TESTS, Away, OtherHost, make_host
from tests.real.machine import patiently
from tests.test_cli import TARGET as MINI


@pytest.fixture(scope="module")
def other(request: pytest.FixtureRequest, folder: Folder) -> OtherHost:
    """Debian 13 beside this machine's."""
    made = request.config.getoption("--host")
    place = folder("hosts")
    host = OtherHost(Path(made)) if made else patiently(lambda: make_host(place / "host"))
    host.copy_code()
    return host


def pair(other: OtherHost, here: Path, name: str) -> tuple[Mini, Away]:
    """The same small checkout on both."""
    place = Path(tempfile.mkdtemp(prefix=name, dir=other.home))
    mini, twin = Mini(here / name, recipes="LEAKING"), Mini(place / "checkout", recipes="LEAKING")
    away = Away(other, twin.root)
    away.settings = {"PYTHONPATH": TESTS, "FREESTANDING_MIRROR": f"{other.inside(twin.root)}/mirror"}
    other.give(place)
    return mini, away


def test_the_other_host_is_another(other: OtherHost) -> None:
    there = other.facts()
    print("\n" + "; ".join(f"{name} {value}" for name, value in there.items()))
    assert "Debian GNU/Linux 1" in there["system"]
    assert (there["sh"], there["cores"], there["nice"], there["umask"]) == ("/usr/bin/bash", "1", "19", "0077")
    assert (there["time"], there["name"], there["user"]) == ("+0545", NAME, "4711")
    assert there["coreutils"] != subprocess.run(["ls", "--version"], check=True, capture_output=True, text=True).stdout.splitlines()[0]


def test_both_build_the_same_bytes(other: OtherHost, tmp_path: Path) -> None:
    here, away = pair(other, tmp_path, "same")
    assert here.ran(MINI)
    built = away.ran(MINI)
    assert built
    assert (away.root / "dist/archive.txt").read_bytes() == (here.root / "dist/archive.txt").read_bytes()
    assert (away.store / "ac").stat().st_uid == 4711


def test_a_planted_leak_is_told_by_the_second_host(other: OtherHost, tmp_path: Path) -> None:
    here, away = pair(other, tmp_path, "leaks")
    leaks = tuple(f"leak:{name}" for name in LEAKS)
    shared = Path(tempfile.mkdtemp(dir=other.shared))
    shared.chmod(0o755)
    given = here.doit("--remote", f"file://{shared}", "--push", *leaks)
    assert given.returncode == 0, given.stdout + given.stderr
    once_more = here.doit("verify", *leaks)
    assert once_more.returncode == 0, "one host cannot tell"
    told = away.doit("verify", "--remote", f"file://{other.inside(shared)}", *leaks)
    assert told.returncode == 23, told.stdout + told.stderr
    assert "same leak:name" in told.stdout
    assert "DIFFERS leak:coreutils" in told.stdout
    assert "DIFFERS leak:priority" in told.stdout
    # one core is all that the other host has
    assert ("DIFFERS leak:cores" in told.stdout) == (len(os.sched_getaffinity(0)) > 1)
    own = here.doit("verify", "--remote", f"file://{shared}", *leaks)
    assert (own.returncode, "4 of 4 results are this machine's own" in own.stderr) == (10, True)


def test_without_a_sandbox_the_host_name_leaks_and_is_told(other: OtherHost, tmp_path: Path) -> None:
    here, away = pair(other, tmp_path, "plain")
    assert here.ran(MINI, FREESTANDING_SANDBOX="plain")
    published = Path(tempfile.mkdtemp(dir=other.shared)) / "archive.txt"
    published.parent.chmod(0o755)
    published.write_bytes((here.root / "dist/archive.txt").read_bytes())
    told = away.doit("verify", "--against", other.inside(published), MINI, FREESTANDING_SANDBOX="plain")
    assert told.returncode == 23, told.stdout + told.stderr
    assert f"+{NAME}" in told.stdout or f"-{NAME}" in told.stdout
