"""Nodes run by the workers of a farm: inputs go there, an Action is waited for, what it made is taken as a tree of ours. See docs/farm.md.

Whatever the farm does, the worst is that a node runs here: `Guard` says so once, and after too many faults the farm is left alone.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from graph.digest import Digest
from graph.errand import Errand, Farmed, compose, errand, phases_of
from graph.errors import Interrupted, MissingBlob, StepFailed
from graph.node import Input, Node, Run
from graph.reapi import Executed
from graph.remote.base import Blob, Fault, grouped
from graph.remote.execute import Executor, MissingInput
from graph.remote.guard import Guard, Told
from graph.remote.settings import FarmSettings
from graph.sandbox import INIT, ToolResolver
from graph.shared import SharedStore

HAND = Path(__file__).with_name("farmhand.py")
POLL_SECONDS = 0.1
NOT_FOUND = (126, 127)
"""Exit statuses of a command that cannot be run, as shells and env(1) have them."""

_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")

Forgetting = Callable[[str], AbstractContextManager[None]]
"""Within it, a MissingBlob is about the output of the node of this name."""


class Farm:
    """The workers behind one server. Every method may be called from many threads."""

    def __init__(
        self,
        executor: Executor,
        store: SharedStore,
        tools: ToolResolver,
        settings: FarmSettings,
        may_leave: Callable[[str], bool],
        say: Callable[[str], None],
    ) -> None:
        self._executor = executor
        self._store = store
        self._tools = tools
        self._settings = settings
        self._may_leave = may_leave
        """Whether what the node of this name is made from may leave this machine."""
        self._guard = Guard(Told(say, "farm"), "used")
        self._places = threading.BoundedSemaphore(settings.jobs)
        self._uploading = threading.Lock()
        self._there: set[Digest] = set()
        """Blobs that the farm has; of trees that are there as a whole, the root stands for all."""
        self._tool_trees: dict[tuple[str, ...], tuple[Digest, tuple[str, ...]]] = {}
        self._programs = {path.name: path.read_bytes() for path in (HAND, INIT)}
        if sys.platform != "linux":
            say(f"farm: workers run what a Linux host would, and this is {sys.platform}: it is not used")
            self._guard.close()

    def run(self, node: Node, trees: Mapping[Input, Digest], forgetting: Forgetting, stop: threading.Event) -> Farmed | None:
        """How the node's steps ended; None when they have to be run here. Raises Interrupted, MissingBlob, HostToolMissing."""
        if not isinstance(node.action, Run) or self._guard.closed or not self._may_leave(node.name):
            return None
        action = node.action
        with self._place(stop):
            farmed = self._guard.attempt(lambda: self._once(node, action, trees, forgetting))
        if stop.is_set():
            raise Interrupted(f"{node.name} was interrupted")
        return farmed

    def abandon(self) -> None:
        """Ctrl-C: cancel what runs."""
        self._guard.close()
        self._executor.cancel()

    @contextmanager
    def _place(self, stop: threading.Event) -> Iterator[None]:
        """One of the actions that may be there at once."""
        while not self._places.acquire(timeout=POLL_SECONDS):
            if stop.is_set():
                raise Interrupted("interrupted while waiting for the farm")
        try:
            yield
        finally:
            self._places.release()

    def _once(self, node: Node, run: Run, trees: Mapping[Input, Digest], forgetting: Forgetting) -> Farmed:
        began = time.time()
        # one at a time: most actions begin with the same toolchain
        with self._uploading:
            task = self._provide(node, run, trees, forgetting)
        sent = time.time()
        try:
            executed = self._executor.execute(task.action)
        except MissingInput:
            self._there.clear()
            raise
        return self._taken(executed, len(run.steps), (began, sent))

    # what goes there

    def _provide(self, node: Node, run: Run, trees: Mapping[Input, Digest], forgetting: Forgetting) -> Errand:
        """The node's Action, when all that it names is there. Raises Fault, MissingBlob."""
        tools = self._tool_tree(run.tools)
        self._send_tree(tools[0])
        for given, tree in trees.items():
            with forgetting(given.node):
                self._send_tree(tree)
        task = errand(node, run, trees, tools, self._programs, self._settings.properties, self._settings.cores)
        self._send(task.blobs)
        return task

    def _tool_tree(self, names: tuple[str, ...]) -> tuple[Digest, tuple[str, ...]]:
        """Tree of the host tools and all they need, and their paths in it: this machine's own, as a step here sees them."""
        if names not in self._tool_trees:
            binds = self._tools(names)
            try:
                root, folders = compose({at.lstrip("/"): self._kept(Path(source)) for at, source in binds.items()})
            except StepFailed as error:
                raise Fault("closed", f"the host tools cannot be sent: {error.what}") from None
            for folder in folders.values():
                self._store.cas.put(folder)
            self._tool_trees[names] = (root, tuple(binds))
        return self._tool_trees[names]

    def _kept(self, path: Path) -> Digest | tuple[Digest, bool]:
        if path.is_dir():
            return self._store.put_tree(path)
        execute = os.access(path, os.X_OK)
        return self._store.put_file(path, execute), execute

    def _send_tree(self, root: Digest) -> None:
        if root not in self._there:
            forms = {entry.digest: entry.executable for entry in self._store.tree(root) if entry.digest is not None}
            self._send({**forms, root: False})

    def _send(self, sources: Mapping[Digest, bytes | bool]) -> None:
        """Send what is not there: bytes, or the file of a blob, executable or not."""
        unsure = [digest for digest in sources if digest not in self._there]
        lacking: set[Digest] = set()
        for start in range(0, len(unsure), self._executor.query):
            lacking |= self._executor.missing(unsure[start : start + self._executor.query])
        # of another machine's trees, files may not be here yet
        self._store.bring({digest: form for digest in lacking if isinstance(form := sources[digest], bool)})
        for group in grouped(sorted(lacking), self._executor.batch):
            self._executor.write([self._blob(digest, sources[digest]) for digest in group])
        self._there.update(unsure)

    def _blob(self, digest: Digest, source: bytes | bool) -> Blob:
        found = source if isinstance(source, bytes) else self._store.blob_path(digest, source)
        if found is None:
            raise MissingBlob(f"blob {digest} is missing", place="an input of a node that a farm shall run")
        return digest, found

    # what comes back

    def _taken(self, executed: Executed, steps: int, upload: tuple[float, float]) -> Farmed:
        """What the worker gave, as results of ours. Raises Fault unless our own program there tells how the steps ended."""
        report = self._bytes(executed.stderr).decode(errors="replace").splitlines()
        told = {word: rest for word, _, rest in (line.partition(" ") for line in report)}
        if "error" in told:
            raise Fault("closed", f"a worker cannot make the sandbox ({told['error']}; docs/farm.md: what a worker needs)")
        status = int(_number(told, "done")) if "done" in told else None
        if status is None or (status == 0) != (executed.status == 0):
            kind = "closed" if executed.status in NOT_FOUND else "transient"
            last = report[-1][:160] if report else "it said nothing"
            raise Fault(kind, f"a worker ended an action with status {executed.status}: {last}")
        try:
            log = self._store.cas.put(self._bytes(executed.stdout))
            tree = self._store.take_tree(executed.tree) if executed.tree is not None and status == 0 else None
        except Fault as fault:
            # a moment ago it was there: unlike what expired, that tells something of the farm
            raise Fault("transient", "what a worker made is not there") if fault.kind == "gone" else fault from None
        where = " ".join(filter(None, (self._settings.server.url, executed.worker)))
        phases = phases_of(executed.times, _number(told, "staged"), upload, time.time())
        return Farmed(status, min(int(_number(told, "step")), steps - 1), tree, log, where, phases)

    def _bytes(self, printed: Digest | bytes) -> bytes:
        return printed if isinstance(printed, bytes) else self._store.take_blob(printed)


def _number(told: Mapping[str, str], word: str) -> float:
    """What a worker reports; 0 where it does not. Raises Fault."""
    text = told.get(word, "0")
    if not _NUMBER.fullmatch(text):
        raise Fault("wrong", f"a worker reports {word} {text[:40]!r}")
    return float(text)
