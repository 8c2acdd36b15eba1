"""All the tests but the real ones: what the fast ones reach (all of floors 0 to 3, and most of the rest), and those that type doit. `pytest
--real` runs them here."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.mini import ROOT
from tests.test_structure import FLOORS

PURE = frozenset().union(*FLOORS[:4])


def run(what: str, *argv: str) -> None:
    start = time.monotonic()
    words = (sys.executable, "-m", "pytest", "-q", "-n", "auto", "-p", "no:cacheprovider", *argv)
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    print(f"\n{what}: {time.monotonic() - start:.0f} s; {done.stdout.splitlines()[-1]}")


def test_coverage_of_the_fast_tests(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    report = tmp_path / "coverage.json"
    profile = "thorough" if request.config.getoption("--whole") else "fast"
    run("fast tests, measured", f"--hypothesis-profile={profile}", "--cov", f"--cov-report=json:{report}")
    files = json.loads(report.read_text())["files"]
    pure = {name for name in files if (Path(name).parts[1] if "recipes" in name else Path(name).stem) in PURE or "recipes" in name}
    missed = {name: files[name]["missing_lines"] for name in pure if files[name]["summary"]["percent_covered"] < 100}
    assert missed == {}
    statements = sum(files[name]["summary"]["num_statements"] for name in files if name not in pure)
    covered = sum(files[name]["summary"]["covered_lines"] for name in files if name not in pure)
    print(f"floors 0-3: {len(pure)} files at 100 %; the rest: {covered / statements:.1%}")
    assert covered / statements > 0.8


def test_those_that_type_doit_or_start_servers() -> None:
    """Not measured: to start Python is most of what they do, and to measure that is as much again."""
    run("tests that type doit", "--whole", "-m", "whole")
