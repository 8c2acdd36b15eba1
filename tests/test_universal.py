"""Universal targets: which nodes they have, how their slices' files become one, what is refused, how the audit looks into each slice."""

from __future__ import annotations

import _osx_support
import json
import os
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.binaries import read_binaries
from graph.errors import LockError
from graph.facts import Archive, Binary, Entry, Kind, Segment
from graph.matrix import parse_matrix
from graph.node import Node, Run
from graph.plan import Plan, make_plan
from graph.policy import Policy, parse_policy
from graph.recipes.common import Context, Host
from graph.recipes.registry import RECIPES
from graph.rules import check
from graph.session import Session
from graph.target import Cell
from tests.fake_macho import FIX, LIMITS, PYTHON, STUBS, good
from tests.mini import ROOT
from tests.test_recipes_aqua import fake_sdk, planned
from tests.test_recipes_aqua import given as with_sdk
from tests.test_steps import load, tree

SESSION = Session(ROOT, {})
TRIPLE = "universal2-apple-darwin"
TARGET = SESSION.matrix.targets[TRIPLE]
SLICES = ("aarch64-apple-darwin", "x86_64-apple-darwin")
TABLE = (ROOT / "toolchains/targets.toml").read_text()


# --- the platform table


def test_the_row_is_merged_of_both() -> None:
    assert tuple(map(str, TARGET.slices)) == tuple(map(str, TARGET.compiled)) == SLICES
    thin = SESSION.matrix.targets[SLICES[0]]
    assert thin.compiled == (thin,) and thin.slices == ()


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('"aarch64-apple-darwin", "x86', '"arm64-apple-darwin", "x86', "no row 'arm64-apple-darwin'"),
        ('"aarch64-apple-darwin", "x86_64-apple-darwin"]', '"aarch64-apple-darwin"]', "two processors or more"),
        ('"aarch64-apple-darwin", "x86_64-apple-darwin"]', '"aarch64-apple-darwin", "aarch64-apple-darwin"]', "two processors or more"),
        ('["aarch64-apple-darwin", "x86_64-apple-darwin"]', "5", "slices: 5 is wrong"),
        ('"x86_64-apple-darwin"]', '"x86_64-unknown-linux-gnu"]', "has os = 'linux', not 'macos'"),
        ('"x86_64-apple-darwin"]', '"universal2-apple-darwin"]', "is merged of others itself"),
        (
            'arch = "universal2"',
            'arch = "universal2"\noptions = ["lto", "noopt+static"]',
            "aarch64-apple-darwin does not offer noopt+static",
        ),
        (
            "[targets.x86_64-apple-darwin]\n",
            '[targets.x86_64-apple-darwin]\noptions = ["noopt"]\n',
            "x86_64-apple-darwin does not offer lto",
        ),
        (
            'arch = "universal2"\nzig = ""\nclang = ""\ndeployment_target = "10.15"',
            'arch = "universal2"\nzig = ""\nclang = ""\ndeployment_target = "11.0"',
            "deployment_target is '11.0', not '10.15', the oldest",
        ),
    ],
)
def test_slices_that_cannot_be_one_are_refused(old: str, new: str, what: str) -> None:
    assert TABLE.count(old) == 1
    with pytest.raises(LockError, match=re.escape(what)) as caught:
        parse_matrix(TABLE.replace(old, new))
    assert caught.value.place.endswith(f"[targets.{TRIPLE}]") and caught.value.hint


def test_a_slice_keeps_its_baseline() -> None:
    level = '[targets.x86_64_v3-apple-darwin]\nlike = "x86_64-apple-darwin"\nbaseline = "x86_64-apple-darwin"\ncpu_flags = ["-mavx2"]\n'
    table = TABLE.replace('"x86_64-apple-darwin"]', '"x86_64_v3-apple-darwin"]').replace(
        "[targets.universal2", f"{level}[targets.universal2"
    )
    matrix = parse_matrix(table)
    assert matrix.targets[TRIPLE].slices[1] == matrix.targets["x86_64_v3-apple-darwin"]
    assert matrix.targets[TRIPLE].slices[1].baseline == matrix.targets["x86_64-apple-darwin"]


# --- the plan


def plan(options: str = "lto", host: str = "linux-x86_64") -> tuple[Plan, Context]:
    """Of the one cell, on a build host."""
    own = SESSION.matrix.targets[SESSION.matrix.hosts[host]]
    cell = Cell(TARGET, "3.13.15", tuple(sorted(options.split("+"))))
    context = Context(cell, Host(host, own), SESSION.lock, SESSION.files)
    return make_plan([context, replace(context, cell=SESSION.matrix.default(own))], RECIPES), context


def inputs(node: Node) -> set[str]:
    return {given.node for given in node.inputs}


@pytest.mark.parametrize("options", ["lto", "noopt", "debug+freethreaded"])
def test_nothing_is_compiled_for_it_but_its_slices_of_the_same_version_and_options(options: str) -> None:
    found, context = plan(options)
    cell = context.cell
    nodes = {name: found[name] for name in found.closure([f"dist:{cell}"])}
    own = {name for name in nodes if TRIPLE in name}
    assert {name.partition(":")[0] for name in own} == {"configure", "files", "assemble", "metadata", "archive", "dist"}
    assert all("zig" not in given for name in own for given in inputs(nodes[name]))
    for variant in ("full", "stripped"):
        thin = {f"assemble:{replace(cell, target=one)}:{variant}" for one in TARGET.slices}
        assert thin | {f"files:{cell}", "toolchain:lld"} <= inputs(nodes[f"assemble:{cell}:{variant}"])
    assert inputs(nodes[f"configure:{cell.abi}"]) >= {f"configure:{triple}:3.13.15{cell.abiflags}" for triple in SLICES}
    assert inputs(nodes[f"assemble:{cell}:build"]) >= {f"core:{replace(cell, target=one)}" for one in TARGET.slices}
    assert {one.partition(":")[2].partition(":")[0] for one in nodes if one.startswith("core:")} == set(SLICES)


def test_the_slices_nodes_are_those_of_their_own_distributions() -> None:
    alone, context = plan("noopt")
    thin = [replace(context, cell=replace(context.cell, target=one)) for one in TARGET.slices]
    for one in thin:
        nodes = make_plan([one, replace(context, cell=SESSION.matrix.default(context.host.target))], RECIPES)
        assert all(alone[name] == nodes[name] for name in nodes.closure([f"dist:{one.cell}"]))


def test_on_a_mac_lipo_is_the_hosts() -> None:
    found, context = plan("noopt", "macos-aarch64")
    node = found[f"assemble:{context.cell}:full"]
    assert isinstance(node.action, Run)
    assert "lipo" in node.action.tools and dict(node.action.env)["LIPO"] == "lipo" and "toolchain:lld" not in inputs(node)
    found, context = plan("noopt")
    node = found[f"assemble:{context.cell}:full"]
    assert isinstance(node.action, Run)
    assert dict(node.action.env)["LIPO"] == "/build/tc/bin/lipo" and "tc/bin/lipo" in {file.path for file in node.files}


def test_an_sdk_is_every_slices(tmp_path: Path) -> None:
    """With it there is _tkinter, of the whole as of its slices."""
    session = with_sdk(tmp_path, fake_sdk(tmp_path / "sdk"))
    target = session.matrix.targets[TRIPLE]
    assert target.sdk and target.slices == tuple(session.matrix.targets[triple] for triple in SLICES)
    context, found = planned(session, TRIPLE)
    assert {f"ext:{triple}:3.13.15:_tkinter" for triple in SLICES} <= {*found.closure([f"dist:{context.cell}"])}


def test_it_is_built_when_named_only() -> None:
    assert SESSION.resolve([f"dist:{TRIPLE}"]) == (f"dist:{TRIPLE}:3.13.15:lto",)
    for group in ("dist:darwin", "dist:all"):
        assert not [name for name in SESSION.resolve([group]) if TRIPLE in name]


# --- what configure said

config = load("universal_config")
MAKEFILE = """\
CONFIGURE_CFLAGS=\t
CONFIGURE_LDFLAGS=\t
BASECFLAGS=\t-fno-strict-overflow
CFLAGS=\t\t$(BASECFLAGS) $(CONFIGURE_CFLAGS)
PY_LDFLAGS=\t$(CONFIGURE_LDFLAGS) $(LDFLAGS)
LDSHARED=\t$(CC) -bundle -undefined dynamic_lookup $(PY_LDFLAGS)
UNIVERSALSDK=
MACOSX_DEPLOYMENT_TARGET=@oldest@
CONFIG_ARGS=\t '--host=@host@' '--prefix=/install' 'CC=cc'
_PYTHON_HOST_PLATFORM=macosx-@oldest@-@arch@
HOST_GNU_TYPE=\t@host@
"""
ARCHS = {"arm64": ("11.0", "aarch64-apple-darwin20.0.0"), "x86_64": ("10.15", "x86_64-apple-darwin19.0.0")}
HEADERS = {
    "arm64": "/* a */\n#define SIZEOF_LONG_DOUBLE 8\n/* #undef HAVE_GCC_ASM_FOR_X64 */\n\n#define HAVE_FORK 1\n",
    "x86_64": "/* a */\n#define SIZEOF_LONG_DOUBLE 16\n#define HAVE_GCC_ASM_FOR_X64 1\n\n#define HAVE_FORK 1\n",
}


def configured(tmp_path: Path, **more: dict[str, str]) -> Path:
    """The folder of two configured trees, one an architecture; `more` adds files to one or takes them away."""
    for arch, (oldest, host) in ARCHS.items():
        makefile = MAKEFILE.replace("@oldest@", oldest).replace("@host@", host).replace("@arch@", arch)
        files = {"Makefile": makefile, "pyconfig.h": HEADERS[arch], "Modules/config.c": "x\n", **more.get(arch, {})}
        tree(tmp_path / arch, {name: text for name, text in files.items() if text})
    return tmp_path


def merge_config(folder: Path) -> Path:
    pairs = [f"{arch}={folder / arch}" for arch in ARCHS]
    config.main([str(folder / "out"), "10.15", "macosx-10.15-universal2", *pairs])
    return folder / "out"


def test_the_makefile_is_one_of_cpythons_universal_builds(tmp_path: Path) -> None:
    out = merge_config(configured(tmp_path))
    values = load("build_files").config_vars((out / "Makefile").read_text(), out / "pyconfig.h")
    assert values["CFLAGS"] == "-fno-strict-overflow -arch arm64 -arch x86_64"
    assert "-arch arm64 -arch x86_64" in values["LDSHARED"] and "-arch arm64 -arch x86_64" in values["BLDSHARED"]
    assert (values["MACOSX_DEPLOYMENT_TARGET"], values["HOST_GNU_TYPE"]) == ("10.15", "aarch64-apple-darwin20.0.0")
    assert values["CONFIG_ARGS"].endswith("'--enable-universalsdk=/' '--with-universal-archs=universal2'")
    # as sysconfig.get_platform() says on either processor
    for machine in ("arm64", "x86_64"):
        told = _osx_support.get_platform_osx(dict(values), "", "", machine)
        assert "-".join(told) == TARGET.platform_tag
    assert f"_PYTHON_HOST_PLATFORM={TARGET.platform_tag}\n" in (out / "Makefile").read_text()
    # sysconfig takes the last definition: the first architecture's
    assert (values["SIZEOF_LONG_DOUBLE"], values["HAVE_GCC_ASM_FOR_X64"], values["HAVE_FORK"]) == (8, 0, 1)


def preprocessed(text: str, macro: str) -> str:
    """What is left of a header whose only conditions are defined(MACRO)."""
    kept, on = [], [True]
    for line in text.splitlines(keepends=True):
        if line.startswith("#if "):
            on.append(line.strip() == f"#if defined({macro})")
        elif line.startswith("#else"):
            on[-1] = not on[-1]
        elif line.startswith("#endif"):
            on.pop()
        elif all(on):
            kept.append(line)
    return "".join(kept)


LINE = st.sampled_from(["", "#define A 1", "#define A 2", "/* #undef A */", '#define B "x"'])


@given(st.lists(st.tuples(LINE, LINE), min_size=1))
def test_each_architecture_reads_its_own_header(rows: list[tuple[str, str]]) -> None:
    texts = {arch: "".join(f"{row[at]}\n" for row in rows) for at, arch in enumerate(ARCHS)}
    merged = config.pyconfig(texts, "pyconfig.h")
    for arch, text in texts.items():
        assert preprocessed(merged, config.MACROS[arch]) == text
    assert (merged == texts["arm64"]) == (texts["arm64"] == texts["x86_64"])


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"Makefile": MAKEFILE + "SHLIBS=\t-lx86\n"}, "Makefile has another number of lines"),
        (
            {"Makefile": MAKEFILE.replace("-fno-strict-overflow", "-O1")},
            "Makefile:3 differs between arm64, x86_64 and has no rule: BASECFLAGS",
        ),
        ({"pyconfig.h": HEADERS["x86_64"] + "\n"}, "pyconfig.h has another number of lines"),
        ({"Modules/config.c": "y\n"}, "Modules/config.c differs between arm64, x86_64 and has no rule"),
        ({"Modules/config.c": ""}, "configure made other files for x86_64: Modules/config.c"),
        ({"Misc/python.pc": "x"}, "configure made other files for x86_64: Misc/python.pc"),
    ],
)
def test_what_has_no_rule_is_named(tmp_path: Path, more: dict[str, str], what: str) -> None:
    with pytest.raises(ValueError, match=re.escape(what)):
        merge_config(configured(tmp_path, x86_64=more))


def test_a_makefile_without_a_setting_is_refused(tmp_path: Path) -> None:
    without = MAKEFILE.replace("UNIVERSALSDK=\n", "")
    with pytest.raises(ValueError, match="Makefile does not set UNIVERSALSDK"):
        merge_config(configured(tmp_path, arm64={"Makefile": without}, x86_64={"Makefile": without}))


# --- trees

LIPO = """#!{python}
import sys
assert sys.argv[1] == "-create" and sys.argv[-2] == "-output"
data = [open(name, "rb").read() for name in sys.argv[2:-2]]
if len(set(data)) < len(data):
    sys.exit("have the same architectures")
open(sys.argv[-1], "wb").write(b"fat" + b"".join(data))
"""
"""What llvm-lipo does, as far as a merge of trees can see."""
CODE = "\udccf\udcfa\udced\udcfe"
"""Start of a Mach-O file, for `write`."""
COMMON = {"lib/os.py": "same", "bin/python3": "-> python3.13", "lib/d/e": "x"}


def write(root: Path, files: dict[str, str]) -> Path:
    """`tree`, whose texts may hold bytes as surrogates."""
    for name, text in files.items():
        tree(root, {name: text if text.startswith("-> ") else ""})
        if not text.startswith("-> "):
            (root / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    return root


@pytest.fixture
def merge_trees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    lipo = tmp_path / "lipo"
    lipo.write_text(LIPO.format(python=sys.executable))
    lipo.chmod(0o755)
    monkeypatch.setenv("LIPO", str(lipo))

    def merge(first: dict[str, str], second: dict[str, str], files: dict[str, str] | None = None) -> Path:
        trees = [write(tmp_path / name, {**COMMON, **own}) for name, own in (("one", first), ("two", second))]
        if files:
            write(tmp_path / "files", files)
        load("universal").main([str(tmp_path / "out"), str(tmp_path / "files"), *map(str, trees)])
        return tmp_path / "out"

    return merge


def test_code_gets_both_slices_and_the_rest_is_one(merge_trees: Any) -> None:
    starts = {"bin/python3.13": CODE, "lib/a.a": "!<arch>\n", "b.o": "BC\udcc0\udcde", "c.o": "\udcde\udcc0\x17\x0b"}
    first, second = ({name: start + which for name, start in starts.items()} for which in "12")
    out = merge_trees({**first, "data.o": CODE}, {**second, "data.o": CODE})
    for name, start in starts.items():
        whole = ("fat" + start + "1" + start + "2").encode("utf-8", "surrogateescape")
        assert (out / name).read_bytes() == whole
    assert os.access(out / "bin/python3.13", os.X_OK) and not os.access(out / "b.o", os.X_OK)
    assert str((out / "bin/python3").readlink()) == "python3.13" and (out / "lib/os.py").read_text() == "same"
    # the very same bytes are one file, whatever they are
    assert (out / "data.o").read_bytes() == CODE.encode("utf-8", "surrogateescape")


def test_files_of_its_own_take_the_place_of_the_slices(merge_trees: Any) -> None:
    out = merge_trees({"Makefile": "11.0"}, {"Makefile": "10.15"}, {"Makefile": "both", "bin/python3": "-> python3.13", "lib/os.py": "own"})
    assert (out / "Makefile").read_text() == "both" and (out / "lib/os.py").read_text() == "own"


def test_an_empty_folder_stays(merge_trees: Any, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "site").mkdir(parents=True)
    assert list((merge_trees({}, {}) / "site").iterdir()) == []


@pytest.mark.parametrize(
    ("first", "second", "files", "what"),
    [
        ({"lib/x.json": "1"}, {"lib/x.json": "2"}, {}, r"lib/x\.json differs between .*one, .*two, and there is no rule"),
        ({"x": CODE}, {"x": "text"}, {}, "x differs between"),
        ({"x": "-> a"}, {"x": "-> b"}, {}, "x differs between"),
        ({"x": "-> a"}, {"x": "a"}, {}, "x differs between"),
        ({"x/y": "a"}, {"x": "a"}, {}, "differ in what they hold: x, x/y"),
        ({}, {"lib/more": ""}, {}, "two and .*one differ in what they hold: lib/more"),
        ({"lib/more": ""}, {}, {}, "two and .*one differ in what they hold: lib/more"),
        ({}, {}, {"lib/other": ""}, "files and .*one differ in what they hold: lib/other"),
    ],
)
def test_a_difference_without_a_rule_names_the_file(
    merge_trees: Any, first: dict[str, str], second: dict[str, str], files: dict[str, str], what: str
) -> None:
    with pytest.raises(ValueError, match=what):
        merge_trees(first, second, files)


def test_a_mode_is_a_difference(merge_trees: Any, tmp_path: Path) -> None:
    write(tmp_path / "two", {"lib/x": "x"}).joinpath("lib/x").chmod(0o755)
    with pytest.raises(ValueError, match="lib/x differs"):
        merge_trees({"lib/x": "x"}, {})


def test_what_lipo_refuses_fails(merge_trees: Any, tmp_path: Path) -> None:
    shutil.copy("/bin/false" if Path("/bin/false").exists() else "/usr/bin/false", tmp_path / "lipo")
    with pytest.raises(load("universal").subprocess.CalledProcessError):
        merge_trees({"x": CODE + "1"}, {"x": CODE + "2"})


# --- the audit

ARM, INTEL = TARGET.slices
NAME = f"cpython-3.13.15+20260801-{TRIPLE}-install_only.tar.gz"
POLICY = LIMITS.replace('machine = "x86_64"\n', "") + "".join(
    f'[[limits]]\nos = "macos"\narch = "{arch}"\nmachine = "{machine}"\n'
    for arch, machine in (("aarch64", "arm64"), ("x86_64", "x86_64"), ("universal2", "universal2"))
)
SETTINGS = {
    **{"ABIFLAGS": "", "EXT_SUFFIX": ".cpython-313-darwin.so", "HOST_GNU_TYPE": TARGET.autoconf, "LDVERSION": "3.13", "MACHDEP": "darwin"},
    **{"MACOSX_DEPLOYMENT_TARGET": "10.15", "MULTIARCH": "darwin", "SIZEOF_VOID_P": 8, "SOABI": "cpython-313-darwin", "VERSION": "3.13"},
    **dict.fromkeys(("CFLAGS", "LDSHARED"), "-O3 -arch arm64 -arch x86_64 -g"),
}
DATA = "python/lib/python3.13/_sysconfigdata__darwin_darwin.py"


def limits() -> Policy:
    """Those of the universal target, with what the system's libraries offer in each slice's sysroot."""
    found = parse_policy(POLICY, Cell(TARGET, "3.13.15", ("lto",)))
    return replace(found, slices=tuple(replace(one, stubs=STUBS) for one in found.slices))


def facts() -> dict[tuple[str, str], Binary]:
    """By path and machine, of the good archive with arm64's twin of each file."""
    found = {}
    for path, member in good().items():
        [intel] = read_binaries(path, member.data)
        assert intel.macho
        segments = tuple(Segment(one.flags, max(one.align, 1 << 14)) for one in intel.segments)
        found[path, "x86_64"] = replace(intel, macho=replace(intel.macho, offset=1 << 12))
        found[path, "arm64"] = replace(intel, machine="arm64", segments=segments, macho=replace(intel.macho, minos="11.0", offset=1 << 16))
    return found


def audit(binaries: dict[tuple[str, str], Binary], **settings: str) -> set[tuple[str, str, str]]:
    """(rule, path, message) of what is found."""
    entries = [Entry(path, "file", 0o755, mtime=1_785_542_400, head=b"\xca\xfe\xba\xbe") for path in good()]
    text = f"build_time_vars = {json.dumps({**SETTINGS, **settings})}\n"
    entries.append(Entry(DATA, "file", mtime=1_785_542_400))
    archive = Archive(NAME, tuple(sorted(entries, key=lambda entry: entry.path)), tuple(binaries.values()), {DATA: text})
    return {(found.rule, found.path, found.message) for found in check(archive, limits())}


def changed(path: str, machine: str, **fields: object) -> set[tuple[str, str, str]]:
    """What is found when one slice's facts are others."""
    binaries = facts()
    old = binaries[path, machine]
    assert old.macho
    own = {key: fields.pop(key) for key in ("minos", "offset", "signature") if key in fields}
    binaries[path, machine] = replace(old, **fields, macho=replace(old.macho, **own))  # type: ignore[arg-type]
    return audit(binaries)


def test_two_good_slices_have_no_finding() -> None:
    assert audit(facts()) == set()


def test_each_slice_is_judged_by_its_own_limits() -> None:
    assert changed(FIX, "arm64", minos="10.15") == {("minos", f"{FIX} (arm64)", "is for macos 10.15, not 11.0")}
    assert changed(FIX, "x86_64", minos="11.0") == {("minos", f"{FIX} (x86_64)", "is for macos 11.0, not 10.15")}
    assert changed(FIX, "arm64", signature=None) == {("signature", f"{FIX} (arm64)", "is not signed")}
    assert changed(FIX, "arm64", offset=1 << 12) == {("page-size", f"{FIX} (arm64)", "its slice lies at 0x1000, no multiple of 16384")}
    small = (Segment("r", 1 << 12),)
    assert changed(FIX, "x86_64", segments=small) == set()
    assert changed(FIX, "arm64", segments=small) == {("page-size", f"{FIX} (arm64)", "a segment is aligned to 4096, below 16384")}


def test_the_core_of_one_slice_does_not_speak_for_the_other() -> None:
    assert {
        (rule, path) for rule, path, _ in changed(PYTHON.replace("bin/python3.13", "lib/libpython3.13.dylib"), "arm64", exports=())
    } == set()
    binaries = {key: replace(one, exports=()) if key[1] == "arm64" and "ython3.13" in key[0][-18:] else one for key, one in facts().items()}
    assert {(rule, path) for rule, path, _ in audit(binaries)} == {("undefined", f"{FIX} (arm64)")}


def test_each_slice_of_the_static_libpython_is_compared_with_its_own_shared_one() -> None:
    config = "python/lib/python3.13/config-3.13-darwin/libpython3.13.a"
    assert {b.kind for (path, _), b in facts().items() if path.endswith(".dylib")} == {Kind.SHARED}
    names = {machine: frozenset({"_Py_Answer"}) for machine in ("arm64", "x86_64")}
    for machine, expected in ((None, set()), ("arm64", {f"{config} (arm64)"}), ("x86_64", {f"{config} (x86_64)"})):
        indexes = {(config, one): frozenset[str]() if one == machine else found for one, found in names.items()}
        archive = Archive(NAME, (), tuple(facts().values()), {}, indexes)
        assert {one.path for one in check(archive, limits()) if one.rule == "static-library"} == expected


def test_a_missing_slice_and_one_too_many_are_found() -> None:
    thin = {key: one for key, one in facts().items() if key != (FIX, "arm64")}
    assert audit(thin) == {("binary-machine", FIX, "has no slice for arm64")}
    more = {**facts(), (FIX, "i386"): replace(facts()[FIX, "x86_64"], machine="i386")}
    assert audit(more) == {("binary-machine", FIX, "is for i386, not arm64 and x86_64")}


@pytest.mark.parametrize("flags", ["-O3", "-arch arm64", "-arch arm64 -arch x86_64 -arch i386"])
def test_extension_modules_get_both_slices(flags: str) -> None:
    [(rule, path, message)] = audit(facts(), CFLAGS=flags)
    assert (rule, path) == ("platform-values", DATA) and message.endswith("not arm64 and x86_64")


def test_a_thin_distribution_asks_for_no_architecture() -> None:
    thin = Cell(INTEL, "3.13.15", ("lto",))
    found = parse_policy(POLICY, thin)
    assert found.machines == {"x86_64"} and limits().machines == {"arm64", "x86_64"}
    name = NAME.replace(TRIPLE, str(INTEL))
    text = f"build_time_vars = {json.dumps({**SETTINGS, 'HOST_GNU_TYPE': INTEL.autoconf})}\n"
    archive = Archive(name, (Entry(DATA, "file", mtime=1_785_542_400),), (), {DATA: text})
    messages = {one.message for one in check(archive, found) if one.rule == "platform-values"}
    assert messages == {f"-arch of {key} is arm64 and x86_64, not none" for key in ("CFLAGS", "LDSHARED")}
