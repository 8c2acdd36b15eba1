"""Targets that this machine does not run by itself: emulated, or with musl; audited and run as tests/real/full_matrix.py does for all."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from graph.matrix import parse_cell
from graph.recipes.distribution import FLAVOURS
from graph.session import Session
from graph.suite import baseline_file, narrow, parse_baseline, parse_suite, render_suite, unexpected
from graph.testrun import run_suite
from tests.mini import Checkout
from tests.real import full_matrix, landed
from tests.real.conftest import HOUR
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
def bench(request: pytest.FixtureRequest, first: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The cell, built in the first checkout."""
    start = time.monotonic()
    done = first.doit(f"dist:{request.param}", timeout=2 * HOUR)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    print(f"\ndist:{request.param}: {time.monotonic() - start:.0f} s; {done.stdout.splitlines()[-1]}")
    session = Session(first.root, first.environment())
    cell = parse_cell(request.param, session.matrix)
    assert session.look_up([f"dist:{cell}"]) == ()
    place = tmp_path_factory.mktemp("bench")
    return Bench(session, cell, place, place)


@pytest.fixture(scope="module")
def user(bench: Bench) -> landed.Landed:
    return bench.land()


def test_the_archives_pass_the_audit(bench: Bench) -> None:
    assert "nothing found" in full_matrix.check(bench)


def test_the_archives_work_after_two_moves(bench: Bench) -> None:
    """Under qemu one of the three: they differ in debug information and tests."""
    flavours = ("install_only",) if bench.cell.target.run == "qemu" else tuple(FLAVOURS)
    assert int(full_matrix.smoke(bench, flavours).split()[0]) > 20 * len(flavours)


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


def test_of_cpythons_own_tests_those_of_the_platform_pass(request: pytest.FixtureRequest, bench: Bench, tmp_path: Path) -> None:
    suite = parse_suite(bench.session.read("toolchains/suite.toml"), bench.cell)
    files = (*FILES, *LONGER) if request.config.getoption("--whole") else FILES
    chosen = [name for name in files if name not in suite.exclude]
    everything = parse_baseline(bench.session.read(baseline_file(bench.cell)))
    machine = landed.machine_of(bench.session, bench.cell)
    result = run_suite(bench.archive("full"), tmp_path, suite, bench.cell.version, machine=machine, only=chosen)
    baseline = narrow(everything, result.files)
    print("\n" + render_suite(result, suite, baseline))
    assert unexpected(result, suite, baseline) == (), (tmp_path / "all.log").read_text()[-5000:]
    assert len(result.files) >= len(chosen)
    assert result.cases > 1000


def test_no_configure_script_has_guessed(bench: Bench) -> None:
    """Every one whose answers are in the archives, CPython's own too."""
    found = guessed(bench.session, bench.cell)
    assert f"configure:{bench.cell.abi}" in found and len(found) > 5
    assert not {name: lines for name, lines in found.items() if lines}
