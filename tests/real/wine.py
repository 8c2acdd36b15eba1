"""Debian 13's wine, in a root file system of its own: older ones lack what venv and numpy call.

    python -m tests.real.wine ROOT

makes it: two gigabytes, a few minutes. ROOT/wine is then a program like Debian's own, for root. Its Z: is this machine's / but what each
system has itself.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests.real.debian import bootstrap

RELEASE = "trixie"
ARCHITECTURES = "amd64,i386"
PACKAGES = "wine,wine64,wine32:i386"
"""Debian's wine is two programs: that of 32 bits, with libraries of its own, runs programs of i686 (the kernel must run them, too)."""
PROGRAM = """#!/bin/sh
exec unshare --mount --pid --fork --kill-child {enter} {root} "$@"
"""


def make_root(place: Path) -> Path:
    """A folder with `wine` in it, to be put on PATH. Raises AssertionError when the archive refuses."""
    root = place / "root"
    shutil.rmtree(root, ignore_errors=True)
    place.mkdir(parents=True, exist_ok=True)
    bootstrap(root, RELEASE, PACKAGES, f"--architectures={ARCHITECTURES}")
    program = place / "wine"
    program.write_text(PROGRAM.format(enter=Path(__file__).with_name("enter_wine.sh"), root=root))
    program.chmod(0o755)
    return place


if __name__ == "__main__":
    print(make_root(Path(sys.argv[1]).resolve()))
