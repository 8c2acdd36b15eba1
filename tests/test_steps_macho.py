"""main_stack.py: the stack of a Mach-O program is set, and its pages are hashed anew; whatever is not as lld writes it is refused."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import pytest

from tests.test_steps import load

main_stack = load("main_stack")
PAGE = 4096
SIGNED = 3 * PAGE + 100
"""Bytes before the signature: the last page is not whole."""


def program(*, kind: int = main_stack.SHA256, magic: int = main_stack.SUPERBLOB, main: int = main_stack.LC_MAIN) -> bytes:
    """A header with LC_MAIN and LC_CODE_SIGNATURE, and a signature with one CodeDirectory (mach-o/loader.h, xnu's cs_blobs.h)."""
    commands = struct.pack("<IIQQ", main, 24, 0x500, 0) + struct.pack("<IIII", main_stack.LC_CODE_SIGNATURE, 16, SIGNED, 400)
    header = struct.pack("<IIIIIIII", main_stack.MAGIC_64, 0x0100000C, 0, 2, 2, len(commands), 0, 0)
    code = (header + commands).ljust(SIGNED, b"x")
    pages = [code[at : at + PAGE] for at in range(0, SIGNED, PAGE)]
    hashes = b"".join(hashlib.sha256(page).digest() for page in pages)
    start = 88
    directory = struct.pack(
        ">IIIIIIIIIBBBB", main_stack.CODE_DIRECTORY, start + len(hashes), 0x20400, 2, start, 0, 0, len(pages), SIGNED, 32, kind, 0, 12
    )
    directory = directory.ljust(start, b"\0") + hashes
    blob = struct.pack(">IIIII", magic, 20 + len(directory), 1, 0, 20) + directory
    return code + blob


def hashes(data: bytes) -> list[bytes]:
    at = SIGNED + 20 + 88
    return [data[at + 32 * n : at + 32 * (n + 1)] for n in range(4)]


def test_the_stack_is_set_and_only_its_page_is_hashed_anew(tmp_path: Path) -> None:
    path = tmp_path / "python"
    before = program()
    path.write_bytes(before)
    main_stack.main(["0x1000000", str(path)])
    after = path.read_bytes()
    assert struct.unpack_from("<Q", after, main_stack.HEADER + 16) == (16 * 1024 * 1024,)
    assert hashes(after)[0] == hashlib.sha256(after[:PAGE]).digest() != hashes(before)[0]
    assert hashes(after)[1:] == hashes(before)[1:]
    # nothing else
    assert after[PAGE : SIGNED + 20 + 88] == before[PAGE : SIGNED + 20 + 88]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x7fELF".ljust(64, b"\0"), "no thin 64-bit Mach-O"),
        (struct.pack(">II", 0xCAFEBABE, 2).ljust(64, b"\0"), "no thin 64-bit Mach-O"),
        (program(main=0x22), "no load command 0x80000028"),
        (program(magic=0xFADE0C00), "not signed as lld signs"),
        (program(kind=1), "algorithm 1"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, data: bytes, why: str) -> None:
    path = tmp_path / "python"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=why):
        main_stack.main(["0x1000000", str(path)])
    assert path.read_bytes() == data
