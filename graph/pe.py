"""Reads PE files (programs and DLLs of Windows) with lief into Facts."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

import lief

from graph.facts import Binary, Format, Kind, Pdb, Pe, Segment, Symbol

_MACHINES = {
    lief.PE.Header.MACHINE_TYPES.AMD64: "x86_64",
    lief.PE.Header.MACHINE_TYPES.I386: "i386",
    lief.PE.Header.MACHINE_TYPES.ARM64: "arm64",
}
_DLL, _RELOCS_STRIPPED = lief.PE.Header.CHARACTERISTICS.DLL, lief.PE.Header.CHARACTERISTICS.RELOCS_STRIPPED
_SECTION = lief.PE.Section.CHARACTERISTICS
_FLAGS = (("r", _SECTION.MEM_READ), ("w", _SECTION.MEM_WRITE), ("x", _SECTION.MEM_EXECUTE))


def read_pe(path: str, data: bytes) -> tuple[Binary, ...]:
    """Facts of the file; none when it is broken, or a program of DOS."""
    config = lief.PE.ParserConfig()
    config.parse_signature = config.parse_reloc = config.parse_exceptions = False
    # (what is read of it dies with it: no part of lief's outlives this function)
    pe = lief.PE.parse(data, config)
    if pe is None:
        return ()
    header, optional = pe.header, pe.optional_header
    exported = pe.get_export()
    characteristics = frozenset(_word(flag) for flag in optional.dll_characteristics_lists)
    binary = Binary(
        path=path,
        format=Format.PE,
        kind=Kind.SHARED if header.has_characteristic(_DLL) else Kind.EXECUTABLE,
        machine=_MACHINES.get(header.machine, _word(header.machine)),
        bits=64 if optional.magic == lief.PE.PE_TYPE.PE32_PLUS else 32,
        name=str(exported.name) if exported else "",
        needed=tuple(str(library.name) for library in (*pe.imports, *pe.delay_imports)),
        imports=tuple(sorted(_imports(pe))),
        exports=tuple(sorted(Symbol(str(entry.name)) for entry in exported.entries if entry.name)) if exported else (),
        segments=tuple(_segments(pe)),
        # without relocations it cannot move, whatever the flag says
        position_independent="dynamic_base" in characteristics and not header.has_characteristic(_RELOCS_STRIPPED),
        symbols=header.numberof_symbols > 0,
        debug=tuple(name for name in map(_name, pe.sections) if name.startswith((".debug_", ".zdebug_"))),
        pe=Pe(
            characteristics=characteristics,
            timestamps=tuple(_timestamps(pe)),
            subsystem=_word(optional.subsystem),
            resources=frozenset(_resources(pe)),
            forwards=dict(_forwards(exported)) if exported else {},
            stack=int(optional.sizeof_stack_reserve),
            pdb=_pdb(pe),
        ),
    )
    return (binary,)


def _imports(pe: lief.PE.Binary) -> Iterator[Symbol]:
    """Of the table that is filled when the file is loaded, and of the one that is when a function is first called."""
    for library in (*pe.imports, *pe.delay_imports):
        for entry in library.entries:
            yield Symbol(f"#{entry.ordinal}" if entry.is_ordinal else str(entry.name), "", str(library.name))


def _forwards(table: lief.PE.Export) -> Iterator[tuple[str, str]]:
    for entry in table.entries:
        if entry.is_forwarded:
            aim = entry.forward_information
            yield str(entry.name), f"{aim.library}.{aim.function}"


def _segments(pe: lief.PE.Binary) -> Iterator[Segment]:
    for section in pe.sections:
        flags = "".join(letter for letter, flag in _FLAGS if section.has_characteristic(flag))
        yield Segment(flags, int(pe.optional_header.section_alignment))


def _name(section: lief.PE.Section) -> str:
    """One of more than eight bytes is in the string table, and the header holds its place there."""
    long = section.coff_string
    return str(long.string if long else section.name)


def _timestamps(pe: lief.PE.Binary) -> Iterator[int]:
    exported, resources = pe.get_export(), pe.resources
    yield int(pe.header.time_date_stamps)
    yield from (int(entry.timestamp) for entry in pe.debug)
    if exported:
        yield int(exported.timestamp)
    if isinstance(resources, lief.PE.ResourceDirectory):
        yield int(resources.time_date_stamp)


def _pdb(pe: lief.PE.Binary) -> Pdb | None:
    record = pe.codeview_pdb
    return Pdb(str(record.filename), str(record.guid).lower(), int(record.age)) if record else None


def _resources(pe: lief.PE.Binary) -> Iterator[str]:
    manager = pe.resources_manager if pe.has_resources else None
    if isinstance(manager, lief.PE.ResourcesManager):
        yield from (_word(kind) for kind in manager.types)


def _word(value: object) -> str:
    """SUBSYSTEM.WINDOWS_CUI -> windows_cui"""
    return str(value.name if isinstance(value, Enum) else value).rpartition(".")[2].lower()
