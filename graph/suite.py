"""CPython's own test suite as values: how it is run, what came out, and whether that is as good as Debian's own Python on the same suite.

Data: toolchains/suite.toml names every exclusion with its reason; toolchains/suite-baseline-X.Y.toml is what Debian's Python did.
"""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from graph import toml
from graph.errors import LockError, TestsFailed
from graph.target import Cell

PASSED, SKIPPED, FAILED = "passed", "skipped", "failed"
SECONDS = "toolchains/suite-seconds.toml"
"""Path in the repository of how long each test file takes natively."""

_STATES = (
    (re.compile(r"passed|failed \(env changed\)|ran no tests"), PASSED),
    (re.compile(r"skipped( \(resource denied\))?"), SKIPPED),
    (re.compile(r"failed( \(.*\))?|timed out.*|worker .*|interrupted|crashed.*"), FAILED),
)
_LINE = re.compile(r"^\S+ .*?\[ *\d+/\d+(?:/\d+)?\] (\S+) (.*?)(?: -- running\b.*)?$")
_TIME = re.compile(r" \([\d.]+ (?:sec|min)[^)]*\)$")


@dataclass(frozen=True, slots=True)
class Suite:
    """toolchains/suite.toml: the command, and what is let off, each with its reason."""

    resources: str
    """regrtest's -u."""
    jobs: int
    timeout: int
    """Seconds for one test file."""
    fastest: int
    """Percent of the test files that are run, those that take least natively (SECONDS); 100 is all."""
    exclude: Mapping[str, str]
    """Test file or glob of test cases that is not run -> reason."""
    known: Mapping[str, str]
    """Test case or file that runs and fails, in Debian's Python too -> reason."""
    skip: Mapping[str, str]
    """Test file that is skipped although Debian's Python runs it -> reason."""
    missing: Mapping[str, str]
    """Standard library module that cannot be imported -> reason."""


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """What came out of one run."""

    files: Mapping[str, str]
    """Test file -> passed, skipped or failed."""
    failures: Mapping[str, str]
    """Test case (or file, where no case could tell) -> last line of what it said."""
    cases: int = 0
    seconds: float = 0.0
    flaky: tuple[str, ...] = ()
    """Failed at first and passed when run again alone."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a cell's programs are to be tried with."""

    suite: Suite
    baseline: SuiteResult
    """Of the files that are run."""
    only: tuple[str, ...]
    """Test files that are run; empty when all are."""


_TABLES = ("exclude", "known", "skip", "missing")


def parse_suite(text: str, cell: Cell | None = None) -> Suite:
    """Read suite.toml: what holds everywhere, and the [[where]] tables that match the cell; their `set` replaces values of [run].

    Raises LockError; an entry without a reason is one.
    """
    data = _toml(text, "suite.toml")
    matching = [table for table in data.get("where", ()) if cell and _matches(table, cell)]
    try:
        reasons = [
            {key: why for table in (data, *matching) for key, why in _reasons(table.get(name, {}), name).items()} for name in _TABLES
        ]
        run = {**data["run"], **{key: value for table in matching for key, value in table.get("set", {}).items()}}
        return Suite(str(run["resources"]), int(run["jobs"]), int(run["timeout"]), int(run.get("fastest", 100)), *reasons)
    except KeyError as error:
        raise LockError(f"no key {error} in [run]", place="suite.toml", hint="git diff toolchains/suite.toml") from None


def _matches(table: Mapping[str, Any], cell: Cell) -> bool:
    """Every condition of a [[where]] table, each a value or a list of them, holds for the cell."""
    target = cell.target
    facts = {"os": {target.os}, "libc": {target.libc}, "arch": {target.arch}, "run": {target.run}, "python": {cell.minor}}
    facts["option"] = set(cell.options)
    known = {*facts, *_TABLES, "set"}
    unknown = sorted(set(table) - known)
    if unknown:
        raise LockError(f"unknown key {unknown[0]!r} in [[where]]", place="suite.toml", hint=f"known: {', '.join(sorted(known))}")
    wanted = {key: {value} if isinstance(value, str) else set(value) for key, value in table.items() if key in facts}
    return all(values & facts[key] for key, values in wanted.items())


def baseline_file(minor: str) -> str:
    """Path in the repository of what Debian's Python of a version (major.minor) did."""
    return f"toolchains/suite-baseline-{minor}.toml"


def parse_baseline(text: str) -> SuiteResult:
    """Read suite-baseline.toml. Raises LockError."""
    data = _toml(text, "suite-baseline.toml")
    return SuiteResult(dict(data.get("files", {})), dict(data.get("failures", {})), int(data.get("run", {}).get("cases", 0)))


def wanted(read: Callable[[str], str], cell: Cell, percent: int = 100, more: Collection[str] = ()) -> Wanted:
    """What the cell is tried with: at most `percent` of the test files, and `more`; `read` gives the text of a repository file.

    Raises LockError.
    """
    suite = parse_suite(read("toolchains/suite.toml"), cell)
    baseline = parse_baseline(read(baseline_file(cell.minor)))
    percent = min(percent, suite.fastest)
    if percent >= 100:
        return Wanted(suite, baseline, ())
    seconds = _toml(read(SECONDS), "suite-seconds.toml").get("seconds", {})
    # what another version of CPython brings counts as slow
    known = {name: seconds.get(name, math.inf) for name in baseline.files}
    only = tuple(name for name in dict.fromkeys((*fastest(known, percent), *more)) if name not in suite.exclude)
    return Wanted(suite, narrow(baseline, only), only)


def fastest(seconds: Mapping[str, float], percent: int) -> tuple[str, ...]:
    """The names of the lowest values: this many of them in percent, rounded up."""
    ordered = sorted(seconds, key=lambda name: (seconds[name], name))
    return tuple(ordered[: -(-len(ordered) * percent // 100)])


def narrow(baseline: SuiteResult, files: Collection[str]) -> SuiteResult:
    """A baseline of these test files alone."""
    failures = {name: said for name, said in baseline.failures.items() if _file_of(name, baseline.files) in files}
    return replace(baseline, files={name: state for name, state in baseline.files.items() if name in files}, failures=failures)


def arguments(suite: Suite, jobs: int, junit: str) -> tuple[str, ...]:
    """What follows the interpreter on the command line."""
    cases = [name for name in suite.exclude if "." in name or "*" in name]
    files = [name for name in suite.exclude if name not in cases]
    ignore = [part for name in cases for part in ("--ignore", name)]
    leave = ["--exclude", *files] if files else []
    settings = ["-u", suite.resources, "--timeout", str(suite.timeout), "--junit-xml", junit, f"-j{jobs}"]
    return ("-m", "test", *settings, *ignore, *leave)


def parse_output(output: str, junit: str) -> SuiteResult:
    """regrtest's progress lines and its JUnit XML (empty where it wrote none) as a result."""
    files = dict(_files(output))
    failures, count = _cases(junit) if junit else ({}, 0)
    for name, state in files.items():
        # a crash or a time-out leaves no case behind
        if state == FAILED and not any(case == name or case.startswith((f"{name}.", f"test.{name}.")) for case in failures):
            failures[name] = "crashed, timed out or could not be imported"
    return SuiteResult(files, failures, count)


def _files(output: str) -> Iterator[tuple[str, str]]:
    for line in output.splitlines():
        found = _LINE.match(line)
        if found:
            words = _TIME.sub("", found.group(2))
            state = next((state for pattern, state in _STATES if pattern.fullmatch(words)), None)
            if state:
                yield found.group(1), state


def _cases(junit: str) -> tuple[dict[str, str], int]:
    try:
        root = ElementTree.fromstring(junit)
    except ElementTree.ParseError:
        return {}, 0
    failures, count = {}, 0
    for case in root.iter("testcase"):
        count += 1
        broken = [child for child in case if child.tag in ("failure", "error")]
        if broken:
            said = "".join(child.text or child.get("message") or "" for child in broken).strip().splitlines()
            failures[re.sub(r"\s.*", "", case.get("name", ""))] = said[-1][:200] if said else broken[0].tag
    return failures, count


def file_seconds(files: Collection[str], junit: str) -> dict[str, float]:
    """Seconds that the cases of each test file took, by regrtest's JUnit XML; 0 for a file without a case. Raises LockError."""
    found = dict.fromkeys(sorted(files), 0.0)
    known = dict.fromkeys(files, "")
    try:
        for case in ElementTree.fromstring(junit).iter("testcase"):
            name = _file_of(re.sub(r"\s.*", "", case.get("name", "")), known)
            if name in found:
                found[name] += float(case.get("time", "0"))
    except (ElementTree.ParseError, ValueError) as error:
        raise LockError(f"not a JUnit file: {error}", hint="run the suite again") from None
    return found


def again(first: SuiteResult, second: SuiteResult) -> SuiteResult:
    """`first`, with the files that `second` ran once more, alone, as they came out there."""
    kept = {name: said for name, said in first.failures.items() if _file_of(name, first.files) not in second.files}
    failures = kept | dict(second.failures)
    flaky = tuple(sorted(set(first.failures) - set(failures)))
    return SuiteResult(dict(first.files) | dict(second.files), failures, first.cases, first.seconds + second.seconds, flaky)


def _file_of(case: str, files: Mapping[str, str]) -> str:
    """The test file that a case belongs to: regrtest names a file test_x, or test.test_x.test_y inside a package that it splits."""
    return next((name for name in sorted(files, key=len, reverse=True) if (case + ".").startswith((f"{name}.", f"test.{name}."))), case)


def failed_files(result: SuiteResult) -> tuple[str, ...]:
    """Names of the test files that failed."""
    return tuple(sorted(name for name, state in result.files.items() if state == FAILED))


def unexpected(result: SuiteResult, suite: Suite, baseline: SuiteResult) -> tuple[tuple[str, str], ...]:
    """(test, what happened) of all that Debian's Python does better and suite.toml does not name."""
    found = [(name, said) for name, said in result.failures.items() if name not in suite.known]
    for name, state in result.files.items():
        if state == SKIPPED and baseline.files.get(name) == PASSED and name not in suite.skip:
            found.append((name, "skipped, but Debian's Python runs it"))
    for name in sorted(baseline.files.keys() - result.files.keys() - suite.exclude.keys()):
        found.append((name, "was not run"))
    return tuple(sorted(found))


def mend(suite: Suite, baseline: SuiteResult) -> tuple[str, ...]:
    """Entries of suite.toml that excuse too much: known failures that Debian's Python does not have."""
    return tuple(sorted(name for name in suite.known if name not in baseline.failures))


def render_suite(result: SuiteResult, suite: Suite, baseline: SuiteResult) -> str:
    """Counts, then a table of failures, each with whether it was expected."""
    states = list(result.files.values())
    counts = ", ".join(f"{states.count(state)} {state}" for state in (PASSED, SKIPPED, FAILED))
    lines = [f"{len(states)} test files ({counts}), {result.cases} test cases, {result.seconds:.0f} s"]
    worse = dict(unexpected(result, suite, baseline))
    rows = [(name, "UNEXPECTED" if name in worse else "known", said) for name, said in sorted({**result.failures, **worse}.items())]
    wide = max((len(name) for name, _, _ in rows), default=0)
    lines += [f"{name:<{wide}}  {verdict:<10}  {said}" for name, verdict, said in rows]
    lines += [f"{name}: failed once, passed when run again alone" for name in result.flaky]
    return "\n".join(lines) + "\n"


def refuse_suite(result: SuiteResult, suite: Suite, baseline: SuiteResult, place: str) -> None:
    """Raises TestsFailed when anything is unexpected, or nothing ran."""
    worse = unexpected(result, suite, baseline)
    if worse or not result.cases:
        first = "; ".join(f"{name}: {said}" for name, said in worse[:3])
        raise TestsFailed(
            f"{len(worse)} tests are worse than Debian's own Python: {first}" if worse else "no test ran",
            place=place,
            hint="run one alone: PYTHON -m test -v NAME; an exclusion needs a reason in toolchains/suite.toml",
        )


def _reasons(table: object, name: str) -> dict[str, str]:
    if not isinstance(table, dict) or not all(isinstance(reason, str) and reason.strip() for reason in table.values()):
        raise LockError(f"[{name}] needs a reason for every entry", place="suite.toml", hint="git diff toolchains/suite.toml")
    return dict(table)


def _toml(text: str, place: str) -> dict[str, Any]:
    try:
        return toml.loads(text)
    except toml.TOMLDecodeError as error:
        raise LockError(f"not TOML: {error}", place=place, hint=f"git diff toolchains/{place}") from None
