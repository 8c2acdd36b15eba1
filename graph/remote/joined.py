"""A shared store and a farm's as one: what the farm made lies there until it is pushed, or wanted here."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from graph.digest import Digest
from graph.remote.base import Blob, Fault, Feed, Receive, Remote


class JoinedRemote:
    """Reads what either has; results are looked up in, and all is written to, the store alone."""

    def __init__(self, store: Remote, farm: Remote) -> None:
        self._store = store
        self._farm = farm
        self.query = store.query
        self._farm_gone = False

    @property
    def batch(self) -> tuple[int, int]:
        """See Remote."""
        pairs = zip(self._store.batch, self._farm.batch, strict=True)
        size, count = (min(pair) for pair in pairs)
        return size, count

    def get_result(self, action: Digest) -> bytes | None:
        """See Remote."""
        return self._store.get_result(action)

    def put_result(self, action: Digest, value: bytes) -> None:
        """See Remote."""
        self._store.put_result(action, value)

    def missing(self, digests: Collection[Digest]) -> set[Digest]:
        """See Remote."""
        return self._store.missing(digests)

    def read(self, digests: Sequence[Digest], receive: Receive) -> None:
        """See Remote."""
        came: set[Digest] = set()

        @contextmanager
        def noted(digest: Digest) -> Iterator[Feed]:
            with receive(digest) as feed:
                yield feed
            came.add(digest)

        if not self._farm_gone:
            self._read_farm(digests, noted)
        left = [digest for digest in digests if digest not in came]
        if left:
            self._store.read(left, receive)

    def _read_farm(self, digests: Sequence[Digest], receive: Receive) -> None:
        """The farm's faults are none of the store's: what did not come is asked of that."""
        try:
            self._farm.read(digests, receive)
        except Fault as fault:
            self._farm_gone = fault.kind == "closed"

    def write(self, blobs: Sequence[Blob]) -> None:
        """See Remote."""
        self._store.write(blobs)

    def close(self) -> None:
        """See Remote."""
        self._store.close()
        self._farm.close()
