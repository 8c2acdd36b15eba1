"""CPython's own test suite as values: how it is run, what came out, and whether that is as good as another Python on the same
suite: Debian's own, or for Windows one that MSVC has built, under wine too.

Data: toolchains/suite.toml names every exclusion with its reason; toolchains/suite-baseline-X.Y.toml, or
…-windows.toml, is what the other did.
"""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
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
_BROKEN = ("failure", "error")
"""Elements of a case in JUnit's XML."""
_TIME = re.compile(r" (\([\d.]+ (?:sec|min)[^)]*\)|in [\d.]+ (?:sec|min|hour)\b.*)$")
"""Of workers in brackets; of regrtest's own process after "in"."""


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
    """Test case (or glob of them: those that fail with the baseline's program) or file that runs and fails, there too -> reason."""
    skip: Mapping[str, str]
    """Test file that is skipped although the baseline's program runs it -> reason."""
    missing: Mapping[str, str]
    """Standard library module that cannot be imported -> reason."""
    apart: bool = False
    """Each test file is run by a process of its own, one after the other: one that hangs or crashes takes no other along."""
    baseline_only: bool = False
    """The files that the baseline names are run; of the others nobody has looked at what they do."""
    match: tuple[str, ...] = ()
    """Names or globs of the cases that are run; all where there are none."""


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
    program: str = "Debian's own Python"
    """Whose result it is, where it is a baseline."""


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
        exclude, known, skip, missing = (
            {key: why for table in (data, *matching) for key, why in _reasons(table.get(name, {}), name).items()} for name in _TABLES
        )
        run = {**data["run"], **{key: value for table in matching for key, value in table.get("set", {}).items()}}
        numbers = (int(run["jobs"]), int(run["timeout"]), int(run.get("fastest", 100)))
        return Suite(str(run["resources"]), *numbers, exclude, known, skip, missing, bool(run.get("apart")), bool(run.get("baseline_only")))
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


def baseline_file(cell: Cell) -> str:
    """Path in the repository of what another Python of the cell's version did: Debian's, or for Windows an MSVC build under wine."""
    system = "-windows" if cell.target.os == "windows" else ""
    return f"toolchains/suite-baseline-{cell.minor}{system}.toml"


def parse_baseline(text: str) -> SuiteResult:
    """Read suite-baseline.toml. Raises LockError."""
    data = _toml(text, "suite-baseline.toml")
    facts = data.get("run", {})
    result = SuiteResult(dict(data.get("files", {})), dict(data.get("failures", {})), int(facts.get("cases", 0)))
    return replace(result, program=str(facts.get("program", result.program)))


def wanted(read: Callable[[str], str], cell: Cell, percent: int = 100, more: Collection[str] = ()) -> Wanted:
    """What the cell is tried with: at most `percent` of the test files, and `more`; `read` gives the text of a repository file.

    Raises LockError.
    """
    suite = parse_suite(read("toolchains/suite.toml"), cell)
    baseline = parse_baseline(read(baseline_file(cell)))
    percent = min(percent, suite.fastest)
    if percent >= 100:
        return Wanted(suite, baseline, tuple(name for name in baseline.files if name not in suite.exclude) if suite.baseline_only else ())
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
    """What follows `-m test`, or its driver (graph/regrtest.py), on the command line; without jobs regrtest runs the files itself."""
    cases = [name for name in suite.exclude if "." in name or "*" in name]
    files = [name for name in suite.exclude if name not in cases]
    ignore = [part for name in cases for part in ("--ignore", name)]
    leave = ["--exclude", *files] if files else []
    settings = ["-u", suite.resources, "--timeout", str(suite.timeout), "--junit-xml", junit, *([f"-j{jobs}"] if jobs else [])]
    match = [part for name in suite.match for part in ("--match", name)]
    return (*settings, *match, *ignore, *leave)


def parse_output(output: str, junit: str) -> SuiteResult:
    """regrtest's progress lines and its JUnit XML (empty where it wrote none) as a result."""
    files = dict(_files(output))
    failures, count = _cases(junit, files) if junit else ({}, 0)
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


def _cases(junit: str, files: Mapping[str, str]) -> tuple[dict[str, str], int]:
    try:
        root = ElementTree.fromstring(junit)
    except ElementTree.ParseError:
        return {}, 0
    failures, count = {}, 0
    for case in root.iter("testcase"):
        count += 1
        broken = [child for child in case if child.tag in _BROKEN]
        if broken:
            said = "".join(child.text or child.get("message") or "" for child in broken).strip().splitlines()
            failures[re.sub(r"\s.*", "", case.get("name", ""))] = said[-1][:200] if said else broken[0].tag
    return failures | _unnamed(root, files), count


def _unnamed(root: ElementTree.Element, files: Mapping[str, str]) -> dict[str, str]:
    """FILE.unnamed -> how many of a file's failures its cases do not have: regrtest writes none of subTest and of setUpClass."""
    found = {}
    for suite in root.iter("testsuite"):
        cases = [case for case in suite.iter("testcase") if case.get("name")]
        count = int(suite.get("failures", "0")) + int(suite.get("errors", "0"))
        count -= sum(child.tag in _BROKEN for case in cases for child in case)
        if cases and count > 0:
            found[f"{_file_of(cases[0].get('name', ''), files)}.unnamed"] = f"{count} of subTest or setUpClass, without a name"
    return found


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


def joined(one: SuiteResult, other: SuiteResult) -> SuiteResult:
    """Two runs, of different files, as one."""
    files, failures = {**one.files, **other.files}, {**one.failures, **other.failures}
    return SuiteResult(files, failures, one.cases + other.cases, one.seconds + other.seconds)


def _file_of(case: str, files: Mapping[str, str]) -> str:
    """The test file that a case belongs to: regrtest names a file test_x, or test.test_x.test_y inside a package that it splits."""
    parts = case.split(".")
    prefixes = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
    return max((name for whole in prefixes for name in (whole, whole.removeprefix("test.")) if name in files), key=len, default=case)


def failed_files(result: SuiteResult) -> tuple[str, ...]:
    """Names of the test files that failed."""
    return tuple(sorted(name for name, state in result.files.items() if state == FAILED))


def unexpected(result: SuiteResult, suite: Suite, baseline: SuiteResult) -> tuple[tuple[str, str], ...]:
    """(test, what happened) of all that the baseline's program does better and suite.toml does not name."""
    found = [(name, said) for name, said in result.failures.items() if not _excused(name, suite, baseline)]
    for name, state in result.files.items():
        if state == SKIPPED and baseline.files.get(name) == PASSED and name not in suite.skip:
            found.append((name, f"skipped, but {baseline.program} runs it"))
    for name in sorted(baseline.files.keys() - result.files.keys() - suite.exclude.keys()):
        found.append((name, "was not run"))
    return tuple(sorted(found))


def _excused(name: str, suite: Suite, baseline: SuiteResult) -> bool:
    """By its name; or by a pattern, which excuses no more than what fails with the baseline's program."""
    return name in suite.known or (name in baseline.failures and any(fnmatchcase(name, known) for known in suite.known))


def mend(suite: Suite, baseline: SuiteResult) -> tuple[str, ...]:
    """Entries of suite.toml that excuse too much: known failures that the baseline's program does not have."""
    return tuple(sorted(known for known in suite.known if not any(fnmatchcase(name, known) for name in baseline.failures)))


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
            f"{len(worse)} tests are worse than {baseline.program}: {first}" if worse else "no test ran",
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
