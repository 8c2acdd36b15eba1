"""Unpacking: what comes out of each format, and every way in which an archive can be broken or hostile."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from graph import archive
from graph.archive import unpack
from graph.errors import StoreError, UnpackError
from graph.globs import Selection

SYM, DIR, HARD = tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.LNKTYPE

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "xz": lzma.compress,
    "bz2": bz2.compress,
    "zst": zstandard.ZstdCompressor().compress,
    "plain": bytes,
}


def entry(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.size = kind, link, mode, len(data)
    return info, data


def tar(*entries: tuple[tarfile.TarInfo, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, errors="surrogateescape") as packed:
        for info, data in entries:
            packed.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zipped(*entries: tuple[str, bytes, int]) -> bytes:
    """Entries of name, bytes and Unix mode."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data, mode in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
            packed.writestr(info, data)
    return out.getvalue()


TREE = tar(
    entry("top/", kind=DIR),
    entry("./top/a.txt", b"hello"),
    entry("top/bin/run", b"#!", mode=0o4775),
    entry("top/empty/", kind=DIR),
    entry("top/bin", kind=DIR),
    entry("top/bin", kind=DIR),
    entry("top/bin/link", kind=SYM, link="../a.txt"),
    entry("top/hard", kind=HARD, link="top/a.txt"),
)


def listing(root: Path) -> dict[str, str]:
    """Path -> bytes of a file (* if executable), -> target of a link, / of a folder."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_symlink():
            text = f"-> {path.readlink()}"
        elif path.is_dir():
            text = "/"
        else:
            text = path.read_text() + ("*" if path.stat().st_mode & stat.S_IXUSR else "")
        found[path.relative_to(root).as_posix()] = text
    return found


def run(
    tmp_path: Path, data: bytes, strip: int = 0, only: tuple[str, ...] = (), without: tuple[str, ...] = (), limit: int = 10**9
) -> archive.Unpacked:
    (tmp_path / "x.archive").write_bytes(data)
    return unpack(tmp_path / "x.archive", tmp_path / "out", strip, only, without, limit=limit)


def refused(tmp_path: Path, data: bytes, told: str, member: str = "", strip: int = 0) -> UnpackError:
    with pytest.raises(UnpackError, match=told) as caught:
        run(tmp_path, data, strip)
    assert caught.value.place == (f"x.archive: {member}" if member else "x.archive")
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("packer", PACKERS)
def test_every_packing_gives_the_same_tree(tmp_path: Path, packer: str) -> None:
    found = run(tmp_path, PACKERS[packer](TREE), strip=1)
    assert listing(tmp_path / "out") == {
        "a.txt": "hello",
        "bin": "/",
        "bin/run": "#!*",
        "bin/link": "-> ../a.txt",
        "empty": "/",
        "hard": "hello",
    }
    assert found == archive.Unpacked(3, 12, ())
    assert (tmp_path / "out/bin/run").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "out/hard").stat().st_nlink == 1


def test_a_wheel_keeps_the_executable_bit_and_links(tmp_path: Path) -> None:
    data = zipped(("zig/zig", b"elf", 0o100755), ("zig/lib/", b"", 0o40755), ("zig/x.h", b"h", 0), ("zig/l", b"x.h", stat.S_IFLNK | 0o777))
    run(tmp_path, data)
    assert listing(tmp_path / "out") == {"zig": "/", "zig/lib": "/", "zig/zig": "elf*", "zig/x.h": "h", "zig/l": "-> x.h"}


def test_globs_keep_what_they_name_after_strip(tmp_path: Path) -> None:
    found = run(tmp_path, TREE, strip=1, only=("bin/", "*.txt", "gone/"), without=("**/link",))
    assert listing(tmp_path / "out") == {"a.txt": "hello", "bin": "/", "bin/run": "#!*"}
    assert found.unmatched == ("gone/",)


@pytest.mark.parametrize(
    ("only", "without"),
    [((), ()), (("**/*.c",), ()), (("a/",), ("a/b/",)), ((), ("**/*.c",)), (("a/b/*",), ()), (("e/",), ()), (("*",), ())],
)
def test_globs_mean_here_what_they_mean_in_the_store(tmp_path: Path, only: tuple[str, ...], without: tuple[str, ...]) -> None:
    paths = ["a/x.c", "a/b/y.c", "a/b/z.h", "c/only.c", "e/", "top.c"]
    folders = ["a/", "a/b/", "c/"]
    data = tar(*(entry(p, b"", tarfile.DIRTYPE if p.endswith("/") else tarfile.REGTYPE) for p in [*folders, *paths]))
    run(tmp_path, data, only=only, without=without)
    selection = Selection.parse(only, without)
    found = listing(tmp_path / "out")
    empty = {f"{p}/" for p, text in found.items() if text == "/" and not any(q.startswith(f"{p}/") for q in found)}
    assert empty | {p for p, text in found.items() if text != "/"} == {p for p in paths if selection.keeps(p)}


def test_the_last_of_two_entries_counts(tmp_path: Path) -> None:
    files = entry("a", b"one"), entry("a", b"two", mode=0o755)
    run(tmp_path, tar(*files, entry("l", kind=SYM, link="a"), entry("l", kind=SYM, link="b")))
    assert listing(tmp_path / "out") == {"a": "two*", "l": "-> b"}


def test_a_hard_link_to_itself_changes_nothing(tmp_path: Path) -> None:
    run(tmp_path, tar(entry("a", b"one"), entry("a", kind=HARD, link="./a")))
    assert listing(tmp_path / "out") == {"a": "one"}


def test_long_and_pax_names_are_kept(tmp_path: Path) -> None:
    name = "d/" + "n" * 150 + "é"
    for number, form in enumerate((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)):
        (tmp_path / str(number)).mkdir()
        run(tmp_path / str(number), tar(entry(name, b"x"), form=form))
        assert (tmp_path / str(number) / "out" / name).read_bytes() == b"x"


HOSTILE = {
    "absolute": (tar(entry("/etc/x", b"")), "leads outside", "/etc/x"),
    "dots": (tar(entry("a/../../x", b"")), "leads outside", "a/../../x"),
    "dots of a folder": (tar(entry("../d/", kind=DIR)), "leads outside", "../d"),
    "absolute link": (tar(entry("l", kind=SYM, link="/etc/passwd")), "link that leads outside", "l"),
    "link outside": (tar(entry("d/l", kind=SYM, link="../../x")), "link that leads outside", "d/l"),
    "link without text": (tar(entry("l", kind=SYM)), "link that leads outside", "l"),
    "link by link": (
        tar(
            entry("a/b/", kind=DIR),
            entry("s", kind=SYM, link="a/b/../.."),
            entry("a/t", kind=SYM, link="../s/../x"),
        ),
        "outside through another one",
        "a/t",
    ),
    "write through a link": (tar(entry("l", kind=SYM, link="d"), entry("l/x", b"")), "written through l, which is a symlink", "l/x"),
    "write through a file": (tar(entry("f", b""), entry("f/x", b"")), "written through f, which is a file", "f/x"),
    "file over link": (tar(entry("l", kind=SYM, link="d"), entry("l", b"x")), "is a file and a symlink", "l"),
    "folder over file": (tar(entry("f", b""), entry("f/", kind=DIR)), "is a directory and a file", "f"),
    "link over folder": (tar(entry("d/x", b""), entry("d", kind=SYM, link="e")), "is a symlink and a directory", "d"),
    "hard link outside": (tar(entry("h", kind=HARD, link="../x")), "leads outside", "h"),
    "hard link absolute": (tar(entry("h", kind=HARD, link="/etc/passwd")), "leads outside", "h"),
    "hard link to nothing": (tar(entry("h", kind=HARD, link="x")), "no file unpacked before", "h"),
    "hard link to a link": (
        tar(entry("l", kind=SYM, link="x"), entry("h", kind=HARD, link="l")),
        "no file unpacked before",
        "h",
    ),
    "device": (tar(entry("d", kind=tarfile.CHRTYPE)), "device", "d"),
    "pipe": (tar(entry("p", kind=tarfile.FIFOTYPE)), "device, a pipe", "p"),
    "unknown type": (tar(entry("u", kind=b"Z")), "unknown type", "u"),
    "name not UTF-8": (tar(entry("\udcff", b"")), "not UTF-8", "\\udcff"),
    "link not UTF-8": (tar(entry("l", kind=SYM, link="\udcff")), "not UTF-8", "l"),
    "zip dots": (zipped(("../x", b"", 0o100644)), "leads outside", "../x"),
    "zip absolute": (zipped(("/x", b"", 0o100644)), "leads outside", "/x"),
    "zip link outside": (zipped(("l", b"../x", stat.S_IFLNK)), "link that leads outside", "l"),
    "zip pipe": (zipped(("p", b"", stat.S_IFIFO)), "device, a pipe", "p"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused(tmp_path: Path, name: str) -> None:
    data, told, member = HOSTILE[name]
    refused(tmp_path, data, told, member)
    outside = [path for path in tmp_path.rglob("*") if path.relative_to(tmp_path).parts[0] not in ("out", "x.archive")]
    assert outside == []


def test_hostile_names_are_refused_even_where_no_glob_wants_them(tmp_path: Path) -> None:
    with pytest.raises(UnpackError, match="leads outside"):
        run(tmp_path, tar(entry("a/x", b""), entry("../y", b"")), only=("a/",))


def test_unwanted_links_are_not_looked_at(tmp_path: Path) -> None:
    links = [entry("s", kind=SYM, link="/etc"), entry("h", kind=HARD, link="gone")]
    run(tmp_path, tar(entry("a", b"x"), *links), only=("a",))
    assert listing(tmp_path / "out") == {"a": "x"}


def test_a_file_that_strip_would_lose_is_told(tmp_path: Path) -> None:
    refused(tmp_path, TREE, "no name left without its first 2 parts", "./top/a.txt", strip=2)


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("keep", [0.05, 0.3, 0.6, 0.95])
def test_a_truncated_archive_is_refused(tmp_path: Path, packer: str, keep: float) -> None:
    whole = PACKERS[packer](tar(*(entry(f"d/{n}", os.urandom(700)) for n in range(30))).rstrip(b"\0") + bytes(1024))
    with pytest.raises(UnpackError):
        run(tmp_path, whole[: int(len(whole) * keep)])


def test_a_plain_tar_cut_between_two_members_is_refused(tmp_path: Path) -> None:
    whole = tar(entry("a", b"x" * 512), entry("b", b"y" * 512))
    refused(tmp_path, whole[:1024], "truncated after", "a")


def test_a_broken_header_in_the_middle_is_not_taken_for_the_end(tmp_path: Path) -> None:
    whole = bytearray(tar(entry("a", b"x" * 512), entry("b", b"y" * 512), entry("c", b"z")))
    whole[1024 + 148 : 1024 + 156] = b"9999999\0"
    refused(tmp_path, bytes(whole), "broken or truncated after", "a")


def deb(*members: tuple[str, bytes]) -> bytes:
    """An ar archive of the members, as dpkg-deb writes it."""
    return b"!<arch>\n" + b"".join(
        f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2) for name, data in members
    )


FORMAT, CONTROL = ("debian-binary", b"2.0\n"), ("control.tar.gz", gzip.compress(tar(entry("./postinst", b"#!"))))


@pytest.mark.parametrize("packer", PACKERS)
def test_a_debian_package_gives_its_data_only(tmp_path: Path, packer: str) -> None:
    data = PACKERS[packer](tar(entry("./usr/include/X.h", b"int x;"), entry("./usr/share/doc/X", b"")))
    found = run(tmp_path, deb(FORMAT, CONTROL, (f"data.tar.{packer}", data)), strip=2)
    assert listing(tmp_path / "out") == {"X.h": "int x;", "doc": "/", "doc/X": ""}
    assert found.files == 2


def test_a_name_in_a_debian_package_that_leads_outside_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, deb(FORMAT, CONTROL, ("data.tar", tar(entry("../x", b"")))), "leads outside", "../x")


def test_a_debian_package_that_is_cut_off_is_refused_wherever_it_is_cut(tmp_path: Path) -> None:
    whole = deb(FORMAT, CONTROL, ("data.tar.xz", lzma.compress(tar(entry("a", os.urandom(99))))))
    for keep in range(9, len(whole) - 1, 7):
        refused(tmp_path, whole[:keep], "broken or truncated|no Debian package|0 data archives")


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ((), "no Debian package of format 2.0"),
        ((("hello.o", b"x"),), "no Debian package of format 2.0"),
        ((("debian-binary", b"3.0\n"), CONTROL), "no Debian package of format 2.0"),
        ((FORMAT, CONTROL), "holds 0 data archives"),
        ((FORMAT, ("data.tar", TREE), ("data.tar.gz", gzip.compress(TREE))), "holds 2 data archives"),
        ((FORMAT, ("data.tar.lzma", b"]" + bytes(600))), "no tar, zip or deb archive"),
    ],
)
def test_an_ar_archive_that_is_no_debian_package_is_refused(tmp_path: Path, members: tuple[tuple[str, bytes], ...], told: str) -> None:
    refused(tmp_path, deb(*members), told)


@pytest.mark.parametrize("size", [b"-1", b"+5", b"0x1f", b""])
def test_a_size_in_a_debian_package_that_is_no_number_is_refused(tmp_path: Path, size: bytes) -> None:
    data = bytearray(deb(FORMAT))
    data[56:66] = size.ljust(10)
    refused(tmp_path, bytes(data), "an ar header is wrong")


def test_a_bomb_in_a_debian_package_stops_at_the_limit(tmp_path: Path) -> None:
    with pytest.raises(UnpackError, match="more than 1000000 bytes"):
        run(tmp_path, deb(FORMAT, ("data.tar.gz", BOMBS["many zeros"])), limit=1_000_000)


@pytest.mark.parametrize("packer", ["gz", "xz", "bz2", "zst"])
def test_a_flipped_byte_is_refused(tmp_path: Path, packer: str) -> None:
    noise = os.urandom(5000)
    compress = zstandard.ZstdCompressor(write_checksum=True).compress if packer == "zst" else PACKERS[packer]
    data = bytearray(compress(tar(entry("a", noise))))
    data[len(data) // 2] ^= 0x10
    with pytest.raises(UnpackError):
        run(tmp_path, bytes(data))


def test_a_wrong_checksum_in_a_zip_is_refused(tmp_path: Path) -> None:
    data = bytearray(zipped(("a", b"hello world, hello world", 0o100644)))
    data[14] ^= 1
    data[data.index(b"PK\x01\x02") + 16] ^= 1
    refused(tmp_path, bytes(data), "CRC", "a")


@pytest.mark.parametrize("keep", [10, 60, 120])
def test_a_truncated_zip_is_refused(tmp_path: Path, keep: int) -> None:
    refused(tmp_path, zipped(("a", os.urandom(200), 0o100644))[:keep], "broken or truncated")


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    data = bytearray(zipped(("a", b"x", 0o100644)))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    refused(tmp_path, bytes(data), "encrypted", "a")


@pytest.mark.parametrize("data", [b"", b"hello", b"\x7fELF" + bytes(600)])
def test_what_is_no_archive_is_refused(tmp_path: Path, data: bytes) -> None:
    refused(tmp_path, data, "no tar, zip or deb archive")


BOMBS = {
    "many zeros": gzip.compress(tar(entry("a", bytes(3_000_000)))),
    "zeros behind the end": gzip.compress(tar(entry("a", b"")) + bytes(3_000_000)),
    "zip": zipped(("a", bytes(3_000_000), 0o100644)),
    "hard links": tar(entry("a", bytes(400_000)), *(entry(f"h{n}", kind=HARD, link="a") for n in range(9))),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_stops_at_the_limit(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnpackError, match="more than 1000000 bytes"):
        run(tmp_path, BOMBS[name], limit=1_000_000)


def test_a_bomb_stops_at_the_ratio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_ALLOWANCE", 1000)
    with pytest.raises(UnpackError, match="unpacks to more than"):
        run(tmp_path, BOMBS["many zeros"])


def test_a_full_disk_is_no_broken_archive(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(StoreError, match="failed"):
        run(tmp_path, TREE)
