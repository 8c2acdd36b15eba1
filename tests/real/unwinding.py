"""What lief does not tell of PE files: the handlers that functions name for exceptions.

Formats: Microsoft's "PE Format", "x64 exception handling" and "ARM64 exception handling".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

X64, ARM64 = 0x8664, 0xAA64
EXCEPTIONS = 3
"""The data directory of functions' tables."""


@dataclass(frozen=True, slots=True)
class Guard:
    """A function that handles exceptions: its handler's address, and how many pieces of it are guarded."""

    handler: int
    scopes: int


class Image:
    """A PE file for a processor of 64 bits."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        [at] = struct.unpack_from("<I", data, 0x3C)
        self.machine, count, size = struct.unpack_from("<HH12xH", data, at + 4)
        self._directories = at + 24 + 112
        places = range(at + 24 + size, at + 24 + size + 40 * count, 40)
        self.sections = [struct.unpack_from("<4I", data, place + 8) for place in places]
        """(size in memory, address, size in the file, place in the file)"""

    def words(self, address: int, count: int) -> tuple[int, ...]:
        """Numbers of four bytes at an address. Raises ValueError where no section is."""
        for _, start, size, place in self.sections:
            if start <= address < start + size:
                return struct.unpack_from(f"<{count}I", self.data, place + address - start)
        raise ValueError(f"nothing is at {address:#x}")

    @cached_property
    def functions(self) -> dict[int, Guard | None]:
        """Address of each function that has a table -> what it handles."""
        table, size = struct.unpack_from("<II", self.data, self._directories + 8 * EXCEPTIONS)
        width, read = {X64: (3, self._of_x64), ARM64: (2, self._of_arm64)}[self.machine]
        numbers = self.words(table, size // 4)
        return {numbers[at]: read(numbers[at + width - 1]) for at in range(0, len(numbers), width)}

    def _of_x64(self, info: int) -> Guard | None:
        [head] = self.words(info, 1)
        codes = head >> 16 & 0xFF
        return self._guard(info + 4 + 4 * ((codes + 1) // 2)) if head >> 3 & 1 else None

    def _of_arm64(self, info: int) -> Guard | None:
        # (packed: all is in the word itself)
        if info & 3:
            return None
        head, more = self.words(info, 2)
        epilogues, codes, start = head >> 22 & 0x1F, head >> 27, info + 4
        if not epilogues and not codes:
            epilogues, codes, start = more & 0xFFFF, more >> 16 & 0xFF, info + 8
        one = head >> 21 & 1
        return self._guard(start + 4 * ((0 if one else epilogues) + codes)) if head >> 20 & 1 else None

    def _guard(self, place: int) -> Guard:
        return Guard(*self.words(place, 2))

    def slot(self, address: int) -> int:
        """Address of the slot of the import table through which the code there jumps. Raises ValueError where it does not."""
        first, second, third = self.words(address, 3)
        if self.machine == X64 and first & 0xFFFF == 0x25FF:
            # jmp *slot(%rip)
            return address + 6 + int.from_bytes(struct.pack("<II", first, second)[2:6], "little", signed=True)
        if self.machine == ARM64 and (first & 0x9F00001F, second & 0xFFC003FF, third) == (0x90000010, 0xF9400210, 0xD61F0200):
            # adrp x16, slot; ldr x16, [x16, :lo12:slot]; br x16
            page = (first >> 5 & 0x7FFFF) << 2 | first >> 29 & 3
            page -= (page & 0x100000) << 1
            return (address & ~0xFFF) + (page << 12) + (second >> 10 & 0xFFF) * 8
        raise ValueError(f"no jump to another DLL is at {address:#x}")


def members_of(library: bytes) -> Iterator[bytes]:
    """Files in a static library, each after a header of 60 bytes that says its size."""
    place = len(b"!<arch>\n")
    while place < len(library):
        size = int(library[place + 48 : place + 58])
        yield library[place + 60 : place + 60 + size]
        place += 60 + size + size % 2
