"""A store shared with other machines: what the local one lacks comes from a remote one, as late as it can; what is made here goes there.

Results of others are kept apart from our own, as they came (remote/ab/<key>), and are checked anew each time one is used. Of their
trees first the folders come, in one Tree message, when a filter asks; the files when something is to be run with them. See docs/remote.md.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Protocol

from graph.digest import Digest, Directory, canonical
from graph.disk import free_bytes, guarded
from graph.errors import StoreError
from graph.published import MAX_RESULT, MAX_TREE, Note, folders_of, foreign_tree, result_of, tree_of
from graph.reapi import Outcome
from graph.remote.base import Blob, Fault, Feed, Remote, grouped
from graph.remote.checked import checking, malformed
from graph.remote.claims import Claims, Times, marks_of
from graph.remote.connect import connect
from graph.remote.guard import Guard, Told
from graph.remote.joined import JoinedRemote
from graph.remote.settings import Settings
from graph.remote.sign import Signer, Verifier
from graph.result import ActionResult
from graph.store import Store, Turn, young
from graph.trees import Entry, Filtered

TRANSFERS = 12
"""Requests at once."""
PUSHES = 3
"""Results that are pushed at once."""
MAX_LOG = 256 << 20
"""Bytes of what the steps of a node print."""
SPARE_DISK = 256 << 20
"""Bytes of the disk that no download takes."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is given, and what is taken."""

    push: bool = False
    may_publish: Callable[[str], bool] = lambda _: True
    """Whether what the node of this name gives may leave this machine: not if it is made from local sources."""
    signer: Signer | None = None
    verifier: Verifier | None = None
    """If there is one, results that it does not accept are not used."""
    claim: Times | None = None
    """If there are any, and results are pushed, a key is claimed before it is made."""
    ask: bool = True
    """Whether results are looked up; not in a farm that is no shared store."""


class SharedStore(Store):
    """A local store with a remote one behind it. Whatever the remote does, the worst is a miss: `Guard` says so once."""

    def __init__(self, root: Path, remote: Remote, terms: Terms, say: Callable[[str], None], farm: Remote | None = None) -> None:
        super().__init__(root, say)
        self.results = self.pushed = 0
        self._remote = JoinedRemote(remote, farm) if farm else remote
        self._terms = terms
        told = Told(say)
        self._reading, self._writing = Guard(told, "read from"), Guard(told, "written to")
        self._claims: Claims | None = None
        if terms.claim is not None and terms.push:
            self._claims = Claims(marks_of(remote, terms.claim.settling), Guard(told, "asked for claims"), terms.claim)
        self._transfers = ThreadPoolExecutor(TRANSFERS, "transfer")
        self._pushes = ThreadPoolExecutor(PUSHES, "push")
        self._pushing: dict[str, Future[None]] = {}
        self._mutex = threading.Lock()
        self._trees: dict[Digest, Digest] = {}
        """Root of a tree -> its Tree message in the remote store."""
        self._refused: set[str] = set()
        """Keys whose result turned out to be of no use: it is made here."""
        self._sent: set[Digest] = set()

    # results

    def result(self, key: str, size: int = 0) -> ActionResult | None:
        """Ours, else one that another machine made; any fault is a miss."""
        found = super().result(key, size)
        if found is not None and found.hermetic:
            self._offer(found)
            return found
        if key in self._refused or not self._terms.ask:
            return found
        return self._kept(key) or self._asked(key, size) or found

    @property
    def trust(self) -> str:
        """See StoreProtocol."""
        if not self._terms.ask:
            return ""
        return self._terms.verifier.fingerprint if self._terms.verifier else "any"

    def made_here(self, key: str) -> bool:
        """Whether a result is this machine's own, which comes before what others made."""
        found = super().result(key)
        return found is not None and found.hermetic

    def is_young(self, key: str) -> bool:
        """See Store."""
        return super().is_young(key) or young(self.foreign_path(key))

    def publish(self, result: ActionResult) -> None:
        """Keep a result, and push it if that is wanted, in the background."""
        super().publish(result)
        self._offer(result)

    def forget(self, key: str) -> None:
        """Make this key a miss, here and, for this run, in the remote store."""
        self._refused.add(key)
        super().forget(key)
        with guarded(self.root):
            self.foreign_path(key).unlink(missing_ok=True)

    def _kept(self, key: str) -> ActionResult | None:
        path = self.foreign_path(key)
        try:
            value = path.read_bytes()
            self._make_young(path)
        except OSError:
            return None
        # a ValueError or Fault: a file that something has damaged
        with suppress(Fault, ValueError):
            return self._admitted(key, Outcome.decode(value))
        return None

    def _asked(self, key: str, size: int) -> ActionResult | None:
        found = self._reading.attempt(lambda: self._ask(key, size)) if size and self._terms.ask else None
        self.results += found is not None
        return found

    def _ask(self, key: str, size: int) -> ActionResult | None:
        value = self._remote.get_result(Digest(key, size))
        if value is None:
            return None
        with malformed("a result"):
            outcome = self._inlined(Outcome.decode(value))
        found = self._admitted(key, outcome)
        if found is not None:
            # a store that cannot be written still builds
            with suppress(StoreError):
                self._write(self.foreign_path(key), outcome.encode())
        return found

    def _admitted(self, key: str, outcome: Outcome) -> ActionResult | None:
        """The result in an ActionResult from outside; None if its signature is not good. Raises Fault when it is malformed."""
        with malformed("a result"):
            note = Note.decode(outcome.contents)
            found = result_of(key, note, outcome)
        if self._terms.verifier is not None and not self._terms.verifier.accepts(note):
            self._reading.tell(f"the result of {found.node!r} ({key[:12]}) has no good signature: it is not used")
            return None
        self._trees[found.tree] = outcome.tree
        return found

    def _inlined(self, outcome: Outcome) -> Outcome:
        """With the note's bytes, which some servers keep as a blob only. Raises ValueError, Fault."""
        data = outcome.contents or self._download(outcome.note, MAX_RESULT)
        if Digest.of(data) != outcome.note:
            raise ValueError("its note has another digest")
        return replace(outcome, contents=data)

    # claims

    @contextmanager
    def turn(self, node: str, key: str, size: int) -> Iterator[Turn]:
        """See Store.turn. What is claimed stays so until it is pushed."""
        # what is not given to others is not kept from them either
        if self._claims is None or self._reading.closed or self._writing.closed or not self._terms.may_publish(node):
            yield Turn()
            return
        if not self._claims.take(key):
            yield Turn(ours=False)
            return
        found = None
        try:
            # asked for again: its last owner may have pushed it since it was not found
            found = self._asked(key, size) if key not in self._refused else None
            yield Turn(found=found)
        finally:
            pushing = self._pushing.get(key)
            if pushing is None or pushing.done():
                self._claims.release(key, done=found is not None)

    def wait(self, key: str, cancel: threading.Event) -> None:
        """See Store.wait."""
        if self._claims is not None:
            self._claims.wait(key, cancel)

    # trees

    def directory(self, digest: Digest) -> Directory:
        """One folder of a tree. Raises StoreError."""
        self._fill(digest)
        return super().directory(digest)

    def tree(self, digest: Digest) -> Iterator[Entry]:
        """Every entry of a tree, folders before what they hold. Raises StoreError."""
        self._fill(digest)
        return super().tree(digest)

    def filter(self, digest: Digest, subdir: str, only: tuple[str, ...], without: tuple[str, ...]) -> Filtered:
        """See Store.filter."""
        if subdir or only or without:
            self._fill(digest)
        return super().filter(digest, subdir, only, without)

    def checkout(self, digest: Digest) -> Path:
        """See Store.checkout."""
        if not self.checkout_path(digest).is_dir():
            self._fill_files(digest)
        return super().checkout(digest)

    def copy_tree(self, digest: Digest, dest: Path) -> None:
        """See Store.copy_tree."""
        self._fill_files(digest)
        super().copy_tree(digest, dest)

    def blob_path(self, digest: Digest, executable: bool = False) -> Path | None:
        """The read-only file of a blob; None if neither store has it."""
        found = super().blob_path(digest, executable)
        if found is None:
            self._bring({digest: executable})
            found = super().blob_path(digest, executable)
        return found

    def _fill(self, root: Digest) -> None:
        """Bring the folders of a tree that a result from outside named: all of them, `root` last, so that one who sees it sees all."""
        if root not in self._trees or self.cas.has(root):
            return

        def bring() -> None:
            data = self._download(self._trees[root], MAX_TREE)
            with malformed("a tree"):
                folders = folders_of(root, data)
            for folder in folders.values():
                self.cas.put(folder)

        with self.lock(f"tree-{root.hash}"):
            if not self.cas.has(root):
                self._reading.attempt(bring)

    def _fill_files(self, root: Digest) -> None:
        self.bring({entry.digest: entry.executable for entry in self.tree(root) if entry.digest is not None and entry.kind == "file"})

    def bring(self, forms: Mapping[Digest, bool]) -> None:
        """Download what of these blobs is not here, each executable or not; whatever cannot be had stays away. Raises DiskFull."""
        self._bring({one: form for one, form in forms.items() if not (self.cas.has(one) or self.cas.has(one, True))})

    def take_tree(self, message: Digest) -> Digest:
        """Root of the tree whose Tree message is there: its folders are kept, its files come when they are asked for. Raises Fault."""
        data = self._download(message, MAX_TREE)
        with malformed("a tree"):
            root, folders = foreign_tree(data)
        for folder in folders.values():
            self.cas.put(folder)
        return root

    def take_blob(self, digest: Digest) -> bytes:
        """A log, in memory. Raises Fault."""
        return self._download(digest, MAX_LOG)

    # transfers

    def _bring(self, wanted: Mapping[Digest, bool]) -> None:
        """Download blobs, all or some or none, each as executable or not. Raises DiskFull."""
        for digest in wanted:
            if digest.size == 0:
                self.cas.put(b"", wanted[digest])

        @contextmanager
        def receive(digest: Digest) -> Iterator[Feed]:
            with ExitStack() as stack:
                # what the network raises in between is no fault of the disk
                with guarded(self.root):
                    part = stack.enter_context(self.cas.temporary())
                    file = stack.enter_context(part.open("xb"))
                with checking(digest, lambda chunk: self._append(file, chunk)) as feed:
                    yield feed
                with guarded(self.root):
                    file.close()
                    self.cas.install(part, digest, wanted[digest])

        def read(group: list[Digest]) -> None:
            left = [digest for digest in group if not self.cas.has(digest, wanted[digest])]
            if left:
                self._remote.read(left, receive)

        lacking = [digest for digest in wanted if digest.size]
        if sum(digest.size for digest in lacking) > free_bytes(self.root) - SPARE_DISK:
            self._reading.tell("a tree is larger than the disk has room for: it is not downloaded")
            return
        self._spread(self._reading, read, grouped(lacking, self._remote.batch))

    def _append(self, file: IO[bytes], chunk: bytes) -> None:
        with guarded(self.root):
            file.write(chunk)

    def _spread(self, guard: Guard, action: Callable[[list[Digest]], None], groups: Iterable[list[Digest]]) -> None:
        with self._unless_abandoned():
            list(self._transfers.map(lambda group: guard.attempt(lambda: action(group)), groups))

    @contextmanager
    def _unless_abandoned(self) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, CancelledError):
            # a pool that takes nothing more
            if not self._reading.closed:
                raise

    def _download(self, digest: Digest, limit: int) -> bytes:
        """A blob in memory. Raises Fault."""
        if digest.size > limit:
            raise Fault("wrong", f"a blob of {digest.size} bytes where at most {limit} can be")
        parts: list[bytes] = []

        @contextmanager
        def receive(asked: Digest) -> Iterator[Feed]:
            parts.clear()
            with checking(asked, parts.append) as feed:
                yield feed

        if digest.size:
            self._remote.read([digest], receive)
        data = b"".join(parts)
        if Digest.of(data) != digest:
            raise Fault("gone", f"blob {digest} is gone")
        return data

    # pushing

    @property
    def pushes(self) -> bool:
        """Whether it gives what it has."""
        return self._terms.push

    def flush(self) -> None:
        """Wait until all is pushed that is to be."""
        for future in list(self._pushing.values()):
            future.result()

    def abandon(self) -> None:
        """Let go of what is not pushed yet, and end what runs."""
        if self._claims is not None:
            self._claims.close()
        for guard in (self._reading, self._writing):
            guard.close()
        self._pushes.shutdown(wait=False, cancel_futures=True)
        self._transfers.shutdown(wait=False, cancel_futures=True)
        self._remote.close()

    def _offer(self, result: ActionResult) -> None:
        if not self._terms.push or not result.hermetic or not self._terms.may_publish(result.node):
            return
        with self._mutex, self._unless_abandoned():
            if result.key not in self._pushing:
                self._pushing[result.key] = self._pushes.submit(self._push_claimed, result)

    def _push_claimed(self, result: ActionResult) -> None:
        done = False
        try:
            done = self._push(result)
        finally:
            if self._claims is not None:
                self._claims.release(result.key, done=done)

    def _push(self, result: ActionResult) -> bool:
        """Whether the remote store has the result afterwards."""
        manifest = canonical(result.manifest)
        action = Digest(result.key, len(manifest))
        if result.key not in self._refused and self._is_there(result, action):
            return True
        # a tree of which something is not here any more is nothing to push
        with suppress(StoreError):
            tree = tree_of(self.cas.directory, result.tree)
            text = result.encode().decode()
            note = (self._terms.signer.sign(text) if self._terms.signer else Note(text, {})).encode()
            sources: dict[Digest, bytes | bool] = {Digest.of(data): data for data in (manifest, tree, note)}
            sources.update(self._forms_of(result))
            self._write_all(sources)
            outcome = Outcome(Digest.of(tree), Digest.of(note), note, result.log)
            return bool(self._writing.attempt(lambda: self._put_result(action, outcome, sources)))
        return False

    def _is_there(self, result: ActionResult, action: Digest) -> bool:
        """Whether the remote store has this result, or another one of its key, which is told."""

        def ask() -> bool:
            value = self._remote.get_result(action)
            with suppress(ValueError):
                found = Note.decode(self._inlined(Outcome.decode(value or b"")).contents)
                if self._terms.verifier is None or self._terms.verifier.accepts(found):
                    theirs = ActionResult.decode(found.result.encode())
                    if theirs.tree != result.tree:
                        self._writing.tell(f"{result.node} gave other bytes on another machine: doit verify {result.node}")
                    return True
            return False

        return bool(self._writing.attempt(ask))

    def _forms_of(self, result: ActionResult) -> dict[Digest, bytes | bool]:
        """Blobs of the tree, its folders too (casd keeps no result without them), and the log: whether each is executable."""
        forms: dict[Digest, bytes | bool] = {entry.digest: entry.executable for entry in super().tree(result.tree) if entry.digest}
        forms[result.tree] = False
        if result.log is not None:
            forms.setdefault(result.log, False)
        return forms

    def _write_all(self, sources: Mapping[Digest, bytes | bool]) -> None:
        """Send what is not there. Raises StoreError when that is nowhere, neither here nor in a farm."""

        def write(group: list[Digest]) -> None:
            self._remote.write([blobs[digest] for digest in group])
            self._sent.update(group)

        def check(group: list[Digest]) -> None:
            absent = self._remote.missing(group)
            self._sent.update(set(group) - absent)

        unsure = [digest for digest in sources if digest not in self._sent]
        self._spread(self._writing, check, _sliced(unsure, self._remote.query))
        lacking = [digest for digest in unsure if digest not in self._sent]
        # of what a farm made, files may not be here yet
        self.bring({digest: form for digest in lacking if isinstance(form := sources[digest], bool)})
        blobs = {digest: self._blob(digest, sources[digest]) for digest in lacking}
        self._spread(self._writing, write, grouped(lacking, self._remote.batch))

    def _blob(self, digest: Digest, source: bytes | bool) -> Blob:
        found = source if isinstance(source, bytes) else self.blob_path(digest, source)
        if found is None:
            raise StoreError(f"blob {digest} is missing")
        return digest, found

    def _put_result(self, action: Digest, outcome: Outcome, sources: Mapping[Digest, bytes | bool]) -> bool:
        # never name blobs that did not arrive
        if not sources.keys() <= self._sent:
            return False
        self._remote.put_result(action, outcome.encode())
        self.pushed += 1
        return True


class Reports(Protocol):
    """graph.report.PlainReporter, as far as it hears of a remote store."""

    def line(self, text: str) -> None: ...

    def moved(self, received: int = 0, sent: int = 0) -> None: ...


def open_shared(
    root: Path, settings: Settings | None, may_publish: Callable[[str], bool], reporter: Reports, farm: Remote | None = None
) -> SharedStore:
    """The store at `root` with the remote one that `settings` name behind it, and what a farm made. Raises RemoteError.

    One of the two is given. Nothing is asked of either yet.
    """
    if settings is None:
        assert farm is not None
        return SharedStore(root, farm, Terms(ask=False), reporter.line)
    signer = Signer(settings.signing_key) if settings.signing_key and settings.push else None
    verifier = Verifier(settings.keys) if settings.keys else None
    terms = Terms(settings.push, may_publish, signer, verifier, Times() if settings.claim else None)
    remote = connect(settings, reporter.moved)
    return SharedStore(root, remote, terms, reporter.line, farm)


def _sliced(digests: Sequence[Digest], count: int) -> Iterator[list[Digest]]:
    return (list(digests[start : start + count]) for start in range(0, len(digests), count))
