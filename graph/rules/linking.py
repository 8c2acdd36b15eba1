"""What binaries need, where they look for it, and what they offer."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Set

from graph.facts import Archive, Binary, Finding, Format, Kind, Symbol
from graph.policy import Policy
from graph.rules.common import Findings, elf, is_core, module_of, root_of, shipped, some


def libraries(archive: Archive, policy: Policy) -> Findings:
    """Each needed library is the system's, of the allow-list, or the archive's own. (Windows looks elsewhere: pe.py.)"""
    paths = {entry.path for entry in archive.entries}
    allowed_ones = policy.libraries
    for binary in (one for one in shipped(archive) if not one.pe):
        for library in binary.needed:
            if library not in allowed_ones and not _own(binary, library, paths):
                yield Finding("needed", binary.path, f"needs {library}, which is neither allowed nor shipped where its run path looks")


def _own(binary: Binary, library: str, paths: Set[str]) -> bool:
    """Does the archive hold `library` in a folder that the binary searches relative to itself."""
    if binary.format is Format.MACHO and not library.startswith("@rpath/"):
        return expanded(library, binary) in paths
    name = library.removeprefix("@rpath/")
    return any(posixpath.normpath(posixpath.join(expanded(entry, binary), name)) in paths for entry in binary.search)


def expanded(entry: str, binary: Binary) -> str:
    """A path with $ORIGIN (ELF) or @loader_path (Mach-O) as the folder of the binary; @executable_path is that of a program only."""
    names = r"\$ORIGIN|\$\{ORIGIN\}|@loader_path" + ("|@executable_path" if binary.kind is Kind.EXECUTABLE else "")
    return posixpath.normpath(re.sub(rf"^({names})(?=/|$)", posixpath.dirname(binary.path), entry))


def search(archive: Archive, policy: Policy) -> Findings:
    """Run paths are relative to the file and stay in the tree."""
    for binary in shipped(archive):
        root = root_of(binary.path)
        for entry in binary.search:
            place = expanded(entry, binary)
            if place == posixpath.normpath(entry):
                yield Finding("rpath", binary.path, f"{entry!r} is not relative to the file")
            elif not (place + "/").startswith(root + "/"):
                yield Finding("rpath", binary.path, f"{entry!r} leaves {root}/")


def versions(archive: Archive, policy: Policy) -> Findings:
    """Symbols that not every system of the target has."""
    own = {binary.name for binary in shipped(archive) if binary.name}
    for binary in shipped(archive):
        for symbol in binary.imports:
            if symbol.name in policy.banned_symbols and not (symbol.weak and symbol.name in policy.weak_symbols):
                yield Finding("symbol-banned", binary.path, f"uses {symbol.name}")
            if symbol.version and symbol.library not in own and not allowed(symbol, policy):
                yield Finding("symbol-version", binary.path, f"{symbol.name}@{symbol.version} of {symbol.library or 'no library'}")


def allowed(symbol: Symbol, policy: Policy) -> bool:
    """Is the symbol's version one that the oldest libc promised has."""
    family, _, version = symbol.version.partition("_")
    limit = policy.versions.get(family)
    return limit is not None and re.fullmatch(r"[\d.]+", version) is not None and numbers(version) <= numbers(limit)


def numbers(version: str) -> tuple[int, ...]:
    """2.17 -> (2, 17)"""
    return tuple(int(part) for part in version.split(".") if part)


def exports(archive: Archive, policy: Policy) -> Findings:
    """A module offers its init function, the core the C API, and nothing of what is linked into them."""
    for binary in shipped(archive):
        module = module_of(binary.path)
        of_module = (*policy.extension_exports, *policy.module_exports.get(module, ()))
        limits = of_module if module else policy.core_exports if is_core(binary) else None
        # _ctypes_test and others exist to export things
        if limits is None or module in policy.test:
            continue
        names = sorted({s.name for s in binary.exports if not any(re.fullmatch(limit, s.name) for limit in limits)})
        if names:
            yield Finding("exports", binary.path, f"exports {some(names)}")


def private(archive: Archive, policy: Policy) -> Findings:
    """Libraries shipped for the distribution's own use must never be mistaken for the system's: own name, versioned symbols."""
    for binary in shipped(archive):
        if binary.kind is not Kind.SHARED or module_of(binary.path):
            continue
        wanted = posixpath.basename(binary.path)
        if binary.format is Format.MACHO:
            wanted = f"@rpath/{wanted}"
        if binary.name != wanted:
            yield Finding("soname", binary.path, f"is named {binary.name!r}, not {wanted!r}")
        bare = [symbol.name for symbol in binary.exports if not symbol.version]
        if bare and binary.format is Format.ELF and not is_core(binary):
            yield Finding("soname", binary.path, f"{len(bare)} symbols without a version, e.g. {min(bare)}")


OF_START_FILES = {"_init", "_fini"}
"""What crti.o gives each library and program anew, and, where it has a type (musl on AArch64), each exports."""


def static(archive: Archive, policy: Policy) -> Findings:
    """The static libpython has every name that the shared one beside it offers."""
    prefix = "_" if policy.format is Format.MACHO else ""
    for (path, machine), names in archive.indexes.items():
        if machine not in ("", policy.machine):
            continue
        shared = [b for b in archive.binaries if is_core(b) and b.kind is Kind.SHARED and root_of(b.path) == root_of(path)]
        wanted = {symbol.name for binary in shared for symbol in binary.exports} - OF_START_FILES
        lacking = sorted(name for name in wanted if prefix + name not in names)
        if lacking:
            yield Finding("static-library", path, f"lacks {some(lacking)}, which {shared[0].path} has")


def undefined(archive: Archive, policy: Policy) -> Findings:
    """Mach-O: every import is in the library that the file names; one that names none (-undefined dynamic_lookup) in any that is loaded."""
    binaries = [binary for binary in shipped(archive) if binary.macho]
    if binaries and not policy.stubs:
        yield Finding("undefined", binaries[0].path, "no .tbd file of a sysroot was read, so no import can be looked up")
        return
    offered: dict[str, Set[str]] = {**policy.stubs, **{b.name: {s.name for s in b.exports} for b in binaries if b.name}}
    core: Set[str] = {symbol.name for binary in binaries if is_core(binary) for symbol in binary.exports}
    for binary in binaries:
        loaded = [core, *(offered.get(library, frozenset()) for library in binary.needed)]
        absent = [s for s in binary.imports if not _given(s, offered, loaded)]
        strong = [f"{symbol.name} ({symbol.library or 'of any library'})" for symbol in absent if not symbol.weak]
        if strong:
            yield Finding("undefined", binary.path, f"nothing gives {some(strong)}")
        weak = [symbol.name for symbol in binary.imports if symbol.weak and symbol.name not in policy.weak_symbols]
        if weak:
            yield Finding("weak-symbol", binary.path, f"imports weakly {some(weak)}")


def unversioned(archive: Archive, policy: Policy) -> Findings:
    """ELF: an import without a version, which glibc's have, is in the core, in a shipped library, or (musl) in libc.so."""
    binaries = list(elf(archive))
    if "GLIBC" not in policy.versions and not policy.stubs:
        if any(binary.imports for binary in binaries):
            yield Finding("undefined", binaries[0].path, "no libc.so of a sysroot was read, so no import can be looked up")
        return
    offered = {symbol.name for binary in binaries if not module_of(binary.path) for symbol in binary.exports}.union(*policy.stubs.values())
    # _testcapi takes a function of libpthread, which the program has loaded, without naming the library
    for binary in (one for one in binaries if module_of(one.path) not in policy.test):
        absent = [s.name for s in binary.imports if not (s.version or s.weak or s.name in offered)]
        if absent:
            yield Finding("undefined", binary.path, f"nothing gives {some(absent)}")


def _given(symbol: Symbol, offered: Mapping[str, Set[str]], loaded: Iterable[Set[str]]) -> bool:
    places = [offered.get(symbol.library, frozenset())] if symbol.library else loaded
    return any(symbol.name in names for names in places)
