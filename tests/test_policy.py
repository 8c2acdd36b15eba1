"""The pure judgement: reading policy.toml, its committed copy, findings as text, and what values alone can show."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.errors import AuditFailed, LockError
from graph.facts import Archive, Binary, Entry, Finding, Flavour, Format, Kind, Segment, Symbol
from graph.policy import Policy, parse_policy
from graph.rules import OF_DISTRIBUTIONS, OF_EVERY_ARCHIVE, OF_TOOLCHAINS, check, flavour_of, refuse
from graph.rules.common import module_of
from graph.target import Cell
from tests.data import TARGET
from tests.fake_archive import CELL, NAMES, POLICY

ROOT = Path(__file__).resolve().parent.parent
ADDON = f"toolchain+20260801-{TARGET}.tar.gz"


def policy(text: str = POLICY) -> Policy:
    return parse_policy(text, CELL)


def program(**fields: object) -> Binary:
    base = Binary("python/bin/tool", Format.ELF, Kind.EXECUTABLE, "x86_64", stack="rw", position_independent=True)
    return replace(base, **fields)  # type: ignore[arg-type]


def rules(*binaries: Binary, flavour: str = "install_only", more: Policy | None = None) -> set[tuple[str, str]]:
    """(rule, message) of findings in these binaries."""
    archive = Archive(NAMES[flavour], tuple(Entry(path, "file", head=b"\x7fELF") for path in sorted(b.path for b in binaries)), binaries)
    return {(f.rule, f.message) for f in check(archive, more or policy()) if f.path in {b.path for b in binaries}}


def test_limits_of_the_target_are_merged() -> None:
    found = policy()
    assert found.versions == {"GLIBC": "2.17"}
    assert found.format is Format.ELF
    assert found.shared == {"fix", "own"}
    assert found.leaks == ("/build/", "/install")


def test_a_later_table_replaces_a_key_of_an_earlier_one() -> None:
    text = POLICY + '[[limits]]\nlibc = "gnu"\nneeded = ["libz.so.1"]\n[[limits]]\nlibc = "musl"\nneeded = []\n'
    assert policy(text).needed == {"libz.so.1"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[limits", "policy.toml"),
        ("", "no [[modules]] table for Python 3.13 on linux"),
        (POLICY.replace('python = "3.13"', 'python = "3.14"'), "no [[modules]]"),
        (POLICY + "[[limits]]\ncolour = 1\n", "unknown key 'colour'"),
        (POLICY + '[[limits]]\nformat = "COFF"\n', "bad value"),
        (POLICY + "[[limits]]\nneeded = 5\n", "bad value"),
        (POLICY + "[[limits]]\nversions = 5\n", "bad value"),
        (POLICY.replace('machine = "x86_64"', ""), "bad value"),
    ],
)
def test_a_malformed_policy_is_refused(text: str, message: str) -> None:
    with pytest.raises(LockError) as error:
        policy(text)
    assert message in str(error.value)


def test_flavours_and_modules_are_told_by_name() -> None:
    assert [flavour_of(name) for name in (*NAMES.values(), ADDON)] == list(Flavour)
    assert flavour_of("python.zip") is None
    assert module_of("python/lib/python3.13/lib-dynload/_ssl.cpython-313-x86_64-linux-gnu.so") == "_ssl"
    assert module_of("python/lib/python3.13/lib-dynload/_ssl.txt") == module_of("python/lib/_ssl.so") == ""


def test_rule_names_are_explained() -> None:
    source = "".join(path.read_text() for path in sorted((ROOT / "graph/rules").glob("*.py")))
    manual = (ROOT / "docs/audit.md").read_text()
    names = set(re.findall(r'Finding\(\s*"([\w-]+)"', source)) | {"stack-exec", "relro", "bind-now", "textrel", "pie"}
    assert len(names) > 25
    assert {name for name in names if f"`{name}`" not in manual} == set()
    rules = (*OF_EVERY_ARCHIVE, *OF_DISTRIBUTIONS, *OF_TOOLCHAINS)
    assert len(rules) == len(set(rules)) > 15


def test_an_unknown_kind_of_archive_is_still_judged() -> None:
    found = check(Archive("python.zip", (Entry("python/a", "file", mode=0o777),)), policy())
    assert {f.rule for f in found} >= {"archive-name", "member-mode"}
    assert {f.archive for f in found} == {"python.zip"}


def test_a_banned_symbol() -> None:
    assert rules(program(imports=(Symbol("pthread_yield", "GLIBC_2.2.5", "libpthread.so.0"),))) == {("symbol-banned", "uses pthread_yield")}


def test_a_symbol_that_is_newer_than_the_oldest_system_may_be_imported_weakly_where_that_is_looked_at() -> None:
    newer, looked = replace(policy(), banned_symbols=frozenset({"mkfifoat", "dup3"})), frozenset({"mkfifoat"})
    for weak, allowed, found in ((False, looked, 2), (True, looked, 1), (True, frozenset(), 2)):
        binary = program(imports=tuple(Symbol(name, weak=weak) for name in ("mkfifoat", "dup3")))
        names = {message for rule, message in rules(binary, more=replace(newer, weak_symbols=allowed)) if rule == "symbol-banned"}
        assert len(names) == found


@pytest.mark.parametrize("version", ["GLIBC_2.18", "GLIBC_2.17.1", "GLIBC_3", "GLIBC_PRIVATE", "GCC_3.0", "OWN_1"])
def test_a_symbol_version_above_the_floor(version: str) -> None:
    assert {rule for rule, _ in rules(program(imports=(Symbol("f", version, "libc.so.6"),)))} == {"symbol-version"}


@given(major=st.integers(0, 2), minor=st.integers(0, 40))
def test_symbol_versions_compare_as_numbers(major: int, minor: int) -> None:
    found = rules(program(imports=(Symbol("f", f"GLIBC_{major}.{minor}", "libc.so.6"),)))
    assert bool(found) == ((major, minor) > (2, 17))


def test_a_version_of_a_shipped_library_is_free() -> None:
    library = program(path="python/lib/libown.so.1", kind=Kind.SHARED, name="libown.so.1")
    assert rules(program(imports=(Symbol("f", "OWN_9", "libown.so.1"),)), library) == set()


def test_what_a_program_imports_is_offered_by_somebody() -> None:
    """On glibc a name without a version is of the archive's own libraries, not of another module; on musl libc.so may have it, too."""
    library = program(path="python/lib/libown.so", kind=Kind.SHARED, name="libown.so", exports=(Symbol("own", "OWN_1"),))
    module = program(path="python/lib/python3.13/lib-dynload/fix.so", kind=Kind.SHARED, exports=(Symbol("PyInit_fix"),))

    def undefined(name: str, more: Policy, **fields: bool) -> bool:
        user = program(imports=(Symbol(name, **fields),))  # type: ignore[arg-type]
        return bool({rule for rule, _ in rules(user, library, module, more=more)} & {"undefined"})

    glibc = policy()
    musl = replace(glibc, versions={}, stubs={"libc.so": frozenset({"fopen"})})
    for more in (glibc, musl):
        assert not undefined("own", more) and undefined("PyInit_fix", more)
        assert undefined("gone", more) and not undefined("gone", more, weak=True)
    assert undefined("fopen", glibc) and not undefined("fopen", musl)
    assert undefined("fopen", replace(musl, stubs={}))


@pytest.mark.parametrize("name", ["$ORIGIN", "${ORIGIN}/", "@loader_path"])
def test_a_shipped_library_is_found_beside_the_binary(name: str) -> None:
    library = program(path="python/bin/libown.so", kind=Kind.SHARED, name="libown.so")
    assert rules(program(needed=("libown.so", "libc.so.6"), search=(name,)), library) == set()
    assert {rule for rule, _ in rules(program(needed=("libother.so",), search=(name,)))} == {"needed"}


@pytest.mark.parametrize("place", ["/usr/lib", "lib", "$ORIGINAL/lib", "$ORIGIN/../..", "", "$LIB"])
def test_a_search_path_must_stay_in_the_tree(place: str) -> None:
    assert {rule for rule, _ in rules(program(search=(place,)))} == {"rpath"}


def test_segments_and_stack() -> None:
    assert rules(program(stack="")) == {("stack-exec", "no PT_GNU_STACK")}
    assert rules(program(segments=(Segment("rw", 16384),))) == set()
    assert {rule for rule, _ in rules(program(segments=(Segment("rx", 1024),)))} == {"page-size"}
    big = replace(policy(), cell=replace(CELL, target=replace(TARGET, page_size=65536)))
    assert {rule for rule, _ in rules(program(segments=(Segment("rx", 4096),)), more=big)} == {"page-size"}


def test_another_machine_is_found() -> None:
    assert rules(program(machine="aarch64")) == {("binary-machine", "is for aarch64, not x86_64")}


def test_object_files_are_not_judged_as_programs() -> None:
    assert rules(program(path="python/build/a.o", kind=Kind.OBJECT, stack="", position_independent=False), flavour="full") == set()


def test_many_exports_are_counted() -> None:
    module = program(path="python/lib/python3.13/lib-dynload/fix.so", kind=Kind.SHARED, exports=tuple(Symbol(c) for c in "abcdefgh"))
    assert ("exports", "exports a, b, c, d, e and 3 more") in rules(module)


def addon(*binaries: Binary, path: str = "python/toolchain/clang.cfg", name: str = ADDON) -> set[tuple[str, str, str]]:
    """(rule, path, message) of findings in a toolchain add-on."""
    entries = tuple(Entry(each, "file", mtime=1_785_542_400) for each in sorted({path, *(binary.path for binary in binaries)}))
    return {(f.rule, f.path, f.message) for f in check(Archive(name, entries, binaries), policy())}


def test_an_add_on_is_not_judged_as_a_distribution() -> None:
    zig = program(path="python/toolchain/libexec/zig", position_independent=False)
    assert addon(zig) == set()
    assert addon(zig, name=ADDON.replace("x86_64", "i686")) == {
        ("archive-name", ADDON.replace("x86_64", "i686"), "not a name that installers of python-build-standalone know")
    }


def test_an_add_on_overwrites_nothing_of_a_distribution() -> None:
    for path in ("python/lib/python3.13/os.py", "python/toolchains"):
        assert addon(path=path) == {("layout", path, "an add-on holds nothing that a distribution has")}


def test_a_sysroot_offers_nothing_above_the_floor() -> None:
    path = "python/toolchain/sysroot/usr/lib/libc.so.6"
    old, new = Symbol("f", "GLIBC_2.17"), Symbol("f", "GLIBC_2.18")
    stub = program(path=path, kind=Kind.SHARED, exports=(old,))
    assert addon(stub) == set()
    assert addon(replace(stub, exports=(old, new))) == {("sysroot-version", path, "offers symbols of GLIBC_2.18")}


def test_findings_end_the_run_with_their_own_exit_code() -> None:
    """All by their place, up to a number."""
    refuse((), "check:x")
    with pytest.raises(AuditFailed) as error:
        refuse([Finding("pie", f"p{n}", "m", "a.tar.gz") for n in range(22)], "check:x")
    assert error.value.exit_code == 21
    lines = str(error.value).splitlines()
    assert lines[:2] == ["check:x: 22 findings", "  pie  a.tar.gz: p0  m"]
    assert lines[20:22] == ["  pie  a.tar.gz: p19  m", "  and 2 more"]
    assert "docs/audit.md" in lines[22]
    with pytest.raises(AuditFailed, match=r"^check:x: 1 findings\n  pie  p  m\n"):
        refuse([Finding("pie", "p", "m")], "check:x")


def test_words_and_byte_order() -> None:
    assert rules(program(bits=32)) == {("binary-machine", "has 32 bits, little endian, not 64 bits, little endian")}
    assert {rule for rule, _ in rules(program(byteorder="big"))} == {"binary-machine"}


def test_the_dynamic_linker() -> None:
    dynamic = program(dynamic=True, relro=True, bind_now=True)
    good = replace(dynamic, interpreter="/lib64/ld-linux-x86-64.so.2")
    assert rules(good) == rules(program()) == set()
    assert rules(dynamic) == {("loader", "asks for no dynamic linker, not /lib64/ld-linux-x86-64.so.2")}
    assert {rule for rule, _ in rules(replace(good, interpreter="/lib/ld-musl-x86_64.so.1"))} == {"loader"}
    static = replace(policy(), loader="", needed=frozenset())
    assert rules(good, more=static) == {("loader", "asks for /lib64/ld-linux-x86-64.so.2, not none")}
    assert rules(replace(good, interpreter="", kind=Kind.SHARED, name="tool", needed=("libc.so.6",)), more=static) == {
        ("needed", "needs libc.so.6, which is neither allowed nor shipped where its run path looks")
    }
    assert rules(program(needed=("ld-linux-x86-64.so.2",))) == set()


def test_the_abi_in_e_flags() -> None:
    hard = replace(policy(), abi=(0xFF000600, 0x05000400))
    assert rules(program(abi=0x05000400), more=hard) == rules(program(abi=0x05800400), more=replace(hard, abi=(0x600, 0x400))) == set()
    assert rules(program(abi=0x05000200), more=hard) == {("abi-flags", "e_flags are 0x5000200, not 0x5000400 in 0xff000600")}


@pytest.mark.parametrize(("flags", "level"), [((), 1), (("-march=x86-64",), 1), (("-march=x86-64-v3",), 3), (("-march=pentium4",), 1)])
def test_the_level_of_x86_64(flags: tuple[str, ...], level: int) -> None:
    limits = replace(policy(), cell=replace(CELL, target=replace(TARGET, cpu_flags=flags)))
    assert rules(program(isa=level), more=limits) == set()
    assert rules(program(isa=level + 1), more=limits) == {("isa-level", f"needs level {level + 1} of x86-64, above {level}")}


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ("lto", ("lto-full.tar.zst", "install_only.tar.gz", "install_only_stripped.tar.gz")),
        ("noopt", ("noopt-full.tar.zst", "noopt-install_only.tar.gz", "noopt-install_only_stripped.tar.gz")),
        ("freethreaded+lto", ("freethreaded+lto-full.tar.zst", "freethreaded-install_only.tar.gz")),
        ("freethreaded+debug", ("freethreaded+debug-full.tar.zst", "freethreaded+debug-install_only_stripped.tar.gz")),
    ],
)
def test_names_of_archives(options: str, names: tuple[str, ...]) -> None:
    """Each option set has its own, so that none takes another's place: what one has is wrong for the other."""
    target = replace(TARGET, options=("lto", "noopt", "freethreaded+lto", "freethreaded+debug"))
    limits = replace(policy(), cell=Cell(target, CELL.version, tuple(sorted(options.split("+")))))
    stem = "cpython-3.13.15+20260801-x86_64-unknown-linux-gnu"
    others = ("lto-install_only.tar.gz", "debug+freethreaded-full.tar.zst", "full.tar.zst", "install_only.tar.gz", "noopt-full.tar.zst")
    for end in {*names, *others}:
        found = check(Archive(f"{stem}-{end}", ()), limits)
        assert ("archive-name" not in {f.rule for f in found}) == (end in names), end


def test_required_members_follow_the_abi() -> None:
    limits = replace(
        policy(), required={"install": ("bin/python{ldversion}", "{lib}/os.py")}, cell=replace(CELL, options=("debug", "freethreaded"))
    )
    found = check(Archive(NAMES["full"], ()), limits)
    assert {f.path for f in found if f.rule == "layout"} == {"python/install/bin/python3.13td", "python/install/lib/python3.13t/os.py"}


def test_optional_modules_may_be_missing() -> None:
    limits = replace(policy(), optional=frozenset({"own"}))
    found = {f.path for f in check(Archive(NAMES["install_only"], ()), limits) if f.rule == "modules"}
    assert found == {"lib-dynload/fix"}
