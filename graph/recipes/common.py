"""What recipes share: their context, the names of nodes, and the nodes that every package has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, TypedDict

from graph.errors import PlanError
from graph.lock import Lock, Source
from graph.node import Fetch, File, Input, Node, Run, Step, Unpack
from graph.target import ABI_OPTIONS, Cell, Target

if TYPE_CHECKING:
    # (Unpack of graph.node is another)
    import typing_extensions


@dataclass(frozen=True, slots=True)
class Host:
    """The machine that executes nodes."""

    platform: str
    """os-arch, e.g. linux-x86_64: names the zig wheel and stands in the keys of Run nodes."""
    target: Target
    """The one whose programs it runs natively."""

    @property
    def triple(self) -> str:
        return self.target.triple


@dataclass(frozen=True, slots=True)
class Context:
    """All that a recipe may know."""

    cell: Cell
    host: Host
    lock: Lock
    files: Mapping[str, File]
    """Files of the repository under patches/, toolchains/ and graph/runtime/, by their path there."""
    steps_version: str = ""
    """The Python that runs steps of packages, which belong to no version."""
    folders: dict[tuple[str, str], tuple[Mapping[str, File], tuple[File, ...]]] = field(default_factory=dict, repr=False, compare=False)
    """Memo of `below`, for all contexts of a plan: some thousand nodes ask for the same few."""

    @property
    def triple(self) -> str:
        return self.cell.target.triple

    def source(self, name: str) -> Source:
        """The lock's entry. Raises PlanError when there is none."""
        try:
            return self.lock.sources[name]
        except KeyError:
            raise PlanError(f"no source named {name!r}", place="sources.lock", hint=f"add [sources.{name}], then doit lock") from None

    def file(self, path: str, at: str, *, executable: bool | None = None) -> File:
        """The repository's file `path`, to be placed at /build/<at>."""
        try:
            file = self.files[path]
        except KeyError:
            raise PlanError(f"no file {path}", place="recipe", hint="git status") from None
        return File(at, file.data, file.executable if executable is None else executable)

    def folder(self, path: str, at: str) -> tuple[File, ...]:
        """All files of the repository under `path`, placed under /build/<at>."""
        found = self.below(path, at)
        if not found:
            raise PlanError(f"no files under {path}", place="recipe", hint="git status")
        return found

    def below(self, path: str, at: str) -> tuple[File, ...]:
        """The same, of a folder that there may be."""
        known = self.folders.get((path, at))
        # a context that was made from this one may have other files
        if known is None or known[0] is not self.files:
            prefix = path.rstrip("/") + "/"
            inside = sorted(name for name in self.files if name.startswith(prefix))
            found = tuple(replace(self.files[name], path=f"{at}/{name.removeprefix(prefix)}") for name in inside)
            known = self.folders[path, at] = (self.files, found)
        return known[1]


Recipe = Callable[[Context], tuple[Node, ...]]
Scope = Callable[[Context], tuple[Context, ...]]


@dataclass(frozen=True, slots=True)
class Scoped:
    """A recipe whose nodes depend on no more of a cell than `scope` leaves: it is called once for all cells that are the same to it.

    A scope of a cell may be several, or none: of a target with slices each of them is compiled, and the whole is merged. A recipe without
    a scope gets every cell as it is.
    """

    scope: Scope
    recipe: Recipe


HOT = frozenset({"bzip2", "sqlite", "xz", "zlib", "zstd"})
"""Packages that are compiled for a target's processor level, as CPython is; of all others a target with a baseline takes the baseline's.

docs/targets.md says what was measured.
"""


def package_name(ctx: Context, package: str) -> str:
    """make:TRIPLE:PACKAGE, the node that has what the cell's modules use of a package."""
    target = ctx.cell.target
    return f"make:{target if package in HOT else target.baseline or target}:{package}"


def of_target(ctx: Context) -> tuple[Context, ...]:
    """Packages: neither Python nor options; steps that need a Python run one of their own version. Windows has recipes of its own.

    A target's baseline is a target, too.
    """
    return _packages(ctx, dict.fromkeys(one for target in ctx.cell.target.compiled for one in target.with_baseline))


def of_baseline(ctx: Context) -> tuple[Context, ...]:
    """The same of packages that are not HOT: a target with a baseline has none of its own."""
    return _packages(ctx, [target.baseline or target for target in ctx.cell.target.compiled])


def _packages(ctx: Context, targets: Iterable[Target]) -> tuple[Context, ...]:
    version = ctx.steps_version or ctx.cell.version
    if ctx.cell.target.os == "windows":
        return ()
    return tuple(replace(ctx, cell=Cell(target, "", ()), steps_version=version) for target in targets)


def of_abi(ctx: Context) -> tuple[Context, ...]:
    """Extension modules: target, version and the options that they see."""
    return tuple(map(_abi, of_cell(ctx)))


def of_version(ctx: Context) -> tuple[Context, ...]:
    """The standard library: version, and whether it is the free-threaded one's."""
    kept = tuple(name for name in ctx.cell.options if name == "freethreaded")
    return (replace(ctx, cell=Cell(ctx.host.target, ctx.cell.version, kept)),)


def of_cell(ctx: Context) -> tuple[Context, ...]:
    """All that is compiled as upstream does for Unix: the cell, or those of its slices."""
    target = ctx.cell.target
    if target.os == "windows":
        return ()
    return tuple(replace(ctx, cell=replace(ctx.cell, target=one)) for one in target.slices) if target.slices else (ctx,)


def of_windows(ctx: Context) -> tuple[Context, ...]:
    """Windows, whose nodes have recipes of their own: upstream builds it by other means."""
    return (ctx,) if ctx.cell.target.os == "windows" else ()


def of_windows_abi(ctx: Context) -> tuple[Context, ...]:
    """The same of what depends on no more than extension modules do."""
    return tuple(map(_abi, of_windows(ctx)))


def of_windows_target(ctx: Context) -> tuple[Context, ...]:
    """The same of packages."""
    version = ctx.steps_version or ctx.cell.version
    return tuple(replace(one, cell=Cell(one.cell.target, "", ()), steps_version=version) for one in of_windows(ctx))


def of_merged(ctx: Context) -> tuple[Context, ...]:
    """What is merged of slices: the cell, if it has any."""
    return (ctx,) if ctx.cell.target.slices else ()


def of_merged_abi(ctx: Context) -> tuple[Context, ...]:
    """The same of what depends on no more than extension modules do."""
    return tuple(map(_abi, of_merged(ctx)))


def _abi(ctx: Context) -> Context:
    kept = tuple(name for name in ctx.cell.options if name in ABI_OPTIONS)
    return replace(ctx, cell=replace(ctx.cell, options=kept))


def fetch_node(ctx: Context, name: str) -> Node:
    """fetch:NAME"""
    source = ctx.source(name)
    return Node(f"fetch:{name}", Fetch(name, source.filename, source.sha256, source.size))


def patches_for(ctx: Context, package: str, version: str) -> tuple[File, ...]:
    """patches/PACKAGE/*.patch that apply to `version` (header `Versions:`, e.g. `3.13` or `all`), in the order of their names.

    A folder there is a package of its own, for a recipe that names it: cpython/windows.
    """
    return tuple(
        File(file.path, file.data)
        for file in ctx.below(f"patches/{package}", f"patches/{package}")
        if file.path.endswith(".patch") and file.path.rpartition("/")[0] == f"patches/{package}" and patch_applies(file.data, version)
    )


@cache
def patch_applies(patch: bytes, version: str) -> bool:
    """A patch names the versions it is for in its header; each is a prefix of the version at a dot."""
    for line in patch.split(b"\n--- ", 1)[0].decode().splitlines():
        if line.startswith("Versions:"):
            wanted = line.removeprefix("Versions:").replace(",", " ").split()
            return "all" in wanted or any((version + ".").startswith(w + ".") for w in wanted)
    return True


def source_node(
    ctx: Context, name: str, *, package: str = "", strip: int = 1, only: tuple[str, ...] = (), without: tuple[str, ...] = ()
) -> Node:
    """source:NAME, the unpacked and patched tree; patches come from patches/<package or name>/."""
    version = ctx.source(name).version
    return Node(
        f"source:{name}",
        Unpack(strip, only, without),
        inputs=(Input(f"fetch:{name}", "archive"),),
        files=patches_for(ctx, package or name, version),
    )


def environment(ctx: Context, **more: str) -> tuple[tuple[str, str], ...]:
    """The whole environment of a step that compiles for the target: drivers first on PATH, C locale, UTC, fixed date."""
    target = ctx.cell.target
    base = {
        "PATH": "/build/tc/bin:/usr/bin:/bin",
        "HOME": "/build/tmp",
        "TMPDIR": "/build/tmp",
        "LC_ALL": "C",
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": str(ctx.lock.epoch),
        "PKG_CONFIG_LIBDIR": "/build/none",
        "ZIG": "/build/zig/zig",
        "CLANG_TARGET": target.clang,
        "CLANG_TARGET_FLAGS": " ".join(target.cpu_flags),
        "CONFIG_SHELL": "/bin/sh",
        "CC": "cc",
        "CXX": "c++",
        "AR": "ar",
        "BUILD_MACHINE": ctx.host.platform.partition("-")[2],
        "RANLIB": "ranlib",
    }
    return tuple(sorted({**base, **more}.items()))


def configure_triples(ctx: Context) -> tuple[str, str]:
    """--build and --host of configure scripts: both the target where its programs run, so that checks are run and nothing is guessed."""
    target = ctx.cell.target
    build = ctx.host.target.autoconf if target.run in ("none", "wine") else target.autoconf
    return (f"--build={build}", f"--host={target.autoconf}")


def emulator(ctx: Context) -> str:
    """The command that runs the target's programs on the build host, with what `emulation_inputs` gives; empty where nothing is due."""
    target = ctx.cell.target
    if target.run == "qemu":
        return f"/build/qemu/qemu-{target.qemu} -L /build/runtime"
    if target.run == "native" and target.libc != ctx.host.target.libc:
        return f"/build/runtime/lib/ld-musl-{target.arch}.so.1"
    return ""


def emulation_inputs(ctx: Context) -> tuple[Input, ...]:
    """What `emulator` reads: the emulator, and the target's libc as it is on its systems."""
    target = ctx.cell.target
    program = (Input(f"qemu:{target.qemu}", "qemu"),) if target.run == "qemu" else ()
    return (*program, Input(f"runtime:{target}", "runtime")) if emulator(ctx) else ()


DRIVERS = {"linux": "toolchains/driver", "macos": "toolchains/macos/driver", "windows": "toolchains/windows/driver"}
"""Per target's system: cc, c++, ar, ranlib, ld and what else a build calls."""
NATIVE_DRIVERS = {"linux": (), "macos": ("toolchains/macos/native",)}
BUILD_DRIVERS = {"linux": "toolchains/build-driver", "macos": "toolchains/macos/build-driver"}
"""Per build host's system: what it has in their place for targets of its own system, and the compiler of programs that a build runs."""
LINKERS: Mapping[tuple[str, str], tuple[str, ...]] = {("macos", "macos"): ("lld",)}
"""Per system of host and target: the set of host tools that links, where none of the graph's does."""


def needs_lld(ctx: Context) -> bool:
    """Is lld taken from the graph: zig's has no drivers for Mach-O and for MinGW. A Mac has its own linker for its own files."""
    return ctx.cell.target.os in ("macos", "windows") and ctx.cell.target.os != ctx.host.target.os


def _drivers(ctx: Context) -> tuple[File, ...]:
    target, host = ctx.cell.target.os, ctx.host.target.os
    folders = (DRIVERS[target], *(NATIVE_DRIVERS[host] if target == host else ()))
    return tuple({file.path: file for folder in folders for file in ctx.folder(folder, "tc/bin")}.values())


def toolchain_inputs(ctx: Context) -> tuple[Input, ...]:
    """zig's program (clang, lld, ar in one file), the target's sysroot, and the lld that writes what zig's cannot."""
    lld = (Input("toolchain:lld", "lld"),) if needs_lld(ctx) else ()
    return (Input("toolchain:zig", "zig", only=("zig",)), Input(f"libc:{ctx.triple}", "libc"), *lld)


class More(TypedDict, total=False):
    """Arguments of `compile_node` that those who call it hand on."""

    files: tuple[File, ...]
    tools: tuple[str, ...]
    build_cc: bool


def compile_node(
    ctx: Context,
    name: str,
    steps: tuple[Step, ...],
    *,
    inputs: tuple[Input, ...] = (),
    files: tuple[File, ...] = (),
    tools: tuple[str, ...] = ("posix", "make"),
    output: str = "out",
    env: Mapping[str, str] | None = None,
    build_cc: bool = False,
) -> Node:
    """A Run node with the toolchain, its drivers at /build/tc and the target's environment; `build_cc`: one for the build host, too."""
    for_host = (Input(f"libc:{ctx.host.triple}", "buildlibc"),) if build_cc else ()
    build_driver = ctx.folder(BUILD_DRIVERS[ctx.host.target.os], "tc/bin") if build_cc else ()
    tools = (*tools, *LINKERS.get((ctx.host.target.os, ctx.cell.target.os), ()))
    host = {"BUILD_TARGET": ctx.host.target.clang} if build_cc else {}
    host_libraries = ("glibc",) if build_cc else ()
    return Node(
        name,
        Run(steps, environment(ctx, **host, **(env or {})), output, (*tools, *host_libraries)),
        inputs=toolchain_inputs(ctx) + for_host + inputs,
        files=_drivers(ctx) + build_driver + ctx.folder("toolchains/shims", "tc/bin") + files,
        platform=ctx.host.platform,
    )


def configure_node(
    ctx: Context,
    name: str,
    steps: tuple[Step, ...],
    *,
    inputs: tuple[Input, ...] = (),
    env: Mapping[str, str] | None = None,
    **more: typing_extensions.Unpack[More],
) -> Node:
    """A compile node whose programs run: by themselves, or with `emulator`. Its output is the build tree.

    No more of a processor is asked for than the build host's own target has: an answer does not depend on it, a program that runs does.
    """
    target = ctx.cell.target
    flags = {"CLANG_TARGET_FLAGS": " ".join(ctx.host.target.cpu_flags)} if target.run == "native" else {}
    emulation = {"EMULATOR": emulator(ctx)} if emulator(ctx) else {}
    return compile_node(
        ctx,
        name,
        steps,
        inputs=(*emulation_inputs(ctx), *inputs),
        output="work",
        env={**flags, **emulation, **(env or {})},
        **more,
    )
