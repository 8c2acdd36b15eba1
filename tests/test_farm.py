"""Nodes on a farm of this process: the same trees and keys as here, what moves, and what becomes of every fault."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from graph.build import Build
from graph.digest import Digest
from graph.errand import PHASES
from graph.errors import Interrupted, StepFailed
from graph.farm import Farm
from graph.node import Run, Step
from graph.plan import Plan, make_plan
from graph.published import Note
from graph.reapi import Outcome
from graph.remote import execute, guard
from graph.remote.base import Fault, Receive, Remote, Watch
from graph.remote.connect import connect, connect_farm
from graph.remote.folder import FolderRemote
from graph.remote.joined import JoinedRemote
from graph.remote.settings import FarmSettings, Settings
from graph.shared import SharedStore, Terms
from graph.store import Store
from tests.fakes import DIST, context_of, tiny
from tests.farms import FarmApi, Printed, play
from tests.machines import EVERYTHING, PLAN, STEPS
from tests.remotes import PB, http_cache, serve
from tests.test_build import Notes, World

pytestmark = pytest.mark.whole

CONTEXT = context_of()


class Farmer(World):
    """A machine that has its nodes run by a farm; `said` is what its user reads."""

    def __init__(self, root: Path, url: str, store: Settings | None = None) -> None:
        super().__init__(root)
        self.said: list[str] = []
        self.executor = connect_farm(Settings(url), lambda received=0, sent=0: None, Watch())
        remote: Remote = self.executor
        if store is not None:
            remote = JoinedRemote(connect(store, lambda received=0, sent=0: None), self.executor)
        terms = Terms(push=store is not None and store.push, ask=store is not None)
        self.shared = SharedStore(root, remote, terms, self.said.append)
        self.store: Store = self.shared
        self.settings = FarmSettings(Settings(url), 8, 2, (("OSFamily", "linux"),))
        self.farm: Farm = Farm(self.executor, self.shared, self.tools, self.settings, lambda _: True, self.said.append)

    def tools(self, names: tuple[str, ...]) -> Mapping[str, str]:
        """A program and a folder of this machine."""
        return {"/usr/bin/env": "/usr/bin/env", "/usr/share/ours": str(Path(__file__).parent / "elf")}

    def make(self, plan: Plan | None = None) -> Build:
        """Realise everything."""
        build, _ = self.build(CONTEXT, plan)
        for name in build.plan.nodes:
            if not build.is_cached(name):
                build.realise(name)
        return build

    def here(self) -> set[str]:
        """The steps that ran on this machine, not on the farm, as the store tells it."""
        return {name for name in STEPS if not self.found(name).where}

    def found(self, name: str) -> Any:
        key = self.store.last(name)
        assert key is not None
        return Store(self.store.root).result(key)


@pytest.fixture
def api() -> Iterator[FarmApi]:
    with serve(FarmApi()) as running:
        yield running


@pytest.fixture
def farmer(api: FarmApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Farmer]:
    monkeypatch.setattr(guard, "PAUSES", (0.01, 0.02))
    monkeypatch.setattr(execute, "PAUSES", (0.01, 0.02))
    made = Farmer(tmp_path / "farmer", api.url)
    yield made
    made.shared.abandon()


def same_as_here(farmer: Farmer, build: Build) -> bool:
    """Whether every node has the key and the tree that a build here gives, and what it made can be had."""
    world = World(farmer.store.root.with_name("world"))
    world.run(CONTEXT)
    reference, _ = world.build(CONTEXT)
    assert all(reference.is_cached(name) for name in EVERYTHING)
    build.mending(lambda: checkout(farmer, build))
    pairs = [(reference.result(name), build.result(name)) for name in EVERYTHING]
    return all((one.key, one.tree) == (other.key, other.tree) for one, other in pairs)


def checkout(farmer: Farmer, build: Build) -> Path:
    with build.forgetting(DIST):
        return farmer.store.checkout(build.result(DIST).tree)


def test_every_step_is_farmed_and_gives_what_it_gives_here(farmer: Farmer, api: FarmApi) -> None:
    build = farmer.make()
    assert same_as_here(farmer, build)
    assert farmer.here() == set()
    assert farmer.said == api.kept.wrong == []
    assert farmer.found(DIST).where == f"{api.url} worker 7"
    assert farmer.found(DIST).hermetic
    assert api.kept.asked.count("Execute") == len(STEPS)
    assert "GetActionResult" not in api.kept.asked, "a farm that is no shared store is not asked for results"


def test_only_what_is_wanted_here_comes_back(farmer: Farmer) -> None:
    build = farmer.make()
    local = Store(farmer.store.root)
    [(_, digest, executable)] = local.directory(build.result(DIST).tree).files
    assert local.blob_path(digest, executable) is None
    farmer.store.checkout(build.result(DIST).tree)
    assert local.blob_path(digest, executable) is not None


def test_a_store_whose_files_lie_in_a_farm_is_whole(farmer: Farmer) -> None:
    build = farmer.make()
    farmer.shared.close()
    assert list(Store(farmer.store.root).verify()) == []
    Store(farmer.store.root).gc(1)
    assert list(Store(farmer.store.root).verify()) == []
    assert same_as_here(farmer, build)


def test_what_is_there_is_not_sent_again(farmer: Farmer, api: FarmApi) -> None:
    farmer.make()
    assert len(api.sent) == len(set(api.sent))
    # one question for each tree, its root and the messages of an action, but for those known to be there
    assert api.kept.asked.count("FindMissingBlobs") < 5 * len(STEPS)


def test_a_span_tells_where_and_when(farmer: Farmer) -> None:
    build = farmer.make()
    [span] = [span for span in build.spans if span.node == DIST]
    assert tuple(phase.name for phase in span.phases) == PHASES
    ends = [span.start, *(phase.end for phase in span.phases), span.end]
    assert ends == sorted(ends)
    assert "worker 7" in span.where
    assert [span.phases for span in build.spans if span.node == "source:zlib"] == [()]


def failing(argv: tuple[str, ...], output: str = "out") -> Plan:
    """The tiny plan, with another step in make:zlib."""
    nodes = tiny(CONTEXT)
    bad = Run((Step(("cat", "src", "out/a"), cwd="."), Step(argv, cwd=".")), (("PATH", "/usr/bin"),), output, ("posix",))
    return make_plan([CONTEXT], [lambda _: tuple(replace(node, action=bad) if node.name == "make:zlib" else node for node in nodes)])


def test_a_step_that_fails_shows_its_log_as_here(farmer: Farmer, tmp_path: Path) -> None:
    plan = failing(("fail", "3"))
    messages = []
    for world in (farmer, World(tmp_path / "world")):
        build, _ = world.build(CONTEXT, plan)
        for name in ("fetch:zlib", "source:zlib", "fetch:zig", "toolchain:zig"):
            build.realise(name)
        with pytest.raises(StepFailed, match="step 2 of 2 ended with status 3: fail 3") as caught:
            build.realise("make:zlib")
        messages.append(str(caught.value).replace(str(world.store.root), "STORE"))
        assert world.store.last("make:zlib") is None
    assert messages[0] == messages[1]
    assert farmer.said == []


def test_steps_that_make_nothing(farmer: Farmer, api: FarmApi) -> None:
    def without(root: Path, command: Any) -> Printed:
        printed = play(root, command)
        (root / "out").rename(root / "elsewhere")
        return printed

    api.worker = without
    with pytest.raises(StepFailed, match="made no out/"):
        farmer.make()


def status(code: int) -> Callable[[Any], None]:
    def change(response: Any) -> None:
        response.Clear()
        response.status.code, response.status.message = code, "so it is"

    return change


def ended(code: int, report: str) -> Callable[[Path, Any], Printed]:
    return lambda root, command: Printed(code, b"", report.encode())


def elsewhere(response: Any) -> None:
    """Its tree is not there."""
    response.result.output_directories[0].tree_digest.hash = "0" * 64


def malformed(response: Any) -> None:
    response.result.stdout_digest.hash, response.result.stdout_digest.size_bytes = "no hash", 1


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no workers": ({"executes": False}, "the server has no workers"),
    "queue full": ({"answer": status(8)}, "the farm's queue is full: so it is"),
    "too long": ({"answer": status(4)}, "an action took longer than the farm allows: so it is"),
    "denied": ({"answer": status(7)}, "an action was not run (code 7): so it is"),
    "no answer": ({"answer": lambda response: response.result.Clear()}, "a worker ended an action with status 0: it said nothing"),
    "no sandbox": (
        {"worker": ended(1, "staged 1\nerror unshare(1): no\n")},
        "a worker cannot make the sandbox (unshare(1): no; docs/farm.md",
    ),
    "no python": ({"worker": ended(127, "env: python3: No such file\n")}, "a worker ended an action with status 127: env: python3"),
    "killed": ({"worker": ended(137, "staged 1\nstep 0\n")}, "a worker ended an action with status 137: step 0"),
    "liar": ({"worker": ended(1, "staged 1\nstep 0\ndone 0\n")}, "a worker ended an action with status 1: done 0"),
    "no number": ({"worker": ended(0, "staged x\nstep 0\ndone 0\n")}, "a worker reports staged 'x'"),
    "a number of many digits": ({"worker": ended(3, "step 0\ndone " + "9" * 5000 + "\n")}, "a worker reports done '999"),
    "a tree that is not there": ({"answer": elsewhere}, "what a worker made is not there"),
    "malformed": ({"answer": malformed}, "a malformed result: not a digest"),
    "breaks": ({"breaks": 10**9}, "the farm broke off while an action ran"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_the_farm_does_the_build_ends_right(farmer: Farmer, api: FarmApi, fault: str) -> None:
    changes, text = FAULTS[fault]
    for name, value in changes.items():
        setattr(api, name, value)
    build = farmer.make()
    assert farmer.here() == STEPS
    assert same_as_here(farmer, build)
    assert any(line.startswith("farm: ") and text in line for line in farmer.said), farmer.said
    assert len(farmer.said) == len(set(farmer.said)) <= 2, "said once, and that the farm is left alone"


def not_canonical(data: bytes) -> bytes:
    """A Tree whose root has its files in another order."""
    tree = PB.Tree.FromString(data)
    tree.root.files.add(name="a", digest=tree.root.files[0].digest)
    tree.root.files.sort(key=lambda one: one.name, reverse=True)
    return bytes(tree.SerializeToString())


def test_a_tree_in_another_form_would_have_another_digest(farmer: Farmer, api: FarmApi) -> None:
    def change(response: Any) -> None:
        [folder] = response.result.output_directories
        data = not_canonical(api.kept.blobs[folder.tree_digest.hash])
        folder.tree_digest.hash, folder.tree_digest.size_bytes = Digest.of(data).hash, len(data)
        api.kept.blobs[folder.tree_digest.hash] = data

    api.answer = change
    assert same_as_here(farmer, farmer.make())
    assert "not in canonical form" in farmer.said[0]


def test_a_connection_that_breaks_is_taken_up_again(farmer: Farmer, api: FarmApi) -> None:
    api.breaks = 2
    assert same_as_here(farmer, farmer.make())
    assert farmer.here() == set()
    assert api.kept.asked.count("WaitExecution") == 2
    assert api.kept.asked.count("Execute") == len(STEPS), "nothing ran twice"


def test_a_long_action_outlasts_many_connections(farmer: Farmer, api: FarmApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "LASTED", 0.0)
    api.breaks = 6
    farmer.make()
    assert farmer.here() == set()
    assert api.kept.asked.count("Execute") == len(STEPS)


def test_what_may_not_leave_this_machine_runs_here(farmer: Farmer, api: FarmApi) -> None:
    private = set(PLAN.users(["source:zlib"]))
    farmer.farm = Farm(farmer.executor, farmer.shared, farmer.tools, farmer.settings, lambda name: name not in private, farmer.said.append)
    build = farmer.make()
    assert same_as_here(farmer, build)
    assert farmer.here() == {"make:zlib", "ext:zlib", "assemble:cpython", DIST} == private & STEPS
    assert blobs_of(farmer, build, "source:zlib").isdisjoint(api.kept.blobs)


def test_a_mac_has_no_use_for_workers_of_linux(farmer: Farmer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graph.farm.sys.platform", "darwin")
    farmer.farm = Farm(farmer.executor, farmer.shared, farmer.tools, farmer.settings, lambda _: True, farmer.said.append)
    monkeypatch.undo()
    farmer.make()
    assert farmer.here() == STEPS
    assert farmer.said == ["farm: workers run what a Linux host would, and this is darwin: it is not used"]


def test_a_server_that_is_away(tmp_path: Path) -> None:
    farmer = Farmer(tmp_path / "farmer", "grpc://127.0.0.1:1")
    assert same_as_here(farmer, farmer.make())
    assert farmer.here() == STEPS
    assert len(farmer.said) == 1
    assert "it is not used any more in this run" in farmer.said[0]


def test_inputs_that_the_farm_lost_are_sent_again(farmer: Farmer, api: FarmApi) -> None:
    build, _ = farmer.build(CONTEXT)
    names = list(build.plan.nodes)
    for name in names[: names.index("core:cpython")]:
        build.realise(name)
    keep = {digest for name in STEPS & set(names[: names.index("core:cpython")]) for digest in blobs_of(farmer, build, name)}
    for hash_ in set(api.kept.blobs) - keep:
        del api.kept.blobs[hash_]
    for name in names[names.index("core:cpython") :]:
        build.realise(name)
    assert same_as_here(farmer, build)
    assert farmer.here() == set()
    assert farmer.said == []


def blobs_of(farmer: Farmer, build: Build, name: str) -> set[str]:
    return {entry.digest.hash for entry in farmer.store.tree(build.result(name).tree) if entry.digest}


def test_what_the_farm_made_and_lost_is_made_again_here(farmer: Farmer, api: FarmApi) -> None:
    build = farmer.make()
    lost = blobs_of(farmer, build, DIST)
    for hash_ in lost:
        api.kept.blobs.pop(hash_, None)
    assert same_as_here(farmer, build)
    # whose one file holds the same bytes
    assert farmer.here() == {DIST, "assemble:cpython"}


def test_an_input_that_was_lost_here_is_made_again(farmer: Farmer) -> None:
    build, notes = farmer.build(CONTEXT)
    for name in ("fetch:zlib", "source:zlib", "fetch:zig", "toolchain:zig"):
        build.realise(name)
    [hash_] = blobs_of(farmer, build, "source:zlib")
    farmer.store.cas.name(Digest(hash_, len("inflate\n"))).unlink()
    assert build.realise("make:zlib").where
    assert notes.again == ["source:zlib"]


def test_a_farm_that_is_gone_does_not_keep_the_store_from_being_read(tmp_path: Path) -> None:
    data = b"some bytes"
    asked = []

    class Gone(FolderRemote):
        def read(self, digests: Sequence[Digest], receive: Receive) -> None:
            asked.append(digests)
            raise Fault("closed" if len(asked) == 2 else "transient", "no connection")

    def moved(received: int = 0, sent: int = 0) -> None:
        pass

    joined = JoinedRemote(FolderRemote(tmp_path / "store", moved), Gone(tmp_path / "farm", moved))
    joined.write([(Digest.of(data), data)])
    assert joined.missing([Digest.of(data)]) == set()
    for number in (1, 2, 2):
        parts: list[bytes] = []
        joined.read([Digest.of(data)], lambda _, parts=parts: nullcontext(parts.append))  # type: ignore[misc]
        assert (b"".join(parts), len(asked)) == (data, number)


def test_results_of_a_farm_are_pushed_whole(api: FarmApi, tmp_path: Path) -> None:
    with http_cache() as cache:
        first = Farmer(tmp_path / "farmer", api.url, Settings(cache.url, push=True))
        build = first.make()
        assert same_as_here(first, build)
        first.shared.flush()
        assert first.shared.pushed == len(EVERYTHING)
        assert cache.kept.wrong == first.said == []
        api.kept.blobs.clear()
        other = Farmer(tmp_path / "other", api.url, Settings(cache.url))
        notes = Notes()
        taken, notes = other.build(CONTEXT)
        assert all(taken.is_cached(name) for name in taken.plan.nodes)
        assert notes.ran == []
        assert other.store.checkout(taken.result(DIST).tree).is_dir()
        first.shared.abandon()
        other.shared.abandon()


def test_no_more_actions_at_once_than_were_asked_for(farmer: Farmer, api: FarmApi) -> None:
    farmer.farm = Farm(farmer.executor, farmer.shared, farmer.tools, replace(farmer.settings, jobs=2), lambda _: True, farmer.said.append)
    build, _ = farmer.build(CONTEXT)
    for name in (name for name in build.plan.nodes if name not in STEPS):
        build.realise(name)
    ready = ("make:openssl", "make:zlib", "configure:cpython")
    api.held.clear()
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(build.realise, name) for name in ready]
        await_(lambda: api.most == 2)
        api.held.set()
        assert all(one.result().where for one in asked)
    assert api.most == 2


def await_(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it never came")


def test_ctrl_c_cancels_what_runs(farmer: Farmer, api: FarmApi) -> None:
    farmer.farm = Farm(farmer.executor, farmer.shared, farmer.tools, replace(farmer.settings, jobs=1), lambda _: True, farmer.said.append)
    build, _ = farmer.build(CONTEXT)
    for name in (name for name in build.plan.nodes if name not in STEPS):
        build.realise(name)
    api.held.clear()
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(build.realise, name) for name in ("make:openssl", "make:zlib")]
        await_(lambda: api.most == 1 and bool(farmer.executor._calls) and all(farmer.executor._calls.values()))
        build.stop()
        for one in asked:
            with pytest.raises(Interrupted):
                one.result()
    assert len(api.cancelled) == 1
    assert farmer.store.last("make:zlib") is None
    # and a second time, with nothing there any more
    farmer.executor.close()
    farmer.executor.cancel()


def test_host_tools_that_no_tree_can_hold(farmer: Farmer, tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/pipe").symlink_to("/outside")

    def tools(names: tuple[str, ...]) -> Mapping[str, str]:
        return {"/usr/share/ours": str(tmp_path / "tools")}

    farmer.farm = Farm(farmer.executor, farmer.shared, tools, farmer.settings, lambda _: True, farmer.said.append)
    assert same_as_here(farmer, farmer.make())
    assert "the host tools cannot be sent" in farmer.said[0]


def test_a_step_that_there_is_not_is_told_as_the_last(farmer: Farmer, api: FarmApi) -> None:
    api.worker = ended(3, "staged 1\nstep 99\ndone 3\n")
    with pytest.raises(StepFailed, match="ended with status 3"):
        farmer.make()


def test_a_farm_does_not_make_hermetic_what_is_made_of_what_is_not(farmer: Farmer) -> None:
    build = farmer.make()
    inputs = [given.node for given in build.plan["make:zlib"].inputs]
    farmer.store.publish(replace(farmer.found(inputs[0]), hermetic=False))
    farmer.store.forget(farmer.found("make:zlib").key)
    monkey = Farmer(farmer.store.root, farmer.settings.server.url)
    monkey.runner.hermetic = False
    again = monkey.make()
    assert not again.result("make:zlib").hermetic
    monkey.shared.abandon()


def test_without_a_shared_store_no_result_of_another_machine_is_used(farmer: Farmer) -> None:
    result = farmer.make().result("make:zlib")
    farmer.store.forget(result.key)
    path = farmer.shared.foreign_path(result.key)
    path.parent.mkdir(parents=True, exist_ok=True)
    note = Note(result.encode().decode(), {}).encode()
    path.write_bytes(Outcome(result.tree, Digest.of(note), note, result.log).encode())
    farmer.shared._refused.clear()
    assert farmer.shared.result(result.key) is None
    assert farmer.shared.trust == ""
