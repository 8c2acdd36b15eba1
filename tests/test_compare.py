"""Two archives of one name: the same bytes, or what differs in them, told member by member, section by section, symbol by symbol."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from graph.binarydiff import SHOWN, differences
from graph.compare import MEMBERS, compare
from graph.errors import FetchError, UnpackError, UsageError
from graph.verify import obtain, twin
from tests import fake_archive
from tests.fake_archive import ELF, NAMES, Member, good, tarred
from tests.fetch_server import Handler, running
from tests.mini import Mini

MACHO = ELF.parent / "macho"
LIBRARY = "python/lib/libpython3.13.so.1.0"
TARGET = "dist:x86_64-unknown-linux-gnu"


def two(folder: Path, flavour: str, ours: fake_archive.Tree, theirs: fake_archive.Tree) -> tuple[str, ...]:
    """What `compare` says of two trees as archives."""
    (folder / "theirs").mkdir(parents=True)
    return compare(fake_archive.write(folder, flavour, ours), fake_archive.write(folder / "theirs", flavour, theirs))


@pytest.mark.parametrize("flavour", list(NAMES))
def test_the_same_members_are_the_same_archive(flavour: str, tmp_path: Path) -> None:
    assert two(tmp_path, flavour, good(flavour), good(flavour)) == ()


def test_what_only_one_has_and_every_field_of_a_header_is_told(tmp_path: Path) -> None:
    ours = {
        "kept": Member(b"x"),
        "mode": Member(mode=0o755),
        "time": Member(mtime=5),
        "owner": Member(uid=7, uname="me"),
        "more": Member(),
        "link": Member(type=b"2", link="kept"),
    }
    theirs = {"kept": Member(b"x"), "mode": Member(), "time": Member(mtime=6), "owner": Member(), "less": Member(), "link": Member()}
    assert two(tmp_path, "install_only", ours, theirs) == (
        "more: only here",
        "less: only there",
        "link: differs",
        "  kind: symlink here, file there",
        "  link: kept here, none there",
        "mode: differs",
        "  mode: 755 here, 644 there",
        "owner: differs",
        "  owner: 7:0, me: here, 0:0, : there",
        "time: differs",
        "  mtime: 5 here, 6 there",
    )


def test_many_differences_are_counted(tmp_path: Path) -> None:
    count = MEMBERS + 5
    ours = {f"of-{number:02}": Member(b"1") for number in range(count)}
    lines = two(tmp_path / "1", "install_only", ours, {name: Member(b"2") for name in ours})
    assert len([line for line in lines if line.endswith(": differs")]) == MEMBERS
    assert lines[-1] == "and 5 more members"
    assert two(tmp_path / "2", "install_only", ours, {})[-1] == "and 5 more only here"


def test_the_container_alone_may_differ(tmp_path: Path) -> None:
    tree = good("install_only")
    ours = fake_archive.write(tmp_path, "install_only", tree)
    packed, turned = tmp_path / "packed.tar.gz", tmp_path / "turned.tar.gz"
    packed.write_bytes(gzip.compress(tarred(tree), 9, mtime=0))
    turned.write_bytes(gzip.compress(tarred(tree, order=sorted(tree, reverse=True)), 1, mtime=0))
    [line] = compare(ours, packed)
    assert line.startswith("the members are the same: only the container differs")
    [line] = compare(ours, turned)
    assert line.startswith("the members are the same, in another order")


def test_a_binary_of_an_archive_is_told_by_its_sections(tmp_path: Path) -> None:
    ours, theirs = good("install_only"), good("install_only")
    theirs[LIBRARY] = fake_archive.elf("stripped-libpython.so")
    lines = two(tmp_path, "install_only", ours, theirs)
    assert lines[:2] == (f"{LIBRARY}: differs", "  section only here: .symtab, .strtab")


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b\x08\x00junk", gzip.compress(b"no tar" * 200)], ids=["empty", "no gzip", "no tar"])
def test_a_broken_archive_is_told(content: bytes, tmp_path: Path) -> None:
    ours = fake_archive.write(tmp_path, "install_only", good("install_only"))
    broken = tmp_path / "broken.tar.gz"
    broken.write_bytes(content)
    with pytest.raises(UnpackError) as caught:
        compare(ours, broken)
    assert caught.value.place == str(broken)


def test_a_cut_archive_is_told(tmp_path: Path) -> None:
    ours = fake_archive.write(tmp_path, "full", good("full"))
    cut = tmp_path / "cut.tar.zst"
    cut.write_bytes(ours.read_bytes()[:-20])
    with pytest.raises(UnpackError):
        compare(ours, cut)


def test_a_member_of_a_terabyte_is_not_read(tmp_path: Path) -> None:
    ours = fake_archive.write(tmp_path, "install_only", good("install_only"))
    data = bytearray(tarred({"huge": Member(b"x")}))
    data[124:136] = b"77777777777\0"
    data[148:156] = b"%06o\0 " % (sum(data[:148]) + 8 * ord(" ") + sum(data[156:512]))
    bomb = tmp_path / "bomb.tar.gz"
    bomb.write_bytes(gzip.compress(bytes(data)))
    with pytest.raises(UnpackError, match="huge has 8589934591 bytes"):
        compare(ours, bomb)


def elf(name: str) -> bytes:
    return (ELF / name).read_bytes()


def macho(name: str) -> bytes:
    return (MACHO / name).read_bytes()


@pytest.mark.parametrize(("read", "text", "symbol"), [(elf, ".text", ""), (macho, "__TEXT,__text", "_")])
def test_symbols_that_differ_have_a_name(read: Callable[[str], bytes], text: str, symbol: str) -> None:
    first, *others = differences(read("good-module.so"), read("leaky-module.so"))
    assert first == f"section {text}: 1 of 1 symbols differ: {symbol}PyInit_fix; only there: {symbol}inflate"
    assert others


def test_a_symbol_that_is_gone_is_told() -> None:
    [line] = [line for line in differences(elf("leaky-module.so"), elf("good-module.so")) if "inflate" in line]
    assert line.endswith("only here: inflate")


def test_more_sections_than_are_shown_are_named() -> None:
    lines = list(differences(elf("good-module.so"), elf("leaky-module.so")))
    assert len(lines) == SHOWN + 1
    assert lines[-1].startswith("sections .")


def test_bytes_outside_of_every_section_are_told() -> None:
    ours = elf("good-module.so")
    theirs = bytearray(ours)
    theirs[8] = 1  # padding of e_ident
    assert list(differences(ours, bytes(theirs))) == [f"{len(ours)} bytes, first at 0x8: {bytes(8).hex(' ')} here, 01{' 00' * 7} there"]


@pytest.mark.parametrize("broken", [elf("good-module.so")[:40], macho("good-module.so")[:40]])
def test_a_broken_object_file_is_told_by_its_bytes(broken: bytes) -> None:
    [line] = differences(broken, broken[:-1])
    assert line.startswith("40 bytes here, 39 there")


def test_another_format_is_told_by_its_bytes() -> None:
    [line] = differences(elf("good-module.so"), macho("good-module.so"))
    assert "first at 0x0: 7f 45 4c 46" in line


def changes(ours: bytes, theirs: bytes) -> list[str]:
    """Differences without the line numbers of texts."""
    return [line for line in differences(ours, theirs) if "@@" not in line]


def fat(*slices: tuple[int, bytes]) -> bytes:
    """A fat Mach-O file of (cputype, bytes)."""
    at = 8 + 20 * len(slices)
    head = b"".join([struct.pack(">II", 0xCAFEBABE, len(slices))])
    body = b""
    for cpu, data in slices:
        head += struct.pack(">IIIII", cpu, 0, at + len(body), len(data), 0)
        body += data
    return head + body


X86, ARM = 0x01000007, 0x0100000C


def test_slices_of_a_fat_file_are_compared_apart() -> None:
    ours, theirs = macho("good-module.so"), macho("leaky-module.so")
    arm = macho("arm64-module.so")
    lines = list(differences(fat((X86, ours), (ARM, arm)), fat((X86, theirs), (ARM, arm))))
    assert lines
    assert all(line.startswith("x86_64 section ") for line in lines)
    assert list(differences(fat((X86, ours), (ARM, arm)), fat((X86, ours)))) == ["slice only here: arm64"]
    libraries = fat((X86, library(a=b"1"))), fat((X86, library(a=b"2")))
    assert changes(*libraries) == ["x86_64 member a: -2", "x86_64 member a: +1"]


def member(name: bytes, data: bytes) -> bytes:
    return b"%-16s%-12d%-6d%-6d%-8o%-10d`\n%s%s" % (name, 0, 0, 0, 0o644, len(data), data, b"\n" * (len(data) % 2))


def library(**members: bytes) -> bytes:
    return b"!<arch>\n" + b"".join(member(name.encode() + b"/", data) for name, data in members.items())


def test_members_of_a_static_library_are_compared() -> None:
    ours = library(same=b"=", other=b"1\n", mine=b"x", twice=b"a") + member(b"twice/", b"b")
    theirs = library(same=b"=", other=b"2\n", twice=b"a") + member(b"twice/", b"c")
    assert changes(ours, theirs) == [
        "member only here: mine",
        "member other: -2",
        "member other: +1",
        "member twice (2): -c",
        "member twice (2): +b",
    ]


def test_long_names_of_members_are_those_of_gnu_and_of_bsd() -> None:
    table = member(b"//", b"a_very_long_name_of_a_file.o/\nanother_long_name_of_a_file.o/\n")
    gnu = [b"!<arch>\n" + member(b"/", b"index") + table + member(b"/30", data) for data in (b"1", b"2")]
    assert changes(*gnu) == ["member another_long_name_of_a_file.o: -2", "member another_long_name_of_a_file.o: +1"]
    bsd = [b"!<arch>\n" + member(b"#1/20", b"a_long_name.o".ljust(20, b"\0") + data) for data in (b"1", b"2")]
    assert changes(*bsd) == ["member a_long_name.o: -2", "member a_long_name.o: +1"]


def test_a_broken_library_is_told_by_its_bytes() -> None:
    [line] = differences(b"!<arch>\njunk", b"!<arch>\nmore")
    assert line.startswith("12 bytes, first at 0x8")


def test_lines_of_a_text_are_told_and_counted() -> None:
    assert list(differences(b"same\nours\n", b"same\ntheirs\n")) == ["@@ -2 +2 @@", "-theirs", "+ours"]
    many = b"\n".join(b"%d" % number for number in range(40))
    lines = list(differences(many, b""))
    assert len(lines) == 2 * SHOWN + 1
    assert lines[-1].endswith("more lines")


@pytest.mark.parametrize("ours", [b"\xff\xfe", b"a\0b", b"\n" * 30_000])
def test_what_is_no_short_text_is_told_by_its_bytes(ours: bytes) -> None:
    [line] = differences(ours, b"x" + ours)
    assert f"{len(ours)} bytes here, {len(ours) + 1} there, first at 0x0" in line


def test_the_twin_is_found_by_its_name(tmp_path: Path) -> None:
    ours = [tmp_path / name for name in NAMES.values()]
    assert twin(f"https://example.org/some%20where/{NAMES['full'].replace('+', '%2B')}?download=1", ours) == ours[0]
    with pytest.raises(UsageError) as caught:
        twin("/x/" + NAMES["full"].replace("noopt", "lto"), ours)
    assert NAMES["full"] in caught.value.hint


def test_a_published_archive_is_a_path_or_an_url(tmp_path: Path) -> None:
    place = tmp_path / "with space"
    place.mkdir()
    file = place / "archive+x.txt"
    file.write_bytes(b"bytes")
    assert obtain(str(file), tmp_path) == file
    assert obtain("file://" + str(file).replace(" ", "%20"), tmp_path) == file
    for wrong in (str(file) + "x", "ftp://example.org/archive.txt", str(place)):
        with pytest.raises(UsageError, match="there is no file"):
            obtain(wrong, tmp_path)


def test_an_url_is_downloaded_whole(tmp_path: Path) -> None:
    def good(handler: Handler) -> None:
        handler.answer(200, b"bytes", Content_Encoding="gzip")

    def short(handler: Handler) -> None:
        handler.answer(200, b"bytes", Content_Length="9")

    with running() as server:
        assert obtain(server.url("/of/archive.tar.gz?x=1", good), tmp_path) == tmp_path / "archive.tar.gz"
        assert (tmp_path / "archive.tar.gz").read_bytes() == b"bytes"
        for url in (server.url("/short", short), server.base + "/absent"):
            with pytest.raises(FetchError) as caught:
                obtain(url, tmp_path)
            assert caught.value.place == url


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Mini:
    return Mini(tmp_path_factory.mktemp("mini") / "check out")


@pytest.mark.whole
def test_verify_against_builds_and_compares(mini: Mini, tmp_path: Path) -> None:
    published = tmp_path / "archive.txt"
    published.write_bytes(b"not what is built\n")
    other = mini.doit("verify", "--against", str(published), TARGET)
    assert other.returncode == 23
    assert "+" in other.stdout
    assert "DIFFERS archive.txt" in other.stdout
    published.write_bytes((mini.root / "dist/archive.txt").read_bytes())
    same = mini.doit("verify", f"--against=file://{published}", TARGET)
    assert same.returncode == 0, same.stderr
    assert "same archive.txt" in same.stdout


@pytest.mark.whole
def test_verify_against_refuses_what_cannot_be_compared(mini: Mini, tmp_path: Path) -> None:
    published = tmp_path / "archive.txt"
    absent = mini.doit("verify", "--against", str(published), TARGET)
    assert (absent.returncode, "there is no file" in absent.stderr) == (10, True)
    published.write_bytes(b"x")
    node = mini.doit("verify", "--against", str(published), "make:zlib")
    assert (node.returncode, "compares one distribution" in node.stderr) == (10, True)
    named = tmp_path / "archives.txt"
    named.write_bytes(b"x")
    unknown = mini.doit("verify", "--against", str(named), TARGET)
    assert (unknown.returncode, "did you mean archive.txt" in unknown.stderr) == (10, True)


@pytest.mark.whole
def test_verify_against_ends_with_the_build_that_fails(mini: Mini, tmp_path: Path) -> None:
    published = tmp_path / "archive.txt"
    published.write_bytes(b"x")
    mini.write("patches/openssl/0001-x.patch", "no patch")
    assert mini.doit("verify", "--against", str(published), TARGET).returncode == 15


def test_two_members_of_one_name_and_extended_headers_are_told_apart(tmp_path: Path) -> None:
    ours = fake_archive.write(tmp_path, "install_only", {"a": Member(b"good")})
    twice = tmp_path / "twice.tar.gz"
    one, two = (tarred({"a": Member(data)}) for data in (b"evil", b"good"))
    # (a member takes two blocks, after it come zeros)
    twice.write_bytes(gzip.compress(one[:1024] + two))
    assert "a (2): only there" in compare(ours, twice)
    marked = tmp_path / "marked.tar.gz"
    marked.write_bytes(gzip.compress(tarred({"a": Member(b"good", pax=(("SCHILY.xattr.security.capability", "all"),))})))
    assert compare(ours, marked) == ("a: differs", "  pax: none here, SCHILY.xattr.security.capability=all there")


def test_names_that_a_terminal_would_obey_are_spelled(tmp_path: Path) -> None:
    lines = two(tmp_path, "install_only", {"a\x1b[2Jb\nsame c": Member(b"x")}, {})
    assert lines == ("a\\x1b[2Jb\\nsame c: only here",)


def test_a_malformed_extended_header_is_a_broken_archive(tmp_path: Path) -> None:
    ours = fake_archive.write(tmp_path, "install_only", good("install_only"))
    sparse = tmp_path / "sparse.tar.gz"
    sparse.write_bytes(gzip.compress(tarred({"a": Member(b"x", pax=(("GNU.sparse.map", "1,x"),))})))
    with pytest.raises(UnpackError):
        compare(ours, sparse)


def test_what_is_too_large_to_hold_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graph.compare.BYTES", 10)
    lines = two(
        tmp_path, "install_only", {"big": Member(b"12345678"), "small": Member(b"1")}, {"big": Member(b"1234567"), "small": Member(b"2")}
    )
    assert "  8 bytes here, 7 there: too many to be compared" in lines
    assert "  +1" in lines


def test_numbers_that_only_look_like_ones_end_a_library() -> None:
    libraries = [b"!<arch>\n" + member("#1/²".encode(), data) for data in (b"1", b"2")]
    assert changes(*libraries) == ["member #1/²: -2", "member #1/²: +1"]


def test_symbols_that_cover_a_section_many_times_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graph.binarydiff.COVERED", 0)
    monkeypatch.setattr("graph.binarydiff.SMALL", 0)
    lines = list(differences(elf("good-module.so"), elf("leaky-module.so")))
    assert not any("PyInit_fix" in line for line in lines)


def test_an_archive_without_end_is_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graph.verify.LIMIT", 3)
    with running() as server, pytest.raises(FetchError, match="more than 3 bytes"):
        obtain(server.url("/a.tar.gz", lambda handler: handler.answer(200, b"12345")), tmp_path)
