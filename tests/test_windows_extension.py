"""toolchains/windows/extension.sh, with a zig that writes down what it is asked (tests/real/test_windows_extension.py has a real one)."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from graph.matrix import parse_matrix
from graph.recipes.windows_machines import MACHINES, machine_of
from graph.target import Target

ROOT = Path(__file__).resolve().parent.parent
TARGETS = [target for target in parse_matrix((ROOT / "toolchains/targets.toml").read_text()).targets.values() if target.os == "windows"]
PE_MACHINES = {"x86_64": 0x8664, "i686": 0x14C, "aarch64": 0xAA64}
"""IMAGE_FILE_MACHINE_* of the PE format's specification."""
ZIG = """#!/bin/sh
echo "$@" >> "$0.log"
while [ $# -gt 0 ]; do
    case $1 in
    -d) cp "$2" "${0%/*}/math.def" ;;
    -o) touch "$2" ;;
    esac
    shift
done
"""
FLOATS = {f"{name}f" for name in ("exp", "exp2", "log", "log2", "log10", "sin", "cos", "tan", "fmod", "pow")}


def made(tmp_path: Path, machine: int) -> tuple[str, str, set[str]]:
    """A module for a distribution of that machine: words of dlltool and of the compiler, and the functions that are the C runtime's."""
    (tmp_path / "libs").mkdir()
    (tmp_path / "libs/python313.lib").touch()
    (tmp_path / "python.exe").write_bytes(
        b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x80) + bytes(0x40) + struct.pack("<4sH", b"PE", machine)
    )
    zig = tmp_path / "zig"
    zig.write_text(ZIG)
    zig.chmod(0o755)
    argv = ("sh", ROOT / "toolchains/windows/extension.sh", tmp_path, tmp_path / "a.cp313-win_any.pyd", "a.c")
    subprocess.run(argv, check=True, env={"PATH": "/usr/bin:/bin", "ZIG": str(zig)})
    dlltool, compiler = (tmp_path / "zig.log").read_text().splitlines()
    return dlltool, compiler, set((tmp_path / "math.def").read_text().split("EXPORTS\n")[1].split())


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_it_calls_a_machine_what_the_recipes_do(tmp_path: Path, target: Target) -> None:
    dlltool, compiler, _ = made(tmp_path, PE_MACHINES[target.arch])
    assert dlltool.startswith(f"dlltool -m {machine_of(target).dlltool} -d ")
    assert compiler.startswith(f"cc -target {target.zig} ")


def test_every_machine_is_tried() -> None:
    assert PE_MACHINES.keys() == MACHINES.keys() == {target.arch for target in TARGETS}


@pytest.mark.parametrize("arch", MACHINES)
def test_functions_of_floats_are_the_c_runtimes_where_it_has_them(tmp_path: Path, arch: str) -> None:
    """mingw-w64's api-ms-win-crt-math-l1-1-0.def.in marks the others of these F_NON_I386: a module that imports one is not loaded."""
    names = made(tmp_path, PE_MACHINES[arch])[2]
    assert names - FLOATS == {name.removesuffix("f") for name in FLOATS}
    assert names & FLOATS == (FLOATS if arch != "i686" else {"exp2f", "log2f"})
