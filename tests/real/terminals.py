"""Programs on a pseudo-terminal, and the screen that a user would see: pyte draws what they write."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Sequence
from types import TracebackType

import pyte

LINES, COLUMNS = 24, 80
PATIENCE = 30.0
BACKSPACE, ENTER, TAB, CTRL_D, CTRL_R = "\x7f", "\r", "\t", "\x04", "\x12"
UP, DOWN, RIGHT, LEFT = "\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D"
APPLICATION = {UP: "\x1bOA", DOWN: "\x1bOB", RIGHT: "\x1bOC", LEFT: "\x1bOD"}
"""What an arrow sends while a program has asked for application cursor keys."""
CURSOR_KEYS = 1 << 5
"""DECCKM, as pyte numbers private modes."""


class Terminal:
    """A process whose terminal is `screen`; as a context it is killed at the end."""

    def __init__(self, argv: Sequence[str]) -> None:
        self.screen = pyte.Screen(COLUMNS, LINES)
        self.text = ""
        """All that was ever written, as it came."""
        self._stream = pyte.Stream(self.screen)
        # pyte's word for not knowing ESC ( 0, line drawing, which terminals know whatever their encoding
        self._stream.use_utf8 = False
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._pid, self._fd = pty.fork()
        if not self._pid:
            # here, as the program may ask before the parent goes on
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
            os.execvp(argv[0], [*argv])

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        os.close(self._fd)

    def send(self, *keys: str) -> None:
        """Type keys; arrows as the terminal's mode has them."""
        for key in keys:
            sent = APPLICATION.get(key, key) if CURSOR_KEYS in self.screen.mode else key
            os.write(self._fd, sent.encode())

    def lines(self) -> list[str]:
        """What stands on the screen, without blanks at the ends of lines and below."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip().split("\n")

    def expect(self, *lines: str) -> None:
        """Wait until these are the last lines of the screen."""
        self.wait(lambda: tuple(self.lines()[-len(lines) :]) == lines, f"the lines {lines}")

    def wait(self, ready: Callable[[], bool], what: str) -> None:
        """Read until ready() is true. Fails with the screen when that does not come."""
        end = time.monotonic() + PATIENCE
        while not ready():
            left = end - time.monotonic()
            assert left > 0 and self._read(left), f"{what} did not come; the screen:\n" + "\n".join(self.lines())

    def ended(self) -> int:
        """Read to the end; the exit status."""
        while self._read(PATIENCE):
            pass
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        return os.waitstatus_to_exitcode(status)

    def _read(self, timeout: float) -> bool:
        """Take in what was written within the time; False at the end, or when nothing came."""
        if not select.select([self._fd], [], [], timeout)[0]:
            return False
        try:
            data = os.read(self._fd, 65536)
        except OSError:
            # EIO: the other side is closed
            return False
        text = self._decoder.decode(data)
        self.text += text
        self._stream.feed(text)
        return bool(data)
