"""The change table on the real plan: which nodes' own keys a change touches, and which nodes take the toolchain as input."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from graph.lock import Lock
from graph.plan import Plan, make_plan
from graph.recipes.common import HOT, Context, Host
from graph.session import Session
from graph.target import Cell, Target
from graph.tasks import Ready, tasks, turns
from tests.mini import ROOT
from tests.test_golden import SESSION, TARGET, own_key, plan

HOST = Host("linux-x86_64", SESSION.matrix.targets[TARGET])
TRIPLES = ("x86_64-unknown-linux-musl", "aarch64-unknown-linux-gnu", "s390x-unknown-linux-gnu")
COMPILE = {"libc", "configure", "make", "core", "ext", "python", "generate"}
"""Kinds of nodes that run the compiler."""


def plan_with(cell: Cell, lock: Lock = SESSION.lock) -> Plan:
    return make_plan([Context(cell, Host("linux-x86_64", cell.target), lock, SESSION.files)], SESSION.recipes())


def changed(before: Plan, after: Plan) -> set[str]:
    assert before.nodes.keys() == after.nodes.keys()
    return {name for name, node in before.nodes.items() if own_key(node) != own_key(after[name])}


def compilers(whole: Plan) -> set[str]:
    # what is merged of others is compiled as these
    return {name for name, node in whole.nodes.items() if node.kind in COMPILE and ":universal2-" not in name}


def test_the_short_list_plans_nothing() -> None:
    session = Session(ROOT, {})
    session.brief = True
    shown = {task.name for task in tasks(session)}
    assert shown == {*session.groups, *(f"dist:{addon}" for addon in session.matrix.addons())}
    assert "plan" not in vars(session)


def test_a_target_flag_touches_the_compile_nodes_and_no_fetch_or_source() -> None:
    cell = SESSION.matrix.default(SESSION.matrix.targets[TARGET])
    other = replace(cell, target=replace(cell.target, cpu_flags=("-march=x86-64-v3",)))
    # the add-on's settings hold the flags too
    assert changed(plan_with(cell), plan_with(other)) == compilers(plan_with(cell)) | {f"archive:{TARGET}:toolchain"}


def test_another_zig_reaches_every_compile_node() -> None:
    cell = SESSION.matrix.default(SESSION.matrix.targets[TARGET])
    name = "zig-linux-x86_64"
    bumped = replace(SESSION.lock.sources[name], version="0.18.0", sha256="0" * 64)
    lock = replace(SESSION.lock, sources={**SESSION.lock.sources, name: bumped})
    assert changed(plan_with(cell), plan_with(cell, lock)) == {f"fetch:{name}"}
    takers = {one for one, node in plan().nodes.items() if any(given.node == "toolchain:zig" for given in node.inputs)}
    # (resources of Windows, their compiler, and import libraries are not of a kind that is always compiled)
    resources = {"toolchain:rc", *(one for one, node in plan().nodes.items() if node.kind in ("api", "resources"))}
    assert takers - resources == compilers(plan())
    assert takers > resources


LEVELS = [target for target in SESSION.matrix.offered if target.baseline]
COLD = {"bdb", "libedit", "libffi", "libuuid", "ncurses", "openssl", "tcl", "tk"}
OF_HOST = {"ncurses-cli", "zstd-cli"}
"""Packages of programs that steps run."""


@pytest.mark.parametrize("target", LEVELS, ids=str)
@pytest.mark.parametrize("alone", [False, True])
def test_of_a_processor_level_only_libraries_with_hot_loops_are_built(target: Target, alone: bool) -> None:
    """Whether the baseline is asked for, too, or not."""
    cell = SESSION.matrix.default(target)
    # (the build host's own target is needed in any case)
    cells = (cell,) if target.baseline == HOST.target else (SESSION.matrix.default(HOST.target), cell)
    contexts = [Context(one, HOST, SESSION.lock, SESSION.files) for one in cells]
    whole = make_plan(contexts, SESSION.recipes()) if alone else plan()
    made: dict[str, set[str]] = {}
    for _, triple, package in (name.split(":") for name in whole.closure([f"dist:{cell}"]) if name.startswith("make:")):
        made.setdefault(triple, set()).add(package)
    # no Python that is built here has a module for zstd
    assert made[str(target)] == HOT - {"zstd"}
    assert made[str(target.baseline)] >= COLD


@pytest.mark.parametrize("target", LEVELS, ids=str)
def test_all_that_a_level_holds_of_a_library_is_of_one_build(target: Target) -> None:
    own = {f"dist:{cell}" for cell in SESSION.cells if cell.target == target}
    assert len(own) > 8
    taken = set()
    for name in plan().closure(own):
        if str(target) in name.split(":"):
            taken |= {given.node.removeprefix("make:") for given in plan()[name].inputs if given.node.startswith("make:")}
    packages = {one.partition(":")[2]: one.partition(":")[0] for one in sorted(taken)}
    assert len(packages) == len(taken) and packages.keys() > COLD
    for package in packages.keys() - OF_HOST:
        assert packages[package] == str(target if package in HOT else target.baseline), package


def test_libraries_are_made_where_they_are_looked_for() -> None:
    """What HOT has and no recipe makes, or the other way round, would be made for nobody."""
    made = {name.rpartition(":")[2] for name in plan().nodes for target in LEVELS if name.startswith(f"make:{target}:")}
    assert made == HOT | {"libcxx"}


def test_newer_certificates_reach_the_trees_and_archives_alone() -> None:
    cell = SESSION.matrix.default(SESSION.matrix.targets[TARGET])
    bumped = replace(SESSION.lock.sources["certifi"], version="2027.1.1", sha256="0" * 64)
    lock = replace(SESSION.lock, sources={**SESSION.lock.sources, "certifi": bumped})
    certificates = {"fetch:certifi", "source:certifi", "certificates:certifi"}
    assert changed(plan_with(cell), plan_with(cell, lock)) == certificates
    reached = {*plan().users(["fetch:certifi"])} - certificates
    assert {plan()[name].kind for name in reached} == {"assemble", "metadata", "archive", "dist"}


READ_BY_OTHERS = {"source:xorgproto", "source:xtrans", "source:xcb-proto", "source:xcbgen"}
"""Headers and a generator, which nothing is compiled of alone."""


def test_a_source_is_read_by_its_own_package_alone() -> None:
    for name, node in plan().nodes.items():
        # a libc, and programs of other packages, are trees of several sources
        # (and upstream's projects for Windows compile libraries' sources themselves)
        for given in node.inputs if node.kind not in ("libc", "runtime", "toolchain") and "-pc-windows-" not in name else ():
            if given.node.startswith("source:") and not given.node.startswith("source:cpython") and given.node not in READ_BY_OTHERS:
                package = {"source:db5.3": "bdb", "source:util-linux": "libuuid"}.get(given.node, given.node.removeprefix("source:"))
                assert name.rpartition(":")[2].removesuffix("-cli").removesuffix("-objects") == package


def test_whose_turn_it_is_is_told_by_the_order_of_names() -> None:
    first, second, third = (f"dist:{SESSION.matrix.default(SESSION.matrix.targets[triple])}" for triple in TRIPLES)
    check = second.replace("dist:", "check:")
    found = turns(SESSION, [check, first, third])
    assert found[check] == found[second] == 0 < found[first] < found[third]
    # what more than one needs is due with the first
    assert found["fetch:openssl"] == found[f"make:{TRIPLES[1]}:openssl"] == 0
    assert found[f"make:{TRIPLES[2]}:openssl"] == found[third]
    assert len({turns(SESSION, ["dist:linux"])[name] for name in SESSION.groups["dist:linux"]}) == len(SESSION.groups["dist:linux"])


def test_of_what_is_ready_the_earliest_turn_comes_first() -> None:
    ready = Ready({"a": 1, "b": 0})
    for name in ("unknown", "a", "b", "a"):
        ready.append(SimpleNamespace(task=SimpleNamespace(name=name)))
    assert ready and [ready.popleft().task.name for _ in range(4)] == ["b", "a", "a", "unknown"]
    assert not ready
