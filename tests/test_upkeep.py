"""Care of the local store: size, gc, verify, and who may use the store meanwhile."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from graph.digest import Digest, Directory
from graph.errors import StoreError
from graph.result import ActionResult
from graph.store import Store
from graph.upkeep import LOCAL
from tests.test_local import taken
from tests.test_store import built, damage, files_below, result_file
from tests.test_store_contract import make


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_size_counts_blobs_results_and_checkouts(store: Store, tmp_path: Path) -> None:
    assert str(store.size()) == "0.0 MiB in 0 blobs, 0 results, 0 checkouts"
    store.checkout(built(store, tmp_path, "a", a="x" * 1000).tree)
    found = store.size()
    assert (found.blobs, found.results, found.checkouts) == (3, 1, 1)
    assert found.bytes == 1000 + len("log of a") + len(Directory(files=(("a", Digest.of(b"x" * 1000), False),)).encode())


def test_gc_drops_what_was_not_used_and_keeps_what_is_shared(store: Store, tmp_path: Path) -> None:
    old = built(store, tmp_path, "old", 40, shared="s", own__only="old")
    new = built(store, tmp_path, "new", 10, shared="s", own__only="#!new")
    for result in (old, new):
        store.checkout(result.tree)
        store.checkout(store.filter(result.tree, "own", (), ()).tree)
        store.remember(result.node, result.key, "deep")
    (store.logs / "a.log").write_text("x")
    os.utime(store.logs / "a.log", (1, 1))
    (store.logs / "b.log").write_text("x")
    (store.downloads / "part").write_text("x")
    (store.runs / "last.json").write_text("x")
    with store.lock("k"):
        pass
    found = store.gc(30)
    assert (found.results, found.blobs) == (1, 4)
    assert str(found).startswith("freed 0.0 MiB: 4 blobs, 1 results; left: 0.0 MiB in 5 blobs, 1 results, 2 checkouts")
    assert store.result(old.key) is None
    assert store.last(old.node) is None
    assert store.last(new.node, "deep") == new.key
    assert store.result(new.key) == new
    assert files_below(store.logs) | files_below(store.downloads) | files_below(store.runs) == {"b.log", "part", "last.json"}
    assert files_below(store.root / "locks") == {"store"}
    assert len(files_below(store.root / "filtered")) == 1
    store.copy_tree(new.tree, tmp_path / "copy")
    assert store.verify() == []


def test_gc_drops_packed_local_sources_that_were_not_used(store: Store, tmp_path: Path) -> None:
    folder, other = tmp_path / "zlib", tmp_path / "other"
    for tree in (folder, other):
        tree.mkdir()
        (tree / "a.c").write_text("x")
        taken(tree, store.root / LOCAL, "zlib")
    assert store.size().packed == sum(path.stat().st_size for path in (store.root / LOCAL).iterdir()) > 0
    for path in (store.root / LOCAL).iterdir():
        os.utime(path, (1, 1))
    # used once more, and so it is young
    lock, _ = taken(folder, store.root / LOCAL, "zlib")
    found = store.gc(30)
    assert files_below(store.root / LOCAL) == {lock.sources["zlib"].filename}
    assert found.packed == found.left.packed == lock.sources["zlib"].size
    assert str(found) == (
        "freed 0.0 MiB: 0 blobs, 0 results, 0.0 MiB of packed local sources; "
        "left: 0.0 MiB in 0 blobs, 0 results, 0 checkouts, 0.0 MiB of packed local sources"
    )


def test_gc_down_to_a_size_drops_the_oldest_first(store: Store, tmp_path: Path) -> None:
    results = [built(store, tmp_path, str(age), age, a=str(age) * 1000) for age in (1, 2, 3)]
    store.gc(30, max_size=2500)
    assert [store.result(result.key) is not None for result in results] == [True, True, False]
    assert store.size().bytes <= 2500
    store.gc(30, max_size=0)
    assert (store.size().blobs, store.size().results) == (0, 0)


def test_gc_keeps_the_only_form_of_a_blob(store: Store, tmp_path: Path) -> None:
    store.cas.put(b"program", executable=False)
    tree = store.cas.put_directory(Directory(files=(("run", Digest.of(b"program"), True),)))
    store.publish(ActionResult("n", "a" * 64, tree, 1.0, True, ()))
    store.gc(30)
    assert (store.checkout(tree) / "run").read_bytes() == b"program"


def test_gc_drops_results_that_are_broken_or_not_whole(store: Store, tmp_path: Path) -> None:
    broken, lacking = built(store, tmp_path, "a", a="x"), built(store, tmp_path, "b", d__b="y")
    result_file(store, broken.key).write_text("{")
    store.cas.name(store.directory(lacking.tree).directories[0][1]).unlink()
    assert store.gc(30).results == 2
    assert store.size().blobs == 0


def test_gc_and_verify_refuse_a_store_in_use_and_spare_its_user(store: Store, tmp_path: Path) -> None:
    result = built(store, tmp_path, "a", 100, a="x")
    other = Store(store.root)
    for use in (lambda: other.gc(30), other.verify):
        with pytest.raises(StoreError, match="another doit uses the store"):
            use()
    assert store.result(result.key) == result
    store.close()
    other.gc(30)
    other.close()
    assert store.verify() == []


def test_a_use_waits_for_a_clean_up_and_says_so(store: Store, tmp_path: Path) -> None:
    told: list[str] = []
    other = Store(store.root, told.append)
    with store.cas.exclusive():
        thread = threading.Thread(target=other.cas.put, args=(b"x",))
        thread.start()
        while not told:
            time.sleep(0.01)
        assert not other.cas.has(Digest.of(b"x"))
    thread.join(10)
    assert other.cas.has(Digest.of(b"x"))
    assert told == ["the store is being cleaned"]


def test_verify_finds_wrong_bytes_sets_them_aside_and_the_result_is_a_miss(store: Store, tmp_path: Path) -> None:
    result, good = built(store, tmp_path, "a", a="hello", l="-> a"), built(store, tmp_path, "b", b="good", l="-> b")
    for tree in (result.tree, good.tree):
        store.checkout(tree)
    assert store.verify() == []
    damage(store, b"hello", b"hallo")
    problems = store.verify()
    assert [line.split(":")[0].split()[0] for line in problems] == ["blob", "result", "checkout"]
    assert "a is missing" in problems[1]
    assert store.result(result.key) is None
    assert store.result(good.key) == good
    assert len(files_below(store.root / "quarantine")) == 2
    assert store.verify() == []
    store.put_tree(tmp_path / "made-a")
    store.publish(result)
    assert (store.checkout(result.tree) / "a").read_text() == "hello"


def test_verify_finds_a_wrong_directory(store: Store, tmp_path: Path) -> None:
    result = built(store, tmp_path, "a", d__a="x")
    store.filter(result.tree, "d", (), ())
    inner = store.directory(result.tree).directories[0][1]
    damage(store, store.cas.get(inner), b"?" * inner.size)
    told = "\n".join(store.verify())
    assert f"blob {inner.hash}: wrong bytes" in told
    assert "filter memo" in told
    assert store.result(result.key) is None


def test_verify_finds_everything_else(store: Store, tmp_path: Path) -> None:
    result = built(store, tmp_path, "a", a="x")
    (store.root / "cas/zz").mkdir()
    (store.root / "cas/zz/stray").write_text("x")
    store.cas.name(Digest.of(b"x")).chmod(0o644)
    result_file(store, result.key).write_text("{")
    lacking = built(store, tmp_path, "b", b="y")
    assert lacking.log is not None
    store.cas.name(lacking.log).unlink()
    found = "\n".join(store.verify())
    for told in ("blob stray: wrong bytes or name", "had another mode", "cannot be read", "its log is missing"):
        assert told in found
    assert store.verify() == []


CHANGES: dict[str, Callable[[Path], object]] = {
    "more": lambda path: (path / "d/new").write_text("x"),
    "less": lambda path: (path / "d/a").unlink(),
    "other bytes": lambda path: rewrite(path / "d/a", "y", 0o444),
    "other mode": lambda path: rewrite(path / "d/a", "x", 0o555),
    "other link": lambda path: relink(path / "d/l"),
    "link for folder": lambda path: folder_to_link(path / "e"),
    "folder for file": lambda path: file_to_folder(path / "d/a"),
}


def rewrite(path: Path, text: str, mode: int) -> None:
    path.unlink()
    path.write_text(text)
    path.chmod(mode)


def folder_to_link(path: Path) -> None:
    path.rmdir()
    path.symlink_to("d")


def file_to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def relink(path: Path) -> None:
    path.unlink()
    path.symlink_to("b")


@pytest.mark.parametrize("change", CHANGES)
def test_verify_deletes_a_checkout_that_is_not_its_tree(store: Store, tmp_path: Path, change: str) -> None:
    (make(tmp_path / "t", d__a="x", d__l="-> a") / "e").mkdir()
    digest = store.put_tree(tmp_path / "t")
    path = store.checkout(digest)
    for folder in (path, path / "d", path / "e"):
        folder.chmod(0o755)
    assert store.verify() == []
    CHANGES[change](path)
    [problem] = store.verify()
    assert problem.startswith(f"checkout {digest.hash}: ")
    assert not path.exists()
    assert store.put_tree(store.checkout(digest)) == digest


def test_verify_deletes_a_checkout_whose_tree_is_gone(store: Store, tmp_path: Path) -> None:
    digest = store.put_tree(make(tmp_path / "t", a="x"))
    store.checkout(digest)
    store.cas.name(digest).unlink()
    assert store.verify() == [f"checkout {digest.hash}: its tree is missing, deleted"]
