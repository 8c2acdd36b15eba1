"""Root file systems of Debian, from the mirror that this machine's apt uses, under its keys (needs root and mmdebstrap)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from graph.errors import FetchError, HostToolMissing
from tests.real.machine import said

KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def mirror() -> str:
    """Base address of the Debian archive in this machine's apt configuration."""
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(LABEL)", "Created-By: Packages"]
    for line in subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines():
        address, _, label = line.partition(" ")
        if label == "Debian":
            return address
    raise FetchError("apt knows no Debian archive", hint="apt-get update")


AGAIN = '--aptopt=Acquire::Retries "5"'
"""Archives refuse a file now and then."""


def bootstrap(root: Path, release: str, packages: str, *options: str) -> None:
    """A root file system of a Debian release: what is essential, and these packages, comma-separated.

    Raises HostToolMissing without mmdebstrap, AssertionError when the archive refuses.
    """
    if shutil.which("mmdebstrap") is None:
        raise HostToolMissing("mmdebstrap is not on PATH", hint="apt-get install mmdebstrap")
    line = f"deb [signed-by={KEYS}] {mirror()} {release} main"
    # a frozen mirror's index may be past its date; it is still checked by signature
    dated = '--aptopt=Acquire::Check-Valid-Until "false"'
    said("mmdebstrap", "--quiet", "--variant=essential", dated, AGAIN, *options, f"--include={packages}", release, root, line)
