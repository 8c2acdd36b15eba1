"""PE files: lief -> Facts, on the small files of tests/pe."""

from __future__ import annotations

import pytest

from graph.binaries import read_binaries
from graph.facts import Binary, Format, Kind, Pdb, Pe, Segment, Symbol
from graph.pdb import MAGIC, read_pdb
from tests.fake_pe import PE, pdb


def facts(name: str, path: str = "") -> Binary:
    [found] = read_binaries(path or name, (PE / name).read_bytes())
    return found


def portable(binary: Binary) -> Pe:
    assert binary.pe is not None
    return binary.pe


def test_a_module() -> None:
    module = facts("fix.pyd")
    assert (module.format, module.kind, module.machine, module.bits, module.name) == (Format.PE, Kind.SHARED, "x86_64", 64, "fix.pyd")
    assert module.needed == ("own.dll", "python313.dll")
    assert module.imports == (Symbol("Py_Answer", "", "python313.dll"), Symbol("own_length", "", "own.dll"))
    assert module.exports == (Symbol("PyInit_fix"),)
    assert module.segments == (Segment("rx", 4096), Segment("r", 4096), Segment("r", 4096))
    assert module.position_independent and not module.symbols and not module.debug
    assert portable(module).characteristics == {"dynamic_base", "nx_compat", "high_entropy_va"}
    assert portable(module).timestamps == (0, 0, 0, 0) and portable(module).resources == {"version"}


def test_programs_and_forwards() -> None:
    console, windowed = facts("python.exe"), facts("pythonw.exe")
    assert (console.kind, console.name, console.exports) == (Kind.EXECUTABLE, "", ())
    assert (portable(console).subsystem, portable(windowed).subsystem) == ("windows_cui", "windows_gui")
    assert portable(console).stack == 2_000_000
    assert portable(console).resources == {"icon", "group_icon", "manifest", "version"}
    assert portable(facts("python3.dll")).forwards == {"Py_Answer": "python313.Py_Answer"}
    assert portable(facts("python313.dll")).forwards == {}


def test_bad_properties_are_seen() -> None:
    bad = facts("bad.pyd")
    assert bad.imports == (Symbol("#7", "", "numbered.dll"), Symbol("late", "", "late.dll"))
    assert bad.needed == ("numbered.dll", "late.dll")
    assert not bad.position_independent and not portable(bad).characteristics and not portable(bad).resources
    # of the header, of the debug directory, and of the export table, which has none
    assert portable(bad).timestamps == (1234567890, 1234567890, 0)
    assert bad.segments[0].flags == "rwx"
    debug = facts("debug.pyd")
    assert debug.symbols and debug.debug == (".debug_abbrev", ".debug_info", ".debug_line", ".debug_str")


def test_a_file_names_its_pdb() -> None:
    named = [portable(facts(name)).pdb for name in ("test.pyd", "bad.pyd", "i386.exe")]
    # lld makes half of a GUID of the content, and the other of its own name
    assert [(one.name, one.age, one.guid[18:]) if one else None for one in named] == [
        ("_testfix.pdb", 1, "-4c4c-44205044422e"),
        ("", 1, "-4c4c-44205044422e"),
        None,
    ]


@pytest.mark.parametrize(("size", "more"), [(512, 0), (4096, 0), (512, 500)])
def test_a_pdb_says_guid_and_age(size: int, more: int) -> None:
    """(tests/real reads those that lld wrote.)"""
    guid = "01234567-89ab-cdef-0123-456789abcdef"
    assert read_pdb(pdb(guid, 7, size, more)) == Pdb("", guid, 7)


def test_what_is_no_pdb_is_none() -> None:
    whole = pdb("01234567-89ab-cdef-0123-456789abcdef")
    broken = [b"", whole[:20], whole[:40], *(whole[: 512 * blocks] for blocks in (1, 3, 4, 5)), MAGIC + bytes(600)]
    assert [read_pdb(data) for data in broken] == [None] * len(broken)


def test_a_file_without_relocations_cannot_move_whatever_its_flag_says() -> None:
    data = bytearray((PE / "fix.pyd").read_bytes())
    # COFF header: Characteristics is its last field, IMAGE_FILE_RELOCS_STRIPPED its first bit
    data[int.from_bytes(data[0x3C:0x40], "little") + 4 + 18] |= 1
    [found] = read_binaries("x", bytes(data))
    assert "dynamic_base" in portable(found).characteristics and not found.position_independent


def test_other_machines() -> None:
    assert [(facts(name).machine, facts(name).bits) for name in ("arm64.exe", "i386.exe")] == [("arm64", 64), ("i386", 32)]


@pytest.mark.parametrize("data", [b"MZ", b"MZ" + b"\0" * 100, (PE / "fix.pyd").read_bytes()[:200]])
def test_what_is_no_pe_file_is_none(data: bytes) -> None:
    assert read_binaries("x", data) == ()
