"""The files of a distribution that name places: _sysconfigdata, Makefile, pkg-config files, python-config, build-details.json."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.runtime import _relocatable_sysconfig
from graph.runtime._relocatable_sysconfig import SWITCH, TOOLS, expanded, quote
from tests.test_steps import FACTS, load, tree

ROOT = Path(__file__).resolve().parent.parent
RUNTIME = ROOT / "graph" / "runtime"
PLACE = "a pläce; it's/$HOME"
"""A folder that no shell reads as one word, unless it is quoted."""
DATA = "lib/python3.13/_sysconfigdata__linux_x86_64-linux-gnu.py"

MAKEFILE = """\
prefix=\t\t/install
srcdir=\t\t../src
abs_builddir=\t/build/work
INSTALL=\t/usr/bin/install -c
CC=\t\tcc -pthread
CFLAGS_NODIST= -O3 -ffile-prefix-map=../src=x -g
CONFIG_ARGS=\t '--prefix=/install' '--with-x=a b' 'CC=cc' 'PKG_CONFIG_LIBDIR=/build/none'
MODULE__SSL_STATE=n/a
MODULE__GDBM_STATE=n/a
all:
\tsh ./build/scripts-3.13/x
"""


def test_a_neutral_makefile() -> None:
    text = load("build_files").neutral_makefile(MAKEFILE, ["_ssl"])
    assert text.startswith("prefix={prefix}\n")
    assert "srcdir= .\n" in text and "abs_builddir= .\n" in text and "INSTALL= install -c\n" in text
    assert "CC=\t\tcc -pthread\n" in text
    assert "CFLAGS_NODIST= -O3 -g\n" in text
    assert "CONFIG_ARGS= '--prefix={prefix}' '--with-x=a b'\n" in text
    assert "MODULE__SSL_STATE= yes\n" in text and "MODULE__GDBM_STATE=n/a\n" in text


def test_a_static_distribution_says_so_everywhere() -> None:
    """Its objects were configured for a shared libpython too."""
    steps = load("build_files")
    given = "PY_ENABLE_SHARED=\t1\nCONFIG_ARGS=\t '--enable-shared' '--with-x'\n"
    assert steps.neutral_makefile(given, [], steps.STATIC) == "PY_ENABLE_SHARED= 0\nCONFIG_ARGS= '--with-x'\n"
    assert steps.neutral_makefile(given, []) == "PY_ENABLE_SHARED=\t1\nCONFIG_ARGS= '--enable-shared' '--with-x'\n"
    header = "#define A 1\n#define Py_ENABLE_SHARED 1\n"
    assert steps.configured(header, static=False) == header
    assert steps.configured(header, static=True) == "#define A 1\n/* #undef Py_ENABLE_SHARED */\n"
    with pytest.raises(ValueError, match="enable-shared"):
        steps.configured("#define A 1\n", static=True)


def test_a_place_of_the_sandbox_in_a_makefile_is_an_error() -> None:
    with pytest.raises(ValueError, match="line 2 names a place of the sandbox: LIBS= -L/build/deps/zlib/lib"):
        load("build_files").neutral_makefile("CC= cc\nLIBS= -L/build/deps/zlib/lib\n", [])


def test_a_placed_makefile_finds_its_prefix(tmp_path: Path) -> None:
    """Read by make itself, from a makefile that includes it, and through a link to its folder."""
    text = load("build_files").placed_makefile('prefix={prefix}\nexec_prefix= ${prefix}\nshow:\n\t@echo "$(exec_prefix)/lib"\n')
    prefix = tmp_path / "it's a pläce/python"
    tree(prefix, {"lib/python3.13/config/Makefile": text})
    link = tmp_path / "link"
    link.symlink_to(prefix / "lib/python3.13/config")
    (tmp_path / "own.mk").write_text(f"include {link}/Makefile\n")
    for file in (prefix / "lib/python3.13/config/Makefile", link / "Makefile", tmp_path / "own.mk"):
        assert subprocess.run(["make", "-s", "-f", file, "show"], capture_output=True, text=True).stdout == f"{prefix}/lib\n"


SETTINGS = {
    "A": 1,
    "B": "it's",
    "CC": "cc -pthread",
    "CXX": "c++",
    "LDSHARED": "cc -pthread -shared",
    "LIBDIR": "{prefix}/lib",
    "DIRS": "{prefix} {prefix}/lib . -x",
    "CONFIG_ARGS": "'--prefix={prefix}' '--enable-shared'",
}


def data_at(prefix: Path) -> dict[str, Any]:
    """What _sysconfigdata of a distribution at `prefix` says there, in a process of its own."""
    tree(prefix, {DATA: load("build_files").sysconfigdata(SETTINGS)})
    (prefix / "lib/python3.13/_relocatable_sysconfig.py").write_bytes((RUNTIME / "_relocatable_sysconfig.py").read_bytes())
    code = f"import json; from {Path(DATA).stem.replace('-', '_')} import build_time_vars as v; print(json.dumps(v))"
    (prefix / DATA).rename(prefix / DATA.replace("x86_64-linux-gnu", "x86_64_linux_gnu"))
    argv = [sys.executable, "-c", code]
    shown = subprocess.run(argv, cwd=prefix / "lib/python3.13", capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin"})
    return dict(json.loads(shown.stdout))


def test_settings_are_those_of_the_place(tmp_path: Path) -> None:
    prefix = tmp_path / PLACE
    values = data_at(prefix)
    assert (values["A"], values["B"], values["CC"]) == (1, "it's", "cc -pthread")
    assert values["LIBDIR"] == f"{prefix}/lib"
    words = ["sh", "-c", f"printf '%s\\n' {values['DIRS']} {values['CONFIG_ARGS']}"]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    assert shown == [f"{prefix}", f"{prefix}/lib", ".", "-x", f"--prefix={prefix}", "--enable-shared"]


def test_settings_are_text_for_an_interpreter_elsewhere() -> None:
    """PyO3 runs the text of a target's file with the host's Python, which has neither the place nor the helper."""
    names: dict[str, Any] = {}
    exec(load("build_files").sysconfigdata(SETTINGS), names)
    assert names["build_time_vars"] == SETTINGS


def test_a_rewritten_dictionary_is_expanded_once_and_no_more(tmp_path: Path) -> None:
    once = expanded(dict(SETTINGS), str(tmp_path / DATA))
    assert once["LIBDIR"] == f"{tmp_path}/lib"
    assert expanded(once, str(tmp_path / DATA)) == once


def test_a_control_character_is_refused() -> None:
    with pytest.raises(ValueError, match="control character"):
        load("build_files").sysconfigdata({"A": "tab\t"})


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_quote_is_read_by_a_shell_as_it_was(word: str) -> None:
    import shlex

    assert shlex.split(quote(word)) == [word]
    assert quote(word) == shlex.quote(word)


@pytest.fixture
def with_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A prefix with the add-on's programs, on a machine that has no compiler."""
    tree(tmp_path, {f"a place/toolchain/bin/{name}": "" for name in TOOLS})
    monkeypatch.setattr(_relocatable_sysconfig, "__file__", str(tmp_path / "a place/lib/python3.13/_relocatable_sysconfig.py"))
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    for variable in (SWITCH, *TOOLS.values()):
        monkeypatch.delenv(variable, raising=False)
        # so that what is set is unset again
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)
    return tmp_path / "a place"


def settings_at(prefix: Path) -> dict[str, object]:
    return expanded(dict(SETTINGS), str(prefix / DATA))


def test_without_a_compiler_the_add_ons_is_named(with_tools: Path) -> None:
    found = settings_at(with_tools)
    cc = f"'{with_tools}/toolchain/bin/cc'"
    assert (found["CC"], found["LDSHARED"], found["CXX"]) == (
        f"{cc} -pthread",
        f"{cc} -pthread -shared",
        f"'{with_tools}/toolchain/bin/c++'",
    )
    assert os.environ["CC"] == cc and os.environ["AR"].endswith("/toolchain/bin/ar'")


def test_a_users_choice_stays(with_tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "tcc")
    settings_at(with_tools)
    assert os.environ["CC"] == "tcc"


@pytest.mark.parametrize(("switch", "machine", "taken"), [("", True, False), ("always", True, True), ("never", False, False)])
def test_the_switch(with_tools: Path, monkeypatch: pytest.MonkeyPatch, switch: str, machine: bool, taken: bool) -> None:
    if machine:
        tree(with_tools, {"bin/cc": ""})
        monkeypatch.setenv("PATH", str(with_tools / "bin"))
    monkeypatch.setenv(SWITCH, switch)
    assert ("toolchain" in str(settings_at(with_tools)["CC"]), "CC" in os.environ) == (taken, taken)


def test_settings_of_another_python_name_no_compiler_of_this_one(with_tools: Path, tmp_path: Path) -> None:
    tree(tmp_path, {"other/toolchain/bin/cc": ""})
    found = settings_at(tmp_path / "other")
    assert found["CC"] == "cc -pthread" and found["LIBDIR"] == f"{tmp_path}/other/lib"


PC = "prefix=/install\nlibdir=${exec_prefix}/lib\n\nName: Python\nLibs: -L${libdir} -lpython3.13\nCflags: -I${includedir}/python3.13\n"


def test_a_pkg_config_file_is_relative() -> None:
    assert load("build_files").placed_pkgconfig(PC) == PC.replace("/install", "${pcfiledir}/../..")


@pytest.mark.parametrize(("place", "told"), [("plain/place", True), ("a place", False), ("pläce", False)])
def test_meson_is_not_led_to_pkg_config_where_it_cannot_read_it(place: str, told: bool) -> None:
    values = expanded({"LIBPC": "{prefix}/lib/pkgconfig"}, f"/{place}/{DATA}")
    assert values == ({"LIBPC": f"/{place}/lib/pkgconfig"} if told else {})


VALUES = {
    "VERSION": "3.13",
    "ABIFLAGS": "",
    "LIBPYTHON": "",
    "LIBS": "-lpthread -ldl",
    "SYSLIBS": "-lm",
    "BASECFLAGS": "-Wall",
    "OPT": "-O3",
    "EXT_SUFFIX": ".cpython-313-x86_64-linux-gnu.so",
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """python3.13-config at a place that a shell must have quoted, started through two links."""
    folder = tmp_path / PLACE / "bin"
    folder.mkdir(parents=True)
    load("build_files").python_config((RUNTIME / "python-config.sh").read_text(), VALUES, FACTS, folder)
    (tmp_path / "one").symlink_to(folder / "python3-config")
    (tmp_path / "two").symlink_to("one")
    return tmp_path / "two"


def said(config: Path, *options: str) -> str:
    return subprocess.run([config, *options], capture_output=True, text=True, check=True).stdout


def test_python_config_tells_flags_for_a_shell(config: Path) -> None:
    prefix = config.parent / PLACE
    assert said(config, "--prefix") == f"{prefix}\n"
    words = ["sh", "-c", f"eval printf '\"%s\\n\"' $({config} --cflags --ldflags --embed)"]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    flags = [f"-I{prefix}/include/python3.13", "-Wall", "-O3", f"-L{prefix}/lib", "-lpython3.13", "-lpthread", "-ldl", "-lm"]
    assert shown == flags


def test_python_config_knows_every_option_of_upstreams(config: Path) -> None:
    assert said(config, "--includes", "--libs").endswith("/include/python3.13\n-lpthread -ldl -lm\n")
    assert said(config, "--exec-prefix", "--abiflags", "--extension-suffix").endswith("\n\n.cpython-313-x86_64-linux-gnu.so\n")
    assert said(config, "--configdir").endswith("/lib/python3.13/config-3.13-x86_64-linux-gnu\n")
    assert said(config, "--help").startswith("Usage: ")


@pytest.mark.parametrize("options", [(), ("--prefix", "--nothing"), ("prefix",), ("--prefix|--libs",), ("--*",)])
def test_python_config_refuses_what_it_does_not_know(config: Path, options: tuple[str, ...]) -> None:
    done = subprocess.run([config, *options], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Usage: ")


@pytest.mark.parametrize(("minor", "there"), [("3.13", False), ("3.14", True)])
def test_settings_as_json_from_3_14_on(tmp_path: Path, minor: str, there: bool) -> None:
    facts = {**FACTS, "minor": minor, "version": f"{minor}.1"}
    load("build_files").sysconfig_files(RUNTIME, tmp_path, SETTINGS, facts)
    path = tmp_path / "_sysconfig_vars__linux_x86_64-linux-gnu.json"
    assert path.exists() == there
    assert not there or json.loads(path.read_text())["LIBDIR"] == "../../lib"


def test_build_details_are_relative() -> None:
    details = load("build_files").build_details(FACTS)
    assert (details["base_prefix"], details["base_interpreter"]) == ("../..", "bin/python3.13")
    assert details["implementation"]["hexversion"] == 0x030D0FF0
    assert details["libpython"]["dynamic"] == "lib/libpython3.13.so.1.0"
    assert "/build" not in json.dumps(details)
