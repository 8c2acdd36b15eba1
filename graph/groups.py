"""Short names of what can be built: dist:TRIPLE, dist:linux, dist:all, and of Windows zip:TRIPLE and msi:TRIPLE."""

from __future__ import annotations

from collections.abc import Mapping

from graph.errors import UsageError
from graph.matrix import SYSTEMS, Matrix, parse_cell

INSTALLERS: Mapping[str, tuple[str, ...]] = {"windows": ("zip", "msi")}
"""System -> kinds of nodes that make another form of a distribution, for installers."""
KINDS = tuple(kind for kinds in INSTALLERS.values() for kind in kinds)
DELIVERED = ("dist", *KINDS)
"""Kinds of nodes whose files go to dist/."""


def groups_of(matrix: Matrix) -> dict[str, tuple[str, ...]]:
    """Short names -> the nodes they stand for, of default cells. (What is merged of others: dist:TRIPLE only.)"""
    groups: dict[str, tuple[str, ...]] = {}
    for target in matrix.offered:
        cell = matrix.default(target)
        shared = () if target.slices else (f"dist:{SYSTEMS[target.os]}", "dist:all")
        for name in (f"dist:{target}", *shared):
            groups[name] = (*groups.get(name, ()), f"dist:{cell}")
    for target in matrix.offered:
        groups |= {f"{kind}:{target}": (f"{kind}:{matrix.default(target)}",) for kind in INSTALLERS.get(target.os, ())}
    return groups


def installer(name: str, matrix: Matrix) -> str:
    """The node that KIND:TRIPLE[:VERSION[:OPTIONS]] stands for, of a kind of KINDS. Raises UsageError with the nearest valid command."""
    kind, _, chosen = name.partition(":")
    if not chosen:
        raise UsageError(f"{kind} names no target: {kind}:TRIPLE[:VERSION[:OPTIONS]] is due", hint=_nearest(kind, "", matrix))
    cell = parse_cell(chosen, matrix)
    systems = [system for system, kinds in INSTALLERS.items() if kind in kinds]
    if cell.target.os not in systems:
        what = f"there is no {kind} for {cell.target}, only for {' and '.join(systems).title()}"
        raise UsageError(what, hint=_nearest(kind, cell.target.arch, matrix))
    return f"{kind}:{cell}"


def _nearest(kind: str, arch: str, matrix: Matrix) -> str:
    """The command for the first target that has such a node, of this processor if one has."""
    having = [target for target in matrix.offered if kind in INSTALLERS.get(target.os, ())]
    alike = [target for target in having if target.arch == arch]
    return f"doit {kind}:{[*alike, *having][0]}" if having else "doit list shows what can be built here"
