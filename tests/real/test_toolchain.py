"""The real compiler in a real sandbox: what it says, what it makes, and that it is the same twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import lief
import pytest

from graph.build import Build, Workshop
from graph.jobserver import Jobserver
from graph.node import File, Node, Step
from graph.plan import make_plan
from graph.recipes import toolchain
from graph.recipes.common import Context, compile_node
from graph.session import Session
from tests.mini import Checkout
from tests.real.version import TARGET

SCRIPT = Path(__file__).with_name("toolchain.sh")
NODE = "make:test:toolchain"


def steps(ctx: Context) -> tuple[Node, ...]:
    """One node that runs toolchain.sh with the drivers."""
    return (compile_node(ctx, NODE, (Step(("sh", "/build/test.sh")),), files=(File("test.sh", SCRIPT.read_bytes()),), tools=("posix",)),)


def build_of(session: Session) -> Build:
    context = Context(session.matrix.default(session.matrix.targets[TARGET]), session.host, session.lock, session.files)
    plan = make_plan([context], [toolchain.nodes, steps])
    build = Build(
        plan, Workshop(session.store, session.runner, session.fetcher, Jobserver(2), session.reporter, session.lock, session.tools)
    )
    for name in plan.closure([NODE]):
        build.realise(name)
    return build


@pytest.fixture(scope="module")
def session(first: Checkout) -> Session:
    return Session(first.root)


@pytest.fixture(scope="module")
def build(session: Session) -> Build:
    return build_of(session)


@pytest.fixture(scope="module")
def out(session: Session, build: Build, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the script left."""
    place = tmp_path_factory.mktemp("toolchain") / "out"
    session.store.copy_tree(build.result(NODE).tree, place)
    yield place


def elf(path: Path) -> lief.ELF.Binary:
    binary = lief.ELF.parse(path)
    assert binary is not None
    return binary


def glibc_versions(binary: lief.ELF.Binary) -> set[tuple[int, ...]]:
    names = [str(aux.name) for need in binary.symbols_version_requirement for aux in need.get_auxiliary_symbols()]
    return {tuple(int(part) for part in name.removeprefix("GLIBC_").split(".")) for name in names if name.startswith("GLIBC_")}


def test_programs_run_with_the_floors_headers_and_without_ndebug(out: Path) -> None:
    said = (out / "said").read_text().splitlines()
    assert said == [f"{name} glibc 2.17 exp 2.718 wide 4115226300411522630" for name in ("hello", "fixed", "debug")]


@pytest.mark.parametrize("name", ["hello", "fixed", "debug", "a.so", "lto.so"])
def test_what_is_linked_is_hardened_and_runs_on_the_floor(out: Path, name: str) -> None:
    binary = elf(out / name)
    types = {segment.type: segment for segment in binary.segments}
    assert lief.ELF.Segment.TYPE.GNU_RELRO in types
    assert lief.ELF.Segment.FLAGS.X not in types[lief.ELF.Segment.TYPE.GNU_STACK]
    assert not [s for s in binary.segments if lief.ELF.Segment.FLAGS.X in s and lief.ELF.Segment.FLAGS.W in s]
    assert max(glibc_versions(binary), default=(2,)) <= (2, 17)
    assert set(binary.libraries) <= {"libc.so.6", "libm.so.6"}
    flags = binary[lief.ELF.DynamicEntry.TAG.FLAGS_1]
    assert isinstance(flags, lief.ELF.DynamicEntryFlags)
    assert lief.ELF.DynamicEntryFlags.FLAG.NOW in flags


def test_executables_are_pie_unless_told_otherwise(out: Path) -> None:
    assert elf(out / "hello").is_pie
    assert not elf(out / "fixed").is_pie


def test_libc_keeps_its_own_functions_beside_the_compilers_builtins(out: Path) -> None:
    """A division of 128 bits comes from compiler-rt; exp and the checks of stack and copies must still be glibc's."""
    binary = elf(out / "debug")
    imported = {str(symbol.name) for symbol in binary.imported_symbols}
    assert {"exp", "strlen", "__strcpy_chk", "__stack_chk_fail"} <= imported
    assert "__udivti3" not in imported


@pytest.mark.parametrize(("name", "soname"), [("a.so", "liba.so.1"), ("b.so", "libb.so.1"), ("c.so", "libc.so.1")])
def test_every_spelling_of_a_soname(out: Path, name: str, soname: str) -> None:
    entry = elf(out / name)[lief.ELF.DynamicEntry.TAG.SONAME]
    assert isinstance(entry, lief.ELF.DynamicSharedObject)
    assert entry.name == soname


def test_a_link_of_one_library_only(out: Path) -> None:
    assert "liba.so.1" in elf(out / "only.so").libraries


def test_nothing_names_the_build_folder(out: Path) -> None:
    for path in out.iterdir():
        if path.name != "version":
            assert b"/build" not in path.read_bytes(), path.name


def test_macros_and_version_are_those_of_a_plain_clang(out: Path) -> None:
    macros = (out / "macros").read_text()
    assert "__SSP_STRONG__" in macros
    assert "NDEBUG" not in macros
    assert "Target: x86_64-unknown-linux-gnu\n" in (out / "version").read_text()


def test_twice_the_same(build: Build) -> None:
    for name in (f"libc:{TARGET}", NODE):
        assert build.execute(name).tree == build.result(name).tree
