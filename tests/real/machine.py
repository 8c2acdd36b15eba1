"""This machine as a user's shell sees it: its compilers and tools, without the virtual environment in which the tests run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from graph.errors import FetchError

T = TypeVar("T")
TRIES = 4
"""How often something is tried that needs an index or a registry."""


def environment(**more: str) -> dict[str, str]:
    """This process's environment, less what leads to the Python of the tests or to another prefix, with `more`."""
    own = Path(sys.prefix).resolve() / "bin"
    folders = [folder for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if Path(folder).resolve() != own]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "LD_", "PKG_CONFIG"))}
    return {**kept, "PATH": os.pathsep.join(folders), **more}


def said(*argv: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None, timeout: float = 1200) -> str:
    """Output, with errors in it, of a process that ends well."""
    done = subprocess.run(
        argv,
        cwd=cwd,
        env=environment() if env is None else env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, f"{argv} ended with {done.returncode}:\n{done.stdout[-6000:]}"
    return done.stdout


BROKE_OFF = (AssertionError, subprocess.TimeoutExpired, subprocess.CalledProcessError, FetchError)


def patiently(attempt: Callable[[], T], faults: tuple[type[Exception], ...] = BROKE_OFF) -> T:
    """What `attempt` gives; it is made again, after a while, where an index was slow or broke off (`faults`)."""
    for number in range(TRIES - 1):
        try:
            return attempt()
        except faults as error:
            print(f"once more: {str(error)[-300:]}")
            time.sleep(3 * 4**number)
    return attempt()
