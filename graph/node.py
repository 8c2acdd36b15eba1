"""Nodes: frozen descriptions of one step of the graph, and the manifest that their key hashes.

`manifest` is the only reader of a node that decides its identity: `key` hashes its lines and `explain` diffs them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from graph.digest import Digest, canonical

SCHEMA = "1"
"""Raised when what a manifest means changes; every key changes with it."""


@dataclass(frozen=True, slots=True)
class Input:
    """The output tree of another node, placed at /build/<at>."""

    node: str
    """Name of the node that makes the tree."""
    at: str
    """Where it is placed, relative to /build, e.g. "src" or "deps/zlib"."""
    only: tuple[str, ...] = ()
    """Keep only paths that match one of these globs; empty keeps all. `**` crosses directories, a trailing `/` means the whole folder."""
    without: tuple[str, ...] = ()
    """Then leave out paths that match one of these."""
    subdir: str = ""
    """Take this folder of the tree as its root."""
    writable: bool = False
    """A private copy, all files with the one fixed mtime; otherwise a read-only mount."""


@dataclass(frozen=True, slots=True)
class File:
    """A small file of the repository (patch, script, configuration), placed at /build/<path>."""

    path: str
    data: bytes
    executable: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One process: argv (argv[0] is looked up on the node's PATH), run in /build/<cwd>."""

    argv: tuple[str, ...]
    cwd: str = "work"


@dataclass(frozen=True, slots=True)
class Fetch:
    """Bring one artefact of sources.lock into the store; its output tree holds one file, `filename`."""

    source: str
    """Name of the entry in sources.lock: where to get it is looked up there, and is no part of the key."""
    filename: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Unpack:
    """Unpack the one archive in the first input, drop `strip` leading path parts, apply the node's files (patches) in order."""

    strip: int = 1
    only: tuple[str, ...] = ()
    """Globs (after strip) of what is kept before patching; empty keeps all."""
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """Run steps in the sandbox; the tree at /build/<output> is the result."""

    steps: tuple[Step, ...]
    env: tuple[tuple[str, str], ...] = ()
    """The whole environment, sorted by name at birth. Nothing else is set but MAKEFLAGS (the jobserver, which changes no bytes)."""
    output: str = "out"
    tools: tuple[str, ...] = ()
    """Host tool sets or programs the steps may see (toolchains/host-tools.toml), e.g. ("posix", "make", "perl")."""


Action = Fetch | Unpack | Run


@dataclass(frozen=True, slots=True)
class Node:
    """One step of the graph."""

    name: str
    """kind:where:what, e.g. make:x86_64-unknown-linux-gnu:openssl."""
    action: Action
    inputs: tuple[Input, ...] = ()
    files: tuple[File, ...] = ()
    platform: str = ""
    """Where a Run executes, e.g. linux-x86_64; empty where the action gives the same bytes anywhere."""

    @property
    def kind(self) -> str:
        return self.name.partition(":")[0]


Manifest = tuple[tuple[str, str], ...]


NO_TOOLS: Mapping[str, str] = MappingProxyType({})


def manifest(node: Node, digests: Mapping[Input, object], tools: Mapping[str, str] = NO_TOOLS) -> Manifest:
    """Named lines of everything that can change the node's bytes.

    `digests` gives the Digest of each input's tree *after* its filter, so what a node does not see is not in its key (only deep_keys() puts
    something else there); `tools` what each set of host tools holds, since a program that is there or not changes what a configure script
    finds.
    """
    return tuple(_lines(node, digests, tools))


def key(lines: Manifest) -> str:
    """The node's identity: sha256 (hex) of its canonical manifest."""
    return hashlib.sha256(canonical(lines)).hexdigest()


def _lines(node: Node, digests: Mapping[Input, object], tools: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield "schema", SCHEMA
    yield "platform", node.platform
    yield from _action_lines(node.action)
    if isinstance(node.action, Run):
        for tool in sorted(node.action.tools):
            yield f"tool {tool}", tools.get(tool, tool)
    for given in sorted(node.inputs, key=lambda i: i.at):
        yield f"input {given.at}", str(digests[given])
        if given.writable:
            yield f"input {given.at} writable", "yes"
    # patches apply in order, so files keep theirs
    for index, file in enumerate(node.files):
        mode = "executable" if file.executable else "plain"
        yield f"file {index} {file.path}", f"{mode} {Digest.of(file.data)}"


def _action_lines(action: Action) -> Iterator[tuple[str, str]]:
    if isinstance(action, Fetch):
        yield "action", "fetch"
        yield "filename", action.filename
        yield "digest", f"{action.sha256}/{action.size}"
    elif isinstance(action, Unpack):
        yield "action", "unpack"
        yield "strip", str(action.strip)
        yield from _numbered("only", action.only)
        yield from _numbered("without", action.without)
    else:
        yield "action", "run"
        for number, step in enumerate(action.steps):
            yield f"step {number} cwd", step.cwd
            yield from _numbered(f"step {number} argv", step.argv)
        for name, value in sorted(action.env):
            yield f"env {name}", value
        yield "output", action.output


def _numbered(name: str, values: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for index, value in enumerate(values):
        yield f"{name} {index}", value
