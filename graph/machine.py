"""How a target's programs are run on this machine: as they are, with the target's libc beside the machine's, or by an emulator too.

A Machine is a value; `argv` gives the command line. docs/testing.md tells how enter.py does it, and what it needs of the machine.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from graph.errors import HostToolMissing

ENTER = Path(__file__).with_name("enter.py")
HEADER = 20
"""Bytes of an ELF header that tell what machine a program is for: e_ident, e_type, e_machine."""
NAME = "freestanding"
"""The emulator's entry in the namespace's own binfmt_misc."""
PATH = r"WINEPATH=C:\windows\system32;C:\windows"
"""What every Windows has in PATH, and a new prefix of wine need not."""
OVERRIDES = "WINEDLLOVERRIDES=winedbg.exe=d;mscoree=d;mshtml=d;winewayland.drv=d"
"""Nothing to debug with, to install, or (it complains to where tests read) to look for a Wayland server."""
PIPED = 'set -o pipefail; settings=("${@:1:6}"); shift 6; env -u TMPDIR "${settings[@]}" "$0" "$@" 2>&1 | cat'
"""For bash: wine knows no handle of a file that can only be written to as a program's standard output, so it is a pipe; and with TMPDIR
wine 10 ends before it starts ("free(): invalid pointer")."""
TRIAL = (sys.executable, "-I", "-S", "-c", "")
"""Of the host: every machine that is this one has its files."""
WINE = 10
"""The first version of wine that has what venv and numpy call."""
WINE_HINT = f"wine {WINE} or later first on PATH: python -m tests.real.wine FOLDER makes FOLDER/wine (docs/windows.md, Run)"
REGRTEST = Path(__file__).with_name("regrtest.py")
MODULE = ("-m", "test")
CPUINFO = Path("/proc/cpuinfo")
_V2 = frozenset({"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"})
_V3 = _V2 | {"abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"}
_V4 = _V3 | {"avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"}
LEVELS: Mapping[str, frozenset[str]] = {"-march=x86-64-v2": _V2, "-march=x86-64-v3": _V3, "-march=x86-64-v4": _V4}
"""A target's flag -> the features that its programs may use beyond the architecture's first processors, as Linux names them.

Levels of the x86-64 psABI, table 3.1. Linux says pni for SSE3, abm for LZCNT, and xsave only where it is on (OSXSAVE).
"""


class Machine(Protocol):
    """Where programs of a target run."""

    @property
    def patience(self) -> int:
        """How many times longer than on this machine something may take."""

    @property
    def trial(self) -> tuple[str, ...]:
        """A program that ends well, if programs can be run there at all."""

    @property
    def regrtest(self) -> tuple[str, ...]:
        """What follows the interpreter, before regrtest's arguments."""

    @property
    def stop(self) -> tuple[str, ...]:
        """The command line that ends what programs have left running there; () where killing their session does."""

    def argv(self, *argv: str) -> tuple[str, ...]:
        """The command line that runs this one there. The machine's files are at their places, and so is the working directory."""

    def name(self, path: Path) -> str:
        """What programs there call a file of this machine."""


@dataclass(frozen=True, slots=True)
class Native:
    """This machine runs them."""

    patience = 1
    trial = TRIAL
    regrtest = MODULE
    stop = ()

    def argv(self, *argv: str) -> tuple[str, ...]:
        return argv

    def name(self, path: Path) -> str:
        return str(path)


@dataclass(frozen=True, slots=True)
class Emulated:
    """This machine with another libc, and perhaps another processor, in namespaces of their own (Linux)."""

    runtime: Path
    """The target's libc as its systems have it: lib/, lib64/."""
    emulator: Path | None
    """qemu-user's static program; without one the processor is this machine's."""

    trial = TRIAL
    regrtest = MODULE
    stop = ()

    @property
    def patience(self) -> int:
        return 1 if self.emulator is None else 20

    def argv(self, *argv: str) -> tuple[str, ...]:
        register = "" if self.emulator is None else registration(_header(self.runtime), str(self.emulator))
        spec = json.dumps({"runtime": str(self.runtime), "register": register})
        return (sys.executable, "-I", "-S", str(ENTER), spec, *argv)

    def name(self, path: Path) -> str:
        return str(path)


@dataclass(frozen=True, slots=True)
class Wine:
    """This machine's wine runs programs of Windows; this machine's files are on its drive Z:."""

    prefix: Path
    """Where its registry and its drive C: are; made when it is first used."""
    program: str = field(default_factory=lambda: shutil.which("wine") or "wine")
    """Its path: tests run programs with a PATH of their own."""

    display: str = field(default_factory=lambda: os.environ.get("DISPLAY", ""))
    """The X server on which windows are shown; without one there are none."""

    narrow: bool = False
    """Does it run programs of 32 bits, for which Linux distributions have a wine of their own."""

    patience = 5

    @property
    def trial(self) -> tuple[str, ...]:
        return ("C:\\windows\\syswow64\\cmd.exe" if self.narrow else "cmd", "/c", "exit 0")

    @property
    def regrtest(self) -> tuple[str, ...]:
        return (self.name(REGRTEST),)

    @property
    def stop(self) -> tuple[str, ...]:
        return self.argv("wineboot", "--kill")

    def argv(self, *argv: str) -> tuple[str, ...]:
        # (tests have a home of their own, where the key to the display is not)
        key = os.environ.get("XAUTHORITY", str(Path("~/.Xauthority").expanduser()))
        settings = (f"WINEPREFIX={self.prefix}", "WINEDEBUG=-all", OVERRIDES, PATH, f"DISPLAY={self.display}", f"XAUTHORITY={key}")
        return ("bash", "-c", PIPED, self.program, *settings, *argv)

    def name(self, path: Path) -> str:
        return "Z:" + str(path).replace("/", "\\")


def check_wine() -> None:
    """Raises HostToolMissing if PATH has no wine, or one that is too old. Nothing is run by it, and no prefix made."""
    program = shutil.which("wine")
    if program is None:
        raise HostToolMissing("there is no wine on PATH, which runs programs of Windows", hint=WINE_HINT)
    # (as programs are run: PIPED)
    argv = ("env", "-u", "TMPDIR", program, "--version")
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    found = re.search(r"^wine-(\d+)\S*", done.stdout, re.M)
    if found is None:
        said = (done.stdout + done.stderr).strip()[-400:] or f"status {done.returncode}"
        raise HostToolMissing(f"wine --version tells no version: {said}", place=program, hint=WINE_HINT)
    if int(found[1]) < WINE:
        raise HostToolMissing(f"{found[0]} is too old to run programs of Windows", place=program, hint=WINE_HINT)


def registration(header: bytes, emulator: str) -> str:
    """A line for binfmt_misc: programs of the same kind as the one that begins so are run by this emulator.

    F: opened now, so that it need not be there in another root; P: the program learns the argv[0] that its caller gave.
    """
    # class and byte order, the type (fixed or position-independent program), and the machine; not version, ABI and padding
    order: Literal["little", "big"] = "little" if header[5] == 1 else "big"
    # programs have type 2 or 3: the last bit does not matter
    kind = (0xFFFE).to_bytes(2, order)
    mask = b"\xff" * 6 + b"\0" * 10 + kind + b"\xff\xff"
    magic = header[:16] + (2).to_bytes(2, order) + header[18:20]
    return f":{NAME}:M:0:{_escaped(magic)}:{_escaped(mask)}:{emulator}:FP"


def processor(cpuinfo: Path = CPUINFO) -> frozenset[str]:
    """Features of this machine's x86 processor, as Linux names them; empty where no such file tells them."""
    with suppress(OSError):
        for line in cpuinfo.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "flags":
                return frozenset(value.split())
    return frozenset()


def lacking(cpu_flags: Iterable[str], features: frozenset[str]) -> tuple[str, ...]:
    """What programs compiled with these flags need of a processor and one with these features has not; () where nobody knows."""
    needed = frozenset[str]().union(*(LEVELS.get(flag, ()) for flag in cpu_flags))
    return tuple(sorted(needed - features)) if features else ()


def _escaped(data: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in data)


def _header(runtime: Path) -> bytes:
    """Of the target's libraries: all are for its machine."""
    for path in sorted(runtime.glob("lib*/*.so*")):
        with path.open("rb") as file:
            head = file.read(HEADER)
        if head.startswith(b"\x7fELF"):
            return head
    raise FileNotFoundError(f"no library in {runtime}")
