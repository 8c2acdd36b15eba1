"""Write a C header that refers to every object file of a static library, so that a program which takes the one that includes it takes all.

references.py HEADER OBJECT...: relocatable 64-bit Mach-O files; of each the first name that it exports. One that exports nothing is for the
others' use alone, and is taken when they ask. Formats: mach-o/loader.h, mach-o/nlist.h.
"""

import struct
import sys
from collections.abc import Iterator
from pathlib import Path

MAGIC_64, MH_OBJECT = 0xFEEDFACF, 1
LC_SYMTAB = 2
HEADER, NLIST = 32, 16
N_STAB, N_PEXT, N_TYPE, N_EXT = 0xE0, 0x10, 0x0E, 0x01
N_SECT = 0x0E


def symbol_tables(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Place and number of symbols, and place of their names. Raises ValueError if `data` is no thin 64-bit object file."""
    magic, kind, count = struct.unpack_from("<I8xII", data.ljust(HEADER, b"\0"))
    if (magic, kind) != (MAGIC_64, MH_OBJECT):
        raise ValueError("no thin 64-bit Mach-O object file")
    at = HEADER
    for _ in range(count):
        command, size = struct.unpack_from("<II", data, at)
        if command == LC_SYMTAB:
            yield struct.unpack_from("<8xIII", data, at)
        at += size


def exported(data: bytes) -> list[str]:
    """Sorted names, as the linker knows them, that the object file defines for other files, beyond the library, too. Raises ValueError."""
    names: set[str] = set()
    for start, count, strings in symbol_tables(data):
        for index in range(count):
            name, kind = struct.unpack_from("<IB", data, start + index * NLIST)
            if not kind & (N_STAB | N_PEXT) and kind & N_EXT and kind & N_TYPE == N_SECT:
                names.add(data[strings + name : data.index(b"\0", strings + name)].decode())
    return sorted(names)


def header(names: list[str]) -> str:
    """The addresses of `names` in a table that no compiler or linker leaves out."""
    declared = "".join(f'extern char _reference_{index} __asm__("{name}");\n' for index, name in enumerate(names))
    listed = "".join(f"    &_reference_{index},\n" for index in range(len(names)))
    return f"{declared}__attribute__((used)) static const void *const _references[] = {{\n{listed}}};\n"


def main(argv: list[str]) -> None:
    """Write the header."""
    first = [names[0] for path in argv[1:] for names in [exported(Path(path).read_bytes())] if names]
    if not first:
        raise ValueError("no object file exports a name")
    Path(argv[0]).write_text(header(first))


if __name__ == "__main__":
    main(sys.argv[1:])
