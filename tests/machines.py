"""Machines that share a remote store: each with a store of its own, and the small graph of tests/fakes.py to build."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

from graph.build import Build
from graph.errors import FreestandingError, MissingBlob
from graph.node import Run
from graph.plan import Plan
from graph.remote.base import Remote, Watch
from graph.remote.connect import connect
from graph.remote.settings import Settings
from graph.shared import SharedStore, Terms
from graph.store import Store
from tests.fakes import DIST, context_of, tiny_plan
from tests.test_build import Notes, World

THREADS = 4
"""That look ahead."""


class Machine(World):
    """A World whose store is shared; `said` is what its user reads."""

    def __init__(self, root: Path, settings: Settings, terms: Terms | None = None, window: float = 20.0) -> None:
        super().__init__(root)
        self.said: list[str] = []
        self.received = self.sent = 0
        self.remote: Remote = connect(settings, self.moved, Watch(window))
        self.shared = SharedStore(root, self.remote, terms or Terms(settings.push), self.said.append)
        self.store: Store = self.shared

    def moved(self, received: int = 0, sent: int = 0) -> None:
        self.received += received
        self.sent += sent

    def make(self, names: Iterable[str] = (DIST,), files: dict[str, bytes] | None = None, threads: int = THREADS) -> list[str]:
        """What the command does: look ahead, realise what is lacking, take the dist's file; the nodes that ran."""
        build, notes = self.build(context_of(files=files))
        self.finish(build, names, threads)
        return notes.ran

    def again(self, names: Iterable[str] = (DIST,)) -> tuple[Build, Notes]:
        """The same, to look at the build afterwards."""
        build, notes = self.build(context_of())
        self.finish(build, names)
        return build, notes

    def finish(self, build: Build, names: Iterable[str], threads: int = THREADS) -> None:
        closure = build.plan.closure(names)
        build.look_ahead(closure, threads)
        for name in closure:
            if not cached(build, name):
                build.realise(name)
        build.mending(lambda: self.archive(build))
        self.shared.flush()

    def archive(self, build: Build) -> bytes:
        """Bytes of the distribution, as deliver() copies them."""
        with build.forgetting(DIST):
            [(_, digest, executable)] = self.store.directory(build.result(DIST).tree).files
            path = self.store.blob_path(digest, executable)
            if path is None:
                raise MissingBlob("gone")
        return path.read_bytes()


def cached(build: Build, name: str) -> bool:
    """What doit is told."""
    with suppress(FreestandingError):
        return build.is_cached(name)
    return False


class Place:
    """Where machines of one test are: `machine` makes another one with an empty store."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.stack = ExitStack()
        self.count = 0

    def machine(self, settings: Settings, terms: Terms | None = None, window: float = 20.0) -> Machine:
        self.count += 1
        made = Machine(self.root / f"machine{self.count}" / "store", settings, terms, window)
        self.stack.callback(made.shared.abandon)
        return made


PLAN: Plan = tiny_plan(context_of())
EVERYTHING = PLAN.closure([DIST])
STEPS = {name for name, node in PLAN.nodes.items() if isinstance(node.action, Run)}
