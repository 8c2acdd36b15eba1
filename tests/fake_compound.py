"""Compound files ([MS-CFB]) in small, with the summary of an MSI in them."""

from __future__ import annotations

import struct

SECTOR, SMALL, CUTOFF = 512, 64, 4096
END, FREE, TABLE, NONE = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD, 0xFFFFFFFF
FMTID = bytes.fromhex("e0859ff2f94f6810ab9108002b27b3d9")


def padded(data: bytes, size: int) -> bytes:
    return data + bytes(-len(data) % size)


def chain(start: int, count: int) -> list[int]:
    return [*range(start + 1, start + count), END] if count else []


def entry(name: str, kind: int, first: int, size: int, child: int = NONE) -> bytes:
    """A directory entry with some times in it."""
    text = (name + "\0").encode("utf-16-le")
    times = b"\x11" * 16
    return struct.pack("<64sHBBIII16sI16sIQ", text, len(text), kind, 1, NONE, NONE, child, b"", 0, times, first, size)


def compound(streams: dict[str, bytes]) -> bytes:
    """A file with these streams, of version 3: directory, mini FAT, small streams, large ones, FAT."""
    small = {name: data for name, data in streams.items() if len(data) < CUTOFF}
    mini_fat: list[int] = []
    places = {}
    for name, data in small.items():
        places[name] = len(mini_fat)
        mini_fat += chain(len(mini_fat), -(-len(data) // SMALL))
    holder = b"".join(padded(data, SMALL) for data in small.values())
    blocks = [b"" for _ in range(2)] + [padded(holder, SECTOR)]
    blocks += [padded(data, SECTOR) for name, data in streams.items() if name not in small]
    blocks[1] = padded(struct.pack(f"<{len(mini_fat)}I", *mini_fat), SECTOR)
    blocks[0] = bytes(-(-(len(streams) + 1) // 4) * SECTOR)
    fat: list[int] = []
    starts = []
    for block in blocks:
        starts.append(len(fat))
        fat += chain(len(fat), len(block) // SECTOR)
    large = iter(starts[3:])
    entries = [entry("Root Entry", 5, starts[2], len(holder), 1)]
    entries += [entry(name, 2, places[name] if name in small else next(large), len(data)) for name, data in streams.items()]
    blocks[0] = padded(b"".join(entries), SECTOR)
    fat.append(TABLE)
    assert len(fat) <= SECTOR // 4
    table = struct.pack(f"<{SECTOR // 4}I", *fat, *[FREE] * (SECTOR // 4 - len(fat)))
    header = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(16) + struct.pack("<HHHHH6x", 62, 3, 0xFFFE, 9, 6) + _counts(starts, blocks)
    return header + struct.pack("<109I", len(fat) - 1, *[FREE] * 108) + b"".join(blocks) + table


def _counts(starts: list[int], blocks: list[bytes]) -> bytes:
    """Of the header: sectors of the directory (0) and of the FAT, where the directory begins, ..., mini FAT, further lists of the FAT."""
    return struct.pack("<9I", 0, 1, starts[0], 0, CUTOFF, starts[1], len(blocks[1]) // SECTOR, END, 0)


def summary(code: str, created: int, saved: int) -> bytes:
    """A summary with a title, the machine, the package code and two times (FILETIME)."""
    texts = {2: b"Installation Database\0", 7: b"x64;1033\0", 9: code.encode() + b"\0"}
    values = {number: struct.pack("<II", 30, len(text)) + padded(text, 4) for number, text in texts.items()}
    values |= {number: struct.pack("<IQ", 64, time) for number, time in ((12, created), (13, saved))}
    at, places, data = 8 + 8 * len(values), b"", b""
    for number, value in values.items():
        places += struct.pack("<II", number, at + len(data))
        data += value
    section = struct.pack("<II", at + len(data), len(values)) + places + data
    return struct.pack("<HHI16sI", 0xFFFE, 0, 2, b"", 1) + FMTID + struct.pack("<I", 48) + section
