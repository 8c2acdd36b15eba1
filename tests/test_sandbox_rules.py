"""The sandbox's pure parts: selection, relocation, hints, the report's lines, the recording body."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from graph import nsinit, sandbox
from graph.errors import SandboxError, UsageError
from graph.node import Step
from graph.sandbox import Job, NamespaceRunner, PlainRunner, RecordingRunner, explain_failure, relocate, select_runner


def no_tools(names: tuple[str, ...]) -> Mapping[str, str]:
    return {}


@pytest.mark.parametrize(
    ("mode", "reason", "kind"),
    [
        ("", "", NamespaceRunner),
        ("auto", "", NamespaceRunner),
        ("auto", "locked", PlainRunner),
        ("plain", "", PlainRunner),
        ("require", "", NamespaceRunner),
    ],
)
def test_selection(monkeypatch: pytest.MonkeyPatch, mode: str, reason: str, kind: type) -> None:
    monkeypatch.setattr(sandbox, "why_unavailable", lambda: reason)
    runner = select_runner(no_tools, {"FREESTANDING_SANDBOX": mode})
    assert type(runner) is kind
    assert runner.hermetic == (kind is NamespaceRunner)
    if isinstance(runner, PlainRunner):
        assert runner.reason


def test_a_required_sandbox_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "why_unavailable", lambda: "unshare: Operation not permitted")
    with pytest.raises(SandboxError, match="Operation not permitted"):
        select_runner(no_tools, {"FREESTANDING_SANDBOX": "require"})


def test_an_unknown_mode() -> None:
    with pytest.raises(UsageError, match="did you mean plain"):
        select_runner(no_tools, {"FREESTANDING_SANDBOX": "plan"})


def test_other_systems_have_no_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert sandbox.why_unavailable() == "darwin has no namespaces"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/build", "/r"),
        ("/build/work", "/r/work"),
        ("-I/build/deps -L/build/lib", "-I/r/deps -L/r/lib"),
        ("--prefix=/build/out", "--prefix=/r/out"),
        ("-ffile-prefix-map=/build=/src", "-ffile-prefix-map=/r=/src"),
        ("/build/tc/bin:/usr/bin", "/r/tc/bin:/usr/bin"),
        ("-Wl,-rpath,/build/x", "-Wl,-rpath,/r/x"),
        ("src/build", "src/build"),
        ("/opt/build/x", "/opt/build/x"),
        ("/build-1/builder /builder", "/build-1/builder /builder"),
    ],
)
def test_relocate(text: str, expected: str) -> None:
    assert relocate(text, "/r") == expected


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("cat: /etc/ssl/x.cnf: No such file or directory", "asked for /etc/ssl/x.cnf"),
        ("FileNotFoundError: [Errno 2] No such file or directory: '/usr/include/z.h'", "asked for /usr/include/z.h"),
        ("cc: error: unable to open '/usr/lib/crt1.o': FileNotFound", "asked for /usr/lib/crt1.o"),
        ("sh: 1: gperf: not found", "ran gperf"),
        ("./configure: line 9: bison: command not found", "ran bison"),
        ("./configure: 99: m4: not found", "ran m4"),
        ("make[2]: python3: No such file or directory", "ran python3"),
        ("env: ‘ruby’: No such file or directory", "ran ruby"),  # noqa: RUF001
        ("sandbox: cmake: No such file or directory", "ran cmake"),
        ("./x: bad interpreter: /usr/bin/lua: no such file or directory", "ran /usr/bin/lua"),
        ("sh: 1: cannot create /build/src/x.o: Read-only file system", "wrote to /build/src/x.o"),
        ("rm: cannot remove 'src/x.o': Read-only file system", "wrote to src/x.o"),
        ("OSError: [Errno 30] Read-only file system: '/build/src/p'", "wrote to /build/src/p"),
        ("connect: Network is unreachable", "the network"),
        ("wget: Temporary failure in name resolution", "the network"),
    ],
)
def test_hints(line: str, hint: str) -> None:
    found = explain_failure(f"configure: checking\n{line}\nmake: *** [all] Error 1", ("posix", "make"))
    assert found is not None
    assert hint in found


@pytest.mark.parametrize(
    "tail",
    [
        "",
        "error: expected ';'",
        "cat: /build/src/x: No such file or directory",
        "/tmp/x: not found",
        "checking for /bin/sh... not here",
        "src/a.c: not found",
    ],
)
def test_no_hint_where_nothing_points_outside(tail: str) -> None:
    assert explain_failure(tail, ()) is None


def test_the_last_cause_counts() -> None:
    assert "second" in str(explain_failure("sh: 1: first: not found\nsh: 1: second: not found\n", ()))


@pytest.mark.parametrize(
    ("report", "expected"),
    [("step 0\nstep 1\ndone 3\n", (3, 1)), ("step 0\n", (137, 0)), ("done 0\n", (0, None)), ("step 0\ndone 0\n", (0, 0))],
)
def test_report_lines(report: str, expected: tuple[int, int | None]) -> None:
    assert sandbox._read_report(report) == expected


def test_a_reported_error_is_raised() -> None:
    with pytest.raises(SandboxError, match="mount"):
        sandbox._read_report("error mount(/x): No such device\n")


def test_a_first_process_that_dies_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "init.py"
    broken.write_text("raise SystemExit(3)")
    monkeypatch.setattr(sandbox, "INIT", broken)
    (tmp_path / "build/work").mkdir(parents=True)
    job = Job(tmp_path / "build", (), (Step(("true",)),), (), (), tmp_path / "log")
    with pytest.raises(SandboxError, match="before the first step"):
        PlainRunner(no_tools, "test").run(job)


def test_the_recording_runner_plays_the_steps(tmp_path: Path) -> None:
    job = Job(tmp_path, (), (Step(("make", "install")),), (), (), tmp_path / "log")
    runner = RecordingRunner(lambda given: 2)
    outcome = runner.run(job)
    assert (outcome.status, outcome.failed_step) == (2, 0)
    assert runner.shell(job) == 0
    assert runner.jobs == [job, job]
    assert "make install" in job.log.read_text()


@pytest.mark.parametrize(
    ("word", "quoted"), [("a.c", "a.c"), ("", "''"), ("a b", "'a b'"), ("it's", "'it'\"'\"'s'"), ("-DX=1", "-DX=1"), ("$x", "'$x'")]
)
def test_quoting(word: str, quoted: str) -> None:
    assert nsinit.quoted(word) == quoted


def test_programs_are_found_on_the_given_path(tmp_path: Path) -> None:
    (tmp_path / "tool").touch(mode=0o755)
    (tmp_path / "data").touch(mode=0o644)
    env = {"PATH": f"/nowhere:{tmp_path}"}
    assert nsinit.find_program("tool", env) == f"{tmp_path}/tool"
    assert nsinit.find_program("data", env) == "data"
    assert nsinit.find_program("./tool", env) == "./tool"
