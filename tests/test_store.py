"""The local store on its disk: memos, broken files, gc, verify, many callers at once."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from graph import cas as cas_module
from graph.cas import Cas, copy_file, lock, remove_tree
from graph.digest import Digest, Directory
from graph.errors import DiskFull, StoreError
from graph.result import ActionResult
from graph.store import Store
from tests.test_store_contract import make

DAY = 86400


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def built(store: Store, tmp_path: Path, name: str, age_days: float = 0, **files: str) -> ActionResult:
    """A published result of this age, as if a node had made it."""
    tree = store.put_tree(make(tmp_path / f"made-{name}", **files))
    result = ActionResult(f"make:x:{name}", Digest.of(name.encode()).hash, tree, 1.0, True, (), store.put_blob(f"log of {name}".encode()))
    store.publish(result)
    stamp = time.time() - age_days * DAY
    os.utime(result_file(store, result.key), (stamp, stamp))
    return result


def result_file(store: Store, key: str) -> Path:
    return store.root / "ac" / key[:2] / f"{key}.json"


def damage(store: Store, data: bytes, new: bytes, executable: bool = False) -> None:
    path = store.cas.name(Digest.of(data), executable)
    path.chmod(0o644)
    path.write_bytes(new)
    path.chmod(0o555 if executable else 0o444)


def files_below(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


# blobs


def test_nothing_is_made_before_the_first_write(store: Store) -> None:
    assert store.result("a" * 64) is None
    assert store.last("a") is None
    assert store.blob_path(Digest.of(b"")) is None
    assert not (store.root / "cas").exists()


def test_a_moved_file_is_the_blob_itself(store: Store) -> None:
    with store.workdir() as work:
        (work / "f").write_bytes(b"x" * 100)
        inode = (work / "f").stat().st_ino
        digest = store.put_file(work / "f", False, move=True)
        assert not (work / "f").exists()
        assert store.cas.name(digest).stat().st_ino == inode


def test_a_moved_file_with_another_name_is_copied(store: Store) -> None:
    with store.workdir() as work:
        (work / "f").write_bytes(b"before")
        (work / "g").hardlink_to(work / "f")
        digest = store.put_file(work / "f", False, move=True)
        (work / "g").write_bytes(b"after!")
        assert store.get_blob(digest) == b"before"


def test_a_file_of_another_file_system_is_copied(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").write_bytes(b"far")
    install = Cas.install

    def across(self: Cas, path: Path, digest: Digest, executable: bool) -> Path:
        if path == tmp_path / "f":
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return install(self, path, digest, executable)

    monkeypatch.setattr(Cas, "install", across)
    assert store.get_blob(store.put_file(tmp_path / "f", False, move=True)) == b"far"


def test_a_file_that_changes_while_it_is_read_is_refused(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").write_bytes(b"one")

    def slow_copy(source: Path, target: Path) -> None:
        source.write_bytes(b"two")
        copy_file(source, target)

    monkeypatch.setattr(cas_module, "copy_file", slow_copy)
    with pytest.raises(StoreError, match="changed while"):
        store.put_file(tmp_path / "f", False)
    assert not (store.root / "cas").exists()


def test_a_blob_of_wrong_length_is_absent_and_put_again(store: Store) -> None:
    digest = store.put_blob(b"hello")
    damage(store, b"hello", b"hel")
    assert store.blob_path(digest) is None
    store.put_blob(b"hello")
    assert store.get_blob(digest) == b"hello"


def test_a_blob_of_wrong_bytes_is_told_when_it_is_read(store: Store) -> None:
    digest = store.put_blob(b"hello")
    damage(store, b"hello", b"hallo")
    with pytest.raises(StoreError, match="wrong bytes") as caught:
        store.get_blob(digest)
    assert caught.value.hint == "doit store verify"


BAD_NAME = Directory(files=(("../x", Digest.of(b""), False),))


@pytest.mark.parametrize("data", [b"\xff\xff\xff", BAD_NAME.encode()], ids=["garbage", "bad name"])
def test_a_blob_that_is_no_directory_is_told(store: Store, data: bytes) -> None:
    with pytest.raises(StoreError):
        store.directory(store.put_blob(data))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_has_its_own_error_and_leaves_no_half_blob(store: Store, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(DiskFull) as caught:
            store.put_blob(b"hello")
    assert "doit store gc" in caught.value.hint
    assert [path for path in files_below(store.root) if not path.endswith(".lock") and path != "locks/store"] == []


def test_a_store_under_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file" / "store")
    for use in (lambda: store.put_blob(b""), lambda: store.logs, lambda: store.workdir().__enter__(), lambda: store.lock("k").__enter__()):
        with pytest.raises(StoreError, match="the store failed: Not a directory"):
            use()


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_a_store_that_cannot_be_written_says_what_to_do(store: Store, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(self: Path, target: Path) -> Path:
        raise OSError(number, os.strerror(number), str(target))

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(StoreError, match="cannot be written") as caught:
        store.put_blob(b"hello")
    assert caught.value.place == str(store.cas.name(Digest.of(b"hello")))
    assert "FREESTANDING_STORE" in caught.value.hint


@pytest.mark.parametrize("error", [OSError(errno.EOPNOTSUPP, "no"), OSError(errno.EXDEV, "no"), AttributeError("no")])
def test_where_ranges_cannot_be_copied_bytes_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(*_: object) -> int:
        raise error

    monkeypatch.setattr(os, "copy_file_range", refuse)
    (tmp_path / "a").write_bytes(b"x" * 3_000_000)
    copy_file(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"x" * 3_000_000


def test_a_copy_that_the_kernel_ends_early_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = os.copy_file_range, []

    def short(old: int, new: int, count: int) -> int:
        calls.append(count)
        return real(old, new, 1000) if len(calls) == 1 else 0

    monkeypatch.setattr(os, "copy_file_range", short)
    (tmp_path / "a").write_bytes(os.urandom(5000))
    copy_file(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()


# trees, memos, results


def test_an_inode_without_room_for_another_link_is_copied(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = store.put_tree(make(tmp_path / "t", a="x", run="#!y"))

    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.EMLINK, "Too many links")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "hardlink_to", refuse)
        path = store.checkout(digest)
    assert store.put_tree(path) == digest
    assert (path / "run").stat().st_mode & 0o777 == 0o555
    assert store.verify() == []


def test_a_checkout_that_another_made_first_is_used(store: Store, tmp_path: Path) -> None:
    digest = store.put_tree(make(tmp_path / "t", **{f"d{n}__f": str(n) for n in range(50)}))
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda _: store.checkout(digest), range(16)))
    assert len(paths) == 1
    assert store.put_tree(paths.pop()) == digest


def test_a_failed_checkout_leaves_nothing(store: Store, tmp_path: Path) -> None:
    tree = store.put_directory(Directory(files=(("a", Digest.of(b"absent"), False),)))
    with pytest.raises(StoreError):
        store.checkout(tree)
    assert not (store.root / "trees").exists()
    store.close()
    assert list((store.root / "tmp").iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"tree": "x", "unmatched": []}', "null"])
def test_a_broken_filter_memo_is_made_again(store: Store, tmp_path: Path, text: str) -> None:
    digest = store.put_tree(make(tmp_path / "t", a="x", b="y"))
    found = store.filter(digest, "", ("a",), ())
    [memo] = (store.root / "filtered").rglob("*.json")
    memo.write_text(text)
    assert store.filter(digest, "", ("a",), ()) == found
    assert json.loads(memo.read_text())["tree"] == str(found.tree)


def test_a_filter_memo_without_its_tree_is_made_again(store: Store, tmp_path: Path) -> None:
    found = store.filter(store.put_tree(make(tmp_path / "t", a="x", b="y")), "", ("a",), ())
    store.cas.name(found.tree).unlink()
    again = Store(store.root)
    assert again.filter(again.put_tree(tmp_path / "t"), "", ("a",), ()) == found
    assert again.cas.has(found.tree)


def test_a_result_that_cannot_be_read_or_is_of_another_key_is_a_miss(store: Store, tmp_path: Path) -> None:
    result = built(store, tmp_path, "a", a="x")
    other = result_file(store, "b" * 64)
    other.parent.mkdir(parents=True)
    other.write_bytes(result.encode())
    assert store.result("b" * 64) is None
    result_file(store, result.key).write_text("{")
    assert store.result(result.key) is None


def test_a_result_whose_root_is_gone_is_a_miss(store: Store, tmp_path: Path) -> None:
    result = built(store, tmp_path, "a", a="x")
    store.cas.name(result.tree).unlink()
    assert store.result(result.key) is None


def test_using_a_result_makes_it_young_once_a_day(store: Store, tmp_path: Path) -> None:
    old, fresh = built(store, tmp_path, "old", 5, a="x"), built(store, tmp_path, "fresh", 0.5, a="x")
    times = [result_file(store, result.key).stat().st_mtime for result in (old, fresh)]
    for result in (old, fresh):
        assert store.result(result.key) == result
    after = [result_file(store, result.key).stat().st_mtime for result in (old, fresh)]
    assert after[0] > times[0] + 4 * DAY
    assert after[1] == times[1]


# work in progress


def test_a_read_only_folder_goes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "t", d__e__f="x")
    (tmp_path / "t/d/e").chmod(0o500)
    real, calls = shutil.rmtree, []

    def rmtree(path: Path) -> None:
        """root may delete anything; this is what others meet."""
        calls.append(path)
        if (tmp_path / "t/d/e").stat().st_mode & 0o777 != 0o700:
            raise PermissionError(errno.EACCES, "Permission denied")
        real(path)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    remove_tree(tmp_path / "t")
    assert len(calls) == 2
    assert not (tmp_path / "t").exists()
    remove_tree(tmp_path / "absent")


def test_a_sweep_takes_the_work_of_the_dead_and_leaves_that_of_the_living(store: Store) -> None:
    child = os.fork()
    if not child:
        (store.cas.claim()[0] / "f").write_text("x")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    with store.workdir() as mine:
        (mine / "f").write_text("x")
        assert len(files_below(store.root / "tmp")) == 4
        assert Store(store.root).sweep() == 1
        assert (mine / "f").exists()
    assert Store(store.root / "absent").sweep() == 0


def test_what_a_sweep_cannot_delete_is_no_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, fd = store.cas.claim()
    os.close(fd)

    def refuse(path: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    with monkeypatch.context() as patched:
        patched.setattr(cas_module, "remove_tree", refuse)
        assert store.sweep() == 0
    assert folder.is_dir()
    assert store.sweep() == 1


def test_a_lock_file_deleted_by_its_holder_is_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = lock(path)
    waiting = threading.Event()
    got: list[int] = []
    thread = threading.Thread(target=lambda: got.append(lock(path, on_wait=waiting.set)))
    thread.start()
    assert waiting.wait(10)
    path.unlink()
    os.close(first)
    thread.join(10)
    assert os.path.samestat(os.fstat(got[0]), path.stat())
    with pytest.raises(BlockingIOError):
        lock(path, wait=False)
    os.close(got[0])


# upkeep


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
    assert store.last(new.node) == new.key
    assert store.result(new.key) == new
    assert files_below(store.logs) | files_below(store.downloads) | files_below(store.runs) == {"b.log", "part", "last.json"}
    assert files_below(store.root / "locks") == {"store"}
    assert len(files_below(store.root / "filtered")) == 1
    store.copy_tree(new.tree, tmp_path / "copy")
    assert store.verify() == []


def test_gc_down_to_a_size_drops_the_oldest_first(store: Store, tmp_path: Path) -> None:
    results = [built(store, tmp_path, str(age), age, a=str(age) * 1000) for age in (1, 2, 3)]
    store.gc(30, max_size=2500)
    assert [store.result(result.key) is not None for result in results] == [True, True, False]
    assert store.size().bytes <= 2500
    store.gc(30, max_size=0)
    assert (store.size().blobs, store.size().results) == (0, 0)


def test_gc_keeps_the_only_form_of_a_blob(store: Store, tmp_path: Path) -> None:
    store.put_blob(b"program", executable=False)
    tree = store.put_directory(Directory(files=(("run", Digest.of(b"program"), True),)))
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
        thread = threading.Thread(target=other.put_blob, args=(b"x",))
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
    damage(store, store.get_blob(inner), b"?" * inner.size)
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


def test_many_threads_put_the_same_trees(store: Store, tmp_path: Path) -> None:
    root = make(tmp_path / "t", **{f"d{n % 3}__f{n}": str(n % 7) for n in range(40)})
    with ThreadPoolExecutor(8) as pool:
        digests = set(pool.map(lambda _: store.put_tree(root), range(16)))
    assert len(digests) == 1
    assert store.verify() == []
