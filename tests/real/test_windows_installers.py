"""The ZIP, the MSI and the feeds of the real distribution for Windows: installers get the tree of the archive, each in its way."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from graph.archive import unpack
from graph.machine import Wine
from graph.matrix import parse_cell
from graph.session import Session
from graph.testrun import prefix_of, unpack_archive
from tests.mini import Checkout
from tests.real.conftest import HOUR
from tests.real.machine import environment, said
from tests.real.version import MATRIX, WINDOWS
from tests.test_feeds import NEEDED, SCHEMA, fits
from tests.test_steps import EPOCH, STEPS
from tests.test_steps_installers import TRIPLE, distribution

CELL = parse_cell(f"{WINDOWS}:noopt", MATRIX)
KINDS = ("zip", "msi")
FOLDER = "Programs/freestanding-3.13-64"
LOOK = """
import os, sys, winreg

def value(root, key, name):
    try:
        with winreg.OpenKey(root, key) as found:
            return winreg.QueryValueEx(found, name)[0]
    except OSError:
        return None

place = os.path.expandvars(r"%LocalAppData%\\Programs\\freestanding-3.13-64")
key = r"Software\\Python\\freestanding\\3.13-64"
version = value(winreg.HKEY_CURRENT_USER, key, "Version")
same = value(winreg.HKEY_CURRENT_USER, key + r"\\InstallPath", "ExecutablePath") == place + r"\\python.exe"
print("found", sys.argv[1], version, same, sum(len(files) for _, _, files in os.walk(place)), os.path.isdir(place), flush=True)
"""


@pytest.fixture(scope="module")
def made(first: Checkout) -> dict[str, Path]:
    """The archive, the ZIP and the MSI in dist/, by the end of their names. The MSI needs wixl, the look into it msitools."""
    missing = [name for name in ("wixl", "msiextract", "msiinfo") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not on this machine: apt-get install wixl msitools")
    names = (f"dist:{CELL}", *(f"{kind}:{CELL}" for kind in KINDS))
    done = first.doit(*names, timeout=HOUR)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    session = Session(first.root, {**os.environ, **first.settings})
    nodes = (f"dist:{CELL}", *(f"{kind}:{CELL}" for kind in KINDS))
    assert session.look_up(nodes) == ()
    paths = [path for node in nodes for path in session.archives(node)]
    ends = {"tar": "-install_only_stripped.tar.gz", "zip": "-install_only_stripped.zip", "msi": "-installer.msi"}
    return {kind: next(path for path in paths if path.name.endswith(end)) for kind, end in ends.items()}


@pytest.fixture(scope="module")
def archived(made: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Path and hash of all files of the install_only_stripped archive."""
    place = tmp_path_factory.mktemp("archived") / "tree"
    unpack_archive(made["tar"], place)
    return files(prefix_of(place))


def files(place: Path) -> dict[str, str]:
    paths = (path for path in place.rglob("*") if path.is_file())
    return {path.relative_to(place).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_the_zip_has_the_archives_tree(made: dict[str, Path], archived: dict[str, str], tmp_path: Path) -> None:
    unpack(made["zip"], tmp_path / "tree")
    assert files(tmp_path / "tree") == archived


def test_the_msi_has_the_archives_tree(made: dict[str, Path], archived: dict[str, str], tmp_path: Path) -> None:
    said("msiextract", "-C", tmp_path, made["msi"])
    assert [path.name for path in tmp_path.iterdir()] == ["Programs"]
    assert files(tmp_path / FOLDER) == archived


def test_the_msi_is_for_one_user_and_of_no_time(made: dict[str, Path]) -> None:
    told = dict(
        line.split(": ", 1) for line in said("msiinfo", "suminfo", made["msi"], env=environment(TZ="UTC")).splitlines() if ": " in line
    )
    assert told["Created"] == told["Last saved"]
    # 2: compressed, 8: asks for no other rights
    assert told["Source"].startswith("10 ")
    properties = dict(line.split("\t") for line in said("msiinfo", "export", made["msi"], "Property").splitlines()[3:])
    assert "ALLUSERS" not in properties
    assert properties["ProductVersion"] == CELL.version
    assert re.fullmatch(r"\{[0-9A-F-]{36}\}", properties["ProductCode"]) and properties["ProductCode"] != told["Revision number (UUID)"]


def test_a_second_build_gives_the_same_bytes(first: Checkout, made: dict[str, Path]) -> None:
    done = first.doit("verify", *(f"{kind}:{CELL}" for kind in KINDS), timeout=HOUR)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "2 nodes gave the same bytes twice" in done.stdout


def small(place: Path, version: str, triple: str = TRIPLE) -> Path:
    """An MSI of a few files, of another version or content."""
    settings = {"WIXL": shutil.which("wixl") or "", "SOURCE_DATE_EPOCH": str(EPOCH)}
    out = place / f"{version}.msi"
    said(sys.executable, STEPS / "msi.py", distribution(place / version, version), triple, out, env=environment(**settings))
    return out


@pytest.mark.parametrize(("arch", "machine"), [("x86_64", "x64"), ("i686", "Intel"), ("aarch64", "Arm64")])
def test_an_msi_says_for_which_machine_it_is(made: dict[str, Path], tmp_path: Path, arch: str, machine: str) -> None:
    summary = said("msiinfo", "suminfo", small(tmp_path, CELL.version, TRIPLE.replace("x86_64", arch)))
    assert f"Template: {machine};1033" in summary.splitlines()


def test_it_installs_upgrades_and_goes_under_wine(made: dict[str, Path], archived: dict[str, str], wine: Wine, tmp_path: Path) -> None:
    """In one run: what it writes to its registry may be lost when a program is the last."""
    (tmp_path / "look.py").write_text(LOOK)
    unpack_archive(made["tar"], tmp_path / "another")
    python = rf'"{wine.name(prefix_of(tmp_path / "another"))}\python.exe" -B {wine.name(tmp_path / "look.py")}'
    shutil.copyfile(made["msi"], tmp_path / "whole.msi")
    build, newer = small(tmp_path, CELL.version), small(tmp_path, "3.13.99")
    own = r'"%LocalAppData%\Programs\freestanding-3.13-64\python.exe"'
    steps = [("/i", tmp_path / "whole.msi"), ("/i", build), ("/i", newer), ("/i", tmp_path / "whole.msi"), ("/x", newer)]
    lines = ["@echo off"]
    for number, (option, msi) in enumerate(steps):
        lines += [f"start /wait msiexec {option} {wine.name(msi)} /qn", f"{python} {number}"]
        lines += [f"{own} -c \"import ssl, sys; print('ran', sys.prefix, ssl.OPENSSL_VERSION)\""] if number == 0 else []
    (tmp_path / "run.bat").write_bytes("\r\n".join([*lines, ""]).encode())
    done = subprocess.run(wine.argv("cmd", "/c", wine.name(tmp_path / "run.bat")), capture_output=True, text=True, timeout=900)
    found = [line.split()[2:] for line in done.stdout.splitlines() if line.startswith("found ")]
    few = len(files(tmp_path / CELL.version))
    assert found == [
        [CELL.version, "True", str(len(archived)), "True"],
        # another build of the same version takes its place
        [CELL.version, "True", str(few), "True"],
        ["3.13.99", "True", str(few), "True"],
        # the older one is refused
        ["3.13.99", "True", str(few), "True"],
        ["None", "False", "0", "False"],
    ], done.stdout + done.stderr
    assert re.search(r"^ran C:\\.*\\Programs\\freestanding-3\.13-64 OpenSSL", done.stdout, re.M), done.stdout


@pytest.fixture(scope="module")
def feeds(first: Checkout, made: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what doit index wrote."""
    out = tmp_path_factory.mktemp("feeds")
    done = first.doit("index", "--url", made["zip"].parent.resolve().as_uri(), "--output", str(out), f"dist:{CELL}")
    assert done.returncode == 0, done.stderr
    return out


def test_the_feed_says_what_the_tree_says(made: dict[str, Path], archived: dict[str, str], feeds: Path, tmp_path: Path) -> None:
    [entry] = json.loads((feeds / "index.json").read_text())["versions"]
    assert fits(entry, SCHEMA) and set(entry) >= NEEDED
    assert entry["hash"] == {"sha256": hashlib.sha256(made["zip"].read_bytes()).hexdigest()}
    unpack(made["zip"], tmp_path / "tree")
    inside = json.loads((tmp_path / "tree/__install__.json").read_text())
    assert {name: value for name, value in entry.items() if name not in ("url", "hash")} == inside
    targets = {run["target"] for run in entry["run-for"]} | {entry["executable"].removeprefix(".\\")}
    assert targets <= set(archived)


def test_uv_takes_the_archive_from_the_list(tools: Path, feeds: Path, archived: dict[str, str], tmp_path: Path) -> None:
    """It unpacks what is for Windows on Linux, too, where it is asked for by its whole name. The list is of archives with PDBs."""
    folders = {name: str(tmp_path / name) for name in ("pythons", "bin", "cache")}
    settings = {
        **{"UV_PYTHON_INSTALL_DIR": folders["pythons"], "UV_PYTHON_BIN_DIR": folders["bin"], "UV_CACHE_DIR": folders["cache"]},
        **{"UV_PYTHON_DOWNLOADS_JSON_URL": str(feeds / "uv-downloads.json"), "UV_NO_CONFIG": "1"},
    }
    name = f"cpython-{CELL.version}-windows-x86_64-none"
    shown = said(tools / "bin/uv", "python", "list", "--only-downloads", "--all-platforms", env=environment(**settings))
    assert name in shown
    said(tools / "bin/uv", "python", "install", name, env=environment(**settings))
    found = files(tmp_path / "pythons" / name)
    assert {path: found[path] for path in archived} == archived
    more = {path for path in {*found} - {*archived} if not path.endswith(".pdb")}
    assert len(found) - len(archived) - len(more) > 30
    assert more <= {"BUILD", "Lib/EXTERNALLY-MANAGED", "python", f"python{CELL.minor}"}
