"""dist/: the files of realised distributions, copied out of the store, each whole or not at all."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from graph.build import Build
from graph.digest import Digest
from graph.errors import MissingBlob
from graph.store import StoreProtocol


class Delivery:
    """The folder, and in it .delivered.json: what was put there, by file: sha256, size and mtime in ns."""

    def __init__(self, dist: Path, build: Build, store: StoreProtocol) -> None:
        self._dist = dist
        self._build = build
        self._store = store

    def archives(self, name: str) -> tuple[Path, ...]:
        """Where the files of a realised dist node lie once delivered."""
        return tuple(self._dist / file for file, _, _ in self._outputs(name))

    def is_delivered(self, name: str) -> bool:
        """Whether the files of a realised dist node are there, as they were put there."""
        record = self._delivered()
        return all(record.get(file) == [digest.hash, *_stamp(self._dist / file)] for file, digest, _ in self._outputs(name))

    def deliver(self, name: str) -> tuple[Path, ...]:
        """Copy the files of a realised dist node that are not there; the paths of what was copied."""
        self._dist.mkdir(exist_ok=True)
        with (self._dist / ".lock").open("w") as lock:
            # another doit may deliver the same files
            fcntl.flock(lock, fcntl.LOCK_EX)
            return self._build.mending(lambda: self._deliver(name))

    def _deliver(self, name: str) -> tuple[Path, ...]:
        with self._build.forgetting(name):
            if self.is_delivered(name):
                return ()
            delivered = {file: self._deliver_file(file, digest, executable) for file, digest, executable in self._outputs(name)}
        note = self._dist / ".delivered.json.part"
        note.write_text(json.dumps({**self._delivered(), **delivered}, indent=1, sort_keys=True))
        note.replace(self._dist / ".delivered.json")
        return tuple(self._dist / file for file in delivered)

    def _deliver_file(self, file: str, digest: Digest, executable: bool) -> list[object]:
        blob = self._store.blob_path(digest, executable)
        if blob is None:
            raise MissingBlob(f"blob {digest} is missing", place=file)
        part = self._dist / f".{file}.part"
        shutil.copyfile(blob, part)
        part.replace(self._dist / file)
        return [digest.hash, *_stamp(self._dist / file)]

    def _outputs(self, name: str) -> Iterator[tuple[str, Digest, bool]]:
        yield from self._store.directory(self._build.result(name).tree).files

    def _delivered(self) -> dict[str, list[object]]:
        try:
            return dict(json.loads((self._dist / ".delivered.json").read_text()))
        except (OSError, ValueError):
            return {}


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (-1, -1)
    return (status.st_size, status.st_mtime_ns)
