"""Reads what a PDB file, the debug information of a DLL or program of Windows, says of itself: lief reads no PDB."""

from __future__ import annotations

import struct

from graph.facts import Pdb

MAGIC = b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0"
"""Of the Multi-Stream File that a PDB is (LLVM's documentation, "The MSF File Format")."""
_INFO = 1
"""Number of the stream that says which PDB it is ("The PDB Info (aka PDB) Stream")."""


def read_pdb(data: bytes) -> Pdb | None:
    """GUID and age, by which a debugger knows that the file belongs to a DLL; None when it is no PDB, or a broken one."""
    if not data.startswith(MAGIC):
        return None
    try:
        _version, _signature, age, first, second, third, rest = struct.unpack_from("<4I2H8s", stream(data, _INFO))
    except (struct.error, IndexError, ZeroDivisionError):
        return None
    return Pdb("", f"{first:08x}-{second:04x}-{third:04x}-{rest[:2].hex()}-{rest[2:].hex()}", age)


def stream(data: bytes, number: int) -> bytes:
    """Bytes of a stream. Raises struct.error, IndexError or ZeroDivisionError when the file is broken."""
    size, _, _, length, _, map_block = struct.unpack_from("<6I", data, len(MAGIC))
    # the directory's blocks are listed in one block, and it lists those of the streams, one stream after the other
    directory = _join(data, size, _words(data, map_block * size, -(-length // size)), length)
    (count,) = _words(directory, 0, 1)
    # (a stream that was deleted has this size, and no blocks)
    sizes = [0 if length == 0xFFFFFFFF else length for length in _words(directory, 4, count)]
    blocks = [-(-length // size) for length in sizes]
    first = 1 + count + sum(blocks[:number])
    return _join(data, size, _words(directory, 4 * first, blocks[number]), sizes[number])


def _words(data: bytes, offset: int, count: int) -> tuple[int, ...]:
    return struct.unpack_from(f"<{count}I", data, offset)


def _join(data: bytes, size: int, blocks: tuple[int, ...], length: int) -> bytes:
    return b"".join(data[block * size : (block + 1) * size] for block in blocks)[:length]
