"""The engine, on a small graph of the real one's shape: what runs when what changes, and what becomes of failures."""

from __future__ import annotations

import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from graph.build import Build, FarmProtocol, Workshop
from graph.digest import Digest
from graph.errors import FetchError, Interrupted, MissingBlob, PatchError, PlanError, StepFailed
from graph.fetch import MemoryFetcher
from graph.jobserver import Jobserver
from graph.node import File, Input, Node, Run, Step, key, manifest
from graph.plan import Plan, make_plan
from graph.recipes.common import Context, fetch_node, source_node
from graph.store import Store
from graph.verify import verify_nodes
from tests.fakes import ARCHIVES, CPYTHON, DIST, CatRunner, context_of, tar_of, tiny, tiny_plan


class Notes:
    """An observer that counts."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.from_store: list[str] = []
        self.again: list[str] = []

    def started(self, name: str) -> None:
        self.ran.append(name)

    def finished(self, name: str, seconds: float) -> None:
        pass

    def cached(self, name: str) -> None:
        self.from_store.append(name)

    def failed(self, name: str) -> None:
        self.ran.remove(name)

    def waiting(self, name: str) -> None:
        pass

    def made_again(self, name: str) -> None:
        self.again.append(name)

    def progress(self, name: str, done: int, total: int) -> None:
        pass


class World:
    """One store, many builds."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)
        self.runner = CatRunner()
        self.farm: FarmProtocol | None = None

    def build(self, context: Context, plan: Plan | None = None) -> tuple[Build, Notes]:
        notes = Notes()
        archives = {source.filename: ARCHIVES[source.name] for source in context.lock if source.name in ARCHIVES}
        workshop = Workshop(self.store, self.runner, MemoryFetcher(archives), Jobserver(2), notes, context.lock, {}, self.farm)
        return Build(plan or tiny_plan(context), workshop), notes

    def run(self, context: Context, plan: Plan | None = None) -> list[str]:
        """Realise everything, as doit would; the names of the nodes that were executed."""
        build, notes = self.build(context, plan)
        for name in build.plan.nodes:
            if not build.is_cached(name):
                build.realise(name)
        return notes.ran


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "store")


EVERYTHING = list(tiny_plan(context_of()).nodes)


def test_the_first_build_runs_every_node_and_the_second_none(world: World) -> None:
    assert sorted(world.run(context_of())) == sorted(EVERYTHING)
    assert world.run(context_of()) == []


def test_the_law_stored_manifests_equal_recomputed_ones_and_inputs_are_untouched(world: World) -> None:
    world.run(context_of())
    build, _ = world.build(context_of())
    for name in build.plan.nodes:
        assert build.is_cached(name)
        assert build.result(name).manifest == build.manifest(name)
        assert world.store.last(name) == build.result(name).key
    assert list(world.store.verify()) == []


def test_what_is_behind_a_known_result_is_not_looked_at(world: World) -> None:
    first, _ = world.build(context_of())
    assert set(first.needed([DIST])) == set(EVERYTHING)
    for name in first.plan.nodes:
        first.realise(name)
    build, notes = world.build(context_of())
    assert build.needed([DIST]) == (DIST,)
    assert build.is_cached(DIST)
    assert notes.from_store == [DIST]
    assert build.result(DIST) == first.result(DIST)


def test_of_a_change_its_cone_and_what_that_is_made_from_is_looked_at(world: World) -> None:
    first, _ = world.build(context_of())
    first.needed([DIST])
    for name in first.plan.nodes:
        first.realise(name)
    build, notes = world.build(context_of(files={"patches/openssl/1.patch": PATCH_CRYPTO}))
    needed = build.needed([DIST])
    cone = {"source:openssl", *build.plan.users(["source:openssl"])}
    assert set(needed) == cone | {given.node for name in cone for given in build.plan[name].inputs}
    for name in needed:
        if not build.is_cached(name):
            build.realise(name)
    assert set(notes.ran) <= cone
    assert world.build(context_of(files={"patches/openssl/1.patch": PATCH_CRYPTO}))[0].needed([DIST]) == (DIST,)


def test_a_known_result_that_is_gone_or_was_made_without_a_sandbox_is_none(world: World) -> None:
    first, _ = world.build(context_of())
    first.needed([DIST])
    for name in first.plan.nodes:
        first.realise(name)
    world.store.publish(replace(first.result(DIST), hermetic=False))
    inputs = [given.node for given in first.plan[DIST].inputs]
    assert set(world.build(context_of())[0].needed([DIST])) == {DIST, *inputs}
    for name in (DIST, inputs[0]):
        world.store.forget(first.result(name).key)
    build, notes = world.build(context_of())
    assert inputs[0] in build.needed([DIST])
    assert build.realise(DIST).tree == first.result(DIST).tree
    assert DIST in notes.ran


def test_a_long_chain_that_was_not_looked_at_is_made_again_without_end_of_the_stack(world: World) -> None:
    action = Run((Step(("cat", "in", "out/x"), cwd="."),))
    chain = [
        Node("make:0", action, files=(File("in", b"x"),)),
        *(Node(f"make:{number}", action, (Input(f"make:{number - 1}", "in"),)) for number in range(1, 600)),
    ]
    plan = Plan({node.name: node for node in chain})
    first, _ = world.build(context_of(), plan)
    first.needed(["make:599"])
    for name in plan.nodes:
        first.realise(name)
    build, _ = world.build(context_of(), plan)
    assert build.needed(["make:599"]) == ("make:599",)
    world.store.forget(build.result("make:599").key)
    build.mending(lambda: build.result("make:300"))
    assert build.realise("make:300").tree == first.result("make:300").tree


def test_what_is_not_looked_at_is_kept_young(world: World) -> None:
    first, _ = world.build(context_of())
    first.needed([DIST])
    for name in first.plan.nodes:
        first.realise(name)
    results = list((world.store.root / "ac").rglob("*.json"))
    for path in results:
        os.utime(path, (1, 1))
    world.build(context_of())[0].needed([DIST])
    assert [path for path in results if path.stat().st_mtime < 1000] == []


def test_inputs_that_were_not_looked_at_are_made_when_bytes_are_gone(world: World) -> None:
    first, _ = world.build(context_of())
    first.needed([DIST])
    for name in first.plan.nodes:
        first.realise(name)
    build, notes = world.build(context_of())
    build.needed([DIST])
    for kept in (world.store.root / "ac").rglob("*.json"):
        kept.unlink()

    def use() -> Digest:
        with build.forgetting(DIST):
            if DIST not in notes.ran:
                raise MissingBlob("gone")
        return build.result(DIST).tree

    assert build.mending(use) == first.result(DIST).tree
    assert notes.again == [DIST]


PATCH_SSL = b"What: x\nVersions: all\n--- a/ssl.c\n+++ b/ssl.c\n@@ -1 +1,2 @@\n ssl\n+more\n"
PATCH_CRYPTO = b"What: x\nVersions: all\n--- a/crypto.c\n+++ b/crypto.c\n@@ -1 +1,2 @@\n crypto\n+more\n"
PATCH_COMMENT = PATCH_CRYPTO.replace(b"+more", b"+# more")
PATCH_README = b"What: x\nVersions: all\n--- a/README\n+++ b/README\n@@ -1 +1 @@\n-r\n+R\n"
SSL_UP = ["ext:_ssl", "assemble:cpython", DIST]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({"README.md": b"text"}, [], id="README"),
        pytest.param({"patches/cpython/1.patch": PATCH_SSL}, ["source:cpython", *SSL_UP], id="a patch of _ssl.c"),
        pytest.param({"patches/cpython/1.patch": PATCH_README}, ["source:cpython"], id="a patch of a file nobody reads"),
        pytest.param({"patches/openssl/1.patch": PATCH_CRYPTO}, ["source:openssl", "make:openssl", *SSL_UP], id="a patch of OpenSSL"),
        pytest.param({"patches/openssl/1.patch": PATCH_COMMENT}, ["source:openssl", "make:openssl"], id="a comment in OpenSSL"),
    ],
)
def test_the_change_table(world: World, files: dict[str, bytes], expected: list[str]) -> None:
    world.run(context_of())
    assert world.run(context_of(files=files)) == expected
    assert world.run(context_of(files=files)) == []
    assert world.run(context_of()) == [], "the state before is still in the store"


def test_a_target_flag_runs_the_compile_nodes_and_no_fetch_or_source(world: World) -> None:
    world.run(context_of())
    ran = world.run(context_of(flags=("-march=x86-64-v3",)))
    assert sorted(ran) == ["configure:cpython", "core:cpython", "ext:_ssl", "ext:zlib", "make:openssl", "make:zlib"]


def test_another_zig_runs_every_compile_node(world: World) -> None:
    world.run(context_of())
    changed = {**ARCHIVES, "zig": tar_of({"zig": "zig 2\n"})}
    context = context_of(changed)
    notes = Notes()
    fetcher = MemoryFetcher({source.filename: changed[source.name] for source in context.lock})
    build = Build(tiny_plan(context), Workshop(world.store, world.runner, fetcher, Jobserver(2), notes, context.lock, {}))
    for name in build.plan.nodes:
        if not build.is_cached(name):
            build.realise(name)
    compiled = {"configure:cpython", "core:cpython", "ext:_ssl", "ext:zlib", "make:openssl", "make:zlib"}
    assert set(notes.ran) == compiled | {"fetch:zig", "toolchain:zig"}


def failing(*argv: str) -> Plan:
    return make_plan([context_of()], [lambda context: (Node("make:bad", Run((Step(argv),))),)])


def test_a_failed_step_shows_its_log_and_publishes_nothing(world: World) -> None:
    with pytest.raises(StepFailed) as caught:
        world.run(context_of(), failing("fail", "3"))
    text = str(caught.value)
    assert "make:bad: step 1 of 1 ended with status 3: fail 3" in text
    assert "| + fail 3" in text
    assert "next: doit shell make:bad" in text
    log = Path(text.split("log: ")[1].splitlines()[0])
    assert log.read_text() == "+ fail 3\n"
    build, _ = world.build(context_of(), failing("fail", "3"))
    assert not build.is_cached("make:bad")


def test_a_step_without_output_is_a_failure(world: World) -> None:
    plan = make_plan([context_of()], [lambda context: (Node("make:bad", Run((), output="nowhere")),)])
    with pytest.raises(StepFailed, match="made no nowhere/"):
        world.run(context_of(), plan)


def test_a_pattern_that_matches_nothing_is_an_error(world: World) -> None:
    def recipe(context: Context) -> tuple[Node, ...]:
        return (*tiny(context), Node("make:x", Run(()), (Input("source:zlib", "src", only=("gone.c",)),)))

    with pytest.raises(PlanError, match=r"no path of source:zlib matches gone\.c"):
        world.run(context_of(), make_plan([context_of()], [recipe]))


def test_a_patch_that_does_not_apply_names_file_and_hunk(world: World) -> None:
    stale = PATCH_SSL.replace(b" ssl\n", b" tls\n")
    with pytest.raises(PatchError) as caught:
        world.run(context_of(files={"patches/cpython/1.patch": stale}))
    assert "patches/cpython/1.patch" in str(caught.value)
    assert "ssl.c" in str(caught.value)


def test_a_source_that_cannot_be_had_is_a_fetch_error_and_the_rest_is_kept(world: World) -> None:
    context = context_of({**ARCHIVES, "gone": b"?"})

    def recipe(context: Context) -> tuple[Node, ...]:
        from graph.recipes.common import fetch_node

        return (*tiny(context), fetch_node(context, "gone"))

    plan = make_plan([context], [recipe])
    with pytest.raises(FetchError):
        world.run(context, plan)
    assert world.run(context_of()) == []


def test_a_result_from_outside_the_sandbox_does_not_serve_a_host_that_has_one(world: World) -> None:
    world.runner.hermetic = False
    world.run(context_of())
    world.runner.hermetic = True
    assert "make:openssl" in world.run(context_of())
    assert world.run(context_of()) == []


def test_after_stop_no_node_is_started(world: World) -> None:
    build, notes = world.build(context_of())
    build.stop()
    with pytest.raises(Interrupted):
        build.realise("fetch:zlib")
    assert notes.ran == []


def test_a_node_whose_inputs_are_not_realised_is_not_cached(world: World) -> None:
    world.run(context_of())
    build, _ = world.build(context_of())
    assert not build.is_cached("source:zlib")
    assert build.is_cached("fetch:zlib")
    assert build.is_cached("source:zlib")


def test_two_builds_at_once_on_one_store_run_each_node_once(world: World) -> None:
    ran: list[str] = []
    problems: list[BaseException] = []

    def go() -> None:
        try:
            ran.extend(World.run(world, context_of()))
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=go) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert sorted(ran) == sorted(EVERYTHING)


def test_a_node_that_waits_for_a_slot_is_free_for_who_has_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run with one job, busy with another node, holds up nobody; and a node that is being made is waited for without a slot."""
    (busy, said), (other, _) = world.build(context_of()), world.build(context_of())
    jobs = busy._shop.jobserver
    name, *rest = [one for one in busy.plan.nodes if not busy.plan[one].inputs]
    for build in (busy, other):
        for one in rest:
            build.realise(one)
    waiting = next(one for one in busy.plan.nodes if busy.plan[one].inputs and {given.node for given in busy.plan[one].inputs} <= {*rest})
    asked, slot = threading.Event(), jobs.slot

    def asking(cancel: threading.Event | None = None) -> AbstractContextManager[None]:
        asked.set()
        return slot(cancel)

    with ThreadPoolExecutor(1) as pool:
        with slot(), slot():
            monkeypatch.setattr(jobs, "slot", asking)
            behind = pool.submit(busy.realise, waiting)
            assert asked.wait(60)
            other.realise(waiting)
            assert not behind.done()
        assert behind.result(60) == other.result(waiting)
    assert waiting not in said.ran and waiting in said.from_store
    assert name not in said.ran


def test_verify_builds_again_and_compares(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.run(context_of())
    build, _ = world.build(context_of())
    assert all(build.is_cached(name) for name in build.plan.nodes)
    reports = verify_nodes(build.plan, build, world.store, list(build.plan.nodes), 2)
    assert len(reports) == len([name for name in EVERYTHING if not name.startswith("fetch:")])
    assert all(report.same for report in reports)
    monkeypatch.setattr(CatRunner, "_cat", lambda self, job, names, out: out.write_text(str(id(job))))
    [report] = verify_nodes(build.plan, build, world.store, ["make:zlib"], 1)
    assert not report.same
    assert report.differing == ("libz",)
    assert "DIFFERS make:zlib" in str(report)


def test_a_liar_is_refused_an_undeclared_input_is_not_there(world: World) -> None:
    """`ext:_ssl` was given ssl.c alone: reading main.c, which the tree has, must fail."""

    def recipe(context: Context) -> tuple[Node, ...]:
        source = Input("source:cpython", "src", only=("ssl.c",))
        return (*tiny(context), Node("ext:liar", Run((Step(("cat", "src/main.c", "out/x")),)), (source,)))

    with pytest.raises(StepFailed, match=r"cat: src/main\.c: No such file"):
        world.run(context_of(), make_plan([context_of()], [recipe]))
    assert "main.c" in CPYTHON


def test_a_changed_patch_is_in_the_key(world: World) -> None:
    plan = tiny_plan(context_of(files={"patches/cpython/1.patch": PATCH_SSL}))
    other = tiny_plan(context_of(files={"patches/cpython/1.patch": PATCH_SSL.replace(b"+more", b"+mare")}))
    digests = {given: Digest.of(b"") for given in plan["source:cpython"].inputs}
    assert key(manifest(plan["source:cpython"], digests)) != key(manifest(other["source:cpython"], digests))
    assert replace(plan["source:cpython"], files=()) == replace(other["source:cpython"], files=())


def test_what_a_set_of_host_tools_holds_is_in_the_key(world: World) -> None:
    world.run(context_of())
    build, notes = world.build(context_of())
    workshop = replace(build._shop, tools={"posix": "sh cat"})
    other = Build(build.plan, workshop)
    for name in other.plan.closure(["make:zlib"]):
        if not other.is_cached(name):
            other.realise(name)
    assert notes.ran == ["make:zlib"]


def test_a_node_whose_blobs_are_gone_is_made_again_in_the_same_run(world: World) -> None:
    world.run(context_of())
    build, _ = world.build(context_of())
    for name in build.plan.nodes:
        build.is_cached(name)
    [entry] = [entry for entry in world.store.tree(build.result("core:cpython").tree) if entry.path == "python"]
    assert entry.digest is not None
    path = world.store.blob_path(entry.digest)
    assert path is not None
    path.unlink()
    shutil.rmtree(world.store.root / "trees")
    changed = context_of(files={"patches/cpython/1.patch": PATCH_SSL})
    assert "core:cpython" in world.run(changed)
    assert world.run(changed) == []


def test_an_archive_glob_that_matches_nothing_is_an_error(world: World) -> None:
    def recipe(context: Context) -> tuple[Node, ...]:
        return (fetch_node(context, "zlib"), source_node(context, "zlib", only=("gone/",)))

    with pytest.raises(PlanError, match=r"no path of zlib\.tar\.gz matches gone/"):
        world.run(context_of(), make_plan([context_of()], [recipe]))
