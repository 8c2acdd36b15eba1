"""Realising nodes: the only place where the pure plan meets store, sandbox and network."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import quote

from graph import archive, patch
from graph.digest import FIXED_MTIME, Digest, canonical
from graph.errand import Farmed, Phase
from graph.errors import FreestandingError, Interrupted, MissingBlob, PatchError, PlanError, StoreError, UnpackError
from graph.failures import no_output, step_failed
from graph.fetch import FetcherProtocol
from graph.jobserver import Jobserver
from graph.lock import Lock
from graph.node import Fetch, File, Input, Manifest, Node, Run, Unpack, key, manifest
from graph.plan import Plan, deep_keys
from graph.result import ActionResult
from graph.sandbox import Job, Mount, Runner
from graph.store import StoreProtocol, Turn

T = TypeVar("T")


class Observer(Protocol):
    """Told what happens to nodes; calls come from many threads."""

    def started(self, name: str) -> None: ...

    def finished(self, name: str, seconds: float) -> None: ...

    def cached(self, name: str) -> None: ...

    def failed(self, name: str) -> None: ...

    def waiting(self, name: str) -> None: ...

    def made_again(self, name: str) -> None: ...

    def progress(self, name: str, done: int, total: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Span:
    """One executed node of a run, in seconds of the wall clock."""

    node: str
    start: float
    end: float
    phases: tuple[Phase, ...] = ()
    """Of a node that a farm ran."""
    where: str = ""


class FarmProtocol(Protocol):
    """Runs the steps of nodes elsewhere."""

    def run(
        self, node: Node, trees: Mapping[Input, Digest], forgetting: Callable[[str], AbstractContextManager[None]], stop: threading.Event
    ) -> Farmed | None:
        """See graph.farm.Farm."""

    def abandon(self) -> None:
        """Cancel what runs."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """The effects that a build works with."""

    store: StoreProtocol
    runner: Runner
    fetcher: FetcherProtocol
    jobserver: Jobserver
    observer: Observer
    lock: Lock
    tools: Mapping[str, str]
    """What each set of host tools holds, as manifests tell it."""
    farm: FarmProtocol | None = None


class _BusyError(Exception):
    """Another process makes the node."""

    @classmethod
    def raised(cls) -> None:
        raise cls


class GoneError(StoreError):
    """Blobs of a result are not there; the result was dropped."""

    def __init__(self, error: MissingBlob, node: str, result: ActionResult) -> None:
        what = f"{error.what}; the result of {node} was dropped"
        super().__init__(what, place=error.place, hint="type the same command again")
        self.node = node
        self.result = result


class DroppedError(StoreError):
    """The result of a node was dropped, since one that it is made from gave other bytes when it was made again."""

    def __init__(self, node: str) -> None:
        super().__init__(f"{node} has to be made again", place=node, hint="type the same command again")
        self.node = node


class Build:
    """Realises the nodes of one plan. Every method may be called from many threads; a node's inputs must be realised before it."""

    def __init__(self, plan: Plan, workshop: Workshop) -> None:
        self.plan = plan
        self.spans: list[Span] = []
        self._shop = workshop
        self._store = workshop.store
        self._results: dict[str, ActionResult] = {}
        self._deep: dict[str, str] = {}
        self._ageing: set[str] = set()
        self._stop = threading.Event()
        self._mending = threading.RLock()
        self._made_again: set[str] = set()

    def stop(self) -> None:
        """Start no further node and end the running steps."""
        self._stop.set()
        if self._shop.farm is not None:
            self._shop.farm.abandon()

    def manifest(self, name: str) -> Manifest:
        """The node's manifest. Its inputs must be realised."""
        return manifest(self.plan[name], self._input_digests(self.plan[name]), self._shop.tools)

    def result(self, name: str) -> ActionResult:
        """What a realised node gave. Raises DroppedError when that is not right any more: see mending()."""
        try:
            return self._results[name]
        except KeyError:
            raise DroppedError(name) from None

    def look_ahead(self, names: Iterable[str], threads: int) -> None:
        """Ask is_cached() of all of `names`, given in topological order, `threads` at once: with a remote store each question is a trip."""
        names = tuple(names)
        asked: dict[str, Future[bool]] = {}

        def ask(name: str) -> bool:
            # what goes wrong now goes wrong again, and is told, when the node's turn comes
            with suppress(FreestandingError):
                return all(asked[given.node].result() for given in self.plan[name].inputs if given.node in asked) and self.is_cached(name)
            return False

        # started in topological order: one that waits has only such before it as run or have ended
        pool = ThreadPoolExecutor(threads)
        try:
            asked.update((name, pool.submit(ask, name)) for name in names)
            wait(asked.values())
        finally:
            # after Ctrl-C nothing is waited for here: abandon() ends what still asks
            pool.shutdown(wait=False, cancel_futures=True)

    def needed(self, names: Iterable[str]) -> tuple[str, ...]:
        """Of `names` and what they are made from the nodes that a build must look at, in topological order.

        A node whose result was made of the very same plan counts as realised, and what is behind it is not looked at.
        """
        names = tuple(names)
        trust = f".{self._store.trust}" if self._store.trust else ""
        self._deep.update((name, deep + trust) for name, deep in deep_keys(self.plan, names, self._shop.tools).items())
        found: set[str] = set()
        todo = [*names]
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                todo.extend(() if self._is_known(name) else (given.node for given in self.plan[name].inputs))
        self._keep_young()
        return tuple(name for name in self.plan.nodes if name in found)

    def _keep_young(self) -> None:
        """Note, once a day, that what is behind known results is used, or gc would drop what the next change needs."""
        behind = self.plan.closure(self._ageing)
        self._ageing.clear()
        for name in behind:
            self._store.result(self._store.last(name, self._deep[name]) or "")

    def _is_known(self, name: str) -> bool:
        last = self._store.last(name, self._deep[name])
        young = last is not None and self._store.is_young(last)
        result = self._usable(self._store.result(last)) if last else None
        if result is None:
            return False
        if not young:
            self._ageing.add(name)
        self._keep(name, result)
        self._shop.observer.cached(name)
        return True

    def is_cached(self, name: str) -> bool:
        """Whether the store has the node's result; if so it counts as realised. False when an input is not realised."""
        if name in self._results:
            return True
        if any(given.node not in self._results for given in self.plan[name].inputs):
            return False
        result = self._find(self.manifest(name))
        if result is None:
            return False
        self._keep(name, result)
        self._shop.observer.cached(name)
        return True

    def realise(self, name: str) -> ActionResult:
        """The node's result, from the store or by executing it; published when it is whole."""
        known = self._results.get(name)
        if known is not None and known.key not in self._made_again:
            return known
        return self.mending(lambda: self._realise(name))

    def _realise(self, name: str) -> ActionResult:
        lines = self.manifest(name)
        with self._store.lock(key(lines), lambda: self._shop.observer.waiting(name)):
            result = self._find(lines)
        if result is None:
            result = self._made(name, lines)
        else:
            self._shop.observer.cached(name)
        self._keep(name, result)
        return result

    def _made(self, name: str, lines: Manifest) -> ActionResult:
        """The result of executing the node here, in another process of this store, or on the machine that was first to claim it."""
        while True:
            turn, size = Turn(ours=False), len(canonical(lines))
            farm = self._farm_for(self.plan[name], lines)
            # who has a slot locks and claims, as it runs at once: what waits for one keeps nobody from the node
            with suppress(_BusyError), self._place(self.plan[name], farm), self._store.lock(key(lines), _BusyError.raised):
                turn = Turn(found=self._usable(self._store.result(key(lines))))
                if turn.found is None:
                    with self._store.turn(name, key(lines), size) as turn:
                        if turn.ours and turn.found is None:
                            return self._executed(name, lines, farm)
            found = turn.found
            if found is None:
                self._shop.observer.waiting(name)
                with self._store.lock(key(lines)):
                    self._store.wait(key(lines), self._stop)
                    found = self._find(lines)
            if found is not None:
                self._shop.observer.cached(name)
                return found
            if self._stop.is_set():
                raise Interrupted(f"{name} was not started")

    def _executed(self, name: str, lines: Manifest, farm: FarmProtocol | None) -> ActionResult:
        result = self._timed(name, lines, farm)
        if self._made_again and self.manifest(name) != lines:
            # an input was made again meanwhile, and may have been staged
            raise DroppedError(name)
        self._store.publish(result)
        # told only now: what was said to be done is never done again
        self._shop.observer.finished(name, result.seconds)
        return result

    def mending(self, use: Callable[[], T]) -> T:
        """What `use` gives. When blobs of a node's result are gone, that node is made again here, and `use` tried again.

        Not for code that holds a lock or a slot. Raises StoreError if the blobs are gone again.
        """
        while True:
            try:
                return use()
            except GoneError as error:
                self._make_again(error)
            except DroppedError as error:
                # in topological order: a chain of inputs may be longer than Python's stack
                for behind in self.plan.closure([error.node]):
                    if not self.is_cached(behind):
                        self.realise(behind)

    def _make_again(self, error: GoneError) -> None:
        with self._mending:
            if self._results.get(error.node) is not error.result:
                return
            if error.result.key in self._made_again:
                raise error
            self._made_again.add(error.result.key)
            self._shop.observer.made_again(error.node)
            if self.realise(error.node).tree != error.result.tree:
                # the results that stand on the old bytes are those of other keys now
                for name in self.plan.users([error.node]):
                    self._results.pop(name, None)

    def execute(self, name: str) -> ActionResult:
        """Execute the node whatever the store holds, and publish nothing: what `doit verify` compares with."""

        def once() -> ActionResult:
            lines = self.manifest(name)
            farm = self._farm_for(self.plan[name], lines)
            with self._place(self.plan[name], farm):
                return self._timed(name, lines, farm)

        result = self.mending(once)
        self._shop.observer.finished(name, result.seconds)
        return result

    def _find(self, lines: Manifest) -> ActionResult | None:
        return self._usable(self._store.result(key(lines), len(canonical(lines))))

    def _usable(self, result: ActionResult | None) -> ActionResult | None:
        # a result made outside the sandbox is good enough only for a host that has none
        return result if result is not None and (result.hermetic or not self._shop.runner.hermetic) else None

    def _keep(self, name: str, result: ActionResult) -> None:
        self._results[name] = result
        self._store.remember(name, result.key, self._deep.get(name, ""))

    def _timed(self, name: str, lines: Manifest, farm: FarmProtocol | None) -> ActionResult:
        node = self.plan[name]
        if self._stop.is_set():
            raise Interrupted(f"{name} was not started")
        self._shop.observer.started(name)
        start = time.time()
        try:
            result, phases = self._sent(farm, node, lines) if farm else (self._execute(node, lines), ())
        except BaseException:
            self._shop.observer.failed(name)
            raise
        end = time.time()
        self.spans.append(Span(name, start, end, phases, result.where))
        # a farm's sandbox does not mend what was put into it
        hermetic = result.hermetic and all(self.result(given.node).hermetic for given in node.inputs)
        return replace(result, seconds=round(end - start, 3), hermetic=hermetic)

    def _sent(self, farm: FarmProtocol, node: Node, lines: Manifest) -> tuple[ActionResult, tuple[Phase, ...]]:
        """The node's result from a farm, or from here when that cannot run it."""
        farmed = farm.run(node, self._input_digests(node), self.forgetting, self._stop)
        if farmed is None:
            with self._slot(node):
                return self._execute(node, lines), ()
        assert isinstance(node.action, Run)
        if farmed.status != 0:
            log = self._store.blob_path(farmed.log)
            assert log is not None
            raise step_failed(node, node.action, farmed.step, farmed.status, self._keep_log(node.name, log))
        if farmed.tree is None:
            raise no_output(node, node.action)
        return ActionResult(node.name, key(lines), farmed.tree, 0.0, True, lines, farmed.log, farmed.where), farmed.phases

    def _farm_for(self, node: Node, lines: Manifest) -> FarmProtocol | None:
        # what was lost once is made again here, where it is not lost a second time
        return self._shop.farm if isinstance(node.action, Run) and key(lines) not in self._made_again else None

    def _place(self, node: Node, farm: FarmProtocol | None) -> AbstractContextManager[None]:
        """Held while the node runs: a slot, where it is this machine that runs it."""
        return nullcontext() if farm else self._slot(node)

    @contextmanager
    def _slot(self, node: Node) -> Iterator[None]:
        # a download waits for the network, not for a core
        if isinstance(node.action, Fetch):
            yield
        else:
            with self._shop.jobserver.slot(self._stop):
                yield

    def _execute(self, node: Node, lines: Manifest) -> ActionResult:
        log: Digest | None = None
        with self._store.workdir() as root:
            if isinstance(node.action, Fetch):
                tree, hermetic = self._fetch(node.name, node.action, root), True
            elif isinstance(node.action, Unpack):
                tree, hermetic = self._unpack(node, node.action, root), True
            else:
                tree, hermetic, log = self._run(node, node.action, root)
        return ActionResult(node=node.name, key=key(lines), tree=tree, seconds=0.0, hermetic=hermetic, manifest=lines, log=log)

    def _fetch(self, name: str, action: Fetch, root: Path) -> Digest:
        out = root / "out"
        out.mkdir()
        source = replace(self._shop.lock.sources[action.source], filename=action.filename, sha256=action.sha256, size=action.size)
        self._shop.fetcher.fetch(source, out / action.filename, lambda done, total: self._shop.observer.progress(name, done, total))
        return self._store.put_tree(out, move=True)

    def _unpack(self, node: Node, action: Unpack, root: Path) -> Digest:
        out = root / "out"
        packed, filename = self._only_file(node.inputs[0])
        try:
            unpacked = archive.unpack(packed, out, strip=action.strip, only=action.only, without=action.without)
        except UnpackError as error:
            # in the store the archive's name is its hash
            place = error.place.replace(str(packed), filename).replace(packed.name, filename)
            raise UnpackError(error.what, place=f"{node.name}: {place}", hint=error.hint) from error
        if unpacked.unmatched:
            raise PlanError(f"no path of {filename} matches {', '.join(unpacked.unmatched)}", place=node.name, hint="mend the globs")
        for file in node.files:
            _apply_patch(out, file.path, file.data)
        return self._store.put_tree(out, move=True)

    def _only_file(self, given: Input) -> tuple[Path, str]:
        """Path in the store, and name, of the one file that a fetch gave."""
        with self.forgetting(given.node):
            [(name, digest, executable)] = self._store.directory(self._filtered(given)).files
            path = self._store.blob_path(digest, executable)
            if path is None:
                raise MissingBlob(f"blob {digest} is missing", place=name)
        return path, name

    def _run(self, node: Node, action: Run, root: Path) -> tuple[Digest, bool, Digest]:
        job = self.stage(node, root)
        outcome = self._shop.runner.run(job, self._shop.jobserver, self._stop)
        log = self._store.put_file(job.log, executable=False)
        if self._stop.is_set():
            raise Interrupted(f"{node.name} was interrupted")
        if outcome.status != 0:
            raise step_failed(node, action, outcome.failed_step or 0, outcome.status, self._keep_log(node.name, job.log))
        out = job.root / action.output
        if not out.is_dir():
            raise no_output(node, action)
        return self._store.put_tree(out, move=True), outcome.hermetic, log

    def _keep_log(self, name: str, log: Path) -> Path:
        kept = self._store.logs / f"{quote(name, safe=':')}.log"
        shutil.copyfile(log, kept)
        return kept

    def stage(self, node: Node, root: Path) -> Job:
        """Lay out /build under `root`: writable copies and files in place, the other inputs as mounts."""
        if not isinstance(node.action, Run):
            raise PlanError("only nodes that run steps have a sandbox", place=node.name)
        build = root / "build"
        build.mkdir()
        mounts = []
        for given in node.inputs:
            with self.forgetting(given.node):
                digest = self._filtered(given)
                if given.writable:
                    self._store.copy_tree(digest, build / given.at)
                else:
                    mounts.append(Mount(self._store.checkout(digest), given.at))
        for file in node.files:
            _write(build / file.path, file)
        for name in ("work", "tmp", "out"):
            (build / name).mkdir(exist_ok=True)
        return Job(build, tuple(mounts), node.action.steps, node.action.env, node.action.tools, root / "log")

    @contextmanager
    def forgetting(self, name: str) -> Iterator[None]:
        """A result whose blobs are gone becomes a miss, here and in a shared store. Raises GoneError, for mending() or the next run."""
        result = self.result(name)
        try:
            yield
        except MissingBlob as error:
            self._store.forget(result.key)
            raise GoneError(error, name, result) from error

    def _input_digests(self, node: Node) -> Mapping[Input, Digest]:
        return {given: self._filtered(given) for given in node.inputs}

    def _filtered(self, given: Input) -> Digest:
        tree = self.result(given.node).tree
        if not (given.only or given.without or given.subdir):
            return tree
        with self.forgetting(given.node):
            filtered = self._store.filter(tree, given.subdir, given.only, given.without)
        if filtered.unmatched:
            raise PlanError(f"no path of {given.node} matches {', '.join(filtered.unmatched)}", place=f"input {given.at}")
        return filtered.tree


def _write(path: Path, file: File) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.data)
    path.chmod(0o755 if file.executable else 0o644)
    os.utime(path, (FIXED_MTIME, FIXED_MTIME))


def _apply_patch(tree: Path, name: str, data: bytes) -> None:
    def read(path: str) -> bytes | None:
        file = tree / path
        return file.read_bytes() if file.is_file() else None

    for path, content in patch.apply_patch(data, name, read).items():
        file = tree / path
        if tree.resolve() not in file.resolve().parents:
            raise PatchError(f"{path} leads outside the source tree", place=name)
        if content is None:
            file.unlink()
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
