"""Two build hosts that have nothing in common but the kernel: the same bytes, and a step that writes down its host is caught."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.mini import Mini
from tests.real.hosts import NAME, TESTS, Away, OtherHost, make_host
from tests.real.machine import patiently
from tests.test_cli import TARGET as MINI


@pytest.fixture(scope="module")
def other(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OtherHost:
    """Debian 13 beside this machine's."""
    if made := request.config.getoption("--host"):
        return OtherHost(Path(made))
    place = tmp_path_factory.mktemp("hosts")
    numbers = iter(range(9))
    return patiently(lambda: make_host(place / f"host{next(numbers)}"))


def pair(other: OtherHost, here: Path, name: str) -> tuple[Mini, Away]:
    """The same small checkout on both."""
    mini, twin = Mini(here / name, recipes="LEAKING"), Mini(other.home / name, recipes="LEAKING")
    away = Away(other, twin.root)
    away.settings = {"PYTHONPATH": TESTS, "FREESTANDING_MIRROR": f"{other.inside(twin.root)}/mirror"}
    other.give(twin.root)
    return mini, away


def test_the_other_host_is_another(other: OtherHost) -> None:
    there = other.facts()
    print("\n" + "; ".join(f"{name} {value}" for name, value in there.items()))
    assert "Debian GNU/Linux 13" in there["system"]
    assert (there["sh"], there["cores"], there["umask"]) == ("/usr/bin/bash", "1", "0077")
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
    leaks = ("leak:name", "leak:cores", "leak:coreutils")
    given = here.doit("--remote", f"file://{other.shared}", "--push", *leaks)
    assert given.returncode == 0, given.stdout + given.stderr
    once_more = here.doit("verify", *leaks)
    assert once_more.returncode == 0, "one host cannot tell"
    told = away.doit("verify", "--remote", f"file://{other.inside(other.shared)}", *leaks)
    assert told.returncode == 23, told.stdout + told.stderr
    assert "same leak:name" in told.stdout
    for leak in ("cores", "coreutils"):
        assert f"DIFFERS leak:{leak}" in told.stdout


def test_without_a_sandbox_the_host_name_leaks_and_is_told(other: OtherHost, tmp_path: Path) -> None:
    here, away = pair(other, tmp_path, "plain")
    assert here.ran(MINI, FREESTANDING_SANDBOX="plain")
    published = other.shared / "archive.txt"
    published.write_bytes((here.root / "dist/archive.txt").read_bytes())
    told = away.doit("verify", "--against", other.inside(published), MINI, FREESTANDING_SANDBOX="plain")
    assert told.returncode == 23, told.stdout + told.stderr
    assert f"+{NAME}" in told.stdout or f"-{NAME}" in told.stdout
