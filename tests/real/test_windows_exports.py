"""What python313.dll exports is what CPython's sources declare so, as Windows' preprocessor sees them: each name, and no other.

Every file of the core is preprocessed by the compiler that made it, with its flags; PyAPI_FUNC and PyAPI_DATA are __declspec(dllexport)
by then. What is declared and defined nowhere, or stands in a header that Windows leaves out, is in windows_exports.toml, with its reason.
"""

from __future__ import annotations

import os
import re
import shlex
import struct
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from graph.matrix import parse_cell
from graph.pdb import stream
from graph.target import Target
from graph.toml import loads
from tests.mini import Checkout
from tests.real.test_windows import EACH, OF_32_BITS, VERSION, exports, parsed, trees
from tests.real.version import MATRIX

OPTIONS = {
    "x86_64": ("-mlong-double-64", "-fms-extensions"),
    "i686": ("-mlong-double-64", "-fms-extensions"),
    "aarch64": ("-fms-extensions",),
}
"""As toolchains/windows/driver/cc has them."""
RULE = re.compile(r"^\S+\.o: (\S+\.c)\n.*\n\t\$\(CC\) -c \$\(CFLAGS\) \$\(pythoncore\.FLAGS\) (.*) -o \$@ \$<$", re.M)
"""How the projects' fragments for make compile a file: the source, the flags."""
EXPORTED = re.compile(r"__declspec\(\s*dllexport\s*\)([^;{=]*)")
"""A declaration or the head of a definition, up to its end."""
ATTRIBUTE = re.compile(r"__attribute__\s*\(\((?:[^()]|\([^()]*\))*\)\)")
POINTER = re.compile(r"\(\s*\*\s*(\w+)")
"""Of a variable that points to a function."""
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.M)
DECLARED = re.compile(r"\bPyAPI_(?:FUNC|DATA)\((?:[^()]|\([^()]*\))*\)([^;{=]*)")
"""The same in a header as it is written."""
DEBUG_INFORMATION, PUBLIC = 3, 0x110E
"""Number of the stream whose header names that of the symbols ("The PDB DBI (Debug Info) Stream" of LLVM's documentation); S_PUB32."""
LISTED = loads(Path(__file__).with_name("windows_exports.toml").read_text())


@dataclass(frozen=True, slots=True)
class Declared:
    """Names that the core exports, as its sources say."""

    seen: frozenset[str]
    """By the compiler."""
    written: frozenset[str]
    """In headers of Include/, under whatever condition."""


def named(declaration: str) -> str:
    """The name that the text between the storage class and the end of a declaration declares."""
    text = ATTRIBUTE.sub(" ", declaration)
    head, found, _ = text.partition("(")
    if found and (pointer := POINTER.match(text[len(head) :])):
        return pointer[1]
    [*_, name] = re.findall(r"[A-Za-z_]\w*", head.partition("[")[0])
    return str(name)


def exported(text: str) -> Iterator[str]:
    """Names in preprocessed text. A declaration has one declarator, which the sources keep to."""
    for declaration in EXPORTED.findall(text):
        assert "," not in declaration.partition("(")[0], declaration
        yield named(declaration)


def written(text: str) -> Iterator[str]:
    """Names in a header."""
    yield from map(named, DECLARED.findall(DIRECTIVE.sub("", COMMENT.sub(" ", text))))


def symbols(pdb: bytes) -> Iterator[str]:
    """Names that a PDB's public symbols define for other files."""
    (number,) = struct.unpack_from("<H", stream(pdb, DEBUG_INFORMATION), 20)
    records = stream(pdb, number)
    place = 0
    while place < len(records):
        length, kind = struct.unpack_from("<HH", records, place)
        if kind == PUBLIC:
            name = place + 14
            yield records[name : records.index(b"\0", name)].decode()
        place += 2 + length


@pytest.fixture(scope="module", params=EACH)
def target(request: pytest.FixtureRequest) -> Target:
    return parse_cell(request.param, MATRIX).target


@pytest.fixture(scope="module")
def core(first: Checkout, target: Target) -> Path:
    return trees(first, f"core:{target}:{VERSION}:noopt")[0]


@pytest.fixture(scope="module")
def declared(first: Checkout, target: Target, core: Path) -> Declared:
    """Every source of the core through its compiler's preprocessor."""
    sources = (f"source:cpython-{VERSION}:windows", "source:zlib", f"python:{VERSION}")
    zig, libc, lists, source, zlib, frozen = trees(first, "toolchain:zig", f"libc:{target}", f"projects:{target}:{VERSION}", *sources)
    [settings] = re.findall(r"^CFLAGS = (.*)$", (first.root / "toolchains/windows/common.mk").read_text(), re.M)
    settings = settings.replace("$(CONFIG)", str(core / "include")).replace("$(OPT)", "-O3")
    options = (f"--target={target.clang}", *target.cpu_flags, *OPTIONS[target.arch], f"--sysroot={libc}", f"-resource-dir={libc / 'clang'}")
    compiler = (str(zig / "zig"), "clang", *options, *shlex.split(settings))

    def preprocess(rule: tuple[str, str]) -> set[str]:
        file, flags = (text.replace("$(SRC)", str(source)).replace("/build/zlib", str(zlib)) for text in rule)
        argv = (*compiler, f"-I{frozen}", f"-I{frozen / 'Python'}", *shlex.split(flags), "-E", "-P", "-o", "-", file)
        done = subprocess.run(argv, capture_output=True, timeout=300)
        assert done.returncode == 0, f"{argv}:\n{done.stderr.decode()[-3000:]}"
        return set(exported(done.stdout.decode(errors="replace")))

    rules = RULE.findall((lists / "pythoncore.mk").read_text())
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        seen = frozenset[str]().union(*pool.map(preprocess, rules))
    print(f"\n{len(rules)} sources of the core declare {len(seen)} names as exported")
    assert len(rules) > 200
    headers = (path.read_text() for path in (source / "Include").rglob("*.h"))
    return Declared(seen, frozenset(name for text in headers for name in written(text)))


@pytest.fixture(scope="module")
def defined(core: Path, target: Target) -> frozenset[str]:
    """Symbols of the DLL that its PDB has, by their names in C: on i386 an object file has one more underscore."""
    prefix = "_" if target.arch == "i686" else ""
    return frozenset(name.removeprefix(prefix) for name in symbols((core / "full/python313.pdb").read_bytes()))


def listed(kind: str) -> set[str]:
    """Names of windows_exports.toml, under all reasons."""
    return {name for reason in LISTED[kind] for name in reason["names"]}


@pytest.mark.parametrize(
    ("declaration", "name"),
    [
        (" PyObject * PyList_New(Py_ssize_t size)", "PyList_New"),
        (" void __attribute__((__noreturn__)) Py_Exit(int)", "Py_Exit"),
        (" int (*PyOS_InputHook)(void)", "PyOS_InputHook"),
        (" const char *const _Py_names[", "_Py_names"),
        (" PyTypeObject PyType_Type", "PyType_Type"),
    ],
)
def test_a_declaration_is_read(declaration: str, name: str) -> None:
    assert list(exported(f"extern __declspec(dllexport){declaration};")) == [name]


def test_every_name_that_is_exported_is_declared_so(core: Path, declared: Declared) -> None:
    assert exports(parsed(core / "stripped/python313.dll")).keys() - declared.seen == set()


def test_every_name_that_is_declared_so_and_defined_is_exported(core: Path, declared: Declared, defined: frozenset[str]) -> None:
    found = exports(parsed(core / "stripped/python313.dll")).keys()
    assert found - defined == set()
    assert (declared.seen & defined) - found == listed("unmarked")
    assert declared.seen - defined == listed("undefined")


def test_what_headers_declare_and_the_compiler_does_not_see_has_its_reason(declared: Declared, target: Target) -> None:
    """A name that upstream keeps for MSVC alone would be missing among these."""
    assert declared.written - declared.seen == listed("unseen") - (OF_32_BITS if target.arch == "i686" else set())
