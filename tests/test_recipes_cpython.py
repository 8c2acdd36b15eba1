"""CPython's recipes: what each node sees, so that a change reaches what it must and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from graph.digest import Digest
from graph.globs import Selection
from graph.matrix import options as matrix_options
from graph.node import Node, Run, key, manifest
from graph.plan import make_plan
from graph.recipes.build_python import build_python
from graph.recipes.common import Context, Host
from graph.recipes.cpython_modules import ABSENT, SHARED_LIBS, absent, extensions, modules_built_apart
from graph.recipes.cpython_reads import CONFIGURE, CORE, globs
from graph.recipes.distribution import FLAVOURS, archive_name
from graph.rules import flavour_of
from graph.session import Session

TRIPLE = "x86_64-unknown-linux-gnu"
SESSION = Session(Path(__file__).resolve().parent.parent, {})
CELL = SESSION.matrix.default(SESSION.matrix.targets[TRIPLE])
CONTEXT = Context(CELL, Host("linux-x86_64", SESSION.matrix.targets[TRIPLE]), SESSION.lock, SESSION.files)
PLAN = make_plan([CONTEXT], SESSION.recipes())
SOURCE = f"source:cpython-{CELL.version}"


OF_ABI, OF_VERSION = ("configure", "ext"), ("stdlib", "pip", "python")


def node(kind: str, what: str = "") -> Node:
    owner = CELL.abi if kind in OF_ABI else CELL.version if kind in OF_VERSION else str(CELL)
    return PLAN[f"{kind}:{owner}{what and ':' + what}"]


def run_of(made: Node) -> Run:
    assert isinstance(made.action, Run)
    return made.action


def words(made: Node) -> list[str]:
    return [word for step in run_of(made).steps for word in step.argv]


def file_of(made: Node, path: str) -> bytes:
    [data] = [file.data for file in made.files if file.path == path]
    return data


def reads(made: Node, path: str) -> bool:
    """Whether a node sees this file of the source tree."""
    for given in made.inputs:
        inside = path.removeprefix(f"{given.subdir}/") if given.subdir else path
        within = not given.subdir or inside != path
        if given.node == SOURCE and within and Selection.parse(given.only, given.without).keeps(inside):
            return True
    return False


def readers(path: str) -> set[str]:
    """Kinds (and modules) of the nodes that see a file of the source tree, less the interpreter that runs scripts."""
    found = set()
    for made in PLAN.nodes.values():
        own = replace(made, inputs=tuple(given for given in made.inputs if not given.at.startswith("py/")))
        if reads(own, path):
            name = made.name.replace(f":{CELL}", "").replace(f":{CELL.abi}", "")
            found.add(name.removesuffix(f":{CELL.version}"))
    return found


@pytest.mark.parametrize(
    ("path", "seen_by"),
    [
        ("Modules/_ssl.c", {"ext:_ssl"}),
        ("Modules/_ssl/cert.c", {"ext:_ssl"}),
        ("Modules/socketmodule.h", {"core", "python", "ext:_ssl"}),
        ("Modules/_hashopenssl.c", {"ext:_hashlib"}),
        ("Modules/hashlib.h", {"core", "python", "ext:_hashlib"}),
        ("Modules/_sqlite/connection.c", {"ext:_sqlite3"}),
        ("Modules/_ctypes/callproc.c", {"ext:_ctypes"}),
        ("Modules/clinic/zlibmodule.c.h", {"ext:zlib"}),
        ("Modules/_testcapi/util.h", {"ext:tests"}),
        ("Modules/mathmodule.c", {"core", "python"}),
        ("Python/ceval.c", {"core", "python"}),
        ("Lib/os.py", {"core", "python", "stdlib"}),
        ("Lib/json/decoder.py", {"stdlib"}),
        ("Lib/test/test_os.py", {"metadata", "archive:full"}),
        ("Lib/idlelib/idle_test/test_run.py", {"metadata", "archive:full"}),
        ("Doc/library/os.rst", set()),
        ("README.rst", set()),
        ("Modules/Setup.stdlib.in", {"configure", "core", "python"}),
    ],
)
def test_a_source_file_is_seen_by_those_that_need_it(path: str, seen_by: set[str]) -> None:
    assert readers(path) == seen_by


def test_configure_sees_no_library() -> None:
    configure = node("configure")
    assert not any(given.node.startswith("make:") for given in configure.inputs)
    site = file_of(configure, "config.site").decode().splitlines()
    names = {ext.name for ext in extensions(CELL)} | {module.name for module in absent(CELL)}
    assert {f"py_cv_module_{name}=n/a" for name in names} <= set(site)


def test_the_core_and_the_modules_are_built_side_by_side() -> None:
    core = node("core")
    # a Python packs the script libraries of Tcl and Tk, and writes libxcb
    apart = [f"ext:{CELL.abi}:{ext.name}" for ext in extensions(CELL) if not ext.test and ext.name != "_tkinter"]
    assert core.name not in PLAN.closure(apart)
    assert not any(name.startswith("ext:") for name in PLAN.closure([core.name]))


def test_a_module_sees_the_libraries_that_it_uses_and_pyconfig_only_of_configure() -> None:
    for ext in (one for one in extensions(CELL) if not one.test):
        made = node("ext", ext.name)
        libraries = {given.node.rpartition(":")[2] for given in made.inputs if given.node.startswith("make:")}
        assert libraries == set(ext.uses)
        [config] = [given for given in made.inputs if given.node == f"configure:{CELL.abi}"]
        assert config.only == ("pyconfig.h",)


def test_static_libraries_stay_inside_their_module() -> None:
    for ext in (one for one in extensions(CELL) if not one.test):
        links = [step.argv for step in run_of(node("ext", ext.name)).steps if "-shared" in step.argv]
        assert len(links) == 2
        assert all("-Wl,--exclude-libs,ALL" in argv for argv in links)
        shares = bool(set(ext.uses) & set(SHARED_LIBS))
        assert all(("-Wl,--disable-new-dtags,-rpath,$ORIGIN/../.." in argv) == shares for argv in links)


def test_object_files_of_a_module_have_names_of_their_own() -> None:
    for ext in extensions(CELL):
        stems = [Path(name).stem for name in ext.sources]
        assert len(set(stems)) == len(stems), ext.name


def test_core_and_modules_are_compiled_with_the_same_flags() -> None:
    flags = dict(run_of(node("configure")).env)["CFLAGS_NODIST"].split()
    compiled = words(node("ext", "zlib"))
    for flag in flags:
        assert flag in compiled or flag == "-Wno-date-time"


def test_the_core_takes_no_object_of_the_build_hosts_python() -> None:
    # (of 3.11 that would be deepfreeze.o, which is up to date or not as two copies came in order)
    [frozen] = [given for given in node("core").inputs if given.node.startswith("python:")]
    made = Selection.parse((), frozen.without)
    assert not made.keeps("deepfreeze/deepfreeze.o") and made.keeps("deepfreeze/deepfreeze.c")


def test_an_absent_module_has_a_reason_and_no_node() -> None:
    assert all(len(module.reason) > 20 for module in ABSENT)
    names = {module.name for module in absent(CELL)}
    assert not any(f"ext:{CELL.abi}:{name}" in PLAN.nodes for name in names)
    assert {"_gdbm"} <= names & set(modules_built_apart(CELL))


def test_a_module_is_absent_where_it_cannot_be_built() -> None:
    old = replace(CELL, version="3.11.2")
    assert {module.name for module in absent(old)} - {module.name for module in absent(CELL)} == {"_crypt", "nis"}
    musl = replace(old, target=SESSION.matrix.targets["x86_64-unknown-linux-musl"])
    assert "_crypt" not in modules_built_apart(musl)


def test_what_is_read_differs_between_versions() -> None:
    for rows in (CONFIGURE, CORE):
        assert all(globs(rows, minor) for minor in ("3.11", "3.13"))
    assert "Tools/scripts/deepfreeze.py" in set(globs(CORE, "3.11")) - set(globs(CORE, "3.13"))
    assert "Misc/platform_triplet.c" in set(globs(CONFIGURE, "3.13")) - set(globs(CONFIGURE, "3.11"))


def test_rows_of_another_version_are_left_out() -> None:
    assert "_testexternalinspection" in {ext.name for ext in extensions(CELL)}
    assert "_testexternalinspection" not in {ext.name for ext in extensions(replace(CELL, version="3.11.2"))}


def test_each_version_has_a_module_once() -> None:
    for version in ("3.11.2", "3.13.15", "3.14.10"):
        names = [ext.name for ext in extensions(replace(CELL, version=version))]
        assert len(set(names)) == len(names)


def test_what_is_installed() -> None:
    """Neither tests nor static libraries; full and stripped differ in the variant only."""
    full, stripped = node("assemble", "full"), node("assemble", "stripped")
    assert {given.node for given in full.inputs} == {given.node for given in stripped.inputs}
    assert not any(given.node == f"ext:{CELL.abi}:tests" for given in full.inputs)
    variants = {given.subdir for given in stripped.inputs if given.at.startswith("part/") and given.node.startswith(("core:", "ext:"))}
    assert variants == {"stripped"}


def test_no_input_lies_in_another() -> None:
    """A mount cannot be made inside a read-only mount."""
    for made in PLAN.nodes.values():
        places = [given.at for given in made.inputs if not given.writable]
        assert not [(a, b) for a in places for b in places if b.startswith(f"{a}/")], made.name


@pytest.mark.parametrize("flavour", list(FLAVOURS))
def test_archive_names_are_those_that_consumers_know(flavour: str) -> None:
    name = archive_name(CONTEXT, flavour)
    assert name.startswith(f"cpython-{CELL.version}+{SESSION.lock.release}-{TRIPLE}-")
    assert ("lto" in name) == (flavour == "full")
    found = flavour_of(name)
    assert found is not None and found.value == flavour


def test_dist_holds_the_three_archives() -> None:
    dist = node("dist")
    assert [given.node for given in dist.inputs] == [f"archive:{CELL}:{flavour}" for flavour in FLAVOURS]
    assert [word.rpartition("/")[2] for word in words(dist)[1:-1]] == [archive_name(CONTEXT, flavour) for flavour in FLAVOURS]


def test_the_description_links_what_the_modules_link() -> None:
    facts = json.loads(file_of(node("metadata"), "facts.json"))
    modules = facts["modules"]
    assert modules["_ssl"]["links"][0] == {"name": "ssl", "path_dynamic": "install/lib/libssl-fs.so.3"}
    assert modules["zlib"]["links"] == [{"name": "z", "path_static": "build/lib/libz.a"}]
    assert {"name": "m", "system": True} in modules["_sqlite3"]["links"]
    assert modules["_dbm"]["licenses"] == ["Sleepycat"]
    assert modules["_testcapi"]["objs"] == []
    assert modules["_ctypes"]["objs"][0] == "build/Modules/_ctypes.o"


def test_scripts_are_run_by_a_python_of_the_graph() -> None:
    for made in PLAN.nodes.values():
        for step in run_of(made).steps if isinstance(made.action, Run) else ():
            assert not step.argv[0].startswith("python"), made.name
    places = {given.at for given in build_python(CONTEXT)}
    assert places == {"py/bin", "py/lib/python3.13", "py/modules"}


@pytest.mark.parametrize(
    ("options", "full", "other"),
    [
        ("lto", "-lto-full", "-install_only"),
        ("noopt", "-noopt-full", "-noopt-install_only"),
        ("freethreaded+lto", "-freethreaded+lto-full", "-freethreaded-install_only"),
        ("freethreaded+debug", "-freethreaded+debug-full", "-freethreaded+debug-install_only"),
    ],
)
def test_every_option_set_has_archives_of_its_own_name(options: str, full: str, other: str) -> None:
    made = replace(CONTEXT, cell=replace(CELL, options=matrix_options(options)))
    assert f"{TRIPLE}{full}." in archive_name(made, "full")
    assert f"{TRIPLE}{other}." in archive_name(made, "install_only")


def test_every_step_s_python_is_the_build_host_s_own() -> None:
    target = SESSION.matrix.targets["aarch64-unknown-linux-gnu"]
    cross = replace(CONTEXT, cell=replace(CELL, target=target, options=("debug", "freethreaded")))
    assert build_python(cross) == build_python(CONTEXT)
    assert not any(
        given.node.startswith(f"core:{target}")
        for made in make_plan([CONTEXT, cross], SESSION.recipes()).nodes.values()
        for given in made.inputs
        if given.at == "py/bin"
    )


def test_what_modules_do_not_see_changes_no_module() -> None:
    """lto and noopt share configure and every module; debug and freethreaded share the packages with them."""
    plans = {
        name: make_plan([replace(CONTEXT, cell=replace(CELL, options=matrix_options(name)))], SESSION.recipes())
        for name in CELL.target.options
    }
    own = {name: {one for one in plan.nodes if str(CELL.target) in one} for name, plan in plans.items()}
    kinds = {one.partition(":")[0] for one in own["noopt"] - own["lto"]}
    assert kinds == {"core", "files", "assemble", "metadata", "archive", "dist"}
    assert {one.partition(":")[0] for one in own["debug"] - own["lto"]} == kinds | {"configure", "ext"}
    for name, plan in plans.items():
        assert all(PLAN.nodes.get(one, made) == made for one, made in plan.nodes.items()), name


def test_an_edit_of_a_script_changes_the_nodes_that_run_it() -> None:
    file = SESSION.files["toolchains/steps/pack.py"]
    files = {**SESSION.files, "toolchains/steps/pack.py": replace(file, data=file.data + b"\n# edited\n")}
    edited = make_plan([replace(CONTEXT, files=files)], SESSION.recipes())

    def own_key(made: Node) -> str:
        return key(manifest(made, {given: Digest.of(given.node.encode()) for given in made.inputs}))

    changed = {name for name, made in PLAN.nodes.items() if own_key(made) != own_key(edited[name])}
    assert changed == {*(f"archive:{CELL}:{flavour}" for flavour in FLAVOURS), f"archive:{TRIPLE}:toolchain"}
