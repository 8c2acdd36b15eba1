"""The index of a static library: whatever archiver wrote it is read, whatever is cut short is none."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.staticlib import MAGIC, names_of

NAMES = st.lists(st.text(st.characters(categories=("L", "N"), include_characters="_.$"), min_size=1), unique=True)


def member(name: str, body: bytes) -> bytes:
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{644:<8}{len(body):<10}`\n"
    return header.encode() + body + b"\n" * (len(body) % 2)


def gnu(names: list[str], number: str = ">I", name: str = "/") -> bytes:
    words = struct.pack(number, len(names)) + b"".join(struct.pack(number, 100 + at) for at in range(len(names)))
    return MAGIC + member(name, words + b"".join(one.encode() + b"\0" for one in names)) + member("a.o/", b"object")


def bsd(names: list[str], number: str = "<I", name: str = "__.SYMDEF") -> bytes:
    strings, table = b"", b""
    for one in names:
        table += struct.pack(number, len(strings)) + struct.pack(number, 100)
        strings += one.encode() + b"\0"
    body = struct.pack(number, len(table)) + table + struct.pack(number, len(strings)) + strings
    long = name.encode().ljust(20, b"\0")
    return MAGIC + member("#1/20", long + body) + member("a.o", b"object")


@given(NAMES)
def test_every_form_of_index_is_read(names: list[str]) -> None:
    expected = frozenset(names)
    assert names_of(gnu(names)) == names_of(gnu(names, ">Q", "/SYM64/")) == expected
    assert names_of(bsd(names)) == names_of(bsd(names, "<I", "__.SYMDEF SORTED")) == names_of(bsd(names, "<Q", "__.SYMDEF_64")) == expected


@given(NAMES.filter(bool), st.data())
def test_what_is_cut_short_has_no_index(names: list[str], data: st.DataObject) -> None:
    for whole in (gnu(names), bsd(names)):
        size = int(whole[len(MAGIC) + 48 : len(MAGIC) + 58])
        assert names_of(whole[: data.draw(st.integers(0, len(MAGIC) + 59 + size))]) is None


@pytest.mark.parametrize("number", [0, 3])
def test_fewer_names_than_offsets_is_no_index(number: int) -> None:
    """The members' sizes are right, so it is not cut short: it was written wrongly."""
    body = struct.pack(">5I", 4, 100, 101, 102, 103) + b"name\0" * number
    assert names_of(MAGIC + member("/", body)) is None


@pytest.mark.parametrize("data", [b"", MAGIC, b"\x7fELF", MAGIC + member("a.o/", b"object"), MAGIC + b"x" * 80])
def test_what_has_no_index(data: bytes) -> None:
    assert names_of(data) is None
