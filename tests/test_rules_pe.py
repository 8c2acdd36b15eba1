"""Archives for Windows, real tar and real PE: a good one has no finding, and each way to be bad has its own; and rules on facts alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from graph.audit import audit_archives
from graph.facts import Archive, Binary, Entry, Finding, Kind, Symbol
from graph.policy import Policy, parse_policy
from graph.rules import check
from graph.rules.common import is_core, module_of
from tests.fake_archive import Member, Tree, write
from tests.fake_pe import CELL, CORE, FIX, HEADER, NAMES, OWN, PYCONFIG, PYTHON, STABLE, good, pdb, pdb_of, pe, policy
from tests.test_pe import facts, portable

REAL = parse_policy((Path(__file__).resolve().parent.parent / "toolchains/policy.toml").read_text(), CELL)
MATH = "api-ms-win-crt-math-l1-1-0.dll"


def audit(folder: Path, tree: Tree, limits: Policy | None = None, flavour: str = "install_only") -> set[tuple[str, str]]:
    path = write(folder, flavour, tree, name=NAMES[flavour])
    return {(finding.rule, finding.path) for finding in audit_archives([path], limits or policy())}


@pytest.mark.parametrize("flavour", NAMES)
def test_a_good_archive_has_no_finding(tmp_path: Path, flavour: str) -> None:
    assert audit(tmp_path, good(flavour), flavour=flavour) == set()


BAD: list[tuple[str, str, str]] = [
    ("needed", FIX, "bad.pyd"),
    ("init-function", FIX, "bad.pyd"),
    ("exports", FIX, "bad.pyd"),
    ("pie", FIX, "bad.pyd"),
    ("dll-characteristics", FIX, "bad.pyd"),
    ("timestamp", FIX, "bad.pyd"),
    ("resources", FIX, "bad.pyd"),
    ("w-and-x", FIX, "bad.pyd"),
    ("stripped", FIX, "debug.pyd"),
    ("soname", OWN, "fix.pyd"),
    ("undefined", FIX.replace("fix", "bad"), ""),
    ("modules", "DLLs/fix", ""),
    ("layout", CORE, ""),
    ("layout", "python/Lib/os.py", ""),
    ("core-imports", CORE, "own.dll"),
    ("stable-abi", CORE, "own.dll"),
    ("stable-abi", STABLE, "fix.pyd"),
    ("subsystem", PYTHON, "pythonw.exe"),
    ("file-type", PYTHON, "own.dll"),
    ("binary-machine", PYTHON, "arm64.exe"),
    ("binary-machine", PYTHON, "i386.exe"),
    ("stack-reserve", PYTHON, "arm64.exe"),
]


@pytest.mark.parametrize(("rule", "path", "name"), [pytest.param(*row, id=f"{row[0]}-{n}") for n, row in enumerate(BAD)])
def test_a_bad_archive_is_found(tmp_path: Path, rule: str, path: str, name: str) -> None:
    tree = good()
    if rule == "undefined":
        tree |= {path: pe("fix.pyd"), OWN: pe("bad.pyd")}
    elif name:
        tree[path] = pe(name)
    else:
        tree.pop(path if path in tree else FIX)
    assert (rule, path) in audit(tmp_path, tree, flavour="install_only_stripped" if rule == "stripped" else "install_only")


def test_files_that_are_other_peoples_are_not_judged(tmp_path: Path) -> None:
    """pip's launchers for every machine, which an archive for Linux holds, too."""
    assert audit(tmp_path, {**good(), "python/Lib/distlib/t64-arm.exe": pe("arm64.exe")}) == set()


@pytest.mark.parametrize(("name", "found"), [("bad.pyd", set()), *((f"{name}.exe", {"binary-machine"}) for name in ("arm64", "i386"))])
def test_commands_that_others_made_are_for_the_machine(tmp_path: Path, name: str, found: set[str]) -> None:
    """Copies of the launcher for this one: how it was made is asked of nobody."""
    command = "python/Scripts/pip.exe"
    assert audit(tmp_path, {**good(), command: pe(name)}) == {(rule, command) for rule in found}


GUID = "01234567-89ab-cdef-0123-456789abcdef"
BESIDE = FIX.replace(".pyd", ".pdb")


@pytest.mark.parametrize(
    ("changed", "flavour", "found"),
    [
        pytest.param({BESIDE: None}, "install_only", {("pdb", FIX)}, id="missing"),
        pytest.param({BESIDE: Member(pdb(GUID))}, "install_only", {("pdb", FIX)}, id="of another build"),
        pytest.param({BESIDE: Member(b"MZ")}, "install_only", {("pdb", FIX), ("binary-format", BESIDE)}, id="no PDB"),
        pytest.param({BESIDE: Member(pdb(GUID)[:2000])}, "install_only", {("pdb", FIX)}, id="broken"),
        pytest.param({"python/old.pdb": Member(pdb(GUID))}, "install_only", {("pdb", "python/old.pdb")}, id="of no file"),
        pytest.param({FIX: pe("debug.pyd")}, "install_only", {("pdb", FIX)}, id="DWARF inside"),
        pytest.param({FIX: pe("own.dll")}, "install_only_stripped", {("pdb", FIX)}, id="names another"),
        pytest.param({BESIDE: pdb_of("fix.pyd")}, "install_only_stripped", {("layout", BESIDE)}, id="stripped"),
        pytest.param({BESIDE: Member(pdb(GUID) + b" /build/src/x.c ")}, "install_only", {("build-path", BESIDE)}, id="path"),
    ],
)
def test_debug_information_is_beside_each_file(
    tmp_path: Path, changed: dict[str, Member | None], flavour: str, found: set[tuple[str, str]]
) -> None:
    tree: dict[str, Member | None] = {**good(flavour), **changed}
    limits = replace(policy(), forbidden=REAL.forbidden, leaks=REAL.leaks)
    kept = {path: member for path, member in tree.items() if member is not None}
    assert audit(tmp_path, kept, limits, flavour=flavour) >= found


def test_a_pdb_is_known_by_guid_and_age() -> None:
    assert judged(module()) == set()
    own = portable(module()).pdb
    assert own is not None
    for other in (replace(own, age=2), replace(own, guid=GUID)):
        archive = Archive(NAMES["install_only"], (Entry(FIX, "file"),), (module(),), pdbs={BESIDE: other})
        [message] = [one.message for one in check(archive, policy()) if one.rule == "pdb"]
        assert message == f"is of {own.guid} (1), fix.pdb beside it of {other.guid} ({other.age})"
    bare = with_pe(module(), pdb=None)
    assert judged(bare) == {("pdb", FIX, "names no PDB, not fix.pdb")}
    for name, shown in (("", "a PDB without a name"), (r"C:\build\fix.pdb", r"C:\build\fix.pdb")):
        assert ("pdb", FIX, f"names {shown}, not fix.pdb") in judged(with_pe(module(), pdb=replace(own, name=name)))


def test_a_second_name_of_a_program_has_the_pdb_of_the_first() -> None:
    program = facts("python.exe", PYTHON)
    debug = replace(policy(), cell=replace(CELL, options=("debug",)))
    first = moved(program, "python/python_d.exe")
    named = portable(first).pdb
    assert named is not None and named.name == "python_d.pdb"
    second = with_pe(replace(first, path=PYTHON))

    def found(limits: Policy) -> set[tuple[str, str]]:
        entries = tuple(Entry(one.path, "file") for one in (second, first))
        archive = Archive(NAMES["install_only"], entries, (second, first), pdbs={"python/python_d.pdb": named})
        return {(one.path, one.message) for one in check(archive, limits) if one.rule == "pdb"}

    assert found(debug) == set()
    assert found(policy()) == {(PYTHON, "names python_d.pdb, not python.pdb")}


BROUGHT = frozenset({"vcruntime140.dll", "msvcp140.dll"})


@pytest.mark.parametrize("flavour", NAMES)
def test_files_that_the_user_brought_are_not_judged_by_how_they_were_made(tmp_path: Path, flavour: str) -> None:
    root = "python/install" if flavour == "full" else "python"
    tree = {**good(flavour), **{f"{root}/{name}": pe("bad.pyd") for name in BROUGHT}}
    path = write(tmp_path, flavour, tree, name=NAMES[flavour].replace("+20260801", "+20260801.vcruntime.0123abcd"))
    assert audit_archives([path], replace(policy(), bundled=BROUGHT)) == ()
    unexpected = {(one.rule, one.path) for one in audit_archives([path], policy())}
    assert unexpected > {("archive-name", path.name), *(("licensed", f"{root}/{name}") for name in BROUGHT)}


def test_of_licensed_files_an_archive_has_what_was_brought_and_no_other(tmp_path: Path) -> None:
    limits, place = replace(policy(), bundled=frozenset({"vcruntime140.dll"})), "python/vcruntime140.dll"
    # the archive is named as if it had none
    name = ("archive-name", NAMES["install_only"])
    assert audit(tmp_path, good(), limits) == {name, ("licensed", place)}
    assert audit(tmp_path, {**good(), place: pe("arm64.exe")}, limits) == {name, ("binary-machine", place)}
    for other in ("python/msvcp140.dll", "python/DLLs/VCRUNTIME140.dll", "python/Lib/site-packages/x/vcruntime140.dll"):
        assert ("licensed", other) in audit(tmp_path, {**good(), place: pe("own.dll"), other: pe("own.dll")}, limits)
    # what we made does not need it all the same
    assert ("needed", FIX, "needs VCRUNTIME140.dll, which no file of ours may") in judged(
        needing("VCRUNTIME140.dll"), paths=(place,), limits=limits
    )


def test_a_description_names_the_modules_of_windows(tmp_path: Path) -> None:
    tree = good("full")
    text: Any = json.loads(tree["python/PYTHON.json"].data)
    text["build_info"]["extensions"]["fix"][0]["shared_lib"] = "install/DLLs/gone.pyd"
    tree["python/PYTHON.json"] = Member(json.dumps(text).encode())
    assert {rule for rule, _ in audit(tmp_path, tree, flavour="full")} == {"metadata"}


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ('"win_amd64"', '"win_amd65"', {"platform-values"}),
        ("SIZEOF_VOID_P 8", "SIZEOF_VOID_P 16", {"platform-values"}),
        ("/* #define Py_GIL_DISABLED 1 */", "#define Py_GIL_DISABLED 1", {"platform-values"}),
        ("win_arm64", "win_arm65", set()),
    ],
)
def test_pyconfig(tmp_path: Path, old: str, new: str, found: set[str]) -> None:
    tree = {**good(), HEADER: Member(PYCONFIG.replace(old, new).encode())}
    assert {rule for rule, _ in audit(tmp_path, tree)} == found


# --- facts alone


def judged(*binaries: Binary, paths: tuple[str, ...] = (), limits: Policy | None = None) -> set[tuple[str, str, str]]:
    """(rule, path, message) of findings but those about what is missing; beside each binary lies the PDB that it names."""
    entries = tuple(Entry(path, "file", mtime=1_785_542_400) for path in sorted({*paths, *(binary.path for binary in binaries)}))
    pdbs = {f"{one.path.rpartition('.')[0]}.pdb": one.pe.pdb for one in binaries if one.pe and one.pe.pdb}
    found = check(Archive(NAMES["install_only"], entries, binaries, pdbs=pdbs), limits or policy())
    return {(one.rule, one.path, one.message) for one in found if one.rule not in ("layout", "modules")}


def module(**fields: Any) -> Binary:
    return replace(facts("fix.pyd", FIX), needed=(), imports=(), **fields)


def moved(binary: Binary, path: str) -> Binary:
    """The file at another path, which names the PDB that would lie beside it there."""
    named = portable(binary).pdb
    assert named is not None
    return with_pe(replace(binary, path=path), pdb=replace(named, name=f"{Path(path).stem}.pdb"))


def with_pe(binary: Binary, **fields: Any) -> Binary:
    return replace(binary, pe=replace(portable(binary), **fields))


def needing(library: str) -> Binary:
    return replace(module(), needed=(library,), imports=(Symbol("f", "", library),))


def test_names_of_libraries_have_no_case() -> None:
    assert judged(needing("KERNEL32.dll")) == judged(needing("API-MS-WIN-CRT-HEAP-L1-1-0.dll")) == set()
    own = replace(facts("own.dll", OWN), exports=(Symbol("f"),))
    assert judged(needing("OWN.DLL"), own) == set()


def test_a_library_is_found_beside_the_file_and_beside_python_exe_only() -> None:
    assert judged(needing("x.dll"), paths=("python/x.dll",)) == judged(needing("x.dll"), paths=("python/DLLs/X.dll",)) == set()
    message = "needs x.dll, which is neither allowed nor shipped beside it or python.exe"
    assert judged(needing("x.dll"), paths=("python/Lib/x.dll",)) == {("needed", FIX, message)}


def test_another_c_runtime_is_refused_even_if_it_is_shipped() -> None:
    found = judged(needing("LIBGCC_S.dll"), paths=("python/libgcc_s.dll",))
    assert found == {("needed", FIX, "needs LIBGCC_S.dll, which no file of ours may")}


def test_what_a_shipped_library_lacks() -> None:
    user = replace(module(), needed=("own.dll",), imports=(Symbol("#3", "", "own.dll"), Symbol("gone", "", "own.dll")))
    assert judged(user, facts("own.dll", OWN)) == {("undefined", FIX, "nothing gives #3 (own.dll), gone (own.dll)")}


def test_functions_of_the_core_come_from_where_they_should() -> None:
    core = facts("python313.dll", CORE)
    assert judged(core) == set()
    assert judged(replace(core, imports=(Symbol("exp", "", MATH.upper()),))) == set()
    elsewhere = replace(core, imports=(Symbol("exp", "", "kernel32.dll"),))
    assert judged(elsewhere) == {("core-imports", CORE, f"does not take exp from {MATH}")}


def test_a_module_offers_its_own_init_function_without_a_tag_in_its_name() -> None:
    assert judged(module(exports=(Symbol("PyInit_fix"), Symbol("DllCanUnloadNow")))) == set()
    assert judged(module(exports=(Symbol("PyInit_fix"), Symbol("PyInit_other")))) == {("init-function", FIX, "exports PyInit_other")}
    assert judged(module(exports=(Symbol("PyInit_other"),))) == {
        ("init-function", FIX, "exports PyInit_other"),
        ("init-function", FIX, "does not export PyInit_fix"),
    }
    tagged = FIX.replace("fix.", "fix.cp313-win_amd64.")
    assert judged(moved(module(), tagged)) == {("platform-values", tagged, "is not named fix.pyd")}
    more = FIX.replace("fix", "more")
    assert ("exports", more, "exports DllCanUnloadNow") in judged(
        module(path=more, exports=(Symbol("PyInit_more"), Symbol("DllCanUnloadNow")))
    )


def test_the_stable_abi_is_forwarded_whole() -> None:
    core, stable = facts("python313.dll", CORE), facts("python3.dll", STABLE)
    assert judged(core, stable) == judged(core) == judged(stable) == set()
    more = (*stable.exports, Symbol("Py_More"), Symbol("PyOS_CheckStack"))
    forwards = {symbol.name: f"python313.{symbol.name}" for symbol in more}
    assert judged(core, with_pe(replace(stable, exports=more), forwards=forwards)) == {
        ("stable-abi", CORE, "lacks Py_More, which python3.dll forwards")
    }
    for other in ({}, {"Py_Answer": "python312.Py_Answer"}):
        assert ("stable-abi", STABLE, "does not forward Py_Answer to python313") in judged(core, with_pe(stable, forwards=other))
    empty = with_pe(replace(stable, exports=()), forwards={})
    assert judged(core, empty) == {("stable-abi", STABLE, "does not forward anything to python313")}


def test_headers() -> None:
    assert judged(with_pe(module(), timestamps=(0, 5))) == {("timestamp", FIX, "holds a time: 5")}
    only = frozenset({"dynamic_base"})
    assert judged(with_pe(module(), characteristics=only)) == {
        ("dll-characteristics", FIX, "has no NX_COMPAT"),
        ("dll-characteristics", FIX, "has no HIGH_ENTROPY_VA"),
    }
    small = replace(policy(), bits=32)
    assert judged(with_pe(module(bits=32), characteristics=only | {"nx_compat"}), limits=small) == set()
    assert judged(module(position_independent=False)) == {("pie", FIX, "loads at a fixed address")}
    assert judged(module(kind=Kind.EXECUTABLE)) >= {("file-type", FIX, "is executable, not shared")}


@pytest.mark.parametrize("name", ["python.exe", "pythonw.exe"])
def test_programs(name: str) -> None:
    program = replace(facts(name, f"python/{name}"), needed=(), imports=())
    assert judged(program) == set()
    assert {rule for rule, _, _ in judged(with_pe(program, subsystem="native"))} == {"subsystem"}
    assert judged(with_pe(program, stack=1 << 20)) == {
        ("stack-reserve", program.path, "reserves 1048576 bytes of stack, fewer than 2000000")
    }
    # a launcher starts the interpreter, and needs little
    launcher = f"python/Lib/venv/scripts/nt/{'venvwlauncher.exe' if 'w' in name else 'venvlauncher.exe'}"
    assert judged(with_pe(moved(program, launcher), stack=1 << 20)) == set()
    assert judged(with_pe(program, resources=frozenset({"icon", "version"}))) == {
        ("resources", program.path, "has no group_icon, no manifest")
    }


@pytest.mark.parametrize(
    ("paths", "bad", "message"),
    [
        (("python/Lib/x.py", "python/lib/y.py"), "python/lib", "is the same as python/Lib"),
        (("python/Lib/Aux.py",), "python/Lib/Aux.py", "is no name on Windows"),
        (("python/con/x",), "python/con", "is no name on Windows"),
        (("python/a:b",), "python/a:b", "is no name on Windows"),
        (("python/a.",), "python/a.", "is no name on Windows"),
    ],
)
def test_names_that_windows_cannot_have(paths: tuple[str, ...], bad: str, message: str) -> None:
    assert ("windows-name", bad, message) in judged(paths=paths)


def test_names_that_look_alike_are_fine() -> None:
    assert judged(paths=("python/Lib/console.py", "python/Lib/auxiliary.py", "python/.x", "python/Lib/a b.py")) == set()


@pytest.mark.parametrize("kind", ["symlink", "hardlink"])
def test_an_archive_for_windows_has_no_links(kind: str) -> None:
    entries = (Entry("python/a", "file"), Entry("python/b", kind, link="a" if kind == "symlink" else "python/a"))
    found = check(Archive(NAMES["install_only"], entries), policy())
    assert Finding("windows-name", "python/b", f"is a {kind}, which only some may make on Windows", NAMES["install_only"]) in found


def free(limits: Policy) -> Policy:
    return replace(limits, cell=replace(CELL, options=("freethreaded", "noopt")))


@pytest.mark.parametrize(
    ("text", "limits", "message"),
    [
        (PYCONFIG, free, {"Py_GIL_DISABLED is not defined"}),
        (PYCONFIG.replace("/* #", "#"), free, set()),
        (PYCONFIG.replace("/* #", "#"), replace, {"Py_GIL_DISABLED is defined"}),
        ("", replace, {'PYD_PLATFORM_TAG is nowhere "win_amd64"', "SIZEOF_VOID_P is nowhere 8"}),
    ],
)
def test_what_pyconfig_says(text: str, limits: Callable[[Policy], Policy], message: set[str]) -> None:
    found = check(Archive("python.zip", (Entry(HEADER, "file"),), texts={HEADER: text, "python/x": "#"}), limits(policy()))
    assert {one.message for one in found if one.rule == "platform-values"} == message


def test_places_of_the_core_and_of_modules() -> None:
    core = ("python.exe", "pythonw.exe", "python3.dll", "python313.dll")
    found = {name: [is_core(replace(module(), path=f"{root}/{name}")) for root in ("python", "python/install")] for name in core}
    assert found == {name: [True, True] for name in core}
    assert not any(is_core(replace(module(), path=path)) for path in (FIX, "python/vcruntime140.dll", "python/Scripts/python.exe"))
    assert (module_of(FIX), module_of(OWN), module_of("python/Lib/fix.pyd")) == ("fix", "", "")


def test_names_of_a_cell_for_windows() -> None:
    assert (CELL.lib, CELL.nodot) == ("Lib", "313")
