"""Compares two builds of OpenSSL: what a processor level (x86_64_v3) is worth to it.

    python -m benchmarks.levels NODE OTHER [--rounds N]

NODE and OTHER are nodes as make:x86_64-unknown-linux-gnu:openssl that this checkout's store has; for one of a level of its own,
openssl must be among HOT (graph/recipes/common.py). The two are measured in turn with the machine's gcc, and their best times compared.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from graph.errors import FreestandingError, UsageError
from graph.session import Session

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = "libcrypto-fs.so.3"


def measured(output: str) -> dict[str, float]:
    """What levels.c printed: operation -> microseconds."""
    return {name: float(time) for name, _, time in (line.rpartition(" ") for line in output.splitlines())}


def best(rounds: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The least of each operation."""
    found: dict[str, float] = {}
    for one in rounds:
        found |= {name: min(time, found.get(name, time)) for name, time in one.items()}
    return found


def table(ours: Mapping[str, float], theirs: Mapping[str, float]) -> str:
    """Microseconds of both, and how many times as long the first takes."""
    return "".join(f"{name:27} {time:9.2f} {theirs[name]:9.2f} {time / theirs[name]:5.2f}\n" for name, time in ours.items())


def program(session: Session, node: str, place: Path) -> Path:
    """levels.c, compiled with what the node gave. Raises UsageError."""
    result = session.last(node)
    if result is None:
        raise UsageError(f"{node} was never built with this store", hint=f"doit {node}")
    tree = session.store.checkout(result.tree)
    libraries = (f"-L{tree}/lib", f"-l:{LIBRARY}", f"-Wl,-rpath,{tree}/lib")
    argv = ["gcc", "-O2", f"-I{tree}/include", str(ROOT / "benchmarks/levels.c"), "-o", str(place), *libraries]
    try:
        subprocess.run(argv, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise UsageError(f"no program for {node}: {error}", hint="name OpenSSLs of this machine's own system, and install gcc") from error
    return place


def main(argv: Sequence[str]) -> int:
    """0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nodes", nargs=2)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args(argv)
    if given.rounds < 1:
        parser.error("--rounds is 1 or more")
    session = Session(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        programs = [program(session, node, Path(folder, str(number))) for number, node in enumerate(given.nodes)]
        told = [[measured(subprocess.check_output([one], text=True)) for one in programs] for _ in range(given.rounds)]
    print(table(*(best(one) for one in zip(*told, strict=True))), end="")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except FreestandingError as error:
        sys.exit(str(error))
