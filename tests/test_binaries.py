"""lief -> Facts, on the small ELF files of tests/elf."""

from __future__ import annotations

import struct

import pytest

from graph.binaries import read_binaries
from graph.facts import Binary, Format, Kind, Symbol, format_of
from tests.fake_archive import ELF

PT_GNU_STACK, PT_LOAD = 0x6474E551, 1


def facts(name: str) -> Binary:
    return only((ELF / name).read_bytes())


def only(data: bytes) -> Binary:
    """Facts of the one binary in a file."""
    [found] = read_binaries("x", data)
    return found


def with_flags(data: bytes, kind: int, flags: int) -> bytes:
    """The ELF64 file with other p_flags in its first program header of this type (elf.h: Elf64_Ehdr, Elf64_Phdr)."""
    at, (size, count) = struct.unpack_from("<Q", data, 32)[0], struct.unpack_from("<HH", data, 54)
    for header in range(at, at + size * count, size):
        if struct.unpack_from("<I", data, header)[0] == kind:
            return data[: header + 4] + struct.pack("<I", flags) + data[header + 8 :]
    raise AssertionError("no such program header")


def test_a_good_module() -> None:
    module = facts("good-module.so")
    assert (module.format, module.kind, module.machine) == (Format.ELF, Kind.SHARED, "x86_64")
    assert module.needed == ("libc.so.6",)
    assert module.imports == (Symbol("strlen", "GLIBC_2.2.5", "libc.so.6"),)
    assert module.exports == (Symbol("PyInit_fix"),)
    assert module.dynamic and module.relro and module.bind_now and module.position_independent
    assert not module.text_relocations and not module.symbols and not module.debug
    assert module.stack == "rw"
    assert [segment.flags for segment in module.segments] == ["r", "rx", "rw"]
    assert {segment.align for segment in module.segments} == {4096}


def test_a_program_and_its_library() -> None:
    program, library = facts("good-python"), facts("good-libpython.so")
    assert (program.kind, program.position_independent, program.search) == (Kind.EXECUTABLE, True, ("$ORIGIN/../lib",))
    assert program.interpreter == "/lib64/ld-linux-x86-64.so.2"
    assert program.needed == (library.name, "libc.so.6")
    assert {symbol.name for symbol in library.imports} == {"__memcpy_chk", "__stack_chk_fail"}
    assert library.kind is Kind.SHARED


def test_an_import_that_no_library_gives_is_one() -> None:
    """Functions that are newer than the sysroot look so: the audit bans some."""
    assert facts("lone.so").imports == (Symbol("of_nobody"),)


def test_symbol_versions_name_their_library() -> None:
    assert {symbol.version for symbol in facts("good-private.so").exports} == {"OWN_1"}
    assert facts("uses-private.so").imports == (Symbol("own_length", "OWN_1", "libown.so.1"),)
    assert {symbol.version for symbol in facts("bare-private.so").exports} == {""}


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("lazy.so", "bind_now", False),
        ("lazy.so", "relro", False),
        ("textrel.so", "text_relocations", True),
        ("fixed.bin", "position_independent", False),
        ("fixed.bin", "kind", Kind.EXECUTABLE),
        ("rpath.so", "search", ("/opt/lib", "$ORIGIN/../../../../..", "$ORIGIN")),
        ("module.o", "kind", Kind.OBJECT),
        ("debug.so", "symbols", True),
    ],
)
def test_a_bad_property_is_seen(name: str, field: str, value: object) -> None:
    assert getattr(facts(name), field) == value


def test_debug_sections_are_named() -> None:
    assert ".debug_info" in facts("debug.so").debug


def test_segment_flags_are_read() -> None:
    data = (ELF / "good-module.so").read_bytes()
    assert only(with_flags(data, PT_GNU_STACK, 7)).stack == "rwx"
    assert only(with_flags(data, PT_LOAD, 7)).segments[0].flags == "rwx"
    assert only(data.replace(struct.pack("<I", PT_GNU_STACK), struct.pack("<I", 0), 1)).stack == ""


def test_the_older_rpath_is_read_too() -> None:
    data = (ELF / "rpath.so").read_bytes()
    dt_runpath, dt_rpath = struct.pack("<Q", 29), struct.pack("<Q", 15)
    assert only(data.replace(dt_runpath, dt_rpath)).search == facts("rpath.so").search


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\n", b"\x7fELF", b"\x7fELF" + b"\0" * 100, b"MZ\0\0"])
def test_what_is_no_readable_binary_is_none(data: bytes) -> None:
    assert read_binaries("x", data) == ()


def test_formats_are_told_by_their_first_bytes() -> None:
    assert format_of(b"\x7fELF\x02") is Format.ELF
    assert format_of(b"\xcf\xfa\xed\xfe") is Format.MACHO
    assert format_of(b"MZ\x90") is Format.PE
    assert format_of(b"import os") is None
