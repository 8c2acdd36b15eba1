"""Claims: which of many processes makes a key, told through the remote store that they share. See docs/remote.md, "Claims".

A claim is a mark under a name made of the key and a number. A mark that was taken off, or that did not change for LEASE seconds of the
reader's own clock, counts no more: the next process sets one with the next number, or where the last writer wins in the place of one that
was taken off. So no two clocks are compared. An owner whose mark is another's by now (it was stopped for long) leaves it alone. Nothing of
a mark is believed but that it changes; the worst that marks can do is that a node is made twice.
"""

from __future__ import annotations

import itertools
import re
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from graph import reapi
from graph.digest import Digest
from graph.remote.base import Fault, Remote
from graph.remote.folder import FolderRemote, faults
from graph.remote.guard import Guard

KIND = "freestanding claim 1"
"""First line of every name. Processes of unlike LEASE must not share one: raise it with that."""
LEASE = 20.0
"""Seconds without a change after which the owner of a mark is taken for dead."""
BEAT = 5.0
"""Seconds after which an owner changes its marks."""
SETTLING = 0.3
"""Seconds until a mark is read back from a store whose last writer wins."""
LIMIT = 20
"""Marks of one key, after which it is claimed no more: owners that died, and in a folder those that failed."""
RENEWALS = 8
"""Marks that are renewed at once: some hundreds may be held, and a server may be slow."""
PATIENCE = 3600.0
"""Seconds that one key is waited for at most."""
POLLS = (0.1, 5.0)
"""Seconds between two looks at a mark: the least and the most; in between a quarter of the time that was waited."""
OURS = re.compile(rb"[0-9a-f]{16} [0-9]+")
"""A mark: its owner, and how often it was renewed."""
FREE = b"free"
"""A mark that was taken off, where marks cannot be deleted."""
LONGEST = 200
"""Bytes of a mark that are looked at."""


class Marks(Protocol):
    """Where marks are kept. Every method raises Fault."""

    @property
    def reusable(self) -> bool:
        """Whether create() may set a mark where one was taken off."""

    def get(self, name: bytes) -> bytes | None:
        """The mark of this name."""

    def create(self, name: bytes, value: bytes) -> bool:
        """Set a mark where none was; False if another process was first."""

    def put(self, name: bytes, value: bytes) -> None:
        """Change a mark of one's own."""

    def drop(self, name: bytes) -> None:
        """Take a mark off whose key has its result."""


class FolderMarks:
    """claims/<sha256> in a folder. Only one process can create a file."""

    reusable = False

    def __init__(self, remote: FolderRemote) -> None:
        self._root = remote.root / "claims"

    def get(self, name: bytes) -> bytes | None:
        """See Marks."""
        with faults():
            try:
                with self._path(name).open("rb") as file:
                    return file.read(LONGEST)
            except FileNotFoundError:
                return None

    def create(self, name: bytes, value: bytes) -> bool:
        """See Marks."""
        with faults():
            self._root.mkdir(exist_ok=True)
            try:
                # O_EXCL: not even over NFS do two succeed
                with self._path(name).open("xb") as file:
                    file.write(value)
            except FileExistsError:
                # perhaps by our own try before this one
                return _of_one_owner(self.get(name), value)
        return True

    def put(self, name: bytes, value: bytes) -> None:
        """See Marks."""
        with faults():
            self._path(name).write_bytes(value)

    def drop(self, name: bytes) -> None:
        """See Marks."""
        with faults():
            self._path(name).unlink(missing_ok=True)

    def _path(self, name: bytes) -> Path:
        return self._root / Digest.of(name).hash


class ResultMarks:
    """Entries of an action cache, in which the last writer wins: the one that reads its own mark back has it."""

    reusable = True

    def __init__(self, remote: Remote, settling: float) -> None:
        self._remote = remote
        self._settling = settling

    def get(self, name: bytes) -> bytes | None:
        """See Marks."""
        found = self._remote.get_result(Digest.of(name))
        if found is not None:
            # bytes that are none of ours are a mark like any other
            with suppress(ValueError):
                return reapi.decode_mark(found).encode()
        return found

    def create(self, name: bytes, value: bytes) -> bool:
        """See Marks."""
        before = self.get(name)
        if before not in (None, FREE) and not _of_one_owner(before, value):
            return False
        # a server may refuse a result whose action it does not have
        self._remote.write([(Digest.of(name), name)])
        self.put(name, value)
        time.sleep(self._settling)
        found = self.get(name)
        if found is None or not (found == FREE or OURS.fullmatch(found)):
            raise Fault("closed", "it does not keep marks")
        return found == value

    def put(self, name: bytes, value: bytes) -> None:
        """See Marks."""
        self._remote.put_result(Digest.of(name), reapi.encode_mark(value.decode()))

    def drop(self, name: bytes) -> None:
        """See Marks."""
        self.put(name, FREE)


def marks_of(remote: Remote, settling: float) -> Marks:
    """Where a remote store keeps marks."""
    return FolderMarks(remote) if isinstance(remote, FolderRemote) else ResultMarks(remote, settling)


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds; other ones are for tests."""

    lease: float = LEASE
    beat: float = BEAT
    settling: float = SETTLING
    patience: float = PATIENCE


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key's next mark goes."""

    number: int
    others: tuple[int, ...]
    """Numbers of marks that count no more."""


class Claims:
    """The claims of one process, renewed until they are released. Any fault means: make it here."""

    def __init__(self, marks: Marks, guard: Guard, times: Times | None = None) -> None:
        self._marks = marks
        self._guard = guard
        self._times = times or Times()
        self._owner = secrets.token_hex(8)
        self._beats = itertools.count()
        self._mutex = threading.Lock()
        self._held: dict[str, Place] = {}
        """Keys that are claimed."""
        self._seen: dict[bytes, tuple[bytes, float]] = {}
        """Name of a mark of another -> its value, and since when it has that, by our clock."""
        self._waited_out: set[str] = set()
        self._thread: threading.Thread | None = None

    def take(self, key: str) -> bool:
        """Whether this process is to make the key: it has claimed it, or claims cannot be had."""
        return key in self._waited_out or self._guard.attempt(lambda: self._take(key)) is not False

    def wait(self, key: str, cancel: threading.Event) -> None:
        """Return when no claim of this key counts any more, or `cancel` is set."""
        start = time.monotonic()
        while self._guard.attempt(lambda: self._next(key) is None):
            waited = time.monotonic() - start
            if waited >= self._times.patience:
                self._waited_out.add(key)
                return
            if cancel.wait(min(max(waited / 4, POLLS[0]), POLLS[1])):
                return

    def release(self, key: str, *, done: bool) -> None:
        """Let others go on: if it is `done` they find the result, else one of them makes it."""
        # not while marks are renewed: a renewed one would outlive its end
        with self._mutex:
            place = self._held.pop(key, None)
            if place is not None:
                self._guard.attempt(lambda: self._end(key, place, done=done))

    def close(self) -> None:
        """Set, renew and look at nothing any more: what is held counts until its lease has passed."""
        self._guard.close()

    def _take(self, key: str) -> bool:
        place = self._next(key)
        if place is None or (place.number < LIMIT and not self._marks.create(_name(key, place.number), self._mark())):
            return False
        if place.number < LIMIT:
            with self._mutex:
                self._held[key] = place
                self._start()
        return True

    def _next(self, key: str) -> Place | None:
        """Where the key's next mark goes; None while one counts. Raises Fault."""
        free: list[int] = []
        others: list[int] = []
        for number in range(LIMIT):
            value = self._marks.get(_name(key, number))
            # one of ours that is not held is of a try that broke off
            if value is None or self._is_ours(value):
                return Place(free[0] if free and value is None else number, tuple(others))
            if value != FREE and self._counts(_name(key, number), value):
                return None
            others.append(number)
            if value == FREE and self._marks.reusable:
                free.append(number)
        return Place(free[0] if free else LIMIT, tuple(others))

    def _counts(self, name: bytes, value: bytes) -> bool:
        before, since = self._seen.get(name, (None, 0.0))
        if value != before:
            self._seen[name] = (value, time.monotonic())
            return True
        return time.monotonic() - since < self._times.lease

    def _end(self, key: str, place: Place, *, done: bool) -> None:
        name = _name(key, place.number)
        if not self._is_ours(self._marks.get(name)):
            return
        if not done:
            self._marks.put(name, FREE)
            return
        for one in sorted({*place.others, place.number}):
            self._marks.drop(_name(key, one))

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="claims", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        with ThreadPoolExecutor(RENEWALS, "claims") as pool:
            while not self._guard.wait(self._times.beat):
                with self._mutex:
                    # one fault, however many of them fail
                    for key in self._guard.attempt(lambda: list(pool.map(self._renew, self._held.items()))) or ():
                        self._held.pop(key, None)

    def _renew(self, held: tuple[str, Place]) -> str:
        """Change our mark; the key if it is another's by now. Raises Fault."""
        key, place = held
        name = _name(key, place.number)
        if not self._is_ours(self._marks.get(name)):
            return key
        self._marks.put(name, self._mark())
        return ""

    def _is_ours(self, value: bytes | None) -> bool:
        return _of_one_owner(value, self._owner.encode())

    def _mark(self) -> bytes:
        """One that was never set before."""
        return f"{self._owner} {next(self._beats)}".encode()


def _of_one_owner(one: bytes | None, other: bytes) -> bool:
    return one is not None and one.partition(b" ")[0] == other.partition(b" ")[0]


def _name(key: str, number: int) -> bytes:
    return f"{KIND}\n{key} {number}\n".encode()
