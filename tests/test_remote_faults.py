"""The fault table: whatever a remote store does, the build ends right, says so once, and no wrong byte is used."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from graph.digest import Digest, Directory
from graph.published import MAX_TREE, Note
from graph.reapi import Outcome, encode_tree
from graph.remote import guard
from graph.remote.settings import Settings
from graph.result import ActionResult
from graph.shared import SharedStore, Terms
from graph.store import Store
from tests.fakes import DIST, context_of
from tests.machines import EVERYTHING, STEPS, THREADS, Machine, Place
from tests.remotes import Api, Cache, CacheHandler, Kept, http_cache, reapi
from tests.test_build import PATCH_SSL
from tests.test_remote import publish, size_of

pytestmark = pytest.mark.whole


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    with made.stack:
        yield made


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transient fault is met with another try at once."""
    monkeypatch.setattr(guard, "PAUSES", (0.01, 0.01))


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The archive of a build that no remote store had a part in."""
    machine = Place(tmp_path_factory.mktemp("right")).machine(Settings("file:///nowhere"))
    machine.shared.abandon()
    machine.make()
    return machine.archive(machine.again()[0])


def ends_right(machine: Machine, right: bytes) -> list[str]:
    """Build; the archive is what it should be, the store is whole, each thing was said once. What ran."""
    ran = machine.make()
    assert machine.archive(machine.again()[0]) == right
    assert len(set(machine.said)) == len(machine.said)
    machine.shared.abandon()
    machine.store.close()
    assert Store(machine.store.root).verify() == []
    return ran


def sends(text: str) -> Callable[[CacheHandler], bool]:
    """A fault: these bytes, and no more."""

    def fault(handler: CacheHandler) -> bool:
        handler.wfile.write(text.encode())
        handler.close_connection = True
        return True

    return fault


def status(code: int) -> Callable[[CacheHandler], bool]:
    """A fault: an HTTP error."""

    def fault(handler: CacheHandler) -> bool:
        handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        handler.answer(code, b"no")
        return True

    return fault


HEAD = "HTTP/1.1 200 OK\r\nContent-Length: "
WEB_FAULTS: dict[str, tuple[Callable[[CacheHandler], bool], str]] = {
    "500": (status(500), "HTTP 500"),
    "503": (status(503), "HTTP 503"),
    "401": (status(401), "the token is not accepted, or has expired"),
    "403": (status(403), "access is denied"),
    "a redirect": (status(302), "HTTP 302"),
    "no answer": (sends(""), "RemoteDisconnected"),
    "no HTTP": (sends("what?\r\n\r\n"), "BadStatusLine"),
    "half a response": (sends(f"{HEAD}100\r\n\r\nhalf"), "broke off with 96 bytes to come"),
    "no message": (sends(f"{HEAD}4\r\n\r\n\xff\xff"), "a result that is none"),
    "another message": (sends(f"{HEAD}3\r\n\r\n\x0a\x01x"), "a result that is none"),
    "a message without end": (sends(f"{HEAD}9999999\r\n\r\n" + "x" * (5 << 20)), "a result of more than 4 MiB"),
    "endless headers": (sends("HTTP/1.1 200 OK\r\n" + "X-Header: 1\r\n" * 200 + "\r\n"), "HTTPException"),
}


@pytest.mark.parametrize("name", WEB_FAULTS)
def test_http_faults_of_every_request(place: Place, right: bytes, name: str) -> None:
    with http_cache() as server:
        server.fault, why = WEB_FAULTS[name]
        machine = place.machine(Settings(server.url, push=True))
        assert sorted(ends_right(machine, right)) == sorted(EVERYTHING)
        assert any(why in line for line in machine.said), machine.said
        assert server.kept.results == {}


API_FAULTS = {
    grpc.StatusCode.UNAVAILABLE: "unavailable",
    grpc.StatusCode.INTERNAL: "internal",
    grpc.StatusCode.UNAUTHENTICATED: "the token is not accepted",
    grpc.StatusCode.PERMISSION_DENIED: "access is denied",
    grpc.StatusCode.UNIMPLEMENTED: "the server lacks a service",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "the server is full",
}


@pytest.mark.parametrize("code", API_FAULTS)
def test_grpc_faults_of_every_request(place: Place, right: bytes, code: Any) -> None:
    with reapi() as server:
        server.fault = lambda method, context: context.abort(code, "as told")
        machine = place.machine(Settings(server.url, push=True))
        assert sorted(ends_right(machine, right)) == sorted(EVERYTHING)
        assert any(API_FAULTS[code] in line for line in machine.said), machine.said


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that nobody listens on, and that nobody else is given meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield int(bound.getsockname()[1])


@pytest.mark.parametrize("scheme", ["http", "https", "grpc", "grpcs"])
def test_a_server_that_is_not_there(place: Place, right: bytes, scheme: str) -> None:
    with closed_port() as port:
        machine = place.machine(Settings(f"{scheme}://127.0.0.1:{port}/x", push=True))
        assert sorted(ends_right(machine, right)) == sorted(EVERYTHING)
    assert len(machine.said) <= 2
    assert "no connection" in machine.said[0]


def test_a_folder_that_is_not_there(place: Place, right: bytes, tmp_path: Path) -> None:
    machine = place.machine(Settings(f"file://{tmp_path}/nowhere"))
    assert sorted(ends_right(machine, right)) == sorted(EVERYTHING)
    assert machine.said == ["remote: no such folder: it is not read from any more in this run"]


def asked_of(machine: Machine) -> list[Digest]:
    """The results that it asks its remote store for, from now on."""
    asked: list[Digest] = []
    get_result = machine.remote.get_result

    def note(action: Digest) -> bytes | None:
        asked.append(action)
        return get_result(action)

    vars(machine.remote)["get_result"] = note
    return asked


@pytest.mark.parametrize("scheme", ["http", "https", "grpc"])
def test_a_server_that_says_nothing_is_left_after_one_window(place: Place, right: bytes, scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        machine = place.machine(Settings(f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/x"), window=0.5)
        asked = asked_of(machine)
        assert sorted(ends_right(machine, right)) == sorted(EVERYTHING)
        assert len(machine.said) == 1, machine.said
        # the socket, or its handshake, has the same time as the watch: whichever is first
        ways = ("slower than 4096 bytes a second for 0.5 s", "no answer in time", "timed out")
        assert any(way in machine.said[0] for way in ways), machine.said
        assert 1 <= len(asked) <= THREADS, "who comes later does not ask"


@pytest.mark.parametrize("where", ["headers", "body"])
def test_a_slow_loris_is_left_after_one_window(place: Place, right: bytes, where: str) -> None:
    """A byte now and then, which no time-out between two reads would notice."""
    over = threading.Event()

    def drip(handler: CacheHandler) -> bool:
        if where == "body":
            handler.wfile.write(f"{HEAD}100000\r\n\r\n".encode())
        else:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not over.wait(0.05):
            handler.wfile.write(b"x" * 20)
        return True

    with http_cache() as server:
        server.fault = drip
        machine = place.machine(Settings(server.url), window=2.0)
        asked = asked_of(machine)
        assert sorted(ends_right(machine, right)) == sorted(EVERYTHING)
        assert 1 <= len(asked) <= THREADS, "who comes later does not ask"
        assert machine.said == ["remote: slower than 4096 bytes a second for 2 s: it is not read from any more in this run"]
        over.set()


Server = Cache | Api


@contextmanager
def filled(place: Place, kind: str) -> Iterator[tuple[Server, Kept]]:
    """A server of this kind that holds the whole build."""
    with http_cache() if kind == "http" else reapi() as server:
        place.machine(Settings(server.url, push=True)).make()
        assert server.kept.wrong == []
        yield server, server.kept


def change(kept: Kept, how: Callable[[bytes], bytes], chosen: Callable[[bytes], bool] = lambda _: True) -> None:
    """Change blobs under the server's feet, but for actions."""
    for hash_ in kept.blobs.keys() - kept.results.keys():
        if chosen(kept.blobs[hash_]):
            kept.blobs[hash_] = how(kept.blobs[hash_])


BLOB_FAULTS: dict[str, Callable[[bytes], bytes]] = {
    "a flipped byte": lambda data: bytes([data[0] ^ 1]) + data[1:] if data else data,
    "too short": lambda data: data[:-1],
    "too long": lambda data: data + b"x",
    "empty": lambda _: b"",
}


@pytest.mark.parametrize("kind", ["http", "grpc"])
@pytest.mark.parametrize("name", BLOB_FAULTS)
def test_wrong_bytes_are_refused_and_made_again_in_the_same_run(place: Place, right: bytes, kind: str, name: str) -> None:
    with filled(place, kind) as (server, kept):
        change(kept, BLOB_FAULTS[name])
        machine = place.machine(Settings(server.url))
        assert set(ends_right(machine, right)) >= STEPS
        assert machine.said


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_blobs_that_have_expired_are_made_again_in_the_same_run(place: Place, right: bytes, kind: str) -> None:
    with filled(place, kind) as (server, kept):
        for hash_ in kept.blobs.keys() - kept.results.keys():
            del kept.blobs[hash_]
        machine = place.machine(Settings(server.url))
        assert sorted(ends_right(machine, right)) == sorted(EVERYTHING)


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_one_lost_input_is_made_again_and_nothing_else(place: Place, kind: str) -> None:
    with filled(place, kind) as (server, kept):
        machine = place.machine(Settings(server.url, push=True))
        build, _ = machine.again()
        [lost] = [entry.digest for entry in machine.store.tree(build.result("core:cpython").tree) if entry.path == "python"]
        assert lost is not None
        del kept.blobs[lost.hash]
        other = place.machine(Settings(server.url, push=True))
        build, notes = other.build(context_of(files={"patches/cpython/1.patch": PATCH_SSL}))
        other.finish(build, [DIST])
        assert notes.again == ["core:cpython"]
        assert set(notes.ran) == {"source:cpython", "ext:_ssl", "core:cpython", "assemble:cpython", DIST}
        assert lost.hash in kept.blobs, "it is given back"
        assert kept.wrong == []


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_a_server_that_dies_in_the_middle(place: Place, right: bytes, kind: str) -> None:
    with filled(place, kind) as (server, kept):
        for after in range(2, 40, 8):
            kept.asked.clear()

            def die(*args: Any, after: int = after) -> bool:
                if len(kept.asked) < after:
                    return False
                if isinstance(args[0], str):
                    args[1].abort(grpc.StatusCode.UNAVAILABLE, "gone")
                args[0].close_connection = True
                return True

            server.fault = die
            ends_right(place.machine(Settings(server.url)), right)


def test_a_server_that_takes_no_more_is_still_read_from(place: Place, right: bytes) -> None:
    with filled(place, "http") as (server, _):
        assert isinstance(server, Cache)
        server.fault = lambda handler: handler.command == "PUT" and status(507)(handler)
        machine = place.machine(Settings(server.url, push=True))
        assert machine.make(files={"patches/cpython/1.patch": PATCH_SSL})
        assert machine.said == ["remote: its disk is full (HTTP 507): it is not written to any more in this run"]
        assert machine.shared.results == len(EVERYTHING) - 4


def test_a_token_that_expires(place: Place, right: bytes) -> None:
    with http_cache(token="new") as server:
        place.machine(Settings(server.url, push=True, token="new")).make()
        machine = place.machine(Settings(server.url, push=True, token="old"))
        assert sorted(ends_right(machine, right)) == sorted(EVERYTHING)
        assert machine.said[0] == ("remote: the token is not accepted, or has expired (HTTP 401): it is not read from any more in this run")


# hostile results: of the right key, well-formed, and not to be believed


def lie(kept: Kept, true: ActionResult, tree: bytes, root: Digest | None = None, **more: Any) -> None:
    """Put a result with this Tree in the place of a true one."""
    from dataclasses import replace

    told = replace(true, tree=root or Digest.of(b""), **more)
    note = Note(told.encode().decode(), {}).encode()
    for data in (tree, note):
        kept.blobs[Digest.of(data).hash] = data
    kept.results[true.key] = Outcome(Digest.of(tree), Digest.of(note), note, told.log).encode()


def tree_with(*folders: Directory) -> tuple[bytes, Digest]:
    """Tree message and digest of its root, the first folder."""
    return encode_tree(folders[0].encode(), (one.encode() for one in folders[1:])), Digest.of(folders[0].encode())


SOME = Digest.of(b"x")


def nested(levels: int, width: int) -> tuple[bytes, Digest]:
    """`width ** levels` folders, in a message of a few kB."""
    folders = [Directory(files=(("f", SOME, False),))]
    for _ in range(levels):
        below = Digest.of(folders[-1].encode())
        folders.append(Directory(directories=tuple((f"d{number}", below) for number in range(width))))
    return tree_with(*reversed(folders))


def often(folder: Directory) -> tuple[Directory, Directory]:
    """A folder that holds this one a thousand times, and this one."""
    return Directory(directories=tuple((f"d{number:03}", Digest.of(folder.encode())) for number in range(1000))), folder


def endless(folder: Directory) -> tuple[bytes, Digest]:
    """Well-formed, the same root again and again, and longer than a Tree message may be."""
    data, root = tree_with(folder)
    return data * (MAX_TREE // len(data) + 1), root


HOSTILE: dict[str, tuple[Callable[[], tuple[bytes, Digest]], str]] = {
    "a name that leads outside": (lambda: tree_with(Directory(files=(("../../escaped", SOME, False),))), "a bad name: '../../escaped'"),
    "an absolute name": (lambda: tree_with(Directory(files=(("/tmp/escaped", SOME, False),))), "a bad name: '/tmp/escaped'"),
    "a folder ..": (lambda: tree_with(Directory(directories=(("..", Digest.of(b"")),)), Directory()), "a bad name: '..'"),
    "an absolute link": (lambda: tree_with(Directory(symlinks=(("l", "/etc"),))), "l -> /etc leads outside"),
    "a link outside": (lambda: tree_with(Directory(symlinks=(("l", "../.."),))), "l -> ../.. leads outside"),
    "one name twice": (lambda: tree_with(Directory(files=(("f", SOME, False),), symlinks=(("f", "x"),))), "a bad name: 'one twice'"),
    "a huge file": (lambda: tree_with(Directory(files=(("f", Digest(SOME.hash, 1 << 62), False),))), "more than 200000 files or"),
    "a message without end": (
        lambda: endless(Directory(files=tuple((f"{n}", SOME, False) for n in range(1000)))),
        "where at most 16777216 can be",
    ),
    "a folder that is missing": (lambda: tree_with(Directory(directories=(("d", Digest.of(b"y")),))), "is missing"),
    "another root": (lambda: (tree_with(Directory(files=(("f", SOME, False),)))[0], Digest.of(b"z")), "is missing"),
    "a tree that unfolds": (lambda: nested(40, 10), "more than 200000 files or"),
    "a long link, held often": (lambda: tree_with(*often(Directory(symlinks=(("l", "x/../" * 4000),)))), "no file system takes"),
    "a deep tree": (lambda: nested(300, 1), "more than 200 levels"),
    "no tree": (lambda: (b"\xff\xff\xff", Digest.of(b"z")), "truncated varint"),
}
"""What it is -> how it is made, and what is said of it."""


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_tree_is_refused(place: Place, right: bytes, name: str, tmp_path: Path) -> None:
    with filled(place, "http") as (server, kept):
        build, _ = place.machine(Settings(server.url)).again()
        make, why = HOSTILE[name]
        data, root = make()
        lie(kept, build.result("make:openssl"), data, root)
        lie(kept, build.result(DIST), data, root)
        machine = place.machine(Settings(server.url))
        assert {"make:openssl", DIST} & set(ends_right(machine, right))
        assert len(machine.said) == 1
        assert why in machine.said[0]
        assert not list(tmp_path.rglob("*escaped*"))


def test_a_result_of_another_key_or_manifest_is_refused(place: Place, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    with http_cache() as server:
        good = publish(place.machine(Settings(server.url, push=True)), tmp_path / "tree")
        tree = encode_tree(b"", [])
        lies: list[dict[str, Any]] = [
            {"key": "a" * 64},
            {"manifest": (("schema", "2"),)},
            {"hermetic": False},
            {"manifest": (("\ud800", ""),)},
        ]
        for more in lies:
            lie(server.kept, good, tree, **more)
            machine = place.machine(Settings(server.url))
            assert machine.store.result(good.key, size_of(good)) is None
            assert "a result that is none" in machine.said[0]
        lie(server.kept, good, tree)
        assert place.machine(Settings(server.url)).store.result(good.key, size_of(good)) is not None


def test_a_log_or_note_that_is_not_as_told(place: Place, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    with http_cache() as server:
        good = publish(place.machine(Settings(server.url, push=True)), tmp_path / "tree")
        true = Outcome.decode(server.kept.results[good.key])
        from dataclasses import replace

        for changed in (
            replace(true, log=SOME),
            replace(true, note=SOME),
            replace(true, contents=b"[" * 100_000),
            replace(true, contents=b"", note=Digest(SOME.hash, 1 << 40)),
        ):
            server.kept.results[good.key] = changed.encode()
            assert place.machine(Settings(server.url)).store.result(good.key, size_of(good)) is None


# signatures


def test_only_signed_results_are_used_when_keys_are_named(place: Place, right: bytes, tmp_path: Path) -> None:
    from tests.test_remote_settings import key_pair, signer, verifier

    (ours, public), (theirs, _) = key_pair(tmp_path, "ours"), key_pair(tmp_path, "theirs")
    with http_cache() as server:
        settings = Settings(server.url, push=True)
        for terms in (Terms(push=True), Terms(push=True, signer=signer(theirs))):
            place.machine(settings, terms).make()
            machine = place.machine(settings, Terms(verifier=verifier(public)))
            assert sorted(ends_right(machine, right)) == sorted(EVERYTHING)
            assert any("has no good signature: it is not used" in line and "'fetch:zlib'" in line for line in machine.said)
            server.kept.results.clear()
        place.machine(settings, Terms(push=True, signer=signer(ours), verifier=verifier(public))).make()
        machine = place.machine(settings, Terms(verifier=verifier(public)))
        assert ends_right(machine, right) == []
        assert machine.said == []


def test_what_was_made_of_results_is_known_only_while_their_signer_is_trusted(place: Place, tmp_path: Path) -> None:
    from tests.test_remote_settings import key_pair, signer, verifier

    (ours, public), (_, other) = key_pair(tmp_path, "ours"), key_pair(tmp_path, "theirs")
    with http_cache() as server:
        settings = Settings(server.url, push=True)
        place.machine(settings, Terms(push=True, signer=signer(ours))).make()
        machine = place.machine(settings, Terms(verifier=verifier(public)))
        build, _ = machine.build(context_of())
        build.needed([DIST])
        machine.finish(build, [DIST])
        for key, known in ((public, True), (other, False)):
            later = SharedStore(machine.store.root, machine.remote, Terms(verifier=verifier(key)), machine.said.append)
            machine.store = later
            looked, _ = machine.build(context_of())
            assert (looked.needed([DIST]) == (DIST,)) is known
            later.abandon()


def test_a_signature_is_of_all_that_a_result_says(place: Place, tmp_path: Path) -> None:
    from tests.test_remote_settings import key_pair, signer, verifier

    private, public = key_pair(tmp_path, "ours")
    (tmp_path / "tree").mkdir()
    with http_cache() as server:
        good = publish(place.machine(Settings(server.url), Terms(push=True, signer=signer(private))), tmp_path / "tree")
        true = Outcome.decode(server.kept.results[good.key])
        note = Note.decode(true.contents)
        for number in range(0, len(note.result), 7):
            text = note.result[:number] + chr(ord(note.result[number]) ^ 1) + note.result[number + 1 :]
            forged = Note(text, note.signatures).encode()
            server.kept.results[good.key] = Outcome(true.tree, Digest.of(forged), forged, true.log).encode()
            assert place.machine(Settings(server.url), Terms(verifier=verifier(public))).store.result(good.key, size_of(good)) is None


def test_unsigned_results_are_replaced_by_one_who_signs(place: Place, tmp_path: Path) -> None:
    from tests.test_remote_settings import key_pair, signer, verifier

    private, public = key_pair(tmp_path, "ours")
    with http_cache() as server:
        place.machine(Settings(server.url, push=True)).make()
        place.machine(Settings(server.url), Terms(push=True, signer=signer(private), verifier=verifier(public))).make()
        assert place.machine(Settings(server.url), Terms(verifier=verifier(public))).make() == []
