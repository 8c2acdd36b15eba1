"""A distribution of any target, unpacked where its programs run, and what its users do with it: pip, a C extension, wheels of the index."""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from graph.machine import Machine
from graph.target import Cell
from graph.testrun import prefix_of, unpack_archive
from tests.real.machine import environment, patiently, said

if TYPE_CHECKING:
    from graph.session import Session

NOTHING: Mapping[str, str] = {}
EXTENSION = Path(__file__).with_name("extension")
BUILD_REQUIREMENTS = ("setuptools==84.2.1", "wheel==0.48.0", "packaging==26.3")
ANSWERS = """
import answers, json, struct, sys, sysconfig
said = answers.of_machine()
assert said == {"pointer": struct.calcsize("P"), "order": sys.byteorder, "root": 2**0.5}, said
assert answers.__file__.endswith(sysconfig.get_config_var("EXT_SUFFIX")), answers.__file__
print(json.dumps({**said, "compiler": sysconfig.get_config_var("CC"), "file": answers.__file__}))
"""
SUMS = """
import numpy
assert numpy.linalg.solve(numpy.array([[3.0, 1], [1, 2]]), [9, 8]).round(9).tolist() == [2, 3]
assert abs(numpy.fft.ifft(numpy.fft.fft(numpy.arange(8.0))).real - numpy.arange(8)).max() < 1e-12
assert numpy.sort(numpy.random.default_rng(1).random(1000))[-1] < 1
assert (numpy.arange(6, dtype=">i4").reshape(2, 3) @ numpy.ones(3)).tolist() == [3.0, 12.0]
print("numpy", numpy.__version__)
"""
LISTS = """
import frozenlist._frozenlist as made
assert made.FrozenList([1, 2]) == [1, 2] and made.__file__.endswith(".so")
print("frozenlist")
"""
MAPS = """
import rpds, rpds.rpds
assert dict(rpds.HashTrieMap({"a": 1}).insert("b", 2)) == {"a": 1, "b": 2}
print("rpds")
"""
MARKUP = """
import markupsafe._speedups as made
assert made._escape_inner("<\xe9>") == "&lt;\xe9&gt;"
print("markupsafe")
"""
_NUMPY, _FROZENLIST, _RPDS = ("numpy==2.4.6", SUMS), ("frozenlist==1.8.0", LISTS), ("rpds-py==2026.9.1", MAPS)
WHEELS: Mapping[str, tuple[tuple[str, str], ...]] = {
    **dict.fromkeys(("x86_64-linux-gnu", "aarch64-linux-gnu", "x86_64-linux-musl", "aarch64-linux-musl"), (_NUMPY, _FROZENLIST)),
    **dict.fromkeys(("powerpc64le-linux-gnu", "s390x-linux-gnu", "arm-linux-gnueabihf"), (_FROZENLIST,)),
    "i386-linux-gnu": (_RPDS,),
    "riscv64-linux-gnu": (_RPDS, ("markupsafe==3.0.4", MARKUP)),
    # none: manylinux armv7l is the hard-float ABI; a tag for loongarch64 exists, wheels do not
    "arm-linux-gnueabi": (),
    "loongarch64-linux-gnu": (),
}
"""Multiarch name -> compiled wheels that the package index has for it, with a program that shows that they work; docs/testing.md."""


@dataclass(frozen=True, slots=True)
class Landed:
    """A distribution in a folder of its own, which it may write to."""

    cell: Cell
    machine: Machine
    place: Path
    """Holds the tree and, beside it, what tests put there."""
    toolchain: Path
    """The target's cross compiler: tc/bin/cc and the sysroot beside it."""
    zig: Path
    system: Path
    """Libraries that wheels may expect of the system (PEP 513's list) and that the machine has not for this processor."""

    @property
    def prefix(self) -> Path:
        return prefix_of(self.place / "tree")

    @property
    def python(self) -> str:
        return str(self.prefix / "bin" / f"python{self.cell.minor}")

    def run(self, *argv: str, timeout: float = 60, env: Mapping[str, str] = NOTHING) -> str:
        """Output of a program of the distribution, run in the target's machine, that ends well. `timeout` is this machine's."""
        limit = timeout * self.machine.patience
        return said(*self.machine.argv(*argv), cwd=self.place, env=environment(**env), timeout=limit).strip()

    def pip(self, *argv: str, env: Mapping[str, str] = NOTHING) -> str:
        """pip as shipped."""
        options = ("--disable-pip-version-check", "--root-user-action=ignore", "--no-cache-dir", "--no-compile")
        return self.run(self.python, "-m", "pip", "install", *options, *argv, timeout=300, env=env)

    def cross(self) -> dict[str, str]:
        """Environment in which `cc`, which is what sysconfig calls the compiler, is the one that built the distribution."""
        target = self.cell.target
        path = f"{self.toolchain}/tc/bin:{environment()['PATH']}"
        return {"PATH": path, "ZIG": str(self.zig), "CLANG_TARGET": target.clang, "CLANG_TARGET_FLAGS": " ".join(target.cpu_flags)}


def machine_of(session: Session, cell: Cell) -> Machine:
    """The target's, its nodes made first."""
    realise(session, session.machine_nodes(cell.target))
    return session.machine(cell.target)


def realise(session: Session, names: Iterable[str]) -> None:
    """Make these nodes and what they need, or take them from the store."""
    for name in session.plan.closure(session.look_up(names)):
        session.build.realise(name)


def land(session: Session, cell: Cell, archive: Path, place: Path, machine: Machine | None = None) -> Landed:
    """Unpack the archive of a cell, which is built, below `place`, and set up the compiler that built it. `machine` is not this one's."""
    unpack_archive(archive, place / "tree")
    names = (f"libc:{cell.target}", "toolchain:zig")
    realise(session, names)
    trees = {name: session.store.checkout(session.build.result(name).tree) for name in names}
    shutil.copytree(session.root / "toolchains/driver", place / "cross/tc/bin")
    (place / "cross/libc").symlink_to(trees[f"libc:{cell.target}"])
    (place / "system").mkdir()
    landed = Landed(cell, machine or machine_of(session, cell), place, place / "cross", trees["toolchain:zig"] / "zig", place / "system")
    if cell.target.run == "qemu":
        _link_zlib(session, landed)
    return landed


def _link_zlib(session: Session, landed: Landed) -> None:
    """numpy's wheels count on libz.so.1, as the manylinux rules let them; Debian has no cross package of it."""
    name = f"make:{landed.cell.target}:zlib"
    realise(session, [name])
    [archive] = session.store.checkout(session.build.result(name).tree).rglob("libz.a")
    flags = ("-shared", "-Wl,-soname,libz.so.1", "-Wl,--whole-archive", str(archive), "-Wl,--no-whole-archive")
    said(landed.toolchain / "tc/bin/cc", *flags, "-o", landed.system / "libz.so.1", env=environment(**landed.cross()))


def pure_wheel(landed: Landed) -> str:
    """A wheel of Python alone, installed by pip as shipped, and its command run."""
    landed.pip("--no-index", str(command_wheel(landed.place)))
    return landed.run(str(landed.prefix / "bin/small"))


def extension(landed: Landed, house: Path) -> dict[str, object]:
    """A C module, built by setuptools with the compiler that sysconfig names; what it says. `house` has BUILD_REQUIREMENTS."""
    source = landed.place / "extension"
    shutil.copytree(EXTENSION, source)
    landed.pip("--no-index", "--find-links", str(house), *BUILD_REQUIREMENTS)
    landed.pip("--no-index", "--no-build-isolation", "--no-deps", str(source), env=landed.cross())
    # a free-threaded Python first warns that the module asks for the GIL
    return dict(json.loads(landed.run(landed.python, "-c", ANSWERS).splitlines()[-1]))


def stock_build_requirements(house: Path) -> Path:
    """A folder with the wheels that `extension` needs; they are of Python alone."""
    house.mkdir(parents=True, exist_ok=True)
    options = ("--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(house))
    patiently(lambda: said(sys.executable, "-m", "pip", "download", *options, *BUILD_REQUIREMENTS, timeout=300))
    return house


def wheels(landed: Landed) -> str:
    """Wheels of the package index for the target, which its own pip chooses and installs; each imports and computes."""
    told = []
    for requirement, program in WHEELS[landed.cell.target.multiarch]:
        patiently(partial(landed.pip, "--no-deps", "--only-binary", ":all:", requirement))
        # ld.so warns that this libz has no symbol versions
        told.append(landed.run(landed.python, "-c", program, env={"LD_LIBRARY_PATH": str(landed.system)}).splitlines()[-1])
    return ", ".join(told) or "the index has none"


def command_wheel(folder: Path) -> Path:
    """A pure wheel with a command."""
    info = "small-1.0.dist-info"
    files = {
        "small.py": "def main():\n    print('small indeed')\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: small\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\nsmall = small:main\n",
    }
    rows = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD"))
    path = folder / "small-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": rows}.items():
            archive.writestr(name, text)
    return path
