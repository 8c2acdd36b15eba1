"""Mach-O files: lief -> Facts, code signatures, and the rules that only they are judged by."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from graph.audit import audit_archives
from graph.binaries import read_binaries, slices_of
from graph.codesign import read_signature
from graph.facts import Archive, Binary, Entry, Finding, Format, Kind, Library, Macho, Segment, Signature, Symbol
from graph.rules import check
from tests.fake_archive import Member, Tree, write
from tests.fake_macho import FIX, LIBPYTHON, LIMITS, MACHO, NAME, OWN, PYTHON, SYSTEM, USER, good, macho, policy


def facts(name: str) -> Binary:
    [found] = read_binaries(name, (MACHO / name).read_bytes())
    return found


def mach(binary: Binary) -> Macho:
    assert binary.macho is not None
    return binary.macho


def signed(binary: Binary) -> Signature:
    found = mach(binary).signature
    assert found is not None
    return found


# --- facts


def test_a_bundle() -> None:
    module = facts("good-module.so")
    assert (module.format, module.kind, module.machine, module.bits) == (Format.MACHO, Kind.BUNDLE, "x86_64", 64)
    assert module.needed == (SYSTEM,)
    assert module.exports == (Symbol("PyInit_fix"),)
    assert set(module.imports) == {Symbol("Py_Answer"), Symbol("strlen", "", SYSTEM), Symbol("dyld_stub_binder", "", SYSTEM)}
    assert (mach(module).platform, mach(module).minos, mach(module).sdk) == ("macos", "10.15", "27.0")
    assert mach(module).libraries == (Library(SYSTEM, (1, 0, 0)),)
    assert mach(module).padding >= 1024 and "twolevel" in mach(module).flags
    assert {segment.flags for segment in module.segments} == {"r", "rx", "rw"} and min(s.align for s in module.segments) == 4096
    assert not module.symbols and not module.debug


def test_a_program_and_its_libraries() -> None:
    program, library, private = facts("good-python"), facts("good-libpython.dylib"), facts("good-private.dylib")
    assert (program.kind, program.position_independent, program.search) == (Kind.EXECUTABLE, True, ("@executable_path/../lib",))
    assert "Py_Answer" in {symbol.name for symbol in program.exports}
    assert (library.kind, library.name, mach(library).compatibility) == (Kind.SHARED, "@rpath/libpython3.13.dylib", (3, 13, 0))
    assert (private.name, mach(private).compatibility) == ("@rpath/libown.1.dylib", (1, 2, 0))
    assert Library("@rpath/libown.1.dylib", (1, 2, 0)) in mach(facts("uses-private.so")).libraries
    assert Symbol("own_length", "", "@rpath/libown.1.dylib") in facts("uses-private.so").imports


def test_another_architecture_has_larger_pages() -> None:
    module = facts("arm64-module.so")
    assert module.machine == "arm64" and min(segment.align for segment in module.segments) == 16384


def test_bad_properties_are_seen() -> None:
    assert not facts("fixed-python").position_independent
    assert "twolevel" not in mach(facts("flat-module.so")).flags
    assert facts("dylib-module.so").kind is Kind.SHARED
    assert mach(facts("newer-module.so")).minos == "12.0"
    assert facts("debug-module.so").debug == ("a.o",) and facts("fixed-python").symbols
    assert mach(facts("tight-module.so")).padding < 1024
    assert mach(facts("unsigned-module.so")).signature is None
    assert Symbol("preadv", "", SYSTEM, True) in facts("weak-module.so").imports
    assert facts("rpath-module.so").search == ("/opt/lib", "@executable_path/../lib", "@loader_path/../../../../..")


def fat(*names: str) -> bytes:
    """A fat file (mach-o/fat.h) of these files: big-endian header and table, each slice at a multiple of 16 KiB."""
    page, table, body = 1 << 14, b"", b""
    for name in names:
        data = (MACHO / name).read_bytes()
        body += bytes(-len(body) % page)
        table += struct.pack(">5I", *struct.unpack_from("<2I", data, 4), page + len(body), len(data), 14)
        body += data
    return (struct.pack(">2I", 0xCAFEBABE, len(names)) + table).ljust(page, b"\0") + body


def test_each_slice_of_a_fat_file_is_read_and_its_signature_checked() -> None:
    found = read_binaries("x", fat("good-module.so", "arm64-module.so"))
    assert [binary.machine for binary in found] == ["x86_64", "arm64"]
    for binary, name in zip(found, ("good-module.so", "arm64-module.so"), strict=True):
        assert mach(binary).offset % (1 << 14) == 0 and mach(binary).offset
        assert replace(binary, path=name, macho=replace(mach(binary), offset=0)) == facts(name)
        assert signed(binary).wrong == ()
    damaged = bytearray(fat("good-module.so", "arm64-module.so"))
    damaged[(1 << 14) + (2 << 14)] ^= 0xFF
    assert read_binaries("x", bytes(damaged)) == ()


@pytest.mark.parametrize("start", [b"!<arch>\n", b"BC\xc0\xde", b"\xde\xc0\x17\x0b"])
@pytest.mark.parametrize(("magic", "form"), [(0xCAFEBABE, ">5I"), (0xCAFEBABF, ">2I2Q2I")])
def test_slices_that_are_only_linked_say_for_which_processor(start: bytes, magic: int, form: str) -> None:
    """Archives and bitcode, which the full archive of a universal distribution has."""
    spare = (0,) if magic == 0xCAFEBABF else ()
    table = b"".join(struct.pack(form, cpu, 0, at, 16, 2, *spare) for cpu, at in ((0x01000007, 128), (0x0100000C, 144)))
    data = (struct.pack(">2I", magic, 2) + table).ljust(128, b"\0") + 2 * start.ljust(16, b"\0")
    assert [(binary.kind, binary.machine) for binary in read_binaries("x", data)] == [(Kind.OBJECT, "x86_64"), (Kind.OBJECT, "arm64")]
    assert slices_of(data) == (("x86_64", start.ljust(16, b"\0")), ("arm64", start.ljust(16, b"\0"))) and slices_of(start) == (("", start),)
    unknown = data[:8] + b"\x7f" + data[9:]
    assert [binary.machine for binary in read_binaries("x", unknown)] == ["0x7f000007", "arm64"]
    # the second is cut off
    assert read_binaries("x", data[:144]) == () and read_binaries("x", data[:30]) == ()


@pytest.mark.parametrize("data", [b"\xcf\xfa\xed\xfe", b"\xcf\xfa\xed\xfe" + b"\0" * 100, b"\xca\xfe\xba\xbe\0\0\0\1", b"\xca\xfe\xba\xbe"])
def test_a_broken_file_is_none(data: bytes) -> None:
    assert read_binaries("x", data) == ()


# --- signatures


def test_a_good_signature() -> None:
    for path in sorted(MACHO.glob("*[!y]")):
        if path.suffix != ".py" and "unsigned" not in path.name:
            found = signed(facts(path.name))
            assert (found.flags & 2, found.hashes, found.wrong, found.broken) == (2, "sha256", (), ""), path
            assert found.pages == -(-found.limit // 4096) and found.limit == found.start and found.end == found.size == path.stat().st_size


def resigned(data: bytes, change: Callable[[bytearray, int], None]) -> Signature:
    """The signature of an altered good module; `change` gets the file and the offset of its code directory."""
    found = signed(facts("good-module.so"))
    altered = bytearray(data)
    change(altered, found.start + struct.unpack_from(">I", data, found.start + 16)[0])
    return read_signature(bytes(altered), found.start, found.end - found.start)


DATA = (MACHO / "good-module.so").read_bytes()


def put(form: str, at: int, value: int) -> Callable[[bytearray, int], None]:
    return lambda data, directory: struct.pack_into(form, data, directory + at, value)


def test_a_changed_byte_is_found_in_its_page() -> None:
    for place in (0x500, 4096, 8192):
        assert resigned(DATA, lambda data, _, place=place: data.__setitem__(place, data[place] ^ 1)).wrong == (place >> 12,)  # type: ignore[misc]


def test_a_changed_code_directory_is_found() -> None:
    assert resigned(DATA, put(">I", 12, 0x10000)).flags == 0x10000
    assert resigned(DATA, put(">I", 32, signed(facts("good-module.so")).limit - 1)).limit != resigned(DATA, put(">I", 12, 2)).limit
    assert "no code directory" in resigned(DATA, put(">I", 0, 0xFADE0C01)).broken
    assert "outside" in resigned(DATA, put(">I", 16, 1 << 20)).broken
    assert "hashes for" in resigned(DATA, put(">I", 28, 1)).broken
    assert resigned(DATA, put(">B", 37, 99)).broken
    assert read_signature(DATA, 0, len(DATA)).broken and read_signature(DATA, 10, 4).broken


def test_a_special_slot_is_checked() -> None:
    """Slot -2 hashes the requirements blob: this is what codesign makes of a file, written by hand."""
    requirements = struct.pack(">3I", 0xFADE0C01, 12, 0)
    code = b"code"
    slots = [hashlib.sha256(requirements).digest(), bytes(32), hashlib.sha256(code).digest()]
    head = struct.pack(">9I4BI", 0xFADE0C02, 44 + 96, 0x20001, 2, 44 + 64, 44, 2, 1, len(code), 32, 2, 0, 12, 0)
    directory = head + b"".join(slots)
    index = struct.pack(">7I", 0xFADE0CC0, 28 + len(directory) + 12, 2, 0, 28, 2, 28 + len(directory))
    blob = index + directory + requirements
    assert read_signature(code + blob, 4, len(blob)) == Signature(2, "sha256", 1, (), 4, 4, 4 + len(blob), 4 + len(blob))
    assert read_signature(code + blob[:-1] + b"x", 4, len(blob)).wrong == (-2,)


# --- rules


def audit(folder: Path, tree: Tree) -> tuple[Finding, ...]:
    return audit_archives([write(folder, "install_only", tree, name=NAME)], policy())


def test_a_good_archive_has_no_finding(tmp_path: Path) -> None:
    assert audit(tmp_path, good()) == ()


def flipped(name: str, at: int) -> Member:
    data = bytearray((MACHO / name).read_bytes())
    data[at] ^= 1
    return Member(bytes(data), 0o755)


BAD: list[tuple[str, str, Member]] = [
    ("binary-machine", FIX, macho("arm64-module.so")),
    ("binary-machine", FIX, Member(fat("good-module.so", "arm64-module.so"), 0o755)),
    ("binary-format", FIX, Member(b"\xcf\xfa\xed\xfe\0", 0o755)),
    ("exports", FIX, macho("leaky-module.so")),
    ("file-type", FIX, macho("dylib-module.so")),
    ("file-type", OWN, macho("good-module.so")),
    ("pie", PYTHON, macho("fixed-python")),
    ("two-level", FIX, macho("flat-module.so")),
    ("rpath", FIX, macho("rpath-module.so")),
    ("minos", FIX, macho("newer-module.so")),
    ("debug-map", FIX, macho("debug-module.so")),
    ("headerpad", FIX, macho("tight-module.so")),
    ("signature", FIX, macho("unsigned-module.so")),
    ("signature", FIX, flipped("good-module.so", 0x600)),
    ("signature", FIX, Member(DATA + b"\0", 0o755)),
    ("weak-symbol", FIX, macho("weak-module.so")),
    ("undefined", FIX, macho("absent-module.so")),
    ("soname", OWN, macho("good-libpython.dylib")),
    ("platform-values", FIX.replace("-darwin", ""), macho("good-module.so")),
]


@pytest.mark.parametrize(("rule", "path", "member"), [pytest.param(*row, id=f"{row[0]}-{n}") for n, row in enumerate(BAD)])
def test_a_bad_archive_is_found(tmp_path: Path, rule: str, path: str, member: Member) -> None:
    assert (rule, path) in {(f.rule, f.path) for f in audit(tmp_path, {**good(), path: member})}


def test_a_missing_library_and_a_missing_module(tmp_path: Path) -> None:
    tree = {path: member for path, member in good().items() if path not in (OWN, FIX)}
    assert {(f.rule, f.path) for f in audit(tmp_path, tree)} == {("needed", USER), ("undefined", USER), ("modules", "lib-dynload/fix")}


def rules(path: str, **fields: object) -> set[tuple[str, str]]:
    """(rule, message) of findings when the facts of one file of the good archive are others."""
    binaries = {at: replace(facts_of(member, at)) for at, member in good().items()}
    own = {key: fields.pop(key) for key in list(fields) if key in Macho.__dataclass_fields__ and key != "name"}
    changed = replace(binaries[path], **fields)  # type: ignore[arg-type]
    binaries[path] = replace(changed, macho=replace(mach(changed), **own))  # type: ignore[arg-type]
    entries = tuple(Entry(at, "file", 0o755, mtime=1_785_542_400, head=good()[at].data[:64]) for at in sorted(binaries))
    return {(f.rule, f.message) for f in check(Archive(NAME, entries, tuple(binaries.values())), policy()) if f.path == path}


def facts_of(member: Member, path: str) -> Binary:
    [found] = read_binaries(path, member.data)
    return found


def test_versions_of_system_and_libraries() -> None:
    assert rules(FIX) == set()
    assert rules(FIX, platform="ios") == {("minos", "is for ios, not macos")}
    assert rules(FIX, minos="11.0") == {("minos", "is for macos 11.0, not 10.15")}
    assert rules(FIX, sdk="10.14") == {("minos", "is made with an SDK of 10.14, older than 10.15")}
    message = f"asks for version 2.0.0 of {SYSTEM}, above 1.0.0"
    assert rules(FIX, libraries=(Library(SYSTEM, (2, 0, 0)),)) == {("dylib-version", message)}
    own = "@rpath/libown.1.dylib"
    assert rules(USER, libraries=(Library(own, (1, 2, 0)),)) == set()
    assert rules(USER, libraries=(Library(own, (1, 2, 1)),)) == {("dylib-version", f"asks for version 1.2.1 of {own}, above 1.2.0")}


@pytest.mark.parametrize("library", ["/usr/lib/libz.1.dylib", "@rpath/libother.dylib", "@loader_path/libown.1.dylib", "libown.1.dylib"])
def test_a_library_that_is_not_there(library: str) -> None:
    assert {rule for rule, _ in rules(USER, needed=(library,), imports=())} == {"needed"}


def test_own_libraries_are_found_relative_to_the_file() -> None:
    for library, search in (("@loader_path/../../libown.1.dylib", ()), ("@rpath/libown.1.dylib", ("/x", "@loader_path/../.."))):
        assert "needed" not in {rule for rule, _ in rules(USER, needed=(library,), search=search)}
    # another program may have loaded the module
    assert "needed" in {rule for rule, _ in rules(USER, search=("@executable_path/../lib",))}
    assert rules(PYTHON, search=("@executable_path/../lib",)) == set()


def test_imports_are_looked_up_where_the_file_says() -> None:
    assert rules(FIX, imports=(Symbol("strlen", "", SYSTEM), Symbol("Py_Answer"), Symbol("strlen"))) == set()
    assert rules(FIX, imports=(Symbol("Py_Answer", "", SYSTEM),)) == {("undefined", f"nothing gives Py_Answer ({SYSTEM})")}
    assert rules(FIX, imports=(Symbol("inflate"),)) == {("undefined", "nothing gives inflate (of any library)")}
    # own_length is in a library that the module does not load
    assert {rule for rule, _ in rules(FIX, imports=(Symbol("own_length"),))} == {"undefined"}
    assert rules(FIX, imports=(Symbol("inflate", "", SYSTEM, True),)) == {("weak-symbol", "imports weakly inflate")}


def test_without_stubs_nothing_is_said_to_be_there() -> None:
    binaries = tuple(facts_of(member, path) for path, member in good().items())
    found = check(Archive(NAME, (), binaries), replace(policy(), stubs={}))
    assert [f.message for f in found if f.rule == "undefined"] == ["no .tbd file of a sysroot was read, so no import can be looked up"]


def test_pages_and_segments() -> None:
    assert {rule for rule, _ in rules(FIX, segments=(Segment("rwx", 4096), Segment("r", 512)))} == {"w-and-x", "page-size"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"flags": 0}, "is not ad hoc"),
        ({"hashes": "sha1"}, "hashes are sha1"),
        ({"wrong": (3,)}, "1 of 5 pages have another hash, e.g. page 3"),
        ({"limit": 5}, "covers 5 bytes of"),
        ({"end": 5}, "ends at 5, not with the file"),
        ({"broken": "cannot be read"}, "cannot be read"),
    ],
)
def test_a_bad_signature(fields: dict[str, object], message: str) -> None:
    good_one = replace(signed(facts("good-module.so")), pages=5)
    [(rule, said)] = rules(FIX, signature=replace(good_one, **fields))  # type: ignore[arg-type]
    assert rule == "signature" and said.startswith(message)


def test_a_signature_is_asked_for_where_the_policy_says() -> None:
    binaries = (replace(facts("unsigned-module.so"), path=FIX),)
    for text, wanted in ((LIMITS, True), (LIMITS.replace("signed = true", ""), False)):
        assert ("signature" in {f.rule for f in check(Archive(NAME, (), binaries), policy(text))}) == wanted


def test_a_stripped_archive_has_no_local_symbols() -> None:
    name = NAME.replace("install_only", "install_only_stripped")
    found = check(Archive(name, (), (replace(facts("good-libpython.dylib"), path=LIBPYTHON, symbols=True),)), policy())
    assert "stripped" in {f.rule for f in found}
