"""A display without a monitor: Xvfb, whose frame buffer is a file that tests read (xwd(1) format)."""

from __future__ import annotations

import os
import struct
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]
"""Left, top, width, height."""
SIZE = (900, 700)


@dataclass(frozen=True, slots=True)
class Picture:
    """What the screen shows: rows of 4 bytes a pixel, blue, green, red and one unused."""

    width: int
    height: int
    rows: bytes

    def pixel(self, x: int, y: int) -> Colour:
        at = (y * self.width + x) * 4
        blue, green, red = self.rows[at : at + 3]
        return red, green, blue

    def colours(self, box: Box) -> set[Colour]:
        """Every colour in the box."""
        left, top, width, height = box
        return {self.pixel(x, y) for x in range(left, left + width) for y in range(top, top + height)}

    def png(self, path: Path) -> None:
        """For the eye."""
        lines = (self.rows[y * self.width * 4 : (y + 1) * self.width * 4] for y in range(self.height))
        data = b"".join(b"\0" + bytes(line[x + part] for x in range(0, len(line), 4) for part in (2, 1, 0)) for line in lines)
        header = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b""))
        framed = (struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks)
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(framed))


@dataclass(frozen=True, slots=True)
class Screen:
    """A running Xvfb."""

    display: str
    buffer: Path

    def env(self, **more: str) -> dict[str, str]:
        """The environment of a program on this screen: this one's, without what points Tcl, X or Python elsewhere."""
        foreign = ("TCL_LIBRARY", "TK_LIBRARY", "TCLLIBPATH", "XLOCALEDIR", "XMODIFIERS", "PYTHONHOME", "PYTHONPATH", "LC_ALL")
        kept = {name: value for name, value in os.environ.items() if name not in foreign}
        return {**kept, "DISPLAY": self.display, "LANG": "C.UTF-8", **more}

    def picture(self) -> Picture:
        data = self.buffer.read_bytes()
        header = struct.unpack(">25I", data[:100])
        size, width, height, bits, line, colours = header[0], header[4], header[5], header[11], header[12], header[19]
        assert (bits, line) == (32, width * 4), "not a screen of 24 bits in rows without padding"
        start = size + colours * 12
        return Picture(width, height, data[start : start + line * height])

    def xdotool(self, *argv: str) -> str:
        """Output of xdotool, which finds windows and presses keys."""
        done = subprocess.run(["xdotool", *argv], env=self.env(), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"xdotool {argv}: {done.stderr}"
        return done.stdout.strip()


@contextmanager
def screen(folder: Path) -> Iterator[Screen]:
    """Xvfb with its frame buffer in `folder`, on a display number that is free."""
    read, write = os.pipe()
    geometry = f"{SIZE[0]}x{SIZE[1]}x24"
    argv = ["Xvfb", "-displayfd", str(write), "-screen", "0", geometry, "-fbdir", str(folder), "-nolisten", "tcp", "-ac", "-noreset"]
    server = subprocess.Popen(argv, pass_fds=(write,), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with os.fdopen(read) as told:
            number = told.readline().strip()
        assert number, "Xvfb did not start"
        yield Screen(f":{number}", folder / "Xvfb_screen0")
    finally:
        server.terminate()
        server.wait()
