"""Running what an archive holds, with shell scripts in the interpreter's place, and the smoke script with this very Python."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import sysconfig
import tarfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from graph import errors, testrun
from graph.machine import REGRTEST as DRIVER
from graph.suite import SuiteResult, parse_suite
from graph.testrun import (
    Check,
    Expected,
    Regrtest,
    prefix_of,
    refuse_smoke,
    render_smoke,
    run_once,
    run_regrtest,
    run_smoke,
    run_suite,
    unpack_archive,
)
from tests.fake_archive import VERSION, Member, Tree, good, write
from tests.mini import ROOT, hear_interrupts

SMOKE = ROOT / "toolchains/smoke.py"
EXPECTED = Expected(VERSION, "linux-x86_64", ("winreg",), ("sys",))
SUITE = parse_suite('[run]\nresources = "all"\njobs = 3\ntimeout = 60\n[exclude]\ntest_no = "slow"\n"*.test_case" = "slow"\n')

PYTHON = f"""#!/bin/sh
# an interpreter that says what it should: where it is, and what the smoke script would find
here=$(cd "$(dirname "$0")/.." && pwd -P)
if [ "$2" = -c ]; then echo "{VERSION}|$here|$here/lib/python3.13/os.py"; exit; fi
printf '{{"environment": "%s", "imports": "", "given": %s}}' "$(env | grep -v -e ^PWD= -e ^_= -e ^SHLVL= | sort | tr '\\n' ' ')" \\
    "$(printf %s "$3" | sed 's/"/\\\\"/g; s/^/"/; s/$/"/')"
"""

REGRTEST = """#!/bin/sh
# `-m test` in three lines: test_b fails in the first run, test_c always; the junit file is the argument after --junit-xml
for word; do [ "$before" = --junit-xml ] && junit=$word; before=$word; done
echo "$@" >> "$(dirname "$junit")/calls"
[ "$(stat -c %a . "$(dirname "$0")/../../../.." | sort -u)" = 755 ] || exit 9
case "$*" in
*" test_b test_c") echo "0:00:01 [1/2] test_b passed"; echo "0:00:01 [2/2] test_c failed (1 failure)"
    echo '<testsuites><testcase name="test.test_c.T.x"><failure>still</failure></testcase></testsuites>' > "$junit";;
*) echo "0:00:01 [1/3] test_a passed"; echo "0:00:01 [2/3] test_c failed (1 failure)"; echo "0:00:02 [3/3] test_b failed (1 error)"
    echo '<testsuites><testcase name="test.test_a.T.x"/><testcase name="test.test_b.T.y"><error>once</error></testcase>
        <testcase name="test.test_c.T.x"><failure>first</failure></testcase></testsuites>' > "$junit";;
esac
"""


def with_python(flavour: str, script: str) -> Tree:
    prefix = "python/install" if flavour == "full" else "python"
    return {**good(flavour), f"{prefix}/bin/python3.13": Member(script.encode(), 0o755)}


@pytest.mark.parametrize("flavour", ["full", "install_only"])
def test_the_interpreter_is_tried_after_each_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flavour: str) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    archive = write(tmp_path, flavour, with_python(flavour, PYTHON))
    checks = run_smoke(archive, tmp_path / "run", SMOKE, EXPECTED)
    assert [check.name for check in checks] == [
        "starts in 'fresh place'",
        "starts in 'once'",
        "starts in 'place, again'",
        "environment",
        "imports",
        "given",
    ]
    assert [check.error for check in checks[:3]] == ["", "", ""]
    names = {word.partition("=")[0] for word in checks[3].error.split()}
    assert names == {"HOME", "LANG", "PATH", "TERM", "TMPDIR"}
    given = json.loads(checks[5].error)
    assert given["prefix"] == str(prefix_of(tmp_path / "run/moved/a deeper/place, again"))
    assert {name: given[name] for name in asdict(EXPECTED)} == {**asdict(EXPECTED), "missing": ["winreg"], "builtin": ["sys"]}
    assert not (tmp_path / "run/fresh place").exists()


DEVELOPMENT = f"""#!{sys.executable}
# the interpreter of a git checkout (or, where the version is another, of another): this very Python with its version and place
import os, sys
prefix = os.path.dirname(os.path.dirname(os.path.abspath(sys.argv[0])))
sys.version = "VERSIONa1+ (heads/main:0123456789, Nov 28 2026, 00:00:00) [Clang 22.1.8 ]"
sys.version_info = (*map(int, "VERSION".split(".")), "alpha", 1)
sys.prefix, os.__file__ = prefix, prefix + "/lib/python3.13/os.py"
exec(sys.argv[-1]) if sys.argv[2] == "-c" else print('{{"version": ""}}')
"""


@pytest.mark.parametrize(("version", "broken"), [(VERSION, 0), ("3.13.0", 3)])
def test_a_version_under_development_is_the_one_that_it_will_be(tmp_path: Path, version: str, broken: int) -> None:
    archive = write(tmp_path, "install_only", with_python("install_only", DEVELOPMENT.replace("VERSION", version)))
    checks = run_smoke(archive, tmp_path / "run", SMOKE, EXPECTED)
    assert len(checks) == 4
    assert [check.name for check in checks if check.error] == [check.name for check in checks[:broken]]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("#!/bin/sh\nexit 3\n", "status 3"),
        ("#!/bin/sh\necho 3.13.15 /usr /usr/lib/os.py\n", "status 0: 3.13.15 /usr"),
        ("#!/no/such/interpreter\n", "status 1: "),
        ("#!/bin/sh\n[ $2 = -c ] && echo '{}'\nkill -9 $$\n", "status -9"),
    ],
)
def test_an_interpreter_that_does_not_start(tmp_path: Path, script: str, said: str) -> None:
    archive = write(tmp_path, "install_only", with_python("install_only", script))
    checks = run_smoke(archive, tmp_path / "run", SMOKE, EXPECTED)
    assert [check.name for check in checks if not check.error] == []
    assert said in checks[0].error
    assert checks[-1].name == "smoke script"
    with pytest.raises(errors.TestsFailed, match="4 of 4 checks failed") as error:
        refuse_smoke(checks, archive.name)
    assert error.value.exit_code == 22


def test_results_as_text() -> None:
    checks = (Check("imports", ""), Check("sqlite", "Traceback\nno such module: fts5"))
    assert render_smoke(checks) == "ok      imports\nFAILED  sqlite: Traceback\nno such module: fts5\n"
    refuse_smoke(checks[:1], "a")
    with pytest.raises(errors.TestsFailed, match="1 of 2 checks failed: sqlite: no such module: fts5"):
        refuse_smoke(checks, "a")


def test_the_suite_runs_and_failures_run_once_more_alone(tmp_path: Path) -> None:
    archive = write(tmp_path, "full", with_python("full", REGRTEST))
    result = run_suite(archive, tmp_path / "run", SUITE, VERSION)
    assert result.files == {"test_a": "passed", "test_b": "passed", "test_c": "failed"}
    assert result.failures == {"test.test_c.T.x": "still"}
    assert (result.flaky, result.cases) == (("test.test_b.T.y",), 3)
    calls = (tmp_path / "run/calls").read_text().splitlines()
    junit = f"--junit-xml {tmp_path}/run"
    assert calls[0] == f"-m test -u all --timeout 60 {junit}/all.xml -j3 --ignore *.test_case --exclude test_no"
    # a name after --exclude would be left out, so the second call must not have it
    assert calls[1] == f"-m test -u all --timeout 60 {junit}/again.xml -j1 --ignore *.test_case test_b test_c"
    assert "test_a passed" in (tmp_path / "run/all.log").read_text()


def test_a_suite_that_cannot_run_gives_no_files(tmp_path: Path) -> None:
    result = run_regrtest(Regrtest([str(tmp_path / "no-python")], str(tmp_path)), tmp_path, SUITE)
    assert (result.files, result.cases) == ({}, 0)
    assert "no-python" in (tmp_path / "all.log").read_text()


APART = """#!/bin/sh
# regrtest with one file: test_b ends without a word, test_c hangs, test_d passes and falls when it ends
for word; do [ "$before" = --junit-xml ] && junit=$word; before=$word; done
case "$*" in
*--list-tests*) printf 'test_a\\ntest.test_p.test_b\\nsomething else\\ntest_c\\ntest_d\\n';;
*" test_a") echo "0:00:01 [1/1] test_a passed"; echo '<testsuites><testcase name="test.test_a.T.x"/></testsuites>' > "$junit";;
*test_b) echo "fatal error"; exit 5;;
*test_d) echo "0:00:01 [1/1] test_d passed"; exit 139;;
*) sleep 60;;
esac
"""


def test_each_file_alone_takes_no_other_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "python"
    script.write_text(APART)
    script.chmod(0o755)
    monkeypatch.setattr(testrun, "GRACE", 0.0)
    suite = replace(SUITE, apart=True, timeout=4)
    regrtest = Regrtest([str(script)], str(tmp_path), ("sh", "-c", f"echo stopped >> {tmp_path}/stops"))
    result = run_once(regrtest, tmp_path, suite, "all")
    assert result.files == {"test_a": "passed", "test.test_p.test_b": "failed", "test_c": "failed", "test_d": "failed"}
    fell = "crashed (139): 0:00:01 [1/1] test_d passed"
    assert result.failures == {"test.test_p.test_b": "crashed (5): fatal error", "test_c": "hung: no word", "test_d": fell}
    assert result.cases == 1
    assert (tmp_path / "stops").read_text() == "stopped\n" * 3
    assert (tmp_path / "all.log").read_text() == "0:00:01 [1/1] test_a passed\nfatal error\n0:00:01 [1/1] test_d passed\n"
    assert (tmp_path / "all/test_a.xml").exists()
    (tmp_path / "python").write_text("#!/bin/sh\nexit 1")
    assert run_once(regrtest, tmp_path, suite, "all") == SuiteResult({}, {})


def test_the_driver_of_wine_refuses_links_and_measures_no_load(tmp_path: Path) -> None:
    """With a regrtest that says what it was left with."""
    package = tmp_path / "test" / "libregrtest"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package.parent / "support.py").write_text("def _is_gui_available(): raise OSError")
    (package / "logger.py").write_text("class Logger:\n    def start_load_tracker(self): raise OSError")
    (package / "testresult.py").write_text("class RegressionTestResult:\n    addSubTest = addError = addFailure = None")
    (package / "utils.py").write_text("sanitize_xml = str")
    (package / "main.py").write_text("""
import os, sys
from test import support
from .logger import Logger
from .testresult import RegressionTestResult
def main():
    assert RegressionTestResult.addSubTest
    Logger().start_load_tracker()
    try:
        os.symlink("a", "b")
    except OSError as error:
        print(error.filename, error.filename2, sys.argv[1:], any(entry.endswith("graph") for entry in sys.path))
    print(vars(support._is_gui_available))
""")
    command = [sys.executable, str(DRIVER), "-u", "all"]
    told = [
        subprocess.run(command, env={"PYTHONPATH": str(tmp_path), "DISPLAY": display}, capture_output=True, text=True)
        for display in ("", ":1")
    ]
    assert [done.stderr for done in told] == ["", ""]
    without, with_one = (done.stdout.splitlines() for done in told)
    assert without == ["a b ['-u', 'all'] False", "{'result': False, 'reason': 'no display'}"]
    assert with_one == ["a b ['-u', 'all'] False", "{}"]


def _lives(process: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False


def test_an_interrupt_ends_all_processes(tmp_path: Path) -> None:
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\nsleep 600 & echo $! > child; echo $! > " + str(tmp_path / "child") + "; wait\n")
    script.chmod(0o755)
    code = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from graph.suite import parse_suite
from graph.testrun import Regrtest, run_regrtest
place = {str(tmp_path)!r}
run_regrtest(Regrtest([{str(script)!r}], place), Path(place), parse_suite('[run]\\nresources = "all"\\njobs = 1\\ntimeout = 1'))
"""
    runner = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL, preexec_fn=hear_interrupts)
    while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text().strip():
        assert runner.poll() is None
        time.sleep(0.02)
    runner.send_signal(2)
    assert runner.wait(20) != 0
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 10
    while _lives(child):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_process_that_exceeds_its_time_is_killed(tmp_path: Path) -> None:
    began = time.monotonic()
    assert testrun._run(["sh", "-c", "echo begun; sleep 60"], tmp_path, tmp_path, limit=0.3) == (-9, "begun\n")
    assert time.monotonic() - began < 20


def test_signals_have_their_default_action(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert testrun._run(["sh", "-c", "kill -INT $$; echo still here"], tmp_path, tmp_path, limit=20) == (-2, "")
    finally:
        signal.signal(signal.SIGINT, before)


HOSTILE = (
    {"../outside": Member(b"x")},
    {"/outside": Member(b"x")},
    {"python/link": Member(type=tarfile.SYMTYPE, link="../../outside")},
    {"python/link": Member(type=tarfile.LNKTYPE, link="../outside")},
    {"python/pipe": Member(type=tarfile.FIFOTYPE)},
)
"""Members that lead out of the folder, or are nothing to unpack."""


@pytest.mark.parametrize("flavour", ["full", "install_only"])
def test_a_broken_or_hostile_archive_is_refused(tmp_path: Path, flavour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = write(tmp_path, flavour, good(flavour))
    archive.write_bytes(archive.read_bytes()[:-200])
    with pytest.raises(errors.UnpackError):
        unpack_archive(archive, tmp_path / "a")
    # Debian 12's Python has no filter
    monkeypatch.delattr("tarfile.data_filter", raising=False)
    for number, more in enumerate(HOSTILE if sys.version_info < (3, 12) else HOSTILE[:1]):
        hostile = write(tmp_path, flavour, {**good(flavour), **more})
        with pytest.raises(errors.UnpackError):
            unpack_archive(hostile, tmp_path / f"b{number}")
        assert not (tmp_path / "outside").exists()


def smoke(tmp_path: Path, *names: str, **more: object) -> dict[str, str]:
    """Run checks of the smoke script with this very Python."""
    base: dict[str, object] = {
        "version": platform.python_version(),
        "prefix": "/nowhere",
        "missing": [],
        "builtin": list(sys.builtin_module_names),
    }
    argv = [sys.executable, "-I", str(SMOKE), json.dumps({**base, "scratch": str(tmp_path), **more}), *names]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    results: dict[str, str] = json.loads(done.stdout)
    assert list(results) == [name for name in results if name in names]
    return results


def test_the_smoke_script_passes_what_works(tmp_path: Path) -> None:
    names = (
        "version",
        "platform_tag",
        "hashes",
        "ctypes_callback",
        "decimals",
        "compressors",
        "ssl_handshake",
        "builtin_modules",
        "processes",
    )
    assert smoke(tmp_path, *names, platform=sysconfig.get_platform()) == dict.fromkeys(names, "")


def test_the_smoke_script_tells_what_does_not(tmp_path: Path) -> None:
    names = ("version", "platform_tag", "prefix", "bundled_pip", "builtin_modules")
    found = smoke(tmp_path, *names, version="3.0.0", builtin=["sys"], platform="beos-bone")
    assert "is not 'beos-bone'" in found["platform_tag"]
    assert "is not '3.0.0'" in found["version"]
    assert "is not '/nowhere'" in found["prefix"]
    assert found["bundled_pip"]
    assert "is not ([], [])" in found["builtin_modules"]


def test_imports_must_miss_exactly_what_is_named(tmp_path: Path) -> None:
    missing = [name for name in ("winreg", "msvcrt", "nt", "os") if os.name == "posix"]
    found = smoke(tmp_path, "imports", missing=missing)["imports"]
    assert "'os': 'is named as missing, but imports'" in found
    assert "winreg" not in found and "_winapi" in found
