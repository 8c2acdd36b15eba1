"""Host tools: which programs of the build host a step may see, where they are, and the files they cannot run without."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graph import toml
from graph.errors import HostToolMissing, LockError, PlanError, did_you_mean

PLACE = "toolchains/host-tools.toml"
FIRST = ("/usr/bin", "/bin")
"""Looked in before the caller's PATH, which may lead to wrappers of version managers."""
PT_INTERP = 3
"""ELF program header of the interpreter's path (System V ABI)."""


@dataclass(frozen=True, slots=True)
class ToolSet:
    """Programs that are declared together."""

    programs: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    """File names of the host's libc and its parts, for programs of the target that the host runs; nothing where there is no Linux."""
    folders: tuple[str, ...] = ()
    """argv that prints, one a line, the folders its programs read."""
    check: tuple[str, ...] = ()
    """argv whose output must match `expect`."""
    expect: str = ""


@dataclass(frozen=True, slots=True)
class ToolTable:
    """toolchains/host-tools.toml."""

    sets: Mapping[str, ToolSet]
    alternatives: Mapping[str, tuple[str, ...]]
    packages: Mapping[str, Mapping[str, str]]
    """Program -> {family or "default": package}; the key "" is for programs that are not named."""
    install: Mapping[str, str]
    """Family -> command that installs the packages behind it."""


@dataclass(frozen=True, slots=True)
class HostTool:
    """A program of the host: called `name` inside, at `path` on the host (links followed)."""

    name: str
    path: Path


def parse_tools(text: str) -> ToolTable:
    """The table from its TOML. Raises LockError with the place of what is wrong."""
    try:
        data = toml.loads(text)
    except toml.TOMLDecodeError as error:
        raise LockError(str(error), place=PLACE) from error
    _only(data, {"sets", "alternatives", "packages", "install"}, "")
    sets = {name: _parse_set(name, body) for name, body in data.get("sets", {}).items()}
    alternatives = {name: _words(names, f"alternatives.{name}") for name, names in data.get("alternatives", {}).items()}
    packages: dict[str, Mapping[str, str]] = {}
    for name, body in data.get("packages", {}).items():
        families = {family: value for family, value in body.items() if family != "programs"}
        if "default" not in families:
            raise LockError("has no default", place=f"{PLACE}: packages.{name}")
        for program in _words(body.get("programs", []), f"packages.{name}.programs") or ("",):
            packages[program] = families
    return ToolTable(sets, alternatives, packages, dict(data.get("install", {})))


def find(table: ToolTable, names: Iterable[str], path: str) -> tuple[HostTool, ...]:
    """The programs of the sets (or single programs) `names`, sorted by name. Raises HostToolMissing that names all missing ones at once."""
    found, missing = {}, []
    for program in _programs(table, names):
        place = _which((*table.alternatives.get(program, ()), program), path)
        if place is None:
            missing.append(program)
        else:
            found[program] = HostTool(program, place)
    if missing:
        raise missing_error(table, missing, host_families())
    return tuple(found[name] for name in sorted(found))


def missing_error(table: ToolTable, programs: Iterable[str], families: tuple[str, ...]) -> HostToolMissing:
    """The error for missing programs, with their packages and the command for a host of `families` (closest first)."""
    named, packages = [], []
    for program in programs:
        options = table.packages.get(program) or table.packages.get("", {"default": program})
        package = next((options[family] for family in families if family in options), options["default"])
        named.append(f"{program} (package {package})")
        packages.append(package)
    command = next((table.install[family] for family in families if family in table.install), "install the packages")
    wanted = " ".join(dict.fromkeys(packages))
    return HostToolMissing(f"host tools are missing: {', '.join(named)}", place="PATH", hint=f"{command} {wanted}")


def parse_families(os_release: str) -> tuple[str, ...]:
    """ID, then ID_LIKE, of the text of /etc/os-release (freedesktop.org, os-release(5))."""
    fields = dict(line.split("=", 1) for line in os_release.splitlines() if "=" in line)
    return tuple(f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".replace('"', "").replace("'", "").split())


def host_families() -> tuple[str, ...]:
    """The names under which this host's packages may be listed."""
    if sys.platform == "darwin":
        return ("brew",)
    for place in ("/etc/os-release", "/usr/lib/os-release"):
        if Path(place).is_file():
            return parse_families(Path(place).read_text())
    return ()


class HostTools:
    """Resolves declared tools on this host, once a process each."""

    def __init__(self, table: ToolTable, path: str | None = None) -> None:
        self._table = table
        self._path = os.pathsep.join((*FIRST, os.environ.get("PATH", ""))) if path is None else path
        self._guard = threading.Lock()
        self._known: dict[tuple[str, ...], Mapping[str, str]] = {}
        self._needs: dict[Path, Mapping[str, str]] = {}

    def __call__(self, names: tuple[str, ...]) -> Mapping[str, str]:
        """{path inside: path on the host} of the tools, at /usr/bin/NAME, and of all files they need. Raises HostToolMissing."""
        with self._guard:
            if names not in self._known:
                self._known[names] = self._binds(names)
            return self._known[names]

    def _binds(self, names: tuple[str, ...]) -> Mapping[str, str]:
        tools = find(self._table, names, self._path)
        for name in names:
            if name in self._table.sets:
                check(self._table, self._table.sets[name], tools)
        binds = {f"/usr/bin/{tool.name}": str(tool.path) for tool in tools}
        for tool in tools:
            binds |= self._needed(tool.path)
        for name in names:
            binds |= self._libraries(name)
        for folder in self._folders(names, tools):
            binds[folder] = os.path.realpath(folder)
        return binds

    def _libraries(self, name: str) -> Mapping[str, str]:
        """The loader, and the set's libraries, which lie beside the libc of sh."""
        wanted = self._table.sets[name].libraries if name in self._table.sets else ()
        if not wanted or sys.platform != "linux":
            return {}
        [sh] = find(self._table, ("sh",), self._path)
        needed = self._needed(sh.path)
        home = next((os.path.dirname(at) for at in needed if Path(at).name == wanted[0]), "")  # noqa: PTH120
        missing = [library for library in wanted if not Path(home, library).exists()]
        if missing:
            raise HostToolMissing(f"the host's libc lacks {', '.join(missing)}", place=f"{PLACE}: sets.{name}", hint=f"ldd {sh.path}")
        return {**needed, **{f"{home}/{library}": os.path.realpath(f"{home}/{library}") for library in wanted}}

    def _needed(self, path: Path) -> Mapping[str, str]:
        if path not in self._needs:
            self._needs[path] = dict(needed_files(path)) if sys.platform == "linux" else {}
        return self._needs[path]

    def _folders(self, names: tuple[str, ...], tools: tuple[HostTool, ...]) -> Iterator[str]:
        for name in names:
            argv = self._table.sets[name].folders if name in self._table.sets else ()
            if argv:
                yield from filter(None, _output(argv, tools).splitlines())


def check(table: ToolTable, tool_set: ToolSet, tools: tuple[HostTool, ...]) -> None:
    """Run the set's check. Raises HostToolMissing when what it prints is not as expected."""
    if tool_set.check and not re.search(tool_set.expect, _output(tool_set.check, tools)):
        program = tool_set.check[0]
        error = missing_error(table, [program], host_families())
        what = f"{program} is not whole or too old: `{' '.join(tool_set.check)}` did not print {tool_set.expect}"
        raise HostToolMissing(what, place=PLACE, hint=error.hint)


def needed_files(program: Path) -> Iterator[tuple[str, str]]:
    """(path inside, path on the host) of the interpreter and shared libraries of a program, and of the interpreter of a script."""
    with program.open("rb") as file:
        head = file.read(4096)
    if head.startswith(b"#!"):
        interpreter = head[2:].split(b"\n")[0].split()[0].decode()
        # /bin is a link to /usr/bin inside
        yield re.sub(r"^/bin/", "/usr/bin/", interpreter), os.path.realpath(interpreter)
        yield from needed_files(Path(interpreter).resolve())
    interpreter = elf_interpreter(head)
    if interpreter:
        yield interpreter, os.path.realpath(interpreter)
        yield from _libraries(program, interpreter)


def elf_interpreter(head: bytes) -> str:
    """Path of the dynamic loader that an ELF file asks for, from its first bytes; empty for static programs and for all else."""
    if head[:4] != b"\x7fELF":
        return ""
    order = "<" if head[5] == 1 else ">"
    wide = head[4] == 2
    table = struct.unpack_from(f"{order}Q" if wide else f"{order}I", head, 32 if wide else 28)[0]
    size, count = struct.unpack_from(f"{order}HH", head, 54 if wide else 42)
    for at in range(table, min(table + size * count, len(head) - size), size):
        if struct.unpack_from(f"{order}I", head, at)[0] == PT_INTERP:
            start, length = _offset_and_size(head, at, order, wide)
            return head[start : start + length].rstrip(b"\0").decode()
    return ""


def _offset_and_size(head: bytes, at: int, order: str, wide: bool) -> tuple[int, int]:
    """p_offset and p_filesz of the program header at `at`."""
    form, first, second = ("Q", 8, 32) if wide else ("I", 4, 16)
    return struct.unpack_from(order + form, head, at + first)[0], struct.unpack_from(order + form, head, at + second)[0]


def _libraries(program: Path, interpreter: str) -> Iterator[tuple[str, str]]:
    """The libraries as the loader itself lists them (glibc and musl know --list).

    There is no ld.so.cache inside, so one outside the folder of libc, which the loader always searches, is also placed there.
    """
    listed = subprocess.run([interpreter, "--list", str(program)], env={}, capture_output=True, text=True, check=False).stdout
    paths = re.findall(r"(/\S+) \(0x", listed)
    home = next((os.path.dirname(path) for path in paths if "libc.so" in path), "")  # noqa: PTH120
    for path in paths:
        yield path, os.path.realpath(path)
        if home and path != interpreter:
            yield f"{home}/{Path(path).name}", os.path.realpath(path)


def _programs(table: ToolTable, names: Iterable[str]) -> Iterator[str]:
    """The programs of all names. Raises PlanError for one that is neither a set nor a program."""
    known = {program for each in table.sets.values() for program in each.programs}
    for name in names:
        if name in table.sets:
            yield from table.sets[name].programs
        elif name in known:
            yield name
        else:
            raise PlanError(f"no host tool or set {name!r}", place=PLACE, hint=did_you_mean(name, {*table.sets, *known}))


def _which(names: Iterable[str], path: str) -> Path | None:
    """The first of `names` on `path`, links followed."""
    for name in names:
        for folder in filter(None, path.split(os.pathsep)):
            place = Path(folder, name)
            # not Path.is_file: a folder of PATH may be closed to us
            if os.path.isfile(place) and os.access(place, os.X_OK):  # noqa: PTH113
                return place.resolve()
    return None


def _output(argv: tuple[str, ...], tools: tuple[HostTool, ...]) -> str:
    """What a found tool prints."""
    path = next(tool.path for tool in tools if tool.name == argv[0])
    return subprocess.run([argv[0], *argv[1:]], executable=path, env={"LC_ALL": "C"}, capture_output=True, text=True, check=False).stdout


def _parse_set(name: str, body: Mapping[str, Any]) -> ToolSet:
    place = f"sets.{name}"
    _only(body, {"programs", "libraries", "folders", "check", "expect"}, place)
    words = {key: _words(body.get(key, []), f"{place}.{key}") for key in ("programs", "libraries", "folders", "check")}
    return ToolSet(**words, expect=str(body.get("expect", "")))


def _words(value: object, place: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise LockError("is not a list of strings", place=f"{PLACE}: {place}")
    return tuple(value)


def _only(body: Mapping[str, object], known: set[str], place: str) -> None:
    for key in body:
        if key not in known:
            raise LockError(f"unknown key {key!r}", place=f"{PLACE}: {place or 'top level'}", hint=did_you_mean(key, known))
