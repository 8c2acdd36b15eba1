"""The version resource of PE files, as the MSI has it; lief reads the same."""

from __future__ import annotations

import struct

import lief
import pytest

from tests.fake_pe import PE
from tests.fake_version import RT_ICON, RVA, part, pe, resource, resources
from tests.test_steps import load

VERSION = (3, 13, 15150, 1013)


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("languages", [(0,), (1033, 1031, 1033), ()])
def test_version_and_languages(wide: bool, languages: tuple[int, ...]) -> None:
    data = pe(resources(resource(VERSION, languages)), wide=wide)
    assert load("pe_version").version(data) == ("3.13.15150.1013", ",".join(map(str, dict.fromkeys(languages))))
    parsed = lief.PE.parse(list(data))
    assert isinstance(parsed, lief.PE.Binary)
    manager = parsed.resources_manager
    assert isinstance(manager, lief.PE.ResourcesManager)
    [found] = manager.version
    assert (found.file_info.file_version_ms, found.file_info.file_version_ls) == (3 << 16 | 13, 15150 << 16 | 1013)


def test_numbers_are_of_sixteen_bits() -> None:
    data = pe(resources(resource((65535, 0, 1, 65535), (0xFFFF,))))
    assert load("pe_version").version(data) == ("65535.0.1.65535", "65535")


def test_what_has_a_version_and_what_has_none() -> None:
    version = load("pe_version").version
    section = resources(resource(VERSION, (0,)))
    for data in (b"", b"MZ", b"text" * 30, b"MZ".ljust(100, b"\0"), pe(section, address=0), pe(resources(b"icon", RT_ICON))):
        assert version(data) is None
    # a header of neither kind, and one with fewer data directories
    whole = pe(section)
    assert version(whole[:88] + b"\x07\x01" + whole[90:]) is None
    assert version(whole[:196] + struct.pack("<I", 2) + whole[200:]) is None
    assert version((PE / "arm64.exe").read_bytes()) is None
    assert version((PE / "vcruntime.dll").read_bytes()) == ("14.42.34433.7", "")


def test_what_is_damaged() -> None:
    version = load("pe_version").version
    section = resources(resource(VERSION, (0,)))
    for data, message in (
        (pe(section)[:200], "cut off"),
        (pe(section)[:640], "cut off"),
        (pe(section, address=RVA + 0x10000), "no section of the PE has the address 0x11000"),
        (pe(section[:20] + struct.pack("<I", 24) + section[24:]), "no name or no language"),
        (pe(resources(resource(VERSION, (0,), signature=7))), "no VS_FIXEDFILEINFO"),
        (pe(resources(part("VS_VERSION_INFO"))), "cut off"),
    ):
        with pytest.raises(ValueError, match=message):
            version(data)


def test_of_a_resource_without_languages_only_the_version_is_told() -> None:
    fixed = resource(VERSION, ())[40:92]
    for children in ((), (part("VarFileInfo"),), (part("VarFileInfo", b"", part("Translation", b"\x09\x04")),), (bytes(8),)):
        assert load("pe_version").version(pe(resources(part("VS_VERSION_INFO", fixed, *children)))) == ("3.13.15150.1013", "")
