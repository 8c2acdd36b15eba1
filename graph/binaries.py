"""Reads object files with lief into Facts: ELF here, Mach-O in macho.py, PE in pe.py."""

from __future__ import annotations

from collections.abc import Iterator

import lief

from graph.facts import Binary, Format, Kind, Segment, Symbol, format_of
from graph.macho import fat_slices, read_macho
from graph.pe import read_pe

_DF_TEXTREL, _DF_BIND_NOW = 0x4, 0x8
_DF_1_NOW, _DF_1_PIE = 0x1, 0x08000000
"""Values of DT_FLAGS and DT_FLAGS_1 (glibc elf/elf.h)."""

lief.logging.disable()


def read_binaries(path: str, data: bytes) -> tuple[Binary, ...]:
    """Facts of the file `path` with these bytes, of each architecture in it; none when it is no binary that is known, or a broken one."""
    found = format_of(data[:64])
    reader = READERS.get(found) if found else None
    return reader(path, data) if reader else ()


def slices_of(data: bytes) -> tuple[tuple[str, bytes], ...]:
    """Machine and bytes of each slice of a fat file; of any other the file itself, and no machine."""
    return tuple(fat_slices(data)) or (("", data),)


def _elf(path: str, data: bytes) -> tuple[Binary, ...]:
    config = lief.ELF.ParserConfig()
    config.parse_relocations = config.parse_symtab_symbols = config.parse_overlay = False
    elf = lief.ELF.parse(data, config)
    if not isinstance(elf, lief.ELF.Binary) or elf.header.machine_type == lief.ELF.ARCH.NONE:
        return ()
    sections = [str(section.name) for section in elf.sections]
    flags, flags_1, tags = _dynamic(elf)
    segments = list(elf.segments)
    binary = Binary(
        path=path,
        format=Format.ELF,
        kind=_kind(elf, flags_1),
        machine=_word(elf.header.machine_type),
        bits=64 if elf.header.identity_class == lief.ELF.Header.CLASS.ELF64 else 32,
        byteorder="big" if elf.header.identity_data == lief.ELF.Header.ELF_DATA.MSB else "little",
        abi=int(elf.header.processor_flag),
        isa=_isa(elf),
        name=next((str(entry.name) for entry in elf.dynamic_entries if isinstance(entry, lief.ELF.DynamicSharedObject)), ""),
        interpreter=str(elf.interpreter).rstrip("\0") if elf.has_interpreter else "",
        dynamic=bool(tags),
        needed=tuple(str(library) for library in elf.libraries),
        search=tuple(_search(elf)),
        imports=tuple(sorted(_symbols(elf, imported=True))),
        exports=tuple(sorted(_symbols(elf, imported=False))),
        segments=tuple(Segment(_flags(s), int(s.alignment)) for s in segments if s.type == _SEGMENT.LOAD),
        stack=next((_flags(s) or "-" for s in segments if s.type == _SEGMENT.GNU_STACK), ""),
        relro=any(s.type == _SEGMENT.GNU_RELRO for s in segments),
        bind_now=_TAG.BIND_NOW in tags or bool(flags & _DF_BIND_NOW or flags_1 & _DF_1_NOW),
        text_relocations=_TAG.TEXTREL in tags or bool(flags & _DF_TEXTREL),
        position_independent=elf.header.file_type == lief.ELF.Header.FILE_TYPE.DYN,
        symbols=".symtab" in sections,
        debug=tuple(name for name in sections if name.startswith((".debug_", ".zdebug_"))),
    )
    return (binary,)


_TAG = lief.ELF.DynamicEntry.TAG
_SEGMENT = lief.ELF.Segment.TYPE
_UNDEFINED = 0
"""SHN_UNDEF of the ELF specification: another file defines it."""


def _dynamic(elf: lief.ELF.Binary) -> tuple[int, int, frozenset[lief.ELF.DynamicEntry.TAG]]:
    """DT_FLAGS, DT_FLAGS_1 and all tags that are there."""
    values = {entry.tag: int(entry.value) for entry in elf.dynamic_entries}
    return values.get(_TAG.FLAGS, 0), values.get(_TAG.FLAGS_1, 0), frozenset(values)


def _kind(elf: lief.ELF.Binary, flags_1: int) -> Kind:
    if elf.header.file_type == lief.ELF.Header.FILE_TYPE.REL:
        return Kind.OBJECT
    # a shared library may have PT_INTERP too (libc.so.6), so the PIE flag decides where the type alone does not
    executable = elf.header.file_type == lief.ELF.Header.FILE_TYPE.EXEC or bool(flags_1 & _DF_1_PIE)
    return Kind.EXECUTABLE if executable else Kind.SHARED


def _isa(elf: lief.ELF.Binary) -> int:
    """Highest level in GNU_PROPERTY_X86_ISA_1_NEEDED, which ld.so compares with the processor; 0 without such a note."""
    levels = [0]
    for note in elf.notes:
        found = note.find(lief.ELF.NoteGnuProperty.Property.TYPE.X86_ISA) if isinstance(note, lief.ELF.NoteGnuProperty) else None
        if isinstance(found, lief.ELF.X86ISA):
            levels += [_LEVELS.get(level, 0) for flag, level in found.values if flag == lief.ELF.X86ISA.FLAG.NEEDED]
    return max(levels)


_LEVELS = {lief.ELF.X86ISA.ISA.BASELINE: 1, lief.ELF.X86ISA.ISA.V2: 2, lief.ELF.X86ISA.ISA.V3: 3, lief.ELF.X86ISA.ISA.V4: 4}


def _search(elf: lief.ELF.Binary) -> Iterator[str]:
    for entry in elf.dynamic_entries:
        if isinstance(entry, lief.ELF.DynamicEntryRpath):
            yield from str(entry.rpath).split(":")
        elif isinstance(entry, lief.ELF.DynamicEntryRunPath):
            yield from str(entry.runpath).split(":")


def _symbols(elf: lief.ELF.Binary, *, imported: bool) -> Iterator[Symbol]:
    # an index in .gnu.version names a (version, library) pair of .gnu.version_r
    libraries = {
        version.other: str(requirement.name)
        for requirement in elf.symbols_version_requirement
        for version in requirement.get_auxiliary_symbols()
    }
    for symbol in elf.dynamic_symbols:
        # (not lief's `imported`: it wants a type, and a name that no library gave to the linker has none)
        if symbol.name and (symbol.shndx == _UNDEFINED if imported else symbol.exported):
            version = symbol.symbol_version if symbol.has_version else None
            named = version.symbol_version_auxiliary if version is not None and version.has_auxiliary_version else None
            library = libraries.get(version.value, "") if version is not None and imported else ""
            weak = imported and symbol.binding == lief.ELF.Symbol.BINDING.WEAK
            yield Symbol(str(symbol.name), str(named.name) if named is not None else "", library, weak)


def _flags(segment: lief.ELF.Segment) -> str:
    return "".join(
        letter
        for letter, flag in (("r", lief.ELF.Segment.FLAGS.R), ("w", lief.ELF.Segment.FLAGS.W), ("x", lief.ELF.Segment.FLAGS.X))
        if segment.has(flag)
    )


def _word(value: object) -> str:
    """ARCH.X86_64 -> x86_64"""
    return str(value).rpartition(".")[2].lower()


READERS = {Format.ELF: _elf, Format.MACHO: read_macho, Format.PE: read_pe}
