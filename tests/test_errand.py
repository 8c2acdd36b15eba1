"""An errand: its input root against the store's own trees, what it names, and its phases."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from graph.digest import Digest, Directory
from graph.errand import PHASES, Errand, compose, errand, phases_of
from graph.node import File, Input, Node, Run, Step
from graph.store import Store
from tests.remotes import PB


def test_a_composed_tree_is_the_one_that_the_store_makes_of_the_same_files(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for name, text in (("given/0/a", "a"), ("given/0/b/c", "c"), ("tools/bin/sh", "sh"), ("top", "top")):
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "root/tools/bin/sh").chmod(0o755)
    whole = store.put_tree(tmp_path / "root")
    leaves: dict[str, Digest | tuple[Digest, bool]] = {
        "top": (Digest.of(b"top"), False),
        "given/0": store.put_tree(tmp_path / "root/given/0"),
        "tools/bin/sh": (Digest.of(b"sh"), True),
    }
    root, blobs = compose(leaves)
    assert root == whole
    assert {Digest.of(data) for data in blobs.values()} == set(blobs)
    assert len(blobs) == 4, "root, given, tools, tools/bin: what a leaf holds is no message of this"


RUN = Run((Step(("make",)), Step(("cp", "a", "out"), cwd=".")), (("PATH", "/usr/bin"),), "work", ("posix",))
NODE = Node(
    "make:x",
    RUN,
    (Input("a", "src"), Input("b", "work", writable=True)),
    (File("tc/bin/cc", b"#!/bin/sh", True), File("x.mk", b"all:")),
)
TREES = {given: Digest.of(given.node.encode()) for given in NODE.inputs}
TOOLS = Digest.of(b"tools")


def sent(cores: int = 2) -> Errand:
    return errand(NODE, RUN, TREES, (TOOLS, ("/usr/bin/sh",)), {"farmhand.py": b"pass"}, (("b", "2"), ("a", "1")), cores)


def test_an_errand_names_all_that_the_node_is_made_from() -> None:
    found = sent()
    action = PB.Action.FromString(found.blobs[found.action])
    blobs = {digest.hash: data for digest, data in found.blobs.items()}
    command = PB.Command.FromString(blobs[action.command_digest.hash])
    assert action.do_not_cache
    assert list(command.output_paths) == ["out"]
    assert [(one.name, one.value) for one in action.platform.properties] == [("a", "1"), ("b", "2")]
    assert action.platform == command.platform
    assert not any(word.startswith("/") and word != "/usr/bin/env" for word in command.arguments)
    root = Directory.decode(blobs[action.input_root_digest.hash])
    assert dict(root.directories)["tools"] == TOOLS
    inputs = Directory.decode(blobs[dict(root.directories)["given"].hash])
    assert [digest for _, digest in inputs.directories] == list(TREES.values())
    spec = json.loads(blobs[{name: digest for name, digest, _ in root.files}["spec.json"].hash])
    assert spec == {
        "inputs": [{"at": "src", "writable": False}, {"at": "work", "writable": True}],
        "tools": ["/usr/bin/sh"],
        "steps": [[["make"], "/build/work"], [["cp", "a", "out"], "/build/."]],
        "env": {"PATH": "/usr/bin"},
        "output": "work",
        "cores": 2,
    }
    assert {b"#!/bin/sh", b"all:", b"pass"} <= set(blobs.values())


def test_an_errand_is_a_value() -> None:
    assert sent() == sent()
    assert sent().action != sent(cores=3).action


TIMES = {"worker_start": 1005.0, "input_fetch_completed": 1006.0, "execution_completed": 1010.0, "worker_completed": 1011.0}


def test_the_phases_of_an_errand_by_another_clock() -> None:
    phases = phases_of(TIMES, 0.5, (0.0, 2.0), 10.0)
    assert [(one.name, one.start, one.end) for one in phases] == [
        ("upload", 0.0, 2.0),
        ("queue", 2.0, 4.0),
        ("fetch", 4.0, 5.0),
        ("stage", 5.0, 5.5),
        ("run", 5.5, 9.0),
        ("collect", 9.0, 10.0),
    ]


def test_a_server_that_tells_nothing() -> None:
    phases = phases_of({}, 0.5, (0.0, 2.0), 10.0)
    assert [(one.name, one.end - one.start) for one in phases if one.end > one.start] == [("upload", 2.0), ("stage", 0.5), ("run", 7.5)]


@given(st.dictionaries(st.sampled_from(sorted(TIMES)), st.floats(0, 1e10)), st.floats(0, 1e4), st.floats(0, 10), st.floats(0, 100))
def test_phases_follow_one_another_whatever_a_server_tells(times: dict[str, float], staged: float, upload: float, wait: float) -> None:
    phases = phases_of(times, staged, (0.0, upload), upload + wait)
    assert tuple(one.name for one in phases) == PHASES
    assert [one.start for one in phases] == [0.0, *(one.end for one in phases[:-1])]
    assert all(one.start <= one.end for one in phases)
    assert phases[-1].end == upload + wait
