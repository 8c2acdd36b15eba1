"""The programs of the toolchain add-on, run with a zig that only prints what it was called with."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from graph.recipes.toolchain_addon import PROGRAMS

DRIVER = Path(__file__).resolve().parent.parent / "toolchains/addon/driver.sh"
FAKE_ZIG = '#!/bin/sh\nprintf "%s\\n" "$@"\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An unpacked add-on at a path with a space and a letter beyond ASCII."""
    place = tmp_path / "ünpacked here/toolchain"
    (place / "bin").mkdir(parents=True)
    (place / "libexec").mkdir()
    (place / "libexec/zig").write_text(FAKE_ZIG)
    (place / "libexec/zig").chmod(0o755)
    for name in PROGRAMS:
        shutil.copy(DRIVER, place / "bin" / name)
    return place


def call(*argv: str | Path, cwd: Path | None = None, **env: str) -> list[str]:
    path = {"PATH": os.environ["PATH"], **env}
    return subprocess.run(argv, cwd=cwd, env=path, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_name_chooses_the_part_of_zig(root: Path, name: str) -> None:
    config = f"--config={root}/clang.cfg"
    expected = {"ld": ["ld.lld"], "ld.lld": ["ld.lld"], **{f"{llvm}{name}": [name] for name in ("ar", "ranlib") for llvm in ("", "llvm-")}}
    cxx = ["clang", "--driver-mode=g++", config]
    assert call(root / "bin" / name, "x") == [*expected.get(name, cxx if "+" in name else ["clang", config]), "x"]


def test_arguments_arrive_whole(root: Path) -> None:
    given = ["-O2", '-DTEXT="a b"', "$HOME", "*", "", "-o", "out file", "@list of files"]
    assert call(root / "bin/cc", *given)[2:] == given


def test_links_to_it_are_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b/c++").symlink_to(root / "bin/c++")
    (tmp_path / "g++").symlink_to("a b/c++")
    (tmp_path / "tree").symlink_to(root)
    expected = ["clang", "--driver-mode=g++", f"--config={root}/clang.cfg"]
    assert call(tmp_path / "g++") == call(tmp_path / "a b/c++") == call(tmp_path / "tree/bin/c++") == expected


def test_it_is_found_on_the_path_and_by_a_relative_name(root: Path, tmp_path: Path) -> None:
    expected = ["clang", f"--config={root}/clang.cfg"]
    assert call("cc", PATH=f"{root}/bin:{os.environ['PATH']}") == expected
    assert call("./cc", cwd=root / "bin") == call("bin/cc", cwd=root) == expected
    assert call("cc", cwd=root, PATH=f"bin:{os.environ['PATH']}", CDPATH=f"{tmp_path}") == expected


def test_it_needs_no_program_but_sh(root: Path, tmp_path: Path) -> None:
    assert call(root / "bin/cc", PATH=str(tmp_path)) == ["clang", f"--config={root}/clang.cfg"]
