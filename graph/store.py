"""The local store: trees and results on disk, each kept only when it is whole.

Layout under the root: cas/ and tmp/ (graph/cas.py); ac/ab/<key>.json results; last/<node> the key a node had last, and its deep key;
trees/<hash> read-only checkouts (hard links to blobs) and filtered/ab/<hash>.json, both memos that can be made again; locks/, logs/,
runs/, downloads/; local/, folders that --source, SDKROOT and --vcruntime named, packed (graph/local.py).
Every method may be called from many threads and processes.
"""

from __future__ import annotations

import errno
import json
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from graph import upkeep
from graph.cas import Cas, flocked, missing, owner_executable
from graph.digest import FIXED_MTIME, Digest, Directory, canonical
from graph.disk import copy_file, guarded
from graph.errors import StepFailed, StoreError
from graph.globs import Selection
from graph.result import ActionResult
from graph.trees import FILTER_SCHEMA, Entry, Filtered, escapes, filter_tree, flatten
from graph.upkeep import DAY, Cleaned, Size

__all__ = ["ActionResult", "Cleaned", "Filtered", "Size", "Store", "StoreProtocol", "Turn"]


@dataclass(frozen=True, slots=True)
class Turn:
    """What there is to do for a key: take the result that was `found`, make it if it is `ours` to make, else wait for another machine."""

    ours: bool = True
    found: ActionResult | None = None


class StoreProtocol(Protocol):
    """What build.py needs of a store."""

    @property
    def logs(self) -> Path: ...
    def put_file(self, path: Path, executable: bool, *, move: bool = False) -> Digest: ...
    def put_tree(self, root: Path, *, move: bool = False) -> Digest: ...
    def blob_path(self, digest: Digest, executable: bool = False) -> Path | None: ...
    def directory(self, digest: Digest) -> Directory: ...
    def tree(self, digest: Digest) -> Iterator[Entry]: ...
    def filter(self, digest: Digest, subdir: str, only: tuple[str, ...], without: tuple[str, ...]) -> Filtered: ...
    def checkout(self, digest: Digest) -> Path: ...
    def copy_tree(self, digest: Digest, dest: Path) -> None: ...
    def result(self, key: str, size: int = 0) -> ActionResult | None: ...
    def is_young(self, key: str) -> bool: ...
    @property
    def trust(self) -> str:
        """Whose results, besides this machine's own, are used: what was made of some is known only where the same are."""
        ...

    def publish(self, result: ActionResult) -> None: ...
    def forget(self, key: str) -> None: ...
    def last(self, node: str, deep: str = "") -> str | None: ...
    def remember(self, node: str, key: str, deep: str = "") -> None: ...
    def lock(self, key: str, on_wait: Callable[[], None] | None = None) -> AbstractContextManager[None]: ...
    def turn(self, node: str, key: str, size: int) -> AbstractContextManager[Turn]: ...
    def wait(self, key: str, cancel: threading.Event) -> None: ...
    def workdir(self) -> AbstractContextManager[Path]: ...


class Store:
    """A store in a folder of the local disk. The folder is made by the first write; `on_wait` is told why a call is waiting."""

    def __init__(self, root: Path, on_wait: Callable[[str], None] | None = None) -> None:
        self.root = root.absolute()
        self.cas = Cas(self.root, on_wait)
        self._close = weakref.finalize(self, Cas.close, self.cas)

    def close(self) -> None:
        """Let others clean the store, and drop this process's temporary files. Also done at exit."""
        self.cas.close()

    @property
    def logs(self) -> Path:
        """Folder for the logs of running and failed nodes."""
        return self._folder("logs")

    @property
    def runs(self) -> Path:
        """Folder for one record per run."""
        return self._folder("runs")

    @property
    def downloads(self) -> Path:
        """Folder where downloads are resumed."""
        return self._folder("downloads")

    def size(self) -> Size:
        """What the store holds. Raises StoreError."""
        return upkeep.size(self.cas)

    def gc(self, keep_days: float, max_size: int | None = None) -> Cleaned:
        """Drop results not used for `keep_days`, then the oldest until blobs have at most `max_size` bytes, and what only they needed.

        Packed local sources not used for as long go, too.

        Raises StoreError if another process uses the store.
        """
        return upkeep.gc(self.cas, keep_days, max_size)

    def verify(self) -> list[str]:
        """One line for each thing that is wrong; wrong blobs and results are set aside.

        Raises StoreError if another process uses the store.
        """
        return upkeep.verify(self.cas)

    # blobs

    def put_file(self, path: Path, executable: bool, *, move: bool = False) -> Digest:
        """Keep a file's bytes; `move` allows taking the file itself away. Raises DiskFull, StoreError."""
        return self.cas.put_file(path, executable, move=move)

    def blob_path(self, digest: Digest, executable: bool = False) -> Path | None:
        """The read-only file of a blob, of full length but not hashed again; None if the store does not hold it."""
        return self.cas.path(digest, executable)

    # trees

    def put_tree(self, root: Path, *, move: bool = False) -> Digest:
        """Keep a folder: bytes, the owner's executable bit and symlinks; no times, owners, or hard links.

        Raises StepFailed on what a tree cannot hold (sockets, devices, names that are not UTF-8, links that lead outside).
        """
        with guarded(root), ThreadPoolExecutor(2) as pool:
            return _Put(self.cas, root, move, pool).folder(root)

    def directory(self, digest: Digest) -> Directory:
        """One folder of a tree. Raises StoreError."""
        return self.cas.directory(digest)

    def tree(self, digest: Digest) -> Iterator[Entry]:
        """Every entry of a tree, folders before what they hold. Raises StoreError."""
        return flatten(self.cas.directory, digest)

    def filter(self, digest: Digest, subdir: str, only: tuple[str, ...], without: tuple[str, ...]) -> Filtered:
        """The part of a tree that an Input names, and the patterns of `only` that matched nothing.

        Raises PlanError on a malformed glob, and on a symlink that leads out of `subdir`.
        """
        if not (subdir or only or without):
            return Filtered(digest)
        asked = [
            ("schema", FILTER_SCHEMA),
            ("tree", str(digest)),
            ("subdir", subdir),
            *(("only", g) for g in only),
            *(("without", g) for g in without),
        ]
        name = Digest.of(canonical(tuple(asked))).hash
        memo = self.root / "filtered" / name[:2] / f"{name}.json"
        found = self._read_memo(memo)
        if found is None:
            found = filter_tree(self.cas.directory, self.cas.put_directory, digest, subdir, Selection.parse(only, without))
            text = json.dumps({"source": str(digest), "tree": str(found.tree), "unmatched": found.unmatched})
            self._write(memo, text.encode())
        return found

    def _read_memo(self, memo: Path) -> Filtered | None:
        try:
            found = json.loads(memo.read_bytes())
            result = Filtered(Digest.parse(found["tree"]), tuple(found["unmatched"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return result if self.cas.has(result.tree) else None

    def checkout(self, digest: Digest) -> Path:
        """The tree as a read-only folder of hard links to blobs, kept for the next caller. Raises DiskFull, StoreError."""
        target = self.checkout_path(digest)
        if target.is_dir():
            return target
        with guarded(self.root), self.cas.temporary() as copy:
            self._materialise(digest, copy, _link, read_only=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            _rename_folder(copy, target)
        return target

    def checkout_path(self, digest: Digest) -> Path:
        """Where checkout() keeps it, if it does."""
        return self.root / "trees" / digest.hash

    def copy_tree(self, digest: Digest, dest: Path) -> None:
        """A writable copy that shares no inode with the store, at a path that is absent or an empty folder. Raises DiskFull, StoreError."""
        with guarded(dest):
            self._materialise(digest, dest, _copy, read_only=False)

    def _materialise(self, digest: Digest, dest: Path, place: Callable[[Path, Path, bool], None], *, read_only: bool) -> None:
        folders = [dest]
        dest.mkdir(parents=True, exist_ok=True)
        for entry in self.tree(digest):
            path = dest / entry.path
            if entry.digest is None:
                path.symlink_to(entry.target)
                os.utime(path, (FIXED_MTIME, FIXED_MTIME), follow_symlinks=False)
            elif entry.kind == "directory":
                path.mkdir()
                folders.append(path)
            else:
                blob = self.cas.path(entry.digest, entry.executable)
                if blob is None:
                    raise missing(entry.digest, self.root)
                place(blob, path, entry.executable)
        for folder in reversed(folders):
            os.utime(folder, (FIXED_MTIME, FIXED_MTIME))
            # said in full, as mkdir leaves it to the caller's umask
            folder.chmod(0o555 if read_only else 0o755)

    # results

    def result(self, key: str, size: int = 0) -> ActionResult | None:
        """What is kept for this key, if its tree's root is there; anything unreadable is a miss. Using it makes it young for gc.

        `size`, the bytes of the manifest that the key hashes, is for a shared store; with 0 it asks no other machine.
        """
        path = self._result_path(key)
        # before it is read, so that no gc takes its tree away afterwards; a store that cannot be written still gives results
        with suppress(OSError):
            if self.root.is_dir():
                self.cas.in_use()
        try:
            found = ActionResult.decode(path.read_bytes())
        except (OSError, ValueError):
            return None
        if found.key != key or not self.cas.has(found.tree):
            return None
        self._make_young(path)
        return found

    @property
    def trust(self) -> str:
        """See StoreProtocol: no result but this machine's own is used."""
        return ""

    def is_young(self, key: str) -> bool:
        """Whether the result of this key was used within a day."""
        return young(self._result_path(key))

    def _make_young(self, path: Path) -> None:
        """Note that this result is used, for gc."""
        if not young(path):
            with suppress(OSError):
                os.utime(path)

    def publish(self, result: ActionResult) -> None:
        """Keep a result, after its tree. Raises StoreError if the tree's root is not kept."""
        if not self.cas.has(result.tree):
            raise missing(result.tree, self.root)
        self._write(self._result_path(result.key), result.encode())
        self.remember(result.node, result.key)

    def forget(self, key: str) -> None:
        """Make this key a miss, as after its tree turned out to be incomplete."""
        with guarded(self.root):
            self._result_path(key).unlink(missing_ok=True)

    def last(self, node: str, deep: str = "") -> str | None:
        """The key that the node of this name had when it was last made or used; with `deep`, only if that was its deep key (plan.py)."""
        try:
            key, _, then = self._last_path(node).read_text().partition(" ")
        except OSError:
            return None
        return key if then == deep or not deep else None

    def remember(self, node: str, key: str, deep: str = "") -> None:
        """Set what last() says; a store that cannot be written is left alone."""
        if self.last(node, deep) != key:
            with suppress(StoreError, OSError):
                # ext4 writes a file to the disk when it is renamed over another: some thousand times, that takes a minute
                self._last_path(node).unlink(missing_ok=True)
                self._write(self._last_path(node), f"{key} {deep}".rstrip().encode())

    # locks and work in progress

    @contextmanager
    def lock(self, key: str, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
        """One process at a time makes one key; `on_wait` is called once if another one is at it."""
        with guarded(self.root):
            self.cas.in_use()
            held = flocked(self.root / "locks" / key, on_wait=on_wait)
            held.__enter__()
        try:
            yield
        finally:
            held.__exit__(None, None, None)

    @contextmanager
    def turn(self, node: str, key: str, size: int) -> Iterator[Turn]:
        """Whose turn it is to make a key that result() does not have; publish() comes before the end of the block. Its lock is held."""
        yield Turn()

    def wait(self, key: str, cancel: threading.Event) -> None:
        """After a turn that was another machine's: until that has ended, or `cancel` is set."""

    @contextmanager
    def workdir(self) -> Iterator[Path]:
        """A fresh folder on the store's file system, deleted at the end; if this process is killed, by a later sweep()."""
        with guarded(self.root):
            folder, fd = self.cas.claim()
        try:
            yield folder
        finally:
            self.cas.release(folder, fd)

    def sweep(self) -> int:
        """Delete the work of dead processes; returns how many folders went. Never touches a live one's."""
        with guarded(self.root):
            return self.cas.sweep()

    def _folder(self, name: str) -> Path:
        with guarded(self.root):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        return self.root / name

    def _result_path(self, key: str) -> Path:
        return self.root / "ac" / key[:2] / f"{key}.json"

    def foreign_path(self, key: str) -> Path:
        """Where a result of another machine is kept, as it came."""
        return self.root / "remote" / key[:2] / key

    def _last_path(self, node: str) -> Path:
        return self.root / "last" / f"{quote(node, safe=':+@')}.key"

    def _write(self, path: Path, data: bytes) -> None:
        with guarded(self.root), self.cas.temporary() as copy:
            copy.write_bytes(data)
            path.parent.mkdir(parents=True, exist_ok=True)
            copy.rename(path)


def young(path: Path) -> bool:
    """Whether a file was used, which its mtime tells, within a day."""
    with suppress(OSError):
        return time.time() - path.stat().st_mtime <= DAY
    return False


def _link(blob: Path, path: Path, executable: bool) -> None:
    try:
        path.hardlink_to(blob)
    except OSError as error:
        # an inode has a largest number of links (65,000 on ext4); and whoever keeps the same bytes at this moment replaces
        # the file: a name is never without one, but the old one, once unlinked, takes no further name (vfs_link: ENOENT)
        if error.errno not in (errno.EMLINK, errno.ENOENT):
            raise
        copy_file(blob, path)
        _finish(path, 0o555 if executable else 0o444)


def _copy(blob: Path, path: Path, executable: bool) -> None:
    copy_file(blob, path)
    _finish(path, 0o755 if executable else 0o644)


def _finish(path: Path, mode: int) -> None:
    path.chmod(mode)
    os.utime(path, (FIXED_MTIME, FIXED_MTIME))


def _rename_folder(source: Path, target: Path) -> None:
    """Rename, unless another caller was first. A folder that is not writable cannot change its parent, hence the modes."""
    source.chmod(0o755)
    try:
        source.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    target.chmod(0o555)


class _Put:
    """One walk of put_tree. Files are hashed by the pool, folders are put together from the leaves up."""

    def __init__(self, cas: Cas, root: Path, move: bool, pool: ThreadPoolExecutor) -> None:
        self.cas = cas
        self.root = root
        self.real_root = os.path.realpath(root)
        self.move = move
        self.pool = pool

    def folder(self, path: Path) -> Digest:
        files, folders, links = [], [], []
        for entry in sorted(os.scandir(path), key=lambda e: e.name):
            self._check_text(entry.name, path)
            if entry.is_symlink():
                links.append((entry.name, self._target(Path(entry.path))))
            elif entry.is_dir():
                folders.append((entry.name, self.folder(Path(entry.path))))
            elif entry.is_file():
                files.append((entry.name, entry))
            else:
                raise self._refused(Path(entry.path), "is a socket, pipe or device")
        executable = [owner_executable(entry.stat().st_mode) for _, entry in files]
        digests = self.pool.map(lambda f, x: self.cas.put_file(Path(f[1].path), x, move=self.move), files, executable)
        kept = zip((name for name, _ in files), digests, executable, strict=True)
        return self.cas.put_directory(Directory(tuple(kept), tuple(folders), tuple(links)))

    def _target(self, link: Path) -> str:
        target = os.readlink(link)  # noqa: PTH115 (a Path would tidy the text)
        self._check_text(target, link)
        inside = os.path.realpath(link) + "/"
        if escapes(str(link.relative_to(self.root)), target) or not inside.startswith(self.real_root + "/"):
            raise self._refused(link, f"is a symbolic link that leads outside: {target}")
        return target

    def _check_text(self, text: str, place: Path) -> None:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise self._refused(place, f"holds a name that is not UTF-8: {os.fsencode(text)!r}") from None

    def _refused(self, path: Path, why: str) -> StepFailed:
        return StepFailed(f"{path.relative_to(self.root)} {why}", place="output tree", hint="let the step leave it out of its output")
