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
from graph.binarydiff import differences, once
from graph.disk import hash_file
from graph.errors import UnpackError

ARCHIVES = (".tar.gz", ".tar.zst")
"""Ends of names of what has members."""
MEMBERS = 30
"""Members whose differences are told; of the others only how many there are."""
BYTES = 2 * 1024**3
"""Of members that are held, and compared."""


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
    pax: str
    """Its extended header."""
    size: int
    sha256: str


HEADER = ("kind", "mode", "owner", "mtime", "link", "pax")
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
    sizes = {name: one[name].size + two[name].size for name in unlike[:MEMBERS] if one[name].sha256 != two[name].sha256}
    contents = list(_affordable(sizes))
    here, there = _bytes_of(ours, contents), _bytes_of(theirs, contents)
    for name in unlike[:MEMBERS]:
        lines.append(f"{name}: differs")
        lines += [f"  {text}" for text in _header(one[name], two[name])]
        if name in here:
            lines += [f"  {text}" for text in differences(here.pop(name), there.pop(name))]
        elif name in sizes:
            lines.append(f"  {one[name].size} bytes here, {two[name].size} there: too many to be compared")
    if len(unlike) > MEMBERS:
        lines.append(f"and {len(unlike) - MEMBERS} more members")
    if not lines:
        order = "" if [*one] == [*two] else ", in another order"
        lines.append(f"the members are the same{order}: only the container differs (compression, or headers of the archive)")
    # names are the archive's: they may hold what a terminal obeys
    return tuple("".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in line) for line in lines)


def _affordable(sizes: Mapping[str, int]) -> Iterator[str]:
    """Names of members whose bytes can be held at once."""
    left = BYTES
    for name, size in sizes.items():
        if size <= left:
            left -= size
            yield name


def read_members(path: Path) -> dict[str, Member]:
    """All members, in their order. Raises UnpackError."""
    with _told(path), members(path) as stream:
        return {name: _member(info, data) for name, info, data in _numbered(stream)}


def _numbered(stream: Iterator[tuple[tarfile.TarInfo, bytes]]) -> Iterator[tuple[str, tarfile.TarInfo, bytes]]:
    """Of several members with one name the second is NAME (2)."""
    counts: dict[str, int] = {}
    for info, data in stream:
        yield once(info.name, counts), info, data


def _member(info: tarfile.TarInfo, data: bytes) -> Member:
    return Member(
        kind=kind_of(info),
        mode=f"{info.mode:o}",
        owner=f"{info.uid}:{info.gid}, {info.uname}:{info.gname}",
        mtime=info.mtime,
        link=info.linkname,
        pax=", ".join(f"{name}={value}" for name, value in sorted(info.pax_headers.items()))[:200],
        size=info.size,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _bytes_of(path: Path, names: Sequence[str]) -> dict[str, bytes]:
    wanted = frozenset(names)
    if not wanted:
        return {}
    with _told(path), members(path) as stream:
        return {name: data for name, _, data in _numbered(stream) if name in wanted}


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
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error, zstandard.ZstdError) as error:
        raise UnpackError(f"cannot be read: {error}", place=str(path), hint="is it a whole .tar.gz or .tar.zst? get it again") from error
