"""macOS from here: what the drivers make, and what configure finds out, against a table of what it says on macOS."""

from __future__ import annotations

import hashlib
import re
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import lief
import pytest

from graph import toml
from graph.binaries import read_binaries
from graph.build import Build, Workshop
from graph.facts import Kind
from graph.jobserver import Jobserver
from graph.matrix import parse_cell
from graph.node import File, Input, Node, Step
from graph.plan import make_plan
from graph.recipes import universal
from graph.recipes.common import Context, Scoped, compile_node, of_cell, of_merged, of_target
from graph.recipes.library import MACOS_ANSWERS
from graph.recipes.registry import RECIPES
from graph.session import Session
from graph.target import Cell
from graph.testrun import unpack_archive
from tests.mini import ROOT, Checkout
from tests.real.conftest import HOUR, Folder
from tests.real.guesses import guessed, guesses, logs_of
from tests.real.version import DARWIN, MINOR, TAG, VERSION
from tests.test_recipes_aqua import argvs, fake_sdk, planned
from tests.test_steps import load

main_stack, references = load("main_stack"), load("references")
TARGETS = ("aarch64-apple-darwin", "x86_64-apple-darwin")
MACHINES = {"aarch64-apple-darwin": ("ARM64", "11.0"), "x86_64-apple-darwin": ("X86_64", "10.15")}
SCRIPT = Path(__file__).with_name("macos.sh")
TABLE = toml.loads(Path(__file__).with_name("macos_pyconfig.toml").read_text())


def drivers(ctx: Context) -> tuple[Node, ...]:
    """One node that runs macos.sh with the drivers."""
    if ctx.cell.target.os != "macos":
        return ()
    file = File("test.sh", SCRIPT.read_bytes())
    files = (file, File("references.h", references.header(["_lone"]).encode()))
    return (compile_node(ctx, f"make:{ctx.triple}:test", (Step(("sh", "/build/test.sh")),), files=files, tools=("posix",)),)


def joined(ctx: Context) -> tuple[Node, ...]:
    """One node that makes one tree of what macos.sh made for each slice."""
    # (lld names objects of link-time optimisation by the processor)
    slices = tuple(Input(f"make:{one.triple}:test", f"slices/{one.triple}", without=("objects/",)) for one in of_cell(ctx))
    return (universal.merged(ctx, f"make:{ctx.triple}:test", slices),)


@pytest.fixture(scope="module")
def session(first: Checkout) -> Session:
    return Session(first.root)


@pytest.fixture(scope="module", params=TARGETS)
def triple(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def made(session: Session, triple: str, folder: Folder) -> Iterator[dict[str, Path]]:
    """Trees by node: of the drivers' test, and of configure."""
    cell = parse_cell(f"{triple}:{VERSION}", session.matrix)
    names = {"drivers": f"make:{triple}:test", "configure": f"configure:{cell.abi}"}
    yield {name: trees(session, cell, node, folder(name) / "out") for name, node in names.items()}


def trees(session: Session, cell: Cell, name: str, place: Path) -> Path:
    """Make a node of the distribution, or of the recipes above; a copy of its tree."""
    # programs that run while building are the build host's
    cells = (session.matrix.default(session.matrix.targets[session.host.triple]), cell)
    own = (Scoped(of_target, drivers), Scoped(of_merged, joined))
    plan = make_plan(
        [Context(one, session.host, session.lock, session.files, session.matrix.versions[0]) for one in cells], [*RECIPES, *own]
    )
    workshop = Workshop(session.store, session.runner, session.fetcher, Jobserver(2), session.reporter, session.lock, session.tools)
    build = Build(plan, workshop)
    for one in plan.closure([name]):
        build.realise(one)
    session.store.copy_tree(build.result(name).tree, place)
    return place


ALIVE: list[lief.MachO.FatBinary] = []
"""A slice that lief gives is freed together with its file."""


def macho(path: Path) -> lief.MachO.Binary:
    fat = lief.MachO.parse(path)
    assert fat is not None and fat.size == 1
    ALIVE.append(fat)
    binary = fat.at(0)
    assert binary is not None
    return binary


def bad_pages(data: bytes) -> list[int]:
    """Pages whose hash in the signature is not theirs. Written from xnu's cs_blobs.h, apart from main_stack.py."""
    fat = lief.MachO.parse(list(data))
    assert fat is not None
    start = fat.at(0).code_signature.data_offset  # type: ignore[union-attr]
    count = struct.unpack(">I", data[start + 8 : start + 12])[0]
    entries = struct.unpack(f">{2 * count}I", data[start + 12 : start + 12 + 8 * count])
    directory = data[start + dict(zip(entries[::2], entries[1::2], strict=True))[0] :]
    hashes, slots, limit = (struct.unpack(">I", directory[at : at + 4])[0] for at in (16, 28, 32))
    size = 1 << directory[39]
    pages = [data[at : min(at + size, limit)] for at in range(0, limit, size)]
    assert len(pages) == slots and limit == start
    return [n for n, page in enumerate(pages) if directory[hashes + 32 * n :][:32] != hashlib.sha256(page).digest()]


@pytest.mark.parametrize("name", ["program", "lto", "plain", "module.so", "libone.dylib"])
def test_what_is_linked_is_signed_and_names_its_platform(made: dict[str, Path], triple: str, name: str) -> None:
    path = made["drivers"] / name
    binary = macho(path)
    machine, oldest = MACHINES[triple]
    assert binary.header.cpu_type.name == machine
    version = binary.build_version
    assert version is not None
    assert version.platform.name == "MACOS"
    assert ".".join(map(str, version.minos[:2])) == oldest
    assert version.sdk[0] == 27
    assert bad_pages(path.read_bytes()) == []


def test_modules_are_bundles_that_show_their_entry_only(made: dict[str, Path]) -> None:
    binary = macho(made["drivers"] / "module.so")
    assert binary.header.file_type.name == "BUNDLE"
    assert {symbol.name for symbol in binary.exported_symbols} == {"_PyInit_x", "_PyInit_y"}


def test_libraries_are_known_by_a_run_path(made: dict[str, Path]) -> None:
    library = macho(made["drivers"] / "libone.dylib")
    assert next(command.name for command in library.commands if isinstance(command, lief.MachO.DylibCommand)) == "@rpath/libone.dylib"


def test_newer_functions_are_weak(made: dict[str, Path]) -> None:
    for name in ("program", "lto"):
        [symbol] = [symbol for symbol in macho(made["drivers"] / name).imported_symbols if symbol.name == "_mkfifoat"]
        assert symbol.description & 0x40, "N_WEAK_REF"


def test_the_systems_own_functions_stay_beside_the_compilers_builtins(made: dict[str, Path], triple: str) -> None:
    """exp and fmax are libSystem's; so is a complex quotient where libSystem has it: on Intel's."""
    binary = macho(made["drivers"] / "numbers")
    imported = {str(symbol.name) for symbol in binary.imported_symbols}
    assert {"_exp", "_fmax"} <= imported
    assert {name for name in imported if name.startswith("___div")} == (
        {"___divdc3", "___divsc3"} if triple.startswith("x86_64") else set()
    )
    assert not [name for name in imported if "f128" in name]


def test_nothing_names_the_build_folder(made: dict[str, Path]) -> None:
    for path in (path for path in made["drivers"].rglob("*") if path.is_file()):
        assert b"/build" not in path.read_bytes(), path.name


def test_a_program_takes_every_object_that_the_table_refers_to(made: dict[str, Path]) -> None:
    shown = {name: {str(symbol.name) for symbol in macho(made["drivers"] / name).exported_symbols} for name in ("table", "referring")}
    assert "_api" in shown["table"] and "_lone" not in shown["table"]
    assert {"_api", "_lone"} <= shown["referring"]
    objects = sorted((made["drivers"] / "objects").iterdir())
    assert sorted(name for path in objects for name in references.exported(path.read_bytes())) == ["_api", "_lone"]


def test_a_stack_is_set_and_signed_anew(made: dict[str, Path]) -> None:
    path = made["drivers"] / "stacked"
    path.chmod(0o755)
    main_stack.main(["0x1000000", str(path)])
    binary = macho(path)
    assert binary.main_command is not None and binary.main_command.stack_size == 16 * 1024 * 1024
    assert path.read_bytes() != (made["drivers"] / "plain").read_bytes()
    assert bad_pages(path.read_bytes()) == []


def test_tk_is_compiled_from_the_files_that_upstream_compiles(session: Session, tmp_path: Path) -> None:
    """The recipe's list, as make reads it, against the object lists of Tk's own Makefile."""
    environ = {**session.environ, "SDKROOT": str(fake_sdk(tmp_path / "sdk"))}
    given = Session(session.root, environ)
    context, plan = planned(given, TARGETS[0])
    workshop = Workshop(given.store, given.runner, given.fetcher, Jobserver(1), given.reporter, given.lock, given.tools)
    build = Build(plan, workshop)
    for name in plan.closure(["source:tk-macos"]):
        build.realise(name)
    given.store.copy_tree(build.result("source:tk-macos").tree, tmp_path / "src")
    [argv] = [argv for argv in argvs(plan[f"make:{context.triple}:tk-objects"]) if "LIB=libtk.a" in argv]
    [names] = [word.replace("/build/src", str(tmp_path / "src")) for word in argv if word.startswith("NAMES=")]
    (tmp_path / "show.mk").write_text("show:\n\t@echo $(NAMES)\n")
    done = subprocess.run(["make", "-s", "-f", tmp_path / "show.mk", names], capture_output=True, text=True, check=True)
    text = (tmp_path / "src/unix/Makefile.in").read_text().replace("\\\n", " ")
    lists = ("GENERIC", "WIDG", "CANV", "IMAGE", "TEXT", "STUB", "TTK", "AQUA")
    objects = [name for one in lists for name in re.findall(rf"(?m)^{one}_OBJS\s*=(.*)$", text)[0].split()]
    assert sorted(Path(name).stem for name in done.stdout.split()) == sorted(name.removesuffix(".o") for name in objects)


LINKED = {"libone.a", "one.bc"}
"""What macos.sh leaves that is only ever linked."""


def test_files_of_both_processors_become_one_with_each_slice_as_it_was(session: Session, tmp_path: Path) -> None:
    whole, *thinner = (
        trees(session, session.matrix.default(session.matrix.targets[triple]), f"make:{triple}:test", tmp_path / triple)
        for triple in ("universal2-apple-darwin", *TARGETS)
    )
    thin = dict(zip(TARGETS, thinner, strict=True))
    assert {path.name for path in whole.iterdir()} == {path.name for path in thin[TARGETS[0]].iterdir()} - {"objects"} > LINKED
    for path in whole.iterdir():
        data = path.read_bytes()
        slices = {binary.machine: binary for binary in read_binaries(path.name, data)}
        assert slices.keys() == {"arm64", "x86_64"}, path.name
        assert path.stat().st_mode & 0o777 == (thin[TARGETS[0]] / path.name).stat().st_mode & 0o777
        for triple in TARGETS:
            machine, oldest = MACHINES[triple]
            found = slices[machine.lower()]
            assert (thin[triple] / path.name).read_bytes() in data, "a slice is not what it was"
            assert (found.kind is Kind.OBJECT) == (path.name in LINKED)
            if found.macho:
                signature = found.macho.signature
                assert found.macho.minos == oldest and signature and (signature.wrong, signature.broken) == ((), "")


def defines(text: str) -> dict[str, str]:
    """Names that a configured header defines."""
    return {found[1]: (found[2] or "").strip() for found in re.finditer(r"^#define (\w+)(?: (.*))?$", text, re.M)}


def facts(minor: str, arch: str) -> tuple[set[str], set[str], dict[str, int], set[str]]:
    """Of the table what holds for a version and a processor: names that are 1, names not defined, values, names left free."""
    own, version = TABLE[arch], TABLE.get(minor, {})
    lacks = {*version.get("lacks", ())}
    yes, no = ({*TABLE[key], *own.get(key, ())} for key in ("yes", "no"))
    values = {name: value for name, value in {**TABLE["values"], **own["values"]}.items() if name not in lacks}
    return (yes - lacks) | {*version.get("yes", ())}, no, values, {*TABLE["free"], *version.get("free", ())}


def disagreements(found: dict[str, str], minor: str, arch: str) -> list[str]:
    """What a pyconfig.h says otherwise than the table."""
    yes, no, values, free = facts(minor, arch)
    return sorted(
        [f"{name} is missing" for name in yes if found.get(name) != "1"]
        + [f"{name} is too much" for name in no & set(found)]
        + [f"{name} is in no list" for name in set(found) - yes - set(values) - no - free]
        + [f"{name} is {found.get(name)}, not {value}" for name, value in values.items() if int(found.get(name, "-1"), 0) != value]
    )


def test_configure_says_what_it_says_on_macos(made: dict[str, Path], triple: str) -> None:
    found = defines((made["configure"] / "pyconfig.h").read_text())
    assert disagreements(found, MINOR, triple.partition("-")[0]) == []


def test_configure_of_an_older_python_says_it_too(session: Session, triple: str, tmp_path: Path) -> None:
    older = parse_cell(f"{triple}:3.11", session.matrix)
    name = f"configure:{older.abi}"
    found = defines((trees(session, older, name, tmp_path / "out") / "pyconfig.h").read_text())
    assert disagreements(found, older.minor, triple.partition("-")[0]) == []
    assert guesses(logs_of(session, [name])[name], across=True) == []


def test_a_wrong_answer_is_seen() -> None:
    yes, _, values, _ = facts("3.13", "aarch64")
    right = {**dict.fromkeys(yes, "1"), **{name: str(value) for name, value in values.items()}}
    assert disagreements(right, "3.13", "aarch64") == []
    wrong = {**right, "HAVE_ALIGNED_REQUIRED": "1", "SIZEOF_LONG_DOUBLE": "16", "HAVE_NEITHER_YES_NOR_NO": "1"}
    del wrong["HAVE_COMPUTED_GOTOS"]
    assert len(disagreements(wrong, "3.13", "aarch64")) == 4


def test_the_makefile_is_a_macs(made: dict[str, Path], triple: str) -> None:
    makefile = (made["configure"] / "Makefile").read_text()
    settings = {found[1]: found[2].strip() for found in re.finditer(r"^(\w+)=[ \t]*(.*)$", makefile, re.M)}
    arch = {"aarch64": "arm64"}.get(triple.partition("-")[0], "x86_64")
    assert settings["_PYTHON_HOST_PLATFORM"] == f"macosx-{MACHINES[triple][1]}-{arch}"
    assert settings["EXT_SUFFIX"] == f".cpython-{TAG}-darwin.so"
    assert settings["MACHDEP"] == settings["MULTIARCH"] == "darwin"
    assert settings["LDSHARED"] == "$(CC) -bundle -undefined dynamic_lookup $(PY_LDFLAGS)"
    assert settings["LINKFORSHARED"].split() == ["-Wl,-stack_size,1000000", "-framework", "CoreFoundation"]


def test_the_archives_pass_the_audit(first: Checkout) -> None:
    done = first.doit(f"check:{DARWIN}", timeout=HOUR)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert "audit of 3 archives: nothing found" in done.stdout


@pytest.fixture(scope="module")
def cell(first: Checkout, session: Session) -> Cell:
    """Of macOS, built in the first checkout."""
    done = first.doit(f"dist:{DARWIN}", timeout=HOUR)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    cell = parse_cell(DARWIN, session.matrix)
    assert session.look_up([f"dist:{cell}"]) == ()
    return cell


def test_no_configure_script_has_guessed(session: Session, cell: Cell) -> None:
    found = guessed(session, cell)
    assert {f"configure:{cell.abi}", *(f"configure:{cell.target}:{name}" for name in ("libedit", "libffi", "ncurses"))} <= set(found)
    assert not {name: lines for name, lines in found.items() if lines}


def test_every_answer_is_asked_for(first: Checkout, session: Session) -> None:
    """A name that no script has is a mistake, or of a version that is gone."""
    scripts = dict.fromkeys([*(f"cpython-{version}" for version in session.matrix.versions), "ncurses", "libedit"], "configure")
    scripts["tcl"] = "unix/configure"
    sources = [f"source:{name}" for name in scripts]
    done = first.doit(*sources, timeout=HOUR)
    assert done.returncode == 0 and session.look_up(sources) == (), done.stdout[-5000:]
    texts = [dict(session.files_of(f"source:{name}", "configure"))[path].read_text() for name, path in scripts.items()]
    site = (ROOT / MACOS_ANSWERS).read_text()
    names = re.findall(r"^(\w+)=", site, re.M)
    assert len(names) > 30
    # a list of functions is asked for in a loop
    sought = [name.removeprefix("ac_cv_func_") if name in ("ac_cv_func_dup3", "ac_cv_func_pipe2") else name for name in names]
    assert [name for name in sought if not any(re.search(rf"\b{name}\b", text) for text in texts)] == []


def test_terminals_are_looked_for_where_they_lie(session: Session, cell: Cell, tmp_path: Path) -> None:
    """In folders named by the letter's code, as the system's own are: configure does not know that this is macOS (configure.site)."""
    [archive] = [path for path in session.archives(f"dist:{cell}") if "-install_only_stripped." in path.name]
    unpack_archive(archive, tmp_path / "dist")
    [library] = tmp_path.glob("dist/python/lib/libncursesw-fs.*.dylib")
    [pattern] = set(re.findall(rb"%s/(%\w+)/%s\0", library.read_bytes()))
    found = {path.parent.name: path.name for path in tmp_path.glob("dist/python/share/terminfo/*/*")}
    assert len(found) > 10
    assert set(found) == {pattern.decode() % ord(name[0]) for name in found.values()}
