"""The ZIP, the MSI and the feeds of the real distribution for Windows: installers get the tree of the archive, each in its way."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import lief
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
from tests.test_steps import EPOCH, STEPS, load
from tests.test_steps_installers import TRIPLE, distribution

CELL = parse_cell(f"{WINDOWS}:noopt", MATRIX)
KINDS = ("zip", "msi")
PROGRAMS = ("wixl", "msibuild")
"""Of the step."""
NAME = f"freestanding-{CELL.minor}-64"
FOLDER = f"Programs/{NAME}"
USUAL = rf"%LocalAppData%\Programs\{NAME}"
CHOSEN, OTHER = r"C:\chosen", r"C:\other"
KEY = rf"Software\Python\freestanding\{CELL.minor}-64"
LATER = f"{CELL.minor}.99"
LOOK = """
import os, sys, winreg

def value(key, name):
    try:
        with winreg.OpenKey(winreg.HKEY_CURRENT_USER, key) as found:
            return winreg.QueryValueEx(found, name)[0]
    except OSError:
        return None

key, place = sys.argv[1:]
same = value(key + r"\\InstallPath", "ExecutablePath") == place + r"\\python.exe"
print("found", value(key, "Version"), same, sum(len(files) for _, _, files in os.walk(place)), os.path.isdir(place), flush=True)
"""
RUN = "import ssl, sys; print('ran', sys.prefix, sys.version.split()[0], ssl.OPENSSL_VERSION.split()[0], flush=True)"


class Windows:
    """Commands for one run of wine: what it writes to its registry may be lost when a program is the last."""

    def __init__(self, wine: Wine, place: Path, tree: Path) -> None:
        self.wine, self.place = wine, place
        (place / "look.py").write_text(LOOK)
        self.python = rf'"{wine.name(tree)}\python.exe" -B {wine.name(place / "look.py")} {KEY}'
        self.lines = ["@echo off"]

    def msiexec(self, option: str, msi: Path, *settings: str) -> None:
        self.lines.append(" ".join(("start /wait msiexec", option, self.wine.name(msi), *settings, "/qn")))

    def look(self, folder: str) -> None:
        """Says version, whether the folder is the registered one, its number of files, is it there."""
        self.lines.append(f'{self.python} "{folder}"')

    def start(self, folder: str) -> None:
        """Says where the folder's Python thinks it is, its version, and whose TLS it has."""
        self.lines.append(rf'"{folder}\python.exe" -B -c "{RUN}"')

    def run(self) -> tuple[list[list[str]], str]:
        """What was said, by lines and words; and all output."""
        (self.place / "run.bat").write_bytes("\r\n".join([*self.lines, ""]).encode())
        argv = self.wine.argv("cmd", "/c", self.wine.name(self.place / "run.bat"))
        done = subprocess.run(argv, capture_output=True, text=True, timeout=1800)
        said = [line.split() for line in done.stdout.splitlines() if line.startswith(("found ", "ran "))]
        return said, done.stdout + done.stderr


@pytest.fixture(scope="module")
def programs() -> None:
    """The MSI needs wixl, the look into it msitools."""
    missing = [name for name in (*PROGRAMS, "msiextract", "msiinfo") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not on this machine: apt-get install wixl msitools")


@pytest.fixture(scope="module")
def made(first: Checkout, programs: None) -> dict[str, Path]:
    """The archive, the ZIP and the MSI in dist/, by the end of their names."""
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


@pytest.mark.whole
def test_the_zip_has_the_archives_tree(made: dict[str, Path], archived: dict[str, str], tmp_path: Path) -> None:
    unpack(made["zip"], tmp_path / "tree")
    assert files(tmp_path / "tree") == archived


@pytest.mark.whole
def test_the_msi_has_the_archives_tree(made: dict[str, Path], archived: dict[str, str], tmp_path: Path) -> None:
    said("msiextract", "-C", tmp_path, made["msi"])
    assert [path.name for path in tmp_path.iterdir()] == ["Programs"]
    assert files(tmp_path / FOLDER) == archived


def table(msi: Path, name: str) -> list[list[str]]:
    """Its rows."""
    return [line.split("\t") for line in said("msiinfo", "export", msi, name).splitlines()[3:]]


@pytest.mark.whole
def test_the_msi_is_for_one_user_and_of_no_time(made: dict[str, Path]) -> None:
    told = dict(
        line.split(": ", 1) for line in said("msiinfo", "suminfo", made["msi"], env=environment(TZ="UTC")).splitlines() if ": " in line
    )
    assert told["Created"] == told["Last saved"]
    # 2: compressed, 8: asks for no other rights
    assert told["Source"].startswith("10 ")
    properties = dict(table(made["msi"], "Property"))
    assert "ALLUSERS" not in properties
    assert properties["ProductVersion"] == CELL.version
    assert re.fullmatch(r"\{[0-9A-F-]{36}\}", properties["ProductCode"]) and properties["ProductCode"] != told["Revision number (UUID)"]


@pytest.mark.whole
def test_a_second_build_gives_the_same_bytes(first: Checkout, made: dict[str, Path]) -> None:
    done = first.doit("verify", *(f"{kind}:{CELL}" for kind in KINDS), timeout=HOUR)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "2 nodes gave the same bytes twice" in done.stdout


def msi_of(tree: Path, out: Path, triple: str = TRIPLE) -> Path:
    """By the step, of this tree."""
    settings = {name.upper(): shutil.which(name) or "" for name in PROGRAMS}
    said(sys.executable, STEPS / "msi.py", tree, triple, out, env=environment(**settings, SOURCE_DATE_EPOCH=str(EPOCH)))
    return out


def small(place: Path, version: str, triple: str = TRIPLE) -> Path:
    """An MSI of a few files, of another version or content."""
    return msi_of(distribution(place / version, version), place / f"{version}.msi", triple)


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize(("arch", "machine"), [("x86_64", "x64"), ("i686", "Intel"), ("aarch64", "Arm64")])
def test_an_msi_says_for_which_machine_it_is(tmp_path: Path, arch: str, machine: str) -> None:
    summary = said("msiinfo", "suminfo", small(tmp_path, CELL.version, TRIPLE.replace("x86_64", arch)))
    assert f"Template: {machine};1033" in summary.splitlines()


def version_of(path: Path) -> tuple[str, str]:
    """Version and languages of a PE's resource, as lief reads them; of what has none nothing."""
    pe = lief.PE.parse(str(path)) if lief.is_pe(str(path)) else None
    resources = pe.resources_manager if isinstance(pe, lief.PE.Binary) and pe.has_resources else None
    for found in resources.version if isinstance(resources, lief.PE.ResourcesManager) else ():
        most, least = found.file_info.file_version_ms, found.file_info.file_version_ls
        variables = found.var_file_info.vars if found.var_file_info else ()
        languages = [str(value & 0xFFFF) for variable in variables for value in variable.values]
        return f"{most >> 16}.{most & 0xFFFF}.{least >> 16}.{least & 0xFFFF}", ",".join(languages)
    return "", ""


@pytest.mark.whole
def test_files_have_the_versions_of_their_resources(made: dict[str, Path], archived: dict[str, str], tmp_path: Path) -> None:
    """Without one an upgrade would leave out python.exe, of which the old product has one."""
    unpack_archive(made["tar"], tmp_path / "tree")
    identifier = load("msi").identifier
    wanted = {identifier("f", name): version_of(prefix_of(tmp_path / "tree") / name) for name in archived}
    assert {row[0]: (row[4], row[5]) for row in table(made["msi"], "File")} == wanted
    assert wanted[identifier("f", "python.exe")][0].startswith(f"{CELL.minor}.")
    assert {row[0] for row in table(made["msi"], "MsiFileHash")} == {name for name, version in wanted.items() if version == ("", "")}


@pytest.mark.whole
def test_no_feature_has_too_many_components(made: dict[str, Path]) -> None:
    """1,600 are allowed (ICE47); all features are wanted always: 1 is the level, 16 forbids to leave one out."""
    features = {row[0]: (row[5], int(row[7]) & 16) for row in table(made["msi"], "Feature")}
    assert set(features.values()) == {("1", 16)}
    owners = {row[1]: row[0] for row in table(made["msi"], "FeatureComponents")}
    assert {*owners} == {row[0] for row in table(made["msi"], "Component")}
    counts = Counter(owners.values())
    assert {*counts} <= {*features} and max(counts.values()) <= 1000 < sum(counts.values())


@pytest.mark.whole
def test_it_looks_for_an_earlier_folder(made: dict[str, Path]) -> None:
    """In its own key, which it writes. The folder that is asked for wins; by AppSearch alone it would not."""
    [[signature, root, key, name, kind]] = table(made["msi"], "RegLocator")
    assert (root, name, kind) == ("1", "INSTALLDIR", "0")
    assert table(made["msi"], "AppSearch") == [["PREVIOUSDIR", signature]]
    assert [row[4] for row in table(made["msi"], "Registry") if row[1:4] == ["1", key, name]] == ["[INSTALLDIR]"]
    for sequence in ("InstallUISequence", "InstallExecuteSequence"):
        actions = [row[:2] for row in sorted(table(made["msi"], sequence), key=lambda row: int(row[2]))]
        at = actions.index(["KeepFolder", "PREVIOUSDIR AND NOT INSTALLDIR"])
        assert actions[at - 1] == ["AppSearch", ""]
        assert ["CostInitialize", ""] in actions[at:]
    names = [name for name, *_ in actions]
    assert names.index("InstallInitialize") < names.index("RemoveExistingProducts") < names.index("InstallFiles")


@pytest.mark.whole
def test_it_installs_upgrades_and_goes_under_wine(made: dict[str, Path], archived: dict[str, str], wine: Wine, tmp_path: Path) -> None:
    unpack_archive(made["tar"], tmp_path / "another")
    windows = Windows(wine, tmp_path, prefix_of(tmp_path / "another"))
    whole = shutil.copyfile(made["msi"], tmp_path / "whole.msi")
    build, newer = small(tmp_path, CELL.version), small(tmp_path, LATER)
    for option, msi in (("/i", whole), ("/i", build), ("/i", newer), ("/i", whole), ("/x", newer)):
        windows.msiexec(option, msi)
        windows.look(USUAL)
        if len(windows.lines) == 3:
            windows.start(USUAL)
    found, output = windows.run()
    few = str(len(files(tmp_path / CELL.version)))
    [place] = [words[1] for words in found if words[0] == "ran"] or [""]
    assert found == [
        ["found", CELL.version, "True", str(len(archived)), "True"],
        ["ran", place, CELL.version, "OpenSSL"],
        # another build of the same version takes its place
        ["found", CELL.version, "True", few, "True"],
        ["found", LATER, "True", few, "True"],
        # the older one is refused
        ["found", LATER, "True", few, "True"],
        ["found", "None", "False", "0", "False"],
    ], output
    assert re.fullmatch(rf"C:\\.*\\Programs\\{re.escape(NAME)}", place), output


@pytest.mark.whole
def test_an_upgrade_keeps_programs_and_folder_under_wine(
    made: dict[str, Path], archived: dict[str, str], wine: Wine, tmp_path: Path
) -> None:
    """From one real tree to another, whose programs have the same versions; in a folder that was chosen for the first."""
    unpack_archive(made["tar"], tmp_path / "another")
    tree = prefix_of(tmp_path / "another")
    windows = Windows(wine, tmp_path, tree)
    shutil.copytree(tree, tmp_path / "later")
    install = tmp_path / "later/__install__.json"
    install.write_text(install.read_text().replace(CELL.version, LATER))
    (tmp_path / "later/Lib/os.py").write_text("# another\n" + (tree / "Lib/os.py").read_text())
    whole, later = shutil.copyfile(made["msi"], tmp_path / "whole.msi"), msi_of(tmp_path / "later", tmp_path / "later.msi")
    last = small(tmp_path, f"{CELL.minor}.100")
    for option, msi, folder, settings in (
        ("/i", whole, CHOSEN, (f"INSTALLDIR={CHOSEN}",)),
        ("/i", later, CHOSEN, ()),
        ("/i", last, OTHER, (f"INSTALLDIR={OTHER}",)),
    ):
        windows.msiexec(option, msi, *settings)
        windows.look(folder)
        if msi != last:
            windows.start(folder)
    for folder in (CHOSEN, USUAL):
        windows.look(folder)
    windows.msiexec("/x", last)
    windows.look(OTHER)
    found, output = windows.run()
    gone = ["False", "0", "False"]
    assert found == [
        ["found", CELL.version, "True", str(len(archived)), "True"],
        ["ran", CHOSEN, CELL.version, "OpenSSL"],
        ["found", LATER, "True", str(len(archived)), "True"],
        ["ran", CHOSEN, CELL.version, "OpenSSL"],
        ["found", f"{CELL.minor}.100", "True", str(len(files(tmp_path / f"{CELL.minor}.100"))), "True"],
        ["found", f"{CELL.minor}.100", *gone],
        ["found", f"{CELL.minor}.100", *gone],
        ["found", "None", *gone],
    ], output


@pytest.fixture(scope="module")
def feeds(first: Checkout, made: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what doit index wrote."""
    out = tmp_path_factory.mktemp("feeds")
    done = first.doit("index", "--url", made["zip"].parent.resolve().as_uri(), "--output", str(out), f"dist:{CELL}")
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.whole
def test_the_feed_says_what_the_tree_says(made: dict[str, Path], archived: dict[str, str], feeds: Path, tmp_path: Path) -> None:
    [entry] = json.loads((feeds / "index.json").read_text())["versions"]
    assert fits(entry, SCHEMA) and set(entry) >= NEEDED
    assert entry["hash"] == {"sha256": hashlib.sha256(made["zip"].read_bytes()).hexdigest()}
    unpack(made["zip"], tmp_path / "tree")
    inside = json.loads((tmp_path / "tree/__install__.json").read_text())
    assert {name: value for name, value in entry.items() if name not in ("url", "hash")} == inside
    targets = {run["target"] for run in entry["run-for"]} | {entry["executable"].removeprefix(".\\")}
    assert targets <= set(archived)


@pytest.mark.whole
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
