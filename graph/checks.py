"""check: and test: tasks, which look at the archives as shipped. lief and zstandard are imported when needed: they take a while."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from graph.errors import UnpackError
from graph.facts import Format
from graph.lock import VCRUNTIME
from graph.machine import Machine
from graph.policy import Policy, parse_policy
from graph.rules import refuse
from graph.session import Session
from graph.suite import refuse_suite, render_suite, wanted
from graph.target import Addon, Cell, Target
from graph.tbd import Stub, offered, parse_tbd


def check_dist(session: Session, chosen: Cell | Addon) -> None:
    """Audit the archives of a cell or an add-on in dist/. Raises AuditFailed with the first findings."""
    from graph.audit import audit_archives

    paths = session.archives(f"dist:{chosen}")
    # no limit of an add-on depends on the version or options
    cell = chosen if isinstance(chosen, Cell) else Cell(chosen.target, session.matrix.versions[0], ())
    policy = parse_policy(session.read("toolchains/policy.toml"), cell)
    policy = replace(_with_stubs(session, policy), bundled=_bundled(session, cell.target))
    with _made_again_by(chosen):
        refuse(audit_archives(paths, policy), f"check:{chosen}")
    session.reporter.line(f"audit of {len(paths)} archives: nothing found")


@contextmanager
def _made_again_by(chosen: Cell | Addon) -> Iterator[None]:
    """An archive that cannot be read names the command that makes it."""
    try:
        yield
    except UnpackError as error:
        raise UnpackError(error.what, place=error.place, hint=f"rm '{error.place}' && doit store verify && doit dist:{chosen}") from error


def _with_stubs(session: Session, policy: Policy) -> Policy:
    """The limits with what the system's libraries offer, to each slice of its own sysroot."""
    slices = tuple(_with_stubs(session, one) for one in policy.slices)
    stubs = {} if slices else _stubs(session, policy.target, policy.format)
    return replace(policy, stubs=stubs, slices=slices)


def _bundled(session: Session, target: Target) -> frozenset[str]:
    """Names of the DLLs of Microsoft's that --vcruntime brought."""
    if session.lock.vcruntime(target) is None:
        return frozenset()
    return frozenset(path for path, _ in session.files_of(f"source:{VCRUNTIME}", ".dll"))


def _stubs(session: Session, target: Target, form: Format) -> Mapping[str, frozenset[str]]:
    """What the system's libraries offer, by name: musl's, or those of the .tbd files for macOS, in the target's sysroot (libc:TRIPLE)."""
    if target.libc == "musl":
        from graph.binaries import read_binaries

        read = [read_binaries(path, blob.read_bytes()) for path, blob in session.files_of(f"libc:{target}", "usr/lib/libc.so")]
        return {"libc.so": frozenset(symbol.name for binaries in read for binary in binaries for symbol in binary.exports)}
    if form is not Format.MACHO:
        return {}
    stubs: list[Stub] = []
    for path, blob in session.files_of(f"libc:{target}", ".tbd"):
        stubs += parse_tbd(blob.read_text(encoding="utf-8"), target.arch, path)
    return offered(stubs)


def test_cell(session: Session, cell: Cell) -> None:
    """Unpack, move and run the archives of a cell, then CPython's own suite. Raises TestsFailed, and what Session.machine raises."""
    from graph.testrun import try_machine

    archives = session.archives(f"dist:{cell}")
    machine = session.machine(cell.target)
    try_machine(machine)
    with _made_again_by(cell), tempfile.TemporaryDirectory(prefix="freestanding-") as folder:
        for archive in archives:
            _smoke(session, cell, machine, archive, Path(folder) / archive.name)
        [full] = [archive for archive in archives if "-full." in archive.name]
        _suite(session, cell, machine, full, Path(folder) / "suite")


def _smoke(session: Session, cell: Cell, machine: Machine, archive: Path, workdir: Path) -> None:
    from graph.testrun import expected_of, refuse_smoke, render_smoke, run_smoke

    checks = run_smoke(archive, workdir, session.root / "toolchains/smoke.py", expected_of(cell, session.read), machine)
    session.reporter.line(f"{archive.name}\n{render_smoke(checks)}".rstrip())
    refuse_smoke(checks, archive.name)


def _suite(session: Session, cell: Cell, machine: Machine, archive: Path, workdir: Path) -> None:
    from graph.testrun import run_suite

    workdir.mkdir()
    tried = wanted(session.read, cell)
    try:
        result = run_suite(archive, workdir, tried.suite, cell.version, machine=machine, only=tried.only)
    finally:
        for log in workdir.glob("*.log"):
            kept = session.store.logs / f"test:{cell}-{log.name}"
            shutil.copyfile(log, kept)
            session.reporter.line(f"log: {kept}")
    session.reporter.line(render_suite(result, tried.suite, tried.baseline))
    refuse_suite(result, tried.suite, tried.baseline, archive.name)
