"""Archives as shipped, real tar and real ELF: a good one has no finding, and each way to be bad has its own."""

from __future__ import annotations

import json
import marshal
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.audit import audit_archives, find_leaks, read_archive
from graph.errors import UnpackError
from graph.facts import Finding
from graph.policy import parse_policy
from graph.pyc import source_hash
from tests.fake_archive import CELL, NAMES, POLICY, Member, Tree, changed, document, elf, good, write
from tests.test_binaries import PT_GNU_STACK, PT_LOAD, with_flags
from tests.test_staticlib import gnu

PYTHON = "python/bin/python3.13"
LIBPYTHON = "python/lib/libpython3.13.so.1.0"
PRIVATE = "python/lib/libown.so.1"
OS = "python/lib/python3.13/os.py"
FIX = "python/lib/python3.13/lib-dynload/fix.cpython-313-x86_64-linux-gnu.so"
JSON = "python/PYTHON.json"


def audit(folder: Path, flavour: str, tree: Tree, **more: Any) -> tuple[Finding, ...]:
    return audit_archives([write(folder, flavour, tree, **more)], parse_policy(POLICY, CELL))


@pytest.mark.parametrize("flavour", NAMES)
def test_a_good_archive_has_no_finding(tmp_path: Path, flavour: str) -> None:
    assert audit(tmp_path, flavour, good(flavour)) == ()


def test_all_archives_are_audited_together(tmp_path: Path) -> None:
    spoilt = (("install_only", OS), ("full", "python/licenses/LICENSE.txt"))
    paths = [write(tmp_path, flavour, changed(good(flavour), bad, mode=0o666)) for flavour, bad in spoilt]
    found = audit_archives(paths, parse_policy(POLICY, CELL))
    assert [(f.archive, f.path) for f in found] == [(NAMES["install_only"], OS), (NAMES["full"], "python/licenses/LICENSE.txt")]


def add(path: str, member: Member) -> Callable[[Tree], Tree]:
    return lambda tree: {**tree, path: member}


def drop(path: str) -> Callable[[Tree], Tree]:
    return lambda tree: {name: member for name, member in tree.items() if name != path}


def link(target: str) -> Member:
    return Member(type=b"2", link=target, mode=0o777)


def edited(name: str, kind: int, flags: int) -> Member:
    return Member(with_flags(elf(name).data, kind, flags), 0o755)


MAGIC = b"\xf3\r\r\n"


def pyc(flags: int, rest: bytes, magic: bytes = MAGIC) -> Member:
    return Member(magic + flags.to_bytes(4, "little") + rest)


def stat(mtime: int, size: int) -> bytes:
    return mtime.to_bytes(4, "little") + size.to_bytes(4, "little")


HERE = Member().mtime
CACHE = "python/lib/python3.13/__pycache__"

BAD: list[tuple[str, str, Callable[[Tree], Tree]]] = [
    ("layout", "etc/passwd", add("etc/passwd", Member())),
    ("layout", "python/../x", add("python/../x", Member())),
    ("layout", PYTHON, drop(PYTHON)),
    ("layout", "python/lib/libpython3.13.a", add("python/lib/libpython3.13.a", Member(b"!<arch>"))),
    ("archive-mtime", NAMES["install_only"], lambda tree: changed(tree, OS, mtime=1)),
    ("archive-owner", OS, lambda tree: changed(tree, OS, uid=1000)),
    ("archive-owner", OS, lambda tree: changed(tree, OS, uname="builder")),
    ("archive-pax", OS, lambda tree: changed(tree, OS, pax=(("atime", "5.5"),))),
    ("member-kind", "python/pipe", add("python/pipe", Member(type=b"6"))),
    ("member-mode", PYTHON, lambda tree: changed(tree, PYTHON, mode=0o4755)),
    ("member-mode", OS, lambda tree: changed(tree, OS, mode=0o646)),
    ("link-absolute", "python/bin/python", add("python/bin/python", link("/usr/bin/python3"))),
    ("link-outside", "python/bin/python", add("python/bin/python", link("../../python3"))),
    ("link-dangling", "python/bin/python", add("python/bin/python", link("python3.14"))),
    ("build-path", OS, lambda tree: changed(tree, OS, data=b"CFLAGS = '-I/build/deps/zlib/include'")),
    ("build-path", OS, lambda tree: changed(tree, OS, data=b"LIBDIR = '/install/lib'")),
    ("build-path", "python/bin/python", add("python/bin/python", link("/build/out/bin/python"))),
    ("shebang", "python/bin/pip", add("python/bin/pip", Member(b"#!/install/bin/python3.13\nimport pip\n", 0o755))),
    ("pycache", f"{CACHE}/gone.cpython-313.pyc", add(f"{CACHE}/gone.cpython-313.pyc", pyc(1, bytes(8)))),
    ("pycache", f"{CACHE}/os.cpython-313.pyc", add(f"{CACHE}/os.cpython-313.pyc", pyc(0, stat(HERE, 5)))),
    ("pycache", f"{CACHE}/os.cpython-313.pyc", add(f"{CACHE}/os.cpython-313.pyc", pyc(1, b"WRONGHSH"))),
    ("pycache", f"{CACHE}/os.cpython-313.pyc", add(f"{CACHE}/os.cpython-313.pyc", pyc(3, source_hash(MAGIC, b"an older os.py")))),
    ("binary-format", "python/x.exe", add("python/x.exe", Member(b"MZ\x90"))),
    ("binary-format", "python/x", add("python/x", Member(b"\x7fELF\x02"))),
    ("needed", PYTHON, drop(LIBPYTHON)),
    ("needed", "python/own.so", add("python/own.so", elf("uses-private.so"))),
    ("undefined", FIX, add(FIX, elf("lone.so"))),
    ("rpath", FIX, add(FIX, elf("rpath.so"))),
    ("exports", FIX, add(FIX, elf("leaky-module.so"))),
    ("soname", PRIVATE, add(PRIVATE, elf("bare-private.so"))),
    ("stack-exec", FIX, add(FIX, edited("good-module.so", PT_GNU_STACK, 7))),
    ("w-and-x", FIX, add(FIX, edited("good-module.so", PT_LOAD, 7))),
    ("bind-now", FIX, add(FIX, elf("lazy.so"))),
    ("relro", FIX, add(FIX, elf("lazy.so"))),
    ("textrel", FIX, add(FIX, elf("textrel.so"))),
    ("pie", "python/bin/tool", add("python/bin/tool", elf("fixed.bin"))),
    ("hardened-calls", PYTHON, lambda tree: {**tree, PYTHON: elf("fixed.bin"), LIBPYTHON: elf("debug.so")}),
    ("stripped", LIBPYTHON, add(LIBPYTHON, elf("good-module.so"))),
    ("modules", "lib-dynload/fix", drop(FIX)),
    ("modules", FIX.replace("fix.", "more."), add(FIX.replace("fix.", "more."), elf("good-module.so"))),
]


@pytest.mark.parametrize(("rule", "path", "spoil"), [pytest.param(*row, id=f"{row[0]}-{n}") for n, row in enumerate(BAD)])
def test_a_bad_install_only_archive_is_found(tmp_path: Path, rule: str, path: str, spoil: Callable[[Tree], Tree]) -> None:
    assert (rule, path) in {(f.rule, f.path) for f in audit(tmp_path, "install_only", spoil(good("install_only")))}


def test_good_bytecode_is_no_finding(tmp_path: Path) -> None:
    tree = good("install_only")
    source = tree[OS].data
    good_ones = (pyc(0, stat(HERE, len(source))), pyc(1, source_hash(MAGIC, source)), pyc(3, source_hash(MAGIC, source)))
    for name, member in zip(("os.cpython-313", "os.cpython-313.opt-1", "os.cpython-313.opt-2"), good_ones, strict=True):
        assert audit(tmp_path, "install_only", {**tree, f"{CACHE}/{name}.pyc": member}) == ()
    other = b"\xcb\r\r\n"
    two = {f"{CACHE}/os.cpython-31{n}.pyc": pyc(1, source_hash(magic, source), magic) for n, magic in ((3, MAGIC), (2, other))}
    assert [f.rule for f in audit(tmp_path, "install_only", {**tree, **two})] == ["pycache"]


def test_a_static_library_has_what_the_shared_one_has(tmp_path: Path) -> None:
    path = "python/install/lib/python3.13/config-3.13-x86_64-linux-gnu/libpython3.13.a"
    assert audit(tmp_path, "full", {**good("full"), path: Member(gnu(["Py_Answer", "Py_More"]))}) == ()
    for library in (gnu(["Py_More"]), gnu([]), b"!<arch>\n"):
        [found] = audit(tmp_path, "full", {**good("full"), path: Member(library)})
        assert (found.rule, found.path) == ("static-library", path)
        assert found.message == "lacks Py_Answer, which python/install/lib/libpython3.13.so.1.0 has"


def test_debug_sections_in_a_stripped_archive(tmp_path: Path) -> None:
    tree = {**good("install_only_stripped"), FIX: elf("debug.so")}
    assert [(f.rule, f.path) for f in audit(tmp_path, "install_only_stripped", tree)] == [("stripped", FIX)]


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("version",), "7", "version"),
        (("python_exe",), "install/bin/nothing", "python_exe"),
        (("license_path",), 5, "license_path"),
        (("target_triple",), "aarch64-apple-darwin", "target_triple"),
        (("tcl_library_paths",), ["install/lib/tcl9"], "tcl_library_paths"),
        (("python_version",), "3.13.0", "python_version"),
        (("python_abi_tag",), "t", "python_abi_tag"),
        (("python_tag",), "cp311", "python_tag"),
        (("build_options",), "lto", "build_options"),
        (("libpython_link_mode",), "static", "libpython_link_mode"),
        (("python_platform_tag",), "linux-aarch64", "python_platform_tag"),
        (("run_tests",), "build/gone.py", "run_tests"),
        (("python_stdlib_platform_config",), "install/lib/python3.13/_sysconfigdata__x.py", "python_stdlib_platform_config"),
        (("build_info", "core", "objs"), ["build/gone.o"], "build_info.core.objs"),
        (("build_info", "extensions", "fix"), [], "build_info.extensions.fix"),
        (("build_info", "extensions", "more"), [{}], "build_info.extensions.more.variant"),
        (("python_paths", "stdlib"), "install/lib/python3.12", "python_paths"),
    ],
)
def test_a_bad_document_is_found(tmp_path: Path, where: tuple[str, ...], value: object, message: str) -> None:
    text: Any = json.loads(json.dumps(document()))
    place = text
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    found = audit(tmp_path, "full", changed(good("full"), JSON, data=json.dumps(text).encode()))
    assert found and {f.rule for f in found} == {"metadata"}
    assert f"{JSON} {message}" in {f.path for f in found}


def test_a_key_that_is_missing(tmp_path: Path) -> None:
    text = json.dumps({key: value for key, value in document().items() if key != "run_tests"})
    found = audit(tmp_path, "full", changed(good("full"), JSON, data=text.encode()))
    assert [(f.path, f.message) for f in found] == [(f"{JSON} run_tests", "is missing")]


@pytest.mark.parametrize(
    ("text", "rules"), [('{"platform": "linux-x86_64"}', []), ('{"platform": "win32"}', ["metadata"]), ("{}", ["metadata"])]
)
def test_the_platform_that_build_details_name(tmp_path: Path, text: str, rules: list[str]) -> None:
    tree = {**good("install_only"), "python/lib/python3.13/build-details.json": Member(text.encode())}
    assert [f.rule for f in audit(tmp_path, "install_only", tree)] == rules


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff"])
def test_a_document_that_is_none(tmp_path: Path, data: bytes) -> None:
    assert "metadata" in {f.rule for f in audit(tmp_path, "full", changed(good("full"), JSON, data=data))}


def test_times_before_1980(tmp_path: Path) -> None:
    tree = {path: replace(member, mtime=1) for path, member in good("install_only").items()}
    assert [f.rule for f in audit(tmp_path, "install_only", tree)] == ["archive-mtime"]


def test_the_full_archive_has_its_own_layout(tmp_path: Path) -> None:
    found = audit(tmp_path, "full", {**good("full"), "python/bin/python3": Member()})
    assert [(f.rule, f.path) for f in found] == [("layout", "python/bin/python3")]


def test_order_names_and_gzip_header(tmp_path: Path) -> None:
    tree = good("install_only")
    found = audit(tmp_path, "install_only", tree, order=sorted(tree, reverse=True))
    assert {f.rule for f in found} == {"archive-order"}
    found = audit(tmp_path, "install_only", tree, order=[*sorted(tree)[:1], *sorted(tree)])
    assert [(f.rule, f.message) for f in found] == [("archive-order", "is there twice")]
    for name in ("python.tar.gz", NAMES["install_only"].replace("3.13.15", "3.13.14")):
        assert "archive-name" in {f.rule for f in audit(tmp_path, "install_only", tree, name=name)}
    path = write(tmp_path, "install_only", tree)
    path.write_bytes(path.read_bytes()[:4] + b"\1\0\0\0" + path.read_bytes()[8:])
    assert {f.rule for f in audit_archives([path], parse_policy(POLICY, CELL))} == {"archive-gzip"}


@pytest.mark.parametrize("flavour", ["full", "install_only"])
@pytest.mark.parametrize("damage", [lambda d: d[: len(d) // 2], lambda d: d[:-3], lambda d: b"no archive", lambda d: b""])
def test_a_broken_archive_is_refused(tmp_path: Path, flavour: str, damage: Callable[[bytes], bytes]) -> None:
    path = write(tmp_path, flavour, good(flavour))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UnpackError) as error:
        audit_archives([path], parse_policy(POLICY, CELL))
    assert str(path) in str(error.value)


def test_an_absent_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnpackError):
        read_archive(tmp_path / "gone.tar.gz", parse_policy(POLICY, CELL))


@pytest.mark.parametrize(
    ("data", "leaks"),
    [
        (b"x = '/build/work/a.c'", ["/build/work/a.c"]),
        (b"\0/build/out\0", ["/build/out"]),
        (b"-I/build/deps -L/build/deps/lib", ["/build/deps", "/build/deps/lib"]),
        (b"https://x.org/build/a /home/me/build/b ../build/c $(srcdir)/build/d project/build/e", []),
        (b"/build/a /build/a /build/b /build/c /build/d", ["/build/a", "/build/b", "/build/c"]),
        (b"/builder/x", []),
        (b"file:///build/a http:///build/b", ["/build/a"]),
    ],
)
def test_leaks(data: bytes, leaks: list[str]) -> None:
    assert find_leaks(data, [re.compile(b"/build/")]) == leaks


@given(length=st.integers(8, 255), module=st.booleans())
def test_a_leak_in_bytecode_of_any_length(length: int, module: bool) -> None:
    """A name of up to 255 letters follows a byte of its kind and one of its length, which is a letter of paths for many."""
    path = "/build/" + "x" * (length - 7)
    code = compile("def f(): pass", path, "exec") if module else path
    assert find_leaks(marshal.dumps(code), [re.compile(b"/build/")], marshalled=True) == [path[:80]]
    assert find_leaks(marshal.dumps(f"at https://host{path}"), [re.compile(b"/build/")], marshalled=True) == []


def test_an_optional_module_may_be_absent_from_files_and_description_alike(tmp_path: Path) -> None:
    policy = parse_policy(POLICY, CELL)
    due = replace(policy, shared=policy.shared | {"_tkinter"})
    path = write(tmp_path, "full", good("full"))
    assert {finding.rule for finding in audit_archives([path], due)} == {"modules", "metadata"}
    assert audit_archives([path], replace(due, optional=frozenset({"_tkinter"}))) == ()
