"""HTTP for fetch: one try at one address, resumable, with every outcome told as a value of `Failed.kind`."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from graph.ways import range_start, seconds_to_wait

if TYPE_CHECKING:
    import requests

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all). What it raises ends the download; the part that came is kept."""

CHUNK = 1 << 18
"""Bytes read at once."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: to connect, and between two reads."""

    connect: float = 10.0
    read: float = 60.0


@dataclass(frozen=True, slots=True)
class Place:
    """One address to try."""

    url: str
    cert: str = ""
    """Certificate bundle that pip is set up to trust for its index; empty: the usual one."""


class Failed(Exception):
    """One try came to nothing, `kind` tells how: absent (ends the way), transient (try again), wrong (other bytes), range (no resuming)."""

    def __init__(self, kind: str, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.kind = kind
        self.why = why
        self.wait = wait
        """Seconds that the server asks to wait (Retry-After)."""


class Sink(Protocol):
    """Where a body goes: a file that may hold its beginning already."""

    @property
    def size(self) -> int: ...

    def resume_headers(self) -> Mapping[str, str]: ...

    def begin(self, validator: str, *, keep: bool) -> None: ...

    def append(self, chunk: bytes) -> None: ...


class Web:
    """One session a thread; a host to which no connection came in time is not asked again in this run."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._local = threading.local()
        self._dead: set[str] = set()

    def read_into(self, sink: Sink, place: Place, size: int, progress: Progress) -> None:
        """Append the rest of the body to `sink`; the server may choose to start anew. Raises Failed, as soon as the size is not `size`."""
        with self._open("GET", place, sink.resume_headers()) as response:
            kept = response.status_code == 206
            if kept and range_start(response.headers.get("Content-Range", "")) != sink.size:
                raise Failed("range", "the server resumed somewhere else")
            sink.begin(response.headers.get("ETag") or response.headers.get("Last-Modified") or "", keep=kept)
            told = _length(response)
            if told is not None and sink.size + told != size:
                raise Failed("wrong", f"expected {size} bytes, got {sink.size + told}")
            for chunk in _chunks(response):
                sink.append(chunk)
                progress(min(sink.size, size), size)
                if sink.size > size:
                    raise Failed("wrong", f"expected {size} bytes, got more")
            if told is not None and sink.size < size:
                raise Failed("transient", f"broke off at {sink.size} of {size} bytes")

    def length(self, place: Place) -> int | None:
        """Bytes of what lies there; None when the server does not tell. Raises Failed."""
        with self._open("HEAD", place, {}) as response:
            return _length(response)

    def measure(self, place: Place, keep: Callable[[bytes], object] = len) -> tuple[int, str]:
        """Bytes and sha256 of what lies there, all of it read and handed to `keep`. Raises Failed."""
        size, sha = 0, hashlib.sha256()
        with self._open("GET", place, {}) as response:
            for chunk in _chunks(response):
                size += len(chunk)
                sha.update(chunk)
                keep(chunk)
            told = _length(response)
        if told is not None and told != size:
            raise Failed("transient", f"broke off at {size} of {told} bytes")
        return size, sha.hexdigest()

    def page(self, place: Place, accept: str) -> tuple[str, str, str]:
        """Text, content type and final address of a page. Raises Failed."""
        with self._open("GET", place, {"Accept": accept}) as response:
            return response.text, response.headers.get("Content-Type", ""), response.url

    @contextmanager
    def _open(self, method: str, place: Place, headers: Mapping[str, str]) -> Iterator[requests.Response]:
        """A response of status 200 or 206. Raises Failed for every other, and for whatever the network does until the block ends."""
        # requests is imported late: it costs 0.1 s, and most runs fetch nothing
        import requests
        from urllib3.exceptions import HTTPError

        host = urlsplit(place.url).netloc
        if host in self._dead:
            raise Failed("absent", "its host did not answer in time before")
        sent = {"Accept-Encoding": "identity", **headers}
        wait = (self._timeouts.connect, self._timeouts.read)
        try:
            with self._session().request(
                method, place.url, headers=sent, stream=True, timeout=wait, verify=place.cert or None, allow_redirects=True
            ) as response:
                _check_status(response)
                yield response
        except requests.exceptions.ConnectTimeout:
            self._dead.add(host)
            raise Failed("absent", "no connection in time") from None
        except (requests.RequestException, HTTPError) as error:
            raise _network_failure(error) from None

    def _session(self) -> requests.Session:
        import requests

        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
        session: requests.Session = self._local.session
        return session


def _check_status(response: requests.Response) -> None:
    status = response.status_code
    if status in (200, 206):
        return
    if status == 416:
        raise Failed("range", "HTTP 416")
    if status == 429 or status >= 500:
        raise Failed("transient", f"HTTP {status}", seconds_to_wait(response.headers.get("Retry-After", ""), time.time()))
    raise Failed("absent", f"HTTP {status}")


def _network_failure(error: Exception) -> Failed:
    import requests
    from urllib3.exceptions import ProtocolError, ReadTimeoutError

    text = str(error)
    if isinstance(error, (requests.Timeout, ReadTimeoutError)) or "Read timed out" in text:
        return Failed("absent", "timed out")
    if "NameResolutionError" in text or "Failed to resolve" in text:
        return Failed("transient", "no such host")
    why = f"{type(error).__name__}: {text[:160]}"
    broken = isinstance(error, (requests.ConnectionError, requests.exceptions.ChunkedEncodingError, ProtocolError))
    return Failed("transient" if broken and not isinstance(error, requests.exceptions.SSLError) else "absent", why)


def _length(response: requests.Response) -> int | None:
    told = response.headers.get("Content-Length", "")
    return int(told) if told.isdecimal() else None


def _chunks(response: requests.Response) -> Iterator[bytes]:
    """The body as it lies there: a server's `Content-Encoding: gzip` must not unpack a .tar.gz."""
    stream: Iterable[bytes] = response.raw.stream(CHUNK, decode_content=False)
    yield from stream
