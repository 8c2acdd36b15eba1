"""Golden keys of the real plan: a changed node is seen in review, so that rebuilding it is a decision.

`pytest --golden` writes them anew.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from graph.digest import Digest
from graph.node import SCHEMA, Node, key, manifest
from graph.picture import svg
from graph.plan import Plan, make_plan
from graph.recipes.common import Context, Host
from graph.session import Session
from graph.trees import FILTER_SCHEMA

ROOT = Path(__file__).resolve().parent.parent
SESSION = Session(ROOT, {})
TARGET = "x86_64-unknown-linux-gnu"
KEPT = tuple(
    f"dist:{triple}:{SESSION.matrix.versions[0]}:{options}"
    for triple, options in (
        ("aarch64-unknown-linux-gnu", "lto"),
        ("x86_64_v3-unknown-linux-gnu", "lto"),
        ("x86_64-unknown-linux-musl", "lto"),
        ("x86_64-unknown-linux-musl", "lto+static"),
        ("aarch64-apple-darwin", "lto"),
        ("universal2-apple-darwin", "lto"),
    )
)
"""What stands for the other targets: one of each kind."""


@cache
def plan() -> Plan:
    """The plan as a Linux x86-64 host makes it, on whatever host the tests run."""
    host = Host("linux-x86_64", SESSION.matrix.targets[TARGET])
    contexts = [Context(cell, host, SESSION.lock, SESSION.files) for cell in SESSION.cells]
    return make_plan(contexts, SESSION.recipes())


def own_key(node: Node) -> str:
    """The node's key with each input told by its name and filter, not by its bytes, which only a build knows."""
    digests = {given: Digest.of(repr((given.node, given.subdir, given.only, given.without)).encode()) for given in node.inputs}
    return key(manifest(node, digests, SESSION.tools))


def compare(path: Path, text: str, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--golden"):
        path.write_text(text)
    assert path.read_text() == text, f"{path.name} is not what the plan gives; if that is meant: pytest --golden"


def test_keys(request: pytest.FixtureRequest) -> None:
    shown = plan().closure([*(f"dist:{cell}" for cell in SESSION.cells if str(cell.target) == TARGET), *KEPT])
    text = "".join(f"{name} {own_key(plan()[name])}\n" for name in sorted(shown))
    compare(ROOT / "tests/golden/keys.txt", text, request)


def test_a_manifest_in_full(request: pytest.FixtureRequest) -> None:
    """One node's manifest word for word, so that a change of the form itself is seen."""
    node = plan()["source:zlib"]
    digests = {given: Digest.of(given.node.encode()) for given in node.inputs}
    text = "".join(f"{name} = {value}\n" for name, value in manifest(node, digests, SESSION.tools))
    compare(ROOT / "tests/golden/source-zlib.txt", text, request)


MEANING = ("globs", "trees", "archive", "patch", "nsinit", "farmhand")


def test_what_decides_the_bytes_of_a_node_beside_its_manifest(request: pytest.FixtureRequest) -> None:
    """The code that filters, unpacks, patches and runs is in no key.

    A change of what it gives for the same node (not of wording) must raise node.SCHEMA, or trees.FILTER_SCHEMA where only filters give
    other trees. That the file kept here differs after any change makes it a decision.
    """
    schemas = f"node.SCHEMA {SCHEMA}\ntrees.FILTER_SCHEMA {FILTER_SCHEMA}\n"
    hashes = "".join(f"graph/{name}.py {Digest.of((ROOT / f'graph/{name}.py').read_bytes()).hash}\n" for name in MEANING)
    compare(ROOT / "tests/golden/semantics.txt", schemas + hashes, request)


def test_the_picture_in_the_readme(request: pytest.FixtureRequest) -> None:
    whole = plan()
    compare(ROOT / "docs/graph.svg", svg(whole, whole.closure([f"dist:{SESSION.matrix.default(SESSION.matrix.targets[TARGET])}"])), request)
