"""Messages of the Remote Execution API v2 and ByteStream, as bytes (docs/remote.md: why not by protobuf's package).

Field numbers are those of build/bazel/remote/execution/v2/remote_execution.proto, google/bytestream/bytestream.proto,
google/longrunning/operations.proto and google/rpc/status.proto; tests/reapi.proto has them in the language of protoc, and a test
compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from graph.digest import Digest, decode_digest, encode_digest
from graph.wire import Value, as_bytes, as_int, blob, join, last, message, number, numbers, repeated, string

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
    executes: bool = False
    """Whether it has workers: the Execution service."""

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
            executes=bool(last(as_bytes(last(data).get(2, b""))).get(2, 0)),
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


def encode_command(argv: Iterable[str], env: Mapping[str, str], outputs: Iterable[str], properties: Iterable[tuple[str, str]]) -> bytes:
    """Command. `outputs` are paths of output folders; `properties` say which workers will do, and how they run it."""
    variables = (join([string(1, name), string(2, value)]) for name, value in sorted(env.items()))
    return join(
        [
            *(message(1, word.encode()) for word in argv),
            *(message(2, variable) for variable in variables),
            blob(5, encode_platform(properties)),
            *(message(7, path.encode()) for path in outputs),
        ]
    )


def encode_platform(properties: Iterable[tuple[str, str]]) -> bytes:
    """Platform, which servers want sorted."""
    return join(message(1, join([string(1, name), string(2, value)])) for name, value in sorted(properties))


def encode_action(command: Digest, root: Digest, properties: Iterable[tuple[str, str]]) -> bytes:
    """Action, whose result the server shall not keep: ours are kept under keys of our own, and failures nowhere."""
    body = [message(1, encode_digest(command)), message(2, encode_digest(root)), number(7, 1)]
    return join([*body, blob(10, encode_platform(properties))])


def execute_request(instance: str, action: Digest) -> bytes:
    """ExecuteRequest, which asks for no older result."""
    return join([string(1, instance), number(3, 1), message(6, encode_digest(action))])


def operation_name(name: str) -> bytes:
    """WaitExecutionRequest, and CancelOperationRequest, which is alike."""
    return string(1, name)


@dataclass(frozen=True, slots=True)
class Operation:
    """What a server says of an action that it was given."""

    name: str
    done: bool = False
    code: int = 0
    """google.rpc.Code of the operation, or of its response: 0 is well."""
    message: str = ""
    outcome: bytes = b""
    """The encoded ActionResult, once it is done."""

    @classmethod
    def decode(cls, data: bytes) -> Operation:
        """Operation with an ExecuteResponse. Raises ValueError."""
        found = last(data)
        name, done = _text(found.get(1, b"")), bool(found.get(3, 0))
        response = last(as_bytes(last(as_bytes(found.get(5, b""))).get(2, b"")))
        status = as_bytes(found.get(4, b"")) or as_bytes(response.get(3, b""))
        return cls(name, done, _code(status), _text(last(status).get(2, b"")), as_bytes(response.get(1, b"")))


TIMES = {
    2: "queued",
    3: "worker_start",
    4: "worker_completed",
    5: "input_fetch_start",
    6: "input_fetch_completed",
    7: "execution_start",
    8: "execution_completed",
    9: "output_upload_start",
    10: "output_upload_completed",
}
"""Fields of ExecutedActionMetadata that are times, by their names there."""


@dataclass(frozen=True, slots=True)
class Executed:
    """An ActionResult as a worker gave it, whatever its exit status."""

    status: int
    tree: Digest | None
    """Of the Tree message of OUT, if the action made it."""
    stdout: Digest | bytes
    stderr: Digest | bytes
    worker: str
    times: Mapping[str, float]
    """Of TIMES those that are known, in seconds of the worker's clock."""

    @classmethod
    def decode(cls, data: bytes) -> Executed:
        """ActionResult. Raises ValueError."""
        found = last(data)
        folders = (last(one) for one in repeated(data, 3))
        trees = [decode_digest(as_bytes(one.get(3, b""))) for one in folders if one.get(1) == OUT.encode()]
        record = last(as_bytes(found.get(9, b"")))
        return cls(
            status=as_int(found.get(4, 0)) & 0xFFFFFFFF,
            tree=trees[0] if trees else None,
            stdout=_printed(found.get(6, b""), found.get(5, b"")),
            stderr=_printed(found.get(8, b""), found.get(7, b"")),
            worker=_text(record.get(1, b"")),
            times={name: _seconds(as_bytes(record[field])) for field, name in TIMES.items() if field in record},
        )


def _printed(digest: Value, raw: Value) -> Digest | bytes:
    """What a server inlines, or says where it is; some give an empty Digest message for nothing."""
    return decode_digest(as_bytes(digest)) if digest and not raw else as_bytes(raw)


def _seconds(timestamp: bytes) -> float:
    found = last(timestamp)
    return as_int(found.get(1, 0)) + as_int(found.get(2, 0)) / 1e9


def _text(value: Value) -> str:
    return as_bytes(value).decode(errors="replace")
