"""Set the size of the main thread's stack in Mach-O programs (LC_MAIN), and sign them again.

main_stack.py SIZE PROGRAM...: thin 64-bit programs with an ad-hoc signature, as lld writes it: one CodeDirectory of SHA-256 page hashes.
Formats: mach-o/loader.h, and cs_blobs.h of xnu (osfmk/kern), whose structures are big-endian.
"""

import hashlib
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

MAGIC_64 = 0xFEEDFACF
LC_CODE_SIGNATURE, LC_MAIN = 0x1D, 0x80000028
HEADER = 32
SUPERBLOB, CODE_DIRECTORY = 0xFADE0CC0, 0xFADE0C02
SHA256 = 2


def commands(data: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """Number and place of each load command. Raises ValueError if `data` is no thin 64-bit Mach-O file."""
    magic, count = struct.unpack_from("<I12xI", data)
    if magic != MAGIC_64:
        raise ValueError("no thin 64-bit Mach-O file")
    at = HEADER
    for _ in range(count):
        command, size = struct.unpack_from("<II", data, at)
        yield command, at
        at += size


def place(data: bytes | bytearray, wanted: int) -> int:
    """Where a load command lies. Raises ValueError if it is not there once."""
    [found] = [at for command, at in commands(data) if command == wanted] or [0]
    if not found:
        raise ValueError(f"no load command {wanted:#x}")
    return found


def code_directory(data: bytes | bytearray) -> int:
    """Where the CodeDirectory lies. Raises ValueError on a signature of another form."""
    start: int = struct.unpack_from("<I", data, place(data, LC_CODE_SIGNATURE) + 8)[0]
    magic, _, blobs = struct.unpack_from(">III", data, start)
    offsets: list[int] = [struct.unpack_from(">4xI", data, start + 12 + 8 * index)[0] for index in range(blobs)]
    found = [start + offset for offset in offsets if struct.unpack_from(">I", data, start + offset)[0] == CODE_DIRECTORY]
    if magic != SUPERBLOB or len(found) != 1:
        raise ValueError("not signed as lld signs")
    [only] = found
    return only


def sign(data: bytearray) -> None:
    """Hash the pages anew. The signature's size, and so all that is hashed but the pages themselves, stays as it is."""
    at = code_directory(data)
    hashes, _, _, pages, limit, size, kind, _, shift = struct.unpack_from(">IIIIIBBBB", data, at + 16)
    if kind != SHA256:
        raise ValueError(f"pages are hashed by algorithm {kind}, not SHA-256")
    for page in range(pages):
        start = page << shift
        digest = hashlib.sha256(data[start : min(start + (1 << shift), limit)]).digest()
        data[at + hashes + page * size : at + hashes + (page + 1) * size] = digest


def set_stack(data: bytearray, size: int) -> None:
    """Bytes of stack that the kernel gives to the main thread."""
    struct.pack_into("<Q", data, place(data, LC_MAIN) + 16, size)


def main(argv: list[str]) -> None:
    size = int(argv[0], 0)
    for name in argv[1:]:
        path = Path(name)
        data = bytearray(path.read_bytes())
        set_stack(data, size)
        sign(data)
        path.write_bytes(data)


if __name__ == "__main__":
    main(sys.argv[1:])
