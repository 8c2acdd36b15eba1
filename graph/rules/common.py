"""What a member of an archive is, by its place and name; the type of a rule."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Sequence

from graph.facts import Archive, Binary, Finding, Flavour, Format, Kind
from graph.policy import Policy

Findings = Iterator[Finding]
Rule = Callable[[Archive, Policy], Findings]
METADATA = "python/PYTHON.json"
MODULES = ("/lib-dynload", "/DLLs")
"""Folders of extension modules: of Unix, of Windows."""


def flavour_of(filename: str) -> Flavour | None:
    """By the archive's name; None when it is none of ours."""
    if filename.startswith("toolchain+") and filename.endswith(".tar.gz"):
        return Flavour.TOOLCHAIN
    for end, flavour in (
        ("-full.tar.zst", Flavour.FULL),
        ("-install_only.tar.gz", Flavour.INSTALL_ONLY),
        ("-install_only_stripped.tar.gz", Flavour.STRIPPED),
    ):
        if filename.endswith(end):
            return flavour
    return None


def module_of(path: str) -> str:
    """Name of the extension module that a path in lib-dynload (Windows: DLLs) holds, e.g. _ssl; else empty."""
    folder, name = posixpath.split(path)
    if not folder.endswith(MODULES) or not name.endswith((".so", ".pyd")):
        return ""
    # (Windows' debug builds put _d behind it; no module is called so)
    return name.split(".")[0].removesuffix("_d" if name.endswith(".pyd") else "")


def source_of(path: str) -> str:
    """Path of the module that a .pyc in a __pycache__ folder was made of, as importlib.util.source_from_cache has it; else empty."""
    folder, _, name = path.rpartition("/__pycache__/")
    return f"{folder}/{name.partition('.')[0]}.py" if folder and name.endswith(".pyc") else ""


def is_core(binary: Binary) -> bool:
    """Is it the interpreter or libpython; of Windows python.exe, pythonw.exe, python3.dll or pythonXY.dll."""
    folder, name = posixpath.split(binary.path)
    return "/bin/python" in binary.path or name.startswith("libpython") or (folder == root_of(binary.path) and name.startswith("python"))


def shipped(archive: Archive) -> Iterator[Binary]:
    """Binaries that a dynamic linker or the kernel loads: not the object files under python/build."""
    return (b for b in archive.binaries if b.kind is not Kind.OBJECT)


def elf(archive: Archive) -> Iterator[Binary]:
    """Of these, the ELF files."""
    return (b for b in shipped(archive) if b.format is Format.ELF)


def places_of(archive: Archive) -> set[str]:
    """Paths of all members and of the folders that they are in."""
    places: set[str] = set()
    for entry in archive.entries:
        path = entry.path
        while path and path not in places:
            places.add(path)
            path = posixpath.dirname(path)
    return places


def root_of(path: str) -> str:
    """The install prefix that a member lies in: python or python/install."""
    return "python/install" if path.startswith("python/install/") else "python"


def bundled(archive: Archive, policy: Policy) -> frozenset[str]:
    """Paths of the files that the user brought, beside python.exe."""
    prefix = "python/install" if flavour_of(archive.filename) is Flavour.FULL else "python"
    return frozenset(f"{prefix}/{name}" for name in policy.bundled)


def some(names: Sequence[str]) -> str:
    """The first five names, and how many more there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
