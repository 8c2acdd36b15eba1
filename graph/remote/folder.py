"""A folder as a remote store: ac/<sha256> and cas/<sha256>, the layout of an HTTP cache, so that any web server can serve it as it is."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from graph.digest import Digest
from graph.published import MAX_RESULT
from graph.remote.base import CHUNK, Blob, Fault, Moved, Receive, opened


class FolderRemote:
    """`file:///PATH`: a disk that machines share, or the data folder of a web server."""

    query = 1000
    batch = (8 << 20, 200)

    def __init__(self, root: Path, moved: Moved) -> None:
        self.root = root
        self._moved = moved

    def get_result(self, action: Digest) -> bytes | None:
        """See Remote."""
        with faults():
            self._here()
            try:
                with (self.root / "ac" / action.hash).open("rb") as file:
                    value = file.read(MAX_RESULT + 1)
            except FileNotFoundError:
                return None
        self._moved(received=len(value))
        return value

    def put_result(self, action: Digest, value: bytes) -> None:
        """See Remote."""
        with faults():
            self._install("ac", action.hash, lambda part: part.write_bytes(value))
        self._moved(sent=len(value))

    def missing(self, digests: Collection[Digest]) -> set[Digest]:
        """See Remote."""
        return {digest for digest in digests if not self._has(digest)}

    def read(self, digests: Sequence[Digest], receive: Receive) -> None:
        """See Remote."""
        with faults():
            for digest in filter(self._has, digests):
                with (self.root / "cas" / digest.hash).open("rb") as file, receive(digest) as feed:
                    while chunk := file.read(CHUNK):
                        feed(chunk)
                        self._moved(received=len(chunk))

    def write(self, blobs: Sequence[Blob]) -> None:
        """See Remote."""
        with faults():
            for digest, source in blobs:
                self._install("cas", digest.hash, lambda part, source=source: _copy(source, part))  # type: ignore[misc]
                self._moved(sent=digest.size)

    def close(self) -> None:
        """See Remote."""

    def _has(self, digest: Digest) -> bool:
        try:
            return (self.root / "cas" / digest.hash).stat().st_size == digest.size
        except OSError:
            return False

    def _here(self) -> None:
        if not self.root.is_dir():
            raise Fault("closed", "no such folder")

    def _install(self, kind: str, name: str, make: Callable[[Path], object]) -> None:
        part = self.root / kind / f".{name[:16]}.{secrets.token_hex(6)}.part"
        try:
            try:
                make(part)
            except FileNotFoundError:
                part.parent.mkdir(parents=True, exist_ok=True)
                make(part)
            part.chmod(0o444)
            part.rename(self.root / kind / name)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


@contextmanager
def faults() -> Iterator[None]:
    """Turns what the disk does not do into a Fault."""
    try:
        yield
    except OSError as error:
        kind = "closed" if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT) else "transient"
        raise Fault(kind, os.strerror(error.errno) if error.errno else str(error)) from None


def _copy(source: Path | bytes, part: Path) -> None:
    with opened(source) as old, part.open("xb") as new:
        shutil.copyfileobj(old, new, CHUNK)
