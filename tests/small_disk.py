"""Run by test_store_faults in namespaces of its own: mounts a small tmpfs on the first folder, fills it, makes it read-only.

The second folder, on another disk, is for what is put into it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from graph.archive import unpack
from graph.digest import Directory
from graph.errors import DiskFull, StoreError
from graph.result import ActionResult
from graph.store import Store
from tests.test_archive import entry, tar

SCRATCH = Path(sys.argv[-1])


def main(folder: Path) -> None:
    """Prints one line a fact; the test compares them."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", folder], check=True)
    store = Store(folder / "store")
    good = put(store, "good", 1000)
    for name, fill in {"put": put_many, "unpack": unpack_much, "copy": copy_much}.items():
        try:
            fill(store)
        except DiskFull as error:
            print(f"{name}: exit code {error.exit_code}")
        store.sweep()
    print("after: ", store.result(good.key) == good, store.verify())
    store.close()
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    read_only(Store(folder / "store"), good)


def put(store: Store, name: str, size: int) -> ActionResult:
    # sources lie on another disk, so that the failing write is the store's own
    source = SCRATCH / "source"
    source.write_bytes(os.urandom(size))
    tree = store.cas.put_directory(Directory(files=((name, store.put_file(source, False), False),)))
    result = ActionResult(name, name * 16, tree, 1.0, True, ())
    store.publish(result)
    return result


def put_many(store: Store) -> None:
    for number in range(100):
        put(store, f"n{number}", 100_000)


def unpack_much(store: Store) -> None:
    archive = SCRATCH / "big.tar"
    archive.write_bytes(tar(entry("big", bytes(500_000))))
    with store.workdir() as work:
        for number in range(100):
            unpack(archive, work / str(number))


def copy_much(store: Store) -> None:
    result = store.result("good" * 16)
    assert result is not None
    with store.workdir() as work:
        for number in range(10_000):
            store.copy_tree(result.tree, work / str(number))


def read_only(store: Store, good: ActionResult) -> None:
    print("read-only: ", store.result(good.key) == good, store.last("good") == good.key)
    store.remember("good", "another")
    try:
        store.cas.put(b"new")
    except StoreError as error:
        print(f"read-only put: {error.what}; {error.hint}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
