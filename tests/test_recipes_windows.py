"""Windows, which has nodes up to its core and no distribution: what it is made of, and that nothing else is touched by it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from graph.errors import UsageError
from graph.matrix import parse_cell
from graph.node import Run, Unpack
from graph.recipes.common import Context, Scoped
from graph.recipes.windows import PROJECTS
from graph.session import Session
from graph.table import upcoming

ROOT = Path(__file__).resolve().parent.parent
SESSION = Session(ROOT, {})
TRIPLE = "x86_64-pc-windows-gnu"
CELL = SESSION.matrix.default(SESSION.matrix.upcoming[TRIPLE])
NODES = {name: node for name, node in SESSION.plan.nodes.items() if name.endswith(":windows") or TRIPLE in name}


def test_its_nodes_end_with_the_core() -> None:
    kinds = [name.partition(":")[0] for name in NODES]
    assert sorted(kinds) == ["core", "libc", "projects", "resources", "source"]
    assert SESSION.plan.users([f"core:{CELL}"]) == ()


def test_no_distribution_is_offered_and_it_is_said() -> None:
    assert TRIPLE not in SESSION.matrix.targets
    assert not [name for name in SESSION.groups if TRIPLE in name]
    with pytest.raises(UsageError, match="no distribution yet") as refused:
        parse_cell(f"{TRIPLE}:3.13", SESSION.matrix)
    assert refused.value.hint == f"doit core:{CELL}"
    assert list(upcoming(SESSION.matrix)) == [f"{TRIPLE}: no distribution yet; doit core:{CELL} makes its core"]


def test_its_patches_come_after_all_others_and_are_in_its_source_alone() -> None:
    source = NODES["source:cpython-3.13.15:windows"]
    folders = [file.path.split("/")[1] for file in source.files]
    assert isinstance(source.action, Unpack)
    assert folders == sorted(folders)
    assert set(folders) == {"cpython", "cpython-windows"}
    others = [node for name, node in SESSION.plan.nodes.items() if name not in NODES]
    assert not [node.name for node in others if any("windows" in file.path for file in node.files)]
    assert not [node.name for node in others if {given.node for given in node.inputs} & NODES.keys()]


def test_each_project_is_evaluated_and_gets_its_resources() -> None:
    projects, resources = NODES[f"projects:{CELL.abi}"].action, NODES[f"resources:{CELL.abi}"].action
    assert isinstance(projects, Run)
    assert isinstance(resources, Run)
    assert projects.steps[-1].argv[-len(PROJECTS) :] == PROJECTS
    assert f"PROJECTS={' '.join(PROJECTS)}" in resources.steps[-1].argv


def test_only_resources_see_the_whole_of_zig() -> None:
    """zig compiles its resource compiler out of lib/: a change there leaves what is compiled by clang alone."""
    seen = {name: given.only for name, node in NODES.items() for given in node.inputs if given.node == "toolchain:zig"}
    assert seen == {f"libc:{TRIPLE}": (), f"resources:{CELL.abi}": (), f"core:{CELL}": ("zig",)}


def test_a_mac_plans_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """lld, and what it needs, comes from packages of Linux."""
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    session = Session(ROOT, {})
    assert not [name for name in session.plan.nodes if TRIPLE in name]


def test_a_context_of_it_is_no_other_recipes() -> None:
    context = Context(CELL, SESSION.host, SESSION.lock, SESSION.files, CELL.version)
    linux = replace(context, cell=SESSION.cells[0])
    scoped = [recipe for recipe in SESSION.recipes() if isinstance(recipe, Scoped) and recipe.scope(context)]
    assert [recipe.recipe.__module__ for recipe in scoped if not recipe.scope(linux)] == ["graph.recipes.windows"]
