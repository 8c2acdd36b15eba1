"""Tcl and Tk for macOS: planned when SDKROOT names an SDK of Apple's, and told of when not. The SDK here is a folder that only says so."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from doit.task import Task

from graph.node import Node, Run
from graph.plan import Plan, make_plan
from graph.policy import parse_policy
from graph.recipes.common import Context, Host
from graph.recipes.cpython_modules import extensions, remarks
from graph.recipes.registry import RECIPES
from graph.session import Session
from graph.tasks import Reporter
from tests.mini import ROOT, Checkout
from tests.test_steps import tree

TARGETS = ("aarch64-apple-darwin", "x86_64-apple-darwin")
LACKING = (*TARGETS, "universal2-apple-darwin")
"""All that have no Tk without an SDK: what is merged of those, too."""
POLICY = (ROOT / "toolchains/policy.toml").read_text()


def fake_sdk(folder: Path, header: str = "int nothing;\n", version: str = "15.2") -> Path:
    settings = json.dumps({"CanonicalName": f"macosx{version}", "Version": version})
    tree(folder, {"SDKSettings.json": settings, "System/Library/Frameworks/Cocoa.framework/Headers/Cocoa.h": header})
    return folder


def given(folder: Path, sdk: Path | None) -> Session:
    return Session(ROOT, {**({"SDKROOT": str(sdk)} if sdk else {}), "FREESTANDING_STORE": str(folder / "store")})


def planned(session: Session, triple: str) -> tuple[Context, Plan]:
    matrix = session.matrix
    host = matrix.targets["x86_64-unknown-linux-gnu"]
    context = Context(matrix.default(matrix.targets[triple]), Host("linux-x86_64", host), session.lock, session.files)
    return context, make_plan([context, replace(context, cell=matrix.default(host))], RECIPES)


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_sdk(tmp_path_factory.mktemp("sdk") / "MacOSX.sdk")


@pytest.fixture(scope="module", params=TARGETS)
def made(request: pytest.FixtureRequest, sdk: Path) -> tuple[Context, Plan]:
    return planned(given(sdk.parent, sdk), str(request.param))


def argvs(node: Node) -> list[tuple[str, ...]]:
    assert isinstance(node.action, Run)
    return [step.argv for step in node.action.steps]


def link(plan: Plan, name: str) -> tuple[str, ...]:
    [argv] = [argv for argv in argvs(plan[name]) if "-dynamiclib" in argv]
    return argv


def after(argv: tuple[str, ...], flag: str) -> list[str]:
    return [value for word, value in pairwise(argv) if word == flag]


@pytest.mark.parametrize("triple", TARGETS)
def test_without_an_sdk_there_is_no_tk_and_it_is_said(tmp_path: Path, triple: str) -> None:
    session = given(tmp_path, None)
    context, plan = planned(session, triple)
    assert not [name for name in plan.nodes if triple in name and name.endswith((":tcl", ":tk", ":tk-aqua", ":tk-objects", ":_tkinter"))]
    [line] = remarks([context.cell])
    assert line.startswith(f"{triple}: no _tkinter.") and "set SDKROOT to an SDK of macOS (docs/macos.md)" in line


def test_targets_share_a_line_and_others_have_none(tmp_path: Path) -> None:
    cells = given(tmp_path, None).cells
    [line] = remarks(cells)
    assert line.startswith(f"{', '.join(LACKING)}: no _tkinter.")
    assert remarks(cell for cell in cells if cell.target.os == "linux") == ()


def test_with_an_sdk_the_module_is_linked_with_both_and_shipped(made: tuple[Context, Plan]) -> None:
    context, plan = made
    assert remarks([context.cell]) == ()
    module = plan[f"ext:{context.cell.abi}:_tkinter"]
    assert {f"make:{context.triple}:tcl", f"make:{context.triple}:tk-aqua", f"libc:{context.triple}"} <= {one.node for one in module.inputs}
    bundles = [argv for argv in argvs(module) if "-bundle" in argv]
    assert bundles
    for argv in bundles:
        assert {"-ltcl9tk9.0", "-ltcl9.0", "-Wl,-rpath,@loader_path/../..", "-Wl,-exported_symbol,_PyInit_*"} <= set(argv)
    shipped = {(one.node.rpartition(":")[2], glob) for one in plan[f"assemble:{context.cell}:stripped"].inputs for glob in one.only}
    assert {("tcl", "lib/libtcl9.0-fs.dylib"), ("tk-aqua", "lib/libtcl9tk9.0-fs.dylib")} <= shipped
    licences = {one.node for one in plan[f"assemble:{context.cell}:stripped"].inputs if one.subdir == "licenses"}
    assert {f"make:{context.triple}:{name}" for name in ("tcl", "tk-aqua", "zlib")} <= licences
    assert f"make:{context.triple}:libx11" not in plan.closure([f"dist:{context.cell}"])


def test_metadata_tells_of_the_shipped_libraries(made: tuple[Context, Plan]) -> None:
    context, plan = made
    [facts] = [file.data for file in plan[f"metadata:{context.cell}"].files if file.path == "facts.json"]
    module = json.loads(facts)["modules"]["_tkinter"]
    assert [one["path_dynamic"] for one in module["links"]] == ["install/lib/libtcl9tk9.0-fs.dylib", "install/lib/libtcl9.0-fs.dylib"]
    assert module["license_paths"] == ["licenses/LICENSE.tcl.txt", "licenses/LICENSE.zlib.txt", "licenses/LICENSE.tk-aqua.txt"]


@pytest.mark.parametrize(("package", "name", "api"), [("tcl", "tcl", "_Tcl_*"), ("tk-aqua", "tk", "_Tk_*")])
def test_libraries_have_names_of_their_own_and_show_the_c_api(made: tuple[Context, Plan], package: str, name: str, api: str) -> None:
    context, plan = made
    argv = link(plan, f"make:{context.triple}:{package}")
    library = {"tcl": "libtcl9.0-fs.dylib", "tk": "libtcl9tk9.0-fs.dylib"}[name]
    assert after(argv, "-install_name") == [f"@rpath/{library}"] and after(argv, "-o") == [f"out/lib/{library}"]
    assert f"-Wl,-exported_symbols_list,own/lib{name}.exports" in argv
    files = {file.path: file.data.decode() for file in plan[f"make:{context.triple}:{package}"].files}
    assert api in files[f"own/lib{name}.exports"].splitlines()
    assert "__TEXT,__const" in files["own/zip.S"]
    assert f"scripts:{name}" in {one.node for one in plan[f"make:{context.triple}:{package}"].inputs}


def test_exports_are_those_of_linux() -> None:
    for name in ("tcl", "tk"):
        of_linux = (ROOT / f"toolchains/tcl/lib{name}.map").read_text().partition("global:")[2].partition("local:")[0]
        listed = (ROOT / f"toolchains/macos/tcl/lib{name}.exports").read_text().splitlines()
        assert [line for line in listed if not line.startswith("#")] == [f"_{word}" for word in of_linux.replace(";", " ").split()]


def test_tk_is_compiled_as_objective_c_and_linked_with_frameworks(made: tuple[Context, Plan]) -> None:
    context, plan = made
    [compile_] = [argv for argv in argvs(plan[f"make:{context.triple}:tk-objects"]) if "LIB=libtk.a" in argv]
    [cflags] = [word for word in compile_ if word.startswith("CFLAGS=")]
    assert "-x objective-c" in cflags and "-DMAC_OSX_TK" in cflags and "-DZIPFS_IN_RODATA" in cflags and "-I/build/src/xlib" in cflags
    assert "fobjc-arc" not in cflags, "Tk counts references by hand"
    argv = link(plan, f"make:{context.triple}:tk-aqua")
    assert {"Cocoa", "Carbon", "IOKit", "QuartzCore"} <= set(after(argv, "-framework"))
    # macOS 10.15 has it not
    assert after(argv, "-weak_framework") == ["UniformTypeIdentifiers"]
    policy = parse_policy(POLICY, context.cell)
    named = [*after(argv, "-framework"), *after(argv, "-weak_framework")]
    assert all(any(f"/{name}.framework/" in library for library in policy.dylibs) for name in named)


def test_an_older_sdk_is_linked_with_the_frameworks_that_it_has(tmp_path: Path) -> None:
    _, plan = planned(given(tmp_path, fake_sdk(tmp_path / "sdk", version="10.15")), "x86_64-apple-darwin")
    argv = link(plan, "make:x86_64-apple-darwin:tk-aqua")
    assert after(argv, "-weak_framework") == [] and "Cocoa" in after(argv, "-framework")


def test_tcls_configure_takes_the_target_for_its_system(made: tuple[Context, Plan]) -> None:
    context, plan = made
    node = plan[f"configure:{context.triple}:tcl"]
    [argv] = [argv for argv in argvs(node) if argv[0].endswith("configure")]
    assert {"--enable-framework=no", "--enable-corefoundation", f"--host={context.cell.target.autoconf}"} <= set(argv)
    assert isinstance(node.action, Run)
    assert dict(node.action.env)["PATH"].startswith("/build/own:")
    assert {"own/uname", "config.site"} <= {file.path for file in node.files}
    assert dict(node.action.env)["CONFIG_SITE"] == "/build/config.site"


@pytest.mark.parametrize(("option", "answer"), [((), "Darwin"), (("-s",), "Darwin"), (("-r",), "20.0.0")])
def test_our_uname(option: tuple[str, ...], answer: str) -> None:
    sh = shutil.which("sh")
    assert sh
    done = subprocess.run([sh, str(ROOT / "toolchains/macos/tcl/uname"), *option], capture_output=True, text=True, check=True)
    assert done.stdout == f"{answer}\n"


def test_the_sdks_content_is_in_the_keys(tmp_path: Path, sdk: Path) -> None:
    one, same, other = (
        given(tmp_path / name, fake_sdk(tmp_path / name / "any.sdk", header)).plan["fetch:macos-sdk"].action
        for name, header in (("a", "int nothing;\n"), ("b", "int nothing;\n"), ("c", "int something;\n"))
    )
    assert getattr(one, "sha256", "") == getattr(same, "sha256", None) != getattr(other, "sha256", None)


def test_everything_of_tk_is_made_from_the_sdk(made: tuple[Context, Plan]) -> None:
    context, plan = made
    for name in ("configure:{}:tcl", "make:{}:tcl-objects", "make:{}:tcl", "make:{}:tk-objects", "make:{}:tk-aqua"):
        assert {"fetch:macos-sdk", "source:macos-sdk"} <= set(plan.closure([name.format(context.triple)]))


def test_what_an_sdk_gives_is_due_in_the_archive(tmp_path: Path, made: tuple[Context, Plan]) -> None:
    context, _ = made
    without = given(tmp_path, None).matrix
    assert "_tkinter" in parse_policy(POLICY, without.default(without.targets[context.triple])).optional
    assert not parse_policy(POLICY, context.cell).optional
    assert "_tkinter" in {ext.name for ext in extensions(context.cell)} & parse_policy(POLICY, context.cell).shared


@pytest.mark.whole
def test_a_build_says_once_what_it_is_without(tmp_path: Path, sdk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[bool, list[str]] = {}
    for with_one in (False, True):
        session = given(tmp_path, sdk if with_one else None)
        lines = told[with_one] = []
        monkeypatch.setattr(session.reporter, "line", lines.append)
        monkeypatch.setattr(session.reporter, "begin", lambda total, known: None)
        names = [f"dist:{session.matrix.default(session.matrix.targets[triple])}" for triple in (*TARGETS, "x86_64-unknown-linux-gnu")]
        group = Task("dist:group", None, task_dep=names)
        Reporter(session).initialize({"dist:group": group, **{name: Task(name, None) for name in names}}, ["dist:group", names[0]])
    [line] = told[False]
    assert line.startswith(f"note {', '.join(TARGETS)}: no _tkinter.")
    assert told[True] == []


@pytest.mark.whole
def test_matrix_and_explain_say_it(tmp_path: Path) -> None:
    checkout = Checkout(ROOT)
    checkout.settings = {"FREESTANDING_STORE": str(tmp_path / "store"), "SDKROOT": ""}
    assert f"{', '.join(LACKING)}: no _tkinter." in checkout.doit("matrix").stdout
    assert f"{TARGETS[0]}: no _tkinter." in checkout.doit("explain", f"dist:{TARGETS[0]}").stdout.splitlines()[-1]
    assert "_tkinter" not in checkout.doit("explain", "dist:x86_64-unknown-linux-gnu").stdout
