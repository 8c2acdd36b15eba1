"""main_stack.py: the stack of a Mach-O program is set, and its pages are hashed anew; whatever is not as lld writes it is refused."""

from __future__ import annotations

import hashlib
import re
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


references = load("references")
LOCAL, SHOWN, HIDDEN, ABSENT = 0x0E, 0x0F, 0x1F, 0x01
"""n_type: of the file, for all, for the library alone (private extern), undefined."""


def objects(*symbols: tuple[str, int], kind: int = 1) -> bytes:
    """A relocatable file with these symbols and no code."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name, _ in symbols)
    start = references.HEADER + 24
    command = struct.pack("<IIIIII", references.LC_SYMTAB, 24, start, len(symbols), start + references.NLIST * len(symbols), len(names))
    rows = b"".join(struct.pack("<IBBHQ", names.index(b"\0" + name.encode() + b"\0") + 1, form, 1, 0, 0) for name, form in symbols)
    return struct.pack("<IIIIIIII", references.MAGIC_64, 0x0100000C, 0, kind, 1, len(command), 0, 0) + command + rows + names


def test_a_header_names_one_symbol_of_each_object(tmp_path: Path) -> None:
    files = {
        "a.o": objects(("_PyB", SHOWN), ("_PyA", SHOWN), ("_static", LOCAL), ("_Py0", HIDDEN), ("_Py1", ABSENT)),
        "hidden.o": objects(("_own", HIDDEN), ("_elsewhere", ABSENT)),
        "c.o": objects(("_PyC.llvm.17", SHOWN)),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    references.main([str(tmp_path / "out.h"), *(str(tmp_path / name) for name in files)])
    text = (tmp_path / "out.h").read_text()
    assert re.findall(r'__asm__\("(.*?)"\)', text) == ["_PyA", "_PyC.llvm.17"]
    assert text.count("&_reference_") == 2 and "__attribute__((used))" in text


@pytest.mark.parametrize("data", [b"", b"BC\xc0\xde" + bytes(60), objects(("_PyA", SHOWN), kind=6)])
def test_references_take_object_files_only(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.o").write_bytes(data)
    with pytest.raises(ValueError, match="no thin 64-bit Mach-O object file"):
        references.main([str(tmp_path / "out.h"), str(tmp_path / "x.o")])


def test_a_library_that_exports_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.o").write_bytes(objects(("_own", HIDDEN)))
    with pytest.raises(ValueError, match="exports a name"):
        references.main([str(tmp_path / "out.h"), str(tmp_path / "x.o")])
