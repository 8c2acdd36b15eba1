"""The recipes of the toolchain add-on and of its C++ library."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from graph.facts import Flavour
from graph.node import Fetch, Run, Unpack
from graph.plan import make_plan
from graph.recipes import toolchain_addon
from graph.recipes.common import Context, Host
from graph.recipes.registry import RECIPES
from graph.rules import flavour_of
from graph.session import Session

TRIPLE = "x86_64-unknown-linux-gnu"
SESSION = Session(Path(__file__).resolve().parent.parent, {})
CELL = SESSION.matrix.default(SESSION.matrix.targets[TRIPLE])
CONTEXT = Context(CELL, Host("linux-x86_64", SESSION.matrix.targets[TRIPLE]), SESSION.lock, SESSION.files)
PLAN = make_plan([CONTEXT], RECIPES)
ARCHIVE = PLAN[f"archive:{TRIPLE}:toolchain"]


def placed() -> dict[str, str]:
    """Place in the archive -> place in the sandbox, of all that is packed."""
    assert isinstance(ARCHIVE.action, Run)
    [step] = ARCHIVE.action.steps
    return {dest: part for part, _, dest in (word.partition("=") for word in step.argv[3:])} | {"": step.argv[2]}


def test_the_add_on_carries_the_zig_of_its_own_target() -> None:
    target = replace(CELL.target, triple="aarch64-unknown-linux-gnu", zig_wheel="zig-linux-aarch64")
    elsewhere = replace(CONTEXT, cell=replace(CELL, target=target), host=Host("linux-x86_64", target))
    fetch, zig = toolchain_addon.nodes(elsewhere)[:2]
    assert isinstance(fetch.action, Fetch) and isinstance(zig.action, Unpack)
    assert fetch.action.source == "zig-linux-aarch64"
    assert [given.node for given in zig.inputs] == ["fetch:zig-linux-aarch64"]


def test_it_is_one_for_all_versions_and_only_where_a_zig_runs() -> None:
    assert toolchain_addon.nodes(replace(CONTEXT, cell=replace(CELL, target=replace(CELL.target, zig_wheel="")))) == ()
    first, other = (replace(CONTEXT, cell=replace(CELL, version=one), steps_version=CELL.version) for one in (CELL.version, "3.13.99"))
    assert toolchain_addon.nodes(first) == toolchain_addon.nodes(other) != ()


def test_the_archive_has_a_name_that_no_installer_takes_for_a_distribution() -> None:
    name = Path(placed()[""]).name
    assert flavour_of(name) is Flavour.TOOLCHAIN
    assert not name.startswith("cpython-")
    dist = PLAN[f"dist:{TRIPLE}:toolchain"]
    assert isinstance(dist.action, Run)
    assert dist.action.steps[0].argv == ("cp", f"/build/archive/{name}", "/build/out/")


def test_every_program_is_the_one_driver() -> None:
    programs = {Path(dest).name for dest, part in placed().items() if part == "/build/addon/driver.sh"}
    assert programs == set(toolchain_addon.PROGRAMS)
    assert {file.path: file.executable for file in ARCHIVE.files}["addon/driver.sh"]


def test_all_that_is_packed_is_an_input_or_a_file_and_lies_in_one_folder() -> None:
    there = {f"/build/{given.at}" for given in ARCHIVE.inputs} | {f"/build/{file.path}" for file in ARCHIVE.files}
    packed = {dest: part for dest, part in placed().items() if dest}
    assert {part for part in packed.values() if part not in there and not part.startswith("/build/zig/")} == set()
    assert {dest for dest in packed if not dest.startswith("python/toolchain/")} == set()
    licensed = {given.node for given in ARCHIVE.inputs if given.subdir == "licenses"}
    assert licensed == {f"libc:{TRIPLE}", *(f"make:{TRIPLE}:{name}" for name in ("libcxx", *toolchain_addon.LIBRARIES))}


def test_the_settings_begin_with_the_target_and_keep_libraries_to_each_module() -> None:
    [settings] = [file.data.decode().splitlines() for file in ARCHIVE.files if file.path == "addon/clang.cfg"]
    assert settings[:2] == [f"--target={TRIPLE}", "-march=x86-64"]
    [hidden] = [line.partition(",")[2] for line in settings if "--exclude-libs" in line]
    assert set(hidden.removeprefix("--exclude-libs,").split(":")) == {
        *("libc++.a", "libunwind.a", "libz.a", "libbz2.a", "liblzma.a", "libffi.a"),
    }


def test_libc_names_the_libraries_that_a_newer_glibc_has_in_it() -> None:
    [libc] = [given for given in ARCHIVE.inputs if given.at == "libc"]
    assert libc.without == ("lib/libc.so",)
    [script] = [file.data.decode() for file in ARCHIVE.files if file.path == "addon/libc.so"]
    needed = script.partition("AS_NEEDED (")[2]
    assert all(f"/usr/lib/{name}" in needed for name in ("libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1"))


def test_the_cxx_library_is_compiled_from_zigs_sources() -> None:
    node = PLAN[f"make:{TRIPLE}:libcxx"]
    [source] = [given for given in node.inputs if given.at == "src"]
    assert (source.node, source.only) == ("toolchain:zig", ("lib/libcxx/", "lib/libcxxabi/", "lib/libunwind/"))
    assert {"build.mk", "config_site.h", "fmaxf128.c"} <= {file.path for file in node.files}
