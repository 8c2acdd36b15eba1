"""All the tests but the real ones, and what they reach: all of floors 0 to 3, and most of the rest. `pytest --real` runs them here."""

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


def test_coverage_of_all_but_the_real_tests(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    report = tmp_path / "coverage.json"
    start = time.monotonic()
    # on all cores: beside a build ahead one core alone is the longest of all real tests
    profile = "thorough" if request.config.getoption("--whole") else "fast"
    argv = [
        "-q",
        "-n",
        "auto",
        "--whole",
        f"--hypothesis-profile={profile}",
        "--cov",
        f"--cov-report=json:{report}",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run([sys.executable, "-m", "pytest", *argv], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    print(f"\ntests, measured: {time.monotonic() - start:.0f} s; {done.stdout.splitlines()[-1]}")
    files = json.loads(report.read_text())["files"]
    pure = {name for name in files if (Path(name).parts[1] if "recipes" in name else Path(name).stem) in PURE or "recipes" in name}
    missed = {name: files[name]["missing_lines"] for name in pure if files[name]["summary"]["percent_covered"] < 100}
    assert missed == {}
    statements = sum(files[name]["summary"]["num_statements"] for name in files if name not in pure)
    covered = sum(files[name]["summary"]["covered_lines"] for name in files if name not in pure)
    print(f"floors 0-3: {len(pure)} files at 100 %; the rest: {covered / statements:.1%}")
    assert covered / statements > 0.85
