"""The toolchain's and the dependencies' recipes: names, edges, and the words of a few steps."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from graph.node import Fetch, Node, Run, Step, Unpack
from graph.plan import make_plan
from graph.recipes import bdb, bzip2, certificates, libedit, libffi, libuuid, ncurses, openssl, sqlite, toolchain, xz, zlib, zstd
from graph.recipes.common import Context, Host
from graph.recipes.library import CFLAGS, NO_LOGS, archive_step, put
from graph.session import Session

TRIPLE = "x86_64-unknown-linux-gnu"
SESSION = Session(Path(__file__).resolve().parent.parent, {})
CONTEXT = Context(
    SESSION.matrix.default(SESSION.matrix.targets[TRIPLE]),
    Host("linux-x86_64", SESSION.matrix.targets[TRIPLE]),
    SESSION.lock,
    SESSION.files,
)
LIBRARIES = (bdb, bzip2, libedit, libffi, libuuid, ncurses, openssl, sqlite, xz, zlib, zstd)
PLAN = make_plan([CONTEXT], [toolchain.nodes, *(recipe.nodes for recipe in LIBRARIES)])
MADE = tuple(name for name in PLAN.nodes if name.startswith("make:"))
CONFIGURED = ("bdb", "libedit", "libffi", "ncurses", "ncurses-cli", "openssl", "xz", "zlib")


def run_of(node: Node) -> Run:
    assert isinstance(node.action, Run)
    return node.action


def steps(name: str) -> tuple[Step, ...]:
    return run_of(PLAN[f"make:{TRIPLE}:{name}"]).steps


def words(name: str) -> list[str]:
    return [word for step in steps(name) for word in step.argv]


def test_each_library_has_fetch_source_and_make() -> None:
    names = {"db5.3": "bdb", "util-linux": "libuuid"}
    for source in ("db5.3", "bzip2", "libedit", "libffi", "util-linux", "ncurses", "openssl", "sqlite", "xz", "zlib", "zstd"):
        assert isinstance(PLAN[f"fetch:{source}"].action, Fetch)
        assert isinstance(PLAN[f"source:{source}"].action, Unpack)
        assert f"make:{TRIPLE}:{names.get(source, source)}" in MADE


@pytest.mark.parametrize("name", CONFIGURED)
def test_make_goes_on_in_the_tree_that_configure_left(name: str) -> None:
    configure, make = PLAN[f"configure:{TRIPLE}:{name}"], PLAN[f"make:{TRIPLE}:{name}"]
    (work,) = [given for given in make.inputs if given.at == "work"]
    assert (work.node, work.writable) == (configure.name, True)
    assert run_of(configure).output == "work"
    flags = [dict(run_of(node).env)["CFLAGS"] for node in (configure, make)]
    assert flags[0] == flags[1]


@pytest.mark.parametrize("name", CONFIGURED)
def test_configure_leaves_no_log_with_times_in_its_tree(name: str) -> None:
    assert run_of(PLAN[f"configure:{TRIPLE}:{name}"]).steps[-1] == NO_LOGS


@pytest.mark.parametrize("name", MADE)
def test_every_tree_brings_its_licence(name: str) -> None:
    last = run_of(PLAN[name]).steps[-1].argv
    assert last[0] == "install"
    assert last[-1].startswith("/build/out/licenses/LICENSE.")


@pytest.mark.parametrize("name", MADE)
def test_compile_nodes_see_the_compiler_and_the_sysroot_only(name: str) -> None:
    tools = {given.at: given for given in PLAN[name].inputs if given.at in ("zig", "libc")}
    assert (tools["zig"].node, tools["zig"].only) == ("toolchain:zig", ("zig",))
    assert tools["libc"].node == f"libc:{TRIPLE}"
    assert not tools["libc"].writable


@pytest.mark.parametrize("name", ["bdb", "bzip2", "libedit", "libffi", "libuuid", "sqlite", "xz", "zlib", "zstd"])
def test_static_libraries_are_position_independent_and_hidden(name: str) -> None:
    action = run_of(PLAN[f"make:{TRIPLE}:{name}"])
    flags = dict(action.env)["CFLAGS"].split()
    assert "-fPIC" in flags
    assert "-fvisibility=hidden" in flags


def test_the_toolchain_is_the_wheel_of_the_build_host() -> None:
    assert [given.node for given in PLAN["toolchain:zig"].inputs] == ["fetch:zig-linux-x86_64"]
    assert run_of(PLAN[f"libc:{TRIPLE}"]).steps == (Step(("sh", "/build/make.sh", "x86_64-linux-gnu.2.17", TRIPLE, "/build/out")),)


def test_only_libedit_and_readline_need_the_terminal_library() -> None:
    ncurses = f"make:{TRIPLE}:ncurses"
    users = {name for name, node in PLAN.nodes.items() if any(given.node == ncurses for given in node.inputs)}
    assert users == {f"configure:{TRIPLE}:libedit", f"make:{TRIPLE}:libedit"}


def test_openssl_is_shared_under_names_of_its_own() -> None:
    argv = run_of(PLAN[f"configure:{TRIPLE}:openssl"]).steps[0].argv
    assert "fs-linux-x86_64" in argv
    assert "--openssldir=/etc/ssl" in argv
    assert Step(("make", "libcrypto-fs.so.3", "libssl-fs.so.3")) in steps("openssl")
    conf = CONTEXT.files["toolchains/openssl/freestanding.conf"].data.decode()
    for target in SESSION.matrix.targets.values():
        assert target.os != "linux" or target.openssl in conf.split("qw(")[1]


def test_openssl_finds_the_bundle_where_the_distribution_has_it() -> None:
    [patch] = [file for file in PLAN["source:openssl"].files if file.path.startswith("patches/openssl/0001-")]
    assert f'+#define BUNDLE "/{certificates.BUNDLE}"' in patch.data.decode().splitlines()


def test_certificates_are_the_same_for_every_target_and_need_no_compiler() -> None:
    fetch, source, bundle = certificates.nodes(CONTEXT)
    assert [given.node for given in source.inputs] == [fetch.name]
    assert [given.node for given in bundle.inputs] == [source.name]
    other = replace(CONTEXT.cell.target, triple="aarch64-unknown-linux-gnu", arch="aarch64")
    assert certificates.nodes(replace(CONTEXT, cell=replace(CONTEXT.cell, target=other))) == (fetch, source, bundle)


def test_ncurses_is_one_shared_library_with_its_own_soname() -> None:
    assert "-Wl,-s,-soname,libncursesw-fs.so.6,--version-script=/build/libncursesw.map" in words("ncurses")


def test_the_commands_that_compile_terminals_are_made_by_the_graph() -> None:
    commands = f"make:{TRIPLE}:ncurses-cli"
    for name in (f"make:{TRIPLE}:ncurses", ncurses.DATABASE):
        (given,) = [given for given in PLAN[name].inputs if given.node == commands]
        assert (given.at, given.only) == ("commands", ("bin/",))
    argv = run_of(PLAN[f"configure:{TRIPLE}:ncurses"]).steps[0].argv
    assert {"--with-tic-path=/build/commands/bin/tic", "--with-infocmp-path=/build/commands/bin/infocmp"} <= {*argv}
    assert f"--with-fallbacks={','.join(ncurses.FALLBACKS)}" in argv


def test_the_database_has_each_terminal_once_also_where_case_is_ignored() -> None:
    assert set(ncurses.FALLBACKS) < set(ncurses.TERMINALS)
    assert [name.lower() for name in ncurses.TERMINALS] == sorted({*ncurses.TERMINALS})
    copied = [step.argv[1:] for step in run_of(PLAN[ncurses.DATABASE]).steps if step.argv[0] == "cp"]
    assert [file for *files, _ in copied for file in files] == [f"{name[0]}/{name}" for name in ncurses.TERMINALS]
    assert all(file[0] == place[-1] for *files, place in copied for file in files)
    more = CONTEXT.files["toolchains/ncurses/more.src"].data.decode()
    assert set(re.findall(r"^([^#\s|]+)\|", more, re.MULTILINE)) == {"xterm-ghostty", "xterm-kitty"} < set(ncurses.TERMINALS)


def test_a_library_without_configure_is_compiled_by_the_archive_makefile() -> None:
    (step,) = [step for step in steps("bzip2") if step.argv[0] == "make"]
    assert step.argv[1:5] == ("-f", "/build/archive.mk", "LIB=libbz2.a", "SRC=/build/src")
    assert any(file.path == "archive.mk" for file in PLAN[f"make:{TRIPLE}:bzip2"].files)


def test_archive_step_and_put() -> None:
    assert archive_step("libx.a", "/s", ("a.c", "b.c"), cflags="-O1").argv == (
        *("make", "-f", "/build/archive.mk", "LIB=libx.a", "SRC=/s", "NAMES=a.c b.c", "CFLAGS=-O1"),
    )
    assert put("lib", "a", "b").argv == ("install", "-D", "-m", "644", "-t", "/build/out/lib", "a", "b")
    assert archive_step("libx.a", "/s", ("a.c",)).argv[-1] == f"CFLAGS={CFLAGS}"


def test_the_hosts_programs_are_made_for_the_host_alone() -> None:
    elsewhere = Context(
        CONTEXT.cell, Host("linux-aarch64", SESSION.matrix.targets["aarch64-unknown-linux-gnu"]), CONTEXT.lock, CONTEXT.files
    )
    assert f"make:{TRIPLE}:zstd-cli" in {node.name for node in zstd.nodes(CONTEXT)}
    assert f"make:{TRIPLE}:zstd-cli" not in {node.name for node in zstd.nodes(elsewhere)}
    assert {node.name for node in ncurses.nodes(CONTEXT)} - {node.name for node in ncurses.nodes(elsewhere)} == {
        *(f"configure:{TRIPLE}:ncurses-cli", f"make:{TRIPLE}:ncurses-cli", ncurses.DATABASE, ncurses.HEX_DATABASE),
    }
