"""Reads Mach-O files with lief into Facts: one Binary for each architecture of a fat file."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import lief

from graph.codesign import read_signature
from graph.facts import Binary, Format, Kind, Library, Macho, Segment, Symbol

_N_STAB, _N_PEXT, _N_EXT, _N_OSO = 0xE0, 0x10, 0x01, 0x66
"""Bits of n_type, and the stab that names an object file of the debug map (mach-o/nlist.h, mach-o/stab.h)."""
_N_WEAK_REF = 0x40
_FIRST_SPECIAL_ORDINAL = 0xFD
"""Library ordinals of n_desc from here on name no library: weak lookup, dynamic lookup, the executable. 0 is the file itself."""
_ALWAYS_ALIGNED = 1 << 30
"""Alignment of a segment at address and offset 0."""

_KINDS = {
    lief.MachO.Header.FILE_TYPE.EXECUTE: Kind.EXECUTABLE,
    lief.MachO.Header.FILE_TYPE.BUNDLE: Kind.BUNDLE,
    lief.MachO.Header.FILE_TYPE.OBJECT: Kind.OBJECT,
}
_LOADS = frozenset(
    getattr(lief.MachO.LoadCommand.TYPE, name)
    for name in ("LOAD_DYLIB", "LOAD_WEAK_DYLIB", "REEXPORT_DYLIB", "LOAD_UPWARD_DYLIB", "LAZY_LOAD_DYLIB")
)


def read_macho(path: str, data: bytes) -> tuple[Binary, ...]:
    """Facts of each architecture in the file; none when it is broken."""
    slices = list(fat_slices(data))
    if slices and all(part.startswith(_LINKED) for _, part in slices):
        return tuple(Binary(path, Format.MACHO, Kind.OBJECT, machine) for machine, _ in slices)
    config = lief.MachO.ParserConfig()
    config.parse_dyld_bindings = config.parse_dyld_rebases = False
    config.parse_dyld_exports = True
    fat = lief.MachO.parse(data, config)
    read = [fat.at(number) for number in range(fat.size)] if fat else []
    # lief leaves out slices that it cannot read, and takes a header without load commands for a file
    known = [binary for binary in read if binary and len(binary.commands)]
    return tuple(_slice(path, binary, data) for binary in known) if len(known) == _count(data) else ()


_LINKED = (b"!<arch>\n", b"BC\xc0\xde", b"\xde\xc0\x17\x0b")
"""Starts of slices that are no Mach-O files: archives, and LLVM's bitcode (bare, and in a wrapper). lief reads neither."""
_FAT = {b"\xca\xfe\xba\xbe": ">I4xII4x", b"\xca\xfe\xba\xbf": ">I4xQQ8x"}
"""FAT_MAGIC and FAT_MAGIC_64 (mach-o/fat.h): fat_arch and fat_arch_64, of which processor, offset and size matter here."""


def _count(data: bytes) -> int:
    """Architectures in the file."""
    return int.from_bytes(data[4:8], "big") if data[:4] in _FAT else 1


def fat_slices(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Machine and bytes of each slice of a fat file; none of a thin file, nor of one that ends within its table."""
    form = _FAT.get(data[:4])
    end = 8 + _count(data) * struct.calcsize(form) if form else 0
    if form and end <= len(data):
        for cpu, offset, size in struct.iter_unpack(form, data[8:end]):
            yield _machine(cpu), data[offset : offset + size]


def _machine(cpu: int) -> str:
    """Name of a cputype; its number where lief knows none (a Java class begins as a fat file does)."""
    try:
        return _word(lief.MachO.Header.CPU_TYPE(cpu))
    except ValueError:
        return f"{cpu:#x}"


def _slice(path: str, binary: lief.MachO.Binary, file: bytes) -> Binary:
    data = file[binary.fat_offset : binary.fat_offset + binary.original_size]
    loads = [command for command in binary.libraries if command.command in _LOADS]
    flags = frozenset(_word(flag) for flag in binary.header.flags_list)
    symbols = list(binary.symbols)
    dylib_id = next((c for c in binary.commands if c.command == lief.MachO.LoadCommand.TYPE.ID_DYLIB), None)
    own = dylib_id if isinstance(dylib_id, lief.MachO.DylibCommand) else None
    return Binary(
        path=path,
        format=Format.MACHO,
        kind=_KINDS.get(binary.header.file_type, Kind.SHARED),
        machine=_word(binary.header.cpu_type),
        name=str(own.name) if own else "",
        dynamic="dyldlink" in flags,
        needed=tuple(str(command.name) for command in loads),
        search=tuple(str(command.path) for command in binary.rpaths),
        imports=tuple(sorted(_imports(symbols, [str(command.name) for command in loads]))),
        exports=tuple(sorted(Symbol(name) for name in _exports(binary))),
        segments=tuple(_segments(binary)),
        position_independent=binary.header.file_type != lief.MachO.Header.FILE_TYPE.EXECUTE or "pie" in flags,
        symbols=any(_is_local(symbol) for symbol in symbols),
        debug=tuple(_debug(binary, symbols)),
        macho=_macho(binary, data, flags, loads, own),
    )


def _macho(
    binary: lief.MachO.Binary,
    data: bytes,
    flags: frozenset[str],
    loads: list[lief.MachO.DylibCommand],
    own: lief.MachO.DylibCommand | None,
) -> Macho:
    build, older = binary.build_version, binary.version_min
    minos, sdk = (build.minos, build.sdk) if build else (older.version, older.sdk) if older else ((), ())
    signed = binary.code_signature
    first = min((section.offset for section in binary.sections if section.offset), default=0)
    return Macho(
        flags=flags,
        # LC_VERSION_MIN_MACOSX is what files for macOS before 10.14 have
        platform=_word(build.platform) if build else "macos" if older else "",
        minos=_version(minos),
        sdk=_version(sdk),
        libraries=tuple(Library(str(load.name), tuple(map(int, load.compatibility_version))) for load in loads),
        compatibility=tuple(map(int, own.compatibility_version)) if own else (),
        padding=max(0, first - _HEADER - binary.header.sizeof_cmds),
        offset=int(binary.fat_offset),
        signature=read_signature(data, signed.data_offset, signed.data_size) if signed else None,
    )


_HEADER = 32
"""Bytes of mach_header_64."""


def _imports(symbols: list[lief.MachO.Symbol], libraries: list[str]) -> Iterator[Symbol]:
    for symbol in symbols:
        if symbol.category == lief.MachO.Symbol.CATEGORY.UNDEFINED:
            ordinal = symbol.description >> 8
            named = 0 < ordinal < _FIRST_SPECIAL_ORDINAL and ordinal <= len(libraries)
            yield Symbol(in_c(str(symbol.name)), "", libraries[ordinal - 1] if named else "", bool(symbol.description & _N_WEAK_REF))


def _exports(binary: lief.MachO.Binary) -> Iterator[str]:
    """The export trie's names: it is what dyld looks up."""
    for trie in (binary.dyld_info, binary.dyld_exports_trie):
        for export in trie.exports if trie else ():
            if export.symbol:
                yield in_c(str(export.symbol.name))


def in_c(name: str) -> str:
    """A symbol's name without the underscore that Mach-O puts before what C calls it."""
    return name.removeprefix("_")


def _is_local(symbol: lief.MachO.Symbol) -> bool:
    kind = symbol.raw_type
    return not kind & _N_STAB and (not kind & _N_EXT or bool(kind & _N_PEXT)) and symbol.name != "__dyld_private"


def _debug(binary: lief.MachO.Binary, symbols: list[lief.MachO.Symbol]) -> Iterator[str]:
    yield from (str(section.name) for section in binary.sections if section.segment_name == "__DWARF")
    yield from (str(symbol.name) for symbol in symbols if symbol.raw_type == _N_OSO)


def _segments(binary: lief.MachO.Binary) -> Iterator[Segment]:
    for segment in binary.segments:
        if segment.init_protection:
            place = segment.virtual_address | segment.file_offset
            flags = "".join(letter for letter, bit in (("r", 1), ("w", 2), ("x", 4)) if segment.init_protection & bit)
            yield Segment(flags, place & -place or _ALWAYS_ALIGNED)


def _version(parts: object) -> str:
    """[11, 0, 0] -> 11.0"""
    numbers = [int(part) for part in parts] if isinstance(parts, list | tuple) else []
    return ".".join(map(str, numbers[:2] if not any(numbers[2:]) else numbers))


def _word(value: object) -> str:
    """CPU_TYPE.ARM64 -> arm64"""
    return str(value).rpartition(".")[2].lower()
