"""The limits of a shipped archive, and the pure judgement of facts by them. The limits are data: toolchains/policy.toml.

`check` is a chain of rules, each a generator from (archive, policy) to findings; docs/audit.md lists them by id.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import chain, pairwise
from typing import Any

from graph import toml
from graph.errors import AuditFailed, LockError
from graph.facts import Archive, Binary, Entry, Finding, Flavour, Format, Kind, Symbol, format_of
from graph.metadata import differences, problems
from graph.target import Target

Findings = Iterator[Finding]

_ZIP_EPOCH = 315_532_800
"""1980-01-01 UTC: a zip file's first date."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The limits for one target and Python version: every matching table of policy.toml, the later ones over the earlier."""

    target: Target
    version: str
    format: Format
    machine: str
    """As the object format names it."""
    needed: frozenset[str] = frozenset()
    """System libraries that a binary may need."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Symbol version family -> newest allowed, e.g. GLIBC -> 2.17."""
    banned_symbols: frozenset[str] = frozenset()
    interpreter_symbols: tuple[str, ...] = ()
    """Globs; each must match a symbol that the interpreter or its libpython imports."""
    extension_exports: tuple[str, ...] = ()
    core_exports: tuple[str, ...] = ()
    """Regular expressions of what an extension module, and libpython or the executable, may export."""
    foreign: tuple[str, ...] = ()
    """Globs of files that may be binaries of another platform."""
    leaks: tuple[str, ...] = ()
    """Regular expressions of build paths; no file may hold a match."""
    required: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Flavour -> globs that must match a member."""
    forbidden: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Flavour -> globs that must match none."""
    builtin: frozenset[str] = frozenset()
    shared: frozenset[str] = frozenset()
    test: frozenset[str] = frozenset()
    """Extension modules: in the core, in lib-dynload, and in lib-dynload of the full archive only."""


def check(archive: Archive, policy: Policy) -> tuple[Finding, ...]:
    """Every limit that the archive breaks, sorted by rule and path."""
    rules = OF_EVERY_ARCHIVE + (OF_TOOLCHAINS if flavour_of(archive.filename) is Flavour.TOOLCHAIN else OF_DISTRIBUTIONS)
    found = {replace(f, archive=archive.filename) for f in chain.from_iterable(rule(archive, policy) for rule in rules)}
    return tuple(sorted(found))


def render(findings: Iterable[Finding]) -> str:
    """A table: rule, place, message."""
    rows = [(f.rule, f"{f.archive}: {f.path}" if f.archive else f.path, f.message) for f in findings]
    if not rows:
        return "no findings\n"
    wide = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "".join(f"{rule:<{wide[0]}}  {place:<{wide[1]}}  {message}\n" for rule, place, message in rows)


def refuse(findings: tuple[Finding, ...]) -> None:
    """Raises AuditFailed, with the count and the first ones, when there is any finding."""
    if findings:
        shown = "; ".join(f"{f.rule} {f.path}: {f.message}" for f in findings[:3])
        raise AuditFailed(
            f"{len(findings)} findings: {shown}{'; ...' if len(findings) > 3 else ''}",
            place=findings[0].archive,
            hint="docs/audit.md explains each rule; the limits stand in toolchains/policy.toml",
        )


# --- reading policy.toml


def parse_policy(text: str, target: Target, version: str) -> Policy:
    """The limits of toolchains/policy.toml (its text) for one target and full Python version. Raises LockError."""
    try:
        tables = toml.loads(text)
    except toml.TOMLDecodeError as error:
        raise LockError(str(error), place="policy.toml") from None
    where = {"os": target.os, "libc": target.libc, "arch": target.arch, "python": ".".join(version.split(".")[:2])}
    merged: dict[str, Any] = {}
    for table in [*tables.get("limits", ()), *tables.get("modules", ())]:
        if all(where[key] in _several(table[key]) for key in where.keys() & table.keys()):
            merged |= {key: value for key, value in table.items() if key not in where}
    if "shared" not in merged:
        raise LockError(f"no [[modules]] table for Python {where['python']} on {target.os}", place="policy.toml")
    return _policy(merged, target, version)


def _policy(merged: dict[str, Any], target: Target, version: str) -> Policy:
    known: dict[str, Callable[[Any], Any]] = {
        "format": Format,
        "machine": str,
        "needed": frozenset,
        "versions": lambda table: {family: target.libc_floor if limit == "floor" else limit for family, limit in table.items()},
        "required": lambda table: {name: tuple(globs) for name, globs in table.items()},
        "forbidden": lambda table: {name: tuple(globs) for name, globs in table.items()},
    }
    known |= dict.fromkeys(("interpreter_symbols", "extension_exports", "core_exports", "foreign", "leaks"), tuple)
    known |= dict.fromkeys(("banned_symbols", "builtin", "shared", "test"), frozenset)
    unknown = sorted(merged.keys() - known.keys())
    if unknown:
        raise LockError(f"unknown key {unknown[0]!r}", place="policy.toml", hint=f"known: {', '.join(sorted(known))}")
    try:
        values = {key: known[key](value) for key, value in merged.items()}
        return Policy(target, version, **values)
    except (TypeError, ValueError, AttributeError) as error:
        raise LockError(f"bad value: {error}", place="policy.toml") from None


def _several(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


# --- what a member is, by its place


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
    """Name of the extension module that a path in lib-dynload holds, e.g. _ssl; else empty."""
    folder, name = posixpath.split(path)
    return name.split(".")[0] if folder.endswith("/lib-dynload") and name.endswith((".so", ".pyd")) else ""


def is_core(binary: Binary) -> bool:
    """Is it the interpreter or libpython."""
    name = posixpath.basename(binary.path)
    return "/bin/python" in binary.path or name.startswith("libpython")


def _shipped(archive: Archive) -> Iterator[Binary]:
    """Binaries that a dynamic linker or the kernel loads: not the object files under python/build."""
    return (b for b in archive.binaries if b.kind is not Kind.OBJECT)


def _elf(archive: Archive) -> Iterator[Binary]:
    return (b for b in _shipped(archive) if b.format is Format.ELF)


def _places(archive: Archive) -> set[str]:
    """Paths of all members and of the folders that they are in."""
    places: set[str] = set()
    for entry in archive.entries:
        path = entry.path
        while path and path not in places:
            places.add(path)
            path = posixpath.dirname(path)
    return places


def _root(path: str) -> str:
    """The install prefix that a member lies in: python or python/install."""
    return "python/install" if path.startswith("python/install/") else "python"


# --- the archive's own form


def _name(archive: Archive, policy: Policy) -> Findings:
    triple = re.escape(policy.target.triple)
    stem = rf"cpython-{re.escape(policy.version)}\+\d{{8}}-{triple}-"
    addon = rf"toolchain\+\d{{8}}-{triple}\.tar\.gz"
    if not re.fullmatch(stem + r"([\w+]+-full\.tar\.zst|(freethreaded-)?install_only(_stripped)?\.tar\.gz)|" + addon, archive.filename):
        yield Finding("archive-name", archive.filename, "not a name that installers of python-build-standalone know")


def _layout(archive: Archive, policy: Policy) -> Findings:
    flavour = flavour_of(archive.filename)
    tops = ("python/install/", "python/build/", "python/licenses/", "python/PYTHON.json")
    for entry in archive.entries:
        inside = entry.path == "python" or entry.path.startswith("python/")
        if not inside or ".." in entry.path.split("/"):
            yield Finding("layout", entry.path, "is outside python/")
        elif flavour is Flavour.FULL and not (entry.path + "/").startswith(tops) and entry.path not in ("python", tops[3]):
            yield Finding("layout", entry.path, "a full archive holds install, build, licenses and PYTHON.json only")
        elif flavour is Flavour.TOOLCHAIN and not f"{entry.path}/".startswith("python/toolchain/") and entry.path != "python":
            yield Finding("layout", entry.path, "an add-on holds nothing that a distribution has")
    if flavour is None:
        return
    paths = [entry.path for entry in archive.entries]
    minor = ".".join(policy.version.split(".")[:2])
    for glob in policy.required.get(flavour.value, ()):
        if not any(fnmatchcase(path, glob.format(minor=minor)) for path in paths):
            yield Finding("layout", glob.format(minor=minor), "is missing")
    for glob in policy.forbidden.get(flavour.value, ()):
        stray = [path for path in paths if fnmatchcase(path, glob.format(minor=minor))]
        if stray:
            more = f", nor do {len(stray) - 1} others like it" if len(stray) > 1 else ""
            yield Finding("layout", stray[0], f"does not belong into {flavour.value}{more}")


def _deterministic(archive: Archive, policy: Policy) -> Findings:
    paths = [entry.path for entry in archive.entries]
    if paths not in (sorted(paths), sorted(paths, key=lambda path: path.split("/"))):
        late = next(b for a, b in pairwise(paths) if b < a)
        yield Finding("archive-order", late, "members are not sorted by name")
    for path in {path for path, following in pairwise(sorted(paths)) if path == following}:
        yield Finding("archive-order", path, "is there twice")
    times = sorted({entry.mtime for entry in archive.entries})
    if len(times) > 1:
        yield Finding("archive-mtime", archive.filename, f"{len(times)} modification times, from {times[0]:g} to {times[-1]:g}")
    if times and times[0] < _ZIP_EPOCH:
        yield Finding("archive-mtime", archive.filename, "a time before 1980, which no zip file (wheel) of these files could hold")
    for entry in archive.entries:
        if entry.owner[:2] != (0, 0) or not set(entry.owner[2:]) <= {"", "root"}:
            yield Finding("archive-owner", entry.path, f"belongs to {entry.owner}")
        stray = sorted(set(entry.pax) - {"path", "linkpath"})
        if stray:
            yield Finding("archive-pax", entry.path, f"pax header with {', '.join(stray)}")
    if archive.stamp[0] or archive.stamp[1]:
        yield Finding("archive-gzip", archive.filename, "the gzip header holds a time or a file name")


def _members(archive: Archive, policy: Policy) -> Findings:
    places = _places(archive)
    for entry in archive.entries:
        if entry.kind == "other":
            yield Finding("member-kind", entry.path, "is neither file, folder nor link")
        if entry.mode & 0o6000:
            yield Finding("member-mode", entry.path, f"is set-id (mode {entry.mode:o})")
        if entry.mode & 0o022 and entry.kind != "symlink":
            yield Finding("member-mode", entry.path, f"is writable by others (mode {entry.mode:o})")
        if entry.kind in ("symlink", "hardlink"):
            yield from _link(entry, places)


def _link(entry: Entry, places: set[str]) -> Findings:
    start = posixpath.dirname(entry.path) if entry.kind == "symlink" else ""
    aim = posixpath.normpath(posixpath.join(start, entry.link))
    if posixpath.isabs(entry.link):
        yield Finding("link-absolute", entry.path, f"points to {entry.link}")
    elif not (aim + "/").startswith(_root(entry.path) + "/"):
        yield Finding("link-outside", entry.path, f"points to {entry.link}")
    elif aim not in places:
        yield Finding("link-dangling", entry.path, f"points to {entry.link}, which is not there")


# --- what is in the files


def _contents(archive: Archive, policy: Policy) -> Findings:
    for entry in archive.entries:
        for leak in entry.leaks:
            # the prefix of configure: readers of PYTHON.json know it
            if entry.path != "python/PYTHON.json" or not leak.startswith("/install"):
                yield Finding("build-path", entry.path, f"holds {leak!r}")
        if entry.head.startswith(b"#!/install"):
            yield Finding("shebang", entry.path, f"starts {entry.head.splitlines()[0].decode(errors='replace')}")


def _bytecode(archive: Archive, policy: Policy) -> Findings:
    """PEP 552: bytes 0-3 magic, 4-7 flags (1 hash-based, 2 check source), then mtime and size of the source, or its hash."""
    files = {entry.path: entry for entry in archive.entries}
    compiled = [entry for entry in archive.entries if entry.path.endswith(".pyc") and "/__pycache__/" in entry.path]
    for magic in sorted({entry.head[:4] for entry in compiled})[1:]:
        yield Finding("pycache", next(e.path for e in compiled if e.head[:4] == magic), "another magic number than the others have")
    for entry in compiled:
        folder, name = entry.path.split("/__pycache__/", 1)
        source = files.get(f"{folder}/{name.split('.')[0]}.py")
        flags, mtime, size = (int.from_bytes(entry.head[at : at + 4], "little") for at in (4, 8, 12))
        if source is None:
            yield Finding("pycache", entry.path, "has no source beside it")
        elif flags == 0 and (mtime, size) != (int(source.mtime) & 0xFFFFFFFF, source.size):
            yield Finding("pycache", entry.path, "is stale: made of a source with another mtime or size")


def _foreign(archive: Archive, policy: Policy) -> Findings:
    seen = {binary.path: binary for binary in archive.binaries}
    for entry in archive.entries:
        found = format_of(entry.head) if entry.kind == "file" else None
        if found is None or any(fnmatchcase(entry.path, glob) for glob in policy.foreign):
            continue
        binary = seen.get(entry.path)
        if found is not policy.format:
            yield Finding("binary-format", entry.path, f"is {found.value}, not {policy.format.value}")
        elif binary is None:
            yield Finding("binary-format", entry.path, "cannot be read")
        elif binary.machine != policy.machine:
            yield Finding("binary-machine", entry.path, f"is for {binary.machine}, not {policy.machine}")


# --- linking


def _libraries(archive: Archive, policy: Policy) -> Findings:
    paths = {entry.path for entry in archive.entries}
    for binary in _shipped(archive):
        for library in binary.needed:
            if library not in policy.needed and not _own(binary, library, paths):
                yield Finding("needed", binary.path, f"needs {library}, which is neither allowed nor shipped where its RUNPATH looks")


def _own(binary: Binary, library: str, paths: set[str]) -> bool:
    """Does the archive hold `library` in a folder that the binary searches relative to itself."""
    here = posixpath.dirname(binary.path)
    return any(posixpath.normpath(posixpath.join(_expand(entry, here), library)) in paths for entry in binary.search)


def _expand(entry: str, here: str) -> str:
    """A search path with $ORIGIN (ELF) or @loader_path (Mach-O) as the folder of the binary."""
    return re.sub(r"^(\$ORIGIN|\$\{ORIGIN\}|@loader_path)(?=/|$)", here, entry)


def _search(archive: Archive, policy: Policy) -> Findings:
    for binary in _shipped(archive):
        here, root = posixpath.dirname(binary.path), _root(binary.path)
        for entry in binary.search:
            place = posixpath.normpath(_expand(entry, here))
            if _expand(entry, here) == entry:
                yield Finding("rpath", binary.path, f"{entry!r} is not relative to the file")
            elif not (place + "/").startswith(root + "/"):
                yield Finding("rpath", binary.path, f"{entry!r} leaves {root}/")


def _versions(archive: Archive, policy: Policy) -> Findings:
    own = {binary.name for binary in _shipped(archive) if binary.name}
    for binary in _shipped(archive):
        for symbol in binary.imports:
            if symbol.name in policy.banned_symbols:
                yield Finding("symbol-banned", binary.path, f"uses {symbol.name}")
            if symbol.version and symbol.library not in own and not _allowed(symbol, policy):
                yield Finding("symbol-version", binary.path, f"{symbol.name}@{symbol.version} of {symbol.library or 'no library'}")


def _allowed(symbol: Symbol, policy: Policy) -> bool:
    family, _, version = symbol.version.partition("_")
    limit = policy.versions.get(family)
    return limit is not None and re.fullmatch(r"[\d.]+", version) is not None and _numbers(version) <= _numbers(limit)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part)


def _exports(archive: Archive, policy: Policy) -> Findings:
    for binary in _shipped(archive):
        module = module_of(binary.path)
        limits = policy.extension_exports if module else policy.core_exports if is_core(binary) else None
        # _ctypes_test and others exist to export things
        if limits is None or module in policy.test:
            continue
        names = sorted({s.name for s in binary.exports if not any(re.fullmatch(limit, s.name) for limit in limits)})
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            yield Finding("exports", binary.path, f"exports {', '.join(names[:5])}{more}")


def _private(archive: Archive, policy: Policy) -> Findings:
    """Libraries shipped for the distribution's own use must never be mistaken for the system's: own soname, versioned symbols."""
    for binary in _elf(archive):
        if binary.kind is not Kind.SHARED or module_of(binary.path):
            continue
        if binary.name != posixpath.basename(binary.path):
            yield Finding("soname", binary.path, f"soname is {binary.name!r}")
        bare = [symbol.name for symbol in binary.exports if not symbol.version]
        if bare and not is_core(binary):
            yield Finding("soname", binary.path, f"{len(bare)} symbols without a version, e.g. {min(bare)}")


# --- hardening


def _hardening(archive: Archive, policy: Policy) -> Findings:
    for binary in _elf(archive):
        for broken, rule, message in (
            ("x" in binary.stack or not binary.stack, "stack-exec", "executable stack" if binary.stack else "no PT_GNU_STACK"),
            (binary.dynamic and not binary.relro, "relro", "no PT_GNU_RELRO"),
            (binary.dynamic and not binary.bind_now, "bind-now", "binds lazily, so RELRO is partial"),
            (binary.text_relocations, "textrel", "relocates its text"),
            (not binary.position_independent, "pie", "loads at a fixed address"),
        ):
            if broken:
                yield Finding(rule, binary.path, message)
        for segment in binary.segments:
            if "w" in segment.flags and "x" in segment.flags:
                yield Finding("w-and-x", binary.path, "a segment is writable and executable")
            if segment.align < policy.target.page_size:
                yield Finding("page-size", binary.path, f"a segment is aligned to {segment.align}, below {policy.target.page_size}")


def _interpreter(archive: Archive, policy: Policy) -> Findings:
    core = [binary for binary in _shipped(archive) if is_core(binary)]
    names = {symbol.name for binary in core for symbol in binary.imports}
    for glob in policy.interpreter_symbols:
        if not any(fnmatchcase(name, glob) for name in names):
            yield Finding("hardened-calls", core[0].path if core else "python/bin", f"the interpreter calls no {glob}")


def _symbols(archive: Archive, policy: Policy) -> Findings:
    flavour = flavour_of(archive.filename)
    for binary in _shipped(archive):
        if flavour is Flavour.STRIPPED and (binary.symbols or binary.debug):
            yield Finding("stripped", binary.path, f"still has {', '.join(binary.debug) or 'its symbol table'}")
        elif flavour is not Flavour.STRIPPED and not binary.symbols and binary.format is Format.ELF and is_core(binary):
            yield Finding("stripped", binary.path, f"has no symbol table, which {flavour.value if flavour else 'it'} should")


# --- extension modules


def _modules(archive: Archive, policy: Policy) -> Findings:
    flavour = flavour_of(archive.filename)
    found = {module_of(entry.path): entry.path for entry in archive.entries if module_of(entry.path)}
    wanted = policy.shared | policy.test if flavour is Flavour.FULL else policy.shared
    for name in sorted(wanted - found.keys()):
        yield Finding("modules", f"lib-dynload/{name}", "is missing")
    for name in sorted(found.keys() - wanted):
        yield Finding("modules", found[name], "is not in the list of extension modules")


def _metadata(archive: Archive, policy: Policy) -> Findings:
    if flavour_of(archive.filename) is not Flavour.FULL:
        return
    expected = {"target_triple": policy.target.triple, "python_version": policy.version}
    present = _places(archive)
    for where, what in chain(
        problems(archive.metadata, present),
        differences(archive.metadata, expected, policy.builtin, policy.shared | policy.test),
    ):
        yield Finding("metadata", f"python/PYTHON.json {where}", what)


# --- the toolchain add-on


def _sysroot(archive: Archive, policy: Policy) -> Findings:
    """The sysroot's libraries are stubs, which nothing loads; what is linked with them needs what they offer."""
    for binary in _shipped(archive):
        late = sorted({symbol.version for symbol in binary.exports if symbol.version and not _allowed(symbol, policy)})
        if binary.kind is Kind.SHARED and late:
            yield Finding("sysroot-version", binary.path, f"offers symbols of {', '.join(late)}")


Rule = Callable[[Archive, Policy], Findings]

OF_EVERY_ARCHIVE: tuple[Rule, ...] = (
    _name,
    _layout,
    _deterministic,
    _members,
    _contents,
    _bytecode,
    _foreign,
    _libraries,
    _search,
    _versions,
)
OF_DISTRIBUTIONS: tuple[Rule, ...] = (
    _exports,
    _private,
    _hardening,
    _interpreter,
    _symbols,
    _modules,
    _metadata,
)
OF_TOOLCHAINS: tuple[Rule, ...] = (_sysroot,)
"""zig is a program of its makers: hardening of what we link is not asked of it."""
