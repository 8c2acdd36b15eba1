"""Compound files ([MS-CFB]) and the property set of a document summary ([MS-OLEPS]): read, and changed in place.

Sectors of 512 or 4096 bytes make chains in an allocation table (FAT); streams shorter than the cutoff lie in sectors of 64 bytes within one
stream, with a table of their own (mini FAT).
"""

import struct
from collections.abc import Iterator

MAGIC = bytes.fromhex("d0cf11e0a1b11ae1")
SUMMARY = "\x05SummaryInformation"
FMTID = bytes.fromhex("e0859ff2f94f6810ab9108002b27b3d9")
"""Of the summary's property set."""
ENTRY = 128
"""Bytes of a directory entry."""
ROOT, STREAM = 5, 2
TEXT, FILETIME = 30, 64
"""Types of properties: VT_LPSTR, VT_FILETIME."""
LAST = 0xFFFFFFFA
"""Greater numbers are no sectors: free, end of chain, of the tables themselves."""
EPOCH = 11_644_473_600
"""Seconds from 1601, where FILETIME begins, to 1970."""


class CompoundFile:
    """A compound file in memory. Raises ValueError when it is none."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        if self.data[:8] != MAGIC:
            raise ValueError("no compound file")
        self.shift: int
        self.mini_shift: int
        self.shift, self.mini_shift = struct.unpack_from("<HH", self.data, 30)
        first_directory, self.cutoff, first_mini = struct.unpack_from("<I4xII", self.data, 48)
        self.fat = self._numbers(self._fat_sectors())
        self.directory = list(self._chain(first_directory))
        self.mini_fat = self._numbers(self._chain(first_mini))

    def entries(self) -> Iterator[tuple[str, int]]:
        """(name, offset of the directory entry) of root and streams."""
        for sector in self.directory:
            for at in range(self._offset(sector), self._offset(sector) + (1 << self.shift), ENTRY):
                length, kind = struct.unpack_from("<HB", self.data, at + 64)
                if kind in (ROOT, STREAM):
                    yield self.data[at : at + max(0, length - 2)].decode("utf-16-le"), at

    def read(self, name: str) -> bytes:
        """The bytes of a stream."""
        return b"".join(self.data[at : at + length] for at, length in self._pieces(name))

    def write(self, name: str, content: bytes) -> None:
        """Put others in their place. Raises ValueError unless they are as many."""
        pieces = list(self._pieces(name))
        if sum(length for _, length in pieces) != len(content):
            raise ValueError(f"{name!r} has another size")
        done = 0
        for at, length in pieces:
            self.data[at : at + length] = content[done : done + length]
            done += length

    def without_times(self) -> None:
        """Set when root and streams were made and changed to nothing."""
        for _, at in self.entries():
            self.data[at + 100 : at + 116] = bytes(16)

    def _offset(self, sector: int) -> int:
        return (sector + 1) << self.shift

    def _fat_sectors(self) -> Iterator[int]:
        """Those in the header, then those of the chain of further lists (DIFAT), whose last number leads on."""
        [following] = struct.unpack_from("<I", self.data, 68)
        yield from (number for number in struct.unpack_from("<109I", self.data, 76) if number <= LAST)
        while following <= LAST:
            *numbers, following = struct.unpack_from(f"<{(1 << self.shift) // 4}I", self.data, self._offset(following))
            yield from (number for number in numbers if number <= LAST)

    def _numbers(self, sectors: Iterator[int]) -> list[int]:
        count = (1 << self.shift) // 4
        return [number for sector in sectors for number in struct.unpack_from(f"<{count}I", self.data, self._offset(sector))]

    def _chain(self, sector: int, table: list[int] | None = None) -> Iterator[int]:
        while sector <= LAST:
            yield sector
            sector = (self.fat if table is None else table)[sector]

    def _pieces(self, name: str) -> Iterator[tuple[int, int]]:
        """(offset, length) of the parts of a stream. Raises ValueError when there is none of the name."""
        at = next((at for found, at in self.entries() if found == name), None)
        if at is None:
            raise ValueError(f"no stream {name!r}")
        first, size = struct.unpack_from("<IQ", self.data, at + 116)
        mini = size < self.cutoff
        step = 1 << (self.mini_shift if mini else self.shift)
        places = self._mini_places(first) if mini else map(self._offset, self._chain(first))
        for number, place in enumerate(places):
            yield place, min(step, size - number * step)

    def _mini_places(self, first: int) -> Iterator[int]:
        """Offsets of a chain of small sectors, which lie in the root's stream."""
        root = next(at for _, at in self.entries() if self.data[at + 66] == ROOT)
        holders = list(self._chain(struct.unpack_from("<I", self.data, root + 116)[0]))
        for number in self._chain(first, self.mini_fat):
            sector, rest = divmod(number << self.mini_shift, 1 << self.shift)
            yield self._offset(holders[sector]) + rest


def properties(summary: bytes) -> dict[int, tuple[int, int]]:
    """Of a summary's one section: number of a property -> (type, offset of its value). Raises ValueError when it is none."""
    identifier, section = struct.unpack_from("<16sI", summary, 28)
    if identifier != FMTID:
        raise ValueError("no property set of a summary")
    [count] = struct.unpack_from("<I", summary, section + 4)
    places = struct.iter_unpack("<II", summary[section + 8 : section + 8 + 8 * count])
    return {number: (struct.unpack_from("<I", summary, section + at)[0], section + at + 4) for number, at in places}


def changed(summary: bytes, values: dict[int, str | int]) -> bytes:
    """The summary with other texts, no longer than there is room up to a multiple of four, and times (seconds of the Unix epoch).
    Raises ValueError.
    """
    found, data = properties(summary), bytearray(summary)
    for number, value in values.items():
        kind, at = found.get(number, (0, 0))
        if isinstance(value, int) and kind == FILETIME:
            data[at : at + 8] = struct.pack("<Q", (value + EPOCH) * 10_000_000)
        elif isinstance(value, str) and kind == TEXT and len(value) < (room := -(-struct.unpack_from("<I", data, at)[0] // 4) * 4):
            data[at : at + 4 + room] = struct.pack(f"<I{room}s", len(value) + 1, value.encode("ascii"))
        else:
            raise ValueError(f"property {number} of the summary is not of this type or length")
    return bytes(data)
