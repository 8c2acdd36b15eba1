"""Reads the index of a static library (ar): the names that a linker finds in it.

Formats: the archive of System V and GNU (System V ABI, chapter 7; "/SYM64/" is GNU's), and that of BSD and macOS (mach-o/ranlib.h).
"""

from __future__ import annotations

import struct

MAGIC = b"!<arch>\n"
_HEADER = 60
_GNU = {"/": ">I", "/SYM64/": ">Q"}
_BSD = {"__.SYMDEF": "<I", "__.SYMDEF SORTED": "<I", "__.SYMDEF_64": "<Q", "__.SYMDEF_64 SORTED": "<Q"}
"""Name of the member that is the index -> its numbers."""


def names_of(data: bytes) -> frozenset[str] | None:
    """What the index of a library with these bytes lists, as its object format names it; None when there is none, or it is broken."""
    if not data.startswith(MAGIC) or len(data) < len(MAGIC) + _HEADER:
        return None
    try:
        name, body = _first(data)
        if name in _GNU:
            return _gnu(body, _GNU[name])
        return _bsd(body, _BSD[name]) if name in _BSD else None
    except (struct.error, UnicodeDecodeError, ValueError):
        return None


def _first(data: bytes) -> tuple[str, bytes]:
    """Name and bytes of the first member, the only one that can be the index. Raises ValueError, UnicodeDecodeError."""
    header = data[len(MAGIC) : len(MAGIC) + _HEADER]
    start, size = len(MAGIC) + _HEADER, int(header[48:58])
    name = header[:16].decode().rstrip()
    long = int(name[3:]) if name.startswith("#1/") else 0
    if long:
        name = data[start : start + long].rstrip(b"\0").decode()
    if start + size > len(data):
        raise ValueError("cut short")
    return name, data[start + long : start + size]


def _gnu(body: bytes, number: str) -> frozenset[str]:
    """Count, that many offsets, that many names."""
    width = struct.calcsize(number)
    [count] = struct.unpack_from(number, body)
    names = body[width * (count + 1) :].split(b"\0")
    # behind the last name's end there is one more, an empty one
    if len(names) <= count:
        raise ValueError("cut short")
    return frozenset(name.decode() for name in names[:count])


def _bsd(body: bytes, number: str) -> frozenset[str]:
    """Bytes of the table, its rows (place of a name, place of a member), bytes of the names, names."""
    width = struct.calcsize(number)
    [length] = struct.unpack_from(number, body)
    places = [struct.unpack_from(number, body, at)[0] for at in range(width, width + length, 2 * width)]
    strings = body[width + length + width :]
    return frozenset(strings[at : strings.index(b"\0", at)].decode() for at in places)
