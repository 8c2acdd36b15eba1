"""The real distribution as shipped: audited, moved, tried, and put through CPython's own tests. Each archive, not only the full one."""

from __future__ import annotations

from pathlib import Path

import pytest

from graph.audit import read_archive
from graph.matrix import parse_cell, parse_matrix
from graph.policy import Policy, parse_policy
from graph.rules import check
from graph.suite import render_suite, unexpected, wanted
from graph.target import Cell
from graph.testrun import expected_of, render_smoke, run_smoke, run_suite
from tests.mini import Checkout
from tests.real.conftest import HOUR, archive
from tests.real.version import CELL, VERSION

QUICK = 70
"""Percent of CPython's test files, less those that take longest: a thirtieth of the time (toolchains/suite-seconds.toml)."""
ALWAYS = tuple(f"test_{name}" for name in ("capi", "hashlib", "socket", "ssl", "subprocess", "venv"))
"""Files that are run beside them, for what libraries and patches of our own do."""
FLAVOURS = ("full", "install_only", "install_only_stripped")


def text(first: Checkout, name: str) -> str:
    return (first.root / "toolchains" / name).read_text()


def cell(first: Checkout) -> Cell:
    return parse_cell(str(CELL), parse_matrix(text(first, "targets.toml")))


def limits(first: Checkout) -> Policy:
    return parse_policy(text(first, "policy.toml"), cell(first))


def test_the_archives_pass_the_audit(first: Checkout) -> None:
    """And it saw the whole distribution."""
    policy = limits(first)
    for flavour in FLAVOURS:
        facts = read_archive(archive(first, flavour), policy)
        assert check(facts, policy) == ()
        assert len(facts.entries) > 2000
        assert len([binary for binary in facts.binaries if binary.dynamic]) > len(policy.shared)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_interpreter_works_after_two_moves(first: Checkout, tmp_path: Path, flavour: str) -> None:
    script = first.root / "toolchains" / "smoke.py"
    expected = expected_of(cell(first), lambda name: (first.root / name).read_text())
    checks = run_smoke(archive(first, flavour), tmp_path, script, expected)
    assert len(checks) > 20
    assert [check for check in checks if check.error] == [], render_smoke(checks)


def test_cpythons_own_tests_pass_as_they_do_with_debians_python(first: Checkout, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    percent = 100 if request.config.getoption("--whole") else QUICK
    tried = wanted(lambda path: (first.root / path).read_text(), cell(first), percent, ALWAYS)
    result = run_suite(archive(first, "full"), tmp_path, tried.suite, VERSION, only=tried.only)
    print("\n" + render_suite(result, tried.suite, tried.baseline))
    # (Debian's count is of all its files, and those that are left out in a hurry have most cases)
    assert result.cases >= tried.baseline.cases * (0.99 if percent == 100 else 0.3)
    assert len(result.files) >= len(tried.baseline.files) * 0.95
    assert unexpected(result, tried.suite, tried.baseline) == (), (tmp_path / "all.log").read_text()[-5000:]


def test_the_patches_of_every_version_apply(first: Checkout) -> None:
    versions = parse_matrix(text(first, "targets.toml")).versions
    assert len(versions) > 1
    done = first.doit(*(f"source:cpython-{version}" for version in versions), timeout=HOUR)
    assert done.returncode == 0, done.stdout + done.stderr
