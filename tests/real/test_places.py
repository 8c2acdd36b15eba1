"""A distribution finds itself: anywhere, through links, with any argv[0], in every virtual environment; and names no other place."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from graph.audit import members
from tests.mini import Checkout
from tests.real.conftest import archive
from tests.real.landed import command_wheel
from tests.real.version import CELL, MINOR

FOREIGN = re.compile(rb"(?<![\w.})/-])/(?:build|install)(?![\w.-])")
"""The sandbox, and the prefix of configure, as absolute paths (.../operations/install is neither)."""
PROBE = """
import ctypes, json, os, sqlite3, ssl, sys, sysconfig
print(json.dumps({
    "prefix": sys.prefix, "base": sys.base_prefix, "stdlib": os.path.dirname(os.__file__), "executable": sys.executable,
    "programs": [os.access(name, os.X_OK) for name in (sys.executable, sys._base_executable)],
    "libdir": sysconfig.get_config_var("LIBDIR"),
}))
"""
SETTINGS = "import json, sysconfig as s; print(json.dumps({**s.get_config_vars(), **s.get_paths()}))"
OF_THE_SYSTEM = {"SHELL": "/bin/sh -e", "TZPATH": "/usr/share/zoneinfo:/usr/lib/zoneinfo:/usr/share/lib/zoneinfo:/etc/zoneinfo"}


def probe(*argv: str | Path, program: Path | None = None, **env: str) -> dict[str, Any]:
    """What an interpreter says of itself; it must say nothing else."""
    done = subprocess.run([*argv, "-c", PROBE], executable=program, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", **env})
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return dict(json.loads(done.stdout))


def belongs(found: dict[str, Any], prefix: Path) -> None:
    """All that was found lies in the one distribution, and the programs are there."""
    assert found["programs"] == [True, True]
    for name in ("base", "stdlib", "libdir"):
        assert Path(found[name]).resolve().is_relative_to(prefix.resolve()), found


@pytest.mark.parametrize("flavour", ["install_only", "install_only_stripped", "full"])
def test_no_file_names_a_place_of_the_build(first: Checkout, flavour: str) -> None:
    """PYTHON.json of the full archive lies above the prefix: its readers know /install."""
    prefix = "python/install/" if flavour == "full" else "python/"
    with members(archive(first, flavour)) as stream:
        files = ((member.name, data) for member, data in stream if member.isreg() and member.name.startswith(prefix))
        found = {name: set(FOREIGN.findall(data)) for name, data in files}
    # CPython's own tests make up paths of an /install, and build in a folder /build
    assert {name: what for name, what in found.items() if what and "/test/" not in name} == {}
    assert len(found) > 2000


def strays(prefix: Path, python: Path) -> dict[str, str]:
    """Settings that name an absolute path which lies neither below the prefix nor is the system's."""
    shown = subprocess.run(
        [python, "-c", SETTINGS], capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin", "HOME": "/h"}
    )
    values = {name: value for name, value in json.loads(shown.stdout).items() if isinstance(value, str) and name != "userbase"}
    assert len(values) > 400
    outside = re.compile(r"(?:(?<![\w.})/-])|(?<=-[ILR]))/\w")
    return {
        name: value
        for name, value in values.items()
        if value != OF_THE_SYSTEM.get(name) and outside.search(value.replace(str(prefix), "PREFIX"))
    }


def test_sysconfig_shows_paths_of_the_prefix_only(moved: Path, tmp_path: Path) -> None:
    assert strays(moved, moved / "bin/python3") == {}
    place = tmp_path / "and once more/moved"
    place.parent.mkdir()
    subprocess.run(["cp", "-al", moved, tmp_path / "copy"], check=True)
    assert strays(tmp_path / "copy", tmp_path / "copy/bin/python3") == {}
    (tmp_path / "copy").rename(place)
    assert strays(place, place / "bin/python3") == {}
    shown = subprocess.run([place / "bin/python3", "-m", "sysconfig"], capture_output=True, text=True, check=True)
    assert f'\tLIBDIR = "{place}/lib"\n' in shown.stdout
    assert FOREIGN.search(shown.stdout.encode()) is None


@pytest.fixture
def ways(moved: Path, tmp_path: Path) -> dict[str, Path]:
    """Names by which one interpreter may be started."""
    links = tmp_path / "links"
    (links / "a folder").mkdir(parents=True)
    (links / "py").symlink_to(moved / "bin/python3")
    (links / "a folder/py-2").symlink_to("../py")
    (links / "tree").symlink_to(moved)
    return {
        "as it is": moved / "bin/python3",
        "python": moved / "bin/python",
        "link": links / "py",
        "link to a link": links / "a folder/py-2",
        "tree by a link": links / "tree/bin/python3",
    }


WAYS = ("as it is", "python", "link", "link to a link", "tree by a link")


@pytest.mark.parametrize("way", WAYS)
def test_by_any_name(moved: Path, ways: dict[str, Path], way: str) -> None:
    found = probe(ways[way])
    belongs(found, moved)
    assert found["executable"] == str(ways[way])
    assert found["prefix"] == found["base"]


@pytest.mark.parametrize("argv0", ["/dev/null", "", "no-such-program", "no/such/program", "python3"])
def test_with_any_first_argument(moved: Path, argv0: str) -> None:
    """python3 is another program on PATH, perhaps: an existing name is believed, as upstream does, for wrappers use it."""
    found = probe(argv0, program=moved / "bin/python3")
    belongs(found, moved)
    if "no" in argv0 or "null" in argv0:
        assert found["executable"] == str(moved / f"bin/python{CELL.ldversion}")


@pytest.mark.parametrize("options", [(), ("--copies",), ("--system-site-packages", "--symlinks")], ids=["links", "copies", "system-site"])
@pytest.mark.parametrize("way", WAYS)
def test_a_virtual_environment_and_one_made_from_it(
    moved: Path, ways: dict[str, Path], tmp_path: Path, way: str, options: tuple[str, ...]
) -> None:
    one, two = tmp_path / "é one", tmp_path / "two"
    subprocess.run([ways[way], "-m", "venv", "--without-pip", *options, one], check=True)
    found = probe(one / "bin/python")
    belongs(found, moved)
    assert (found["prefix"], found["executable"]) == (str(one), str(one / "bin/python"))
    subprocess.run([one / "bin/python", "-m", "venv", "--without-pip", *options, two], check=True)
    found = probe(two / "bin/python")
    belongs(found, moved)
    assert found["prefix"] == str(two)


def test_libraries_of_another_distribution_on_the_library_path(moved: Path, tmp_path: Path) -> None:
    """Not even those of the same names are taken."""
    for library in (moved / "lib").glob("lib*.so*"):
        (tmp_path / library.name).write_text("no library")
    assert len(list(tmp_path.iterdir())) > 5
    code = "import _tkinter, curses, readline, sys, _hashlib, ssl; print(sys.prefix)"
    assert said(moved / "bin/python3", "-c", code, LD_LIBRARY_PATH=str(tmp_path)) == f"{moved}\n"


def test_a_pth_file_beside_the_interpreter(moved: Path, tmp_path: Path) -> None:
    """It alone says where modules are, relative to its place, and shuts out the environment."""
    prefix = tmp_path / "own/python"
    prefix.parent.mkdir()
    subprocess.run(["cp", "-al", moved, prefix], check=True)
    (prefix / f"bin/python{CELL.ldversion}._pth").write_text(f"../{CELL.lib}\n../{CELL.lib}/lib-dynload\n../../more\n")
    code = "import ssl, sys; print(sys.flags.isolated, *sys.path, sep='\\n')"
    shown = subprocess.run(
        [prefix / f"bin/python{CELL.ldversion}", "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": "/elsewhere"}
    ).stdout.splitlines()
    places = [prefix / CELL.lib, prefix / CELL.lib / "lib-dynload", tmp_path / "own/more"]
    assert shown == ["1", *map(str, places)]


def said(*argv: str | Path, **env: str) -> str:
    env = {"PATH": "/usr/bin:/bin", "HOME": "/h", **env}
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_pip_as_shipped_works_after_the_move(moved: Path, tmp_path: Path) -> None:
    """The commands too, through a link; and there is no EXTERNALLY-MANAGED file: what was unpacked belongs to who unpacked it."""
    prefix = tmp_path / "own copy/python"
    prefix.parent.mkdir()
    subprocess.run(["cp", "-a", moved, prefix], check=True)
    (tmp_path / "pip-link").symlink_to(prefix / "bin/pip3")
    said(tmp_path / "pip-link", "install", "--no-index", "--disable-pip-version-check", command_wheel(tmp_path))
    assert said(prefix / "bin/small") == "small indeed\n"
    assert f"from {prefix}/{CELL.lib}/site-packages/pip (python {MINOR})" in said(prefix / "bin/pip", "--version")
    assert "Uninstalling small-1.0" in said(prefix / "bin/python3", "-m", "pip", "uninstall", "-y", "--root-user-action=ignore", "small")
    assert list(prefix.rglob("EXTERNALLY-MANAGED")) == []


@pytest.mark.parametrize("script", ["pip", f"pip{MINOR}", "pydoc3", "python3-config"])
def test_scripts_run_after_the_move(moved: Path, script: str) -> None:
    assert said(moved / "bin" / script, *(["--help"] if "pydoc" not in script else ["os.path.join"]))


def test_every_script_finds_the_interpreter_beside_it(moved: Path) -> None:
    heads = {path.name: path.read_bytes()[:64] for path in (moved / "bin").iterdir() if path.is_file()}
    scripts = {name: head for name, head in heads.items() if head.startswith(b"#!")}
    assert {"pip3", f"idle{MINOR}", f"pydoc{MINOR}", f"python{CELL.ldversion}-config"} <= set(scripts)
    assert {head.splitlines()[0] for head in scripts.values()} == {b"#!/bin/sh"}
    assert {str((moved / "bin" / name).readlink()) for name in ("python", "python3")} == {f"python{CELL.ldversion}"}


def test_the_makefile_of_the_config_folder(moved: Path, tmp_path: Path) -> None:
    (tmp_path / "own.mk").write_text("show:\n\t@echo '$(LIBPL)'\n")
    [folder] = (moved / CELL.lib).glob(f"config-{CELL.ldversion}-*")
    assert said("make", "-s", "-f", folder / "Makefile", "-f", tmp_path / "own.mk", "show") == f"{folder}\n"


def test_build_details_lead_to_files(moved: Path) -> None:
    folder = moved / CELL.lib
    details = json.loads((folder / "build-details.json").read_text())
    prefix = (folder / details["base_prefix"]).resolve()
    assert prefix == moved.resolve()
    paths = [details["base_interpreter"], *details["c_api"].values()]
    # the debug ABI has no libpython3.so
    shared = ("dynamic", *(() if "d" in CELL.abiflags else ("dynamic_stableabi",)))
    paths += [details["libpython"][name] for name in shared]
    assert [path for path in paths if path.startswith("/") or not (prefix / path).exists()] == []
    assert f'"{details["abi"]["extension_suffix"]}"' in said(moved / "bin/python3", "-m", "sysconfig")
