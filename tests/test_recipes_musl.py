"""musl's recipes and data: one sysroot for all CPU levels, one floor, and static programs made of what dynamic ones are made of."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from graph import toml
from graph.digest import Digest
from graph.matrix import parse_cell
from graph.node import Node, Run, key, manifest
from graph.plan import make_plan
from graph.recipes.common import Context, Host
from graph.recipes.cpython_modules import NOT_STATIC, extensions
from graph.session import Session

ROOT = Path(__file__).resolve().parent.parent
SESSION = Session(ROOT, {})
TARGETS = SESSION.matrix.targets
MUSL = tuple(triple for triple, target in TARGETS.items() if target.libc == "musl")
HOST = Host("linux-x86_64", TARGETS["x86_64-unknown-linux-gnu"])
STATIC = parse_cell("x86_64-unknown-linux-musl:3.13.15:lto+static", SESSION.matrix)
FLOOR = "1.2"
NEWER = dict(re.findall(r"^(\w+) ([\d.]+)$", SESSION.files["toolchains/sysroot/musl-newer.txt"].data.decode(), re.M))


def context(triple: str) -> Context:
    return Context(SESSION.matrix.default(TARGETS[triple]), HOST, SESSION.lock, SESSION.files)


CELLS = [context(triple) for triple in MUSL]
PLAN = make_plan([context(HOST.triple), *CELLS, Context(STATIC, HOST, SESSION.lock, SESSION.files)], SESSION.recipes())
PROGRAM = PLAN[f"core:{STATIC}"]


def run_of(node: Node) -> Run:
    assert isinstance(node.action, Run)
    return node.action


def key_of(node: Node) -> str:
    return key(manifest(node, {given: Digest.of(given.node.encode()) for given in node.inputs}))


def test_the_sysroot_is_one_for_all_levels_of_a_processor() -> None:
    keys = {triple: key_of(PLAN[f"libc:{triple}"]) for triple in MUSL}
    assert {triple for triple in MUSL if keys[triple] == keys["x86_64-unknown-linux-musl"]} == {t for t in MUSL if t.startswith("x86_64")}
    assert len(set(keys.values())) == 2


def test_the_floor_names_releases_after_it() -> None:
    assert {TARGETS[triple].libc_floor for triple in MUSL} == {FLOOR}
    assert NEWER["statx"] == "1.2.5"
    assert set(NEWER.values()) <= {f"{FLOOR}.{number}" for number in range(1, 6)}
    # zig has one musl: no version stands in its target
    assert all(TARGETS[triple].zig.endswith("-linux-musl") for triple in MUSL)


def test_the_audit_bans_what_the_floor_lacks() -> None:
    tables = toml.loads((ROOT / "toolchains/policy.toml").read_text())["limits"]
    [banned] = [table["banned_symbols"] for table in tables if table.get("libc") == "musl" and "banned_symbols" in table]
    assert set(banned) == {*NEWER, "pthread_yield"}


def test_a_static_program_is_made_of_the_dynamic_core() -> None:
    core = PLAN["core:x86_64-unknown-linux-musl:3.13.15:lto"]
    assert {given.subdir for given in PROGRAM.inputs if given.node == core.name} == {"static", "objects"}
    assert not any(word.endswith(".c") and "/src/" in word for step in run_of(PROGRAM).steps for word in step.argv)


def test_every_module_of_a_static_program_is_in_its_table() -> None:
    [table] = [file.data.decode() for file in PROGRAM.files if file.path == "static/modules.h"]
    named = re.findall(r"^MODULE\((\w+)\)$", table, re.M)
    assert named == [ext.name for ext in extensions(STATIC)]
    dynamic = {ext.name for ext in extensions(CELLS[0].cell) if not ext.test}
    assert set(named) == dynamic - set(NOT_STATIC)
    assert set(NOT_STATIC) <= dynamic


@pytest.mark.parametrize("name", ["openssl", "ncurses"])
def test_only_targets_with_static_programs_get_archives_of_shared_libraries(name: str) -> None:
    def archives(plan_of: str) -> list[str]:
        plan = make_plan([context(HOST.triple), context(plan_of)], SESSION.recipes())
        return [word for step in run_of(plan[f"make:{plan_of}:{name}"]).steps for word in step.argv if "ar qcsD" in word or word == "qcsDL"]

    assert archives("aarch64-unknown-linux-musl")
    assert not archives("aarch64-unknown-linux-gnu")


def test_threads_of_musl_get_a_stack_that_python_fits_into() -> None:
    configure = dict(run_of(PLAN["configure:x86_64-unknown-linux-musl:3.13.15"]).env)
    assert configure["LDFLAGS_NODIST"] == "-Wl,-z,stack-size=0x800000"
    assert any("-Wl,-z,stack-size=0x800000" in step.argv for step in run_of(PROGRAM).steps)
