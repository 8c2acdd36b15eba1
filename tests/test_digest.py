"""Digests, the wire form of Directory, and the canonical bytes of manifests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.digest import Digest, Directory, canonical

DIGESTS = st.builds(Digest, st.text("0123456789abcdef", min_size=64, max_size=64), st.integers(0, 2**62))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


def by_name(children: dict[str, tuple[object, ...]]) -> tuple[tuple[object, ...], ...]:
    return tuple((name, *children[name]) for name in sorted(children, key=str.encode))


DIRECTORIES = st.builds(
    lambda files, folders, links: Directory(by_name(files), by_name(folders), by_name(links)),  # type: ignore[arg-type]
    st.dictionaries(TEXTS, st.tuples(DIGESTS, st.booleans()), max_size=4),
    st.dictionaries(TEXTS, st.tuples(DIGESTS), max_size=4),
    st.dictionaries(TEXTS, st.tuples(TEXTS), max_size=4),
)


@given(DIRECTORIES)
def test_decode_is_the_inverse_of_encode(directory: Directory) -> None:
    assert Directory.decode(directory.encode()) == directory


@given(DIRECTORIES)
def test_the_order_of_children_does_not_change_the_bytes(directory: Directory) -> None:
    turned = Directory(directory.files[::-1], directory.directories[::-1], directory.symlinks[::-1])
    assert turned.encode() == directory.encode()


def test_golden_bytes() -> None:
    """Field by field after the protobuf wire format: tag = number << 3 | 2 for a length-prefixed field, 0 for a varint.

    Directory: files = 1, directories = 2, symlinks = 3; FileNode: name = 1, digest = 2, is_executable = 4; DirectoryNode: name = 1,
    digest = 2; SymlinkNode: name = 1, target = 2; Digest: hash = 1, size_bytes = 2. A zero size is left out.
    """
    empty, large = Digest("e" * 64, 0), Digest("1" * 64, 300)
    directory = Directory(
        files=(("run", large, True), ("a", empty, False)),
        directories=(("d", large),),
        symlinks=(("l", "run"),),
    )
    hash_e, hash_1 = b"\x0a\x40" + b"e" * 64, b"\x0a\x40" + b"1" * 64
    digest_1 = hash_1 + b"\x10\xac\x02"  # 300 = 0b10_0101100
    assert directory.encode() == b"".join(
        [
            b"\x0a" + bytes([3 + 2 + 66]) + b"\x0a\x01a" + b"\x12\x42" + hash_e,
            b"\x0a" + bytes([5 + 2 + 69 + 2]) + b"\x0a\x03run" + b"\x12\x45" + digest_1 + b"\x20\x01",
            b"\x12" + bytes([3 + 2 + 69]) + b"\x0a\x01d" + b"\x12\x45" + digest_1,
            b"\x1a" + bytes([3 + 5]) + b"\x0a\x01l" + b"\x12\x03run",
        ]
    )
    assert Directory().encode() == b""


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a",
        b"\x0a\x05abc",
        b"\x0d\x00\x00\x00\x00",
        b"\x08\x01",
        b"\x22\x00",
        b"\x0a\x03\x0a\x01a",
        b"\x0a" + bytes([8]) + b"\x0a\x01a\x12\x03\x12\x01x",
        b"\x1a\x04\x0a\x02\xff\xfe",
        b"\x80" * 12,
    ],
    ids=["no length", "short field", "wire type", "number", "field 4", "no digest", "size as bytes", "not UTF-8", "endless varint"],
)
def test_bytes_that_are_no_directory_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        Directory.decode(data)


@given(DIGESTS)
def test_a_digest_is_read_back_from_its_text(digest: Digest) -> None:
    assert Digest.parse(str(digest)) == digest


@pytest.mark.parametrize("text", ["", "abc/1", "g" * 64 + "/1", "a" * 64, "a" * 64 + "/x", "A" * 64 + "/1"])
def test_text_that_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Digest.parse(text)


def test_a_digest_is_the_sha256_and_the_size() -> None:
    assert str(Digest.of(b"abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad/3"


LINES = st.lists(st.tuples(st.text("a1:\n \udc80", max_size=4), st.text("a1:\n \udc80", max_size=4)), max_size=4).map(tuple)


def _encodable(lines: tuple[tuple[str, str], ...]) -> bool:
    return not any("\udc80" in name for name, _ in lines)


@given(LINES.filter(_encodable), LINES.filter(_encodable))
def test_two_manifests_never_share_their_canonical_bytes(one: tuple[tuple[str, str], ...], other: tuple[tuple[str, str], ...]) -> None:
    assert (canonical(one) == canonical(other)) == (one == other)
