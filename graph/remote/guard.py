"""A remote store's faults are misses: each is said once, and a store with too many of them is left alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from graph.remote.base import Fault

T = TypeVar("T")

LIMIT = 5
"""Faults, each after its pauses, until the store is left alone for the rest of the run."""
PAUSES = (0.3, 1.0)
"""Seconds before a transient fault is met with another try."""


class Told:
    """Says each thing once, of `what`."""

    def __init__(self, say: Callable[[str], None], what: str = "remote") -> None:
        self._say = say
        self._what = what
        self._mutex = threading.Lock()
        self._told: set[str] = set()

    def __call__(self, text: str) -> None:
        with self._mutex:
            new = text not in self._told
            self._told.add(text)
        if new:
            self._say(f"{self._what}: {text}")


class Guard:
    """Tries things with a remote store, for one direction: what is `use`d."""

    def __init__(self, tell: Told, use: str) -> None:
        self.tell = tell
        self._use = use
        self._count = 0
        self._closed = threading.Event()

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    def attempt(self, action: Callable[[], T]) -> T | None:
        """What the action gives, or None for a fault."""
        for pause in (*PAUSES, None):
            if self.closed:
                return None
            try:
                return action()
            except Fault as fault:
                if fault.kind == "transient" and pause is not None and not self.closed:
                    self._closed.wait(pause)
                    continue
                self._count_fault(fault)
                return None
        raise AssertionError("the last try has no pause")

    def wait(self, seconds: float) -> bool:
        """Let time pass, but no longer than until it is closed: whether it is."""
        return self._closed.wait(seconds)

    def close(self) -> None:
        """Try nothing more."""
        self._closed.set()

    def _count_fault(self, fault: Fault) -> None:
        if self.closed:
            return
        # a blob that expired says nothing about the store
        if fault.kind != "gone":
            self._count += 1
        if fault.kind == "closed" or self._count >= LIMIT:
            self._closed.set()
            why = "" if fault.kind == "closed" else f" ({LIMIT} faults)"
            self.tell(f"{fault.why}: it is not {self._use} any more in this run{why}")
        else:
            self.tell(f"{fault.why}: done without it")
