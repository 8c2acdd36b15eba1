"""The scripts that make a ZIP and an MSI of a distribution for Windows; wixl is a script here (the real one: tests/real)."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import uuid
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path

import pytest

from tests.fake_compound import compound, summary
from tests.fake_version import pe, resource, resources
from tests.test_steps import EPOCH, load, tree

TRIPLE = "x86_64-pc-windows-gnu"
FILES = {"python.exe": "MZ", "Lib/os.py": "", "Lib/encodings/cp1252.py": "x", "DLLs/_ssl.pyd": "pyd", "Lib/__future__.py": "f"}
GUID = re.compile(r"\{[0-9A-F]{8}-[0-9A-F]{4}-5[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}\}")


def distribution(place: Path, version: str = "3.13.15", **more: str) -> Path:
    install = json.dumps(load("install_json").describe(version, "x86_64", "", ["python.exe", "pythonw.exe"]))
    return tree(place, {**FILES, "__install__.json": install, **more})


def packed(place: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(EPOCH))
    load("pack_zip").main([str(place), str(place.parent / "out" / name)])
    return place.parent / "out" / name


def test_the_same_tree_gives_the_same_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = distribution(tmp_path / "tree")
    first = packed(place, "one.zip", monkeypatch).read_bytes()
    os.utime(place / "Lib/os.py", (1, 1))
    (place / "python.exe").chmod(0o755)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert packed(place, "two.zip", monkeypatch).read_bytes() == first


def test_members_of_a_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = distribution(tmp_path / "tree")
    with zipfile.ZipFile(packed(place, "one.zip", monkeypatch)) as found:
        members = found.infolist()
        assert [one.filename for one in members] == sorted([*FILES, "__install__.json"])
        assert {one.date_time for one in members} == {(2025, 11, 23, 0, 0, 0)}
        assert {(one.create_system, one.external_attr, one.flag_bits) for one in members} == {(0, 0x20, 0)}
        assert all(found.read(one) == (place / one.filename).read_bytes() for one in members)


@pytest.mark.parametrize("script", ["pack_zip", "msi"])
@pytest.mark.parametrize("what", ["link", "folder"])
def test_what_installers_cannot_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, what: str) -> None:
    place = distribution(tmp_path / "tree")
    (place / "x").symlink_to("python.exe") if what == "link" else (place / "x").mkdir()
    with pytest.raises(ValueError, match="x is a link or an empty folder"):
        packed(place, "x.zip", monkeypatch) if script == "pack_zip" else authored(place)


def test_a_name_that_an_msi_has_no_letters_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnicodeEncodeError, match="charmap"):
        load("msi").files_of(distribution(tmp_path / "tree", **{"Lib/雪.py": ""}))


def authored(place: Path, triple: str = TRIPLE) -> ET.Element:
    root: ET.Element = load("msi").Author(place, triple).document()
    return root


def test_every_file_is_a_component_in_its_folder(tmp_path: Path) -> None:
    product = authored(distribution(tmp_path / "tree"))[0]
    found = {}

    def walk(element: ET.Element, place: str) -> None:
        for one in element.findall("Directory"):
            walk(one, f"{place}/{one.get('Name', '').rpartition('|')[2]}")
        for file in element.findall("Component/File"):
            found[f"{place}/{(file.get('Name') or '').rpartition('|')[2]}"] = file.get("Source")

    [top] = product.findall("Directory")
    walk(top, "")
    folder = "//Programs/freestanding-3.13-64/"
    assert found == {f"{folder}{name}": name for name in (*FILES, "__install__.json")}
    components = [one.get("Id") for one in product.iter("Component")]
    assert len(components) == len(found) + 1
    assert [one.get("Id") for one in product.iter("ComponentRef")] == components
    names = [one.get("Id") or "" for one in product.iter() if one.get("Id") and one.tag in ("Component", "File", "Directory")]
    assert len({*names}) == len(names) and all(re.fullmatch(r"[A-Za-z_]\w{0,71}", name) for name in names)
    assert all(GUID.fullmatch(one.get("Guid") or "") and one.get("Win64") == "yes" for one in product.iter("Component"))


def test_names_of_dos(tmp_path: Path) -> None:
    both_names = load("msi").both_names
    assert [both_names(name) for name in ("python.exe", "Lib", "a/b/_ssl.pyd")] == ["python.exe", "Lib", "_ssl.pyd"]
    for name in ("x/__future__.py", "a long name", "python313.dll.manifest", ".gitignore", "x.py.y"):
        short, _, whole = both_names(name).partition("|")
        assert re.fullmatch(r"[A-Z0-9]{1,8}(\.[A-Z0-9]{1,3})?", short), short
        assert whole == name.rpartition("/")[2]
    assert both_names("a/__future__.py") != both_names("b/__future__.py")


def codes(root: ET.Element) -> dict[str, str]:
    """Codes of product and upgrade, and of components by the file in them."""
    product = root[0]
    parts = {one[0].get("Source") or "registry": one.get("Guid") or "" for one in product.iter("Component")}
    return {"product": product.get("Id") or "", "upgrade": product.get("UpgradeCode") or "", **parts}


def test_codes_say_what_is_the_same(tmp_path: Path) -> None:
    first = codes(authored(distribution(tmp_path / "one")))
    assert codes(authored(distribution(tmp_path / "again"))) == first
    changed = codes(authored(distribution(tmp_path / "changed", **{"Lib/os.py": "changed"})))
    assert {name for name in first if first[name] != changed[name]} == {"product"}
    newer = codes(authored(distribution(tmp_path / "newer", "3.13.16")))
    assert {name for name in first if first[name] != newer[name]} == {"product"}
    others = (authored(distribution(tmp_path / "minor", "3.14.0")), authored(tmp_path / "one", "aarch64-pc-windows-gnu"))
    for other in map(codes, others):
        assert not {*other.values()} & {*first.values()}
    assert len({*first.values()}) == len(first)


def test_what_is_replaced_and_what_is_not(tmp_path: Path) -> None:
    """Every version of the same minor up to this one; a newer one is found only, and then nothing is done."""
    product = authored(distribution(tmp_path / "tree"))[0]
    older, newer = product.findall("Upgrade/UpgradeVersion")
    assert product.findall("Upgrade")[0].get("Id") == product.get("UpgradeCode")
    assert (older.get("Minimum"), older.get("Maximum"), older.get("OnlyDetect")) == ("0.0.0", "3.13.16", "no")
    assert (newer.get("Minimum"), newer.get("Maximum"), newer.get("OnlyDetect")) == ("3.13.16", None, "yes")
    [condition] = product.findall("Condition")
    assert condition.text == f"NOT {newer.get('Property')}"
    assert product.find("InstallExecuteSequence/RemoveExistingProducts") is not None
    [package] = product.findall("Package")
    assert package.get("InstallScope") == "perUser"


def test_it_is_registered_as_the_install_manager_would(tmp_path: Path) -> None:
    values = {
        (one.get("Key"), one.get("Name")): one.get("Value") for one in authored(distribution(tmp_path / "tree")).iter("RegistryValue")
    }
    key = r"Software\Python\freestanding\3.13-64"
    assert values[key, "Version"] == "3.13.15"
    assert values[rf"{key}\InstallPath", None] == "[INSTALLDIR]"
    assert values[rf"{key}\InstallPath", "ExecutablePath"] == "[INSTALLDIR]python.exe"
    assert not [name for name in values if name[1] in ("kind", "Key")]


@pytest.mark.parametrize(("most", "counts"), [(3, [3, 3, 1]), (7, [7]), (6, [6, 1])])
def test_components_are_spread_over_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, counts: list[int]) -> None:
    """All in their order, in children that have one parent and its level: nothing that anybody could leave out."""
    module = load("msi")
    assert module.PER_FEATURE < 1600
    monkeypatch.setattr(module, "PER_FEATURE", most)
    product = module.Author(distribution(tmp_path / "tree"), TRIPLE).document()[0]
    [feature] = product.findall("Feature")
    assert feature.findall("ComponentRef") == []
    assert [len(part.findall("ComponentRef")) for part in feature] == counts
    assert {one.get("Level") for one in product.iter("Feature")} == {"1"}
    assert len({one.get("Id") for one in product.iter("Feature")}) == len(counts) + 1
    assert [one.get("Id") for one in product.iter("ComponentRef")] == [one.get("Id") for one in product.iter("Component")]


def test_the_folder_of_an_earlier_one_is_taken(tmp_path: Path) -> None:
    """From a key of its own, not from PEP 514's, where the install manager's folder may stand; unless another folder is asked for."""
    product = authored(distribution(tmp_path / "tree"))[0]
    [search] = product.findall("Property/RegistrySearch")
    written = [one for one in product.iter("RegistryValue") if one.get("Key") == search.get("Key")]
    assert [(one.get("Name"), one.get("Value")) for one in written] == [(search.get("Name"), "[INSTALLDIR]")]
    assert search.get("Key") == r"Software\freestanding\freestanding-3.13-64"
    [action] = product.findall("CustomAction")
    assert (action.get("Property"), action.get("Value")) == ("INSTALLDIR", "[PREVIOUSDIR]")
    done = [product.find(f"{name}/Custom") for name in ("InstallUISequence", "InstallExecuteSequence")]
    assert [(one.get("Action"), one.text) for one in done if one is not None] == [(action.get("Id"), "PREVIOUSDIR AND NOT INSTALLDIR")] * 2
    values = {one.get("Id"): one.get("Value") for one in product.findall("Property")}
    assert (values["REINSTALLMODE"], values["PREVIOUSDIR"]) == ("amus", None)


START = """#!{python}
import random, sys, uuid
sys.path.insert(0, {root!r})
from tests.fake_compound import compound, summary
"""
WIXL = """
assert sys.argv[1:4:2] == ["--arch", "--output"] and sys.argv[2] == "x64"
now = random.getrandbits(60)
code = "{" + str(uuid.uuid4()).upper() + "}"
streams = {"python.cab": open(sys.argv[5], "rb").read() * 3, "\\x05SummaryInformation": summary(code, now, now + 1), "x": b"y" * 100}
open(sys.argv[4], "wb").write(compound(streams))
"""
MSIBUILD = """
assert sys.argv[2] == "-q" and open(sys.argv[1], "rb").read(4) == bytes.fromhex("d0cf11e0")
open(sys.argv[1] + ".queries", "w").write("\\n".join(sys.argv[3:]))
"""


@pytest.fixture
def writers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """wixl, which writes other bytes each time; msibuild, which writes down what it is asked for."""
    for name, text in (("WIXL", WIXL), ("MSIBUILD", MSIBUILD)):
        program = tmp_path / name.lower()
        program.write_text(START.format(python=sys.executable, root=str(Path(__file__).parent.parent)) + text)
        program.chmod(0o755)
        monkeypatch.setenv(name, str(program))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(EPOCH))


@pytest.mark.usefixtures("writers")
def test_clock_and_chance_leave_nothing_in_an_msi(tmp_path: Path) -> None:
    script = load("msi")
    for name in ("one", "two", "other", "arm"):
        distribution(tmp_path / name, **({"Lib/x.py": "x"} if name == "other" else {}))
        triple = TRIPLE.replace("x86_64", "aarch64") if name == "arm" else TRIPLE
        script.main([str(tmp_path / name), triple, str(tmp_path / f"{name}.msi")])
    one, two, other, arm = ((tmp_path / f"{name}.msi").read_bytes() for name in ("one", "two", "other", "arm"))
    assert one == two
    properties = [_properties(data) for data in (one, other)]
    assert (properties[0][7], _properties(arm)[7]) == ("x64;1033", "Arm64;1033")
    assert {made[12] for made in properties} == {made[13] for made in properties} == {(EPOCH + 11_644_473_600) * 10**7}
    assert properties[0][9] != properties[1][9] and all(GUID.fullmatch(str(made[9])) for made in properties)


@pytest.mark.usefixtures("writers")
def test_files_with_a_version_have_it_and_no_hash(tmp_path: Path) -> None:
    place = distribution(tmp_path / "tree")
    (place / "python.exe").write_bytes(pe(resources(resource((3, 13, 15150, 1013), (0, 1033)))))
    module = load("msi")
    module.main([str(place), TRIPLE, str(tmp_path / "x.msi")])
    whole, part, *files = (tmp_path / "x.msi.queries").read_text().splitlines()
    key = module.identifier("f", "python.exe")
    assert files == [
        f"UPDATE `File` SET `Version` = '3.13.15150.1013', `Language` = '0,1033' WHERE `File` = '{key}'",
        f"DELETE FROM `MsiFileHash` WHERE `File_` = '{key}'",
    ]
    assert (whole, part) == (
        "UPDATE `Feature` SET `Attributes` = 24",
        "UPDATE `Feature` SET `Attributes` = 26 WHERE `Feature_Parent` = 'Python'",
    )


@pytest.mark.usefixtures("writers")
def test_a_file_with_a_damaged_resource_is_named(tmp_path: Path) -> None:
    place = distribution(tmp_path / "tree")
    (place / "DLLs/_ssl.pyd").write_bytes(pe(resources(b"ab")))
    with pytest.raises(ValueError, match=r"^DLLs/_ssl\.pyd: .*cut off"):
        load("msi").main([str(place), TRIPLE, str(tmp_path / "x.msi")])


def _properties(data: bytes) -> dict[int, object]:
    module = load("compound_file")
    file = module.CompoundFile(data)
    assert b"\x11" * 16 not in data
    text = file.read(module.SUMMARY)
    found = {}
    for number, (kind, at) in module.properties(text).items():
        size = int.from_bytes(text[at : at + 4], "little")
        value = text[at + 4 : at + 3 + size].decode() if kind == module.TEXT else int.from_bytes(text[at : at + 8], "little")
        found[number] = value
    return found


@pytest.mark.usefixtures("writers")
@pytest.mark.parametrize("program", ["WIXL", "MSIBUILD"])
def test_an_end_of_a_program_that_is_not_good_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setenv(program, shutil.which("false") or "false")
    with pytest.raises(subprocess.CalledProcessError, match="non-zero exit status 1"):
        load("msi").main([str(distribution(tmp_path / "tree")), TRIPLE, str(tmp_path / "x.msi")])


def streams() -> dict[str, bytes]:
    """One in small sectors, over several of them, one in large ones, the summary."""
    chance = random.Random(1)
    return {
        "small": chance.randbytes(700),
        "\x05SummaryInformation": summary("{" + str(uuid.UUID(int=7)) + "}", 1, 2),
        "large": chance.randbytes(9000),
        "empty": b"",
    }


def test_streams_of_a_compound_file_are_read_and_changed_in_place() -> None:
    module = load("compound_file")
    file = module.CompoundFile(compound(streams()))
    assert {name: file.read(name) for name in streams()} == streams()
    for name in ("small", "large"):
        file.write(name, streams()[name][::-1])
    again = module.CompoundFile(bytes(file.data))
    assert {name: again.read(name) for name in ("small", "large")} == {name: streams()[name][::-1] for name in ("small", "large")}
    assert again.read(module.SUMMARY) == streams()[module.SUMMARY]


def test_what_is_no_compound_file_or_does_not_fit() -> None:
    module = load("compound_file")
    file = module.CompoundFile(compound(streams()))
    with pytest.raises(ValueError, match="no compound file"):
        module.CompoundFile(b"PK" * 500)
    with pytest.raises(ValueError, match="no stream 'gone'"):
        file.read("gone")
    with pytest.raises(ValueError, match="'small' has another size"):
        file.write("small", b"x")
    with pytest.raises(ValueError, match="no property set"):
        module.properties(bytes(100))
    text = file.read(module.SUMMARY)
    for values in ({9: "longer than" + 40 * " "}, {7: "Arm64;103333"}, {9: 3}, {12: "text"}, {99: 1}):
        with pytest.raises(ValueError, match=r"property \d+ of the summary"):
            module.changed(text, values)
