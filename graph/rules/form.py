"""The archive's own form: name, tree, headers of its members, links."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import pairwise

from graph.facts import Archive, Entry, Finding, Flavour
from graph.lock import VCRUNTIME
from graph.policy import Policy
from graph.rules.common import Findings, flavour_of, places_of, root_of
from graph.target import named, spelled, windows_names

_ZIP_EPOCH = 315_532_800
"""1980-01-01 UTC: a zip file's first date."""


def name(archive: Archive, policy: Policy) -> Findings:
    """What installers of python-build-standalone parse; and what says that Microsoft's files are inside."""
    triple = re.escape(policy.target.triple)
    brought = rf"\.{VCRUNTIME}\.[0-9a-f]{{8}}" if policy.bundled else ""
    stem = rf"cpython-{re.escape(policy.cell.version)}\+\d{{8}}{brought}-{triple}-"
    cell, best = policy.cell, tuple(sorted(policy.target.options[0].split("+")))
    full, other = (re.escape(spelled(named(cell.options, best, full))) for full in (True, False))
    addon = rf"toolchain\+\d{{8}}-{triple}\.tar\.gz"
    if not re.fullmatch(
        stem + rf"({full}-full\.tar\.zst|{other + '-' if other else ''}install_only(_stripped)?\.tar\.gz)|" + addon, archive.filename
    ):
        yield Finding("archive-name", archive.filename, "not a name that installers of python-build-standalone know")


TOPS = ("python/install/", "python/build/", "python/licenses/", "python/PYTHON.json")
"""What a full archive holds."""


def layout(archive: Archive, policy: Policy) -> Findings:
    """Where everything lies, what must be there, and what must not."""
    flavour = flavour_of(archive.filename)
    for entry in archive.entries:
        inside = entry.path == "python" or entry.path.startswith("python/")
        if not inside or ".." in entry.path.split("/"):
            yield Finding("layout", entry.path, "is outside python/")
        elif flavour is Flavour.FULL and not (entry.path + "/").startswith(TOPS) and entry.path not in ("python", TOPS[3]):
            yield Finding("layout", entry.path, "a full archive holds install, build, licenses and PYTHON.json only")
        elif flavour is Flavour.TOOLCHAIN and not f"{entry.path}/".startswith("python/toolchain/") and entry.path != "python":
            yield Finding("layout", entry.path, "an add-on holds nothing that a distribution has")
    if flavour is None:
        return
    paths = [entry.path for entry in archive.entries]
    for glob in _globs(policy.required, flavour, policy):
        if not any(fnmatchcase(path, glob) for path in paths):
            yield Finding("layout", glob, "is missing")
    for glob in _globs(policy.forbidden, flavour, policy):
        stray = [path for path in paths if fnmatchcase(path, glob)]
        if stray:
            more = f", nor do {len(stray) - 1} others like it" if len(stray) > 1 else ""
            yield Finding("layout", stray[0], f"does not belong into {flavour.value}{more}")


def _globs(table: Mapping[str, tuple[str, ...]], flavour: Flavour, policy: Policy) -> Iterator[str]:
    """The whole paths of a table's globs for one archive."""
    cell = policy.cell
    prefix = "python/install" if flavour is Flavour.FULL else "python"
    common = () if flavour is Flavour.TOOLCHAIN else (*table.get("install", ()), *table.get("system", ()))
    for glob in (*(f"{prefix}/{glob}" for glob in common), *table.get(flavour.value, ())):
        yield glob.format(minor=cell.minor, ldversion=cell.ldversion, lib=cell.lib, windows=windows_names(cell))


def deterministic(archive: Archive, policy: Policy) -> Findings:
    """Two builds give the same bytes: order, times, owners, headers."""
    paths = [entry.path for entry in archive.entries]
    if paths not in (sorted(paths), sorted(paths, key=lambda path: path.split("/"))):
        late = next(b for a, b in pairwise(paths) if b < a)
        yield Finding("archive-order", late, "members are not sorted by name")
    for path in {path for path, following in pairwise(sorted(paths)) if path == following}:
        yield Finding("archive-order", path, "is there twice")
    times = sorted({entry.mtime for entry in archive.entries})
    if len(times) > 1:
        yield Finding("archive-mtime", archive.filename, f"{len(times)} modification times, from {times[0]:g} to {times[-1]:g}")
    if times and times[0] < _ZIP_EPOCH:
        yield Finding("archive-mtime", archive.filename, "a time before 1980, which no zip file (wheel) of these files could hold")
    for entry in archive.entries:
        if entry.owner[:2] != (0, 0) or not set(entry.owner[2:]) <= {"", "root"}:
            yield Finding("archive-owner", entry.path, f"belongs to {entry.owner}")
        stray = sorted(set(entry.pax) - {"path", "linkpath"})
        if stray:
            yield Finding("archive-pax", entry.path, f"pax header with {', '.join(stray)}")
    if archive.stamp[0] or archive.stamp[1]:
        yield Finding("archive-gzip", archive.filename, "the gzip header holds a time or a file name")


def members(archive: Archive, policy: Policy) -> Findings:
    """Kinds, modes and links of members."""
    places = places_of(archive)
    for entry in archive.entries:
        if entry.kind == "other":
            yield Finding("member-kind", entry.path, "is neither file, folder nor link")
        if entry.mode & 0o6000:
            yield Finding("member-mode", entry.path, f"is set-id (mode {entry.mode:o})")
        if entry.mode & 0o022 and entry.kind != "symlink":
            yield Finding("member-mode", entry.path, f"is writable by others (mode {entry.mode:o})")
        if entry.kind in ("symlink", "hardlink"):
            yield from _link(entry, places)


def _link(entry: Entry, places: set[str]) -> Findings:
    start = posixpath.dirname(entry.path) if entry.kind == "symlink" else ""
    aim = posixpath.normpath(posixpath.join(start, entry.link))
    if posixpath.isabs(entry.link):
        yield Finding("link-absolute", entry.path, f"points to {entry.link}")
    elif not (aim + "/").startswith(root_of(entry.path) + "/"):
        yield Finding("link-outside", entry.path, f"points to {entry.link}")
    elif aim not in places:
        yield Finding("link-dangling", entry.path, f"points to {entry.link}, which is not there")
