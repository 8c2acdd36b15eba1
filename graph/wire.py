"""Protobuf's wire format, as far as the Remote Execution API needs it: varints, length-delimited fields, and skipping the rest.

Writing is canonical: fields in order, defaults left out. What is read may come from anyone, and ends in ValueError when it is malformed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

Value = bytes | int
"""Of a length-delimited or of a varint field."""

_SKIPPED = {1: 8, 5: 4}
"""Wire types of fixed length, in bytes: nothing that is read here has them."""


def varint(number: int) -> bytes:
    """A number from 0 to 2**64 - 1."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def message(field: int, body: bytes) -> bytes:
    """A message or bytes field, also if it is empty."""
    return varint(field << 3 | 2) + varint(len(body)) + body


def blob(field: int, body: bytes) -> bytes:
    """A bytes field; nothing if it is empty."""
    return message(field, body) if body else b""


def string(field: int, text: str) -> bytes:
    """A string field; nothing if it is empty."""
    return message(field, text.encode()) if text else b""


def number(field: int, value: int) -> bytes:
    """A varint field; nothing if it is 0."""
    return varint(field << 3) + varint(value) if value else b""


def fields(data: bytes, *, strict: bool = False) -> Iterator[tuple[int, Value]]:
    """Field numbers with their values, in the order of the bytes. Raises ValueError; with `strict` also on fixed-length fields."""
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = _read_varint(data, at)
            yield tag >> 3, value
        elif kind == 2:
            length, at = _read_varint(data, at)
            if at + length > len(data):
                raise ValueError("truncated field")
            yield tag >> 3, data[at : at + length]
            at += length
        elif kind in _SKIPPED and not strict:
            at += _SKIPPED[kind]
            if at > len(data):
                raise ValueError("truncated field")
        else:
            raise ValueError(f"unexpected wire type {kind}")


def last(data: bytes) -> dict[int, Value]:
    """The last value of each field: all of a message without repeated fields."""
    return dict(fields(data))


def repeated(data: bytes, field: int) -> Iterator[bytes]:
    """The messages (or strings) of one repeated field."""
    return (as_bytes(value) for found, value in fields(data) if found == field)


def numbers(data: bytes, field: int) -> Iterator[int]:
    """A repeated enum or number, packed or not."""
    for found, value in fields(data):
        if found == field:
            yield from (value,) if isinstance(value, int) else _unpacked(value)


def as_bytes(value: Value) -> bytes:
    """The value itself. Raises ValueError when it is a number."""
    if isinstance(value, int):
        raise ValueError("a number where bytes are due")
    return value


def as_int(value: Value) -> int:
    """The value itself. Raises ValueError when it is bytes."""
    if not isinstance(value, int):
        raise ValueError("bytes where a number is due")
    return value


def join(parts: Iterable[bytes]) -> bytes:
    """One message of its encoded fields."""
    return b"".join(parts)


def _unpacked(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _read_varint(data, at)
        yield value


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("truncated varint")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
