"""Digests and canonical bytes.

A tree is a Merkle tree of REAPI v2 `Directory` messages in their canonical protobuf encoding, so a tree's digest here is its digest
in any remote CAS (build/bazel/remote/execution/v2/remote_execution.proto).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

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
        if len(hash_) != 64 or not set(hash_) <= set("0123456789abcdef"):
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
            body = _string(1, name) + _message(2, _digest(digest)) + (b"\x20\x01" if executable else b"")
            parts.append(_message(1, body))
        for name, digest in sorted(self.directories, key=lambda d: d[0].encode()):
            parts.append(_message(2, _string(1, name) + _message(2, _digest(digest))))
        for name, target in sorted(self.symlinks, key=lambda s: s[0].encode()):
            parts.append(_message(3, _string(1, name) + _string(2, target)))
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes) -> Directory:
        """Inverse of encode(). Raises ValueError on anything that is not such a message."""
        files: list[tuple[str, Digest, bool]] = []
        directories: list[tuple[str, Digest]] = []
        symlinks: list[tuple[str, str]] = []
        for field, value in _fields(data):
            child: Mapping[int, bytes | int] = dict(_fields(_bytes(value)))
            name = _bytes(child.get(1, b"")).decode()
            if field == 1:
                files.append((name, _parse_digest(child), bool(child.get(4, 0))))
            elif field == 2:
                directories.append((name, _parse_digest(child)))
            elif field == 3:
                symlinks.append((name, _bytes(child.get(2, b"")).decode()))
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


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _message(field: int, body: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(body)) + body


def _string(field: int, text: str) -> bytes:
    return _message(field, text.encode()) if text else b""


def _digest(digest: Digest) -> bytes:
    return _string(1, digest.hash) + (b"\x10" + _varint(digest.size) if digest.size else b"")


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("truncated varint")
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        if tag & 7 == 0:
            number, at = _read_varint(data, at)
            yield tag >> 3, number
        elif tag & 7 == 2:
            length, at = _read_varint(data, at)
            if at + length > len(data):
                raise ValueError("truncated field")
            yield tag >> 3, data[at : at + length]
            at += length
        else:
            raise ValueError(f"unexpected wire type {tag & 7}")


def _bytes(value: bytes | int) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where bytes are due")
    return value


def _parse_digest(child: Mapping[int, bytes | int]) -> Digest:
    fields = dict(_fields(_bytes(child.get(2, b""))))
    size = fields.get(2, 0)
    if not isinstance(size, int):
        raise ValueError("bytes where a size is due")
    return Digest.parse(f"{_bytes(fields.get(1, b'')).decode()}/{size}")
