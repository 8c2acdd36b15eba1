"""A node as an Action that any worker of a farm can run: its input root put together from digests, no file read. See docs/farm.md.

The input root holds farmhand.py, which Command names, and nsinit.py; spec.json; given/N, the tree of input N; files/, the node's own;
tools/, the host tools as they lie in the root of a step. The worker gives back the folder `out`, and what was printed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from graph.digest import Digest, Directory
from graph.node import Input, Node, Run
from graph.reapi import OUT, encode_action, encode_command

ARGV = ("/usr/bin/env", "python3", "-S", "-E", "-B", "farmhand.py")
ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
"""All that a worker's own image is asked for: a python3 of 3.9 or newer."""
PHASES = ("upload", "queue", "fetch", "stage", "run", "collect")
"""What becomes of an errand, in order."""

Properties = tuple[tuple[str, str], ...]
Leaves = Mapping[str, tuple[Digest, bool] | Digest]
"""Path -> a file's bytes and whether it is executable, or the root of a tree."""


@dataclass(frozen=True, slots=True)
class Errand:
    """An Action, and the messages and small files that stand for it. (The trees it names are sent apart.)"""

    action: Digest
    blobs: Mapping[Digest, bytes]


@dataclass(frozen=True, slots=True)
class Phase:
    """One of PHASES, in seconds of this machine's wall clock."""

    name: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Farmed:
    """How a node's steps ended on a farm."""

    status: int
    """0, or the failed step's; as graph.sandbox.Outcome has it."""
    step: int
    """Number of the last step that began."""
    tree: Digest | None
    """Root of what the steps made; None if that is not there, or they failed."""
    log: Digest
    where: str
    phases: tuple[Phase, ...] = ()


def compose(leaves: Leaves) -> tuple[Digest, dict[Digest, bytes]]:
    """Root of the tree that has these at their paths, and its own Directory messages."""
    blobs: dict[Digest, bytes] = {}

    def folder(below: Mapping[str, tuple[Digest, bool] | Digest]) -> Digest:
        files, folders = [], []
        inner: dict[str, dict[str, tuple[Digest, bool] | Digest]] = {}
        for path, leaf in below.items():
            name, _, rest = path.partition("/")
            if rest:
                inner.setdefault(name, {})[rest] = leaf
            elif isinstance(leaf, Digest):
                folders.append((name, leaf))
            else:
                files.append((name, *leaf))
        folders += [(name, folder(one)) for name, one in inner.items()]
        message = Directory(tuple(files), tuple(folders)).encode()
        blobs[Digest.of(message)] = message
        return Digest.of(message)

    return folder(leaves), blobs


def errand(
    node: Node,
    run: Run,
    trees: Mapping[Input, Digest],
    tools: tuple[Digest, Iterable[str]],
    programs: Mapping[str, bytes],
    properties: Properties,
    cores: int,
) -> Errand:
    """The Action of a node whose action is `run`. `tools`: their tree, and the paths in it that steps see; `programs`: by name."""
    spec = {
        "inputs": [{"at": given.at, "writable": given.writable} for given in node.inputs],
        "tools": sorted(tools[1]),
        "steps": [[list(step.argv), f"/build/{step.cwd}"] for step in run.steps],
        "env": dict(run.env),
        "output": run.output,
        "cores": cores,
    }
    small = {"spec.json": (json.dumps(spec, sort_keys=True).encode(), False)}
    small |= {name: (data, False) for name, data in programs.items()}
    small |= {f"files/{file.path}": (file.data, file.executable) for file in node.files}
    leaves: dict[str, tuple[Digest, bool] | Digest] = {path: (Digest.of(data), execute) for path, (data, execute) in small.items()}
    leaves |= {f"given/{number}": trees[given] for number, given in enumerate(node.inputs)}
    root, blobs = compose({**leaves, "tools": tools[0]})
    command = encode_command(ARGV, ENV, [OUT], properties)
    action = encode_action(Digest.of(command), root, properties)
    blobs |= {Digest.of(data): data for data in (command, action, *(data for data, _ in small.values()))}
    return Errand(Digest.of(action), blobs)


def phases_of(times: Mapping[str, float], staged: float, upload: tuple[float, float], end: float) -> tuple[Phase, ...]:
    """The phases of an errand that was sent after `upload` and answered at `end`, by this machine's clock.

    `times` are the worker's (graph.reapi.TIMES), whose clock may be another: they are moved so that its last is `end`. `staged` are the
    seconds that farmhand.py took to lay out /build. Servers tell what they like; a phase that nobody tells takes no time.
    """
    shift = end - times.get("worker_completed", end)
    told = {name: moment + shift for name, moment in times.items()}
    queued = told.get("worker_start", upload[1])
    fetched = told.get("input_fetch_completed", queued)
    marks = [*upload, queued, fetched, fetched + staged, told.get("execution_completed", end), end]
    for number in range(1, len(marks)):
        # two clocks that do not run alike must not make a phase end before it began
        marks[number] = max(min(marks[number], end), marks[number - 1])
    return tuple(Phase(*one) for one in zip(PHASES, marks, marks[1:], strict=False))
