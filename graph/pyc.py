"""How a hash-based .pyc knows its source (PEP 552): SipHash-1-3 of it, keyed by the magic number, since Python 3.11."""

from __future__ import annotations

import _imp
import struct

_MASK = 2**64 - 1


def siphash13(key: int, data: bytes) -> bytes:
    """SipHash-1-3 (https://www.aumasson.jp/siphash/siphash.pdf) of `data`, 8 bytes; `key` is the lower half of it, the upper one is 0."""
    state = (key ^ 0x736F6D6570736575, 0x646F72616E646F6D, key ^ 0x6C7967656E657261, 0x7465646279746573)
    last = data[len(data) & ~7 :].ljust(7, b"\0") + bytes([len(data) & 255])
    for (word,) in struct.iter_unpack("<Q", data[: len(data) & ~7] + last):
        v0, v1, v2, v3 = _round(*state[:3], state[3] ^ word)
        state = (v0 ^ word, v1, v2, v3)
    v0, v1, v2, v3 = _round(*_round(*_round(*state[:2], state[2] ^ 0xFF, state[3])))
    return (v0 ^ v1 ^ v2 ^ v3).to_bytes(8, "little")


def _round(v0: int, v1: int, v2: int, v3: int) -> tuple[int, int, int, int]:
    v0 = (v0 + v1) & _MASK
    v1 = _left(v1, 13) ^ v0
    v2 = (v2 + v3) & _MASK
    v3 = _left(v3, 16) ^ v2
    v0 = (_left(v0, 32) + v3) & _MASK
    v3 = _left(v3, 21) ^ v0
    v2 = (v2 + v1) & _MASK
    return v0, _left(v1, 17) ^ v2, _left(v2, 32), v3


def _left(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) & _MASK


_BUILT_IN = _imp.source_hash(1, b"source") == siphash13(1, b"source")
"""Has the Python that runs this the same function in C, a thousand times faster? 3.10 has SipHash-2-4."""


def source_hash(magic: bytes, source: bytes) -> bytes:
    """The 8 bytes at offset 8 of a .pyc with this magic number (its first 4 bytes) that was made of this source."""
    key = int.from_bytes(magic, "little")
    return _imp.source_hash(key, source) if _BUILT_IN else siphash13(key, source)
