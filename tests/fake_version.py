"""PE files that hold a version resource (VS_VERSIONINFO) and nothing else."""

from __future__ import annotations

import struct

RVA, RAW = 0x1000, 0x200
"""Where the one section is loaded, and where it lies in the file."""
RT_ICON, RT_VERSION = 3, 16


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def part(name: str, value: bytes = b"", *children: bytes, is_text: bool = False) -> bytes:
    """A part of the resource: its length, its value's (in characters, when it is a text), kind, name, value, children."""
    head = padded(bytes(6) + (name + "\0").encode("utf-16-le"))[6:]
    body = padded(head + value) if not children else padded(bytes(6) + head + value)[6:] + b"".join(map(padded, children))
    return struct.pack("<3H", 6 + len(body), len(value) // (2 if is_text else 1), is_text) + body


def resource(version: tuple[int, int, int, int], languages: tuple[int, ...], signature: int = 0xFEEF04BD) -> bytes:
    """With texts before the languages, as rc.exe writes it."""
    first, second, third, fourth = version
    fixed = struct.pack("<13I", signature, 0x10000, first << 16 | second, third << 16 | fourth, *[0] * 9)
    text = part("CompanyName", "me\0".encode("utf-16-le"), is_text=True)
    pairs = b"".join(struct.pack("<HH", language, 1200) for language in languages)
    variables = part("VarFileInfo", b"", part("Other", b"abcd"), part("Translation", pairs))
    return part("VS_VERSION_INFO", fixed, part("StringFileInfo", b"", part("000004b0", b"", text)), variables)


def directory(number: int, offset: int) -> bytes:
    """One of resources, with one entry."""
    return struct.pack("<12xHHII", 0, 1, number, offset)


def resources(data: bytes, kind: int = RT_VERSION) -> bytes:
    """The section: type, name, language, where the data are."""
    below = 0x80000000
    tables = directory(kind, below | 24) + directory(1, below | 48) + directory(1033, 72)
    return tables + struct.pack("<4I", RVA + 88, len(data), 0, 0) + data


def pe(section: bytes, *, wide: bool = True, address: int = RVA) -> bytes:
    """Headers of 64 or 32 bits, and a section that the data directory of resources leads to."""
    fields = 112 if wide else 96
    optional = struct.pack("<H", 0x20B if wide else 0x10B).ljust(fields - 4, b"\0") + struct.pack("<I", 16)
    optional += bytes(16) + struct.pack("<II", address, len(section)) + bytes(8 * 13)
    coff = struct.pack("<HHIIIHH", 0x8664 if wide else 0x14C, 1, 0, 0, 0, len(optional), 0x2022)
    header = struct.pack("<8s4I12xI", b".rsrc", len(section), RVA, len(section), RAW, 0x40000040)
    start = b"MZ".ljust(60, b"\0") + struct.pack("<I", 64)
    return (start + b"PE\0\0" + coff + optional + header).ljust(RAW, b"\0") + section
