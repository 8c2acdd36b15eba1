"""CPython's tests under wine, by the distribution and by another program: what fails in both the same way is not ours.

    python -m tests.real.wine_compare --other FOLDER [--cell TARGET:VERSION:OPTIONS] [--out FOLDER] [--only ours|other] [--whole] [FILE...]

--other is an unpacked CPython for Windows that MSVC has built (python.exe, DLLs/), which need not hold tests: its programs run the
distribution's own Lib, of it the cases that failed with the distribution and the files that it skipped, or with --whole all. FILE is
a test file, test_int or test.test_asyncio.test_tasks; without any, all. Each runs alone, in turn, and replaces what --out has of it.
Windows are made on $DISPLAY.
tests.real.wine_table makes the baseline and docs/windows-suite.md of --out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from graph.errors import UsageError
from graph.machine import Wine
from graph.matrix import parse_cell
from graph.session import Session
from graph.suite import SKIPPED, Suite, SuiteResult, parse_suite
from graph.target import Cell
from graph.testrun import listed, prefix_of, regrtest_of, run_once, try_machine, unpack_archive
from tests.real.version import WINDOWS

ROOT = Path(__file__).resolve().parents[2]
OURS, OTHER = "ours", "other"
NOTHING = SuiteResult({}, {})


def full_archive(session: Session, cell: Cell) -> Path:
    """As delivered in dist/. Raises UsageError when it is not built."""
    if session.look_up([f"dist:{cell}"]):
        raise UsageError(f"dist:{cell} is not built", hint=f"doit dist:{cell}")
    return next(path for path in session.archives(f"dist:{cell}") if "-full." in path.name)


def trees(archive: Path, out: Path, other: Path | None) -> dict[str, Path]:
    """Name -> prefix: the full archive unpacked, and `other` with its standard library."""
    place, mark = out / OURS / "tree", out / OURS / "archive"
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if not place.exists() or not mark.exists() or mark.read_text() != digest:
        shutil.rmtree(place, ignore_errors=True)
        shutil.rmtree(out / OTHER / "tree", ignore_errors=True)
        unpack_archive(archive, place)
        mark.write_text(digest)
    prefix = prefix_of(place)
    if other is None:
        return {OURS: prefix}
    theirs = out / OTHER / "tree"
    if not theirs.exists():
        shutil.copytree(other, theirs, ignore=lambda folder, _: ["Lib"] if Path(folder) == other else [])
        shutil.copytree(prefix / "Lib", theirs / "Lib")
        with (theirs / "Lib/linecache.py").open("a") as file:
            # 3.13.1 calls it with other arguments, and -c fails
            file.write("\n\n_register_code = lambda *_: None\n")
        for compiled in (theirs / "Lib/__pycache__").glob("linecache.*"):
            compiled.unlink()
    return {OURS: prefix, OTHER: theirs}


def kept(path: Path) -> dict[str, SuiteResult]:
    """Test file -> what came of it, as earlier runs wrote it."""
    return {name: SuiteResult(**values) for name, values in json.loads(path.read_text()).items()} if path.exists() else {}


def run(name: str, prefix: Path, out: Path, suite: Suite, cell: Cell, program: str, files: Sequence[str], whole: bool) -> None:
    """Each file by the interpreter of a prefix, in a prefix of wine of its own; results are written after each, with the program."""
    logs, machine = out / name / "logs", Wine(out / name / "wine", narrow=cell.target.arch == "i686")
    for folder in (logs, machine.prefix):
        folder.mkdir(parents=True, exist_ok=True)
    try_machine(machine)
    record, ours = (out / one / "results.json" for one in (name, OURS))
    regrtest = regrtest_of(prefix, logs, cell.version, machine)
    if name == OTHER:
        # the modules that are frozen in it are of another version
        *python, driver = regrtest.command
        regrtest = replace(regrtest, command=(*python, "-X", "frozen_modules=off", driver))
    for file in files or listed(regrtest, logs, suite):
        failed = tuple(kept(ours).get(file, NOTHING).failures)
        # a crash has no case; and one case that crashes tells nothing of the others
        some = () if name == OURS or whole or file in failed else failed
        # (what ours skips the other may run)
        if name == OTHER and not whole and not failed and SKIPPED not in kept(ours).get(file, NOTHING).files.values():
            continue
        result = replace(run_once(regrtest, logs, replace(suite, match=some), "all", [file]), program=program)
        record.write_text(json.dumps({key: asdict(value) for key, value in sorted({**kept(record), file: result}.items())}, indent=1))
        print(name, file, *result.files.values(), result.cases, f"{result.seconds:.0f} s", *result.failures, flush=True)


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--other", type=Path, default=None)
    parser.add_argument("--cell", default=WINDOWS)
    parser.add_argument("--archive", type=Path, default=None, help="instead of the one in dist/")
    parser.add_argument("--only", choices=(OURS, OTHER), default=None)
    parser.add_argument("--out", type=Path, default=ROOT / "matrix" / "wine")
    parser.add_argument("--whole", action="store_true", help="the other runs whole files, not only what failed")
    parser.add_argument("--timeout", type=int, default=0)
    given = parser.parse_args(argv)
    session = Session(ROOT)
    out = given.out.resolve()
    cell = parse_cell(given.cell, session.matrix)
    suite = parse_suite(session.read("toolchains/suite.toml"), cell)
    suite = replace(suite, timeout=given.timeout or suite.timeout)
    archive = given.archive or full_archive(session, cell)
    for name, prefix in trees(archive, out, given.other).items():
        if given.only in (None, name):
            program = archive.name.removesuffix("-full.tar.zst") if name == OURS else name
            run(name, prefix, out, suite, cell, program, given.files, given.whole)


if __name__ == "__main__":
    main(sys.argv[1:])
