"""The store under kill -9, on a full disk and on a read-only one."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from graph.result import ActionResult
from graph.store import Store
from tests.test_store_contract import make

ROOT = Path(__file__).resolve().parent.parent
KILLS = 25


def work_until_killed(store: Store, seed: int) -> None:
    """Makes, publishes, filters, checks out and copies trees without end; every one is new."""
    number = 0
    while True:
        number += 1
        name = f"{seed}-{number}"
        with store.workdir() as work, store.lock(name):
            make(work / "out", **{f"d{n}__f": f"{name} {n}" * 500 for n in range(6)}, shared="shared", run=f"#!{name}")
            tree = store.put_tree(work / "out", move=number % 2 == 0)
            store.checkout(store.filter(tree, "", ("d1/", "run"), ()).tree)
            store.publish(ActionResult(name, f"{seed:03}{number:05}" * 8, tree, 1.0, True, ()))
            store.copy_tree(tree, work / "copy")
            store.checkout(tree)


def killed_at_random(root: Path, seed: int) -> None:
    child = os.fork()
    if not child:
        try:
            work_until_killed(Store(root), seed)
        finally:
            os._exit(1)
    time.sleep(random.Random(seed).uniform(0.005, 0.12))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the worker failed on its own"


@pytest.mark.whole
def test_a_store_is_whole_after_any_number_of_kills(tmp_path: Path) -> None:
    root = tmp_path / "store"
    for seed in range(KILLS):
        killed_at_random(root, seed)
    store = Store(root)
    left = len(list((root / "tmp").iterdir()))
    swept = store.sweep()
    assert left > 0
    assert swept > 0
    results = [ActionResult.decode(path.read_bytes()) for path in (root / "ac").rglob("*.json")]
    assert results
    assert store.verify() == []
    for result in results:
        assert store.result(result.key) == result
    assert store.put_tree(store.checkout(results[0].tree)) == results[0].tree
    assert [path for path in (root / "tmp").iterdir() if not path.name.startswith(str(os.getpid()))] == []


def namespaces() -> str:
    """Why a small disk cannot be mounted here; empty if it can."""
    if not shutil.which("unshare"):
        return "no unshare on PATH (package util-linux)"
    tried = subprocess.run(["unshare", "-Urm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, text=True, check=False)
    return tried.stderr.strip()


def test_a_full_disk_and_a_read_only_one_lose_nothing(tmp_path: Path) -> None:
    reason = namespaces()
    if reason:
        pytest.skip(f"user and mount namespaces are not to be had: {reason}")
    (tmp_path / "disk").mkdir()
    command = ["unshare", "-Urm", sys.executable, "-m", "tests.small_disk", str(tmp_path / "disk"), str(tmp_path)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.stderr == ""
    assert found.stdout.splitlines() == [
        "put: exit code 19",
        "unpack: exit code 19",
        "copy: exit code 19",
        "after:  True []",
        "read-only:  True True",
        "read-only put: the store cannot be written: Read-only file system; make it writable, or set FREESTANDING_STORE to another folder",
    ]
