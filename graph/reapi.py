"""Messages of the Remote Execution API v2 and ByteStream that a cache needs, as bytes (docs/remote.md: why not by protobuf's package).

Field numbers are those of build/bazel/remote/execution/v2/remote_execution.proto, google/bytestream/bytestream.proto and
google/rpc/status.proto; tests/reapi.proto has them in the language of protoc, and a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from graph.digest import Digest, decode_digest, encode_digest
from graph.wire import as_bytes, as_int, blob, join, last, message, number, numbers, repeated, string

ZSTD = 1
"""Compressor.Value.ZSTD."""
NOTE = "freestanding.json"
"""Path of the output file that holds our own result (graph/published.py)."""
OUT = "out"
"""Path of the output directory."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """An ActionResult: one output directory, one output file, and what was printed."""

    tree: Digest
    """Of a Tree message."""
    note: Digest
    """Of the output file NOTE."""
    contents: bytes
    """That file's bytes; empty where the server does not inline them."""
    log: Digest | None

    def encode(self) -> bytes:
        """ActionResult. Its exit code is 0: others are never kept."""
        file = join([string(1, NOTE), message(2, encode_digest(self.note)), blob(5, self.contents)])
        folder = join([string(1, OUT), message(3, encode_digest(self.tree))])
        return join([message(2, file), message(3, folder), message(6, encode_digest(self.log)) if self.log else b""])

    @classmethod
    def decode(cls, data: bytes) -> Outcome:
        """Inverse of encode(). Raises ValueError for every ActionResult that is none of ours."""
        found = last(data)
        file = last(_only(data, 2, NOTE))
        folder = last(_only(data, 3, OUT))
        if found.get(4, 0) != 0:
            raise ValueError("the result of an action that failed")
        return cls(
            tree=decode_digest(as_bytes(folder.get(3, b""))),
            note=decode_digest(as_bytes(file.get(2, b""))),
            contents=as_bytes(file.get(5, b"")),
            log=decode_digest(as_bytes(found[6])) if 6 in found else None,
        )


def _only(data: bytes, field: int, path: str) -> bytes:
    [found] = list(repeated(data, field)) or [b""]
    if as_bytes(last(found).get(1, b"")) != path.encode():
        raise ValueError(f"no {path} among the outputs")
    return found


def encode_mark(text: str) -> bytes:
    """ActionResult with nothing but a text, as its worker's name: it names no blob that a server could miss."""
    return message(9, string(1, text))


def decode_mark(data: bytes) -> str:
    """Inverse of encode_mark(); servers may have added to it. Raises ValueError."""
    return as_bytes(last(as_bytes(last(data).get(9, b""))).get(1, b"")).decode()


def encode_tree(root: bytes, children: Iterable[bytes]) -> bytes:
    """Tree, of encoded Directory messages."""
    return join([message(1, root), *(message(2, child) for child in children)])


def decode_tree(data: bytes) -> Iterator[bytes]:
    """The encoded Directory messages of a Tree, its root and the others. Raises ValueError."""
    yield from repeated(data, 1)
    yield from repeated(data, 2)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a server said that it can; the defaults hold for one that says nothing."""

    batch: int = 0
    """max_batch_total_size_bytes; 0: no limit of its own."""
    zstd: bool = False
    """compressed-blobs/zstd in ByteStream."""
    zstd_batch: bool = False
    """The same in BatchUpdateBlobs."""
    sha256: bool = True

    @classmethod
    def decode(cls, data: bytes) -> Capabilities:
        """ServerCapabilities. Raises ValueError."""
        cache = as_bytes(last(data).get(1, b""))
        functions = tuple(numbers(cache, 1))
        return cls(
            batch=as_int(last(cache).get(4, 0)),
            zstd=ZSTD in numbers(cache, 6),
            zstd_batch=ZSTD in numbers(cache, 7),
            sha256=not functions or 1 in functions,
        )


def get_capabilities(instance: str) -> bytes:
    """GetCapabilitiesRequest."""
    return string(1, instance)


def get_action_result(instance: str, action: Digest) -> bytes:
    """GetActionResultRequest, which asks for NOTE inlined."""
    return join([string(1, instance), message(2, encode_digest(action)), string(5, NOTE)])


def update_action_result(instance: str, action: Digest, result: bytes) -> bytes:
    """UpdateActionResultRequest, of an encoded ActionResult."""
    return join([string(1, instance), message(2, encode_digest(action)), message(3, result)])


def find_missing(instance: str, digests: Iterable[Digest]) -> bytes:
    """FindMissingBlobsRequest."""
    return join([string(1, instance), *(message(2, encode_digest(digest)) for digest in digests)])


def missing_of(data: bytes) -> set[Digest]:
    """FindMissingBlobsResponse. Raises ValueError."""
    return {decode_digest(found) for found in repeated(data, 2)}


def batch_read(instance: str, digests: Iterable[Digest], *, zstd: bool) -> bytes:
    """BatchReadBlobsRequest."""
    return join([string(1, instance), *(message(2, encode_digest(digest)) for digest in digests), number(3, ZSTD if zstd else 0)])


@dataclass(frozen=True, slots=True)
class Piece:
    """One blob of a batch."""

    digest: Digest
    data: bytes
    zstd: bool = False
    status: int = 0
    """google.rpc.Code: 0 is well."""


def pieces_of(data: bytes) -> Iterator[Piece]:
    """BatchReadBlobsResponse. Raises ValueError."""
    for body in repeated(data, 1):
        found = last(body)
        digest = decode_digest(as_bytes(found.get(1, b"")))
        yield Piece(digest, as_bytes(found.get(2, b"")), as_int(found.get(4, 0)) == ZSTD, _code(as_bytes(found.get(3, b""))))


def batch_update(instance: str, pieces: Iterable[Piece]) -> bytes:
    """BatchUpdateBlobsRequest."""
    bodies = (join([message(1, encode_digest(one.digest)), blob(2, one.data), number(3, ZSTD if one.zstd else 0)]) for one in pieces)
    return join([string(1, instance), *(message(2, body) for body in bodies)])


def refused_of(data: bytes) -> dict[Digest, int]:
    """BatchUpdateBlobsResponse: the blobs that were not taken, with google.rpc.Code. Raises ValueError."""
    found = (last(body) for body in repeated(data, 1))
    codes = ((decode_digest(as_bytes(one.get(1, b""))), _code(as_bytes(one.get(2, b"")))) for one in found)
    return {digest: code for digest, code in codes if code}


def _code(status: bytes) -> int:
    return as_int(last(status).get(1, 0))


def read_request(resource: str) -> bytes:
    """ByteStream's ReadRequest, from the beginning to the end."""
    return string(1, resource)


def read_data(data: bytes) -> bytes:
    """The bytes in a ReadResponse. Raises ValueError."""
    return as_bytes(last(data).get(10, b""))


def write_request(resource: str, offset: int, data: bytes, *, finish: bool) -> bytes:
    """ByteStream's WriteRequest."""
    return join([string(1, resource), number(2, offset), number(3, int(finish)), blob(10, data)])


def committed(data: bytes) -> int:
    """Bytes that a WriteResponse says were kept; -1 stands for a compressed blob that was there before. Raises ValueError."""
    size = as_int(last(data).get(1, 0))
    return size - (1 << 64) if size >> 63 else size
