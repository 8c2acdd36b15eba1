"""Names of free-threaded and debug Pythons: what the step scripts install is named as by CPython's `make install`, and leads to files."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from graph.recipes.common import Context
from graph.recipes.distribution import _names
from graph.recipes.names import ext_suffixes, python_name, soname
from graph.runtime import run_tests
from graph.target import Cell
from tests.data import TARGET
from tests.fakes import context_of
from tests.test_build_files import PC, RUNTIME
from tests.test_steps import load, tree, wheel

OPTIONS = {"": ("noopt",), "d": ("debug",), "t": ("freethreaded", "noopt"), "td": ("debug", "freethreaded")}
"""sys.abiflags -> options of the cell."""
LIB = {"": "lib/python3.13", "d": "lib/python3.13", "t": "lib/python3.13t", "td": "lib/python3.13t"}
"""CPython's LIBDEST: VERSION and ABI_THREAD."""
COMMANDS = {"idle3.13", "idle3", "pydoc3.13", "pydoc3", "pip", "pip3", "pip3.13"}
"""Names without ABI flags in every Python."""
TRIPLET = TARGET.multiarch


def context(flags: str, minor: str = "3.13") -> Context:
    given = context_of()
    return replace(given, cell=Cell(TARGET, f"{minor}.15", OPTIONS[flags]))


def configured(flags: str) -> dict[str, str]:
    """Of the configured tree, what configure writes where the names matter."""
    makefile = (
        f"VERSION=\t3.13\nABIFLAGS=\t{flags}\nLDVERSION=\t$(VERSION)$(ABIFLAGS)\nLDLIBRARY=\tlibpython$(LDVERSION).so\n"
        f"prefix=\t\t/install\nLIBPL=\t\t$(prefix)/{LIB[flags]}/config-$(LDVERSION)-{TRIPLET}\nLDSHARED=\tcc -shared\n"
        f"INCLUDEPY=\t$(prefix)/include/python$(LDVERSION)\nLIBPYTHON=\nLIBS=\t-ldl\nSYSLIBS=\t-lm\nBASECFLAGS=\nOPT=\t-O3\n"
        f"EXT_SUFFIX=\t.cpython-313{flags}-{TRIPLET}.so\n"
    )
    text = PC.replace("3.13", f"3.13{flags}")
    embed = {"Misc/python-embed.pc": text, "Misc/python.pc": text.replace(f" -lpython3.13{flags}", "")}
    return {"Makefile": makefile, "pyconfig.h": "#define N 1\n", **embed}


SOURCE = {
    **dict.fromkeys(("Include/Python.h", "Modules/config.c.in", "Modules/Setup", "Modules/makesetup", "install-sh", "LICENSE"), ""),
    "Misc/python.man": "",
    "Misc/python-config.in": "#!@EXENAME@\n",
}


def installed(place: Path, flags: str) -> Path:
    """bin/, lib/, include/ and share/ as the scripts and the core (a fake one) leave them: in a place that a shell must have quoted."""
    src, work, out = tree(place / "src", SOURCE), tree(place / "work", configured(flags)), place / "a place"
    ctx = context(flags)
    (place / "facts.json").write_text(json.dumps({**_names(ctx), "modules": []}))
    load("build_files").main([str(path) for path in (src, work, RUNTIME, out)] + [str(place / "facts.json")])
    pip = place / "pip"
    load("pip_tree").main([str(wheel(place / "pip.whl")), str(pip / ctx.cell.lib / "site-packages"), "3.13"])
    load("merge").main([str(out), f"{pip}=."])
    program = '#!/bin/sh\necho "ran ${0##*/} with ${1##*/} $2"\n'
    return tree(out, {f"bin/{python_name(ctx.cell)}": program, f"lib/{soname(ctx.cell)}": ""})


each_abi = pytest.mark.parametrize("flags", OPTIONS)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@each_abi
def test_names_are_those_of_make_install(tmp_path: Path, flags: str) -> None:
    """VERSION and LDVERSION, and `python`, which is ours; python3.13t is none of a debug Python's."""
    out, abi, lib = installed(tmp_path, flags), f"3.13{flags}", LIB[flags]
    programs = {f"python{each}" for each in (abi, "3.13", "3", "")}
    configs = {f"python{each}-config" for each in (abi, "3.13", "3")}
    assert names(out / "bin") == programs | configs | COMMANDS
    files = {f"python{each}{kind}.pc" for each in (f"-{abi}", "-3.13", "3") for kind in ("", "-embed")}
    assert names(out / "lib/pkgconfig") == files
    assert names(out / "lib") == {"pkgconfig", f"libpython{abi}.so", f"libpython{abi}.so.1.0", Path(lib).name}
    assert names(out / "include") == {f"python{abi}"}
    assert names(out / "share/man/man1") == {"python3.13.1", "python3.1"}
    kept = {"LICENSE.txt", "build-details.json", "_relocatable_sysconfig.py", f"_sysconfigdata_{flags}_linux_{TRIPLET}.py"}
    assert names(out / lib) == {*kept, f"config-{abi}-{TRIPLET}", "site-packages"}


@each_abi
def test_every_link_leads_to_the_file_with_all_flags(tmp_path: Path, flags: str) -> None:
    out, abi = installed(tmp_path, flags), f"3.13{flags}"
    links = {str(path.relative_to(out)): path.resolve(strict=True).name for path in out.rglob("*") if path.is_symlink()}
    assert {links[f"bin/{name}"] for name in ("python", "python3")} == {f"python{abi}"}
    assert links["bin/python3-config"] == f"python{abi}-config"
    assert links["lib/pkgconfig/python3.pc"] == f"python-{abi}.pc" and links["lib/pkgconfig/python3-embed.pc"] == f"python-{abi}-embed.pc"
    assert links[f"lib/libpython{abi}.so"] == f"libpython{abi}.so.1.0"
    if flags:
        assert links["bin/python3.13"] == f"python{abi}" and links["bin/python3.13-config"] == f"python{abi}-config"
        assert links["lib/pkgconfig/python-3.13.pc"] == f"python-{abi}.pc"


@each_abi
def test_commands_start_this_python(tmp_path: Path, flags: str) -> None:
    """By a name that every Python has: its file, or a link to it."""
    out = installed(tmp_path, flags)
    for name in COMMANDS:
        shown = subprocess.run([out / "bin" / name, "x"], capture_output=True, text=True, check=True).stdout
        assert shown == f"ran python3.13 with {name} x\n"


@each_abi
def test_the_suite_finds_the_one_interpreter(tmp_path: Path, flags: str) -> None:
    (tmp_path / "install").symlink_to(installed(tmp_path, flags))
    assert run_tests.interpreter(tmp_path).name == "python3.13"


def said(program: Path, *options: str) -> str:
    return subprocess.run([program, *options], capture_output=True, text=True, check=True).stdout.strip()


@each_abi
def test_python_config_tells_of_this_python(tmp_path: Path, flags: str) -> None:
    out, abi = installed(tmp_path, flags), f"3.13{flags}"
    for name in ("python3-config", "python3.13-config", f"python{abi}-config"):
        config = out / "bin" / name
        assert said(config, "--abiflags") == flags
        assert Path(said(config, "--configdir")) == out / LIB[flags] / f"config-{abi}-{TRIPLET}"
        assert (Path(said(config, "--configdir")) / "Makefile").exists()
        assert said(config, "--includes").endswith(f"/include/python{abi}")
        assert f" -lpython{abi} " in said(config, "--ldflags", "--embed")
        assert said(config, "--extension-suffix") == f".cpython-313{flags}-{TRIPLET}.so"


@each_abi
def test_pkg_config_and_the_makefile_tell_of_this_python(tmp_path: Path, flags: str) -> None:
    out, abi = installed(tmp_path, flags), f"3.13{flags}"
    text = (out / "lib/pkgconfig/python3-embed.pc").read_text()
    assert f"-L${{libdir}} -lpython{abi}\n" in text and f"-I${{includedir}}/python{abi}\n" in text
    (tmp_path / "own.mk").write_text("show:\n\t@echo '$(LIBPL)'\n")
    folder = out / LIB[flags] / f"config-{abi}-{TRIPLET}"
    shown = subprocess.run(["make", "-s", "-f", folder / "Makefile", "-f", tmp_path / "own.mk", "show"], capture_output=True, text=True)
    assert shown.stdout == f"{folder}\n"


def details(out: Path, flags: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / LIB[flags] / "build-details.json").read_text())
    return found


@each_abi
def test_build_details_lead_to_files(tmp_path: Path, flags: str) -> None:
    out = installed(tmp_path, flags)
    told = details(out, flags)
    assert (out / LIB[flags] / told["base_prefix"]).resolve() == out
    paths = [told["base_interpreter"], *told["c_api"].values(), told["libpython"]["dynamic"]]
    assert [path for path in paths if not (out / path).exists()] == []
    assert told["abi"]["flags"] == list(flags)
    assert told["abi"]["extension_suffix"] == told["suffixes"]["extensions"][0] == f".cpython-313{flags}-{TRIPLET}.so"
    # configure has no libpython3.so in a debug build; the core is as the recipe's STABLE_ABI says
    assert ("dynamic_stableabi" in told["libpython"]) == ("d" not in flags)


@each_abi
def test_suffixes_are_those_of_dynload_shlib(flags: str) -> None:
    """SOABI; ALT_SOABI, which only a debug build has, without the d; abi3 also without the lock in 3.13."""
    alternative = {"d": [f".cpython-313-{TRIPLET}.so"], "td": [f".cpython-313t-{TRIPLET}.so"]}.get(flags, [])
    assert list(ext_suffixes(context(flags).cell)) == [f".cpython-313{flags}-{TRIPLET}.so", *alternative, ".abi3.so", ".so"]


def test_settings_as_json_carry_the_flags(tmp_path: Path) -> None:
    facts = _names(context("td", "3.14"))
    load("build_files").sysconfig_files(RUNTIME, tmp_path, {"VERSION": "3.14"}, facts)
    assert (tmp_path / f"_sysconfig_vars_td_linux_{TRIPLET}.json").exists()


def test_a_debug_python_of_3_11_shares_the_folder(tmp_path: Path) -> None:
    facts = _names(context("d", "3.11"))
    assert (facts["lib"], facts["config"]) == ("lib/python3.11", f"lib/python3.11/config-3.11d-{TRIPLET}")
    assert load("build_files").other_names("python3.11d", facts, "python3") == ["python3.11", "python3"]


def test_a_dylib_with_flags_needs_no_link(tmp_path: Path) -> None:
    given = context("td")
    facts = _names(replace(given, cell=replace(given.cell, target=replace(TARGET, os="macos", libc="none", multiarch="darwin"))))
    tree(tmp_path, {"bin/x": "", "lib/x": ""})
    load("build_files").links(facts, tmp_path)
    assert names(tmp_path / "bin") == {"x", "python", "python3", "python3.13"} and names(tmp_path / "lib") == {"x"}
    assert load("build_files").libpython(facts) == {"dynamic": "lib/libpython3.13td.dylib", "link_extensions": False}
