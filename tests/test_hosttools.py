"""Host tools: the table, finding, what is missing and how to get it, what a program needs; and the shims."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from graph.errors import HostToolMissing, LockError, PlanError
from graph.hosttools import (
    HostTools,
    ToolTable,
    elf_interpreter,
    find,
    host_families,
    missing_error,
    needed_files,
    parse_families,
    parse_tools,
)

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "toolchains/host-tools.toml").read_text()
SHIMS = ROOT / "toolchains/shims"


@pytest.fixture(scope="module")
def table() -> ToolTable:
    return parse_tools(TEXT)


def program(folder: Path, name: str, text: str = "#!/bin/sh\n") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_the_table_names_each_program_once(table: ToolTable) -> None:
    for name, each in table.sets.items():
        assert len(set(each.programs)) == len(each.programs), name
    assert set(table.alternatives) <= {program for each in table.sets.values() for program in each.programs}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[sets", "host-tools.toml"),
        ("[set.posix]", "unknown key 'set'.*did you mean sets"),
        ("[sets.a]\nprogram = []", "sets.a: unknown key 'program'"),
        ("[sets.a]\nprograms = 'sh'", "sets.a.programs: is not a list"),
        ("[packages.a]\nprograms = ['a']", "packages.a: has no default"),
        ("[alternatives]\nmake = [1]", "alternatives.make: is not a list"),
    ],
)
def test_a_malformed_table(text: str, message: str) -> None:
    with pytest.raises(LockError, match=f"(?s){message}"):
        parse_tools(text)


def test_find_follows_links_and_prefers_alternatives(table: ToolTable, tmp_path: Path) -> None:
    real = program(tmp_path, "busybox")
    (tmp_path / "sh").symlink_to(real)
    gmake = program(tmp_path, "gmake")
    program(tmp_path, "make")
    (tmp_path / "perl").mkdir()
    found = find(table, ["sh", "make"], f"/nowhere:{tmp_path}")
    assert [(tool.name, tool.path) for tool in found] == [("make", gmake), ("sh", real)]


def test_all_that_is_missing_is_told_at_once(table: ToolTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graph.hosttools.host_families", lambda: ("ubuntu", "debian"))
    program(tmp_path, "sh")
    with pytest.raises(HostToolMissing) as caught:
        find(table, ["sh", "make", "perl", "sed"], str(tmp_path))
    assert caught.value.what == "host tools are missing: make (package make), perl (package perl), sed (package sed)"
    assert caught.value.hint == "apt-get install make perl sed"


def test_what_writes_an_msi_is_named_with_its_package(table: ToolTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "sh")
    for family, hint in (("debian", "apt-get install wixl msitools"), ("fedora", "dnf install msitools")):
        monkeypatch.setattr("graph.hosttools.host_families", lambda family=family: (family,))
        with pytest.raises(HostToolMissing, match=r"host tools are missing: wixl .*, msibuild \(package msitools\)") as caught:
            find(table, ["wixl"], str(tmp_path))
        assert caught.value.hint == hint
    # each of the two may be a package of its own
    program(tmp_path, "wixl")
    with pytest.raises(HostToolMissing) as caught:
        find(table, ["wixl"], str(tmp_path))
    assert caught.value.what == "host tools are missing: msibuild (package msitools)"


@pytest.mark.parametrize(
    ("families", "hint"),
    [
        (("fedora",), "dnf install perl-core coreutils findutils"),
        (("centos", "rhel", "fedora"), "dnf install perl-core coreutils findutils"),
        (("alpine",), "apk add perl coreutils findutils"),
        ((), "install the packages perl coreutils findutils"),
    ],
)
def test_packages_by_family(table: ToolTable, families: tuple[str, ...], hint: str) -> None:
    assert missing_error(table, ["perl", "ls", "find", "xargs"], families).hint == hint


def test_an_unknown_name(table: ToolTable) -> None:
    with pytest.raises(PlanError, match=r"(?s)'pearl'.*did you mean perl"):
        find(table, ["pearl"], "/usr/bin")


def test_families_of_os_release() -> None:
    assert parse_families('NAME="Ubuntu"\nID=ubuntu\nID_LIKE="debian"\n\n# x\n') == ("ubuntu", "debian")
    assert parse_families("") == ()


def test_families_of_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(host_families(), tuple)
    monkeypatch.setattr("graph.hosttools.sys.platform", "darwin")
    assert host_families() == ("brew",)


def test_a_tool_that_is_too_old(tmp_path: Path) -> None:
    program(tmp_path, "make", "#!/bin/sh\necho GNU Make 3.81\n")
    with pytest.raises(HostToolMissing, match="make is not whole or too old"):
        HostTools(parse_tools(TEXT), str(tmp_path))(("make",))


@pytest.mark.parametrize(("version", "good"), [("0.100", False), ("0.101", True), ("0.106", True), ("1.0", True)])
def test_versions_of_what_writes_an_msi(tmp_path: Path, version: str, good: bool) -> None:
    program(tmp_path, "wixl", f"#!/bin/sh\necho {version}\n")
    program(tmp_path, "msibuild")
    tools = HostTools(parse_tools(TEXT), f"{tmp_path}:/usr/bin:/bin")
    if good:
        assert tools(("wixl",))["/usr/bin/wixl"] == str(tmp_path / "wixl")
    else:
        with pytest.raises(HostToolMissing, match="wixl is not whole or too old"):
            tools(("wixl",))


def test_an_absent_set_fails_on_a_bare_path(table: ToolTable, tmp_path: Path) -> None:
    with pytest.raises(HostToolMissing, match=r"sh .*sed .*awk"):
        HostTools(table, str(tmp_path))(("posix",))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux binds files")
def test_a_program_comes_with_its_loader_and_libraries(table: ToolTable) -> None:
    binds = HostTools(table)(("sh",))
    assert set(binds) >= {"/usr/bin/sh"}
    for at, source in binds.items():
        assert Path(at).is_absolute()
        assert Path(source).exists()
    interpreter = elf_interpreter(Path(binds["/usr/bin/sh"]).read_bytes()[:4096])
    assert not interpreter or interpreter in binds


@pytest.mark.skipif(not Path("/lib64/ld-linux-x86-64.so.2").exists(), reason="not a glibc host")
def test_libraries_lie_beside_the_libc_of_sh(table: ToolTable) -> None:
    binds = HostTools(table)(("glibc",))
    names = {Path(at).name for at in binds}
    assert {"libc.so.6", "libm.so.6", "libdl.so.2"} <= names
    assert any(name.startswith("ld-") for name in names)
    assert not any(at.startswith("/usr/bin/") for at in binds)


@pytest.mark.skipif(sys.platform != "linux", reason="libraries are taken on Linux only")
def test_a_library_that_the_host_lacks() -> None:
    table = parse_tools('[sets.sh]\nprograms = ["sh"]\n[sets.x]\nlibraries = ["libc.so.6", "libnone.so.1"]\n')
    with pytest.raises(HostToolMissing, match=r"libnone\.so\.1"):
        HostTools(table)(("x",))


def test_binds_are_found_once(table: ToolTable) -> None:
    tools = HostTools(table)
    assert tools(("sh", "sed")) is tools(("sh", "sed"))


def test_folders_of_a_set(tmp_path: Path) -> None:
    program(tmp_path, "lua", f"#!/bin/sh\necho {tmp_path}\n")
    tools = HostTools(parse_tools('[sets.lua]\nprograms = ["lua"]\nfolders = ["lua", "-e", "print(path)"]\n'), str(tmp_path))
    assert tools(("lua",))[str(tmp_path)] == str(tmp_path.resolve())


def test_a_script_needs_its_interpreter(tmp_path: Path) -> None:
    needed = dict(needed_files(program(tmp_path, "egrep", "#! /bin/sh -e\n")))
    assert needed["/usr/bin/sh"] == os.path.realpath("/bin/sh")


@pytest.mark.parametrize(("order", "wide"), [("<", True), (">", True), ("<", False), (">", False)])
def test_the_interpreter_of_an_elf_file(order: str, wide: bool) -> None:
    name = b"/lib/ld-test.so.1\0"
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    start = 64 if wide else 52
    rest = (16 if wide else 12, start, 0, 0, start, 56 if wide else 32, 2, 0, 0, 0)
    header = ident + struct.pack(order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"), 3, 62, 1, *rest)
    at = start + 2 * (56 if wide else 32)
    load = struct.pack(order + ("IIQQQQQQ" if wide else "IIIIIIII"), 1, *[0] * 7)
    if wide:
        interp = struct.pack(order + "IIQQQQQQ", 3, 4, at, at, at, len(name), len(name), 1)
    else:
        interp = struct.pack(order + "IIIIIIII", 3, at, at, at, len(name), len(name), 4, 1)
    assert elf_interpreter(header + load + interp + name) == "/lib/ld-test.so.1"
    assert elf_interpreter(header + load + load) == ""


def test_no_interpreter_of_other_files() -> None:
    assert elf_interpreter(b"") == ""
    assert elf_interpreter(b"\xcf\xfa\xed\xfe") == ""


def shim(name: str, *arguments: str, **env: str) -> str:
    argv = ["sh", str(SHIMS / name), *arguments]
    return subprocess.run(argv, env={"PATH": "/usr/bin:/bin", **env}, capture_output=True, text=True, check=True).stdout.rstrip("\n")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "Linux"),
        (["-s"], "Linux"),
        (["-m"], "riscv64"),
        (["-r"], "0.0.0"),
        (["-ms"], "Linux riscv64"),
        (["-p"], "unknown"),
        (["-a"], "Linux build 0.0.0 #1 riscv64"),
        (["--machine"], "riscv64"),
        (["-n"], "build"),
    ],
)
def test_uname_tells_the_platform_only(arguments: list[str], expected: str) -> None:
    assert shim("uname", *arguments, BUILD_MACHINE="riscv64") == expected


def test_uname_refuses_to_guess() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        shim("uname", "-m")
    with pytest.raises(subprocess.CalledProcessError):
        shim("uname", "-x", BUILD_MACHINE="riscv64")


def test_the_other_shims() -> None:
    assert shim("hostname") == "build"
    assert shim("nproc") == "1"
    assert shim("date", "+%Y-%m-%d %H:%M:%S %Z", SOURCE_DATE_EPOCH="86400") == "1970-01-02 00:00:00 UTC"
    assert all(os.access(path, os.X_OK) for path in SHIMS.iterdir())
