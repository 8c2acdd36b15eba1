"""One GNU make jobserver for the whole doit process: as many jobs run at once as there are tokens, in however many nodes.

It is the pipe of GNU make 4.2 and later (manual: "POSIX Jobserver Interaction"; 4.4 still takes a pipe). A running node holds one token
itself, which is the job slot that its make has without asking; every further job of that make takes one from the pipe and puts it back.

A make that is killed loses the tokens it held, and nobody can tell how many. So the running nodes are counted, and whenever the last
of them ends, the pipe is emptied and filled anew. Nodes need one token to start and none to go on, so lost tokens never block a build;
and the fewer tokens are left, the sooner no node runs. (One pipe per node with a broker between would find them at once, at
the price of a thread that polls, and of tokens that lie in the pipe of a node that wants none.)
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
from collections import deque
from collections.abc import Iterator

from graph.errors import Interrupted, UsageError

TOKEN = b"+"
POLL_MILLISECONDS = 100
LARGEST = 4096
"""Tokens: the least that a pipe holds anywhere (PIPE_BUF of Linux); a write of more could wait for a reader that is not there."""


class Jobserver:
    """`tokens` job slots, shared by all threads of this process and the makes they start. Raises UsageError on too many."""

    def __init__(self, tokens: int) -> None:
        if not 0 < tokens <= LARGEST:
            raise UsageError(f"{tokens} jobs cannot run at once", hint=f"FREESTANDING_JOBS from 1 to {LARGEST}")
        self.tokens = tokens
        self.fds: tuple[int, int] = os.pipe()
        """Read end, write end: what a make inherits."""
        self._reader = _own_reader(self.fds[0])
        self._guard = threading.Lock()
        self._running = 0
        self._waiting: deque[threading.Event] = deque()
        """One for each thread that wants a slot, in the order in which they came; the first one's is set."""
        os.write(self.fds[1], TOKEN * tokens)

    def makeflags(self, fds: tuple[int, int]) -> str:
        """Value of MAKEFLAGS for a make that has the pipe at `fds`. With it, make must not be given -j."""
        return f" -j --jobserver-auth={fds[0]},{fds[1]}"

    @contextlib.contextmanager
    def slot(self, cancel: threading.Event | None = None) -> Iterator[None]:
        """Hold one token while a node runs; waits for it. Raises Interrupted when `cancel` is set meanwhile."""
        self._acquire(cancel)
        try:
            yield
        finally:
            self._release()

    def free(self) -> int:
        """Number of tokens in the pipe now."""
        with self._guard:
            found = self._drain()
            os.write(self.fds[1], TOKEN * found)
        return found

    def close(self) -> None:
        """Close the pipe; no slot may be held."""
        for fd in {*self.fds, self._reader}:
            os.close(fd)

    def _acquire(self, cancel: threading.Event | None) -> None:
        with self._queued() as first:
            poller = select.poll()
            poller.register(self._reader, select.POLLIN)
            while not (first.wait(POLL_MILLISECONDS / 1000) and self._take()):
                if cancel is not None and cancel.is_set():
                    raise Interrupted("interrupted while waiting for a job slot")
                if first.is_set():
                    poller.poll(POLL_MILLISECONDS)

    @contextlib.contextmanager
    def _queued(self) -> Iterator[threading.Event]:
        """A place in the queue; the event is set when it is the first. (Who has just ended a node would else be first again, each time.)"""
        place = threading.Event()
        with self._guard:
            self._waiting.append(place)
            self._waiting[0].set()
        try:
            yield place
        finally:
            with self._guard:
                self._waiting.remove(place)
                if self._waiting:
                    self._waiting[0].set()

    def _take(self) -> bool:
        with self._guard, contextlib.suppress(BlockingIOError):
            os.read(self._reader, 1)
            self._running += 1
            return True
        return False

    def _release(self) -> None:
        with self._guard:
            self._running -= 1
            if self._running:
                os.write(self.fds[1], TOKEN)
            else:
                self._drain()
                os.write(self.fds[1], TOKEN * self.tokens)

    def _drain(self) -> int:
        """Empty the pipe; how many tokens were in it."""
        with contextlib.suppress(BlockingIOError):
            return len(os.read(self._reader, 65536))
        return 0


def _own_reader(fd: int) -> int:
    """A non-blocking descriptor of the pipe. On Linux one of its own: O_NONBLOCK on the shared one would break make 4.2."""
    if sys.platform == "linux":
        return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.set_blocking(fd, False)
    return fd
