"""Trees as values: their entries, the check of names that came from outside, and the filter. Blobs are reached through two functions."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from graph.digest import Digest, Directory
from graph.errors import PlanError, StoreError
from graph.globs import Glob, Selection, States

Load = Callable[[Digest], Directory]
Save = Callable[[Directory], Digest]

FILTER_SCHEMA = "1"
"""Raised when what `filter_tree` gives for a tree changes; every memo of a filter is made anew with it."""

EMPTY = Directory()
DEPTH = 200
"""Folders that may be nested: a tree also comes from other machines."""
NAME_MAX, PATH_MAX = 255, 4096
"""Linux's limits, in bytes: of a name, and of a path or a link's text. (Here letters are counted, of which there are not more.)"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a flattened tree."""

    path: str
    """Relative, with /."""
    kind: str
    """file, directory or symlink."""
    digest: Digest | None = None
    """Of a file's bytes or a Directory message; None for a symlink."""
    executable: bool = False
    target: str = ""
    """A symlink's text."""


@dataclass(frozen=True, slots=True)
class Filtered:
    """A filtered tree, and which patterns found nothing (a missing subdir is told as `subdir/`)."""

    tree: Digest
    unmatched: tuple[str, ...] = ()


def escapes(path: str, target: str) -> bool:
    """Whether a symlink at `path` with this text leads out of its tree, read as text (absolute ones always do)."""
    there = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return not target or target.startswith("/") or there == ".." or there.startswith("../")


def check(directory: Directory, place: str) -> Directory:
    """The directory itself. Raises StoreError if a name is no file name or stands twice, or no file system could hold it.

    Trees also come from other machines.
    """
    names = [child[0] for group in (directory.files, directory.directories, directory.symlinks) for child in group]
    bad = [name for name in names if name in ("", ".", "..") or "/" in name or "\0" in name]
    if bad or len(set(names)) != len(names):
        raise StoreError(f"a directory holds a bad name: {bad[0] if bad else 'one twice'!r}", place=place, hint="doit store verify")
    if any(len(name) > NAME_MAX for name in names) or any(len(target) >= PATH_MAX for _, target in directory.symlinks):
        raise StoreError("a directory holds a name or a link that no file system takes", place=place, hint="doit store verify")
    return directory


def flatten(load: Load, root: Digest, prefix: str = "") -> Iterator[Entry]:
    """Every entry below `root`: in each folder the files, the symlinks, then each subfolder followed by what it holds.

    Raises StoreError on a symlink that leads outside.
    """
    for entry in _entries(load, root, prefix):
        if entry.kind == "symlink" and escapes(entry.path, entry.target):
            where = f"symbolic link {entry.path} -> {entry.target}"
            raise StoreError(f"{where} leads outside its tree", place=str(root), hint="doit store verify")
        yield entry


def _entries(load: Load, root: Digest, prefix: str) -> Iterator[Entry]:
    if prefix.count("/") > DEPTH:
        raise StoreError(f"a tree has more than {DEPTH} levels", place=prefix[:100], hint="doit store verify")
    if len(prefix) > PATH_MAX:
        raise StoreError(f"a tree has a path of more than {PATH_MAX} bytes", place=prefix[:100], hint="doit store verify")
    directory = load(root)
    for name, digest, executable in directory.files:
        yield Entry(prefix + name, "file", digest, executable)
    for name, target in directory.symlinks:
        yield Entry(prefix + name, "symlink", target=target)
    for name, digest in directory.directories:
        yield Entry(prefix + name, "directory", digest)
        yield from _entries(load, digest, f"{prefix}{name}/")


def filter_tree(load: Load, save: Save, root: Digest, subdir: str, selection: Selection) -> Filtered:
    """Keep what the selection keeps below `subdir`. Folders left empty vanish; folders no pattern can touch are shared, not read.

    Raises PlanError on a kept symlink that leads out of `subdir`: it was inside of the whole tree, and cannot be of this one.
    """
    found = _descend(load, root, subdir)
    if found is None:
        return Filtered(save(EMPTY), (f"{subdir}/",))
    walk = _Walk(load, save, selection.only, selection.without, set())
    tree = walk.folder(found, tuple(g.start() for g in selection.only), tuple(g.start() for g in selection.without))
    unmatched = tuple(glob.text for glob in selection.only if glob.text not in walk.matched)
    if subdir and tree:
        _check_links(load, tree, subdir)
    return Filtered(tree or save(EMPTY), unmatched)


def _check_links(load: Load, tree: Digest, subdir: str) -> None:
    for entry in _entries(load, tree, ""):
        if entry.kind == "symlink" and escapes(entry.path, entry.target):
            hint = f"take a folder above {subdir}/, or leave the link out with `without`"
            raise PlanError(f"symbolic link {entry.path} -> {entry.target} leads out of it", place=f"subdir {subdir}", hint=hint)


def _descend(load: Load, root: Digest, subdir: str) -> Digest | None:
    for part in subdir.split("/") if subdir else ():
        below = dict(load(root).directories).get(part)
        if below is None:
            return None
        root = below
    return root


@dataclass(frozen=True, slots=True)
class _Walk:
    load: Load
    save: Save
    only: tuple[Glob, ...]
    without: tuple[Glob, ...]
    matched: set[str]
    """Texts of `only` that have matched something; the one thing that grows during a walk."""

    def folder(self, digest: Digest, only: tuple[States, ...], without: tuple[States, ...]) -> Digest | None:
        """The filtered folder, or None if nothing of it is kept."""
        if self._untouched(only, without):
            return digest
        if self.only and not any(only):
            return None
        directory = self.load(digest)
        if directory == EMPTY:
            return digest if self._keeps("", only, without) else None
        kept = Directory(
            tuple(f for f in directory.files if self._keeps(f[0], only, without)),
            tuple(self._folders(directory, only, without)),
            tuple(s for s in directory.symlinks if self._keeps(s[0], only, without)),
        )
        if kept == EMPTY:
            return None
        return digest if kept == directory else self.save(kept)

    def _folders(self, directory: Directory, only: tuple[States, ...], without: tuple[States, ...]) -> Iterator[tuple[str, Digest]]:
        for name, digest in directory.directories:
            kept = self.folder(digest, _step(self.only, only, name), _step(self.without, without, name))
            if kept is not None:
                yield name, kept

    def _untouched(self, only: tuple[States, ...], without: tuple[States, ...]) -> bool:
        """All below is kept, and no pattern of `only` must still be told whether it matches."""
        if any(without):
            return False
        covering = [glob.covers(states) for glob, states in zip(self.only, only, strict=True)]
        for glob, covers in zip(self.only, covering, strict=True):
            if covers:
                self.matched.add(glob.text)
        settled = all(not states or glob.text in self.matched for glob, states in zip(self.only, only, strict=True))
        return not self.only or (any(covering) and settled)

    def _keeps(self, name: str, only: tuple[States, ...], without: tuple[States, ...]) -> bool:
        wanted = not self.only
        for glob, states in zip(self.only, only, strict=True):
            if glob.accepts(glob.step(states, name)):
                self.matched.add(glob.text)
                wanted = True
        return wanted and not any(glob.accepts(glob.step(states, name)) for glob, states in zip(self.without, without, strict=True))


def _step(globs: tuple[Glob, ...], states: tuple[States, ...], name: str) -> tuple[States, ...]:
    return tuple(glob.step(state, name) for glob, state in zip(globs, states, strict=True))
