"""Short names of what can be built: dist:TRIPLE, dist:linux, dist:all, and of Windows zip:TRIPLE and msi:TRIPLE."""

from __future__ import annotations

from collections.abc import Mapping

from graph.matrix import Matrix

SYSTEMS = {"linux": "linux", "macos": "darwin", "windows": "windows"}
"""zig's name of an OS -> the name of its group of distributions."""
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
