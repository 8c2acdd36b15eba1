"""A shared store at its edges: the disk here, Ctrl-C, blobs that others lost, bytes that differ."""

from __future__ import annotations

import errno
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from graph import shared
from graph.digest import Digest
from graph.disk import guarded
from graph.errors import DiskFull
from graph.remote import guard
from graph.remote.base import Chunks, Fault, Watch, grouped, unzstd
from graph.remote.guard import Guard, Told
from graph.remote.settings import Settings
from tests.fakes import DIST
from tests.machines import EVERYTHING, PLAN, Place
from tests.mini import Mini
from tests.remotes import http_cache
from tests.test_cli import TARGET
from tests.test_remote import publish, size_of


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    with made.stack:
        yield made


def tree(root: Path) -> Path:
    root.mkdir()
    (root / "file").write_text("some bytes")
    return root


def test_a_disk_that_fills_up_here_is_told_as_ever(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with http_cache() as server:
        result = publish(place.machine(Settings(server.url, push=True)), tree(tmp_path / "tree"))
        machine = place.machine(Settings(server.url))
        assert machine.store.result(result.key, size_of(result))

        def full(self: object, file: IO[bytes], chunk: bytes) -> None:
            with guarded(machine.store.root):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patched:
            patched.setattr(shared.SharedStore, "_append", full)
            with pytest.raises(DiskFull):
                machine.store.checkout(result.tree)
        assert machine.store.put_tree(machine.store.checkout(result.tree)) == result.tree
        machine.store.close()
        assert [path for path in (machine.store.root / "tmp").iterdir() if path.is_dir()] == []


def test_what_the_disk_has_no_room_for_is_not_downloaded(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with http_cache() as server:
        place.machine(Settings(server.url, push=True)).make()
        monkeypatch.setattr(shared, "free_bytes", lambda _: 1000)
        machine = place.machine(Settings(server.url))
        # but those whose output nothing that runs here reads
        assert set(EVERYTHING) - set(machine.make()) <= {"configure:cpython"}
        assert machine.said == ["remote: a tree is larger than the disk has room for: it is not downloaded"]


def test_blobs_that_were_lost_here_come_back(place: Place, tmp_path: Path) -> None:
    with http_cache() as server:
        machine = place.machine(Settings(server.url, push=True))
        result = publish(machine, tree(tmp_path / "tree"))
        machine.store.cas.name(Digest.of(b"some bytes")).unlink()
        assert machine.store.put_tree(machine.store.checkout(result.tree)) == result.tree


def test_a_node_that_gives_other_bytes_than_the_lost_ones_takes_all_above_it_along(place: Place) -> None:
    """Not reproducible, and its blobs expired: what stands on the old bytes is made anew, in the same run."""
    with http_cache() as server:
        first = place.machine(Settings(server.url, push=True))
        first.runner.suffix = "another day\n"
        first.make()
        theirs = first.archive(first.again()[0])
        for hash_ in server.kept.blobs.keys() - server.kept.results.keys():
            del server.kept.blobs[hash_]
        machine = place.machine(Settings(server.url))
        machine.make()
        ours = machine.archive(machine.again()[0])
        alone = place.machine(Settings("file:///nowhere"))
        alone.make()
        assert ours == alone.archive(alone.again()[0])
        assert b"another day" in theirs
        build, notes = machine.again()
        assert notes.ran == []
        for name in EVERYTHING:
            assert build.result(name).manifest == build.manifest(name)


def test_a_result_of_others_that_is_used_is_young_for_gc_and_a_damaged_one_is_asked_for_again(place: Place, tmp_path: Path) -> None:
    with http_cache() as server:
        result = publish(place.machine(Settings(server.url, push=True)), tree(tmp_path / "tree"))
        machine = place.machine(Settings(server.url))
        machine.store.result(result.key, size_of(result))
        kept = machine.store.foreign_path(result.key)
        os.utime(kept, (1e9, 1e9))
        assert machine.store.result(result.key) == result
        assert time.time() - kept.stat().st_mtime < 100
        for damage in (b"\xff", b"", kept.read_bytes()[:-9]):
            kept.write_bytes(damage)
            assert machine.store.result(result.key) is None
            assert machine.store.result(result.key, size_of(result)) == result
        assert machine.said == []


def test_users_are_all_that_stands_on_a_node() -> None:
    assert PLAN.users(["ext:zlib"]) == ("assemble:cpython", DIST)
    assert PLAN.users([DIST]) == ()
    assert PLAN.users(["ext:_ssl", "ext:zlib"]) == ("assemble:cpython", DIST)


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_ctrl_c_waits_for_no_server(tmp_path: Path, scheme: str) -> None:
    mini = Mini(tmp_path / "checkout")
    # who waited for the server would wait for an hour
    mini.write("patient/sitecustomize.py", "from graph.remote.base import Watch\nWatch.__init__.__defaults__ = (3600.0, 4096)\n")
    mini.settings["PYTHONPATH"] += f":{mini.root}/patient"
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        url = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/x"
        process = mini.start("--remote", url, TARGET, FREESTANDING_OFFLINE="")
        silent.settimeout(60)
        connection, _ = silent.accept()
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
        connection.close()
    assert process.returncode == 130, out + err
    assert "Traceback" not in out + err
    assert "next: type the same command" in err


def test_a_store_that_fails_too_often_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "PAUSES", (0.0, 0.0))
    said: list[str] = []
    tried = []

    def fail(kind: str) -> str:
        tried.append(kind)
        raise Fault(kind, kind)

    one = Guard(Told(said.append), "read from")
    assert one.attempt(lambda: 5) == 5
    for _ in range(10):
        assert one.attempt(lambda: fail("gone")) is None
    assert not one.closed
    for _ in range(10):
        one.attempt(lambda: fail("transient"))
    assert one.closed
    assert tried.count("transient") == 3 * guard.LIMIT
    assert one.attempt(lambda: 5) is None
    assert said == [
        "remote: gone: done without it",
        "remote: transient: done without it",
        "remote: transient: it is not read from any more in this run (5 faults)",
    ]


def test_blobs_are_grouped_by_bytes_and_number() -> None:
    sizes = [Digest("a" * 64, size) for size in (1, 2, 300, 4, 5, 6, 7)]
    assert [[one.size for one in group] for group in grouped(sizes, (10, 2))] == [[1, 2], [300], [4, 5], [6], [7]]
    assert list(grouped([], (10, 2))) == []


def test_a_zstd_bomb_comes_in_small_pieces() -> None:
    import zstandard

    bomb = zstandard.ZstdCompressor(level=19).compress(bytes(200_000_000))
    assert len(bomb) < 50_000
    for number, piece in enumerate(unzstd(iter((bomb,)))):
        assert len(piece) <= 1 << 18
        if number == 3:
            break
    assert b"".join(unzstd(iter((b"", zstandard.compress(b"a"), zstandard.compress(b"b"))))) == b"ab"
    with pytest.raises(Fault, match="no zstd"):
        list(unzstd(iter((b"no zstd at all",))))
    assert len(b"".join(unzstd(iter((bomb[:1000],))))) < 200_000_000
    assert Chunks(iter((b"ab", b"c"))).read() == b"ab"


def test_what_moves_at_once_has_time_for_its_size() -> None:
    watch, slow = Watch(window=0.5), threading.Event()
    with pytest.raises(Fault, match="slower"), watch.over(slow.set):
        assert slow.wait(60)
    killed: list[str] = []
    with watch.over(lambda: killed.append("unseen")) as transfer:
        transfer.expect(1 << 20)
        time.sleep(0.8)
    with watch.over(lambda: killed.append("moving")) as transfer:
        end = time.monotonic() + 0.8
        while time.monotonic() < end:
            transfer.moved(4096)
            time.sleep(0.001)
    assert killed == []
