"""The Remote Execution API v2 over gRPC as a remote store: CAS, ActionCache, ByteStream, Capabilities. Needs the extra [remote]."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from graph import reapi
from graph.digest import Digest
from graph.errors import RemoteError
from graph.published import MAX_RESULT
from graph.remote.base import CHUNK, Blob, Fault, Moved, Receive, Watch, opened, unzstd
from graph.remote.settings import Settings
from graph.remote.sign import EXTRA

REAPI = "/build.bazel.remote.execution.v2."
BYTESTREAM = "/google.bytestream.ByteStream/"
MESSAGE = 4 << 20
"""Bytes of a message that every gRPC server takes."""
SPARE = 256 << 10
"""Bytes of a batch that are left for digests and statuses."""
NOT_FOUND = 5
WORTH_PACKING = 1024
"""Bytes: smaller blobs are sent as they are."""

Codes = Mapping[Any, tuple[str, str]]


class RpcRemote:
    """`grpc(s)://HOST:PORT[/INSTANCE]`. One connection; the server is asked for what it can at its first use."""

    query = 20_000
    batch = (MESSAGE - SPARE, 1000)

    def __init__(self, settings: Settings, moved: Moved, watch: Watch) -> None:
        self._grpc = _grpc()
        address = urlsplit(settings.url)
        self._instance = address.path.strip("/")
        self._metadata = (("authorization", f"Bearer {settings.token}"),) if settings.token else ()
        self._moved = moved
        self._watch = watch
        self._channel = self._open(settings, address.netloc)
        self._mutex = threading.Lock()
        self._known: reapi.Capabilities | None = None
        self._codes = _codes(self._grpc.StatusCode)

    def get_result(self, action: Digest) -> bytes | None:
        """See Remote."""
        self._can()
        found = self._call(REAPI + "ActionCache/GetActionResult", reapi.get_action_result(self._instance, action))
        if found is not None and len(found) > MAX_RESULT:
            raise Fault("wrong", "a result of more than 4 MiB")
        return found

    def put_result(self, action: Digest, value: bytes) -> None:
        """See Remote."""
        self._said(self._call(REAPI + "ActionCache/UpdateActionResult", reapi.update_action_result(self._instance, action, value)))
        self._moved(sent=len(value))

    def missing(self, digests: Collection[Digest]) -> set[Digest]:
        """See Remote."""
        self._can()
        request = reapi.find_missing(self._instance, digests)
        with _wrong():
            return reapi.missing_of(self._said(self._call(REAPI + "ContentAddressableStorage/FindMissingBlobs", request)))

    def read(self, digests: Sequence[Digest], receive: Receive) -> None:
        """See Remote."""
        if len(digests) > 1 or digests[0].size <= self._limit():
            self._read_batch(digests, receive)
        else:
            self._read_stream(digests[0], receive)

    def write(self, blobs: Sequence[Blob]) -> None:
        """See Remote."""
        if len(blobs) > 1 or blobs[0][0].size <= self._limit():
            self._write_batch(blobs)
        else:
            self._write_stream(*blobs[0])

    def close(self) -> None:
        """See Remote."""
        self._channel.close()

    def _open(self, settings: Settings, target: str) -> Any:
        # REAPI messages of one batch, with the digests around it; no more may come
        options = [("grpc.max_receive_message_length", 2 * MESSAGE), ("grpc.max_send_message_length", 2 * MESSAGE)]
        options += [("grpc.keepalive_time_ms", 30_000), ("grpc.enable_retries", 0)]
        if settings.scheme == "grpc":
            return self._grpc.insecure_channel(target, options)
        credentials = self._grpc.ssl_channel_credentials(settings.pem("ca"), settings.pem("key"), settings.pem("cert"))
        return self._grpc.secure_channel(target, credentials, options)

    def _can(self) -> reapi.Capabilities:
        with self._mutex:
            if self._known is None:
                found = self._call(REAPI + "Capabilities/GetCapabilities", reapi.get_capabilities(self._instance))
                with _wrong():
                    known = reapi.Capabilities.decode(found or b"")
                if not known.sha256:
                    raise Fault("closed", "it has no sha256")
                self._known = known
                self.batch = (self._limit(), RpcRemote.batch[1])
            return self._known

    def _limit(self) -> int:
        told = self._known.batch if self._known else 0
        return max(0, min(told or MESSAGE, MESSAGE) - SPARE)

    def _read_batch(self, digests: Sequence[Digest], receive: Receive) -> None:
        request = reapi.batch_read(self._instance, digests, zstd=self._can().zstd)
        expected = sum(digest.size for digest in digests)
        data = self._said(self._call(REAPI + "ContentAddressableStorage/BatchReadBlobs", request, expected))
        wanted = set(digests)
        with _wrong():
            for piece in reapi.pieces_of(data):
                if piece.digest in wanted and piece.status == 0:
                    with receive(piece.digest) as feed:
                        for chunk in unzstd(iter((piece.data,))) if piece.zstd else (piece.data,):
                            feed(chunk)
                elif piece.status not in (0, NOT_FOUND):
                    raise Fault("transient", f"a blob was not read: code {piece.status}")

    def _read_stream(self, digest: Digest, receive: Receive) -> None:
        packed = self._can().zstd
        kind = "compressed-blobs/zstd" if packed else "blobs"
        request = reapi.read_request(self._resource("", f"{kind}/{digest.hash}/{digest.size}"))
        call: Any = None
        with self._faults(absent_is_well=True), self._watch.over(lambda: call and call.cancel()) as transfer:
            call = self._channel.unary_stream(BYTESTREAM + "Read")(request, metadata=self._metadata)

            def chunks() -> Iterator[bytes]:
                for message in call:
                    transfer.moved(len(message))
                    self._moved(received=len(message))
                    yield reapi.read_data(message)

            with receive(digest) as feed:
                for chunk in unzstd(chunks()) if packed else chunks():
                    feed(chunk)

    def _write_batch(self, blobs: Sequence[Blob]) -> None:
        zstd = self._can().zstd_batch
        pieces = [_packed(digest, _bytes(source), zstd=zstd) for digest, source in blobs]
        request = reapi.batch_update(self._instance, pieces)
        with _wrong():
            refused = reapi.refused_of(self._said(self._call(REAPI + "ContentAddressableStorage/BatchUpdateBlobs", request)))
        self._moved(sent=len(request))
        if refused:
            raise Fault("transient", f"{len(refused)} blobs were not taken: code {min(refused.values())}")

    def _write_stream(self, digest: Digest, source: Path | bytes) -> None:
        packed = self._can().zstd
        kind = "compressed-blobs/zstd" if packed else "blobs"
        resource = self._resource(f"uploads/{uuid.uuid4()}/", f"{kind}/{digest.hash}/{digest.size}")
        call: Any = None
        with self._faults(), self._watch.over(lambda: call and call.cancel()) as transfer, opened(source) as file:

            def requests() -> Iterator[bytes]:
                offset = 0
                for data, end in _with_end(_pack(file) if packed else iter(lambda: file.read(CHUNK), b"")):
                    yield reapi.write_request(resource, offset, data, finish=end)
                    offset += len(data)
                    transfer.moved(len(data))
                    self._moved(sent=len(data))

            call = self._channel.stream_unary(BYTESTREAM + "Write").future(requests(), metadata=self._metadata)
            with _wrong():
                kept = reapi.committed(call.result())
            if not packed and kept != digest.size:
                raise Fault("transient", f"{kept} of {digest.size} bytes were taken")

    def _resource(self, before: str, rest: str) -> str:
        return "/".join(part for part in (self._instance, before.rstrip("/"), rest) if part)

    def _call(self, method: str, request: bytes, expected: int = 0) -> bytes | None:
        """The response of a call, None for NOT_FOUND. `expected` bytes, about, come back. Raises Fault."""
        call: Any = None
        found: bytes | None = None
        with self._faults(absent_is_well=True), self._watch.over(lambda: call and call.cancel()) as transfer:
            transfer.expect(len(request) + expected)
            call = self._channel.unary_unary(method).future(request, metadata=self._metadata)
            found = call.result()
            self._moved(received=len(found))
        return found

    def _said(self, found: bytes | None) -> bytes:
        if found is None:
            raise Fault("closed", f"the server knows no instance {self._instance!r}")
        return found

    @contextmanager
    def _faults(self, *, absent_is_well: bool = False) -> Iterator[None]:
        try:
            yield
        except self._grpc.FutureCancelledError:
            raise Fault("closed", "no answer in time") from None
        except ValueError as error:
            # by a channel that abandon() closed
            raise Fault("closed", f"no connection: {error}") from None
        except self._grpc.RpcError as error:
            code, details = error.code(), str(error.details() or "")
            if absent_is_well and code == self._grpc.StatusCode.NOT_FOUND:
                return
            if "failed to connect" in details.lower() or "certificate" in details.lower() or "handshak" in details.lower():
                raise Fault("closed", f"no connection: {_short(details)}") from None
            kind, why = self._codes.get(code, ("transient", str(code.name).lower()))
            raise Fault(kind, f"{why}: {details[:100]}" if details else why) from None


def _codes(status: Any) -> Codes:
    return {
        status.UNAUTHENTICATED: ("closed", "the token is not accepted, or has expired"),
        status.PERMISSION_DENIED: ("closed", "access is denied"),
        status.UNIMPLEMENTED: ("closed", "the server lacks a service"),
        status.DEADLINE_EXCEEDED: ("closed", "no answer in time"),
        status.RESOURCE_EXHAUSTED: ("transient", "the server is full"),
        status.NOT_FOUND: ("transient", "not found"),
    }


def _short(details: str) -> str:
    """The end of gRPC's long story."""
    return details.rpartition("last error: ")[2][:160]


def _packed(digest: Digest, data: bytes, *, zstd: bool) -> reapi.Piece:
    if not zstd or len(data) < WORTH_PACKING:
        return reapi.Piece(digest, data)
    import zstandard

    return reapi.Piece(digest, zstandard.ZstdCompressor(level=1).compress(data), zstd=True)


def _pack(file: Any) -> Iterator[bytes]:
    import zstandard

    yield from zstandard.ZstdCompressor(level=1).read_to_iter(file, read_size=CHUNK, write_size=CHUNK)


def _with_end(chunks: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each chunk, and whether it is the last."""
    before: bytes | None = None
    for chunk in chunks:
        if before is not None:
            yield before, False
        before = chunk
    yield before or b"", True


def _bytes(source: Path | bytes) -> bytes:
    return source if isinstance(source, bytes) else source.read_bytes()


@contextmanager
def _wrong() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise Fault("wrong", f"a malformed message: {error}") from None


def _grpc() -> Any:
    # what gRPC writes to stderr is for its developers; builds fork all the time
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    try:
        import grpc
    except ImportError:
        raise RemoteError("grpc:// needs the package grpcio", hint=EXTRA) from None
    return grpc
