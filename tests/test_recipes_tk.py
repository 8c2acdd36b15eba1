"""The recipes of Tcl, Tk and what Tk draws with: names, edges, what is linked into what, and the files that steps read."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from graph.node import Node, Run
from graph.plan import make_plan
from graph.recipes.common import Context, Host
from graph.recipes.cpython_modules import PARTS, SHARED_FILES, SHARED_LIBS, extensions
from graph.recipes.fonts import FREETYPE, SOURCES
from graph.recipes.library import every
from graph.recipes.registry import RECIPES
from graph.session import Session
from tests.test_steps import load, tree

ROOT = Path(__file__).resolve().parent.parent
TRIPLE = "x86_64-unknown-linux-gnu"
SESSION = Session(ROOT, {})
CONTEXT = Context(
    SESSION.matrix.default(SESSION.matrix.targets[TRIPLE]),
    Host("linux-x86_64", SESSION.matrix.targets[TRIPLE]),
    SESSION.lock,
    SESSION.files,
)
PLAN = make_plan([CONTEXT], RECIPES)
CELL = str(CONTEXT.cell)
STATIC = PARTS["tk"]


def run_of(name: str) -> Run:
    action = PLAN[name].action
    assert isinstance(action, Run)
    return action


def words(name: str) -> str:
    return " ".join(word for step in run_of(f"make:{TRIPLE}:{name}").steps for word in step.argv)


def makers(node: Node) -> set[str]:
    """The nodes that made its inputs."""
    return {given.node for given in node.inputs}


@pytest.mark.parametrize("name", STATIC)
def test_what_is_linked_into_tk_is_static_and_hidden(name: str) -> None:
    text = words(name)
    assert "-fPIC -fvisibility=hidden" in text
    archive = f"{name if name.startswith('lib') else f'lib{name}'}.a"
    assert f"LIB={archive}" in text
    assert f"/build/out/licenses/LICENSE.{name}.txt" in text
    assert f"deps/{name}/lib/{archive}" in words("tk")


def test_tcl_and_tk_are_shared_under_names_and_versions_of_their_own() -> None:
    for name, (library,) in (("tcl", SHARED_LIBS["tcl"]), ("tk", SHARED_LIBS["tk"])):
        assert f"-z,defs,-soname,{library},-Bsymbolic-functions,--version-script=/build/own/lib{name}.map" in words(name)
        script = CONTEXT.files[f"toolchains/tcl/lib{name}.map"].data.decode()
        assert f"{name.upper()}_FS_9 {{ global: {name.capitalize()}_*;" in script
        assert "local: *;" in script


def test_the_script_libraries_are_inside_the_shared_libraries() -> None:
    for name in ("tcl", "tk"):
        assert f"scripts:{name}" in makers(PLAN[f"make:{TRIPLE}:{name}"])
        assert f"-DNAME={name}_scripts -Iscripts own/zip.S" in words(name)
        assert any(f"extern const unsigned char {name}_scripts[];".encode() in file.data for file in PLAN[f"source:{name}"].files)
    assert "-DZIPFS_IN_RODATA" in words("tk-objects")
    assert "-DZIPFS_IN_RODATA" in dict(run_of(f"make:{TRIPLE}:tcl-objects").env)["CFLAGS"]


def test_tk_sees_the_headers_of_x_and_not_its_own_copies() -> None:
    assert "xlib" not in words("tk-objects")
    assert "source:xorgproto" in makers(PLAN[f"make:{TRIPLE}:tk-objects"])
    action = PLAN["source:tk"].action
    assert "xlib/" in getattr(action, "without", ())


def test_only_one_zlib_is_built() -> None:
    assert f"make:{TRIPLE}:zlib" in makers(PLAN[f"make:{TRIPLE}:tcl"])
    assert "compat/zlib/*.c" in getattr(PLAN["source:tcl"].action, "without", ())


def test_tkinter_is_linked_with_both_and_finds_them_beside_it() -> None:
    node = f"ext:{CONTEXT.cell.abi}:_tkinter"
    assert {f"make:{TRIPLE}:tcl", f"make:{TRIPLE}:tk"} <= makers(PLAN[node])
    links = [step.argv for step in run_of(node).steps if "-shared" in step.argv]
    assert links and all({"-ltcl9tk9.0", "-ltcl9.0", "-Wl,--disable-new-dtags,-rpath,$ORIGIN/../.."} <= set(argv) for argv in links)


def test_the_distribution_has_their_libraries_files_and_licences() -> None:
    inputs = PLAN[f"assemble:{CELL}:stripped"].inputs
    given = {(given.node.rpartition(":")[2], glob) for given in inputs for glob in given.only}
    of_linux = {name: libraries for name, libraries in SHARED_LIBS.items() if name != "tk-aqua"}
    assert {(name, f"lib/{library}") for name, libraries in of_linux.items() for library in libraries} <= given
    assert ("libx11", *SHARED_FILES["tk"]["libx11"]) in given
    licences = {given.node for given in inputs if given.subdir == "licenses"}
    assert {f"make:{TRIPLE}:{name}" for name in ("tcl", "tk", *PARTS["tcl"], *PARTS["tk"])} <= licences


def test_parts_belong_to_shared_libraries_and_are_in_the_lock() -> None:
    used = {package for ext in extensions(CONTEXT.cell) for package in ext.uses}
    assert set(PARTS) <= used & set(SHARED_LIBS)
    for package in (*PARTS["tk"], "tcl", "tk"):
        assert CONTEXT.source(package).licence


def test_the_protocol_code_is_written_by_the_graphs_own_python() -> None:
    steps = run_of("protocol:libxcb").steps
    assert {step.argv[0] for step in steps} == {f"/build/py/bin/python{CONTEXT.cell.minor}"}
    assert [step.argv[-1] for step in steps] == ["/build/xml/xproto.xml", "/build/xml/bigreq.xml", "/build/xml/xc_misc.xml"]


def test_packages_are_the_same_nodes_for_every_python() -> None:
    newer = "3.14.10"
    lock = replace(CONTEXT.lock, sources={**CONTEXT.lock.sources, f"cpython-{newer}": CONTEXT.lock.wanted[f"cpython-{newer}"]})
    cells = (replace(CONTEXT.cell, version=newer), CONTEXT.cell)
    contexts = [replace(CONTEXT, cell=cell, lock=lock, steps_version=CONTEXT.cell.version) for cell in cells]
    both, one = (
        make_plan(contexts, RECIPES),
        make_plan(contexts[:1], RECIPES),
    )
    for name in ("protocol:libxcb", "scripts:tcl", f"make:{TRIPLE}:tk"):
        assert both[name] == one[name] == PLAN[name]
    assert f"python:{CONTEXT.cell.version}" in one.nodes


def test_nothing_of_the_machine_is_loaded_by_name() -> None:
    assert "USE_DYNAMIC_XCURSOR" not in words("libx11")
    assert "-DTK_NO_ICU" in words("tk-objects")


def test_freetype_takes_each_component_once() -> None:
    assert len(set(FREETYPE)) == len(FREETYPE)
    assert "docs/FTL.TXT" in SOURCES["freetype"]


def test_every_lists_c_files_in_make(tmp_path: Path) -> None:
    tree(tmp_path / "src", {"a.c": "", "b.c": "", "b.h": "", "sub/c.c": ""})
    (tmp_path / "makefile").write_text("all:\n\t@echo $(NAMES)\n")
    names = every(str(tmp_path / "src"), ("", "sub"), without=("b.c",))
    done = subprocess.run(["make", "-s", f"NAMES={names}"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["a.c", "sub/c.c"]


def test_a_script_library_is_the_same_zip_each_time(tmp_path: Path) -> None:
    files = {"tcl_library/init.tcl": "puts 1\n" * 50, "tcl_library/manifest.txt": "m", "tcl_library/a/b.msg": "é"}
    for name, order in (("one", list(files)), ("two", list(reversed(files)))):
        tree(tmp_path / name, {path: files[path] for path in order})
        load("script_zip").main([str(tmp_path / name), str(tmp_path / f"{name}.zip"), "tcl_library/manifest.txt=tcl_library/pkgIndex.tcl"])
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as packed:
        assert packed.namelist() == ["tcl_library/a/b.msg", "tcl_library/init.tcl", "tcl_library/pkgIndex.tcl"]
        assert packed.read("tcl_library/init.tcl").decode() == files["tcl_library/init.tcl"]
        assert {info.date_time for info in packed.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert packed.getinfo("tcl_library/init.tcl").compress_size < 50


NLS = {
    "C/XLC_LOCALE.pre": "XCOMM text\n#if WCHAR32\nwide\n#else\nnarrow\n#endif\n\nend\n",
    "en_US.UTF-8/XLC_LOCALE.pre": "XCOMM text\nutf8\n",
    "en_US.UTF-8/Compose.pre": 'XCOMM text\n<dead_acute> <e> : "é" eacute\n',
    "locale.dir.pre": "XCOMM\n\nC/XLC_LOCALE:\t\tC\niso8859-1/XLC_LOCALE:\tde_DE.ISO8859-1\nja_JP.UTF-8/XLC_LOCALE:\tja_JP.UTF-8\n",
    "compose.dir.pre": "iso8859-1/Compose:\tC\npt_BR.UTF-8/Compose:\tpt_BR.UTF-8\nth_TH/Compose:\tth_TH.TIS620\n",
    "locale.alias.pre": "POSIX:\tC\nC.utf8:\ten_US.UTF-8\nde:\tde_DE.ISO8859-1\n#if defined(sun)\nx.UTF-8:\tx.UTF-8\n#endif\n",
}


def test_locale_files_are_those_of_utf8_and_c(tmp_path: Path) -> None:
    tree(tmp_path / "nls", NLS)
    sh = shutil.which("sh")
    assert sh
    subprocess.run([sh, str(ROOT / "toolchains/x11/locale.sh"), str(tmp_path / "nls"), str(tmp_path / "out")], check=True)
    out = {path.relative_to(tmp_path / "out").as_posix(): path.read_text() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert out == {
        "C/XLC_LOCALE": "wide\nend\n",
        "C/Compose": "",
        "en_US.UTF-8/XLC_LOCALE": "utf8\n",
        "en_US.UTF-8/Compose": '<dead_acute> <e> : "é" eacute\n',
        "locale.dir": "C/XLC_LOCALE:\t\tC\nen_US.UTF-8/XLC_LOCALE:\tja_JP.UTF-8\n",
        "compose.dir": "C/Compose:\tC\nen_US.UTF-8/Compose:\tpt_BR.UTF-8\n",
        "locale.alias": "POSIX:\tC\nC.utf8:\ten_US.UTF-8\n",
    }
