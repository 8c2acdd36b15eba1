"""Nodes: the manifest names all that can change a node's bytes, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.digest import Digest
from graph.node import Action, Fetch, File, Input, Node, Run, Step, Unpack, key, manifest

ZLIB = Input("make:x:zlib", "deps/zlib")
SRC = Input("source:cpython", "src", only=("Lib/",), writable=True)
RUN = Run((Step(("make", "-C", "src")), Step(("make", "install"), "src")), (("CC", "cc"), ("TZ", "UTC")), "out", ("make", "posix"))
NODE = Node("make:x:cpython", RUN, (SRC, ZLIB), (File("a.sh", b"true\n"), File("b.sh", b"", True)), "linux-x86_64")
FETCH = Node("fetch:a", Fetch("a", "a.tar.gz", "0" * 64, 10))
UNPACK = Node("source:a", Unpack(1, ("a/",), ("b/",)))
TREES = {SRC: Digest.of(b"src"), ZLIB: Digest.of(b"zlib")}


def key_of(node: Node, **trees: bytes) -> str:
    """The node's key; an input's tree can be changed by the name of its place."""
    digests = {given: Digest.of(trees.get(given.at, given.at.encode())) for given in node.inputs}
    return key(manifest(node, digests))


def with_run(**change: object) -> Node:
    return replace(NODE, action=replace(RUN, **change))  # type: ignore[arg-type]


CHANGED = {
    "platform": replace(NODE, platform="linux-aarch64"),
    "action": replace(NODE, action=Unpack()),
    "argv": with_run(steps=(Step(("make", "-Csrc")), RUN.steps[1])),
    "argv joined": with_run(steps=(Step(("make", "-C src")), RUN.steps[1])),
    "cwd": with_run(steps=(Step(RUN.steps[0].argv, "src"), RUN.steps[1])),
    "steps turned": with_run(steps=RUN.steps[::-1]),
    "one step less": with_run(steps=RUN.steps[:1]),
    "env value": with_run(env=(("CC", "gcc"), ("TZ", "UTC"))),
    "env name": with_run(env=(("CXX", "cc"), ("TZ", "UTC"))),
    "env less": with_run(env=(("CC", "cc"),)),
    "output": with_run(output="src"),
    "tools": with_run(tools=("make", "posix", "perl")),
    "place of an input": replace(NODE, inputs=(SRC, replace(ZLIB, at="deps/z"))),
    "writable": replace(NODE, inputs=(SRC, replace(ZLIB, writable=True))),
    "input less": replace(NODE, inputs=(SRC,)),
    "file bytes": replace(NODE, files=(File("a.sh", b"false\n"), NODE.files[1])),
    "file mode": replace(NODE, files=(File("a.sh", b"true\n", True), NODE.files[1])),
    "file path": replace(NODE, files=(File("c.sh", b"true\n"), NODE.files[1])),
    "files turned": replace(NODE, files=NODE.files[::-1]),
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_can_change_the_bytes_changes_the_key(name: str) -> None:
    assert key_of(CHANGED[name]) != key_of(NODE)


@pytest.mark.parametrize(
    "action",
    [Fetch("a", "b.tar.gz", "0" * 64, 10), Fetch("a", "a.tar.gz", "1" * 64, 10), Fetch("a", "a.tar.gz", "0" * 64, 9)],
)
def test_a_fetch_is_its_name_hash_and_size(action: Action) -> None:
    assert key_of(replace(FETCH, action=action)) != key_of(FETCH)


@pytest.mark.parametrize(
    "action",
    [Unpack(0, ("a/",), ("b/",)), Unpack(1, ("b/",), ("b/",)), Unpack(1, ("a/", "b/"), ()), Unpack(1, (), ("b/",))],
)
def test_an_unpack_is_its_strip_and_globs(action: Action) -> None:
    assert key_of(replace(UNPACK, action=action)) != key_of(UNPACK)


@pytest.mark.parametrize("at", ["src", "deps/zlib"])
def test_the_bytes_of_an_input_change_the_key(at: str) -> None:
    assert key_of(NODE, **{at: b"other"}) != key_of(NODE)


@pytest.mark.parametrize(
    "same",
    [
        replace(NODE, name="make:y:cpython"),
        replace(NODE, inputs=NODE.inputs[::-1]),
        replace(NODE, inputs=(SRC, replace(ZLIB, node="make:x:zlib-ng"))),
        replace(NODE, inputs=(replace(SRC, only=("Lib/", "Doc/")), ZLIB)),
        with_run(env=RUN.env[::-1]),
        with_run(tools=RUN.tools[::-1]),
    ],
    ids=["name", "order of inputs", "maker of an input", "filter that keeps the same", "order of env", "order of tools"],
)
def test_what_cannot_change_the_bytes_leaves_the_key(same: Node) -> None:
    assert key_of(same) == key_of(NODE)


def test_where_a_source_is_listed_is_no_part_of_the_key() -> None:
    assert key_of(replace(FETCH, action=Fetch("b", "a.tar.gz", "0" * 64, 10))) == key_of(FETCH)


@given(st.lists(st.text("ab\n ", max_size=3), min_size=1, max_size=4), st.lists(st.text("ab\n ", max_size=3), min_size=1, max_size=4))
def test_two_argvs_never_share_a_key(one: list[str], other: list[str]) -> None:
    keys = [key_of(with_run(steps=(Step(tuple(argv)),))) for argv in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)


def test_the_names_of_manifest_lines_are_unique() -> None:
    names = [name for name, _ in manifest(NODE, TREES)]
    assert len(names) == len(set(names))


def test_kind_is_the_first_part_of_the_name() -> None:
    assert NODE.kind == "make"
