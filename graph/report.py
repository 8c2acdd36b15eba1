"""What a run shows: a live table on a terminal, plain lines elsewhere, and a summary at the end."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live


MOVED_EVERY = 5.0
"""Seconds between two lines about what moves to and from a remote store."""


class Tally:
    """Counts of one run."""

    def __init__(self) -> None:
        self.total = 0
        self.ran = 0
        self.from_store = 0
        self.running: dict[str, float] = {}
        """Name of a running node -> start, in seconds of the monotonic clock."""
        self.progress: dict[str, tuple[int, int]] = {}
        """Name of a fetching node -> (bytes done, bytes in all)."""
        self.received = 0
        """Bytes that came from a remote store."""
        self.sent = 0
        """Bytes that went there."""

    @property
    def left(self) -> int:
        return max(0, self.total - self.ran - self.from_store)


class PlainReporter:
    """One line when a node starts and one when it ends; nothing for nodes that came from the store."""

    def __init__(self, stream: TextIO) -> None:
        self.tally = Tally()
        self._stream = stream
        self._mutex = threading.Lock()
        self._writing = threading.Lock()
        self._began = time.monotonic()
        self._shown = self._began

    def begin(self, total: int, known: int = 0) -> None:
        """`total` nodes, of which `known` are not looked at: a result that stands on them is in the store."""
        self.tally.total = total
        self.tally.from_store += known

    def started(self, name: str) -> None:
        with self._mutex:
            self.tally.running[name] = time.monotonic()
            self.line(f"run  {name}")

    def finished(self, name: str, seconds: float) -> None:
        with self._mutex:
            self.tally.running.pop(name, None)
            self.tally.progress.pop(name, None)
            self.tally.ran += 1
            self.line(f"done {name} in {seconds:.1f} s ({self.tally.left} left)")

    def cached(self, name: str) -> None:
        with self._mutex:
            self.tally.from_store += 1

    def failed(self, name: str) -> None:
        with self._mutex:
            self.tally.running.pop(name, None)

    def waiting(self, name: str) -> None:
        self.line(f"wait {name}: another doit is at it")

    def made_again(self, name: str) -> None:
        self.line(f"lost {name}: its bytes are gone, it is made again here")

    def moved(self, received: int = 0, sent: int = 0) -> None:
        """Bytes came from a remote store, or went there: a line every few seconds."""
        with self._mutex:
            self.tally.received += received
            self.tally.sent += sent
            self._show_moved()

    def _show_moved(self) -> None:
        now = time.monotonic()
        if now - self._shown >= MOVED_EVERY:
            self._shown = now
            self.line(self._moved())

    def _moved(self) -> str:
        return f"remote: {self.tally.received / 1e6:.1f} MB received, {self.tally.sent / 1e6:.1f} MB sent"

    def progress(self, name: str, done: int, total: int) -> None:
        self.tally.progress[name] = (done, total)

    def line(self, text: str) -> None:
        """One line for the user, above what is live."""
        # a reader that went away (head, a lost terminal) is no reason to stop building
        with suppress(OSError), self._writing:
            print(text, file=self._stream, flush=True)

    def end(self, failed: int) -> None:
        """The summary."""
        seconds = time.monotonic() - self._began
        if self.tally.received or self.tally.sent:
            self.line(self._moved())
        state = f"{failed} failed, " if failed else ""
        self.line(f"{state}{self.tally.ran} nodes run, {self.tally.from_store} from the store, {seconds:.1f} s")


class LiveReporter(PlainReporter):
    """The same for a terminal: what runs, since when, what came from the store, how much is left; lines scroll above it."""

    _live: Live | None = None

    def started(self, name: str) -> None:
        with self._mutex:
            self.tally.running[name] = time.monotonic()
            self._show()

    def line(self, text: str) -> None:
        if self._live is None:
            super().line(text)
        else:
            self._live.console.print(text, markup=False, highlight=False)

    def end(self, failed: int) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        super().end(failed)

    def _show_moved(self) -> None:
        self._show()

    def _show(self) -> None:
        if self._live is None:
            from rich.live import Live

            # rich is imported when the first node runs: a run that finds all in the store stays quick
            self._live = Live(get_renderable=self._render, refresh_per_second=4, transient=True)
            self._live.start()

    def _render(self) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        now = time.monotonic()
        table = Table.grid(padding=(0, 2))
        for name, since in sorted(self.tally.running.items(), key=lambda item: item[1]):
            table.add_row("run", name, f"{now - since:5.0f} s", Text(_share(self.tally.progress.get(name))))
        tally = self.tally
        table.add_row("", f"{tally.ran} run, {tally.from_store} from the store, {tally.left} left", f"{now - self._began:5.0f} s", "")
        if tally.received or tally.sent:
            table.add_row("", self._moved(), "", "")
        return table


def make_reporter(stream: TextIO | None = None) -> PlainReporter:
    """A LiveReporter where `stream` is a terminal."""
    stream = stream or sys.stdout
    return LiveReporter(stream) if stream.isatty() else PlainReporter(stream)


def _share(progress: tuple[int, int] | None) -> str:
    if progress is None or not progress[1]:
        return ""
    done, total = progress
    filled = 20 * done // total
    return f"[{'#' * filled}{'.' * (20 - filled)}] {done / 1e6:.0f}/{total / 1e6:.0f} MB"
