"""Remote stores in this process, over real sockets: an HTTP cache and a REAPI server, each of which misbehaves as a test wants it to.

The REAPI server reads and writes its messages with protobuf's own package, compiled from tests/reapi.proto: not with the code it tests.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar
from urllib.parse import urlsplit

import grpc
import zstandard

from graph.digest import Digest
from tests.fetch_server import serving

AnyApi = TypeVar("AnyApi", bound="Api")
PB: Any = grpc.protos("tests/reapi.proto")


@dataclass(frozen=True)
class Kept:
    """What a server holds, and how it is used. Tests change it under the server's feet."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    results: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """One entry a request: verb and what it is about."""
    wrong: list[str] = field(default_factory=list)
    """What a client did that a server may refuse."""

    def keep(self, hash_: str, data: bytes) -> bool:
        """Store a blob, if it is what it says."""
        if Digest.of(data).hash != hash_:
            self.wrong.append(f"blob {hash_} has other bytes")
            return False
        self.blobs[hash_] = data
        return True

    def set_result(self, key: str, result: Any) -> None:
        """Store an ActionResult whose blobs are all here, down to the folders and files of its trees."""
        named = [file.digest for file in result.output_files] + ([result.stdout_digest] if result.HasField("stdout_digest") else [])
        for folder in result.output_directories:
            tree = PB.Tree.FromString(self.blobs.get(folder.tree_digest.hash, b""))
            folders = (tree.root, *tree.children)
            named += [folder.tree_digest, *(file.digest for one in folders for file in one.files)]
            # casd wants these, too
            named += [below.digest for one in folders for below in one.directories]
        lacking = [digest for digest in named if len(self.blobs.get(digest.hash, b"")) != digest.size_bytes]
        if lacking or key not in self.blobs:
            self.wrong.append(f"result {key} names {len(lacking)} blobs that are not here, or its action is not")
        self.results[key] = result.SerializeToString()


class Cache(ThreadingHTTPServer):
    """`fault`, given the handler, may answer in its own way; then it returns True."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, context: ssl.SSLContext | None = None, *, zstd: bool = False, token: str = "") -> None:
        super().__init__(("127.0.0.1", 0), CacheHandler)
        self.kept = Kept()
        self.zstd = zstd
        self.token = token
        self.fault: Callable[[CacheHandler], bool] = lambda _: False
        if context is not None:
            # the handshake is left to the thread of the connection
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.scheme = "https" if context else "http"

    def handle_error(self, request: object, client_address: object) -> None:
        """Silence."""

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}/some/path"


class CacheHandler(BaseHTTPRequestHandler):
    """/some/path/ac/KEY and /some/path/cas/HASH."""

    server: Cache
    protocol_version = "HTTP/1.1"
    # headers and body are two writes, the second of which would wait for the client's delayed acknowledgement
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        kept = self.server.kept
        if self.path.startswith("http://"):
            # as a proxy
            self.path = urlsplit(self.path).path
        kept.asked.append(f"{self.command} {self.path.removeprefix('/some/path')}")
        if self.server.fault(self):
            return
        if self.server.token and self.headers.get("Authorization") != f"Bearer {self.server.token}":
            self.answer(401, b"who are you?")
            return
        _, kind, name = self.path.removeprefix("/some/path").split("/")
        if self.command == "PUT":
            self.put(kind, name, self.rfile.read(int(self.headers["Content-Length"])))
            return
        data = (kept.results if kind == "ac" else kept.blobs).get(name)
        if data is None:
            self.answer(404, b"not here")
        elif kind == "cas" and self.server.zstd and self.headers.get("Accept-Encoding") == "zstd":
            self.answer(200, zstandard.ZstdCompressor().compress(data), Content_Encoding="zstd")
        else:
            self.answer(200, data)

    do_HEAD = do_PUT = do_GET

    def put(self, kind: str, name: str, data: bytes) -> None:
        if kind == "ac":
            self.server.kept.set_result(name, PB.ActionResult.FromString(data))
            self.answer(200, b"")
        else:
            self.answer(200 if self.server.kept.keep(name, data) else 400, b"")

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


class Api:
    """The services of REAPI that a cache has. `fault`, given method and context, may abort."""

    def __init__(self, *, zstd: bool = False, batch: int = 0, inlines: bool = True) -> None:
        self.kept = Kept()
        self.zstd = zstd
        self.batch = batch
        self.inlines = inlines
        self.fault: Callable[[str, Any], None] = lambda method, context: None
        self.url = ""

    def capabilities(self, request: Any, context: Any) -> Any:
        kinds = [PB.IDENTITY, PB.ZSTD] if self.zstd else []
        cache = PB.CacheCapabilities(
            digest_functions=[PB.CacheCapabilities.SHA256],
            max_batch_total_size_bytes=self.batch,
            supported_compressors=kinds,
            supported_batch_update_compressors=kinds,
        )
        return PB.ServerCapabilities(cache_capabilities=cache)

    def get_result(self, request: Any, context: Any) -> Any:
        key = request.action_digest
        if key.hash not in self.kept.results or key.size_bytes != len(self.kept.blobs.get(key.hash, b"")):
            context.abort(grpc.StatusCode.NOT_FOUND, "no such result")
        found = PB.ActionResult.FromString(self.kept.results[key.hash])
        for file in found.output_files:
            if not self.inlines or file.path not in request.inline_output_files:
                file.contents = b""
        return found

    def set_result(self, request: Any, context: Any) -> Any:
        self.kept.set_result(request.action_digest.hash, request.action_result)
        return request.action_result

    def missing(self, request: Any, context: Any) -> Any:
        return PB.FindMissingBlobsResponse(missing_blob_digests=[one for one in request.blob_digests if one.hash not in self.kept.blobs])

    def batch_read(self, request: Any, context: Any) -> Any:
        answer = PB.BatchReadBlobsResponse()
        if self.batch and sum(one.size_bytes for one in request.digests) > self.batch:
            self.kept.wrong.append("a batch is larger than allowed")
        for digest in request.digests:
            data = self.kept.blobs.get(digest.hash)
            one = answer.responses.add(digest=digest)
            if data is None:
                one.status.code = 5
            elif PB.ZSTD in request.acceptable_compressors:
                one.data, one.compressor = zstandard.ZstdCompressor().compress(data), PB.ZSTD
            else:
                one.data = data
        return answer

    def batch_update(self, request: Any, context: Any) -> Any:
        answer = PB.BatchUpdateBlobsResponse()
        for one in request.requests:
            data = zstandard.ZstdDecompressor().decompress(one.data) if one.compressor == PB.ZSTD else one.data
            good = self.kept.keep(one.digest.hash, data)
            answer.responses.add(digest=one.digest).status.code = 0 if good else 3
        return answer

    def read(self, request: Any, context: Any) -> Iterator[Any]:
        *_, kind, hash_, _size = request.resource_name.split("/")
        if hash_ not in self.kept.blobs:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such blob")
        data = zstandard.ZstdCompressor().compress(self.kept.blobs[hash_]) if kind == "zstd" else self.kept.blobs[hash_]
        for start in range(0, len(data), 1 << 20):
            yield PB.ReadResponse(data=data[start : start + (1 << 20)])

    def write(self, requests: Iterator[Any], context: Any) -> Any:
        data, name = b"", ""
        for request in requests:
            name = name or request.resource_name
            if request.write_offset != len(data):
                self.kept.wrong.append("a gap in a stream")
            data += request.data
        *_, kind, hash_, _size = name.split("/")
        committed = len(data)
        if not self.kept.keep(hash_, zstandard.ZstdDecompressor().decompressobj().decompress(data) if kind == "zstd" else data):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "other bytes")
        return PB.WriteResponse(committed_size=committed)

    def table(self) -> list[tuple[str, str, Any, Callable[[Any, Any], Any], Any]]:
        """Service, method, kind, what answers it, and its request."""
        api, stream = "build.bazel.remote.execution.v2.", "google.bytestream.ByteStream"
        unary, out, into = (grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler, grpc.stream_unary_rpc_method_handler)
        cas = f"{api}ContentAddressableStorage"
        return [
            (f"{api}Capabilities", "GetCapabilities", unary, self.capabilities, PB.GetCapabilitiesRequest),
            (f"{api}ActionCache", "GetActionResult", unary, self.get_result, PB.GetActionResultRequest),
            (f"{api}ActionCache", "UpdateActionResult", unary, self.set_result, PB.UpdateActionResultRequest),
            (cas, "FindMissingBlobs", unary, self.missing, PB.FindMissingBlobsRequest),
            (cas, "BatchReadBlobs", unary, self.batch_read, PB.BatchReadBlobsRequest),
            (cas, "BatchUpdateBlobs", unary, self.batch_update, PB.BatchUpdateBlobsRequest),
            (stream, "Read", out, self.read, PB.ReadRequest),
            (stream, "Write", into, self.write, PB.WriteRequest),
        ]

    def handler(self) -> grpc.GenericRpcHandler:
        """gRPC's side of it."""
        made = {
            f"/{service}/{name}": kind(self.watched(name, method), request.FromString, lambda answer: answer.SerializeToString())
            for service, name, kind, method, request in self.table()
        }
        return _Handler(made)

    def watched(self, name: str, method: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """The method, with its fault before it."""

        def call(request: Any, context: Any) -> Any:
            self.kept.asked.append(name)
            self.fault(name, context)
            return method(request, context)

        return call


class _Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, made: dict[str, Any]) -> None:
        self.made = made

    def service(self, details: Any) -> Any:
        return self.made.get(details.method)


@contextmanager
def http_cache(context: ssl.SSLContext | None = None, *, zstd: bool = False, token: str = "") -> Iterator[Cache]:
    """An HTTP cache that runs."""
    server = Cache(context, zstd=zstd, token=token)
    with serving(server):
        yield server


@contextmanager
def reapi(credentials: Any = None, *, zstd: bool = False, batch: int = 0, inlines: bool = True) -> Iterator[Api]:
    """A REAPI server that runs."""
    with serve(Api(zstd=zstd, batch=batch, inlines=inlines), credentials) as api:
        yield api


@contextmanager
def serve(api: AnyApi, credentials: Any = None) -> Iterator[AnyApi]:
    """The same for an Api that is made."""
    server = grpc.server(ThreadPoolExecutor(16), handlers=(api.handler(),))
    port = server.add_secure_port("127.0.0.1:0", credentials) if credentials else server.add_insecure_port("127.0.0.1:0")
    server.start()
    api.url = f"{'grpcs' if credentials else 'grpc'}://127.0.0.1:{port}/an/instance"
    try:
        yield api
    finally:
        server.stop(None).wait()
