"""The local store on its disk: memos, broken files, gc, verify, many callers at once."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from graph import cas as cas_module
from graph import store as store_module
from graph.cas import Cas, lock
from graph.digest import Digest, Directory
from graph.disk import copy_file, remove_tree
from graph.errors import DiskFull, MissingBlob, StoreError
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
    result = ActionResult(f"make:x:{name}", Digest.of(name.encode()).hash, tree, 1.0, True, (), store.cas.put(f"log of {name}".encode()))
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
        assert store.cas.get(digest) == b"before"


def test_a_file_of_another_file_system_is_copied(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").write_bytes(b"far")
    install = Cas.install

    def across(self: Cas, path: Path, digest: Digest, executable: bool) -> Path:
        if path == tmp_path / "f":
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return install(self, path, digest, executable)

    monkeypatch.setattr(Cas, "install", across)
    assert store.cas.get(store.put_file(tmp_path / "f", False, move=True)) == b"far"


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
    digest = store.cas.put(b"hello")
    damage(store, b"hello", b"hel")
    assert store.blob_path(digest) is None
    store.cas.put(b"hello")
    assert store.cas.get(digest) == b"hello"


def test_a_blob_of_wrong_bytes_is_told_when_it_is_read(store: Store) -> None:
    digest = store.cas.put(b"hello")
    damage(store, b"hello", b"hallo")
    with pytest.raises(StoreError, match="wrong bytes") as caught:
        store.cas.get(digest)
    assert caught.value.hint == "doit store verify"


BAD_NAME = Directory(files=(("../x", Digest.of(b""), False),))


@pytest.mark.parametrize("data", [b"\xff\xff\xff", BAD_NAME.encode()], ids=["garbage", "bad name"])
def test_a_blob_that_is_no_directory_is_told(store: Store, data: bytes) -> None:
    with pytest.raises(StoreError):
        store.directory(store.cas.put(data))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_has_its_own_error_and_leaves_no_half_blob(store: Store, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(DiskFull) as caught:
            store.cas.put(b"hello")
    assert "doit store gc" in caught.value.hint
    assert [path for path in files_below(store.root) if not path.endswith(".lock") and path != "locks/store"] == []


def test_a_store_under_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file" / "store")
    for use in (lambda: store.cas.put(b""), lambda: store.logs, lambda: store.workdir().__enter__(), lambda: store.lock("k").__enter__()):
        with pytest.raises(StoreError, match="the store failed: Not a directory"):
            use()


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_a_store_that_cannot_be_written_says_what_to_do(store: Store, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(self: Path, target: Path) -> Path:
        raise OSError(number, os.strerror(number), str(target))

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(StoreError, match="cannot be written") as caught:
        store.cas.put(b"hello")
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


@pytest.mark.parametrize("number", [errno.EMLINK, errno.ENOENT])
def test_an_inode_that_takes_no_further_link_is_copied(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    digest = store.put_tree(make(tmp_path / "t", a="x", run="#!y"))

    def refuse(self: Path, target: Path) -> None:
        raise OSError(number, os.strerror(number), str(self), None, str(target))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "hardlink_to", refuse)
        path = store.checkout(digest)
    assert store.put_tree(path) == digest
    assert (path / "run").stat().st_mode & 0o777 == 0o555
    assert store.verify() == []


def test_a_blob_that_is_kept_anew_meanwhile_is_linked(store: Store) -> None:
    """The kernel links no file that was just replaced by another of its name; one run in four met that on two busy cores."""
    blob = store.cas.put(b"x")
    tree = store.cas.put_directory(Directory(files=tuple((f"f{n:04}", blob, False) for n in range(4000))))
    ended = threading.Event()

    def keep() -> None:
        while not ended.is_set():
            with store.cas.temporary() as copy:
                copy.write_bytes(b"x")
                store.cas.install(copy, blob, False)

    with ThreadPoolExecutor(1) as pool:
        keeping = pool.submit(keep)
        try:
            path = store.checkout(tree)
        finally:
            ended.set()
        keeping.result()
    assert store.put_tree(path) == tree


def test_a_checkout_that_another_made_first_is_used(store: Store, tmp_path: Path) -> None:
    digest = store.put_tree(make(tmp_path / "t", **{f"d{n}__f": str(n) for n in range(50)}))
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda _: store.checkout(digest), range(16)))
    assert len(paths) == 1
    assert store.put_tree(paths.pop()) == digest


def test_a_failed_checkout_leaves_nothing(store: Store, tmp_path: Path) -> None:
    tree = store.cas.put_directory(Directory(files=(("a", Digest.of(b"absent"), False),)))
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


def test_another_form_of_the_filter_reads_no_memo_of_this_one(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = store.put_tree(make(tmp_path / "t", a="x", b="y"))
    store.filter(digest, "", ("a",), ())
    monkeypatch.setattr(store_module, "FILTER_SCHEMA", "another")
    store.filter(digest, "", ("a",), ())
    assert len(list((store.root / "filtered").rglob("*.json"))) == 2


def test_a_result_is_read_while_no_gc_can_run(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = built(store, tmp_path, "a", a="x")
    store.close()
    reader, cleaner, read = Store(store.root), Store(store.root), Path.read_bytes
    refused: list[str] = []

    def read_late(path: Path) -> bytes:
        if path == result_file(store, result.key) and not refused:
            refused.append("")
            with pytest.raises(StoreError, match="another doit uses the store"):
                cleaner.gc(-1)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_late)
    assert reader.result(result.key) == result
    assert refused


@pytest.mark.parametrize("data", [b"", b"he"])
def test_a_tree_with_a_blob_cut_short_is_not_whole(store: Store, tmp_path: Path, data: bytes) -> None:
    """As a power loss leaves it: the name is there, the bytes are not."""
    digest = store.put_tree(make(tmp_path / "t", a="hello"))
    damage(store, b"hello", data)
    assert store.blob_path(Digest.of(b"hello")) is None
    for use in (lambda: store.checkout(digest), lambda: store.copy_tree(digest, tmp_path / "copy")):
        with pytest.raises(MissingBlob):
            use()
    damage(store, store.directory(digest).encode(), data)
    with pytest.raises(MissingBlob):
        Store(store.root).directory(digest)


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


def test_many_threads_put_the_same_trees(store: Store, tmp_path: Path) -> None:
    root = make(tmp_path / "t", **{f"d{n % 3}__f{n}": str(n % 7) for n in range(40)})
    with ThreadPoolExecutor(8) as pool:
        digests = set(pool.map(lambda _: store.put_tree(root), range(16)))
    assert len(digests) == 1
    assert store.verify() == []
