"""What the bodies of a remote store share: their protocol, their faults, and the watch that ends what is too slow."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Protocol, cast

from graph.digest import Digest

CHUNK = 1 << 18
"""Bytes that are moved at once."""
UNSEEN_RATE = 64 << 10
"""Bytes a second, at least, of what moves unseen."""
MAX_ZSTD_WINDOW = 1 << 27
"""Bytes of memory that a zstd frame from outside may ask for."""

Feed = Callable[[bytes], None]
"""Takes the next bytes of a blob. Raises Fault as soon as they are too many."""
Receive = Callable[[Digest], AbstractContextManager[Feed]]
"""Opens a blob that comes in; at the end of the block its bytes are checked and kept. Raises Fault when they are wrong."""
Blob = tuple[Digest, Path | bytes]
"""A blob to send: its bytes, or the file that has them."""


class Fault(Exception):
    """What a remote store did not do, and `kind`: closed (it will not in this run), transient (it may when asked again), wrong (bytes)."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(why)
        self.kind = kind
        self.why = why


class Remote(Protocol):
    """A remote store. Every method may be called from many threads, and raises Fault."""

    query: int
    """Digests in one call of missing() at most."""

    @property
    def batch(self) -> tuple[int, int]:
        """Bytes and blobs in one call of read() or write() at most; a larger blob goes alone."""

    def get_result(self, action: Digest) -> bytes | None:
        """The ActionResult under a key, of at most MAX_RESULT bytes; None if there is none."""

    def put_result(self, action: Digest, value: bytes) -> None:
        """Set it. The blobs it names were written before."""

    def missing(self, digests: Collection[Digest]) -> set[Digest]:
        """Those that it does not have."""

    def read(self, digests: Sequence[Digest], receive: Receive) -> None:
        """Receive those that it has."""

    def write(self, blobs: Sequence[Blob]) -> None:
        """Keep blobs."""

    def close(self) -> None:
        """Let go of connections."""


class Moved(Protocol):
    """Told how many bytes came from a remote store or went there."""

    def __call__(self, received: int = 0, sent: int = 0) -> None: ...


def grouped(digests: Iterable[Digest], batch: tuple[int, int]) -> Iterator[list[Digest]]:
    """Digests in lists of at most so many bytes and blobs; a larger blob alone."""
    group: list[Digest] = []
    size = 0
    for digest in digests:
        if group and (size + digest.size > batch[0] or len(group) >= batch[1]):
            yield group
            group, size = [], 0
        group.append(digest)
        size += digest.size
    if group:
        yield group


def opened(source: Path | bytes) -> IO[bytes]:
    """The bytes of a blob to send, as a file."""
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


class Transfer:
    """One request under watch."""

    def __init__(self, kill: Callable[[], None]) -> None:
        self.kill = kill
        self.bytes = 0
        self.since = time.monotonic()
        self.killed = False

    def moved(self, count: int) -> None:
        """Bytes came or went."""
        self.bytes += count

    def expect(self, count: int) -> None:
        """So many bytes move unseen, as in one gRPC message: the first window begins when they should have."""
        self.since += count / UNSEEN_RATE


class Watch:
    """Ends requests that move fewer than `rate` bytes a second for `window` seconds: a time-out by progress, which no trickle defers.

    A time-out of the socket would not do: a server that sends one byte a second never meets it, least of all in its headers.
    """

    def __init__(self, window: float = 20.0, rate: int = 4096) -> None:
        self.window = window
        self.rate = rate
        self._mutex = threading.Lock()
        self._running: set[Transfer] = set()
        self._thread: threading.Thread | None = None

    @contextmanager
    def over(self, kill: Callable[[], None]) -> Iterator[Transfer]:
        """Watch one request; `kill` makes its blocking call end. Raises Fault if it came to that."""
        transfer = Transfer(kill)
        with self._mutex:
            self._running.add(transfer)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="remote-watch", daemon=True)
                self._thread.start()
        try:
            yield transfer
        except Exception:
            if transfer.killed:
                raise self._too_slow() from None
            raise
        finally:
            with self._mutex:
                self._running.discard(transfer)
        if transfer.killed:
            raise self._too_slow()

    def stop(self) -> None:
        """End every request that runs."""
        with self._mutex:
            running = list(self._running)
        for transfer in running:
            transfer.kill()

    def _too_slow(self) -> Fault:
        return Fault("closed", f"slower than {self.rate} bytes a second for {self.window:g} s")

    def _run(self) -> None:
        while True:
            time.sleep(self.window / 10)
            now = time.monotonic()
            with self._mutex:
                late = [one for one in self._running if now - one.since >= self.window]
            for transfer in late:
                if transfer.bytes < self.rate * self.window:
                    transfer.killed = True
                    transfer.kill()
                transfer.bytes, transfer.since = 0, now


class Trickle:
    """A file that tells how it is read: the body of a request."""

    def __init__(self, file: IO[bytes], told: Callable[[int], None]) -> None:
        self._file = file
        self._told = told

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data = self._file.read(size)
        self._told(len(data))
        return data


class Chunks:
    """The chunks of a stream as a file, for what unpacks it in pieces of bounded size."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = b""

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; none at the end."""
        while not self._left:
            try:
                self._left = next(self._chunks)
            except StopIteration:
                return b""
        data, self._left = (self._left, b"") if size < 0 else (self._left[:size], self._left[size:])
        return data


def unzstd(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The bytes of a zstd stream, in pieces of at most CHUNK whatever it holds. Raises Fault."""
    import zstandard

    try:
        source = cast(IO[bytes], Chunks(chunks))
        with zstandard.ZstdDecompressor(max_window_size=MAX_ZSTD_WINDOW).stream_reader(source, read_across_frames=True) as reader:
            while piece := reader.read(CHUNK):
                yield piece
    except zstandard.ZstdError as error:
        raise Fault("wrong", f"what came is no zstd: {error}") from None
