"""Extension modules for the distribution for Windows, compiled on this machine by toolchains/windows/extension.sh (docs/windows.md)."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import lief
import pytest

from graph.machine import Wine
from graph.testrun import prefix_of, unpack_archive
from tests.mini import ROOT, Checkout
from tests.real.machine import environment, said
from tests.real.test_windows import archive_of, exports, imports, parsed, trees
from tests.real.version import WINDOWS_ARM

SCRIPT = ROOT / "toolchains/windows/extension.sh"
SOURCES = Path(__file__).parent / "extension_windows"
MODULES = {
    "answers.cp313-win_amd64.pyd": ("answers.c", "python313"),
    "limited.pyd": ("limited.c", "python3"),
    "sorted_words.cp313-win_amd64.pyd": ("sorted_words.cpp", "python313"),
}
"""Module -> its source, and the only DLL that it needs beside Windows' own. C++ has its library inside, which takes minutes to compile."""
OWN_OF_ZIG = {"exp", "log", "log2", "log10", "sin", "cos", "tan", "pow", "fmod"}
"""What the script keeps zig from linking, as far as a module of these calls it."""


@pytest.fixture(scope="module")
def prefix(first: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The distribution, unpacked on this machine."""
    place = tmp_path_factory.mktemp("extension") / "with a space"
    unpack_archive(archive_of(first, "install_only_stripped"), place)
    return prefix_of(place)


@pytest.fixture(scope="module")
def zig(first: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Environment: the zig that the add-on has, with its library; it keeps what it compiled."""
    cache = str(tmp_path_factory.mktemp("zig"))
    program = str(trees(first, "toolchain:zig")[0] / "zig")
    return environment(ZIG=program, ZIG_GLOBAL_CACHE_DIR=cache, ZIG_LOCAL_CACHE_DIR=cache)


@pytest.fixture(scope="module")
def built(prefix: Path, zig: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The modules."""
    place = tmp_path_factory.mktemp("built")
    for name, (source, _) in MODULES.items():
        said("sh", SCRIPT, prefix, place / name, SOURCES / source, env=zig, timeout=1800)
    assert {path.name for path in place.iterdir()} == MODULES.keys()
    return place


@pytest.mark.whole
@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_what_every_python_of_windows_has(built: Path, prefix: Path, name: str) -> None:
    """Windows' own, and of Python's DLL what ours exports; test_windows_exports.py compares that with upstream's sources."""
    found = imports(parsed(built / name))
    library = MODULES[name][1]
    assert {other for other in found if not other.startswith("api-ms-win-crt-")} == {"KERNEL32", library}
    assert found[library] - exports(parsed(prefix / f"{library}.dll")).keys() == set()
    assert exports(parsed(built / name)).keys() == {f"PyInit_{name.partition('.')[0]}"}


@pytest.mark.whole
def test_mathematics_are_the_c_runtimes(built: Path) -> None:
    found = imports(parsed(built / "answers.cp313-win_amd64.pyd"))["api-ms-win-crt-math-l1-1-0"]
    assert found == OWN_OF_ZIG


@pytest.mark.whole
def test_a_module_for_arm_is_for_arm(first: Checkout, zig: Mapping[str, str], tmp_path: Path) -> None:
    """What the distribution is for, the module is for."""
    unpack_archive(archive_of(first, "install_only_stripped", WINDOWS_ARM), tmp_path / "place")
    made = tmp_path / "answers.cp313-win_arm64.pyd"
    said("sh", SCRIPT, prefix_of(tmp_path / "place"), made, SOURCES / "answers.c", env=zig, timeout=1800)
    found = imports(parsed(made))
    assert parsed(made).header.machine == lief.PE.Header.MACHINE_TYPES.ARM64
    assert {name for name in found if not name.startswith("api-ms-win-crt-")} == {"KERNEL32", "python313"}
    assert found["api-ms-win-crt-math-l1-1-0"] == OWN_OF_ZIG


@pytest.mark.whole
def test_the_modules_say_what_the_interpreter_says(built: Path, prefix: Path, wine: Wine) -> None:
    argv = (str(prefix / "python.exe"), "-I", wine.name(SOURCES / "check.py"), wine.name(built))
    done = subprocess.run(wine.argv(*argv), capture_output=True, text=True, timeout=600)
    # (a new prefix says what it makes)
    assert done.stdout.splitlines()[-1:] == ["right"], done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "usage: extension.sh PREFIX OUT WORD..."),
        (("/nowhere", "a.pyd", "a.c"), "extension.sh: /nowhere: no distribution for Windows"),
        (("/nowhere", "a.dll", "a.c"), "extension.sh: a.dll: an extension module's name ends in .pyd"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_compiled(words: tuple[str, ...], message: str) -> None:
    done = subprocess.run(["sh", SCRIPT, *words], capture_output=True, text=True, env=environment(ZIG="false"))
    assert done.returncode == 2 and message in done.stderr
