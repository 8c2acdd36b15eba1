"""Audits archives as they are shipped: streams the members, nothing is unpacked to disk, and judges them by policy."""

from __future__ import annotations

import contextlib
import gzip
import io
import re
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO

import zstandard

from graph.binaries import read_binaries, slices_of
from graph.errors import UnpackError
from graph.facts import Archive, Binary, Entry, Finding, Pdb
from graph.pdb import read_pdb
from graph.policy import Policy
from graph.pyc import source_hash
from graph.rules import METADATA, check
from graph.rules.common import source_of
from graph.staticlib import names_of

READ = (
    METADATA,
    "*/_sysconfigdata_*.py",
    "*/config-*/Makefile",
    "*/include/python*/pyconfig.h",
    "*/include/pyconfig.h",
    "*/build-details.json",
)
"""Members whose text is judged."""
INDEXED = "*/libpython*.a"
"""Static libraries whose index is judged."""
LARGEST = 2 * 1024**3
"""Bytes of one member that is still read."""
HEAD = 64
"""Bytes of each file that its Entry keeps: object file magic, #! line, header of a .pyc."""

_PATH_BYTES = rb"[\w.$(){}+~/-]"
_BEFORE = re.compile(_PATH_BYTES + rb"*\Z")
_AFTER = re.compile(_PATH_BYTES + rb"*")
_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.GNUTYPE_SPARSE: "file",
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "symlink",
    tarfile.LNKTYPE: "hardlink",
}


def audit_archives(paths: Sequence[Path], policy: Policy) -> tuple[Finding, ...]:
    """Every limit that the archives break. Raises UnpackError."""
    return tuple(finding for path in paths for finding in check(read_archive(path, policy), policy))


def read_archive(path: Path, policy: Policy) -> Archive:
    """The facts of one .tar.gz or .tar.zst. Raises UnpackError when it is truncated or no such file."""
    patterns = [re.compile(pattern.encode()) for pattern in policy.leaks]
    entries: list[Entry] = []
    binaries: list[Binary] = []
    texts: dict[str, str] = {}
    indexes: dict[tuple[str, str], frozenset[str]] = {}
    pdbs: dict[str, Pdb] = {}
    sources: dict[str, bytes] = {}
    try:
        with members(path) as stream:
            for member, data in stream:
                entries.append(_entry(member, data, patterns))
                binaries.extend(read_binaries(member.name, data))
                if pdb := read_pdb(data):
                    pdbs[member.name] = pdb
                if member.name.endswith(".py"):
                    sources[member.name] = data
                if any(fnmatchcase(member.name, glob) for glob in READ):
                    texts[member.name] = data.decode("utf-8", "replace")
                if fnmatchcase(member.name, INDEXED):
                    indexes |= {(member.name, machine): names_of(part) or frozenset() for machine, part in slices_of(data)}
        stamp = _stamp(path)
    except (tarfile.TarError, EOFError, OSError, zlib.error, zstandard.ZstdError) as error:
        raise UnpackError(str(error), place=str(path), hint="make this archive anew") from error
    hashes = {entry.path: source_hash(entry.head[:4], sources[source]) for entry in entries if (source := source_of(entry.path)) in sources}
    return Archive(path.name, tuple(entries), tuple(binaries), texts, indexes, pdbs, hashes, stamp)


@contextlib.contextmanager
def members(path: Path) -> Iterator[Iterator[tuple[tarfile.TarInfo, bytes]]]:
    """The members of an archive in their order, each with its bytes (none for what is no file)."""
    with path.open("rb") as raw, _plain(raw, path) as plain, tarfile.open(fileobj=plain, mode="r|") as tar:
        yield _each(tar)
        # tarfile stops at the end mark: the compressor's checksum comes after it
        while plain.read(1 << 20):
            pass


def _each(tar: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    for member in tar:
        if member.size > LARGEST:
            raise tarfile.ReadError(f"{member.name} has {member.size} bytes")
        file = tar.extractfile(member) if member.isreg() else None
        yield member, file.read() if file else b""


def kind_of(member: tarfile.TarInfo) -> str:
    """file, directory, symlink, hardlink or other."""
    return _KINDS.get(member.type, "other")


def _plain(raw: IO[bytes], path: Path) -> IO[bytes]:
    if path.name.endswith(".zst"):
        return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(raw), 1 << 20)
    return gzip.GzipFile(fileobj=raw)  # type: ignore[return-value]


def _entry(member: tarfile.TarInfo, data: bytes, patterns: Sequence[re.Pattern[bytes]]) -> Entry:
    return Entry(
        path=member.name,
        kind=kind_of(member),
        mode=member.mode,
        size=member.size,
        mtime=member.mtime,
        owner=(member.uid, member.gid, member.uname, member.gname),
        link=member.linkname,
        pax=tuple(sorted(member.pax_headers)),
        head=data[:HEAD],
        leaks=tuple(find_leaks(data, patterns, member.name.endswith(".pyc"))) + tuple(find_leaks(member.linkname.encode(), patterns)),
    )


def find_leaks(data: bytes, patterns: Sequence[re.Pattern[bytes]], marshalled: bool = False) -> list[str]:
    """Passages that match, the first three different ones, each with the rest of its path; `marshalled` is what a .pyc holds.

    A match inside a longer path (https://host/build/x, ../build/x) is none; one that is glued to an option (-I/build/x) is,
    as is one of a file: URL.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        for match in pattern.finditer(data):
            if not _stands_alone(data[max(0, match.start() - 80) : match.start()], marshalled):
                continue
            rest = _AFTER.match(data, match.start())
            found[(rest.group()[:80] if rest else match.group()).decode(errors="replace")] = None
            if len(found) == 3:
                return list(found)
    return list(found)


def _stands_alone(before: bytes, marshalled: bool) -> bool:
    """Does a path begin behind these bytes. A short string of marshal's follows its kind and its length, a byte that may be a letter's."""
    if marshalled and re.search(rb"[zZ\xfa\xda].\Z", before, re.DOTALL):
        return True
    found = _BEFORE.search(before)
    lead = found.group() if found else b""
    return not lead or (lead.startswith(b"-") and b"/" not in lead) or before.endswith(b"file://")


def _stamp(path: Path) -> tuple[int, bool]:
    """RFC 1952: byte 3 holds flags (8: FNAME), bytes 4-7 the mtime."""
    with path.open("rb") as file:
        head = file.read(10)
    return (int.from_bytes(head[4:8], "little"), bool(head[3] & 8)) if head[:2] == b"\x1f\x8b" else (0, False)
