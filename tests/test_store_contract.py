"""What every body of StoreProtocol keeps. A new body (a remote store) is one more line in BODIES."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graph.digest import FIXED_MTIME, Digest, Directory
from graph.errors import MissingBlob, PlanError, StepFailed, StoreError
from graph.remote.folder import FolderRemote
from graph.result import ActionResult
from graph.shared import SharedStore, Terms
from graph.store import Store, StoreProtocol
from graph.trees import Filtered


def shared(root: Path) -> SharedStore:
    """A store that pushes to a folder."""
    return SharedStore(root, FolderRemote(root.with_name("remote"), lambda received=0, sent=0: None), Terms(push=True), print)


BODIES: dict[str, Callable[[Path], StoreProtocol]] = {"local": Store, "shared": shared}


@pytest.fixture(params=BODIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> StoreProtocol:
    return BODIES[request.param](tmp_path / "store")


def make(root: Path, **files: str) -> Path:
    """A folder of files; `__` in a name is /, a text that starts with #! is executable, one with -> a symlink."""
    root.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("-> "):
            path.symlink_to(text[3:])
        else:
            path.write_text(text)
            path.chmod(0o755 if text.startswith("#!") else 0o644)
    return root


def seen(root: Path) -> dict[str, tuple[str, bool, int]]:
    """Path -> text or target, executable, mtime."""
    found = {}
    for path in sorted(root.rglob("*")):
        state = path.lstat()
        text = f"-> {path.readlink()}" if path.is_symlink() else path.read_text() if path.is_file() else "/"
        is_run = path.is_file() and not path.is_symlink() and bool(state.st_mode & 0o100)
        found[path.relative_to(root).as_posix()] = (text, is_run, int(state.st_mtime))
    return found


def put(store: StoreProtocol, data: bytes, executable: bool = False) -> Digest:
    """Keep bytes, by way of a file."""
    with store.workdir() as work:
        (work / "file").write_bytes(data)
        return store.put_file(work / "file", executable, move=True)


def result_for(store: StoreProtocol, tree: Digest, key: str = "a" * 64) -> ActionResult:
    return ActionResult("make:x:zlib", key, tree, 1.5, True, (("schema", "1"),), put(store, b"log"))


def test_without_claims_it_is_always_ones_own_turn(store: StoreProtocol) -> None:
    for _ in range(2):
        with store.lock("a" * 64), store.turn("make:it", "a" * 64, 100) as turn:
            assert (turn.ours, turn.found) == (True, None)
    store.wait("a" * 64, threading.Event())


def test_a_blob_is_given_back(store: StoreProtocol, tmp_path: Path) -> None:
    digest = put(store, b"hello")
    assert digest == Digest.of(b"hello") == put(store, b"hello")
    path = store.blob_path(digest)
    assert path is not None
    assert path.read_bytes() == b"hello"


def test_a_file_has_the_digest_of_its_bytes_and_stays(store: StoreProtocol, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 3_000_000)
    assert store.put_file(tmp_path / "f", False) == Digest.of(b"x" * 3_000_000)
    assert (tmp_path / "f").exists()


@pytest.mark.parametrize("put_executable", [False, True])
@pytest.mark.parametrize("asked_executable", [False, True])
def test_either_form_of_a_blob_gives_the_other(store: StoreProtocol, put_executable: bool, asked_executable: bool) -> None:
    path = store.blob_path(put(store, b"#!", put_executable), asked_executable)
    assert path is not None
    assert path.stat().st_mode & 0o777 == (0o555 if asked_executable else 0o444)
    assert path.stat().st_mtime == FIXED_MTIME


def test_a_missing_blob_is_told(store: StoreProtocol) -> None:
    absent = Digest.of(b"absent")
    assert store.blob_path(absent) is None
    with pytest.raises(MissingBlob, match="is missing") as caught:
        store.directory(absent)
    assert "doit store verify" in caught.value.hint


def test_a_tree_is_bytes_names_links_and_the_executable_bit(store: StoreProtocol, tmp_path: Path) -> None:
    one = make(tmp_path / "one", a="text", d__run="#!x", d__l="-> ../a", d__broken="-> nothing")
    (one / "empty").mkdir()
    other = make(tmp_path / "other", d__broken="-> nothing", d__l="-> ../a", d__run="#!x", a="text")
    (other / "empty").mkdir()
    (other / "a").chmod(0o600)
    (other / "d").chmod(0o700)
    os.utime(other / "a", (1, 1))
    os.link(other / "a", tmp_path / "another name")
    assert store.put_tree(one) == store.put_tree(other)
    (other / "a").chmod(0o700)
    assert store.put_tree(one) != store.put_tree(other)


def test_the_digest_of_a_tree_is_that_of_its_directory(store: StoreProtocol, tmp_path: Path) -> None:
    root = store.put_tree(make(tmp_path / "t", a="x", d__b="#!y"))
    below = Directory(files=(("b", Digest.of(b"#!y"), True),))
    whole = Directory(files=(("a", Digest.of(b"x"), False),), directories=(("d", Digest.of(below.encode())),))
    assert root == Digest.of(whole.encode())
    assert store.directory(root) == whole
    assert [entry.path for entry in store.tree(root)] == ["a", "d", "d/b"]


NAMES = st.text("abé .", min_size=1, max_size=3).filter(lambda name: name not in (".", ".."))
TREES = st.recursive(
    st.tuples(st.sampled_from(["", "one", "two\n"]), st.booleans()), lambda below: st.dictionaries(NAMES, below, max_size=4), max_leaves=8
).filter(lambda tree: isinstance(tree, dict))


def write(root: Path, tree: dict[str, object]) -> Path:
    root.mkdir()
    for name, below in tree.items():
        if isinstance(below, dict):
            write(root / name, below)
        elif isinstance(below, tuple):
            (root / name).write_text(below[0])
            (root / name).chmod(0o755 if below[1] else 0o644)
    return root


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=TREES)
def test_copies_and_checkouts_of_any_tree_have_its_digest(
    store: StoreProtocol, tmp_path_factory: pytest.TempPathFactory, tree: dict[str, object]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    digest = store.put_tree(write(folder / "source", tree))
    store.copy_tree(digest, folder / "copy")
    assert store.put_tree(store.checkout(digest)) == digest
    assert store.put_tree(folder / "copy", move=True) == digest
    assert store.put_tree(folder / "source", move=True) == digest


def test_a_checkout_has_one_time_and_nobody_writes_to_it(store: StoreProtocol, tmp_path: Path) -> None:
    digest = store.put_tree(make(tmp_path / "t", a="x", d__run="#!y", d__l="-> run"))
    path = store.checkout(digest)
    assert store.checkout(digest) == path
    assert seen(path) == {
        "a": ("x", False, FIXED_MTIME),
        "d": ("/", False, FIXED_MTIME),
        "d/run": ("#!y", True, FIXED_MTIME),
        "d/l": ("-> run", False, FIXED_MTIME),
    }
    modes = {p.relative_to(path).as_posix(): p.stat().st_mode & 0o777 for p in path.rglob("*") if not p.is_symlink()}
    assert modes == {"a": 0o444, "d": 0o555, "d/run": 0o555}
    assert path.stat().st_mode & 0o777 == 0o555
    assert path.stat().st_mtime == FIXED_MTIME


def test_a_copy_is_the_callers_own(store: StoreProtocol, tmp_path: Path) -> None:
    digest = store.put_tree(make(tmp_path / "t", a="x", d__run="#!y", l="-> a"))
    store.copy_tree(digest, tmp_path / "copy")
    assert seen(tmp_path / "copy") == seen(store.checkout(digest))
    assert {p.stat().st_nlink for p in (tmp_path / "copy").rglob("*") if p.is_file()} == {1}
    (tmp_path / "copy/a").write_text("changed")
    (tmp_path / "copy/d/new").write_text("made")
    blob = store.blob_path(Digest.of(b"x"))
    assert blob is not None
    assert blob.read_bytes() == b"x"
    store.copy_tree(digest, tmp_path / "deep" / "er")
    assert (tmp_path / "deep/er/a").read_text() == "x"


def test_a_tree_that_is_not_whole_is_told(store: StoreProtocol, tmp_path: Path) -> None:
    tree = put(store, Directory(files=(("a", Digest.of(b"absent"), False),)).encode())
    for use in (lambda: store.checkout(tree), lambda: store.copy_tree(tree, tmp_path / "copy")):
        with pytest.raises(MissingBlob, match="is missing"):
            use()


@pytest.mark.parametrize("target", ["/etc/passwd", "../x", "d/../../x"])
def test_links_that_lead_outside_are_refused(store: StoreProtocol, tmp_path: Path, target: str) -> None:
    make(tmp_path / "t", d__x="x", l=f"-> {target}")
    with pytest.raises(StepFailed, match=r"^output tree: l is a symbolic link that leads outside"):
        store.put_tree(tmp_path / "t")


def test_a_link_that_leads_outside_by_another_link_is_refused(store: StoreProtocol, tmp_path: Path) -> None:
    make(tmp_path / "t", a__b__x="x", s="-> a/b/../..", a__t="-> ../s/../x")
    with pytest.raises(StepFailed, match="leads outside"):
        store.put_tree(tmp_path / "t")


def test_pipes_and_names_that_are_not_utf8_are_refused(store: StoreProtocol, tmp_path: Path) -> None:
    os.mkfifo(make(tmp_path / "t", a="x") / "pipe")
    with pytest.raises(StepFailed, match="pipe is a socket, pipe or device"):
        store.put_tree(tmp_path / "t")
    (make(tmp_path / "u", d__a="x") / "d/\udcff").write_text("x")
    with pytest.raises(StepFailed, match="d holds a name that is not UTF-8"):
        store.put_tree(tmp_path / "u")
    (make(tmp_path / "v", a="x") / "l").symlink_to("\udcff")
    with pytest.raises(StepFailed, match="l holds a name that is not UTF-8"):
        store.put_tree(tmp_path / "v")


def test_a_filter_gives_a_tree_and_tells_what_matched_nothing(store: StoreProtocol, tmp_path: Path) -> None:
    digest = store.put_tree(make(tmp_path / "t", a__x__c="1", a__y="2", b__z="3"))
    for _ in range(2):
        found = store.filter(digest, "a", ("x/", "gone/*"), ())
        assert [entry.path for entry in store.tree(found.tree)] == ["x", "x/c"]
        assert found.unmatched == ("gone/*",)
    assert store.filter(digest, "", (), ()) == Filtered(digest)
    assert store.filter(digest, "c", (), ()).unmatched == ("c/",)
    with pytest.raises(PlanError, match="not a glob"):
        store.filter(digest, "", ("/",), ())


def test_a_link_that_a_subdir_cuts_off_is_named(store: StoreProtocol, tmp_path: Path) -> None:
    digest = store.put_tree(make(tmp_path / "t", a__d__l="-> ../../b", a__x="1", b="2"))
    for _ in range(2):
        with pytest.raises(PlanError, match=r"symbolic link d/l -> \.\./\.\./b leads out") as caught:
            store.filter(digest, "a", (), ())
        assert (caught.value.place, "without" in caught.value.hint) == ("subdir a", True)
    assert [entry.path for entry in store.tree(store.filter(digest, "a", (), ("d/l",)).tree)] == ["x"]


@pytest.mark.parametrize("umask", [0o002, 0o077])
def test_modes_do_not_come_from_the_callers_umask(store: StoreProtocol, tmp_path: Path, umask: int) -> None:
    digest = store.put_tree(make(tmp_path / "t", d__run="#!y", d__a="x"))
    before = os.umask(umask)
    try:
        store.copy_tree(digest, tmp_path / "copy")
        roots = {store.checkout(digest): 0o222, tmp_path / "copy": 0}
    finally:
        os.umask(before)
    for root, taken in roots.items():
        modes = {path.name: path.stat().st_mode & 0o777 for path in (root, root / "d", root / "d/run", root / "d/a")}
        assert modes == {root.name: 0o755 & ~taken, "d": 0o755 & ~taken, "run": 0o755 & ~taken, "a": 0o644 & ~taken}


def test_a_result_is_given_back_by_its_key(store: StoreProtocol, tmp_path: Path) -> None:
    result = result_for(store, store.put_tree(make(tmp_path / "t", a="x")))
    assert store.result(result.key) is None
    assert store.last(result.node) is None
    store.publish(result)
    assert store.result(result.key) == result
    assert store.last(result.node) == result.key
    again = replace(result, seconds=2.0)
    store.publish(again)
    assert store.result(result.key) == again
    store.forget(result.key)
    store.forget(result.key)
    assert store.result(result.key) is None


def test_a_result_without_its_tree_is_not_kept(store: StoreProtocol) -> None:
    with pytest.raises(StoreError, match="is missing"):
        store.publish(result_for(store, Digest.of(b"absent")))
    assert store.result("a" * 64) is None


def test_the_last_key_of_any_name_is_remembered(store: StoreProtocol) -> None:
    for name in ("make:x:a", "make:x/../a", "make:x:é a", ".."):
        store.remember(name, "1" * 64)
        store.remember(name, "2" * 64)
    store.remember("make:x:a", "2" * 64, "3" * 64)
    # who does not know the deep key leaves it alone
    store.remember("make:x:a", "2" * 64)
    assert [store.last("make:x:a", deep) for deep in ("3" * 64, "4" * 64)] == ["2" * 64, None]
    store.remember("make:x:a", "2" * 64, "4" * 64)
    assert [store.last("make:x:a", deep) for deep in ("3" * 64, "4" * 64)] == [None, "2" * 64]
    assert [store.last(name) for name in ("make:x:a", "make:x/../a", "make:x:é a", "..")] == ["2" * 64] * 4


def test_a_workdir_is_fresh_and_goes_with_all_that_is_in_it(store: StoreProtocol) -> None:
    with store.workdir() as one, store.workdir() as other:
        assert one != other
        assert list(one.iterdir()) == []
        make(one, d__e__f="x")
        (one / "d/e").chmod(0o500)
    assert not one.exists()
    assert not other.exists()


def test_a_lock_waits_for_its_holder_and_says_so(store: StoreProtocol) -> None:
    order: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        with store.lock("k", waiting.set):
            order.append("second")

    with store.lock("k"), store.lock("another"):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(10)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
