"""Content-addressed blobs on the local disk, with the locks of a store.

Layout: cas/ab/<sha256> (mode 0444), cas/ab/<sha256>.x (0555: a hard link shares its mode, so the executable form is an inode of its own),
tmp/<name> (work in progress, with tmp/<name>.lock held by its owner). A blob is written under tmp/ and renamed, so it is whole or absent.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from graph.digest import FIXED_MTIME, Digest, Directory
from graph.disk import copy_file, guarded, hash_file, remove_tree
from graph.errors import MissingBlob, StoreError
from graph.trees import check


@contextmanager
def flocked(path: Path, *, shared: bool = False, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock file; `on_wait` is called once if another process or thread has it. Raises OSError."""
    fd = lock(path, shared=shared, on_wait=on_wait)
    try:
        yield
    finally:
        os.close(fd)


def lock(path: Path, *, shared: bool = False, on_wait: Callable[[], None] | None = None, wait: bool = True) -> int:
    """A descriptor that holds the lock until it is closed. Raises BlockingIOError if `wait` is false and another has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(fd, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                if not wait:
                    raise
                if on_wait:
                    on_wait()
                fcntl.flock(fd, kind)
            if _is_still(fd, path):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _is_still(fd: int, path: Path) -> bool:
    """Between open and lock, whoever held the lock may have deleted the file."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


class Cas:
    """The blobs of one store. Its folder is made by the first write."""

    def __init__(self, root: Path, on_wait: Callable[[str], None] | None = None) -> None:
        self.root = root
        self.cas = root / "cas"
        self.tmp = root / "tmp"
        self._on_wait = on_wait or (lambda _: None)
        self._use: tuple[int, int] | None = None
        self._scratch: tuple[int, Path, int] | None = None
        self._mutex = threading.RLock()
        self._directories: dict[Digest, Directory] = {}

    def name(self, digest: Digest, executable: bool = False) -> Path:
        """Where the blob lies, if it is there."""
        return self.cas / digest.hash[:2] / (digest.hash + (".x" if executable else ""))

    def has(self, digest: Digest, executable: bool = False) -> bool:
        """Whether the blob is there with its full length; its bytes are not read."""
        try:
            return self.name(digest, executable).stat().st_size == digest.size
        except OSError:
            return False

    def path(self, digest: Digest, executable: bool = False) -> Path | None:
        """The blob's file in the wanted form, made from the other form if only that is there; None if there is neither."""
        if self.has(digest, executable):
            return self.name(digest, executable)
        if not self.has(digest, not executable):
            return None
        with guarded(self.root), self.temporary() as copy:
            copy_file(self.name(digest, not executable), copy)
            return self.install(copy, digest, executable)

    def get(self, digest: Digest) -> bytes:
        """The blob's bytes, hashed again. Raises StoreError if it is missing or wrong."""
        for executable in (False, True):
            if self.has(digest, executable):
                with guarded(self.root):
                    data = self.name(digest, executable).read_bytes()
                if Digest.of(data) != digest:
                    raise StoreError("a blob has wrong bytes", place=str(self.name(digest, executable)), hint="doit store verify")
                return data
        raise missing(digest, self.root)

    def put(self, data: bytes, executable: bool = False) -> Digest:
        """Keep bytes. Raises DiskFull, StoreError."""
        digest = Digest.of(data)
        if not self.has(digest, executable):
            with guarded(self.root), self.temporary() as copy:
                copy.write_bytes(data)
                self.install(copy, digest, executable)
        return digest

    def put_file(self, path: Path, executable: bool, *, move: bool = False) -> Digest:
        """Keep a file's bytes. `move` allows taking the file itself; it must be the caller's own, and closed."""
        with guarded(path):
            digest = hash_file(path)
            if self.has(digest, executable):
                return digest
            # another name of the file could still be written through
            if not (move and path.stat().st_nlink == 1 and self._take(path, digest, executable)):
                with self.temporary() as copy:
                    copy_file(path, copy)
                    if hash_file(copy) != digest:
                        raise StoreError("the file changed while it was read", place=str(path), hint="run again")
                    self.install(copy, digest, executable)
            return digest

    def _take(self, path: Path, digest: Digest, executable: bool) -> bool:
        """Rename the file into place; False if it is on another file system."""
        try:
            self.in_use()
            self.install(path, digest, executable)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            return False
        return True

    def install(self, path: Path, digest: Digest, executable: bool) -> Path:
        """Make the file (on the store's file system) the blob of this digest: last step of every put. Raises OSError."""
        target = self.name(digest, executable)
        path.chmod(0o555 if executable else 0o444)
        os.utime(path, (FIXED_MTIME, FIXED_MTIME))
        try:
            path.rename(target)
        except FileNotFoundError:
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
        return target

    def directory(self, digest: Digest) -> Directory:
        """The decoded Directory, its bytes and names checked. Raises StoreError."""
        found = self._directories.get(digest)
        if found is None:
            try:
                found = Directory.decode(self.get(digest))
            except ValueError as error:
                raise StoreError(f"not a directory: {error}", place=str(self.name(digest)), hint="doit store verify") from error
            self._directories[digest] = check(found, str(digest))
        return found

    def put_directory(self, directory: Directory) -> Digest:
        return self.put(directory.encode())

    def forget_directories(self) -> None:
        """Drop what is held in memory, so that the disk is read again."""
        self._directories.clear()

    def in_use(self) -> None:
        """Hold the store's lock, shared, until close() or the end of the process: gc and verify wait for it to be free. Raises OSError."""
        with self._mutex:
            if self._use is None or self._use[0] != os.getpid():
                self._use = (os.getpid(), lock(self._store_lock, shared=True, on_wait=lambda: self._on_wait("the store is being cleaned")))

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Be the only process that uses the store. Raises StoreError at once if there is another."""
        with guarded(self.root):
            self.in_use()
            assert self._use is not None
            try:
                fcntl.flock(self._use[1], fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # a failed change of a lock has let go of the old one
                fcntl.flock(self._use[1], fcntl.LOCK_SH)
                raise StoreError("another doit uses the store", place=str(self.root), hint="wait until it ends, then try again") from None
        try:
            yield
        finally:
            fcntl.flock(self._use[1], fcntl.LOCK_SH)

    @property
    def _store_lock(self) -> Path:
        return self.root / "locks" / "store"

    def scratch(self) -> Path:
        """This process's own folder under tmp/, for files that are about to be renamed. Raises OSError."""
        with self._mutex:
            if self._scratch is None or self._scratch[0] != os.getpid():
                self._scratch = (os.getpid(), *self.claim())
            return self._scratch[1]

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        """A path for a file or folder to be made and renamed; what is left there at the end is deleted. Raises OSError."""
        path = self.scratch() / secrets.token_hex(8)
        try:
            yield path
        finally:
            if path.is_dir():
                remove_tree(path)
            else:
                path.unlink(missing_ok=True)

    def claim(self) -> tuple[Path, int]:
        """A fresh folder under tmp/ and the descriptor whose lock says that its owner lives. Raises OSError."""
        self.in_use()
        name = f"{os.getpid()}-{secrets.token_hex(6)}"
        fd = lock(self.tmp / f"{name}.lock")
        (self.tmp / name).mkdir()
        return self.tmp / name, fd

    def release(self, folder: Path, fd: int) -> None:
        """Delete a claimed folder. What cannot be deleted (another user's files) stays for sweep()."""
        with suppress(OSError):
            remove_tree(folder)
            folder.with_name(folder.name + ".lock").unlink(missing_ok=True)
        os.close(fd)

    def close(self) -> None:
        """Give back this process's scratch folder and its hold on the store."""
        if self._scratch and self._scratch[0] == os.getpid():
            self.release(*self._scratch[1:])
        if self._use and self._use[0] == os.getpid():
            os.close(self._use[1])
        self._scratch = self._use = None

    def sweep(self) -> int:
        """Delete what dead processes left under tmp/; never a live one's. Returns how many folders went."""
        names = {p.name.removesuffix(".lock") for p in self.tmp.iterdir()} if self.tmp.is_dir() else set()
        return sum(self._sweep_one(self.tmp / name) for name in sorted(names))

    def _sweep_one(self, folder: Path) -> bool:
        mark = folder.with_name(folder.name + ".lock")
        try:
            fd = lock(mark, wait=False)
        except OSError:
            return False
        self.release(folder, fd)
        return not folder.exists()


def missing(digest: Digest, root: Path) -> MissingBlob:
    """The error for a blob that a tree names and the store does not hold, or not in its full length."""
    return MissingBlob(f"blob {digest} is missing", place=str(root), hint="doit store verify, then run again")


def owner_executable(mode: int) -> bool:
    """The one mode bit that a tree keeps."""
    return bool(mode & stat.S_IXUSR)
