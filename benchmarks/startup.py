"""What the run-time fixes cost at start: `python -I -S -c pass` of this checkout's distribution against one without patches/cpython.

    python benchmarks/startup.py [--runs N] [--check]

Both are built (what this checkout's store has is taken from it), and started in turn, so that both see the same machine. With --check the
run fails when the median of the pairs' ratios is above 1.03. `-c "import sysconfig; sysconfig.get_config_vars()"` is measured beside it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = "dist:x86_64-unknown-linux-gnu"
LIMIT = 1.03
CASES = {
    "-I -S -c pass": ("-I", "-S", "-c", "pass"),
    "-c pass": ("-c", "pass"),
    "sysconfig": ("-c", "import sysconfig; sysconfig.get_config_vars()"),
}


@dataclass(frozen=True)
class Comparison:
    """Seconds of one case, with the fixes and without, pair by pair."""

    case: str
    fixed: tuple[float, ...]
    plain: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Median of the pairs' ratios: what disturbs the machine for a while disturbs both of a pair."""
        return statistics.median(a / b for a, b in zip(self.fixed, self.plain, strict=True))


def distribution(clone: Path, without: Sequence[str]) -> Path:
    """The interpreter of a fresh clone less some folders, built with this checkout's store and unpacked."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    for folder in without:
        shutil.rmtree(clone / folder)
    env = {"FREESTANDING_STORE": str(ROOT / ".store"), **os.environ, "PYTHONPATH": str(clone)}
    subprocess.run([sys.executable, "-m", "doit", DIST], cwd=clone, env=env, check=True, stdout=subprocess.DEVNULL)
    [archive] = (clone / "dist").glob("*-install_only_stripped.tar.gz")
    shutil.unpack_archive(archive, clone / "unpacked")
    return clone / "unpacked/python/bin/python3"


def seconds(python: Path, options: Sequence[str]) -> float:
    """Wall seconds of one start."""
    began = time.perf_counter()
    pid = os.posix_spawn(python, [str(python), *options], {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"})
    _, status = os.waitpid(pid, 0)
    taken = time.perf_counter() - began
    if status:
        raise RuntimeError(f"{python} {options}: status {status}")
    return taken


def compare(case: str, fixed: Path, plain: Path, runs: int) -> Comparison:
    """Start one and the other in turn, each first every second time."""
    times: dict[Path, list[float]] = {fixed: [], plain: []}
    for number in range(-10, runs):
        for python in (fixed, plain) if number % 2 else (plain, fixed):
            taken = seconds(python, CASES[case])
            if number >= 0:
                times[python].append(taken)
    return Comparison(case, tuple(times[fixed]), tuple(times[plain]))


def line(found: Comparison) -> str:
    """The comparison, to read."""
    fixed, plain = (1000 * statistics.median(times) for times in (found.fixed, found.plain))
    return f"{found.case:<16} with {fixed:6.2f} ms, without {plain:6.2f} ms (medians); ratio {found.ratio:.3f}"


def main(argv: Sequence[str]) -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="freestanding-") as folder:
        fixed = distribution(Path(folder) / "with", ())
        plain = distribution(Path(folder) / "less", ("patches/cpython",))
        found = [compare(case, fixed, plain, given.runs) for case in CASES]
    for one in found:
        print(line(one))
    return 1 if given.check and found[0].ratio > LIMIT else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
