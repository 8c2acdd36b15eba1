"""Targets that this machine does not run by itself: emulated, or with musl; audited and run as tests/real/full_matrix.py does for all."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from graph.matrix import parse_cell
from graph.recipes.distribution import FLAVOURS
from graph.session import Session
from graph.suite import SuiteResult, baseline_file, narrow, parse_baseline, parse_suite, render_suite, unexpected
from graph.testrun import run_suite
from tests.mini import Checkout
from tests.real import full_matrix, landed
from tests.real.conftest import HOUR, Folder
from tests.real.full_matrix import Bench
from tests.real.guesses import guessed
from tests.real.version import EMULATED, MUSL, TAG

CELLS = (EMULATED, MUSL)
FILES = (
    *("test_struct", "test_float", "test_zlib", "test_sqlite3", "test_sysconfig", "test_codecs", "test_locale"),
    "test_dynamic",
)
"""Of CPython's tests: what depends on the processor, the libc and libraries of our own, and takes at most half a minute emulated."""
LONGER = ("test_long", "test_array")
"""A minute or two: with --whole."""


@pytest.fixture(scope="module", params=CELLS)
def bench(request: pytest.FixtureRequest, first: Checkout, folder: Folder) -> Bench:
    """The cell, built in the first checkout."""
    start = time.monotonic()
    done = first.doit(f"dist:{request.param}", timeout=2 * HOUR)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    print(f"\ndist:{request.param}: {time.monotonic() - start:.0f} s; {done.stdout.splitlines()[-1]}")
    session = Session(first.root, first.environment())
    cell = parse_cell(request.param, session.matrix)
    assert session.look_up([f"dist:{cell}"]) == ()
    place = folder("bench")
    # looked up once: tests below use it in two threads
    landed.machine_of(session, cell)
    return Bench(session, cell, place, place)


@dataclass(frozen=True)
class Behind:
    """What takes long, mostly on one core, and runs while the other tests of the cell do."""

    smoke: Future[str]
    suite: Future[SuiteResult]
    logs: Path


@pytest.fixture(scope="module")
def behind(request: pytest.FixtureRequest, bench: Bench, folder: Folder) -> Iterator[Behind]:
    """Under qemu one of the three archives is tried: they differ in debug information and tests."""
    flavours = ("install_only",) if bench.cell.target.run == "qemu" else tuple(FLAVOURS)
    suite = parse_suite(bench.session.read("toolchains/suite.toml"), bench.cell)
    files = (*FILES, *LONGER) if request.config.getoption("--whole") else FILES
    chosen = [name for name in files if name not in suite.exclude]
    machine, logs = landed.machine_of(bench.session, bench.cell), folder("suite")
    with ThreadPoolExecutor(1) as pool:
        smoke = pool.submit(full_matrix.smoke, bench, flavours)
        run = partial(run_suite, bench.archive("full"), logs, suite, bench.cell.version, machine=machine, only=chosen)
        yield Behind(smoke, pool.submit(run), logs)


@pytest.fixture(scope="module")
def user(bench: Bench) -> landed.Landed:
    return bench.land()


def test_the_archives_pass_the_audit(bench: Bench, behind: Behind) -> None:
    assert "nothing found" in full_matrix.check(bench)


def test_it_is_what_its_name_says(user: landed.Landed) -> None:
    """Seen by the interpreter itself, on the libc that it was built for."""
    code = "import platform as p, sys, sysconfig as s; print(p.machine(), s.get_platform(), sys.implementation._multiarch)"
    target = user.cell.target
    assert user.run(user.python, "-c", code).split() == [target.arch, target.platform_tag, target.multiarch]
    loaded = user.run(user.python, "-c", "import ssl, _ctypes; print(open('/proc/self/maps').read())")
    assert ("/lib/ld-musl-" in loaded) == (target.libc == "musl")
    if target.run == "native":
        # as test.support asks
        asked = user.run(user.python, "-c", "import subprocess, sys; subprocess.run(['ldd', sys.executable])")
        assert ("musl" in asked) == (target.libc == "musl")


def test_pip_installs_a_pure_wheel(user: landed.Landed) -> None:
    assert landed.pure_wheel(user) == "small indeed"


def test_a_c_module_is_built_by_the_compiler_that_sysconfig_names(user: landed.Landed, tmp_path: Path) -> None:
    told = landed.extension(user, landed.stock_build_requirements(tmp_path / "house"))
    assert str(told["file"]).endswith(f".cpython-{TAG}-{user.cell.target.multiarch}.so")
    print("\n" + json.dumps(told))


def test_wheels_of_the_index_compute(user: landed.Landed) -> None:
    assert landed.wheels(user).startswith("numpy 2")


def test_the_archives_work_after_two_moves(bench: Bench, behind: Behind) -> None:
    tried = 1 if bench.cell.target.run == "qemu" else len(FLAVOURS)
    assert int(behind.smoke.result().split()[0]) > 20 * tried


def test_of_cpythons_own_tests_those_of_the_platform_pass(request: pytest.FixtureRequest, bench: Bench, behind: Behind) -> None:
    suite = parse_suite(bench.session.read("toolchains/suite.toml"), bench.cell)
    files = (*FILES, *LONGER) if request.config.getoption("--whole") else FILES
    everything = parse_baseline(bench.session.read(baseline_file(bench.cell)))
    result = behind.suite.result()
    baseline = narrow(everything, result.files)
    print("\n" + render_suite(result, suite, baseline))
    assert unexpected(result, suite, baseline) == (), (behind.logs / "all.log").read_text()[-5000:]
    assert set(files) - suite.exclude.keys() <= result.files.keys()
    assert result.cases > 1000


def test_no_configure_script_has_guessed(bench: Bench) -> None:
    """Every one whose answers are in the archives, CPython's own too."""
    found = guessed(bench.session, bench.cell)
    assert f"configure:{bench.cell.abi}" in found and len(found) > 5
    assert not {name: lines for name, lines in found.items() if lines}
