"""Distributions for Windows: what they are made of, and that nothing else is touched by them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from graph.errors import UsageError
from graph.matrix import parse_cell
from graph.node import Run, Unpack
from graph.policy import parse_policy
from graph.recipes.common import Context, Scoped
from graph.recipes.windows import LAUNCHERS, PROJECTS, extensions
from graph.recipes.windows_libraries import with_symbols
from graph.recipes.windows_tcl import DLLS
from graph.session import Session

ROOT = Path(__file__).resolve().parent.parent
SESSION = Session(ROOT, {})
TRIPLE = "x86_64-pc-windows-gnu"
ARM = "aarch64-pc-windows-gnu"
CELL = parse_cell(TRIPLE, SESSION.matrix)
SOURCE = f"source:cpython-{CELL.version}:windows"
CONTEXT = Context(CELL, SESSION.host, SESSION.lock, SESSION.files, CELL.version)
MODULES = tuple(extensions(CONTEXT))
TRIPLES = tuple(str(target) for target in SESSION.matrix.targets.values() if target.os == "windows")
EVERY = {
    name: node
    for name, node in SESSION.plan.nodes.items()
    if name.endswith((":windows", "-windows")) or any(triple in name for triple in TRIPLES)
}
"""Of all targets for Windows."""
NODES = {name: node for name, node in EVERY.items() if TRIPLE in name or not any(triple in name for triple in TRIPLES)}


def test_its_nodes_end_with_a_distribution() -> None:
    kinds = {name.partition(":")[0] for name in NODES}
    assert kinds > {"core", "ext", "libc", "projects", "resources", "source", "make", "licences", "assemble", "metadata", "archive"}
    assert f"dist:{CELL}" in SESSION.plan.users([f"assemble:{CELL}:stripped"])
    assert {f"ext:{CELL.abi}:{name}" for name in MODULES} < {*SESSION.plan.closure([f"dist:{CELL}"])}


def test_tests_are_in_the_full_archive_alone() -> None:
    tests = {name for name, needs in extensions(CONTEXT).items() if needs.test}
    assert tests == {name for name in MODULES if name.startswith(("_test", "xxlimited"))} | {"_ctypes_test"}
    given = {one.node for one in SESSION.plan.nodes[f"assemble:{CELL}:full"].inputs}
    assert given & {f"ext:{CELL.abi}:{name}" for name in MODULES} == {f"ext:{CELL.abi}:{name}" for name in {*MODULES} - tests}
    archive = {one.node for one in SESSION.plan.nodes[f"archive:{CELL}:full"].inputs}
    assert {f"ext:{CELL.abi}:{name}" for name in tests} < archive


def test_what_is_loaded_at_run_time_has_its_place() -> None:
    places = dict(pair.rpartition("=")[::2] for pair in _argv(f"assemble:{CELL}:full") if "=" in pair)
    beside = ("_ssl", "openssl", "sqlite3", "_sqlite3", "_tkinter", *DLLS)
    assert {places[f"/build/part/{name}"] for name in beside} == {"DLLs"}
    assert {places[f"/build/part/{name}"] for name in LAUNCHERS} == {"Lib/venv/scripts/nt"}
    assert (places["/build/part/core"], places["/build/part/libs"]) == (".", "libs")


def test_commands_of_pip_are_programs_of_the_machine() -> None:
    """Files of its distlib (distlib/scripts.py); all that is built of one version shares them."""
    launchers = {triple: _argv(f"pip:{triple}:{CELL.version}")[-1] for triple in TRIPLES}
    assert launchers == {TRIPLE: "t64.exe", ARM: "t64-arm.exe", TRIPLE.replace("x86_64", "i686"): "t32.exe"}
    for cell in (cell for cell in SESSION.matrix.cells() if cell.target.os == "windows" and cell.version == CELL.version):
        assembled = SESSION.plan.nodes[f"assemble:{cell}:stripped"].inputs
        assert {one.node for one in assembled if one.node.startswith("pip:")} == {f"pip:{cell.target}:{cell.version}"}


def test_libraries_are_named_as_in_the_official_build() -> None:
    make = [step.argv for step in _run(f"make:{TRIPLE}:openssl").steps]
    assert any(argv[-2:] == ("libcrypto-3.dll", "libssl-3.dll") for argv in make)
    # a folder that everyone may write to would let everyone configure everybody's OpenSSL
    assert all("OPENSSLDIR=C:/Program Files/Common Files/SSL" in argv for argv in make if argv[0] == "make")
    assert "sqlite3.TARGET=sqlite3.dll" in _argv(f"ext:{CELL.abi}:sqlite3")


def test_debug_information_is_in_the_trees_that_are_not_stripped() -> None:
    kept = {
        variant: {path for one in SESSION.plan.nodes[f"assemble:{CELL}:{variant}"].inputs if one.subdir == "bin" for path in one.only}
        for variant in ("full", "stripped")
    }
    names = {"libcrypto-3", "libssl-3", "tcl90", "tcl9tk90"}
    assert kept == {
        "full": {f"{name}.{end}" for name in names for end in ("dll", "pdb")},
        "stripped": {f"{name}.dll" for name in names},
    }
    # python.org's have none, either
    for kind in ("zip", "msi"):
        assert f"assemble:{CELL}:stripped" in {given.node for given in SESSION.plan.nodes[f"{kind}:{CELL}"].inputs}


def test_all_that_is_linked_has_codeview_inside_and_a_pdb_beside() -> None:
    for name in ("xz", "libffi", "openssl", *DLLS):
        assert "-gcodeview" in dict(_run(f"make:{TRIPLE}:{name}").env)["CFLAGS"].split()
    assert dict(_run(f"configure:{TRIPLE}:openssl").env)["LDFLAGS"] == "-Wl,-s,--pdb="
    for node, file in ((f"make:{TRIPLE}:tcl", "own/dll.mk"), (f"core:{CELL}", "common.mk")):
        [text] = (one.data.decode() for one in SESSION.plan.nodes[node].files if one.path == file)
        links = [line for line in text.splitlines() if "$(CC)" in line and " -c " not in line and " -E " not in line]
        assert links and all(" -s -Wl,--pdb= " in line for line in links), links


def test_libraries_for_arm_are_named_as_in_its_official_build() -> None:
    """PCbuild/openssl.props."""
    dlls = ("libcrypto-3-arm64.dll", "libssl-3-arm64.dll")
    assert any(step.argv[-2:] == dlls for step in _run(f"make:{ARM}:openssl").steps)
    assert "mingwarm64-fs" in _argv(f"configure:{ARM}:openssl")
    [given] = [one for one in SESSION.plan.nodes[f"assemble:{ARM}:{CELL.version}:noopt:full"].inputs if one.at == "part/openssl"]
    assert given.only == with_symbols(dlls)
    policy = parse_policy(SESSION.read("toolchains/policy.toml"), parse_cell(ARM, SESSION.matrix))
    assert policy.required["system"] == tuple(f"DLLs/{name}" for name in dlls)


def test_projects_for_arm_are_evaluated_for_it() -> None:
    assert "Platform=ARM64" in _argv(f"projects:{ARM}:{CELL.version}")


def test_what_nothing_here_runs_is_not_tested() -> None:
    with pytest.raises(UsageError, match=f"nothing here runs programs of {ARM}") as refused:
        SESSION.task_names([f"test:{ARM}"])
    assert refused.value.hint == f"doit check:{ARM} audits its archives"


@pytest.mark.parametrize(("triple", "option"), [(TRIPLE, ["-mlong-double-64"]), (ARM, [])])
def test_long_double_is_double(triple: str, option: list[str], tmp_path: Path) -> None:
    """clang takes no such option for Arm, where it is so by itself."""
    (tmp_path / "zig").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "zig").chmod(0o755)
    environ = {"ZIG": str(tmp_path / "zig"), "CLANG_TARGET": SESSION.matrix.targets[triple].clang, "CLANG_TARGET_FLAGS": ""}
    done = subprocess.run(["sh", ROOT / "toolchains/windows/driver/cc", "a.c"], env=environ, capture_output=True, text=True, check=True)
    assert [word for word in done.stdout.splitlines() if word.startswith("-mlong-double")] == option


def test_tcl_and_tk_have_their_scripts_inside() -> None:
    for name in DLLS:
        made = SESSION.plan.nodes[f"make:{TRIPLE}:{name}"]
        assert {given.at: given.node for given in made.inputs}["scripts"] == f"scripts:{name}"
        assert "own/zip.S" in {file.path for file in made.files}
        assert "-DZIPFS_IN_RODATA" in dict(_run(f"configure:{TRIPLE}:{name}").env)["CFLAGS"]
    # else _tkinter looks for them in a folder of the build
    assert "BuildForRelease=true" in _argv(f"projects:{CELL.abi}")


def test_tcl_has_no_other_dll_inside_or_beside_it() -> None:
    assert "--disable-shared" in _argv(f"configure:{TRIPLE}:tcl")
    make = f"make:{TRIPLE}:tcl"
    assert "ZLIB_DIR=/build/zlib" in _argv(make)
    assert "source:zlib" in {given.node for given in SESSION.plan.nodes[make].inputs}


def test_metadata_names_the_libraries_of_a_module() -> None:
    [facts] = (json.loads(file.data) for file in SESSION.plan.nodes[f"metadata:{CELL}"].files if file.path == "facts.json")
    tkinter, lzma, ssl = (facts["modules"][name] for name in ("_tkinter", "_lzma", "_ssl"))
    assert tkinter["links"] == [{"name": file.removesuffix(".dll"), "path_dynamic": f"install/DLLs/{file}"} for file in DLLS.values()]
    assert tkinter["licenses"] == ["TCL", "Zlib"]
    assert tkinter["license_paths"] == [f"licenses/LICENSE.{name}.txt" for name in ("tcl", "tk", "zlib")]
    assert (lzma["links"], lzma["license_paths"]) == ([], ["licenses/LICENSE.xz.txt"])
    # the module itself calls both
    assert [link["name"] for link in ssl["links"]] == ["libcrypto-3", "libssl-3"]
    assert ssl["license_paths"] == ["licenses/LICENSE.openssl.txt"]


def _run(name: str) -> Run:
    action = SESSION.plan.nodes[name].action
    assert isinstance(action, Run)
    return action


def _argv(name: str) -> tuple[str, ...]:
    return _run(name).steps[0].argv


def test_its_patches_come_after_all_others_and_are_in_its_source_alone() -> None:
    source = NODES[SOURCE]
    folders = [file.path.rpartition("/")[0] for file in source.files]
    assert isinstance(source.action, Unpack)
    assert folders == sorted(folders)
    assert set(folders) == {"patches/cpython", "patches/cpython/windows"}
    others = [node for name, node in SESSION.plan.nodes.items() if name not in EVERY]
    assert not [node.name for node in others if any("/windows/" in file.path for file in node.files)]
    assert not [node.name for node in others if {given.node for given in node.inputs} & EVERY.keys()]


def test_patches_of_tk_for_windows_come_after_all_others() -> None:
    tk = SESSION.plan.nodes["source:tk-windows"].files
    assert tk[:-1] == SESSION.plan.nodes["source:tk"].files
    assert tk[-1].path == "patches/tk/windows/0001-no-icu-by-name.patch"
    assert "-DTK_NO_ICU" in dict(_run(f"configure:{TRIPLE}:tk").env)["CFLAGS"]


def test_each_project_is_evaluated_and_gets_its_resources() -> None:
    projects, resources = NODES[f"projects:{CELL.abi}"].action, NODES[f"resources:{CELL.abi}"].action
    assert isinstance(projects, Run)
    assert isinstance(resources, Run)
    every = (*PROJECTS, *MODULES)
    assert projects.steps[-1].argv[-len(every) - 1 :] == ("--", *every)
    assert f"PROJECTS={' '.join(every)}" in resources.steps[-1].argv


def test_what_is_compiled_does_not_see_the_whole_of_zig() -> None:
    """zig compiles its resource compiler out of lib/: once, in a node of its own."""
    nodes = {**NODES, "toolchain:rc": SESSION.plan.nodes["toolchain:rc"]}
    seen = {name: given.only for name, node in nodes.items() for given in node.inputs if given.node == "toolchain:zig"}
    assert {name for name, only in seen.items() if only != ("zig",)} == {f"libc:{TRIPLE}", "toolchain:rc"}
    assert len(seen) > len(MODULES) + 3


def test_on_32_bits_there_is_no_try_and_no_integer_of_128() -> None:
    """clang for MinGW writes no tables for i386 (docs/windows.md); Tcl and Tk have assembler instead."""
    i686 = TRIPLE.replace("x86_64", "i686")
    for name in DLLS:
        assert [dict(_run(f"configure:{triple}:{name}").env)["tcl_cv_seh"] for triple in (TRIPLE, i686)] == ["yes", "no"]
    flags, narrow = (" ".join(_argv(f"ext:{CELL.abi}:_decimal".replace(TRIPLE, triple))) for triple in (TRIPLE, i686))
    assert "HAVE_UINT128_T" in flags and "HAVE_UINT128_T" not in narrow and "-DASM" in narrow
    assert "Platform=Win32" in _argv(f"projects:{CELL.abi}".replace(TRIPLE, i686))


def test_a_mac_plans_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """lld, and what it needs, comes from packages of Linux."""
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    session = Session(ROOT, {})
    assert not [name for name in session.plan.nodes if TRIPLE in name]
    with pytest.raises(UsageError) as refused:
        parse_cell(TRIPLE, session.matrix)
    assert refused.value.hint.startswith(f"on Linux: doit dist:{TRIPLE}")


def test_a_context_of_it_is_no_other_recipes() -> None:
    scoped = [recipe for recipe in SESSION.recipes() if isinstance(recipe, Scoped)]
    taken = {recipe.recipe.__module__ for recipe in scoped if any(one.cell.target == CELL.target for one in recipe.scope(CONTEXT))}
    assert taken == {f"graph.recipes.windows{part}" for part in ("", "_distribution", "_installers")}


def test_older_pythons_are_not_built_for_it() -> None:
    """Their projects and sources were not tried."""
    with pytest.raises(UsageError, match=r"needs Python 3\.13 or later") as refused:
        parse_cell(f"{TRIPLE}:3.11", SESSION.matrix)
    assert refused.value.hint == f"the nearest cell is {CELL}"
    assert not [name for name in NODES if "3.11" in name]


def test_the_policy_lists_the_modules_that_are_built() -> None:
    policy = parse_policy(SESSION.read("toolchains/policy.toml"), CELL)
    built = {name: needs.test for name, needs in extensions(CONTEXT).items() if name not in (*LAUNCHERS, "sqlite3")}
    assert {name for name, test in built.items() if not test} == policy.shared
    assert {name for name, test in built.items() if test} == policy.test
