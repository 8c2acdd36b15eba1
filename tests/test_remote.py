"""One remote store, many machines: what is built once is run nowhere else, and only the bytes that are needed come."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from graph.digest import Digest
from graph.remote.settings import Settings
from graph.result import ActionResult
from graph.shared import Terms
from graph.store import Store
from tests.fakes import DIST, context_of
from tests.machines import EVERYTHING, Machine, Place
from tests.remotes import Api, Cache, Kept, http_cache, reapi
from tests.test_build import PATCH_SSL, SSL_UP

pytestmark = pytest.mark.whole

KINDS = ("file", "http", "http+zstd", "grpc", "grpc+zstd, small and plain")


class Shared:
    """A remote store of one kind, and the machines that use it."""

    def __init__(self, place: Place, url: str, kept: Kept | None) -> None:
        self.place = place
        self.url = url
        self.kept = kept

    def machine(self, *, push: bool = False, **more: Any) -> Machine:
        return self.place.machine(Settings(self.url, push=push), **more)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    with made.stack:
        yield made


@pytest.fixture(params=KINDS)
def shared(request: pytest.FixtureRequest, place: Place, tmp_path: Path) -> Iterator[Shared]:
    kind: str = request.param
    with ExitStack() as stack:
        server: Api | Cache
        if kind == "file":
            (tmp_path / "a folder").mkdir()
            yield Shared(place, f"file://{tmp_path}/a%20folder", None)
            return
        if kind.startswith("http"):
            server = stack.enter_context(http_cache(zstd="zstd" in kind))
        else:
            batch = 300_000 if "small" in kind else 0
            server = stack.enter_context(reapi(zstd="zstd" in kind, batch=batch, inlines="plain" not in kind))
        yield Shared(place, server.url, server.kept)
        assert server.kept.wrong == []


def test_what_one_machine_built_no_other_runs(shared: Shared) -> None:
    first = shared.machine(push=True)
    assert sorted(first.make()) == sorted(EVERYTHING)
    second = shared.machine()
    assert second.make() == []
    assert second.said == []
    assert second.archive(second.again()[0]) == first.archive(first.again()[0])
    assert second.shared.results == len(EVERYTHING)
    assert second.received > 0 == second.sent


def test_only_the_archive_comes_of_all_the_files(shared: Shared) -> None:
    shared.machine(push=True).make()
    second = shared.machine()
    second.make()
    local = Store(second.store.root)
    files = {digest for name in EVERYTHING for digest in _files(second, name)}
    here = {digest for digest in files if local.blob_path(digest)}
    assert here == set(_files(second, DIST))
    assert len(files) > 10


def _files(machine: Machine, name: str) -> list[Digest]:
    build, _ = machine.again()
    return [entry.digest for entry in machine.store.tree(build.result(name).tree) if entry.digest and entry.kind == "file"]


def test_a_change_runs_its_cone_and_takes_the_bytes_of_its_inputs(shared: Shared) -> None:
    shared.machine(push=True).make()
    second = shared.machine()
    assert second.make(files={"patches/cpython/1.patch": PATCH_SSL}) == ["source:cpython", *SSL_UP]
    local = shared.machine()
    local.shared.abandon()
    local.make(files={"patches/cpython/1.patch": PATCH_SSL})
    assert second.archive(second.again()[0]) == local.archive(local.again()[0])


def test_nothing_is_asked_twice(shared: Shared) -> None:
    shared.machine(push=True).make()
    second = shared.machine()
    second.make()
    if shared.kept is not None:
        shared.kept.asked.clear()
    other = Machine(second.store.root, Settings(shared.url))
    assert other.make() == []
    assert other.received == 0
    assert shared.kept is None or shared.kept.asked == []


def test_without_push_nothing_is_sent(shared: Shared) -> None:
    machine = shared.machine()
    machine.make()
    assert machine.sent == 0
    assert machine.shared.pushed == 0
    assert shared.kept is None or not (shared.kept.results or shared.kept.blobs)


def test_results_that_were_there_before_are_pushed_too(shared: Shared) -> None:
    machine = shared.machine()
    machine.make()
    pushing = Machine(machine.store.root, Settings(shared.url, push=True))
    assert pushing.make() == []
    assert pushing.shared.pushed == len(EVERYTHING)
    assert shared.machine().make() == []
    sent = pushing.sent
    again = Machine(machine.store.root, Settings(shared.url, push=True))
    again.make()
    assert (again.shared.pushed, again.said) == (0, [])
    assert again.sent < sent / 2


def test_large_blobs_are_streamed_and_empty_ones_are_not_asked_for(shared: Shared, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "deep/er").mkdir(parents=True)
    (tree / "deep/large").write_bytes(bytes(range(256)) * 20_000)
    (tree / "deep/er/run").write_text("#!/bin/sh\n")
    (tree / "deep/er/run").chmod(0o755)
    (tree / "empty").write_bytes(b"")
    (tree / "link").symlink_to("deep/large")
    for number in range(100):
        (tree / f"small{number}").write_text(f"{number}\n" * 1000)
    first = shared.machine(push=True)
    result = publish(first, tree)
    second = shared.machine()
    found = second.store.result(result.key, size_of(result))
    assert found == result
    second.store.copy_tree(found.tree, tmp_path / "copy")
    assert Store(tmp_path / "other").put_tree(tmp_path / "copy") == result.tree
    assert second.said == []
    assert second.store.put_tree(second.store.checkout(result.tree)) == result.tree


def publish(machine: Machine, tree: Path, node: str = "make:it", hermetic: bool = True) -> ActionResult:
    """A result with this tree, as if a node had made it; pushed."""
    from graph.node import key

    lines = (("schema", "1"), ("node", node))
    with machine.store.workdir() as work:
        (work / "log").write_text("log of it\n")
        log = machine.store.put_file(work / "log", False)
    result = ActionResult(node, key(lines), machine.store.put_tree(tree), 1.0, hermetic, lines, log)
    machine.store.publish(result)
    machine.shared.flush()
    return result


def size_of(result: ActionResult) -> int:
    from graph.digest import canonical

    return len(canonical(result.manifest))


def test_what_is_not_hermetic_or_not_ours_to_give_stays_here(place: Place, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/a").write_text("a")
    with http_cache() as server:
        settings = Settings(server.url, push=True)
        machine = place.machine(settings, Terms(push=True, may_publish=lambda name: name != "make:private"))
        publish(machine, tmp_path / "tree", "make:open", hermetic=False)
        publish(machine, tmp_path / "tree", "make:private")
        assert server.kept.asked == []
        publish(machine, tmp_path / "tree", "make:given")
        assert len(server.kept.results) == 1


def test_a_result_made_outside_a_sandbox_hides_no_better_one(place: Place, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    with http_cache() as server:
        machine = place.machine(Settings(server.url, push=True))
        good = publish(machine, tmp_path / "tree")
        other = place.machine(Settings(server.url))
        publish(other, tmp_path / "tree", hermetic=False)
        found = other.store.result(good.key, size_of(good))
        assert found is not None
        assert found.hermetic


def test_two_machines_that_got_unlike_bytes_are_told(place: Place, tmp_path: Path) -> None:
    with http_cache() as server:
        for text in ("one", "two"):
            (tmp_path / text).mkdir()
            (tmp_path / text / "file").write_text(text)
            machine = place.machine(Settings(server.url, push=True))
            publish(machine, tmp_path / text)
        assert machine.said == ["remote: make:it gave other bytes on another machine: doit verify make:it"]


def test_gc_and_verify_know_results_of_others(place: Place) -> None:
    with http_cache() as server:
        place.machine(Settings(server.url, push=True)).make()
        machine = place.machine(Settings(server.url))
        machine.make(files={"patches/cpython/1.patch": PATCH_SSL})
        machine.make()
        machine.shared.abandon()
        machine.store.close()
        store = Store(machine.store.root)
        assert store.verify() == []
        store.gc(30)
        store.close()
        server.kept.asked.clear()
        after = Machine(store.root, Settings(server.url))
        assert after.make() == []
        assert server.kept.asked == []
        after.shared.abandon()
        after.store.close()
        cleaned = Store(store.root).gc(-1)
        assert cleaned.left.blobs == cleaned.left.results == 0


def test_many_threads_look_ahead_as_one_would(place: Place) -> None:
    with reapi() as server:
        place.machine(Settings(server.url, push=True)).make()
        for threads in (1, 2, 16):
            assert place.machine(Settings(server.url)).make(threads=threads) == []
        partly = place.machine(Settings(server.url))
        build, _ = partly.build(context_of())
        build.look_ahead(EVERYTHING[:3], 8)
        assert all(build.is_cached(name) for name in EVERYTHING[:3])


def test_the_key_is_the_digest_of_the_manifest_in_the_store(place: Place, tmp_path: Path) -> None:
    with http_cache() as server:
        (tmp_path / "tree").mkdir()
        result = publish(place.machine(Settings(server.url, push=True)), tmp_path / "tree")
        assert server.kept.blobs[result.key].startswith(b"6:schema1:1\n")


def test_a_proxy_of_the_environment_is_gone_through(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with http_cache() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/some/path"))
        monkeypatch.setenv("no_proxy", "")
        settings = Settings("http://cache.invalid:8080/some/path", push=True)
        place.machine(settings).make()
        assert place.machine(settings).make() == []
        assert len(proxy.kept.results) == len(EVERYTHING)


def test_tls_with_our_own_authority_and_a_client_certificate(place: Place, tmp_path: Path) -> None:
    import trustme

    authority = trustme.CA()
    served, ours = authority.issue_cert("127.0.0.1"), authority.issue_cert("builder@example.org")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    ours.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    ours.private_key_pem.write_to_path(tmp_path / "key.pem")
    import grpc

    credentials = grpc.ssl_server_credentials(
        [(served.private_key_pem.bytes(), served.cert_chain_pems[0].bytes())], authority.cert_pem.bytes(), True
    )
    with http_cache(context, token="secret") as web, reapi(credentials) as api:
        for url in (web.url, api.url):
            ca, cert, key = (str(tmp_path / f"{name}.pem") for name in ("ca", "cert", "key"))
            good = Settings(url, True, ca, cert, key, "secret")
            place.machine(good).make()
            assert place.machine(good).make() == []
            for bad in (Settings(url, token="secret"), Settings(url, token="secret", ca=ca)):
                machine = place.machine(bad)
                assert sorted(machine.make()) == sorted(EVERYTHING)
                assert len(machine.said) == 1, machine.said
                assert "secret" not in machine.said[0]
