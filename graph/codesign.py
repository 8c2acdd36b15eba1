"""Checks a Mach-O file's embedded code signature. The layout is that of xnu's osfmk/kern/cs_blobs.h; every number is big endian."""

from __future__ import annotations

import hashlib
import struct

from graph.facts import Signature

EMBEDDED_SIGNATURE, CODE_DIRECTORY = 0xFADE0CC0, 0xFADE0C02
"""Magic numbers of the two blobs that matter: the index of all, and the page hashes."""
HASHES = {1: "sha1", 2: "sha256", 4: "sha384"}
"""CS_HASHTYPE_: hashType of a code directory (3 is sha256 cut to 20 bytes)."""


def read_signature(data: bytes, start: int, size: int) -> Signature:
    """The signature in `data`, one slice of the file, where LC_CODE_SIGNATURE says that it is; all page hashes are computed anew."""
    try:
        return _read(data, start, data[start : start + size], start + size)
    except (struct.error, ValueError, KeyError) as error:
        return Signature(broken=f"cannot be read: {error}")


def _read(data: bytes, start: int, blob: bytes, end: int) -> Signature:
    blobs = _blobs(blob)
    directory = blobs.get(0, b"")
    magic, _, version, flags, hashes_at, _, special, pages, limit, width, kind, _, page_bits = struct.unpack_from(">9I4B", directory)
    if magic != CODE_DIRECTORY:
        raise ValueError("slot 0 is no code directory")
    if version >= 0x20300:
        # codeLimit64, for files above 4 GiB
        limit = struct.unpack_from(">Q", directory, 56)[0] or limit
    if hashes_at + pages * width > len(directory) or not page_bits:
        raise ValueError("its hashes are outside it")
    algorithm = HASHES[kind]
    page = 1 << page_bits
    if pages != -(-limit // page):
        raise ValueError(f"{pages} hashes for {limit} bytes in pages of {page}")

    def holds(slot: int, content: bytes) -> bool:
        at = hashes_at + slot * width
        return hashlib.new(algorithm, content).digest()[:width] == directory[at : at + width]

    covered = memoryview(data)[:limit]
    wrong = [slot for slot in range(pages) if not holds(slot, bytes(covered[slot * page : (slot + 1) * page]))]
    wrong += [-slot for slot, content in blobs.items() if 0 < slot <= special and not holds(-slot, content)]
    return Signature(flags, algorithm, pages, tuple(wrong), limit, start, end, len(data))


def _blobs(blob: bytes) -> dict[int, bytes]:
    """Slot number -> bytes of its blob (its own header included)."""
    magic, _, count = struct.unpack_from(">3I", blob)
    if magic != EMBEDDED_SIGNATURE:
        raise ValueError(f"magic number {magic:#x}")
    found = {}
    for at in range(12, 12 + 8 * count, 8):
        slot, offset = struct.unpack_from(">2I", blob, at)
        length = struct.unpack_from(">I", blob, offset + 4)[0]
        found[slot] = blob[offset : offset + length]
    return found
