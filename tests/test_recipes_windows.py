"""Windows, which has nodes up to its core and no distribution: what it is made of, and that nothing else is touched by it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from graph.errors import UsageError
from graph.matrix import parse_cell
from graph.node import Run, Unpack
from graph.recipes.common import Context, Scoped
from graph.recipes.windows import MODULES, PROJECTS
from graph.session import Session
from graph.table import upcoming

ROOT = Path(__file__).resolve().parent.parent
SESSION = Session(ROOT, {})
TRIPLE = "x86_64-pc-windows-gnu"
CELL = SESSION.matrix.default(SESSION.matrix.upcoming[TRIPLE])
SOURCE = f"source:cpython-{CELL.version}:windows"
NODES = {name: node for name, node in SESSION.plan.nodes.items() if name == SOURCE or TRIPLE in name}


def test_its_nodes_end_with_the_core_and_modules() -> None:
    kinds = [name.partition(":")[0] for name in NODES]
    assert sorted({*kinds}) == ["core", "ext", "libc", "projects", "resources", "source"]
    assert SESSION.plan.users([f"core:{CELL}"]) == tuple(f"ext:{CELL.abi}:{name}" for name in MODULES)


def test_no_distribution_is_offered_and_it_is_said() -> None:
    assert TRIPLE not in SESSION.matrix.targets
    assert not [name for name in SESSION.groups if TRIPLE in name]
    with pytest.raises(UsageError, match="no distribution yet") as refused:
        parse_cell(f"{TRIPLE}:3.13", SESSION.matrix)
    assert refused.value.hint == f"doit core:{CELL}"
    assert list(upcoming(SESSION.matrix)) == [f"{TRIPLE}: no distribution yet; doit core:{CELL} makes its core"]


def test_its_patches_come_after_all_others_and_are_in_its_source_alone() -> None:
    source = NODES[SOURCE]
    folders = [file.path.rpartition("/")[0] for file in source.files]
    assert isinstance(source.action, Unpack)
    assert folders == sorted(folders)
    assert set(folders) == {"patches/cpython", "patches/cpython/windows"}
    others = [node for name, node in SESSION.plan.nodes.items() if name not in NODES]
    assert not [node.name for node in others if any("/windows/" in file.path for file in node.files)]
    assert not [node.name for node in others if {given.node for given in node.inputs} & NODES.keys()]


def test_each_project_is_evaluated_and_gets_its_resources() -> None:
    projects, resources = NODES[f"projects:{CELL.abi}"].action, NODES[f"resources:{CELL.abi}"].action
    assert isinstance(projects, Run)
    assert isinstance(resources, Run)
    every = (*PROJECTS, *MODULES)
    assert projects.steps[-1].argv[-len(every) - 1 :] == ("--", *every)
    assert f"PROJECTS={' '.join(every)}" in resources.steps[-1].argv


def test_only_resources_see_the_whole_of_zig() -> None:
    """zig compiles its resource compiler out of lib/: a change there leaves what is compiled by clang alone."""
    seen = {name: given.only for name, node in NODES.items() for given in node.inputs if given.node == "toolchain:zig"}
    assert {name for name, only in seen.items() if only != ("zig",)} == {f"libc:{TRIPLE}", f"resources:{CELL.abi}"}
    assert len(seen) == len(MODULES) + 3


def test_a_mac_plans_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """lld, and what it needs, comes from packages of Linux."""
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    session = Session(ROOT, {})
    assert not [name for name in session.plan.nodes if TRIPLE in name]
    assert list(upcoming(session.matrix)) == []
    with pytest.raises(UsageError) as refused:
        parse_cell(TRIPLE, session.matrix)
    assert refused.value.hint == f"on Linux: doit core:{CELL}"


def test_a_context_of_it_is_no_other_recipes() -> None:
    context = Context(CELL, SESSION.host, SESSION.lock, SESSION.files, CELL.version)
    scoped = [recipe for recipe in SESSION.recipes() if isinstance(recipe, Scoped)]
    taken = [recipe.recipe.__module__ for recipe in scoped if any(one.cell.target == CELL.target for one in recipe.scope(context))]
    assert taken == ["graph.recipes.windows"]


def test_whatever_version_comes_first_the_patch_has_a_use() -> None:
    """A version without it is planned without it, and the patch waits for its own."""
    session = Session(ROOT, {})
    session.__dict__["_given"] = (session.lock, replace(session.matrix, versions=tuple(reversed(session.matrix.versions))))
    assert session.plan.nodes[f"source:cpython-{session.matrix.versions[0]}:windows"].files
