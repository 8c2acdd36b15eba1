"""Building nodes a second time and comparing what they give."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from graph.build import Build
from graph.digest import Digest
from graph.node import Fetch
from graph.plan import Plan
from graph.store import StoreProtocol


@dataclass(frozen=True, slots=True)
class Report:
    """What the second build of one node gave."""

    node: str
    first: Digest
    second: Digest
    differing: tuple[str, ...]
    """Paths that are in one tree only, or differ."""

    @property
    def same(self) -> bool:
        return self.first == self.second

    def __str__(self) -> str:
        if self.same:
            return f"same {self.node} {self.first.hash}"
        return "\n".join([f"DIFFERS {self.node} {self.first.hash} {self.second.hash}", *("  " + path for path in self.differing)])


def verify_nodes(plan: Plan, build: Build, store: StoreProtocol, names: Sequence[str], jobs: int) -> tuple[Report, ...]:
    """Execute each realised node again, in parallel. A fetch is left out: its bytes are its sha256."""
    chosen = [name for name in names if not isinstance(plan[name].action, Fetch)]

    def verify(name: str) -> Report:
        first = build.result(name).tree
        second = build.execute(name).tree
        return Report(name, first, second, () if first == second else _differing(store, first, second))

    with ThreadPoolExecutor(jobs + 2) as pool:
        try:
            return tuple(pool.map(verify, chosen))
        except BaseException:
            # the pool waits for its threads: they must hear of it first
            build.stop()
            raise


def _differing(store: StoreProtocol, first: Digest, second: Digest) -> tuple[str, ...]:
    one, two = (({entry.path: entry for entry in store.tree(tree)}) for tree in (first, second))
    return tuple(sorted(path for path in one.keys() | two.keys() if one.get(path) != two.get(path)))
