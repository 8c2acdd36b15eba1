"""Runs what an archive holds: unpacks it, moves it, tries the interpreter (toolchains/smoke.py), and runs CPython's own test suite with it.

Results are values; nothing is printed. The processes see a scrubbed environment and a home and temporary folder of their own.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import reduce
from itertools import pairwise
from pathlib import Path

import zstandard

from graph.errors import SandboxError, TestsFailed, UnpackError
from graph.machine import Machine, Native
from graph.policy import parse_policy
from graph.suite import FAILED, Suite, SuiteResult, again, arguments, failed_files, joined, parse_output, parse_suite
from graph.target import Cell

LAUNCH = Path(__file__).with_name("launch.py")
NATIVE = Native()
GRACE = 60.0
"""Seconds that a test file may take beyond its time, for the interpreter to start and to end."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
WHERE = """
import os, sys
print('.'.join(map(str, sys.version_info[:3])), *map(os.path.realpath, (sys.prefix, os.__file__)), sep='|')
"""
"""X.Y.Z, as a cell has it: platform.python_version() of a checkout is 3.15.0a1+."""

REGRTEST_STATUS = (0, 2, 3, 4, 5)
"""Of a run that came to its end: libregrtest's EXITCODE_ of bad tests, a changed environment, no tests, and failures when run again."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried; `error` is empty when it worked."""

    name: str
    error: str


@dataclass(frozen=True, slots=True)
class Expected:
    """What a distribution must say of itself."""

    version: str
    """X.Y.Z"""
    platform: str
    """sysconfig.get_platform()"""
    missing: tuple[str, ...]
    """Modules of the standard library that may not import."""
    builtin: tuple[str, ...]
    """Modules that must be in the core, and no others."""


def expected_of(cell: Cell, read: Callable[[str], str]) -> Expected:
    """By the tables in toolchains/, of which `read` gives the text. Raises LockError."""
    missing = parse_suite(read("toolchains/suite.toml"), cell).missing
    builtin = parse_policy(read("toolchains/policy.toml"), cell).builtin
    return Expected(cell.version, cell.target.platform_tag, tuple(sorted(missing)), tuple(sorted(builtin)))


def try_machine(machine: Machine) -> None:
    """Raises SandboxError when programs cannot be run there, whatever they are."""
    with _scratch() as scratch:
        status, output = _run(machine.argv(*machine.trial), scratch, scratch, limit=120)
    if status:
        raise SandboxError(output.strip()[-400:] or f"status {status}", hint="docs/testing.md, What it needs")


def run_smoke(archive: Path, workdir: Path, script: Path, expected: Expected, machine: Machine = NATIVE) -> tuple[Check, ...]:
    """Unpack to a fresh place with a space in its name, move it twice, and try it after each move; `script` is toolchains/smoke.py."""
    version = expected.version
    places = [workdir / "fresh place", workdir / "moved" / "once", workdir / "moved" / "a deeper" / "place, again"]
    unpack_archive(archive, places[0])
    checks = [_starts(places[0], version, machine)]
    for there, place in pairwise(places):
        place.parent.mkdir(parents=True, exist_ok=True)
        there.rename(place)
        checks.append(_starts(place, version, machine))
    prefix = prefix_of(places[-1])
    with _scratch() as scratch:
        wanted = {
            **asdict(expected),
            "prefix": machine.name(prefix.resolve()),
            "scratch": machine.name(scratch / "tmp"),
            "timeout": 240 * machine.patience,
        }
        argv = machine.argv(*_interpreter(prefix, version), "-I", machine.name(script.resolve()), json.dumps(wanted))
        status, output = _run(argv, scratch, scratch, limit=600 * machine.patience)
    return (*checks, *_smoke_checks(status, output))


def refuse_smoke(checks: Sequence[Check], place: str) -> None:
    """Raises TestsFailed when a check failed."""
    broken = [check for check in checks if check.error]
    if broken:
        first = "; ".join(f"{check.name}: {check.error.strip().splitlines()[-1]}" for check in broken[:3])
        what = f"{len(broken)} of {len(checks)} checks failed: {first}"
        raise TestsFailed(what, place=place, hint="each check is a function of toolchains/smoke.py")


def render_smoke(checks: Iterable[Check]) -> str:
    """One line a check: ok, or what broke."""
    return "".join(f"FAILED  {check.name}: {check.error.strip()}\n" if check.error else f"ok      {check.name}\n" for check in checks)


def run_suite(
    archive: Path, workdir: Path, suite: Suite, version: str, jobs: int = 0, machine: Machine = NATIVE, only: Sequence[str] = ()
) -> SuiteResult:
    """CPython's suite, or `only` these files of it, run by the interpreter of a full archive (the others hold no tests).

    `jobs` 0 takes suite.toml's number.

    Logs stay in `workdir`; the archive is unpacked elsewhere, where other users may read it: a test runs the interpreter as nobody.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    with _scratch() as place:
        unpack_archive(archive, place / "dist")
        regrtest = regrtest_of(prefix_of(place / "dist"), workdir, version, machine)
        return run_regrtest(regrtest, workdir, replace(suite, jobs=jobs or suite.jobs), only)


@dataclass(frozen=True, slots=True)
class Regrtest:
    """How a process of regrtest is started and ended."""

    command: Sequence[str]
    """What stands before regrtest's arguments: PYTHON -m test."""
    seen: str
    """What the process calls the folder with the logs."""
    stop: Sequence[str] = ()
    """Ends what it has left running where it lives on: Machine.stop."""


def regrtest_of(prefix: Path, workdir: Path, version: str, machine: Machine) -> Regrtest:
    """By the interpreter of an install prefix, with logs in `workdir`."""
    command = machine.argv(*_interpreter(prefix, version), *machine.regrtest)
    return Regrtest(command, machine.name(workdir), machine.stop)


def run_regrtest(regrtest: Regrtest, workdir: Path, suite: Suite, only: Sequence[str] = ()) -> SuiteResult:
    """Run the suite; what fails runs once more, alone. Logs stay in `workdir`."""
    first = run_once(regrtest, workdir, suite, "all", only)
    failed = failed_files(first)
    if not failed or len(failed) > 40:
        return first
    return again(first, run_once(regrtest, workdir, replace(suite, jobs=1), "again", failed))


def run_once(regrtest: Regrtest, workdir: Path, suite: Suite, name: str, only: Sequence[str] = ()) -> SuiteResult:
    """Run the suite, or `only` these files; the logs in `workdir` have this name."""
    return (_apart if suite.apart else _together)(regrtest, workdir, suite, name, only)


def _together(regrtest: Regrtest, workdir: Path, suite: Suite, name: str, only: Sequence[str]) -> SuiteResult:
    """By one process, with suite.jobs workers."""
    return _process(regrtest, workdir, suite, name, only, limit=4 * 3600)[1]


def _process(regrtest: Regrtest, workdir: Path, suite: Suite, name: str, only: Sequence[str], limit: float) -> tuple[int, SuiteResult]:
    """One process of regrtest: its exit status, and what came of it. `limit` is in seconds."""
    junit = workdir / f"{name}.xml"
    junit.unlink(missing_ok=True)
    chosen = replace(suite, exclude={test: why for test, why in suite.exclude.items() if "." in test or "*" in test}) if only else suite
    options = arguments(chosen, suite.jobs, f"{regrtest.seen}/{junit.name}")
    began = time.monotonic()
    with _scratch() as scratch:
        status, output = _run([*regrtest.command, *options, *only], scratch, scratch, limit, log=workdir / f"{name}.log")
    result = parse_output(output, junit.read_text(errors="replace") if junit.exists() else "")
    return status, replace(result, seconds=time.monotonic() - began)


def _apart(regrtest: Regrtest, workdir: Path, suite: Suite, name: str, only: Sequence[str]) -> SuiteResult:
    """A process for each file, in turn; their logs lie in a folder of the name, and together in a file, as one process would write it."""
    place = workdir / name
    place.mkdir(exist_ok=True)
    alone = replace(regrtest, seen=f"{regrtest.seen}/{name}")
    results = []
    with (workdir / f"{name}.log").open("w") as log:
        for file in only or listed(regrtest, workdir, suite):
            result = _alone(alone, place, suite, file)
            log.write((place / f"{file}.log").read_text(errors="replace"))
            log.flush()
            results.append(result)
    return reduce(joined, results, SuiteResult({}, {}))


def _alone(regrtest: Regrtest, place: Path, suite: Suite, file: str) -> SuiteResult:
    """One test file; what says nothing of itself has failed, and may have left something running."""
    # processes of wine have the same numbers each time, by which regrtest calls its folders
    shutil.rmtree(place / "tmp", ignore_errors=True)
    (place / "tmp").mkdir()
    options = ["--tempdir", f"{regrtest.seen}/tmp", file]
    status, result = _process(regrtest, place, replace(suite, jobs=0), file, options, limit=suite.timeout + GRACE)
    if file in result.files and (status in REGRTEST_STATUS or result.files[file] == FAILED):
        return result
    if regrtest.stop:
        with _scratch() as scratch:
            _run(regrtest.stop, scratch, scratch, limit=120)
    said = (place / f"{file}.log").read_text(errors="replace").strip().splitlines()
    ended = "hung" if result.seconds >= suite.timeout else f"crashed ({status})"
    return replace(result, files={file: FAILED}, failures={file: f"{ended}: {said[-1][:160] if said else 'no word'}"})


def listed(regrtest: Regrtest, workdir: Path, suite: Suite) -> tuple[str, ...]:
    """The test files that would be run."""
    with _scratch() as scratch:
        command = [*regrtest.command, "--list-tests", *arguments(suite, 0, "none")]
        status, output = _run(command, scratch, scratch, limit=300, log=workdir / "list.log")
    return (
        tuple(line.strip() for line in output.splitlines() if re.fullmatch(r"(test\.)?test_\w+(\.test_\w+)*", line.strip()))
        if not status
        else ()
    )


def unpack_archive(archive: Path, place: Path) -> None:
    """As installers do: Python's tarfile, filter "data". Raises UnpackError."""
    try:
        place.mkdir(parents=True)
        with archive.open("rb") as raw:
            zst = archive.name.endswith(".zst")
            plain = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True) if zst else raw
            with tarfile.open(fileobj=plain, mode="r|" if zst else "r|gz") as tar:
                if sys.version_info >= (3, 12):
                    tar.extractall(place, filter="data")
                else:
                    # security releases of 3.10 and 3.11 have the filter too
                    vars(tar)["extraction_filter"] = getattr(tarfile, "data_filter", None)
                    tar.extractall(place, _inside(tar))
    except (tarfile.TarError, zstandard.ZstdError, EOFError, OSError) as error:
        raise UnpackError(str(error), place=str(archive), hint="make this archive anew") from error


def _inside(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members, where tarfile may have no filter (Debian 12's Python). Raises ReadError at one that leads out, or is no file or link."""
    for member in tar:
        start = posixpath.dirname(member.name) if member.issym() else ""
        for path in (member.name, *([posixpath.join(start, member.linkname)] if member.issym() or member.islnk() else [])):
            if posixpath.isabs(path) or posixpath.normpath(path).split("/")[0] == "..":
                raise tarfile.ReadError(f"{member.name!r} leads out of the archive")
        if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
            raise tarfile.ReadError(f"{member.name!r} is neither file, folder nor link")
        yield member


def prefix_of(place: Path) -> Path:
    """The install prefix in an unpacked archive: python/install of a full one, python of the others."""
    full = place / "python" / "install"
    return full if full.is_dir() else place / "python"


def _interpreter(prefix: Path, version: str) -> tuple[str, ...]:
    of_windows = prefix / "python.exe"
    name = posixpath.join("bin", "python" + ".".join(version.split(".")[:2]))
    return (str(of_windows if of_windows.exists() else prefix / name),)


def _starts(place: Path, version: str, machine: Machine) -> Check:
    """Does the interpreter start at this place, as the version it is, with its own standard library."""
    prefix = prefix_of(place)
    with _scratch() as scratch:
        argv = machine.argv(*_interpreter(prefix, version), "-I", "-c", WHERE)
        status, output = _run(argv, scratch, scratch, limit=60 * machine.patience)
    # (wine tells first what it does with a new prefix)
    fields = (output.strip().splitlines() or [""])[-1].split("|")
    root = machine.name(prefix.resolve())
    good = status == 0 and len(fields) == 3 and fields[:2] == [version, root] and fields[2].startswith((f"{root}/", f"{root}\\"))
    return Check(f"starts in {place.name!r}", "" if good else f"status {status}: {output.strip()[-400:]}")


def _smoke_checks(status: int, output: str) -> Iterator[Check]:
    lines = output.strip().splitlines()
    try:
        results = json.loads(lines[-1]) if lines and status == 0 else None
    except ValueError:
        results = None
    if not isinstance(results, dict) or not results:
        yield Check("smoke script", f"ended with status {status}: {output.strip()[-400:]}")
        return
    for name, error in results.items():
        yield Check(name.replace("_", " "), error)


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder with home/ and tmp/, of a short name: a Unix socket's path has at most 107 bytes, and tests make some below TMPDIR."""
    folder = Path(tempfile.mkdtemp(prefix="fs-"))
    try:
        folder.chmod(0o755)
        (folder / "home").mkdir()
        (folder / "tmp").mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(argv: Sequence[str], scratch: Path, cwd: Path, limit: float, log: Path | None = None) -> tuple[int, str]:
    """Exit status and output (both streams) of one process in a session of its own; all of it is killed when this ends early.

    The limit is in seconds; a process that exceeds it has status -9. The output is written to `log` as it comes.
    """
    env = {"PATH": PATH, "HOME": str(scratch / "home"), "TMPDIR": str(scratch / "tmp"), "LANG": "C.UTF-8", "TERM": "xterm"}
    with log.open("w+b") if log else tempfile.TemporaryFile() as out:
        command = [sys.executable, "-I", "-S", str(LAUNCH), *argv]
        process = subprocess.Popen(command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        out.seek(0)
        return process.returncode, out.read().decode(errors="replace")
