"""check: and test: tasks, which look at the archives as shipped."""

from __future__ import annotations

from graph.errors import AuditFailed
from graph.session import Session
from graph.target import Cell

SHOWN = 20
"""Findings that are printed; the rest is counted."""


def check_cell(session: Session, cell: Cell) -> None:
    """Audit the archives of a cell in dist/. Raises AuditFailed with the first findings."""
    from graph.audit import audit_archives  # lief takes a good part of a second to import

    paths = session.archives(f"dist:{cell}")
    findings = audit_archives(paths, cell.target, cell.version, session.read("toolchains/policy.toml"))
    if findings:
        more = [f"and {len(findings) - SHOWN} more"] if len(findings) > SHOWN else []
        what = "\n".join([f"{len(findings)} findings", *(f"  {finding}" for finding in findings[:SHOWN]), *more])
        raise AuditFailed(what, place=f"check:{cell}", hint="toolchains/policy.toml has the limits and their reasons")
    session.reporter.line(f"audit of {len(paths)} archives: nothing found")


def test_cell(session: Session, cell: Cell) -> None:
    """Unpack and run."""
