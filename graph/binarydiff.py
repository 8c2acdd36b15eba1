"""What differs between two files of one name: symbols and sections of object files, members of static libraries, lines of text, bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import unified_diff
from itertools import pairwise

import lief

from graph.binaries import slices_of
from graph.facts import Format, format_of

SHOWN = 6
"""Names, or changed lines, that are told of one place."""
COVERED, SMALL = 8, 1 << 20
"""Times that symbols may cover their section, and bytes that they always may."""
_LINES = 20_000
"""A text with more lines is compared by its bytes: difflib takes time that grows with their square."""
_AR = b"!<arch>\n"
_AR_HEADER = 60

lief.logging.disable()


@dataclass(frozen=True, slots=True)
class Section:
    """A named part of an object file, and the parts of it that have a name."""

    data: bytes
    symbols: Mapping[str, bytes]
    """Digests of their bytes."""


def differences(ours: bytes, theirs: bytes) -> Iterator[str]:
    """Lines, each with its place in the file; at least one where the bytes differ."""
    if ours == theirs:
        return
    kind = format_of(ours[:64])
    if kind and kind in _READERS and format_of(theirs[:64]) is kind:
        found = list(_of_object(kind, ours, theirs))
    elif ours.startswith(_AR) and theirs.startswith(_AR):
        found = list(_of_members(ours, theirs))
    else:
        found = _of_text(ours, theirs)
    yield from found or [_of_bytes(ours, theirs)]


def _of_object(kind: Format, ours: bytes, theirs: bytes) -> Iterator[str]:
    """Object files; of fat ones each machine's, which may be a static library."""
    one, two = dict(slices_of(ours)), dict(slices_of(theirs))
    if [*one] == [*two] == [""]:
        yield from _of_sections(_READERS[kind](ours), _READERS[kind](theirs))
        return
    yield from _apart("slice", one, two)
    for machine in one:
        if machine in two:
            yield from (f"{machine} {line}" for line in differences(one[machine], two[machine]))


def _of_sections(ours: Mapping[str, Section], theirs: Mapping[str, Section]) -> Iterator[str]:
    """Those whose symbols differ first: the others mostly follow from them."""
    yield from _apart("section", ours, theirs)
    unlike = [name for name in ours if name in theirs and ours[name].data != theirs[name].data]
    unlike.sort(key=lambda name: ours[name].symbols == theirs[name].symbols)
    yield from (f"section {name}: {_of_section(ours[name], theirs[name])}" for name in unlike[:SHOWN])
    if len(unlike) > SHOWN:
        yield f"sections {_some(unlike[SHOWN:])} differ, too"


def _of_section(ours: Section, theirs: Section) -> str:
    one, two = ours.symbols, theirs.symbols
    changed = [name for name in one if name in two and one[name] != two[name]]
    told = [
        f"{what} {_some(names)}"
        for what, names in (
            (f"{len(changed)} of {len(one)} symbols differ:", changed),
            ("only here:", [name for name in one if name not in two]),
            ("only there:", [name for name in two if name not in one]),
        )
        if names
    ]
    return "; ".join(told) or _of_bytes(ours.data, theirs.data)


def _apart(what: str, ours: Iterable[str], theirs: Iterable[str]) -> Iterator[str]:
    """Names that only one of the two has."""
    one, two = dict.fromkeys(ours), dict.fromkeys(theirs)
    for where, names in (("here", [name for name in one if name not in two]), ("there", [name for name in two if name not in one])):
        if names:
            yield f"{what} only {where}: {_some(names)}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _of_members(ours: bytes, theirs: bytes) -> Iterator[str]:
    """Static libraries. Nothing where one of them cannot be read."""
    one, two = _members(ours), _members(theirs)
    yield from _apart("member", one, two)
    for name in one:
        if name in two:
            yield from (f"member {name}: {line}" for line in differences(one[name], two[name]))


def _members(library: bytes) -> dict[str, bytes]:
    """Bytes of each member by its name (twice the same: numbered), as far as the library can be read. Names of GNU's and of BSD's form."""
    found: dict[str, bytes] = {}
    counts: dict[str, int] = {}
    names, at = b"", len(_AR)
    while at + _AR_HEADER <= len(library) and _digits(library[at + 48 : at + 58].decode(errors="replace").strip()):
        name, size = library[at : at + 16].decode(errors="replace").rstrip(), int(library[at + 48 : at + 58])
        body = library[at + _AR_HEADER : at + _AR_HEADER + size]
        at += _AR_HEADER + size + size % 2
        if name == "//":
            names = body
            continue
        if name.startswith("#1/") and _digits(name[3:]):
            name, body = body[: int(name[3:])].rstrip(b"\0").decode(errors="replace"), body[int(name[3:]) :]
        elif name.startswith("/") and _digits(name[1:]):
            name = names[int(name[1:]) :].split(b"/\n")[0].decode(errors="replace")
        found[once(name.rstrip("/") or "index", counts)] = body
    return found


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def once(name: str, counts: dict[str, int]) -> str:
    """The name itself, or with a number where it was counted already."""
    counts[name] = counts.get(name, 0) + 1
    return name if counts[name] == 1 else f"{name} ({counts[name]})"


def _of_text(ours: bytes, theirs: bytes) -> list[str]:
    """Changed lines, + ours and - theirs; none where one is no text, or a long one."""
    try:
        one, two = ours.decode().splitlines(), theirs.decode().splitlines()
    except UnicodeDecodeError:
        return []
    if b"\0" in ours + theirs or max(len(one), len(two)) > _LINES:
        return []
    lines = [line[:160] for line in unified_diff(two, one, n=0, lineterm="")][2:]
    return lines[: 2 * SHOWN] + ([f"{len(lines) - 2 * SHOWN} more lines"] if len(lines) > 2 * SHOWN else [])


def _of_bytes(ours: bytes, theirs: bytes) -> str:
    at = next((at for at, (one, two) in enumerate(zip(ours, theirs, strict=False)) if one != two), min(len(ours), len(theirs)))
    sizes = f"{len(ours)} bytes here, {len(theirs)} there" if len(ours) != len(theirs) else f"{len(ours)} bytes"
    return f"{sizes}, first at {at:#x}: {ours[at : at + 8].hex(' ') or 'end'} here, {theirs[at : at + 8].hex(' ') or 'end'} there"


def _elf(data: bytes) -> dict[str, Section]:
    elf = lief.ELF.parse(data)
    if not isinstance(elf, lief.ELF.Binary):
        return {}
    starts: dict[int, list[tuple[int, int, str]]] = {}
    for symbol in elf.symbols:
        if symbol.name and symbol.type in (lief.ELF.Symbol.TYPE.FUNC, lief.ELF.Symbol.TYPE.OBJECT):
            starts.setdefault(int(symbol.shndx), []).append((int(symbol.value), int(symbol.size), str(symbol.name)))
    found: dict[str, Section] = {}
    counts: dict[str, int] = {}
    for number, section in enumerate(elf.sections):
        content = b"" if section.type == lief.ELF.Section.TYPE.NOBITS else data[section.offset : section.offset + section.size]
        base = int(section.virtual_address)
        places = [(name, value - base, value - base + size) for value, size, name in starts.get(number, ())]
        found[once(str(section.name), counts)] = Section(content, _named(content, places))
    return found


def _macho(data: bytes) -> dict[str, Section]:
    """A symbol of Mach-O has no size: it ends where the next one begins."""
    fat = lief.MachO.parse(data)
    macho = fat.at(0) if fat else None
    if macho is None:
        return {}
    starts = sorted((int(symbol.value), str(symbol.name)) for symbol in macho.symbols if symbol.name and symbol.value)
    found: dict[str, Section] = {}
    counts: dict[str, int] = {}
    for section in macho.sections:
        first, size = int(section.virtual_address), int(section.size)
        content = data[section.offset : section.offset + size] if section.offset else b""
        inside = [(value - first, name) for value, name in starts if first <= value < first + size]
        places = [(name, at, end) for (at, name), (end, _) in pairwise([*inside, (size, "")])]
        found[once(f"{section.segment_name},{section.name!s}", counts)] = Section(content, _named(content, places))
    return found


def _named(content: bytes, places: Iterable[tuple[str, int, int]]) -> dict[str, bytes]:
    """Digest of each named part. None where they cover the section many times, which no compiler's do, and which would take for ever."""
    places = [(name, max(0, at), end) for name, at, end in places]
    if sum(end - at for _, at, end in places) > COVERED * len(content) + SMALL:
        return {}
    view = memoryview(content)
    return {name: hashlib.sha256(view[at:end]).digest() for name, at, end in places}


_READERS = {Format.ELF: _elf, Format.MACHO: _macho}
