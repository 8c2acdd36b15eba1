"""PE files: lief -> Facts, on the small files of tests/pe."""

from __future__ import annotations

import pytest

from graph.binaries import read_binaries
from graph.facts import Binary, Format, Kind, Pe, Segment, Symbol
from tests.fake_pe import PE


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
    assert portable(module).timestamps == (0, 0, 0) and portable(module).resources == {"version"}


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
