"""Wheels of the package index for Windows: the list (wheels.toml), what is read from the files, and the table of docs/windows.md.

    python -m tests.real.wheels

prints the table.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from graph.binaries import read_binaries
from graph.facts import Binary
from graph.toml import loads
from tests.real.machine import patiently, said

DATA = Path(__file__).with_name("wheels.toml")
PLATFORM = ("--platform", "win_amd64", "--python-version", "3.13", "--implementation", "cp", "--only-binary", ":all:")
"""What pip on another system takes for ours; --abi would leave out abi3."""
RUNTIME = re.compile(r"(concrt|mfc|msvcp|msvcr|vccorlib|vcomp|vcruntime)\d+(_\w+)?", re.I)
"""DLLs of Microsoft's compiler, which are no part of Windows."""
ABI3 = "abi3"


@dataclass(frozen=True, slots=True)
class Wheel:
    """One file of the index, and one thing that its native code does."""

    name: str
    version: str
    value: str
    """An expression of Python."""
    gives: str = ""
    """What ascii() makes of its value; a wheel that `ends` does not come to that."""
    before: str = ""
    """Statements that are run before."""
    rank: int = 0
    """Among all packages of the index, by downloads."""
    abi: str = "cp313"
    """Of its extension modules: abi3 is the stable one, of python3.dll."""
    runtime: tuple[str, ...] = ()
    """DLLs of Microsoft's compiler that it imports and does not bring."""
    ends: str = ""
    """A function that wine has not: the program ends when it is called."""

    @property
    def program(self) -> str:
        """Prints the value, then a line for each extension module in the process, by its place in site-packages."""
        return "\n".join(
            (
                "import os, sys, sysconfig",
                self.before,
                f"print('value', ascii({self.value}))",
                "there = sysconfig.get_path('platlib') if len(sys.argv) < 2 else sys.argv[1]",
                "files = [str(getattr(module, '__file__', '') or '') for module in list(sys.modules.values())]",
                "for file in files:",
                "    if file.lower().endswith('.pyd') and os.path.normcase(file).startswith(os.path.normcase(there)):",
                "        print('module', os.path.relpath(file, there).replace(os.sep, '/'))",
                "sys.stdout.flush()",
            )
        )


@dataclass(frozen=True, slots=True)
class Wheels:
    """wheels.toml."""

    listed: tuple[Wheel, ...]
    """That work, in the order of their downloads."""
    newer: tuple[Wheel, ...]
    """Newer versions of some of these, that end."""
    plain: tuple[str, ...]
    """NAME==VERSION of packages without native code that others import."""
    untried: tuple[tuple[str, str], ...]
    """Of the fifty: name, and why it is not among these."""

    @property
    def wanted(self) -> tuple[str, ...]:
        """All that is installed together, as pip takes it."""
        return (*(f"{wheel.name}=={wheel.version}" for wheel in self.listed), *self.plain)


def read_wheels(text: str) -> Wheels:
    """Raises TypeError where a table has a key that no wheel has."""
    table = loads(text)
    listed, newer = (tuple(_wheel(row) for row in table[kind]) for kind in ("wheel", "newer"))
    plain = tuple(f"{name}=={version}" for name, version in table["plain"].items())
    return Wheels(listed, newer, plain, tuple(table["untried"].items()))


def _wheel(row: dict[str, object]) -> Wheel:
    lists = {name: tuple(value) for name, value in row.items() if isinstance(value, list)}
    return Wheel(**{**row, **lists})  # type: ignore[arg-type]


WHEELS = read_wheels(DATA.read_text())


def download(wanted: Iterable[str], house: Path) -> Path:
    """These wheels in a folder, by this machine's pip, from the index that it is set up for."""
    patiently(lambda: said("python3", "-m", "pip", "download", "--quiet", "--no-deps", *PLATFORM, "--dest", house, *wanted, timeout=1200))
    return house


def file_of(wheel: Wheel, house: Path) -> Path:
    """Its file; names of files have other letters than names of packages."""
    [found] = (
        path for path in house.glob("*.whl") if _same(path.name.split("-")[0], wheel.name) and path.name.split("-")[1] == wheel.version
    )
    return found


def _same(one: str, other: str) -> bool:
    return re.sub(r"[-_.]+", "-", one).lower() == re.sub(r"[-_.]+", "-", other).lower()


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """The DLLs and extension modules of a wheel, by the name that they are installed under."""
    with zipfile.ZipFile(path) as packed:
        for name in packed.namelist():
            if name.lower().endswith((".dll", ".pyd")):
                yield re.sub(r"^[^/]+\.data/(?:platlib|purelib)/", "", name), packed.read(name)


def binaries(path: Path) -> list[Binary]:
    """Facts of these."""
    return [binary for name, data in members(path) for binary in read_binaries(name, data)]


def abi_of(path: Path) -> str:
    """The tag: cp313, or abi3."""
    return path.stem.split("-")[-2]


def runtime_of(found: Iterable[Binary]) -> tuple[str, ...]:
    """DLLs of Microsoft's compiler that a wheel's files import and that are not among them."""
    files = list(found)
    brought = {Path(binary.path).name.lower() for binary in files}
    needed = {name.lower() for binary in files for name in binary.needed} - brought
    stems = {name.removesuffix(".dll") for name in needed}
    return tuple(sorted(stem for stem in stems if RUNTIME.fullmatch(stem)))


def render(wheels: Wheels = WHEELS) -> str:
    """The table, as Markdown."""
    rows = ["| rank | package | version | ABI | needs of Microsoft's |", "|---:|---|---|---|---|"]
    for wheel in wheels.listed:
        needs = ", ".join(wheel.runtime) or "nothing"
        rows.append(f"| {wheel.rank} | {wheel.name} | {wheel.version} | {wheel.abi} | {needs} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(render(), end="")
