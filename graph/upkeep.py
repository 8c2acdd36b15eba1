"""Care of a local store: what it holds (size), what nothing needs any more (gc), what is wrong with it (verify)."""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from graph.cas import Cas, owner_executable
from graph.digest import Digest
from graph.disk import guarded, hash_file
from graph.errors import DiskFull, StoreError
from graph.published import Note
from graph.reapi import Outcome
from graph.result import ActionResult
from graph.trees import Entry, flatten

DAY = 86400
"""Seconds."""
LOCAL = "local"
"""Folder with packed local sources."""
_BLOB = re.compile(r"([0-9a-f]{64})(\.x)?")

Blob = tuple[str, bool]
"""Hash and executable form: one file of cas/."""


@dataclass(frozen=True, slots=True)
class Size:
    """What a store holds. Checkouts share their bytes with the blobs."""

    blobs: int
    bytes: int
    results: int
    checkouts: int
    packed: int
    """Bytes of folders that --source, SDKROOT and --vcruntime named, packed (graph/local.py)."""

    def __str__(self) -> str:
        packed = f", {_mib(self.packed)} of packed local sources" if self.packed else ""
        return f"{_mib(self.bytes)} in {self.blobs} blobs, {self.results} results, {self.checkouts} checkouts{packed}"


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What gc took away, and what is left."""

    blobs: int
    bytes: int
    results: int
    packed: int
    """Bytes of packed local sources, which `bytes` does not count."""
    left: Size

    def __str__(self) -> str:
        packed = f", {_mib(self.packed)} of packed local sources" if self.packed else ""
        return f"freed {_mib(self.bytes)}: {self.blobs} blobs, {self.results} results{packed}; left: {self.left}"


def _mib(count: int) -> str:
    return f"{count / 1024**2:.1f} MiB"


def size(cas: Cas) -> Size:
    """Raises StoreError."""
    with guarded(cas.root):
        blobs, total = _count(_files(cas.cas))
        results, checkouts = (sum(1 for _ in paths) for paths in (_result_files(cas), _children(cas.root / "trees")))
        return Size(blobs, total, results, checkouts, _count(_files(cas.root / LOCAL))[1])


def _count(paths: Iterator[Path]) -> tuple[int, int]:
    """Number and bytes of files."""
    count = total = 0
    for path in paths:
        count, total = count + 1, total + path.stat().st_size
    return count, total


def gc(cas: Cas, keep_days: float, max_size: int | None) -> Cleaned:
    """Drop results not used for `keep_days`, then the least recently used until the rest fits `max_size` bytes, then all that only they
    needed. Local sources were packed from folders that are still theirs: a packed one goes with its age alone.

    Raises StoreError if another process uses the store.
    """
    with cas.exclusive(), guarded(cas.root), cas.temporary() as place, _told(place):
        cas.forget_directories()
        cas.sweep()
        oldest = time.time() - keep_days * DAY
        live = _mark(cas, oldest, max_size, place)
        results = _remove(path for path in _result_files(cas) if path.stem not in live.keys)[0]
        _remove(path for path in _files(cas.root / "last") if _text(path).partition(" ")[0] not in live.keys)
        _remove(path for path in _files(cas.root / "filtered") if path not in live.memos)
        for checkout in _children(cas.root / "trees"):
            if checkout.name not in live.roots:
                _remove_checkout(cas, checkout)
        blobs, freed = _remove(path for path in _files(cas.cas) if (blob := _blob(path)) is None or blob not in live.blobs)
        for name in ("logs", "runs", "downloads", "quarantine"):
            _remove(path for path in _files(cas.root / name) if path.stat().st_mtime < oldest)
        packed = _remove(path for path in _files(cas.root / LOCAL) if path.stat().st_mtime < oldest)[1]
        _remove(path for path in _children(cas.root / "locks") if path.name != "store")
    return Cleaned(blobs, freed, results, packed, size(cas))


def verify(cas: Cas) -> list[str]:
    """Hash every blob again and check every result, memo and checkout; one line for each thing wrong.

    What is wrong is moved to quarantine/ (checkouts and memos are deleted), so that the next build makes it again.
    Raises StoreError if another process uses the store.
    """
    with cas.exclusive(), guarded(cas.root):
        cas.forget_directories()
        cas.sweep()
        return [*_verify_blobs(cas), *_verify_results(cas), *_verify_memos(cas), *_verify_checkouts(cas)]


@contextmanager
def _told(place: Path) -> Iterator[None]:
    """What SQLite cannot do as an error of the store's; nothing was deleted then."""
    try:
        yield
    except ImportError as error:
        raise StoreError(f"this Python cannot clean a store: {error}", hint="use one that has the module sqlite3") from None
    except Exception as error:
        # (sqlite3.Error, of a module that is not imported here)
        if type(error).__module__ != "sqlite3":
            raise
        raise DiskFull(f"no marks can be kept: {error}", place=str(place), hint="free some space") from error


class _Marked:
    """A set of blobs that may be millions: SQLite keeps it in a temporary file, and little of it in memory."""

    def __init__(self, path: Path) -> None:
        # a Python may be built without it, and needs it for gc only
        import sqlite3

        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("CREATE TABLE blobs (name BLOB PRIMARY KEY) WITHOUT ROWID")

    def __contains__(self, blob: Blob) -> bool:
        return self._db.execute("SELECT 1 FROM blobs WHERE name = ?", (_packed(blob),)).fetchone() is not None

    def update(self, blobs: Iterable[Blob]) -> None:
        self._db.execute("BEGIN")
        self._db.executemany("INSERT OR IGNORE INTO blobs VALUES (?)", ((_packed(blob),) for blob in blobs))
        self._db.execute("COMMIT")


def _packed(blob: Blob) -> bytes:
    return bytes.fromhex(blob[0]) + bytes([blob[1]])


class _Live:
    """What is kept; grows while results are marked, youngest first."""

    def __init__(self, place: Path) -> None:
        self.keys: set[str] = set()
        self.roots: set[str] = set()
        self.memos: set[Path] = set()
        self.blobs = _Marked(place)
        self.bytes = 0


def _mark(cas: Cas, oldest: float, max_size: int | None, place: Path) -> _Live:
    live = _Live(place)
    memos: dict[Digest, list[tuple[Path, Digest]]] = {}
    for path in _files(cas.root / "filtered"):
        if (memo := _memo(path)) is not None:
            memos.setdefault(memo[0], []).append((path, memo[1]))
    ages = sorted(((path.stat().st_mtime, path) for path in _result_files(cas)), reverse=True)
    for age, path in ages:
        result = _result(path)
        if age < oldest or result is None:
            continue
        derived = memos.get(result.tree, [])
        blobs = _blobs_of(cas, result, [tree for _, tree in derived], live)
        if blobs is None and _is_foreign(path):
            blobs = {}
        if blobs is None:
            continue
        live.bytes += sum(blobs.values())
        if max_size is not None and live.bytes > max_size:
            break
        live.blobs.update(blobs)
        live.keys.add(result.key)
        live.memos.update(path for path, _ in derived)
        live.roots.update(tree.hash for tree in (result.tree, *(tree for _, tree in derived)))
    return live


def _blobs_of(cas: Cas, result: ActionResult, derived: list[Digest], live: _Live) -> dict[Blob, int] | None:
    """Blobs that only this result needs so far, with their sizes; None if its tree is not complete."""
    found: dict[Blob, int] = {}
    if result.log is not None:
        found[result.log.hash, False] = result.log.size
    try:
        for root in (result.tree, *derived):
            found[root.hash, False] = root.size
            for entry in flatten(cas.directory, root):
                # either form of a blob serves: Cas.path makes the other from it; of another machine's tree some are not here
                for form in (entry.executable, not entry.executable):
                    if entry.digest is not None and cas.has(entry.digest, form):
                        found[entry.digest.hash, form] = entry.digest.size
                        break
    except StoreError:
        return None
    return {blob: size for blob, size in found.items() if blob not in live.blobs}


def _verify_blobs(cas: Cas) -> Iterator[str]:
    paths = list(_files(cas.cas))
    with ThreadPoolExecutor(2) as pool:
        for path, digest in zip(paths, pool.map(hash_file, paths), strict=True):
            blob = _blob(path)
            if blob is None or path.parent.name != digest.hash[:2] or blob[0] != digest.hash:
                _quarantine(cas, path)
                yield f"blob {path.name}: wrong bytes or name, moved to quarantine/"
            elif stat.S_IMODE(path.stat().st_mode) != (0o555 if blob[1] else 0o444):
                path.chmod(0o555 if blob[1] else 0o444)
                yield f"blob {path.name}: had another mode, put right"


def _verify_results(cas: Cas) -> Iterator[str]:
    for path in list(_result_files(cas)):
        result = _result(path)
        if result is None:
            _quarantine(cas, path)
            yield f"result {path.name}: cannot be read, moved to quarantine/"
        elif not _is_elsewhere(path, result) and (lacking := _lacking(cas, result.tree, result.log)):
            _quarantine(cas, path)
            yield f"result {path.name} of {result.node}: {lacking}, moved to quarantine/"


def _verify_memos(cas: Cas) -> Iterator[str]:
    foreign = {result.tree for path in _result_files(cas) if (result := _result(path)) and _is_elsewhere(path, result)}
    for path in list(_files(cas.root / "filtered")):
        memo = _memo(path)
        # of another machine's tree the folders are here, and of the files those that were needed
        if memo is None or (_lacking_folders if memo[0] in foreign else _lacking_files)(cas, memo[1]):
            path.unlink()
            yield f"filter memo {path.name}: cannot be used, deleted"


def _verify_checkouts(cas: Cas) -> Iterator[str]:
    for checkout in list(_children(cas.root / "trees")):
        wrong = _compare(cas, checkout)
        if wrong:
            _remove_checkout(cas, checkout)
            yield f"checkout {checkout.name}: {wrong}, deleted"


def _lacking(cas: Cas, root: Digest, log: Digest | None) -> str:
    """What of a tree and its log is not in the store; empty if all is."""
    return _lacking_files(cas, root) or ("" if log is None or cas.has(log) else "its log is missing")


def _lacking_folders(cas: Cas, root: Digest) -> str:
    try:
        for _ in flatten(cas.directory, root):
            pass
    except StoreError as error:
        return error.what
    return ""


def _lacking_files(cas: Cas, root: Digest) -> str:
    try:
        for entry in flatten(cas.directory, root):
            if entry.digest is not None and not (cas.has(entry.digest) or cas.has(entry.digest, True)):
                return f"{entry.path} is missing"
    except StoreError as error:
        return error.what
    return ""


def _compare(cas: Cas, checkout: Path) -> str:
    """How a checkout differs from the tree that it is named after; empty if it does not."""
    found = {Path(folder, name).relative_to(checkout).as_posix() for folder, dirs, files in os.walk(checkout) for name in (*dirs, *files)}
    try:
        root = Digest(checkout.name, cas.name(Digest(checkout.name, 0)).stat().st_size)
        entries = list(flatten(cas.directory, root))
    except (OSError, StoreError):
        return "its tree is missing"
    extra = found - {entry.path for entry in entries}
    if extra:
        return f"{min(extra)} is not of the tree"
    wrong = [entry.path for entry in entries if not _same(cas, checkout / entry.path, entry)]
    return f"{wrong[0]} is not as in the tree" if wrong else ""


def _same(cas: Cas, path: Path, entry: Entry) -> bool:
    try:
        found = path.lstat()
        if entry.digest is None:
            return path.is_symlink() and os.readlink(path) == entry.target  # noqa: PTH115 (a Path would tidy the text)
        if entry.kind == "directory":
            return stat.S_ISDIR(found.st_mode)
        if not stat.S_ISREG(found.st_mode) or owner_executable(found.st_mode) != entry.executable:
            return False
        # a link to the blob has been hashed with the blobs
        blob = cas.name(entry.digest, entry.executable)
        return (blob.exists() and os.path.samestat(found, blob.stat())) or hash_file(path) == entry.digest
    except FileNotFoundError:
        return False


def _result_files(cas: Cas) -> Iterator[Path]:
    """Our own results, and those of other machines."""
    yield from _files(cas.root / "ac")
    yield from _files(cas.root / "remote")


def _is_foreign(path: Path) -> bool:
    return path.suffix == ""


def _is_elsewhere(path: Path, result: ActionResult) -> bool:
    """Whether files of its tree may lie on another machine alone."""
    return _is_foreign(path) or bool(result.where)


def _result(path: Path) -> ActionResult | None:
    try:
        data = path.read_bytes()
        found = ActionResult.decode(Note.decode(Outcome.decode(data).contents).result.encode() if _is_foreign(path) else data)
    except ValueError:
        return None
    return found if found.key == path.stem else None


def _memo(path: Path) -> tuple[Digest, Digest] | None:
    """Source and result of a memo of Store.filter."""
    try:
        found = json.loads(path.read_bytes())
        return Digest.parse(found["source"]), Digest.parse(found["tree"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _blob(path: Path) -> Blob | None:
    named = _BLOB.fullmatch(path.name)
    return (named[1], bool(named[2])) if named else None


def _text(path: Path) -> str:
    return path.read_text(errors="replace")


def _quarantine(cas: Cas, path: Path) -> None:
    (cas.root / "quarantine").mkdir(exist_ok=True)
    path.rename(cas.root / "quarantine" / f"{path.name}.{secrets.token_hex(4)}")


def _remove_checkout(cas: Cas, checkout: Path) -> None:
    """Out of sight first, so that a kill leaves no half of it under its name."""
    with cas.temporary() as gone:
        checkout.chmod(0o755)
        checkout.rename(gone)


def _remove(paths: Iterator[Path]) -> tuple[int, int]:
    """Delete files; their number and bytes."""
    count = freed = 0
    for path in paths:
        with suppress(FileNotFoundError):
            count, freed = count + 1, freed + path.stat().st_size
            path.unlink()
    return count, freed


def _children(folder: Path) -> Iterator[Path]:
    return iter(sorted(folder.iterdir()) if folder.is_dir() else ())


def _files(folder: Path) -> Iterator[Path]:
    """Every file below, in order. A folder is read whole before its first file is given: files may be deleted meanwhile."""
    for name, folders, files in os.walk(folder):
        folders.sort()
        yield from (Path(name, file) for file in sorted(files))
