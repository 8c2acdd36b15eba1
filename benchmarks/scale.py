"""How the cost of a run grows with the graph, against ninja on the same shape; and the cost of a store with many blobs.

    python -m benchmarks.scale [--nodes 1000,10000,100000] [--blobs 10000,100000] [--check]

The graph has a hundred layers below one `dist:`, or less where that makes them narrower than ten nodes; a node takes three of the layer
before it. It counts as built: each node has a result
in the store, all with the same small tree. Runs: nothing to do; a leaf near the end changed; a leaf of the first layer changed, on which
most others stand; and `doit explain`, which asks for every node. Ninja (PyPI's package) has the same edges, each a `touch`.
With --check the run fails when 10,000 nodes with nothing to do take over 1.5 s or 200 MB.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from graph.digest import Digest
from graph.node import Input, Node, Run, Step, key, manifest
from graph.plan import deep_keys
from graph.recipes.common import Context
from graph.result import ActionResult
from graph.session import Session
from graph.store import Store
from tests.mini import Mini

LAYERS = 100
"""doit keeps the chain that led to each task, so its memory grows with nodes times layers: 5 GB for 100,000 nodes in 10,000 layers."""
LEAST = 10
"""Nodes of a layer."""
TAKEN = 3
STARTER = """
import json, os, subprocess, sys, time
began = time.perf_counter()
process = subprocess.Popen(sys.argv[2:])
_, status, usage = os.wait4(process.pid, 0)
taken = [time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, os.waitstatus_to_exitcode(status)]
process.returncode = taken[-1]
open(sys.argv[1], "w").write(json.dumps(taken))
"""
"""Starts and measures a program. It is small: Linux counts what the parent had in memory as the child's."""
TARGET = "dist:x86_64-unknown-linux-gnu"
CHANGED = "CHANGED_LEAF"
"""Variable that names a node whose environment has one entry more."""
COUNT = "NODES"
LIMIT_SECONDS, LIMIT_BYTES = 1.5, 200e6


@dataclass(frozen=True)
class Taken:
    """One run of a program."""

    seconds: float
    cpu: float
    """User and system seconds."""
    bytes: int
    """Largest resident size."""
    ran: int
    """Nodes that were executed."""


def width(count: int) -> int:
    """Nodes of each layer."""
    return max(LEAST, count // LAYERS)


def edges(count: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Number of each node, and those that it takes."""
    wide = width(count)
    for number in range(count):
        layer, place = divmod(number, wide)
        yield number, tuple((layer - 1) * wide + (place + step) % wide for step in range(TAKEN)) if layer else ()


def generated(ctx: Context) -> tuple[Node, ...]:
    """The recipe: as many nodes as the variable NODES says, and dist:."""
    count, changed = int(os.environ[COUNT]), os.environ.get(CHANGED, "")
    step, path = (Step(("sh", "-c", "echo x >/build/out/x")),), ("PATH", "/usr/bin:/bin")
    plain, more = Run(step, (path,), tools=("posix",)), Run(step, (("CHANGED", "1"), path), tools=("posix",))
    nodes = [
        Node(f"make:n{number}", more if changed == str(number) else plain, tuple(Input(f"make:n{other}", f"in/{other}") for other in taken))
        for number, taken in edges(count)
    ]
    last = tuple(Input(f"make:n{number}", f"in/{number}") for number in range(count - width(count), count))
    return (*nodes, Node(f"dist:{ctx.cell}", plain, last))


RECIPES = (generated,)


def fill(mini: Mini, count: int) -> None:
    """Results of all nodes, as a build leaves them."""
    os.environ[COUNT] = str(count)
    session = Session(mini.root, {**os.environ, **mini.settings})
    store = Store(mini.store)
    with store.workdir() as folder:
        (folder / "out").mkdir()
        (folder / "out/x").write_text("x\n")
        tree = store.put_tree(folder / "out")
    deep = deep_keys(session.plan, session.plan.nodes, session.tools)
    for name, node in session.plan.nodes.items():
        lines = manifest(node, dict.fromkeys(node.inputs, tree), session.tools)
        result = ActionResult(name, key(lines), tree, 0.0, True, lines)
        store.publish(result)
        store.remember(name, result.key, deep[name])
    store.close()


def measured(argv: Sequence[str], cwd: Path, env: dict[str, str]) -> Taken:
    """Run it to its end. Raises RuntimeError when it fails."""
    with tempfile.TemporaryFile() as output, tempfile.NamedTemporaryFile() as report:
        starter = [sys.executable, "-I", "-S", "-c", STARTER, report.name, *argv]
        subprocess.run(starter, cwd=cwd, env=env, stdout=output, stderr=subprocess.STDOUT, check=True)
        seconds, cpu, memory, status = json.loads(report.read())
        output.seek(0)
        said = output.read().decode(errors="replace")
    if status:
        raise RuntimeError(f"{' '.join(argv)}: status {status}\n{said[-2000:]}")
    return Taken(seconds, cpu, memory, said.count("\ndone ") + said.startswith("done "))


def ours(count: int, folder: Path) -> dict[str, Taken]:
    """Each run on a graph of so many nodes."""
    mini = Mini(folder, {}, recipes="RECIPES")
    text = (folder / "pyproject.toml").read_text()
    (folder / "pyproject.toml").write_text(text.replace("tests.mini:RECIPES", "benchmarks.scale:RECIPES"))
    fill(mini, count)
    argv = [sys.executable, "-m", "doit", TARGET]
    # (delivers the archive)
    measured(argv, mini.root, mini.environment(NODES=str(count)))
    return {
        "nothing to do": measured(argv, mini.root, mini.environment(NODES=str(count))),
        "a late leaf changed": measured(argv, mini.root, mini.environment(NODES=str(count), CHANGED_LEAF=str(count - 3 * width(count)))),
        "an early leaf changed": measured(argv, mini.root, mini.environment(NODES=str(count), CHANGED_LEAF="0")),
        "every node asked (explain)": measured([*argv[:-1], "explain", TARGET], mini.root, mini.environment(NODES=str(count))),
    }


def ninja(count: int, folder: Path) -> Taken | None:
    """Nothing to do, by ninja; None where it is not installed."""
    program = shutil.which("ninja") or shutil.which("ninja", path=str(Path(sys.executable).parent))
    if program is None:
        return None
    folder.mkdir()
    lines = ["rule touch", "  command = touch $out"]
    lines += [f"build n{number}: touch {' '.join(f'n{other}' for other in taken)}" for number, taken in edges(count)]
    lines.append(f"build dist: touch {' '.join(f'n{number}' for number in range(count - width(count), count))}")
    (folder / "build.ninja").write_text("\n".join(lines) + "\n")
    measured([program, "-j", "8"], folder, dict(os.environ))
    return measured([program], folder, dict(os.environ))


def line(name: str, taken: Taken) -> str:
    """To read."""
    return f"  {name:<28} {taken.seconds:7.2f} s ({taken.cpu:.2f} of CPU) {taken.bytes / 1e6:7.0f} MB  {taken.ran} executed"


def blobs(count: int, folder: Path) -> None:
    """Print what look-ups and gc cost with so many blobs."""
    store = Store(folder / "store")
    for number in range(count):
        store.cas.put(b"%d" % number)
    asked = [Digest.of(b"%d" % number) for number in range(0, count, max(1, count // 2000))]
    began = time.perf_counter()
    found = sum(store.cas.has(digest) for digest in asked)
    each = (time.perf_counter() - began) / len(asked)
    store.close()
    assert found == len(asked)
    code = "import sys; from pathlib import Path; from graph.store import Store; print(Store(Path(sys.argv[1])).gc(30))"
    gc = measured([sys.executable, "-c", code, str(folder / "store")], Path.cwd(), dict(os.environ))
    print(f"{count} blobs: a look-up {each * 1e6:.0f} us; gc of them all {gc.seconds:.1f} s, {gc.bytes / 1e6:.0f} MB", flush=True)


def main(argv: Sequence[str]) -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", default="1000,10000,100000")
    parser.add_argument("--blobs", default="10000,100000")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args(argv)
    over = False
    for count in map(int, filter(None, given.nodes.split(","))):
        with tempfile.TemporaryDirectory(prefix="freestanding-") as folder:
            found = ours(count, Path(folder) / "ours")
            theirs = ninja(count, Path(folder) / "ninja")
        print(f"{count} nodes", *(line(name, taken) for name, taken in found.items()), sep="\n", flush=True)
        print(line("ninja, nothing to do", theirs) if theirs else "  (no ninja here: pip install ninja)", flush=True)
        idle = found["nothing to do"]
        over |= count == 10_000 and (idle.seconds > LIMIT_SECONDS or idle.bytes > LIMIT_BYTES)
    for count in map(int, filter(None, given.blobs.split(","))):
        with tempfile.TemporaryDirectory(prefix="freestanding-") as folder:
            blobs(count, Path(folder))
    return int(over and given.check)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
