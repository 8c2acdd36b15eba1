"""Tools that install this distribution for their users take it as it is: nothing is left to mend, and what they change does no harm."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from graph.testrun import prefix_of, unpack_archive
from tests.mini import Checkout
from tests.real.conftest import DIST, Folder, archive
from tests.real.machine import environment, said
from tests.real.packages import PACKAGES, REQUIREMENTS, stock
from tests.real.version import MINOR, VERSION

DATA = f"lib/python{MINOR}/_sysconfigdata__linux_x86_64-linux-gnu.py"
SETTINGS = "import json, sysconfig as s; print(json.dumps({**s.get_config_vars(), **s.get_paths()}, ensure_ascii=False))"
MARKUPSAFE = tuple(package for package in PACKAGES if package.name == "markupsafe")


@pytest.fixture(scope="module")
def unpacked(first: Checkout, folder: Folder) -> Path:
    place = folder("unpacked") / "here"
    unpack_archive(archive(first, "install_only"), place)
    return prefix_of(place)


@dataclass(frozen=True, slots=True)
class Uv:
    """uv with folders of its own."""

    program: Path
    top: Path
    env: dict[str, str]

    def __call__(self, *argv: str | Path) -> str:
        return said(self.program, *argv, env=self.env, cwd=self.top)

    @property
    def prefix(self) -> Path:
        return self.top / f"pythons/cpython-{VERSION}-linux-x86_64-gnu"


@pytest.fixture(scope="module")
def uv(first: Checkout, tools: Path, folder: Folder) -> Uv:
    """With this distribution installed in a folder with a space and letters beyond ASCII."""
    top = folder("uv") / "bei ürgendwem"
    top.mkdir()
    listed = first.doit("index", "--url", (first.root / "dist").resolve().as_uri(), "--output", str(top), DIST)
    assert listed.returncode == 0, listed.stderr
    folders = {name: str(top / name) for name in ("pythons", "bin", "cache")}
    settings = {
        **{"UV_PYTHON_INSTALL_DIR": folders["pythons"], "UV_PYTHON_BIN_DIR": folders["bin"], "UV_CACHE_DIR": folders["cache"]},
        **{"UV_PYTHON_DOWNLOADS_JSON_URL": str(top / "uv-downloads.json"), "UV_PYTHON_PREFERENCE": "only-managed", "UV_NO_CONFIG": "1"},
    }
    made = Uv(tools / "bin/uv", top, environment(**settings))
    made("python", "install", MINOR)
    return made


def tree(prefix: Path) -> dict[str, tuple[object, ...]]:
    """Every file and link below: path -> mode and bytes, or where it leads."""
    found: dict[str, tuple[object, ...]] = {}
    for path in prefix.rglob("*"):
        name = path.relative_to(prefix).as_posix()
        if path.is_symlink():
            found[name] = ("link", path.readlink().as_posix())
        elif path.is_file():
            found[name] = (path.stat().st_mode & 0o777, hashlib.sha256(path.read_bytes()).hexdigest())
    return found


def values(file: Path) -> dict[str, object]:
    """build_time_vars as installers read them: by running the text, which has no place then."""
    names: dict[str, Any] = {}
    exec(file.read_text(encoding="utf-8"), names)
    return dict(names["build_time_vars"])


def test_uv_has_nothing_to_rewrite(uv: Uv, unpacked: Path) -> None:
    """It writes _sysconfigdata again, but every value in it stays as it was; the two other files are its own."""
    before, after = tree(unpacked), tree(uv.prefix)
    assert set(after) - set(before) == {"BUILD", f"lib/python{MINOR}/EXTERNALLY-MANAGED"}
    assert set(before) - set(after) == set()
    assert {name for name in before if before[name] != after[name]} == {DATA}
    assert values(uv.prefix / DATA) == {**values(unpacked / DATA), "PYTHON_BUILD_STANDALONE": 1}


def settings(prefix: Path) -> dict[str, object]:
    shown = said(prefix / "bin/python3", "-I", "-c", SETTINGS, env={"LANG": "C.UTF-8", "HOME": "/h"})
    return {name: value.replace(str(prefix), "PREFIX") if isinstance(value, str) else value for name, value in json.loads(shown).items()}


def test_build_settings_are_right_after_uv_and_after_a_move(uv: Uv, unpacked: Path, tmp_path: Path) -> None:
    place = tmp_path / "und danach/verschoben, weit"
    said("cp", "-a", unpacked, tmp_path / "copy")
    place.parent.mkdir()
    (tmp_path / "copy").rename(place)
    plain = settings(place)
    rewritten = settings(uv.prefix)
    assert rewritten.pop("PYTHON_BUILD_STANDALONE") == 1
    assert rewritten == plain
    said("cp", "-a", uv.prefix, tmp_path / "once more, ü")
    assert settings(tmp_path / "once more, ü") == {**plain, "PYTHON_BUILD_STANDALONE": 1}


def test_uv_makes_environments_builds_and_runs(uv: Uv, unpacked: Path, tmp_path: Path) -> None:
    house = stock(unpacked / "bin/python3", tmp_path / "house", MARKUPSAFE, [name for name in REQUIREMENTS if "setuptools" in name])
    venv = tmp_path / "an environment"
    uv("venv", "--python", MINOR, venv)
    [package] = MARKUPSAFE
    source = ("--no-index", "--find-links", house, "--no-binary", package.name)
    uv("pip", "install", "--python", venv, *source, f"{package.name}=={package.version}")
    code = "import markupsafe._speedups, os, sys; print(os.path.realpath(sys.base_prefix))"
    assert said(venv / "bin/python", "-c", code, env={"LANG": "C.UTF-8"}) == f"{uv.prefix}\n"
    run = ("run", "--no-project", "--python", MINOR, "--no-index", "--find-links", house, "--with", package.name, "python", "-c", code)
    assert uv(*run).splitlines()[-1] == str(uv.prefix)


def test_pbs_installer_unpacks_the_same_tree(first: Checkout, tools: Path, unpacked: Path, tmp_path: Path) -> None:
    """What PDM installs Pythons with."""
    code = "import sys; from pbs_installer import install_file; install_file(*sys.argv[1:])"
    said(sys.executable, "-c", code, archive(first, "install_only"), tmp_path / "there", env=environment(PYTHONPATH=str(tools)))
    assert tree(tmp_path / "there") == tree(unpacked)
