"""Digests and canonical bytes.

A tree is a Merkle tree of REAPI v2 `Directory` messages in their canonical protobuf encoding, so a tree's digest here is its digest
in any remote CAS (build/bazel/remote/execution/v2/remote_execution.proto).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from graph.wire import as_bytes, as_int, fields, message, number, string

FIXED_MTIME = 946684800
"""Seconds: 2000-01-01 UTC, the mtime of every file in the store and in a staged tree, so that make sees all of them as one age."""


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """sha256 (64 hex digits) and size in bytes of a blob; REAPI's `Digest`."""

    hash: str
    size: int

    def __str__(self) -> str:
        return f"{self.hash}/{self.size}"

    @classmethod
    def of(cls, data: bytes) -> Digest:
        return cls(hashlib.sha256(data).hexdigest(), len(data))

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Inverse of str(). Raises ValueError."""
        hash_, _, size = text.partition("/")
        if len(hash_) != 64 or not set(hash_) <= set("0123456789abcdef") or not (size.isascii() and size.isdecimal()):
            raise ValueError(f"not a digest: {text!r}")
        return cls(hash_, int(size))


@dataclass(frozen=True, slots=True)
class Directory:
    """One directory: name -> (digest, executable), name -> subdirectory digest, name -> symlink target. Names are sorted at birth."""

    files: tuple[tuple[str, Digest, bool], ...] = ()
    directories: tuple[tuple[str, Digest], ...] = ()
    symlinks: tuple[tuple[str, str], ...] = ()

    def encode(self) -> bytes:
        """Canonical protobuf bytes: fields in order, children sorted by the UTF-8 bytes of their name."""
        parts: list[bytes] = []
        for name, digest, executable in sorted(self.files, key=lambda f: f[0].encode()):
            body = string(1, name) + message(2, encode_digest(digest)) + (b"\x20\x01" if executable else b"")
            parts.append(message(1, body))
        for name, digest in sorted(self.directories, key=lambda d: d[0].encode()):
            parts.append(message(2, string(1, name) + message(2, encode_digest(digest))))
        for name, target in sorted(self.symlinks, key=lambda s: s[0].encode()):
            parts.append(message(3, string(1, name) + string(2, target)))
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes) -> Directory:
        """Inverse of encode(). Raises ValueError on anything that is not such a message."""
        files: list[tuple[str, Digest, bool]] = []
        directories: list[tuple[str, Digest]] = []
        symlinks: list[tuple[str, str]] = []
        for field, value in fields(data, strict=True):
            child: Mapping[int, bytes | int] = dict(fields(as_bytes(value), strict=True))
            name = as_bytes(child.get(1, b"")).decode()
            if field == 1:
                files.append((name, decode_digest(as_bytes(child.get(2, b""))), bool(child.get(4, 0))))
            elif field == 2:
                directories.append((name, decode_digest(as_bytes(child.get(2, b"")))))
            elif field == 3:
                symlinks.append((name, as_bytes(child.get(2, b"")).decode()))
            else:
                raise ValueError(f"unknown field {field} in a Directory")
        return cls(tuple(files), tuple(directories), tuple(symlinks))


def canonical(items: Iterator[tuple[str, str]] | tuple[tuple[str, str], ...]) -> bytes:
    """Named lines as bytes; every name and value is length-prefixed, so no two lists of lines share an encoding."""
    parts: list[bytes] = []
    for name, value in items:
        for text in (name.encode(), value.encode("utf-8", "surrogateescape")):
            parts.append(b"%d:" % len(text) + text)
        parts.append(b"\n")
    return b"".join(parts)


def encode_digest(digest: Digest) -> bytes:
    """REAPI's `Digest` message."""
    return string(1, digest.hash) + number(2, digest.size)


def decode_digest(data: bytes) -> Digest:
    """Inverse of encode_digest(). Raises ValueError."""
    found = dict(fields(data, strict=True))
    return Digest.parse(f"{as_bytes(found.get(1, b'')).decode()}/{as_int(found.get(2, 0))}")
