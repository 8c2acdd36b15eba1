"""Fetching from servers that misbehave: what is at `dest` afterwards, what was asked of whom, and what the user is told."""

from __future__ import annotations

import errno
import hashlib
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from graph.errors import DiskFull, FetchError, HashMismatch, Interrupted, StoreError
from graph.fetch import ROUNDS, Fetcher, FetcherProtocol, MemoryFetcher
from graph.lock import Source, Way
from graph.web import CHUNK, Timeouts
from tests.fetch_server import Handler, Server, breaking, first, ranged, status, whole

BODY = bytes(range(256)) * 4096
"""1 MiB: several chunks."""
OTHER = BODY[::-1]
MB = len(BODY)


class Bench:
    """A fetcher whose waits and warnings are written down."""

    def __init__(self, folder: Path, mirrors: tuple[Path, ...] = (), offline: bool = False, read: float = 60.0) -> None:
        self.slept: list[float] = []
        self.warned: list[str] = []
        self.cache = folder / "downloads"
        self.dest = folder / "out" / "a.tar.gz"
        timeouts = Timeouts(connect=5.0, read=read)
        self.fetcher = Fetcher(mirrors, offline, self.cache, warn=self.warned.append, sleep=self.slept.append, timeouts=timeouts)

    def fetch(self, source: Source) -> bytes:
        self.fetcher.fetch(source, self.dest)
        return self.dest.read_bytes()

    def fails(self, source: Source) -> FetchError:
        """The error of a fetch; nothing may be at `dest` or beside it."""
        with pytest.raises(FetchError) as caught:
            self.fetcher.fetch(source, self.dest)
        assert not self.dest.parent.exists() or list(self.dest.parent.iterdir()) == []
        return caught.value

    def parts(self) -> list[Path]:
        return sorted(self.cache.glob("*.part"))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def source(*urls: str, body: bytes = BODY) -> Source:
    ways = tuple(Way("url", url=url) for url in urls)
    return Source("a", "1.0", "a.tar.gz", hashlib.sha256(body).hexdigest(), len(body), "MIT", ways)


@pytest.mark.parametrize("kind", ["memory", "mirror", "web"])
def test_contract_of_every_fetcher(kind: str, server: Server, tmp_path: Path) -> None:
    """Verified bytes at dest, told as progress; wrong and missing ones leave it alone."""
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "a.tar.gz").write_bytes(BODY)
    fetchers: dict[str, FetcherProtocol] = {
        "memory": MemoryFetcher({"a.tar.gz": BODY}),
        "mirror": Bench(tmp_path, mirrors=(tmp_path / "mirror",)).fetcher,
        "web": Bench(tmp_path).fetcher,
    }
    url = server.url("/a", whole(BODY))
    told: list[tuple[int, int]] = []
    dest = tmp_path / "new folder" / "a.tar.gz"
    fetchers[kind].fetch(source(url), dest, lambda done, total: told.append((done, total)))
    assert dest.read_bytes() == BODY
    assert told[-1] == (MB, MB)
    assert [path.name for path in dest.parent.iterdir()] == ["a.tar.gz"]
    with pytest.raises(HashMismatch):
        fetchers[kind].fetch(source(url, body=OTHER), dest)
    with pytest.raises(FetchError):
        fetchers[kind].fetch(Source("b", "1", "b.tar", "0" * 64, 3, "MIT", (Way("url", url=f"{server.base}/none"),)), tmp_path / "b")
    assert dest.read_bytes() == BODY
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("code", [403, 404, 410])
def test_a_refusal_goes_to_the_next_way_at_once(code: int, server: Server, bench: Bench) -> None:
    assert bench.fetch(source(server.url("/no", status(code)), server.url("/yes", whole(BODY)))) == BODY
    assert server.paths() == ["/no", "/yes"]
    assert bench.slept == []


def test_wrong_bytes_from_one_way_are_told_and_the_next_is_used(server: Server, bench: Bench) -> None:
    assert bench.fetch(source(server.url("/wrong", whole(OTHER)), server.url("/yes", whole(BODY)))) == BODY
    [warning] = bench.warned
    assert "/wrong: expected sha256" in warning
    assert hashlib.sha256(OTHER).hexdigest() in warning


def test_wrong_bytes_from_all_ways(server: Server, bench: Bench) -> None:
    error = bench.fails(source(server.url("/one", whole(OTHER)), server.url("/two", whole(b"<html>sign in</html>"))))
    assert isinstance(error, HashMismatch)
    assert error.exit_code == 13
    assert f"/one: expected sha256 {hashlib.sha256(BODY).hexdigest()}, got {hashlib.sha256(OTHER).hexdigest()}" in error.what
    assert f"/two: expected {MB} bytes, got 20" in error.what
    assert "doit lock --check a" in error.hint
    assert bench.parts() == []


def test_a_body_without_end_is_cut_off(server: Server, bench: Bench) -> None:
    bench.fails(source(server.url("/long", whole(BODY * 20, Content_Length="")), body=BODY))
    assert "got more" in bench.warned[0]


def test_no_way_at_all_names_each_and_the_mirror_folder(server: Server, bench: Bench) -> None:
    error = bench.fails(source(server.url("/a", status(404)), server.url("/b", status(403))))
    assert not isinstance(error, HashMismatch)
    assert error.exit_code == 12
    assert "/a: HTTP 404" in error.what
    assert "/b: HTTP 403" in error.what
    assert "FREESTANDING_MIRROR" in error.hint
    assert "a.tar.gz" in error.hint


def test_a_server_error_waits_for_the_other_ways_then_is_tried_again(server: Server, bench: Bench) -> None:
    url = server.url("/a", first(status(503), status(500), whole(BODY)))
    assert bench.fetch(source(url, server.url("/b", status(404)))) == BODY
    assert server.paths() == ["/a", "/b", "/a", "/a"]
    assert len(bench.slept) == 2
    assert 0.5 <= bench.slept[0] <= 0.75 < 1.0 <= bench.slept[1] <= 1.5


@pytest.mark.parametrize(("asked", "waited"), [("7", 7.0), ("100000", 60.0)])
def test_retry_after_is_honoured_within_reason(asked: str, waited: float, server: Server, bench: Bench) -> None:
    url = server.url("/a", first(status(429, Retry_After=asked), whole(BODY)))
    assert bench.fetch(source(url)) == BODY
    assert bench.slept == [waited]


def test_a_server_that_stays_ill_is_given_up(server: Server, bench: Bench) -> None:
    assert "/a: HTTP 500" in bench.fails(source(server.url("/a", status(500)))).what
    assert len(server.seen) == ROUNDS
    assert len(bench.slept) == ROUNDS - 1


def test_a_refused_connection_and_an_unknown_host(bench: Bench) -> None:
    error = bench.fails(source("http://127.0.0.1:9/a", "http://host.invalid/a"))
    assert "http://127.0.0.1:9/a: ConnectionError" in error.what
    assert "http://host.invalid/a: no such host" in error.what


def test_a_slow_server_is_left_for_the_next_way(server: Server, tmp_path: Path) -> None:
    bench = Bench(tmp_path, read=2.0)
    release = threading.Event()
    waited_for: list[Handler] = []

    def hang(handler: Handler) -> None:
        release.wait(300)
        waited_for.append(handler)

    slow = server.url("/slow", hang)
    began = time.monotonic()
    try:
        assert bench.fetch(source(slow, server.url("/yes", whole(BODY)))) == BODY
        assert waited_for == []
    finally:
        release.set()
    assert time.monotonic() - began < Timeouts().read, "the bench's own is a thirtieth of it"


def test_a_server_that_falls_silent_amid_the_body(server: Server, tmp_path: Path) -> None:
    bench = Bench(tmp_path, read=2.0)
    release = threading.Event()

    def silent(handler: Handler) -> None:
        handler.answer(200, BODY[: 2 * CHUNK], Content_Length=str(MB))
        release.wait(5)

    assert bench.fetch(source(server.url("/silent", silent), server.url("/yes", whole(BODY)))) == BODY
    assert server.seen[-1] == ("GET", "/yes", "")
    release.set()


def test_redirects_are_followed(server: Server, bench: Bench) -> None:
    target = server.url("/target", whole(BODY))
    assert bench.fetch(source(server.url("/a", status(302, Location=target)))) == BODY


def test_a_redirect_in_a_circle_ends(server: Server, bench: Bench) -> None:
    url = server.url("/a", status(302, Location="/a"))
    assert "TooManyRedirects" in bench.fails(source(url)).what


def test_a_broken_off_body_is_resumed(server: Server, bench: Bench) -> None:
    assert bench.fetch(source(server.url("/a", breaking(BODY, 700_000, ranged(BODY))))) == BODY
    assert [wanted for _, _, wanted in server.seen] == ["", "bytes=700000-"]
    assert bench.slept == []


def test_a_broken_off_body_without_range_starts_anew(server: Server, bench: Bench) -> None:
    assert bench.fetch(source(server.url("/a", breaking(BODY, 700_000, whole(BODY))))) == BODY
    assert [wanted for _, _, wanted in server.seen] == ["", "bytes=700000-"]


def test_a_body_that_always_breaks_at_one_place_is_given_up(server: Server, bench: Bench) -> None:
    error = bench.fails(source(server.url("/a", whole(BODY[:1000], Content_Length=str(MB)))))
    assert "/a: " in error.what
    assert len(server.seen) <= 2 * ROUNDS


def test_content_encoding_does_not_unpack_the_file(server: Server, bench: Bench) -> None:
    """Some servers call a .tar.gz a gzip-encoded tar."""
    assert bench.fetch(source(server.url("/a", whole(BODY, Content_Encoding="gzip")))) == BODY


class Stop(Exception):
    pass


def abort(bench: Bench, what: Source, after: int) -> None:
    def progress(done: int, total: int) -> None:
        if done >= after:
            raise Stop

    with pytest.raises(Stop):
        bench.fetcher.fetch(what, bench.dest, progress)
    assert not bench.dest.exists()


def test_what_came_before_an_abort_is_resumed_in_the_next_run(server: Server, bench: Bench) -> None:
    what = source(server.url("/a", ranged(BODY)))
    abort(bench, what, 2 * CHUNK)
    [part] = bench.parts()
    kept = part.stat().st_size
    assert 2 * CHUNK <= kept < MB
    assert Bench(bench.cache.parent).fetch(what) == BODY
    assert [wanted for _, _, wanted in server.seen] == ["", f"bytes={kept}-"]
    assert bench.parts() == []


def test_a_whole_part_needs_no_server(server: Server, bench: Bench) -> None:
    """Killed between the last byte and the rename."""
    what = source(server.url("/a", ranged(BODY)))
    abort(bench, what, MB)
    assert bench.fetch(what) == BODY
    assert len(server.seen) == 1


def test_a_part_is_not_continued_from_another_address(server: Server, bench: Bench) -> None:
    first_ = server.url("/a", ranged(BODY))
    abort(bench, source(first_), 2 * CHUNK)
    assert bench.fetch(source(server.url("/b", ranged(BODY)))) == BODY
    assert server.seen[-1] == ("GET", "/b", "")


def test_a_file_that_changed_behind_its_address_is_fetched_whole(server: Server, bench: Bench) -> None:
    what = source(server.url("/a", ranged(BODY)))
    abort(bench, what, 2 * CHUNK)
    server.url("/a", ranged(BODY, etag='"two"'))
    assert bench.fetch(what) == BODY
    assert len(server.seen) == 2


def test_a_damaged_part_is_fetched_again_from_zero(server: Server, bench: Bench) -> None:
    what = source(server.url("/a", ranged(BODY)))
    abort(bench, what, 2 * CHUNK)
    [part] = bench.parts()
    part.write_bytes(b"x" * part.stat().st_size)
    assert bench.fetch(what) == BODY
    assert bench.warned == []
    assert server.seen[-1] == ("GET", "/a", "")


@pytest.mark.parametrize("record", ["", "[]", '{"url": 3}', "{"])
def test_a_damaged_record_of_a_part_drops_it(record: str, server: Server, bench: Bench) -> None:
    what = source(server.url("/a", ranged(BODY)))
    abort(bench, what, 2 * CHUNK)
    [path] = bench.cache.glob("*.json")
    path.write_text(record)
    assert bench.fetch(what) == BODY
    assert server.seen[-1] == ("GET", "/a", "")


def test_a_refused_range_starts_anew(server: Server, bench: Bench) -> None:
    what = source(server.url("/a", ranged(BODY)))
    abort(bench, what, 2 * CHUNK)
    server.url("/a", first(status(416), whole(BODY)))
    assert bench.fetch(what) == BODY


def test_a_range_from_elsewhere_starts_anew(server: Server, bench: Bench) -> None:
    what = source(server.url("/a", ranged(BODY)))
    abort(bench, what, 2 * CHUNK)
    server.url("/a", first(status(206, BODY[7:], Content_Range=f"bytes 7-{MB - 1}/{MB}"), whole(BODY)))
    assert bench.fetch(what) == BODY


def test_ctrl_c_keeps_the_part(server: Server, bench: Bench) -> None:
    def progress(done: int, total: int) -> None:
        raise Interrupted("Ctrl-C")

    with pytest.raises(Interrupted):
        bench.fetcher.fetch(source(server.url("/a", ranged(BODY))), bench.dest, progress)
    assert bench.parts()[0].stat().st_size > 0


def test_mirrors_come_first_and_bad_ones_are_told(server: Server, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("absent", "wrong", "short", "right")]
    for folder, body in zip(folders[1:], (OTHER, BODY[:-1], BODY), strict=True):
        folder.mkdir()
        (folder / "a.tar.gz").write_bytes(body)
    bench = Bench(tmp_path, mirrors=tuple(folders))
    assert bench.fetch(source(server.url("/a", whole(BODY)))) == BODY
    assert server.seen == []
    assert [
        f"mirror {folders[1]}/a.tar.gz: expected sha256" in bench.warned[0],
        f"expected {MB} bytes, got {MB - 1}" in bench.warned[1],
    ] == [True, True]
    assert (tmp_path / "right" / "a.tar.gz").read_bytes() == BODY


def test_offline_asks_nobody(server: Server, tmp_path: Path) -> None:
    bench = Bench(tmp_path, offline=True)
    error = bench.fails(source(server.url("/a", whole(BODY))))
    assert "--offline" in error.what
    assert "FREESTANDING_MIRROR" in error.hint
    assert server.seen == []


def test_offline_uses_mirrors(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(BODY)
    assert Bench(tmp_path, mirrors=(tmp_path,), offline=True).fetch(source("http://127.0.0.1:9/a")) == BODY


def test_many_threads_share_a_fetcher(server: Server, bench: Bench, tmp_path: Path) -> None:
    """Eight sources, and one of them twice at once."""
    bodies = [bytes([n]) * 300_000 for n in range(8)]
    sources = [
        Source(f"s{n}", "1", f"s{n}", hashlib.sha256(b).hexdigest(), len(b), "MIT", (Way("url", url=server.url(f"/{n}", ranged(b))),))
        for n, b in enumerate(bodies)
    ]
    work = [(s, tmp_path / "out" / f"{n}") for n, s in enumerate([*sources, sources[0]])]
    threads = [threading.Thread(target=bench.fetcher.fetch, args=pair) for pair in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.read_bytes() for _, path in work] == [*bodies, bodies[0]]
    assert bench.parts() == []


def test_two_fetches_of_one_source_do_not_share_a_part(server: Server, bench: Bench) -> None:
    """As two doit runs at once would."""
    reached, go_on = threading.Event(), threading.Event()

    def progress(done: int, total: int) -> None:
        reached.set()
        go_on.wait(5)

    what = source(server.url("/a", ranged(BODY)))
    other = bench.dest.with_name("other")
    thread = threading.Thread(target=bench.fetcher.fetch, args=(what, other, progress))
    thread.start()
    assert reached.wait(5)
    assert Bench(bench.cache.parent).fetch(what) == BODY
    go_on.set()
    thread.join()
    assert other.read_bytes() == BODY
    assert bench.parts() == []


class FullDisk:
    """A file that takes nothing any more."""

    def __init__(self, file: Any, code: int) -> None:
        self._file = file
        self._code = code

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)

    def write(self, data: bytes) -> int:
        raise OSError(self._code, "planted")


@pytest.mark.parametrize(("code", "kind"), [(errno.ENOSPC, DiskFull), (errno.EIO, StoreError)])
def test_what_the_disk_does_is_told(
    code: int, kind: type[StoreError], server: Server, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def full(path: Path, mode: str = "r", **more: Any) -> Any:
        file = opened(path, mode, **more)
        return FullDisk(file, code) if path.suffix == ".part" and mode == "ab" else file

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(kind) as caught:
        bench.fetcher.fetch(source(server.url("/a", ranged(BODY))), bench.dest)
    assert type(caught.value) is kind
    assert str(bench.cache) in caught.value.place
    assert not bench.dest.exists()


def test_a_cache_that_cannot_be_made(server: Server, tmp_path: Path) -> None:
    (tmp_path / "downloads").write_text("a file")
    with pytest.raises(StoreError):
        Bench(tmp_path).fetcher.fetch(source(server.url("/a", ranged(BODY))), tmp_path / "out")
