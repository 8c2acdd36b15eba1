"""An HTTP cache as a remote store: GET, HEAD and PUT on /ac/<sha256> and /cas/<sha256>, as bazel-remote and nginx's DAV serve them.

By http.client, not requests: most of the requests are small, ten thousand in a build, and a watch must be able to end one in its headers.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from graph.digest import Digest
from graph.published import MAX_RESULT
from graph.remote.base import CHUNK, Blob, Fault, Moved, Receive, Transfer, Trickle, Watch, opened, unzstd
from graph.remote.settings import Settings

DENIED = {401: "the token is not accepted, or has expired", 403: "access is denied", 407: "the proxy wants a password"}
DRAINED = 1 << 16
"""Bytes of an error's body that are read to keep the connection."""


class WebRemote:
    """`http(s)://HOST[:PORT][/PATH]`. A connection a thread; the environment's proxies."""

    query = 64
    batch = (1 << 20, 16)

    def __init__(self, settings: Settings, moved: Moved, watch: Watch) -> None:
        address = urlsplit(settings.url)
        self._tls = settings.tls() if address.scheme == "https" else None
        self._host, self._port = address.hostname or "", address.port or (443 if self._tls else 80)
        self._path = address.path.rstrip("/")
        self._headers = {"User-Agent": "freestanding", **({"Authorization": f"Bearer {settings.token}"} if settings.token else {})}
        self._proxy = _proxy(address.scheme, self._host)
        # of plain HTTP a proxy wants to hear the whole address
        self._before = f"http://{address.netloc}" if self._proxy and not self._tls else ""
        self._moved = moved
        self._watch = watch
        self._local = threading.local()

    def get_result(self, action: Digest) -> bytes | None:
        """See Remote."""
        with self._ask("GET", f"/ac/{action.hash}") as (response, transfer):
            return None if response is None else b"".join(self._limited(response, transfer, MAX_RESULT))

    def put_result(self, action: Digest, value: bytes) -> None:
        """See Remote."""
        self._put(f"/ac/{action.hash}", value, len(value))

    def missing(self, digests: Collection[Digest]) -> set[Digest]:
        """See Remote."""
        return {digest for digest in digests if not self._has(digest)}

    def read(self, digests: Sequence[Digest], receive: Receive) -> None:
        """See Remote."""
        for digest in digests:
            with self._ask("GET", f"/cas/{digest.hash}", {"Accept-Encoding": "zstd"}) as (response, transfer):
                if response is None:
                    continue
                packed = response.getheader("Content-Encoding", "")
                chunks = self._chunks(response, transfer)
                with receive(digest) as feed:
                    for chunk in unzstd(chunks) if packed == "zstd" else chunks:
                        feed(chunk)

    def write(self, blobs: Sequence[Blob]) -> None:
        """See Remote."""
        for digest, source in blobs:
            self._put(f"/cas/{digest.hash}", source, digest.size)

    def close(self) -> None:
        """See Remote. Requests of other threads are ended, and their connections end with them."""
        self._watch.stop()
        self._mine().drop()

    def _has(self, digest: Digest) -> bool:
        with self._ask("HEAD", f"/cas/{digest.hash}") as (response, _):
            return response is not None

    def _put(self, path: str, source: Path | bytes, size: int) -> None:
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        with self._ask("PUT", path, headers, source) as (response, _):
            if response is None:
                raise Fault("closed", "HTTP 404 where a blob was to be put")

    def _limited(self, response: http.client.HTTPResponse, transfer: Transfer, limit: int) -> Iterator[bytes]:
        for chunk in self._chunks(response, transfer):
            limit -= len(chunk)
            if limit < 0:
                raise Fault("wrong", "a result of more than 4 MiB")
            yield chunk

    def _chunks(self, response: http.client.HTTPResponse, transfer: Transfer) -> Iterator[bytes]:
        # read1, as read would wait for a whole chunk and hide a trickle from the watch
        while chunk := response.read1(CHUNK):
            transfer.moved(len(chunk))
            self._moved(received=len(chunk))
            yield chunk
        if response.length:
            raise Fault("transient", f"broke off with {response.length} bytes to come")

    @contextmanager
    def _ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: Path | bytes | None = None
    ) -> Iterator[tuple[http.client.HTTPResponse | None, Transfer]]:
        """A response of status 2xx, or None for 404. Raises Fault for any other, and for whatever the network does until the block ends."""
        with _faults(), self._watch.over(self._mine().kill) as transfer:
            whole = False
            try:
                response = self._answer(method, self._before + self._path + path, {**self._headers, **(headers or {})}, body, transfer)
                found = _checked(response)
                yield (response if found else None), transfer
                whole = _ended(response)
            finally:
                # what is left of a body would be read as the next response
                if not whole:
                    self._mine().drop()

    def _answer(
        self, method: str, path: str, headers: Mapping[str, str], body: Path | bytes | None, transfer: Transfer
    ) -> http.client.HTTPResponse:
        """The response, asked for once more on a new connection if a kept one turns out to have ended."""
        kept = self._mine().connection is not None
        try:
            return self._once(method, path, headers, body, transfer)
        except (http.client.RemoteDisconnected, ConnectionError, ssl.SSLEOFError):
            self._mine().drop()
            if not kept or transfer.killed:
                raise
        return self._once(method, path, headers, body, transfer)

    def _once(
        self, method: str, path: str, headers: Mapping[str, str], body: Path | bytes | None, transfer: Transfer
    ) -> http.client.HTTPResponse:
        connection = self._connection()

        def told(count: int) -> None:
            transfer.moved(count)
            self._moved(sent=count)

        if body is None:
            connection.request(method, path, headers=dict(headers))
        else:
            with opened(body) as file:
                try:
                    connection.request(method, path, Trickle(file, told), dict(headers))
                except (BrokenPipeError, ConnectionResetError):
                    # a server that refuses a body need not read it: it may have said why, and takes no further request
                    self._mine().connection = None
                    return _early(connection)
        return connection.getresponse()

    def _connection(self) -> http.client.HTTPConnection:
        mine = self._mine()
        if mine.connection is None:
            mine.connection = self._connect()
        return mine.connection

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._proxy or (self._host, self._port)
        wait = self._watch.window
        made = (
            http.client.HTTPSConnection(host, port, timeout=wait, context=self._tls, blocksize=CHUNK)
            if self._tls
            else http.client.HTTPConnection(host, port, timeout=wait, blocksize=CHUNK)
        )
        if self._proxy and self._tls:
            made.set_tunnel(self._host, self._port)
        try:
            made.connect()
        except ssl.SSLError as error:
            raise Fault("closed", f"no TLS: {getattr(error, 'verify_message', '') or error.reason or error}") from None
        except OSError as error:
            raise Fault("closed", f"no connection: {error.strerror or error}") from None
        return made

    def _mine(self) -> _Kept:
        if not hasattr(self._local, "kept"):
            self._local.kept = _Kept()
        mine: _Kept = self._local.kept
        return mine


class _Kept:
    """The connection of one thread; kill() is for another."""

    connection: http.client.HTTPConnection | None = None

    def kill(self) -> None:
        """Make the call that waits in it end."""
        connection = self.connection
        with suppress(OSError):
            if connection is not None and connection.sock is not None:
                connection.sock.shutdown(socket.SHUT_RDWR)

    def drop(self) -> None:
        """Close it; the next request makes another."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def _ended(response: http.client.HTTPResponse) -> bool:
    """Whether all of it was read, the short body of an error included: only then can the connection be used again."""
    if not response.isclosed() and (response.length or 0) <= DRAINED:
        response.read(DRAINED)
    return response.isclosed()


def _early(connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
    """What a server said before it stopped reading. Raises ConnectionError if it said nothing."""
    # request() did not come to its end; the response is there all the same
    response = connection.response_class(connection.sock, method="PUT")
    response.begin()
    return response


def _checked(response: http.client.HTTPResponse) -> bool:
    """True for 2xx, False for 404. Raises Fault."""
    status = response.status
    if 200 <= status < 300:
        return True
    if status in (404, 410):
        return False
    if status in DENIED:
        raise Fault("closed", f"{DENIED[status]} (HTTP {status})")
    if status == 507:
        raise Fault("closed", "its disk is full (HTTP 507)")
    raise Fault("transient" if status == 429 or status >= 500 else "closed", f"HTTP {status}")


def _proxy(scheme: str, host: str) -> tuple[str, int] | None:
    """Host and port of the environment's proxy for this host."""
    named = getproxies().get(scheme, "")
    if not named or proxy_bypass(host):
        return None
    found = urlsplit(named if "//" in named else f"//{named}")
    return (found.hostname, found.port or 80) if found.hostname else None


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise Fault("closed", "no answer in time") from None
    except ssl.SSLError as error:
        # with TLS 1.3 a server refuses our certificate only after the handshake
        raise Fault("closed", f"no TLS: {error.reason or error}") from None
    except (http.client.HTTPException, OSError, ValueError) as error:
        raise Fault("transient", f"{type(error).__name__}: {str(error)[:100]}") from None
