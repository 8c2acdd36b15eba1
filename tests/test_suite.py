"""CPython's suite as values: what regrtest prints and writes, and what of it is let off."""

from __future__ import annotations

import math
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from graph import errors
from graph.errors import LockError
from graph.matrix import parse_matrix
from graph.suite import (
    SECONDS,
    SuiteResult,
    again,
    arguments,
    baseline_file,
    failed_files,
    fastest,
    file_seconds,
    joined,
    mend,
    narrow,
    parse_baseline,
    parse_output,
    parse_suite,
    refuse_suite,
    render_suite,
    unexpected,
    wanted,
)
from graph.target import Cell
from tests.data import TARGET

ROOT = Path(__file__).resolve().parent.parent
MATRIX = parse_matrix((ROOT / "toolchains/targets.toml").read_text())
TEXT = """
[run]
resources = "all,-gui"
jobs = 4
timeout = 900
[exclude]
test_slow = "takes an hour"
"*.test_one_case" = "needs a printer"
[known]
"test.test_b.T.test_y" = "no such device"
[skip]
test_gui = "no display"
[missing]
winreg = "Windows only"
"""
OUTPUT = """== CPython 3.13.15
0:00:00 load avg: 0.00 Run 7 tests in parallel using 4 worker processes (timeout: 15 min, worker timeout: 20 min)
0:00:02 load avg: 1.34 [1/7] test_a passed
0:00:09 load avg: 1.34 [ 2/7/1] test_b failed (2 failures) (45.7 sec) -- running (1): test_d (31.0 sec)
test test_b failed -- multiple errors occurred
0:00:10 load avg: 1.34 [3/7/1] test.test_p.test_c passed (1 min 3 sec) -- running: test_d (31.0 sec), test_e (30.1 sec)
0:00:10 [4/7/2] test_d worker non-zero exit code (Exit code -11 (SIGSEGV))
0:00:11 load avg: 1.34 [5/7/2] test_gui skipped (resource denied)
0:00:12 load avg: 1.34 [6/7/2] test_e failed (env changed) (2.0 sec)
0:00:13 load avg: 1.34 [7/7/3] test_f timed out (15 min)
0:00:13 load avg: 1.34 [7/7/3] test_g is a word nobody knows
Result: FAILURE
"""
JUNIT = """<testsuites tests="4">
<testsuite failures="0" errors="0"><testcase name="test.test_a.T.test_x"/>
<testcase name="test.test_p.test_c.T.test_z"><skipped>Windows</skipped></testcase></testsuite>
<testsuite failures="1" errors="1"><testcase name="test.test_b.T.test_x (number=1)"><system-out/><failure message="no">trace
AssertionError: 1 != 2
</failure></testcase><testcase name="test.test_b.T.test_y"><error message="gone"/></testcase></testsuite>
</testsuites>"""
SUITE = parse_suite(TEXT)
RESULT = parse_output(OUTPUT, JUNIT)
BASELINE = SuiteResult({"test_a": "passed", "test_b": "failed", "test_gui": "passed"}, {"test.test_b.T.test_y": "gone"})


def test_the_output_of_regrtest_is_read() -> None:
    assert RESULT.files == {
        "test_a": "passed",
        "test_b": "failed",
        "test.test_p.test_c": "passed",
        "test_d": "failed",
        "test_gui": "skipped",
        "test_e": "passed",
        "test_f": "failed",
    }
    crashed = "crashed, timed out or could not be imported"
    assert RESULT.failures == {
        "test.test_b.T.test_x": "AssertionError: 1 != 2",
        "test.test_b.T.test_y": "gone",
        "test_d": crashed,
        "test_f": crashed,
    }
    assert RESULT.cases == 4
    assert failed_files(RESULT) == ("test_b", "test_d", "test_f")


def test_failures_that_regrtest_does_not_name_are_counted() -> None:
    """Those of subTest leave a case without a name, those of setUpClass none; both are in the numbers of the file."""
    junit = """<testsuites><testsuite failures="3" errors="1"><testcase name="test.test_b.T.test_known"><failure>known</failure></testcase>
    <testcase/><testcase name="test.test_b.T.test_good"/></testsuite>
    <testsuite failures="0" errors="0"><testcase/></testsuite></testsuites>"""
    assert parse_output("0:01 [2/2/1] test_b failed (4 failures)", junit).failures == {
        "test.test_b.T.test_known": "known",
        "test_b.unnamed": "3 of subTest or setUpClass, without a name",
    }


def test_the_output_without_workers_is_read() -> None:
    said = """0:00:00 [1/3] test_a
0:01:27 [1/3] test_a passed in 1 min 27 sec
0:01:27 [2/3] test_b
test test_b failed -- Traceback (most recent call last):
0:02:01 [2/3/1] test_b failed (1 error) in 34.1 sec
0:02:01 [3/3/1] test_c
0:02:02 [3/3/1] test_c skipped
"""
    assert parse_output(said, "").files == {"test_a": "passed", "test_b": "failed", "test_c": "skipped"}


@pytest.mark.parametrize("junit", ["", "<testsuites", "<testsuites/>"])
def test_without_xml_every_failed_file_counts(junit: str) -> None:
    assert set(parse_output(OUTPUT, junit).failures) == {"test_b", "test_d", "test_f"}
    assert parse_output("", junit) == SuiteResult({}, {})


def test_the_command_line() -> None:
    wanted = "-u all,-gui --timeout 900 --junit-xml out.xml -j2 --ignore *.test_one_case --exclude test_slow"
    assert arguments(SUITE, 2, "out.xml") == tuple(wanted.split())
    assert arguments(replace(SUITE, match=("test.test_b.T.*",)), 2, "out.xml")[7:9] == ("--match", "test.test_b.T.*")
    assert arguments(SUITE, 0, "out.xml") == tuple(wanted.replace(" -j2", "").split())
    assert "--exclude" not in arguments(parse_suite(TEXT.replace("test_slow", '"a.b"')), 2, "out.xml")


def test_what_debian_does_better_is_unexpected() -> None:
    assert [name for name, _ in unexpected(RESULT, SUITE, BASELINE)] == ["test.test_b.T.test_x", "test_d", "test_f"]
    skipping = SuiteResult({**RESULT.files, "test_a": "skipped"}, {})
    assert unexpected(skipping, SUITE, BASELINE) == (("test_a", "skipped, but Debian's own Python runs it"),)
    absent = SuiteResult({"test_b": "passed", "test_gui": "passed"}, {}, 9)
    assert unexpected(absent, SUITE, BASELINE) == (("test_a", "was not run"),)


def test_what_is_known_may_be_a_pattern_and_the_baseline_tells_whose_it_is() -> None:
    suite = replace(SUITE, known={"test.test_b.*": "no such device"})
    both = replace(BASELINE, failures={**BASELINE.failures, "test.test_b.T.test_x": "no"})
    assert [name for name, _ in unexpected(RESULT, suite, both)] == ["test_d", "test_f"]
    # of those it matches only what fails with the other program, too
    assert [name for name, _ in unexpected(RESULT, suite, BASELINE)] == ["test.test_b.T.test_x", "test_d", "test_f"]
    assert mend(suite, BASELINE) == ()
    assert mend(suite, SuiteResult({}, {"test_b": "gone"})) == ("test.test_b.*",)
    other = parse_baseline('[run]\nprogram = "another"\n[files]\ntest_gui = "passed"\n')
    assert ("test_gui", "skipped, but another runs it") in unexpected(RESULT, replace(SUITE, skip={}), other)
    with pytest.raises(errors.TestsFailed, match="worse than another"):
        refuse_suite(RESULT, SUITE, other, "a.tar.zst")


def test_the_baseline_of_windows_is_another() -> None:
    windows = Cell(MATRIX.targets["x86_64-pc-windows-gnu"], "3.13.15", ())
    assert baseline_file(windows) == "toolchains/suite-baseline-3.13-windows.toml"
    assert baseline_file(Cell(TARGET, "3.13.15", ())) == "toolchains/suite-baseline-3.13.toml"


def test_two_runs_of_different_files_are_one() -> None:
    both = joined(SuiteResult({"a": "passed"}, {}, 3, 1.0), SuiteResult({"b": "failed"}, {"b": "no"}, 4, 2.5))
    assert both == SuiteResult({"a": "passed", "b": "failed"}, {"b": "no"}, 7, 3.5)


def test_the_second_run_decides() -> None:
    second = SuiteResult({"test_b": "failed", "test_d": "passed", "test_f": "passed"}, {"test.test_b.T.test_y": "gone"}, 2, 5.0)
    both = again(RESULT, second)
    assert both.failures == {"test.test_b.T.test_y": "gone"}
    assert both.flaky == ("test.test_b.T.test_x", "test_d", "test_f")
    assert (both.files["test_d"], both.files["test_b"], both.cases, both.seconds) == ("passed", "failed", 4, 5.0)
    assert unexpected(both, SUITE, BASELINE) == ()
    part = again(RESULT, SuiteResult({"test_d": "passed"}, {}))
    assert set(part.failures) == {"test.test_b.T.test_x", "test.test_b.T.test_y", "test_f"}


def test_the_table() -> None:
    lines = render_suite(again(RESULT, SuiteResult({"test_d": "passed"}, {})), SUITE, BASELINE).splitlines()
    assert lines[0] == "7 test files (4 passed, 1 skipped, 2 failed), 4 test cases, 0 s"
    assert lines[1] == "test.test_b.T.test_x  UNEXPECTED  AssertionError: 1 != 2"
    assert lines[2] == "test.test_b.T.test_y  known       gone"
    assert lines[-1] == "test_d: failed once, passed when run again alone"


def test_a_worse_result_ends_the_run() -> None:
    with pytest.raises(errors.TestsFailed, match="3 tests are worse") as error:
        refuse_suite(RESULT, SUITE, BASELINE, "a.tar.zst")
    assert error.value.exit_code == 22 and error.value.place == "a.tar.zst"
    refuse_suite(SuiteResult(BASELINE.files, {}, 3), SUITE, BASELINE, "a.tar.zst")
    with pytest.raises(errors.TestsFailed, match="no test ran"):
        refuse_suite(SuiteResult(BASELINE.files, {}, 0), SUITE, BASELINE, "a.tar.zst")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[run", "not TOML"),
        ("[run]\njobs = 1\ntimeout = 1\n", "no key 'resources'"),
        (TEXT + '_dbm = " "\n', "[missing] needs a reason"),
        (TEXT.replace('"takes an hour"', "1"), "[exclude] needs a reason"),
        ("known = 1\n" + TEXT.replace("[known]", "[other]"), "[known] needs a reason"),
    ],
)
def test_a_malformed_file_is_refused(text: str, message: str) -> None:
    with pytest.raises(LockError) as error:
        parse_suite(text)
    assert message in str(error.value)


def test_what_holds_for_some_cells_only() -> None:
    cell = Cell(TARGET, "3.11.2", ("debug", "lto"))
    text = (
        TEXT
        + """
[[where]]
python = ["3.10", "3.11"]
libc = "gnu"
option = ["debug", "static"]
[where.skip]
test_crypt = "no libcrypt"
[[where]]
run = "qemu"
set = { jobs = 2 }
[where.exclude]
test_ptrace = "qemu has no ptrace"
"""
    )
    assert parse_suite(text, cell).skip == {"test_gui": "no display", "test_crypt": "no libcrypt"}
    emulated = parse_suite(text, replace(cell, target=replace(TARGET, run="qemu")))
    assert "test_ptrace" in emulated.exclude
    assert (emulated.jobs, emulated.timeout, SUITE.jobs) == (2, 900, 4)
    for other in (
        replace(cell, version="3.13.15"),
        replace(cell, target=replace(TARGET, libc="musl")),
        replace(cell, options=("lto",)),
        None,
    ):
        assert parse_suite(text, other) == SUITE
    with pytest.raises(LockError, match="'lib' in"):
        parse_suite(text.replace("libc =", "lib ="), cell)


def test_a_baseline_is_read() -> None:
    found = parse_baseline('[run]\ncases = 5\n[failures]\n"test.test_b.T" = "gone"\n[files]\ntest_b = "failed"\n')
    assert found == SuiteResult({"test_b": "failed"}, {"test.test_b.T": "gone"}, 5)
    with pytest.raises(LockError, match="suite-baseline"):
        parse_baseline("[")


def test_the_time_of_each_file() -> None:
    junit = """<testsuites><testcase name="test.test_a.T.test_x" time="1.5"/><testcase name="test.test_a.T.test_y (n=1)" time="0.25"/>
    <testcase name="test.test_p.test_c.T.test_z" time="2"/><testcase name="test.elsewhere" time="9"/></testsuites>"""
    assert file_seconds({"test_a", "test.test_p.test_c", "test_b"}, junit) == {"test.test_p.test_c": 2.0, "test_a": 1.75, "test_b": 0.0}
    for broken in ("<testsuites", '<testsuites><testcase name="test.test_a.T.x" time="soon"/></testsuites>'):
        with pytest.raises(LockError, match="not a JUnit file"):
            file_seconds({"test_a"}, broken)


@given(st.dictionaries(st.text(min_size=1), st.floats(0, 1e4)), st.integers(0, 100))
def test_the_fastest_are_as_many_as_asked_for_and_none_is_slower_than_another(seconds: dict[str, float], percent: int) -> None:
    chosen = fastest(seconds, percent)
    assert len(chosen) == math.ceil(len(seconds) * percent / 100)
    rest = seconds.keys() - set(chosen)
    assert not chosen or not rest or max(seconds[name] for name in chosen) <= min(seconds[name] for name in rest)


def test_an_emulated_cell_is_tried_with_the_fastest_files() -> None:
    files = {
        "toolchains/suite.toml": TEXT + '[[where]]\nrun = "qemu"\nset = { fastest = 50 }\n',
        baseline_file(Cell(TARGET, "3.13.15", ())): """
[failures]
"test.test_a.T.x" = "no"
"test.test_b.T.y" = "no"
[files]
test_a = "failed"
test_b = "failed"
""",
        SECONDS: "[seconds]\ntest_a = 1.0\ntest_slow = 0.5\ntest_c = 8.0\n",
    }
    native = wanted(files.__getitem__, Cell(TARGET, "3.13.15", ("lto",)))
    assert (native.only, set(native.baseline.files)) == ((), {"test_a", "test_b"})
    files["toolchains/suite.toml"] += '[[where]]\nrun = "wine"\nset = { baseline_only = true }\n'
    assert wanted(files.__getitem__, Cell(replace(TARGET, run="wine"), "3.13.15", ("lto",))).only == ("test_a", "test_b")
    asked = wanted(files.__getitem__, Cell(TARGET, "3.13.15", ("lto",)), 50, ("test_b",))
    assert (asked.only, set(asked.baseline.files)) == (("test_a", "test_b"), {"test_a", "test_b"})
    emulated = wanted(files.__getitem__, Cell(replace(TARGET, run="qemu"), "3.13.15", ("lto",)))
    assert emulated.only == ("test_a",)
    assert emulated.baseline == narrow(native.baseline, ["test_a"]) == SuiteResult({"test_a": "failed"}, {"test.test_a.T.x": "no"})


@pytest.mark.parametrize("version", MATRIX.versions)
def test_the_fast_half_of_an_emulated_target(version: str) -> None:
    """Times are those of the newest version: the others have nearly all files in common."""
    cell = Cell(MATRIX.targets["aarch64-unknown-linux-gnu"], version, ("lto",))
    files = parse_baseline((ROOT / baseline_file(cell)).read_text()).files
    tried = wanted(lambda path: (ROOT / path).read_text(), cell)
    assert len(tried.only) >= len(files) // 2 - len(tried.suite.exclude)
    timed = tomli.loads((ROOT / SECONDS).read_text())["seconds"]
    assert len(files.keys() - timed.keys()) <= len(files) // 8
    assert set(tried.only) <= files.keys()


@pytest.mark.parametrize("version", MATRIX.versions)
def test_the_committed_files_excuse_nothing_that_debian_does_not_need_too(version: str) -> None:
    cell = Cell(MATRIX.targets[TARGET.triple], version, ("noopt",))
    suite = parse_suite((ROOT / "toolchains/suite.toml").read_text(), cell)
    baseline = parse_baseline((ROOT / baseline_file(cell)).read_text())
    assert mend(suite, baseline) == ()
    assert mend(SUITE, SuiteResult({}, {})) == ("test.test_b.T.test_y",)
    assert baseline.cases > 30_000 and len(baseline.files) > 400
    assert {name for name in suite.skip if baseline.files.get(name) != "passed"} == set()


@pytest.mark.parametrize("version", MATRIX.versions)
def test_what_is_laid_to_qemu_runs_and_passes_natively(version: str) -> None:
    """The native run leaves none of it out, and Debian's Python passes it: so a failure there would be unexpected."""
    native, emulated = (
        parse_suite((ROOT / "toolchains/suite.toml").read_text(), Cell(MATRIX.targets[triple], version, ("lto",)))
        for triple in (TARGET.triple, "aarch64-unknown-linux-gnu")
    )
    baseline = parse_baseline((ROOT / baseline_file(Cell(MATRIX.targets[TARGET.triple], version, ("lto",)))).read_text())
    blamed = {name for name, reason in emulated.exclude.items() if reason.startswith("qemu: ")}
    assert len(blamed) >= 5
    assert {name for name in blamed if not emulated.exclude[name].endswith("; passes natively")} == set()
    let_off = {*native.exclude, *native.known, *native.skip}
    assert {name for name in blamed for one in let_off if fnmatchcase(name, one) or fnmatchcase(one, name)} == set()
    assert {name.split(".")[1] for name in blamed} & let_off == set()
    absent = {"test_external_inspection"} if version.startswith("3.11.") else set()
    assert {file for name in blamed if baseline.files.get(file := name.split(".")[1]) not in ("passed", "failed")} == absent
    assert [case for case in baseline.failures if any(fnmatchcase(case, name) for name in blamed)] == []


def test_of_windows_what_is_known_fails_with_msvcs_build_too_and_what_is_skipped_is_not_for_unix() -> None:
    cell = MATRIX.default(MATRIX.targets["x86_64-pc-windows-gnu"])
    suite = parse_suite((ROOT / "toolchains/suite.toml").read_text(), cell)
    baseline = parse_baseline((ROOT / baseline_file(cell)).read_text())
    assert mend(suite, baseline) == ()
    assert "[MSC v." in baseline.program and suite.apart
    explained = replace(suite, skip={})
    seen = SuiteResult({name: state for name, state in baseline.files.items() if name not in suite.skip}, baseline.failures)
    assert unexpected(seen, explained, seen) == ()
    rows = [line.split(" | ") for line in (ROOT / "docs/windows-suite.md").read_text().splitlines() if line.startswith("| test")]
    page = {row[0].removeprefix("| "): row[1:] for row in rows}
    assert {name: row[0] for name, row in page.items()} == baseline.files
    for name, (_, _, failed, other, _, *why) in page.items():
        cases = narrow(baseline, (name,)).failures
        assert int(failed or 0) == int(other or 0) == len(cases), name
        reasons = {next(reason for known, reason in suite.known.items() if fnmatchcase(case, known)) for case in cases}
        assert not [reason for reason in reasons if reason not in " | ".join(why)], name
