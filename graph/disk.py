"""The few disk operations that the effects share: OSErrors told to the user, files hashed and copied, folders deleted."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from graph.digest import Digest
from graph.errors import os_error

_CHUNK = 1 << 20


def free_bytes(path: Path) -> int:
    """Bytes free on the file system of a path that may be yet to be made."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


@contextmanager
def guarded(place: Path) -> Iterator[None]:
    """Turn an OSError into DiskFull or StoreError."""
    try:
        yield
    except OSError as error:
        raise os_error(error, place) from error


def hash_file(path: Path) -> Digest:
    """sha256 and size of a file's bytes. Raises OSError."""
    state, size = hashlib.sha256(), 0
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
            size += len(chunk)
    return Digest(state.hexdigest(), size)


def copy_file(source: Path, target: Path) -> None:
    """A copy of the bytes; on a file system that can, a reflink (copy_file_range makes one). Raises OSError."""
    with source.open("rb") as old, target.open("xb") as new:
        done = _copy_range(old.fileno(), new.fileno())
        # what the kernel did not copy; at a full disk it stops without an error, which this write then raises
        old.seek(done)
        new.seek(done)
        shutil.copyfileobj(old, new, _CHUNK)


def _copy_range(old: int, new: int) -> int:
    """Bytes copied inside the kernel: none where it cannot (macOS has no such call, some file systems refuse it)."""
    done = 0
    with suppress(AttributeError, OSError):
        while copied := os.copy_file_range(old, new, 1 << 30):
            done += copied
    return done


def remove_tree(path: Path) -> None:
    """Delete a folder, with the folders in it that may not be read or written; one that is not there is fine. Raises OSError."""
    with suppress(FileNotFoundError):
        try:
            shutil.rmtree(path)
        except PermissionError:
            path.chmod(0o700)
            for folder, names, _ in os.walk(path):
                for below in (Path(folder, name) for name in names):
                    # before the walk gets there, as it may be no readable folder
                    if not below.is_symlink():
                        below.chmod(0o700)
            shutil.rmtree(path)
