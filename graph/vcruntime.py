"""Microsoft's C and C++ run time, of which who has a licence may bring a copy (docs/windows.md): what is taken of a folder."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NoReturn

import lief

from graph.errors import UsageError

REQUIRED = "vcruntime140.dll"
NAMES = (
    REQUIRED,
    "vcruntime140_1.dll",
    "vcruntime140_threads.dll",
    "msvcp140.dll",
    "msvcp140_1.dll",
    "msvcp140_2.dll",
    "msvcp140_atomic_wait.dll",
    "msvcp140_codecvt_ids.dll",
    "concrt140.dll",
)
"""Microsoft.VC143.CRT of Visual Studio's "Distributable Code", less its library for WinRT. Debug builds (msvcp140d.dll) are none."""
ARCHES = {
    lief.PE.Header.MACHINE_TYPES.AMD64: "x86_64",
    lief.PE.Header.MACHINE_TYPES.I386: "i686",
    lief.PE.Header.MACHINE_TYPES.ARM64: "aarch64",
}
"""Machine of a file -> `arch` of the platform table."""
PLACE = "--vcruntime"
HINT = "--vcruntime DIR, e.g. VC/Redist/MSVC/14.44.35112/x64/Microsoft.VC143.CRT of Visual Studio"

lief.logging.disable()
# a session freezes all objects that there are (graph/session.py): those of lief that never die it tells of in fifty lines
atexit.register(gc.unfreeze)


def read_vcruntime(folder: Path, arches: Collection[str]) -> tuple[Mapping[str, Path], str, str]:
    """Name in lower case -> file, sorted; and the version of vcruntime140.dll, e.g. 14.42.34433.0, and its architecture, one of `arches`.

    Raises UsageError when that is not there, or when a DLL cannot be read, is for another machine, or there twice.
    """
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        name = path.name.lower()
        if name in NAMES and path.is_file():
            if name in files:
                _refuse(f"{folder} has both {files[name].name} and {path.name}")
            files[name] = path
    if REQUIRED not in files:
        _refuse(f"{folder} has no {REQUIRED}" if folder.is_dir() else f"{folder} is no folder")
    version, arch = _facts(files[REQUIRED], arches)
    for path in files.values():
        _facts(path, {arch})
    # what a link leads to
    return {name: files[name].resolve() for name in sorted(files)}, version, arch


def _facts(path: Path, arches: Collection[str]) -> tuple[str, str]:
    """Version and architecture."""
    config = lief.PE.ParserConfig()
    config.parse_signature = config.parse_reloc = config.parse_exceptions = False
    pe = lief.PE.parse(str(path), config)
    if pe is None:
        _refuse(f"{path} is no DLL")
    arch = ARCHES.get(pe.header.machine, str(pe.header.machine).rpartition(".")[2])
    if arch not in arches:
        _refuse(f"{path} is for {arch}, not {' or '.join(sorted(arches))}")
    resources = pe.resources_manager
    for version in resources.version if isinstance(resources, lief.PE.ResourcesManager) else ():
        high, low = version.file_info.file_version_ms, version.file_info.file_version_ls
        return ".".join(str(part) for part in (high >> 16, high & 0xFFFF, low >> 16, low & 0xFFFF)), arch
    _refuse(f"{path} says no version of itself")


def _refuse(what: str) -> NoReturn:
    raise UsageError(what, place=PLACE, hint=HINT)
