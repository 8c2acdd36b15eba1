"""Runs CPython's test suite with Debian's own Python and writes toolchains/suite-baseline-X.Y.toml.

    python tests/real/debian_baseline.py [--minor 3.13] [--jobs 4] [--root FOLDER]

Makes a root file system with mmdebstrap (Debian package of that name; needs root) from the mirror that this machine's apt uses,
under its keys; the machine's own packages are left alone. With --root an existing one is used again.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(HERE))

from graph.machine import MODULE  # noqa: E402
from graph.matrix import parse_cell, parse_matrix  # noqa: E402
from graph.suite import SuiteResult, baseline_file, parse_suite  # noqa: E402
from graph.target import Cell  # noqa: E402
from graph.testrun import Regrtest, run_regrtest  # noqa: E402
from tests.real.debian import bootstrap  # noqa: E402

HEAD = "What Debian's own Python makes of CPython's test suite. Written by tests/real/debian_baseline.py; do not edit."
BESIDES = "gcc g++ libc6-dev ca-certificates netbase ncurses-term procps xz-utils zip unzip bzip2 openssl media-types net-tools locales"
"""Packages whose programs or data tests look for, and skip without."""


RELEASES = {"3.13": ("forky", "tzdata-legacy"), "3.11": ("bookworm", "tzdata")}
"""Python version -> the Debian release that has it, and its package with the old names of time zones."""


def make_root(root: Path, minor: str) -> None:
    """A root file system with Debian's Python and its test suite."""
    python = f"python{minor} python{minor}-venv python{minor}-gdbm python{minor}-dev libpython{minor}-testsuite"
    suite, zones = RELEASES[minor]
    bootstrap(root, suite, ",".join(f"{python} {BESIDES} {zones}".split()))


def native_cell(minor: str) -> Cell:
    """This machine's own cell of a Python version: what is let off there is let off here."""
    matrix = parse_matrix((HERE / "toolchains" / "targets.toml").read_text())
    return parse_cell(f"{matrix.hosts['linux-x86_64']}:{minor}", matrix)


def versions(root: Path, minor: str) -> dict[str, str]:
    """Package -> version of what matters for the outcome."""
    names = [f"python{minor}", f"libpython{minor}-testsuite", "libc6", "openssl"]
    shown = ["dpkg-query", f"--admindir={root}/var/lib/dpkg", "-W", "-f", "${Package} ${Version}\n", *names]
    lines = subprocess.run(shown, capture_output=True, text=True, check=True).stdout.splitlines()
    return dict(line.split() for line in lines)


def write(result: SuiteResult, facts: Mapping[str, str | int], head: str) -> str:
    """The baseline as TOML under a comment: facts of the run, state of each test file, what failed."""

    def table(name: str, values: Mapping[str, str | int]) -> list[str]:
        return ["", f"[{name}]", *(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in values.items())]

    files = dict(sorted(result.files.items()))
    failures = dict(sorted(result.failures.items()))
    return "\n".join([f"# {head}", *table("run", facts), *table("failures", failures), *table("files", files)]) + "\n"


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minor", default="3.13", choices=RELEASES)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--root", type=Path, default=None)
    given = parser.parse_args(argv)
    root = given.root or Path(tempfile.mkdtemp(prefix="debian-")) / "root"
    if not root.exists():
        make_root(root, given.minor)
    work = root / "root" / "suite"
    work.mkdir(exist_ok=True)
    suite = parse_suite((HERE / "toolchains" / "suite.toml").read_text(), native_cell(given.minor))
    enter = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-e", str(Path(__file__).with_name("enter_root.sh")), str(root))
    regrtest = Regrtest((*enter, f"/usr/bin/python{given.minor}", *MODULE), "/root/suite")
    result = run_regrtest(regrtest, work, replace(suite, jobs=given.jobs))
    facts: dict[str, str | int] = {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "kernel": platform.release(),
        "cases": result.cases,
        "seconds": round(result.seconds),
        "flaky": ", ".join(result.flaky),
        **versions(root, given.minor),
    }
    (HERE / baseline_file(native_cell(given.minor))).write_text(write(result, facts, HEAD))
    print(f"{root}: {len(result.files)} test files, {len(result.failures)} failures, {result.seconds:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
