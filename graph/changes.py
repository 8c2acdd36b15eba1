"""What differs between two commits: a digest of each distribution's recipe, over all nodes that it is made from.

A recipe's digest is that of its node's manifest, where each input stands for the recipe that makes it and not for the bytes that come out.
So it is known before anything is built; what is equal gives equal keys, what differs may still give equal bytes.

This file is also a program, fed to a Python in the root of another commit: it prints what the code, tables and recipes of that commit
give. So it must import nothing that older commits lack.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from graph import archive
from graph.digest import Digest, canonical
from graph.errors import UsageError
from graph.node import Input, Node, manifest
from graph.session import Session

TAIL_LINES = 5
"""Of what a commit's own code says when it fails."""


def recipes(nodes: Mapping[str, Node], tools: Mapping[str, str]) -> dict[str, str]:
    """Name of a dist node -> digest of its recipe. `nodes` come in topological order."""
    known: dict[str, Digest] = {}
    for name, node in nodes.items():
        inputs = {given: _as_input(given, known[given.node]) for given in node.inputs}
        known[name] = Digest.of(canonical(manifest(node, inputs, tools)))
    return {name: str(digest) for name, digest in known.items() if nodes[name].kind == "dist"}


def _as_input(given: Input, recipe: Digest) -> Digest:
    """What a node sees of another: its recipe, and the filter."""
    globs = (*(("only", one) for one in given.only), *(("without", one) for one in given.without))
    return Digest.of(canonical((("recipe", str(recipe)), ("subdir", given.subdir), *globs)))


def changed(session: Session, ref: str) -> frozenset[str]:
    """The dist nodes of the working tree that commit `ref` does not have, or whose recipe was another one there. Raises UsageError."""
    commit = _commit(session.root, ref)
    now = recipes(session.plan.nodes, session.tools)
    with tempfile.TemporaryDirectory(prefix="freestanding-") as place:
        tree = Path(place) / "tree"
        _check_out(session.root, commit, Path(place) / "tree.tar", tree)
        before = _of_commit(tree, ref, session)
    return frozenset(name for name, digest in now.items() if before.get(name) != digest)


def _commit(root: Path, ref: str) -> str:
    found = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    if found.returncode == 0:
        return found.stdout.decode().strip()
    if _git(root, "rev-parse", "--git-dir").returncode:
        raise UsageError("no git repository to compare with", place=str(root), hint="git clone, instead of an unpacked archive")
    raise UsageError(
        f"git knows no commit {ref!r}", place="--changed-since", hint="git fetch --unshallow, or name another: git log --oneline"
    )


def _check_out(root: Path, commit: str, packed: Path, tree: Path) -> None:
    done = _git(root, "archive", "--format=tar", f"--output={packed}", commit)
    if done.returncode:
        raise UsageError(f"git cannot give commit {commit[:12]}: {_tail(done.stderr)}", place="--changed-since", hint="git fsck")
    archive.unpack(packed, tree)


def _of_commit(tree: Path, ref: str, session: Session) -> dict[str, str]:
    """What this file prints in that tree. Raises UsageError if the tree's code is not made for it."""
    # local sources are packed in the store, as for the working tree
    path = os.pathsep.join([str(tree), *filter(None, [session.environ.get("PYTHONPATH")])])
    environ = {**session.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "FREESTANDING_STORE": str(session.store_root)}
    code = Path(__file__).read_bytes()
    done = subprocess.run([sys.executable, "-"], cwd=tree, env=environ, input=code, capture_output=True, check=False)
    try:
        found: dict[str, str] = json.loads(done.stdout)
    except ValueError:
        what = f"commit {ref} cannot be planned: {_tail(done.stderr)}"
        raise UsageError(what, place="--changed-since", hint="doit matrix --json, for every cell; or name a younger commit") from None
    return found


def _git(root: Path, *argv: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", "-C", str(root), *argv], capture_output=True, check=False)
    except FileNotFoundError:
        raise UsageError("no git on PATH to compare with", place="--changed-since", hint="install git") from None


def _tail(text: bytes) -> str:
    return "\n".join(text.decode(errors="replace").strip().splitlines()[-TAIL_LINES:])


def main() -> None:
    session = Session(Path.cwd(), os.environ)
    json.dump(recipes(session.plan.nodes, session.tools), sys.stdout)


if __name__ == "__main__":
    main()
