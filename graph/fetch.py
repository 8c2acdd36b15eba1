"""Getting the bytes of a source: mirror folders first, then the ways of sources.lock in order; sha256 and size decide what is used.

What each way does, and what ends a try, is told in docs/sources.md.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import random
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from graph.disk import guarded, hash_file
from graph.errors import FetchError, HashMismatch
from graph.lock import Source, Way
from graph.ways import INDEX_TYPES, Answer, IndexFile, archive_bases, find_in_index, pool_paths, shown
from graph.web import CHUNK, Failed, Place, Progress, Timeouts, Web

ROUNDS = 4
"""How often the ways that failed for a moment (5xx, a broken connection) are tried."""
RESUMES = 20
"""How often a body that breaks off is resumed at once, as long as each try brings bytes."""
LONGEST_WAIT = 60.0
"""Seconds: a server that asks for more (Retry-After) is asked again after this."""

Failures = dict[Way, list[tuple[str, Failed]]]
"""Each way that was tried -> what came of it: the address or path, and why not."""


class FetcherProtocol(Protocol):
    """Puts verified bytes at `dest`; raises FetchError, HashMismatch, DiskFull or StoreError, and then leaves `dest` alone."""

    def fetch(self, source: Source, dest: Path, progress: Progress = ...) -> None: ...


def silent(done: int, total: int) -> None:
    """Progress that nobody watches."""


class MemoryFetcher:
    """A fetcher without network: file names -> bytes."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def fetch(self, source: Source, dest: Path, progress: Progress = silent) -> None:
        data = self._files.get(source.filename)
        if data is None:
            raise FetchError(f"cannot get {source.filename}", place=f"source {source.name}")
        try:
            _check(source, len(data), hashlib.sha256(data).hexdigest())
        except Failed as failed:
            raise HashMismatch(f"{source.filename}: {failed.why}", place=f"source {source.name}") from None
        with _appearing(dest) as new:
            new.write_bytes(data)
        progress(len(data), len(data))


class Fetcher:
    """The real one. Threads may share it; processes may share `cache`, the folder of unfinished downloads."""

    def __init__(
        self,
        mirrors: tuple[Path, ...],
        offline: bool,
        cache: Path,
        *,
        warn: Callable[[str], None] = logging.getLogger("freestanding").warning,  # noqa: B008 (made once)
        timeouts: Timeouts = Timeouts(),  # noqa: B008 (a frozen value)
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._mirrors = mirrors
        self._offline = offline
        self._cache = cache
        self._warn = warn
        self._sleep = sleep
        self._web = Web(timeouts)
        self._origins = _Origins(self._web, cache)

    def fetch(self, source: Source, dest: Path, progress: Progress = silent) -> None:
        """Put the verified bytes of `source` at `dest`. Raises FetchError, HashMismatch, DiskFull, StoreError."""
        failures: Failures = {}
        for way in self.mirror_ways(source):
            if self._try(way, source, dest, progress, failures):
                return
        pending = () if self._offline else source.ways
        for number in range(ROUNDS):
            if any(self._try(way, source, dest, progress, failures) for way in pending):
                return
            pending = tuple(way for way in pending if any(failed.kind == "transient" for _, failed in failures[way]))
            if not pending:
                break
            if number < ROUNDS - 1:
                self._back_off(number, max(failed.wait for way in pending for _, failed in failures[way]))
        raise self._verdict(source, failures)

    def probe(self, source: Source, way: Way, full: bool) -> Answer:
        """What `way` serves now: its size; its sha256 with `full` or where an index tells it. A failure is an answer too."""
        why: list[str] = []
        try:
            if way.kind == "mirror":
                path = Path(way.url) / way.filename
                return Answer(way, size=path.stat().st_size, sha256=hash_file(path).hash if full else "")
            if way.kind == "pypi" and not full:
                file, _ = self._origins.index_file(way)
                return Answer(way, size=file.size, sha256=file.sha256)
            for place in self._origins.places(way):
                try:
                    size, sha256 = self._web.measure(place) if full else (self._web.length(place), "")
                    return Answer(way, size=size, sha256=sha256)
                except Failed as failed:
                    why.append(failed.why)
        except (Failed, OSError) as failed:
            why.append(str(failed))
        return Answer(way, why=", ".join(dict.fromkeys(why)))

    def mirror_ways(self, source: Source) -> tuple[Way, ...]:
        """The mirror folders that hold a file of that name, as ways."""
        found = (folder for folder in self._mirrors if (folder / source.filename).is_file())
        return tuple(Way("mirror", url=str(folder), filename=source.filename) for folder in found)

    def _try(self, way: Way, source: Source, dest: Path, progress: Progress, failures: Failures) -> bool:
        """One way, at all its addresses. True when the bytes are at `dest`; else `failures` tells why."""
        failures[way] = []
        label = str(way)
        try:
            if way.kind == "mirror":
                _copy(Path(way.url) / way.filename, source, dest)
                progress(source.size, source.size)
                return True
            for place in self._origins.places(way):
                label = str(way) if way.kind == "url" else f"{way}: {shown(place.url)}"
                try:
                    self._download(place, source, dest, progress)
                    return True
                except Failed as failed:
                    self._note(label, failed, source, failures[way])
        except Failed as failed:
            self._note(label, failed, source, failures[way])
        return False

    def _note(self, label: str, failed: Failed, source: Source, tries: list[tuple[str, Failed]]) -> None:
        tries.append((label, failed))
        if failed.kind == "wrong":
            self._warn(f"source {source.name}: {label}: {failed.why}; its bytes are thrown away")

    def _back_off(self, number: int, asked: float) -> None:
        self._sleep(min(LONGEST_WAIT, max(asked, 0.5 * 2**number * random.uniform(1.0, 1.5))))

    def _download(self, place: Place, source: Source, dest: Path, progress: Progress) -> None:
        with _part(self._cache, source) as part:
            resumed = part.claim(place.url, source.size) > 0
            try:
                self._whole_body(place, source, part, progress)
                part.verify(source)
            except Failed as failed:
                if not resumed or failed.kind != "wrong":
                    raise
                # what an earlier run left was bad, or the file changed behind its address: once more from zero
                self._whole_body(place, source, part, progress)
                part.verify(source)
            part.publish(dest)

    def _whole_body(self, place: Place, source: Source, part: _Part, progress: Progress) -> None:
        for _ in range(RESUMES):
            before = part.size
            if before == source.size:
                return
            try:
                self._web.read_into(part, place, source.size, progress)
                return
            except Failed as failed:
                if failed.kind in ("range", "wrong"):
                    part.forget()
                refused = failed.kind == "range" and before > 0
                if not refused and not (failed.kind == "transient" and part.size > before):
                    raise
        raise Failed("absent", f"broke off {RESUMES} times")

    def _verdict(self, source: Source, failures: Failures) -> FetchError:
        tries = [f"  {label}: {failed.why}" for way in failures for label, failed in failures[way]]
        if self._offline:
            tries.append("  the network was not tried (--offline)")
        wrong = any(failed.kind == "wrong" for way in failures for _, failed in failures[way])
        what = f"no way gave the pinned bytes of {source.filename}:" if wrong else f"cannot get {source.filename}:"
        hint = f"put {source.filename} (sha256 {source.sha256}) into a folder and set FREESTANDING_MIRROR to that folder"
        if wrong:
            hint = f"doit lock --check {source.name}; or {hint}"
        kind = HashMismatch if wrong else FetchError
        return kind("\n".join([what, *tries]), place=f"source {source.name}", hint=hint)


class _Origins:
    """Addresses of the ways that name a package: what this machine's apt and pip are set up to use."""

    def __init__(self, web: Web, cache: Path) -> None:
        self._web = web
        self._cache = cache
        self._mutex = threading.Lock()
        self._bases: tuple[str, ...] | None = None
        self._indexes: tuple[Place, ...] | None = None
        self._pages: dict[str, tuple[str, str, str]] = {}

    def places(self, way: Way) -> Iterator[Place]:
        """The addresses to try, in order. Raises Failed where this machine lacks the means."""
        if way.kind == "url":
            yield Place(way.url)
        elif way.kind == "debian":
            for base in self._archives():
                for path in pool_paths(way.package, way.filename):
                    yield Place(base + path)
        else:
            file, cert = self.index_file(way)
            yield Place(file.url, cert)

    def index_file(self, way: Way) -> tuple[IndexFile, str]:
        """What pip's indexes say of the file, and the certificate bundle to use. Raises Failed."""
        why = "pip is set up to use no index"
        for index in self._pip_indexes():
            try:
                page = self._page(Place(f"{index.url.rstrip('/')}/{way.package}/", index.cert))
                file = find_in_index(*page, way.filename)
            except ValueError as error:
                raise Failed("absent", str(error)) from None
            if file is not None:
                return file, index.cert
            why = f"the index has no {way.filename}"
        raise Failed("absent", why)

    def _page(self, place: Place) -> tuple[str, str, str]:
        with self._mutex:
            if place.url not in self._pages:
                self._pages[place.url] = self._web.page(place, INDEX_TYPES)
            return self._pages[place.url]

    def _archives(self) -> tuple[str, ...]:
        with self._mutex:
            if self._bases is None:
                # a private list folder, as an empty one makes apt print the addresses of all its archives; nothing is downloaded
                lists = f"Dir::State::lists={self._cache.absolute() / 'apt-lists'}"
                self._bases = archive_bases(_output("apt-get", "update", "--print-uris", "-o", lists, "-o", "Debug::NoLocking=1"))
        if not self._bases:
            raise Failed("absent", "not available here: apt has no http(s) archive")
        return self._bases

    def _pip_indexes(self) -> tuple[Place, ...]:
        with self._mutex:
            if self._indexes is None:
                told = json.loads(_pip_settings())
                self._indexes = tuple(Place(url, told["cert"] or "") for url in told["indexes"])
        return self._indexes


def _pip_settings() -> str:
    """Output of pipindex.py, from this interpreter's pip or else that of the python3 on PATH."""
    script = str(Path(__file__).with_name("pipindex.py"))
    try:
        return _output(sys.executable, script)
    except Failed:
        try:
            return _output("python3", script)
        except Failed:
            raise Failed("absent", "not available here: no pip") from None


def _output(*argv: str) -> str:
    program = shutil.which(argv[0])
    if program is None:
        raise Failed("absent", f"not available here: no {argv[0]}")
    try:
        done = subprocess.run([program, *argv[1:]], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise Failed("absent", f"not available here: {argv[0]} failed ({error})") from None
    return done.stdout


class _Part:
    """An unfinished download: the bytes so far, and beside them a record of the address and validator they came with."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._record = path.with_name(path.name + ".json")
        with guarded(path):
            self._file: IO[bytes] = path.open("ab")
            self.size = self._file.tell()
        self._url = ""
        self._validator = ""

    def claim(self, url: str, size: int) -> int:
        """Bytes that can be kept for a download from `url`; others are dropped."""
        record: object = None
        with contextlib.suppress(OSError, ValueError):
            record = json.loads(self._record.read_text(encoding="utf-8"))
        self._url = shown(url)
        if not isinstance(record, dict) or record.get("url") != self._url or self.size > size:
            self.forget()
            return 0
        self._validator = str(record.get("validator", ""))
        return self.size

    def resume_headers(self) -> dict[str, str]:
        if not self.size:
            return {}
        # a weak ETag may not stand in If-Range (RFC 9110 13.1.5); the sha256 decides in the end anyway
        strong = {"If-Range": self._validator} if self._validator and not self._validator.startswith("W/") else {}
        return {"Range": f"bytes={self.size}-", **strong}

    def begin(self, validator: str, *, keep: bool) -> None:
        """A response is there: its body is the rest (`keep`) or the whole."""
        if not keep:
            self.forget()
        self._validator = validator
        with guarded(self._record):
            self._record.write_text(json.dumps({"url": self._url, "validator": validator}), encoding="utf-8")

    def append(self, chunk: bytes) -> None:
        with guarded(self._path):
            self._file.write(chunk)
            self._file.flush()
        self.size += len(chunk)

    def forget(self) -> None:
        with guarded(self._path):
            self._file.truncate(0)
        self.size = 0
        self._validator = ""

    def verify(self, source: Source) -> None:
        """Raises Failed, and drops the bytes, when they are not the pinned ones."""
        try:
            with guarded(self._path):
                sha256 = hash_file(self._path).hash
            _check(source, self.size, sha256)
        except Failed:
            self.forget()
            raise

    def publish(self, dest: Path) -> None:
        """Move the bytes to `dest` in one step."""
        with guarded(self._path):
            os.fsync(self._file.fileno())
        self._file.close()
        with _appearing(dest) as new:
            shutil.move(self._path, new)
        self._record.unlink(missing_ok=True)

    def close(self) -> None:
        """An empty part is not worth keeping."""
        self._file.close()
        if not self.size:
            self._path.unlink(missing_ok=True)
            self._record.unlink(missing_ok=True)

    def remove(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)
        self._record.unlink(missing_ok=True)


@contextmanager
def _part(cache: Path, source: Source) -> Iterator[_Part]:
    """The unfinished download of `source`: the one kept from run to run, or a private one while another process works on that."""
    stem = f"{source.sha256[:16]}-{source.filename}"
    with guarded(cache):
        cache.mkdir(parents=True, exist_ok=True)
    with _try_lock(cache / f"{stem}.lock") as mine:
        part = _Part(cache / (f"{stem}.part" if mine else f"{stem}.{uuid.uuid4().hex}.part"))
        try:
            yield part
        finally:
            if mine:
                part.close()
            else:
                part.remove()


@contextmanager
def _try_lock(path: Path) -> Iterator[bool]:
    """True when this process alone holds `path` until the block ends. The empty file stays: removing it would let two hold it."""
    with guarded(path):
        file = path.open("ab")
    with file:
        yield _lock_file(file)


if sys.platform == "win32":
    import msvcrt

    def _lock_file(file: IO[bytes]) -> bool:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock_file(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


def _copy(path: Path, source: Source, dest: Path) -> None:
    """From a mirror folder. The copy is what is verified, so that a file changing meanwhile cannot get in. Raises Failed."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise Failed("absent", error.strerror or str(error)) from None
    with file, _appearing(dest) as new:
        size, sha = 0, hashlib.sha256()
        with new.open("xb") as copy:
            while chunk := file.read(CHUNK):
                size += len(chunk)
                sha.update(chunk)
                copy.write(chunk)
        _check(source, size, sha.hexdigest())


@contextmanager
def _appearing(dest: Path) -> Iterator[Path]:
    """A path beside `dest` to be filled; at the end it takes the name `dest` in one step, after an error it is gone."""
    with guarded(dest):
        dest.parent.mkdir(parents=True, exist_ok=True)
        new = dest.with_name(f".{dest.name}.{uuid.uuid4().hex}")
        try:
            yield new
            new.replace(dest)
        finally:
            new.unlink(missing_ok=True)


def _check(source: Source, size: int, sha256: str) -> None:
    if size != source.size:
        raise Failed("wrong", f"expected {source.size} bytes, got {size}")
    if sha256 != source.sha256:
        raise Failed("wrong", f"expected sha256 {source.sha256}, got {sha256}")
