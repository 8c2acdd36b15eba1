"""Path globs: `*` and `?` stay inside one path part, `**` is any number of parts, a trailing `/` is the whole folder.

A glob is matched part by part, so that a walk over a tree of digests knows early that a folder is wholly in or wholly out.
An empty directory is the path of the folder with a trailing `/`: `a/e/` is matched by `a/`, `a/**`, `a/e/`, not by `a/*`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import translate

from graph.errors import PlanError

States = frozenset[int]
"""Positions in a glob's parts that the walk can be at; empty: nothing below can match."""

_DEEP = "**"


@dataclass(frozen=True, slots=True)
class Glob:
    """One compiled pattern. Make it with `parse`."""

    text: str
    parts: tuple[str, ...]
    """`**` or a glob of one part; a pattern that ends in `**` or `/` ends in two parts, `**` and the empty string (any one part)."""
    patterns: tuple[re.Pattern[str] | None, ...] = field(compare=False)
    """One per part; None where any part matches."""

    @classmethod
    def parse(cls, text: str) -> Glob:
        """Raises PlanError for an absolute path, `..`, an empty part, or `**` beside other characters in one part."""
        parts = text.split("/")
        whole = parts[-1] in ("", _DEEP)
        names = parts[:-1] if whole else parts
        bad = [p for p in names if p in ("", ".", "..") or (_DEEP in p and p != _DEEP)]
        if bad or text in ("", "/"):
            raise PlanError(f"not a glob: {text!r}", place="only/without", hint="use relative paths; ** is a path part of its own")
        full = (*names, _DEEP, "") if whole else tuple(names)
        return cls(text, full, tuple(re.compile(translate(p)) if p not in ("", _DEEP) else None for p in full))

    def start(self) -> States:
        return self._closure({0})

    def step(self, states: States, name: str) -> States:
        """The states after one more path part; the empty name stands for "is an empty directory"."""
        after = set()
        for state in states:
            if state == len(self.parts):
                continue
            if self.parts[state] == _DEEP:
                after.add(state)
            elif (pattern := self.patterns[state]) is None or (name and pattern.match(name)):
                after.add(state + 1)
        return self._closure(after)

    def accepts(self, states: States) -> bool:
        """The parts walked so far are a match."""
        return len(self.parts) in states

    def covers(self, states: States) -> bool:
        """Every path below matches."""
        return self.parts[-1] == "" and len(self.parts) - 2 in states

    def _closure(self, states: set[int]) -> States:
        for state in sorted(states):
            while state < len(self.parts) and self.parts[state] == _DEEP:
                state += 1
                states.add(state)
        return frozenset(states)


@dataclass(frozen=True, slots=True)
class Selection:
    """What `only` and `without` keep: paths that match one of `only` (all, if there is none) and none of `without`."""

    only: tuple[Glob, ...]
    without: tuple[Glob, ...]

    @classmethod
    def parse(cls, only: Iterable[str], without: Iterable[str]) -> Selection:
        """Raises PlanError on a malformed glob."""
        return cls(tuple(Glob.parse(g) for g in only), tuple(Glob.parse(g) for g in without))

    def keeps(self, path: str) -> bool:
        """`path` ends with / if it is an empty directory."""
        wanted = not self.only or any(_matches(glob, path) for glob in self.only)
        return wanted and not any(_matches(glob, path) for glob in self.without)

    def matched(self, path: str) -> tuple[str, ...]:
        """Those of `only` that match the path."""
        return tuple(glob.text for glob in self.only if _matches(glob, path))


def _matches(glob: Glob, path: str) -> bool:
    states = glob.start()
    for name in path.split("/"):
        states = glob.step(states, name)
        if not states:
            return False
    return glob.accepts(states)
