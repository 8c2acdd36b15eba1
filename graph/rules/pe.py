"""PE: what files take of DLLs and offer, headers, resources, names that Windows can have, and pyconfig.h."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase

from graph.facts import Archive, Binary, Finding, Flavour, Format, Kind, Pdb, Pe
from graph.policy import Policy
from graph.rules.common import Findings, bundled, flavour_of, is_core, module_of, places_of, root_of, shipped, some
from graph.rules.platform import definitions
from graph.target import windows_names

WINDOWED = ("pythonw", "venvwlauncher")
"""Beginnings of the names of programs that get no console."""
_UNNAMEABLE = re.compile(r'[<>:"|?*\\\x00-\x1f]|[. ](/|$)|(^|/)(con|prn|aux|nul|com\d|lpt\d)(\.|/|$)', re.IGNORECASE)
"""Characters and device names that no file of Windows has ("Naming Files, Paths, and Namespaces" of its documentation)."""


def _pe(archive: Archive) -> Iterator[tuple[Binary, Pe]]:
    return ((binary, binary.pe) for binary in shipped(archive) if binary.pe)


def _place(binary: Binary, library: str, places: Collection[str]) -> str:
    """Which of the lower-case paths the loader takes for a DLL: one beside the file, or one beside python.exe; else empty."""
    found = (f"{folder}/{library}".lower() for folder in (posixpath.dirname(binary.path), root_of(binary.path)))
    return next((place for place in found if place in places), "")


def libraries(archive: Archive, policy: Policy) -> Findings:
    """Each DLL is the system's, of the allow-list, or the archive's own, and none is another compiler's."""
    places = {entry.path.lower() for entry in archive.entries}
    for binary, _ in _pe(archive):
        for library in binary.needed:
            banned, allowed = (_matches(library, globs) for globs in (policy.banned_libraries, policy.needed))
            if banned:
                yield Finding("needed", binary.path, f"needs {library}, which no file of ours may")
            elif not allowed and not _place(binary, library, places):
                yield Finding("needed", binary.path, f"needs {library}, which is neither allowed nor shipped beside it or python.exe")


def _matches(library: str, globs: Collection[str]) -> bool:
    return any(fnmatchcase(library.lower(), glob) for glob in globs)


def undefined(archive: Archive, policy: Policy) -> Findings:
    """What a file takes of the archive's own DLLs they export, by name."""
    offered = {binary.path.lower(): {symbol.name for symbol in binary.exports} for binary, _ in _pe(archive)}
    for binary, _ in _pe(archive):
        places = ((symbol, _place(binary, symbol.library, offered)) for symbol in binary.imports)
        absent = [f"{symbol.name} ({symbol.library})" for symbol, place in places if place and symbol.name not in offered[place]]
        if absent:
            yield Finding("undefined", binary.path, f"nothing gives {some(absent)}")


def functions(archive: Archive, policy: Policy) -> Findings:
    """What the core must take of a DLL: the compiler's run time may have it, too, with other results."""
    for binary, _ in _pe(archive):
        if posixpath.basename(binary.path) == f"{windows_names(policy.cell).dll}.dll":
            taken = {(symbol.library.lower(), symbol.name) for symbol in binary.imports}
            for library, names in policy.core_imports.items():
                absent = sorted(name for name in names if (library, name) not in taken)
                if absent:
                    yield Finding("core-imports", binary.path, f"does not take {some(absent)} from {library}")


def modules(archive: Archive, policy: Policy) -> Findings:
    """An extension module is named as upstream's, and has the init function of that name, and no other."""
    end = windows_names(policy.cell).module
    for binary, _ in _pe(archive):
        module = module_of(binary.path)
        inits = {symbol.name for symbol in binary.exports if symbol.name.startswith("PyInit")}
        more = sorted(inits - {f"PyInit_{module}"})
        if module and posixpath.basename(binary.path) != f"{module}{end}":
            yield Finding("platform-values", binary.path, f"is not named {module}{end}")
        if module and f"PyInit_{module}" not in inits:
            yield Finding("init-function", binary.path, f"does not export PyInit_{module}")
        # _testmultiphase and others are several modules
        if module and more and module not in policy.test:
            yield Finding("init-function", binary.path, f"exports {some(more)}")


def stable_abi(archive: Archive, policy: Policy) -> Findings:
    """python3.dll forwards all that it exports to pythonXY.dll, and that has it."""
    named = windows_names(policy.cell)
    aim = named.dll
    core = {posixpath.basename(binary.path): binary for binary, _ in _pe(archive) if is_core(binary)}
    stable, whole = core.get(f"{named.stable}.dll"), core.get(f"{aim}.dll")
    # (layout says that one is missing)
    if stable is None or stable.pe is None or whole is None:
        return
    forwards = stable.pe.forwards
    kept = [symbol.name for symbol in stable.exports if forwards.get(symbol.name) != f"{aim}.{symbol.name}"]
    if kept or not stable.exports:
        yield Finding("stable-abi", stable.path, f"does not forward {some(kept) or 'anything'} to {aim}")
    absent = sorted(forwards.keys() - {symbol.name for symbol in whole.exports} - policy.absent_exports)
    if absent:
        yield Finding("stable-abi", whole.path, f"lacks {some(absent)}, which {named.stable}.dll forwards")


def headers(archive: Archive, policy: Policy) -> Findings:
    """File type, protections that the loader gives, no time of the build."""
    for binary, pe in _pe(archive):
        wanted = Kind.SHARED if binary.path.endswith((".dll", ".pyd")) else Kind.EXECUTABLE
        if binary.kind is not wanted:
            yield Finding("file-type", binary.path, f"is {binary.kind.value}, not {wanted.value}")
        if not binary.position_independent:
            yield Finding("pie", binary.path, "loads at a fixed address")
        for flag, bits in (("nx_compat", 32), ("high_entropy_va", 64)):
            if flag not in pe.characteristics and binary.bits >= bits:
                yield Finding("dll-characteristics", binary.path, f"has no {flag.upper()}")
        if any(pe.timestamps):
            yield Finding("timestamp", binary.path, f"holds a time: {max(pe.timestamps)}")


def symbols(archive: Archive, policy: Policy) -> Findings:
    """Debug information is a PDB beside each file, which names it, and not inside. The stripped archive has none (layout)."""
    stripped = flavour_of(archive.filename) is Flavour.STRIPPED
    names = windows_names(policy.cell)
    # a second name of a program has the PDB of the first
    copied = {f"{name}.pdb" for name in (names.program, names.windowed, names.launcher, names.windowed_launcher)}
    places = set()
    for binary, pe in _pe(archive):
        folder, name = posixpath.split(binary.path)
        shared = pe.pdb is not None and binary.kind is Kind.EXECUTABLE and pe.pdb.name in copied
        place = f"{folder}/{pe.pdb.name if pe.pdb and shared else posixpath.splitext(name)[0] + '.pdb'}"
        places.add(place)
        # (of the stripped archive `stripped` says so)
        if not stripped and (binary.debug or binary.symbols):
            yield Finding("pdb", binary.path, f"has {some(binary.debug) or 'its symbol table'} inside")
        wrong = _pdb_wrong(pe.pdb, posixpath.basename(place), archive.pdbs.get(place), stripped=stripped)
        if wrong:
            yield Finding("pdb", binary.path, wrong)
    for path in sorted(archive.pdbs.keys() - places):
        yield Finding("pdb", path, "belongs to no file beside it")


def _pdb_wrong(named: Pdb | None, wanted: str, found: Pdb | None, *, stripped: bool) -> str:
    if named is None or named.name != wanted:
        return f"names {named.name or 'a PDB without a name' if named else 'no PDB'}, not {wanted}"
    if stripped:
        return ""
    if found is None:
        return f"has no {wanted} beside it that can be read"
    same = (named.guid, named.age) == (found.guid, found.age)
    return "" if same else f"is of {named.guid} ({named.age}), {wanted} beside it of {found.guid} ({found.age})"


def programs(archive: Archive, policy: Policy) -> Findings:
    """Console and stack."""
    for binary, pe in _pe(archive):
        if binary.kind is not Kind.EXECUTABLE:
            continue
        wanted = "windows_gui" if posixpath.basename(binary.path).startswith(WINDOWED) else "windows_cui"
        if pe.subsystem != wanted:
            yield Finding("subsystem", binary.path, f"is for {pe.subsystem}, not {wanted}")
        if is_core(binary) and pe.stack < policy.stack:
            yield Finding("stack-reserve", binary.path, f"reserves {pe.stack} bytes of stack, fewer than {policy.stack}")


def resources(archive: Archive, policy: Policy) -> Findings:
    """What Explorer shows of a file, and what says that a program knows this Windows and its long paths."""
    for binary, pe in _pe(archive):
        wanted = {"version", *(("icon", "group_icon", "manifest") if binary.kind is Kind.EXECUTABLE else ())}
        # (upstream's xxlimited has none)
        if wanted - pe.resources and module_of(binary.path) not in policy.test:
            yield Finding("resources", binary.path, f"has no {', no '.join(sorted(wanted - pe.resources))}")


def names(archive: Archive, policy: Policy) -> Findings:
    """Windows can unpack it: no links, no names that differ in case only or that it keeps for itself."""
    if policy.format is not Format.PE:
        return
    first: dict[str, str] = {}
    for path in sorted(places_of(archive)):
        other = first.setdefault(path.lower(), path)
        if other != path:
            yield Finding("windows-name", path, f"is the same as {other}")
        if _UNNAMEABLE.search(path):
            yield Finding("windows-name", path, "is no name on Windows")
    for entry in archive.entries:
        if entry.kind in ("symlink", "hardlink"):
            yield Finding("windows-name", entry.path, f"is a {entry.kind}, which only some may make on Windows")


def licensed(archive: Archive, policy: Policy) -> Findings:
    """Of Microsoft's files those that the user brought, and no others."""
    brought = bundled(archive, policy)
    for entry in archive.entries:
        if entry.path not in brought and _matches(posixpath.basename(entry.path), policy.licensed):
            yield Finding("licensed", entry.path, "is Microsoft's, and not one that --vcruntime brought")
    for path in sorted(brought - {entry.path for entry in archive.entries}):
        yield Finding("licensed", path, "was brought by --vcruntime, and is missing")


def platform(archive: Archive, policy: Policy) -> Findings:
    """pyconfig.h, one for all compilers and platforms of Windows, knows this one, and the ABI is the cell's."""
    headers = archive.texts.items() if policy.format is Format.PE else ()
    free = ["1"] if "freethreaded" in policy.cell.options else []
    for path, text in ((path, text) for path, text in headers if path.endswith("/pyconfig.h")):
        for macro, value in (("PYD_PLATFORM_TAG", f'"{policy.multiarch}"'), ("SIZEOF_VOID_P", str(policy.bits // 8))):
            if value not in definitions(text, macro):
                yield Finding("platform-values", path, f"{macro} is nowhere {value}")
        if definitions(text, "Py_GIL_DISABLED") != free:
            yield Finding("platform-values", path, f"Py_GIL_DISABLED is {'not ' if free else ''}defined")
