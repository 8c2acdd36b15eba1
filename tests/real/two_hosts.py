"""Builds distributions on this host and on another one, Debian 13 beside it, each with a store of its own, and compares the archives.

    python -m tests.real.two_hosts [CELL...] [--root FOLDER] [--again]

CELL is as doit's dist:CELL; without any, x86_64-gnu, aarch64-gnu, x86_64-musl and aarch64-darwin. Here is this checkout with its store.
The other host (tests/real/hosts.py) is made in FOLDER (otherhost/) and stays there, with its store; --again empties that first. Needs
root and mmdebstrap.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from graph.compare import compare
from graph.disk import hash_file
from graph.errors import FreestandingError, UsageError
from graph.session import Session
from tests.mini import ROOT, Checkout
from tests.real import landed
from tests.real.hosts import SOURCES, Away, OtherHost, lay_out_sources, make_host

CELLS = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "x86_64-unknown-linux-musl", "aarch64-apple-darwin")
HOURS = 5 * 3600.0


def away_checkout(host: OtherHost) -> Away:
    """A fresh clone of this checkout's last commit, at another place; its store lies beside it, and stays."""
    away = Away(host, host.home / "quellen/freestanding")
    away.store = host.home / "store"
    away.settings |= {"FREESTANDING_MIRROR": SOURCES, "FREESTANDING_STORE": host.inside(away.store)}
    shutil.rmtree(away.root.parent, ignore_errors=True)
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(away.root)], check=True)
    host.give(away.root.parent)
    return away


def refuse_edits() -> None:
    """The other host builds the last commit. Raises UsageError where this one would build something else."""
    told = subprocess.run(["git", "status", "--porcelain", "--untracked-files=no"], cwd=ROOT, check=True, capture_output=True, text=True)
    if told.stdout:
        raise UsageError(f"{len(told.stdout.splitlines())} files differ from the last commit", hint="git stash")


def build(checkout: Checkout, node: str) -> str:
    """Minutes, and how many nodes. Raises AssertionError when the build fails."""
    start = time.monotonic()
    done = checkout.doit(node, timeout=HOURS)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    told = [line.split(" in ")[0] for line in done.stdout.splitlines() if " nodes run, " in line]
    return f"{(time.monotonic() - start) / 60:.1f} min; {(told or ['nothing to do'])[-1]}"


def compare_cell(session: Session, away: Away, cell: str) -> bool:
    """Build on both, and say for each archive whether it has the same bytes."""
    [node] = session.resolve([f"dist:{cell}"])
    here = Checkout(session.root)
    here.settings.update({name: value for name, value in session.environ.items() if name.startswith("FREESTANDING_")})
    print(f"{node}\n  here:  {build(here, node)}", flush=True)
    landed.realise(session, [node])
    lay_out_sources(session, [node], away.host.place / SOURCES[1:])
    print(f"  there: {build(away, node)}", flush=True)
    same = True
    for ours in session.archives(node):
        theirs = away.root / "dist" / ours.name
        one, two = hash_file(ours).hash, hash_file(theirs).hash
        print(f"  {'same' if one == two else 'DIFFERS'} {ours.name} {one}" + ("" if one == two else f" {two}"), flush=True)
        if one != two:
            print("\n".join(compare(ours, theirs)))
            same = False
    return same


def main(argv: Sequence[str]) -> int:
    """0 when every archive has the same bytes on both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", nargs="*", default=CELLS)
    parser.add_argument("--root", type=Path, default=ROOT / "otherhost")
    parser.add_argument("--again", action="store_true")
    given = parser.parse_args(argv)
    refuse_edits()
    root = given.root.absolute()
    host = OtherHost(root) if root.exists() else make_host(root)
    for name, value in host.facts().items():
        print(f"{name:10} {value}")
    away = away_checkout(host)
    if given.again:
        shutil.rmtree(away.store, ignore_errors=True)
    session = Session(ROOT)
    same = [compare_cell(session, away, cell) for cell in given.cells]
    return 0 if all(same) else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except FreestandingError as error:
        sys.exit(str(error))
