"""Compares an archive that was built here with a published one: the same bytes, or what differs, member by member."""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import zstandard

from graph.audit import kind_of, members
from graph.binarydiff import differences
from graph.disk import hash_file
from graph.errors import UnpackError

ARCHIVES = (".tar.gz", ".tar.zst")
"""Ends of names of what has members."""
MEMBERS = 30
"""Members whose differences are told; of the others only how many there are."""


@dataclass(frozen=True, slots=True)
class Member:
    """What an archive says of one member, and the sha256 of its bytes."""

    kind: str
    """file, directory, symlink, hardlink or other."""
    mode: str
    """Octal."""
    owner: str
    """uid:gid, user:group."""
    mtime: float
    """Seconds since the epoch."""
    link: str
    size: int
    sha256: str


HEADER = ("kind", "mode", "owner", "mtime", "link")
"""Fields of a Member that are told when they differ."""


def compare(ours: Path, theirs: Path) -> tuple[str, ...]:
    """Lines that say what differs; none where the archives are the same bytes. Raises UnpackError when one of them is broken."""
    if hash_file(ours) == hash_file(theirs):
        return ()
    if not ours.name.endswith(ARCHIVES):
        return tuple(differences(ours.read_bytes(), theirs.read_bytes()))
    one, two = read_members(ours), read_members(theirs)
    lines = [*_only("here", one, two), *_only("there", two, one)]
    unlike = [name for name in one if name in two and one[name] != two[name]]
    contents = [name for name in unlike if one[name].sha256 != two[name].sha256][:MEMBERS]
    here, there = _bytes_of(ours, contents), _bytes_of(theirs, contents)
    for name in unlike[:MEMBERS]:
        lines.append(f"{name}: differs")
        lines += [f"  {text}" for text in _header(one[name], two[name])]
        if name in here:
            lines += [f"  {text}" for text in differences(here[name], there[name])]
    if len(unlike) > MEMBERS:
        lines.append(f"and {len(unlike) - MEMBERS} more members")
    if not lines:
        order = "" if [*one] == [*two] else ", in another order"
        lines.append(f"the members are the same{order}: only the container differs (compression, or headers of the archive)")
    return tuple(lines)


def read_members(path: Path) -> dict[str, Member]:
    """All members, in their order. Raises UnpackError."""
    with _told(path), members(path) as stream:
        return {info.name: _member(info, data) for info, data in stream}


def _member(info: tarfile.TarInfo, data: bytes) -> Member:
    return Member(
        kind=kind_of(info),
        mode=f"{info.mode:o}",
        owner=f"{info.uid}:{info.gid}, {info.uname}:{info.gname}",
        mtime=info.mtime,
        link=info.linkname,
        size=info.size,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _bytes_of(path: Path, names: Sequence[str]) -> dict[str, bytes]:
    wanted = frozenset(names)
    if not wanted:
        return {}
    with _told(path), members(path) as stream:
        return {info.name: data for info, data in stream if info.name in wanted}


def _header(ours: Member, theirs: Member) -> Iterator[str]:
    for name in HEADER:
        one, two = getattr(ours, name), getattr(theirs, name)
        if one != two:
            yield f"{name}: {one or 'none'} here, {two or 'none'} there"


def _only(where: str, one: Mapping[str, Member], other: Mapping[str, Member]) -> Iterator[str]:
    names = [name for name in one if name not in other]
    yield from (f"{name}: only {where}" for name in names[:MEMBERS])
    if len(names) > MEMBERS:
        yield f"and {len(names) - MEMBERS} more only {where}"


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, OSError, zlib.error, zstandard.ZstdError) as error:
        raise UnpackError(f"cannot be read: {error}", place=str(path), hint="is it a whole .tar.gz or .tar.zst? get it again") from error
