"""Version and languages of a PE file, as Windows Installer compares them: of its version resource (VS_VERSIONINFO)."""

import struct
from collections.abc import Iterator

RESOURCES = 2
"""Their number among a PE's data directories."""
DIRECTORIES = {0x10B: 96, 0x20B: 112}
"""Magic of the optional header (32 and 64 bits) -> where the data directories begin in it."""
RT_VERSION = 16
SUBDIRECTORY = 0x80000000
"""Bit of an offset in a resource directory."""
FIXED = 0xFEEF04BD
"""Signature of VS_FIXEDFILEINFO."""


def version(data: bytes) -> tuple[str, str] | None:
    """("3.13.15150.1013", "1033"), several languages with commas between them; None of what is no PE or has no version.
    Raises ValueError when headers or resource are damaged.
    """
    try:
        block = _resource(data)
        if block is None:
            return None
        _, fixed, children = _node(block)
        signature, _, most, least = struct.unpack_from("<4I", fixed)
        if signature != FIXED:
            raise ValueError("no VS_FIXEDFILEINFO in the version resource")
    except struct.error as error:
        raise ValueError(f"a PE's headers or version resource are cut off: {error}") from error
    languages = [str(pair[0]) for pair in struct.iter_unpack("<HH", _translations(children))]
    return ".".join(map(str, (most >> 16, most & 0xFFFF, least >> 16, least & 0xFFFF))), ",".join(dict.fromkeys(languages))


def _resource(data: bytes) -> bytes | None:
    """The first version resource."""
    if data[:2] != b"MZ" or len(data) < 64:
        return None
    [at] = struct.unpack_from("<I", data, 60)
    if data[at : at + 4] != b"PE\0\0":
        return None
    count, size = struct.unpack_from("<2xH12xH", data, at + 4)
    optional = at + 24
    [magic] = struct.unpack_from("<H", data, optional)
    directories = optional + DIRECTORIES.get(magic, 0)
    [entries] = struct.unpack_from("<I", data, directories - 4)
    address = struct.unpack_from("<I", data, directories + 8 * RESOURCES)[0] if entries > RESOURCES else 0
    if magic not in DIRECTORIES or address == 0:
        return None
    sections = [struct.unpack_from("<4I", data, optional + size + 40 * number + 8) for number in range(count)]
    top = _offset(sections, address)
    place = next((found for number, found in _children(data, top, SUBDIRECTORY) if number == RT_VERSION), None)
    if place is None:
        return None
    # below it are its names, below these their languages
    for _ in range(2):
        place = next((found for _, found in _children(data, top, place)), 0)
    where, length = struct.unpack_from("<II", data, top + place)
    start = _offset(sections, where)
    return data[start : start + length]


def _children(data: bytes, top: int, place: int) -> Iterator[tuple[int, int]]:
    """(name or number, offset from the top) of a resource directory's entries. Raises ValueError when there is no directory."""
    if not place & SUBDIRECTORY:
        raise ValueError("a resource has no name or no language")
    place &= ~SUBDIRECTORY
    named, numbered = struct.unpack_from("<12x2H", data, top + place)
    for number in range(named + numbered):
        yield struct.unpack_from("<II", data, top + place + 16 + 8 * number)


def _offset(sections: list[tuple[int, ...]], address: int) -> int:
    """Where in the file lies what is loaded at the (relative) address. Raises ValueError."""
    for size, start, stored, at in sections:
        if start <= address < start + max(size, stored):
            return at + address - start
    raise ValueError(f"no section of the PE has the address {address:#x}")


def _node(block: bytes) -> tuple[str, bytes, bytes]:
    """(name, value, what follows it) of a part of the version resource; value and children begin at multiples of four."""
    length, size, is_text = struct.unpack_from("<3H", block)
    end = 6
    while block[end : end + 2] not in (b"\0\0", b""):
        end += 2
    start = _aligned(end + 2)
    value = start + (2 * size if is_text else size)
    return block[6:end].decode("utf-16-le"), block[start:value], block[_aligned(value) : length]


def _nodes(block: bytes) -> Iterator[tuple[str, bytes, bytes]]:
    while len(block) >= 6:
        yield _node(block)
        block = block[_aligned(max(6, struct.unpack_from("<H", block)[0])) :]


def _aligned(offset: int) -> int:
    return -(-offset // 4) * 4


def _translations(children: bytes) -> bytes:
    """Pairs of language and code page: of VarFileInfo, Translation. Of a damaged pair nothing."""
    for name, _, variables in _nodes(children):
        for inner, value, _ in _nodes(variables) if name == "VarFileInfo" else ():
            if inner == "Translation":
                return value[: len(value) // 4 * 4]
    return b""
