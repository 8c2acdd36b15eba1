"""What tests.real.wine_compare saw, as the baseline of Windows and as docs/windows-suite.md.

    python -m tests.real.wine_table FOLDER

FOLDER is --out of wine_compare: ours/ and other/ with results.json and logs/.
"""

from __future__ import annotations

import datetime
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from graph.machine import Wine
from graph.matrix import parse_cell, parse_matrix
from graph.suite import FAILED, PASSED, SKIPPED, Suite, SuiteResult, baseline_file, parse_suite
from tests.real.debian_baseline import write
from tests.real.version import WINDOWS
from tests.real.wine_compare import NOTHING, OTHER, OURS, ROOT, kept

HEAD = """What CPython's test suite gives under wine: of each file the better of the distribution and of a CPython that MSVC has built; and
# what the latter, too, fails of what the distribution fails. Written by tests/real/wine_table.py; do not edit."""
PLACE = re.compile(r"Z:\S*?(logs\\+all\\+tmp|other\\+tree)")
"""Where a test ran and what ran it, which is another on each machine."""
DOCS = ROOT / "docs" / "windows-suite.md"
INTRODUCTION = """# CPython's test suite under wine

Written by `python -m tests.real.wine_table` from what `python -m tests.real.wine_compare` saw under {wine}; do not edit.
Distributions: {cells}. Each test file ran in a process of its own (`graph/regrtest.py`), with
`-u {resources}`. *Other* is how many of the cases that failed also fail with an interpreter that MSVC has built, with the same tests
and under the same wine: {program}. Reasons are those of `toolchains/suite.toml`.

{counts}

"""


def said_version(machine: Wine, prefix: Path) -> str:
    """Version, date and compiler of an interpreter."""
    done = subprocess.run(machine.argv(str(prefix / "python.exe"), "-VV"), capture_output=True, text=True, timeout=300)
    # (wine may tell of a new prefix first)
    return done.stdout.strip().splitlines()[-1].strip()


def why_skipped(log: Path) -> str:
    """regrtest's reason."""
    found = re.search(r"^\S+ skipped -- (.*)$", log.read_text(errors="replace"), re.M)
    return found[1].strip() if found else ""


def reasons(result: SuiteResult, known: Mapping[str, str]) -> Iterable[str]:
    """Of what failed, each once, with how many cases it explains."""
    counts: dict[str, int] = {}
    for case in result.failures:
        why = next((why for name, why in known.items() if fnmatchcase(case, name)), f"**not explained: {case}**")
        counts[why] = counts.get(why, 0) + 1
    return (f"{count}: {why}" for why, count in counts.items())


def row(name: str, ours: SuiteResult, other: SuiteResult, suite: Suite, log: Path) -> str:
    """One test file."""
    [state] = ours.files.values()
    left_out = [f"left out {case.removeprefix('test.')}: {why}" for case, why in suite.exclude.items() if belongs(case, name)]
    told = [why_skipped(log)] if state == SKIPPED else [*reasons(ours, suite.known), *left_out]
    failed = str(len(ours.failures) or "")
    theirs = str(len(ours.failures.keys() & other.failures.keys())) if ours.failures else ""
    return f"| {name} | {state} | {ours.cases} | {failed} | {theirs} | {ours.seconds:.0f} | {'; '.join(told)} |"


def belongs(case: str, file: str) -> bool:
    """Is a glob of cases about this test file."""
    return case.startswith((f"test.{file}.", f"{file}."))


def page(ours: Mapping[str, SuiteResult], other: Mapping[str, SuiteResult], suite: Suite, program: str, logs: Path) -> str:
    """docs/windows-suite.md."""
    states = [state for result in ours.values() for state in result.files.values()]
    cases = sum(result.cases for result in ours.values())
    failing = sum(len(result.failures) for result in ours.values())
    empty = sum(state == PASSED and not result.cases for result in ours.values() for state in result.files.values())
    passed = len(states) - states.count(FAILED) - states.count(SKIPPED) - empty
    counts = (
        f"{len(states)} files: {passed} passed, {states.count(SKIPPED)} skipped, {states.count(FAILED)} with failures,"
        f" {empty} without a case that runs here; {cases} cases, {failing} of them failed."
    )
    cells = Counter(result.program for result in ours.values()).items()
    tried = ", ".join(f"`{cell}` ({count} files)" for cell, count in sorted(cells))
    wine = subprocess.run(["wine", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    head = INTRODUCTION.format(resources=suite.resources, program=program, counts=counts, cells=tried, wine=wine)
    table = ["| file | state | cases | failed | other | seconds | why |", "|" + " --- |" * 7]
    table += [row(name, result, other.get(name, NOTHING), suite, logs / f"{name}.log") for name, result in sorted(ours.items())]
    return head + "\n".join(table) + "\n"


def baseline(ours: Mapping[str, SuiteResult], other: Mapping[str, SuiteResult]) -> SuiteResult:
    """The better of the two for each file; of what ours fails, what the other fails, too."""
    files, failures = {}, {}
    for name, result in ours.items():
        theirs = other.get(name, NOTHING)
        failures.update({case: PLACE.sub("Z:", said) for case, said in theirs.failures.items() if case in result.failures})
        files.update({**theirs.files, **result.files} if result.failures == {} else {**result.files, **theirs.files})
    return SuiteResult(files, failures, sum(result.cases for result in ours.values()), sum(result.seconds for result in ours.values()))


def main(out: Path) -> None:
    """Writes both files of the repository."""
    cell = parse_cell(WINDOWS, parse_matrix((ROOT / "toolchains/targets.toml").read_text()))
    suite = parse_suite((ROOT / "toolchains/suite.toml").read_text(), cell)
    ours, other = (kept(out / name / "results.json") for name in (OURS, OTHER))
    program = said_version(Wine(out / OTHER / "wine"), out / OTHER / "tree")
    result = baseline(ours, other)
    facts: dict[str, str | int] = {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "program": program,
        "cases": result.cases,
        "seconds": round(result.seconds),
    }
    (ROOT / baseline_file(cell)).write_text(write(result, facts, HEAD))
    DOCS.write_text(page(ours, other, suite, program, out / OURS / "logs" / "all"))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
