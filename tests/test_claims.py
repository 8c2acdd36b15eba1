"""Claims: one of many makes a key, whoever is killed; and whatever the store does with claims, the worst is a second run."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest

from graph.build import Build
from graph.digest import Digest
from graph.errors import Interrupted, StepFailed
from graph.node import Step, key
from graph.remote import claims
from graph.remote.base import Fault, Remote
from graph.remote.claims import FREE, LIMIT, Claims, FolderMarks, Marks, Times, marks_of
from graph.remote.connect import connect
from graph.remote.guard import Guard, Told
from graph.remote.settings import Settings
from graph.shared import SharedStore, Terms
from tests.fakes import context_of
from tests.machines import EVERYTHING, Machine, Place
from tests.mini import Mini
from tests.remotes import Api, Cache, CacheHandler, Kept, http_cache, reapi
from tests.test_cli import TARGET

pytestmark = pytest.mark.whole

KEY = "a" * 64
QUICK = Times(lease=0.4, beat=0.05, settling=0.1)
PATIENT = Times(lease=2.0, beat=0.1, settling=1.5)
"""Where a test would go wrong if a busy machine let a thread wait for some tenths of a second."""
NEVER = threading.Event()


class Stores:
    """A store of one kind, and processes that claim in it."""

    def __init__(self, url: str, kept: Kept | None = None) -> None:
        self.url = url
        self.kept = kept
        self.said: list[str] = []
        self.exclusive = url.startswith("file")
        self.made: list[Claims] = []

    def remote(self) -> Remote:
        return connect(Settings(self.url), lambda received=0, sent=0: None)

    def marks(self, times: Times = QUICK) -> Marks:
        return marks_of(self.remote(), times.settling)

    def process(self, times: Times = QUICK, marks: Marks | None = None) -> Claims:
        self.made.append(Claims(marks or self.marks(), Guard(Told(self.said.append), "asked for claims"), times))
        return self.made[-1]

    def close(self) -> None:
        """Every process ends."""
        for one in self.made:
            one.close()


@pytest.fixture(params=["file", "http", "grpc"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    with ExitStack() as stack:
        if request.param == "file":
            yield stack.enter_context(closing(Stores(f"file://{tmp_path}")))
            return
        server: Cache | Api = stack.enter_context(http_cache()) if request.param == "http" else stack.enter_context(reapi())
        yield stack.enter_context(closing(Stores(server.url, server.kept)))
        assert server.kept.wrong == []


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Stores]:
    with closing(Stores(f"file://{tmp_path}")) as stores:
        yield stores


def test_a_mark_is_kept_changed_and_taken_off(stores: Stores) -> None:
    marks = stores.marks()
    assert marks.get(b"name") is None
    assert marks.create(b"name", b"0123456789abcdef 0")
    assert stores.marks().get(b"name") == b"0123456789abcdef 0"
    marks.put(b"name", b"0123456789abcdef 1")
    assert marks.get(b"name") == b"0123456789abcdef 1"
    assert marks.get(b"another") is None
    marks.drop(b"name")
    assert marks.get(b"name") == (None if stores.exclusive else FREE)


@pytest.mark.parametrize("looked", ["before", "after"])
def test_of_two_that_create_a_mark_at_once_one_has_it(stores: Stores, looked: str) -> None:
    """The other one looked whether there is a mark before the first set its own, or after."""
    one, other = b"%016x 0" % 1, b"%016x 0" % 2
    late = stores.marks(PATIENT)
    get, unseen = late.get, [None] if looked == "before" else []
    late.get = lambda name: unseen.pop() if unseen else get(name)  # type: ignore[method-assign]
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(stores.marks(PATIENT).create, b"name", one)
        seen = stores.marks()
        while seen.get(b"name") is None and not first.done():
            time.sleep(0.01)
        second = late.create(b"name", other)
    last_wins = looked == "before" and not stores.exclusive
    assert (first.result(), second) == ((False, True) if last_wins else (True, False))
    assert stores.marks().get(b"name") == (other if last_wins else one)


def test_what_one_claimed_others_wait_for_until_it_is_released(stores: Stores) -> None:
    owner, other = stores.process(PATIENT), stores.process(PATIENT)
    assert owner.take(KEY)
    assert not other.take(KEY)
    assert other.take("b" * 64)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(other.wait, KEY, NEVER)
        time.sleep(1.3 * PATIENT.lease)
        assert not waiting.done(), "its owner lives"
        owner.release(KEY, done=True)
        waiting.result(5)
    assert other.take(KEY)
    assert stores.said == []


@pytest.mark.parametrize("done", [False, True])
def test_a_released_claim_may_be_taken_by_anyone(stores: Stores, done: bool) -> None:
    for _ in range(3):
        one, two = stores.process(), stores.process()
        assert one.take(KEY)
        assert not two.take(KEY)
        one.release(KEY, done=done)
        one.release(KEY, done=done)


def test_where_the_last_writer_wins_names_are_used_again(stores: Stores) -> None:
    for _ in range(LIMIT + 2):
        one, two = stores.process(), stores.process()
        assert one.take(KEY)
        assert not two.take(KEY), "the marks are not used up"
        one.release(KEY, done=True)
    assert stores.said == []


def test_a_mark_that_was_taken_off_does_not_hide_one_that_is_held(stores: Stores) -> None:
    """Of two owners the first was thought dead, and fails after all."""
    slow, heir, third = stores.process(Times(lease=QUICK.lease, beat=60)), stores.process(), stores.process()
    assert slow.take(KEY)
    assert not heir.take(KEY)
    time.sleep(1.5 * QUICK.lease)
    assert heir.take(KEY)
    slow.release(KEY, done=False)
    assert not third.take(KEY)


def test_marks_are_renewed_several_at_once(folder: Stores) -> None:
    """One after another, hundreds would not be renewed in time on a slow server."""
    marks = folder.marks()
    put, together, armed = marks.put, threading.Barrier(4), threading.Event()

    def meet(name: bytes, value: bytes) -> None:
        if armed.is_set():
            # broken unless four are here at once
            together.wait(60)
            armed.clear()
        put(name, value)

    marks.put = meet  # type: ignore[method-assign]
    owner = folder.process(marks=marks)
    assert all(owner.take(f"{number:064x}") for number in range(4))
    armed.set()
    deadline = time.monotonic() + 120
    while armed.is_set() and not together.broken:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not together.broken
    owner.close()


def test_one_that_was_thought_dead_leaves_the_mark_of_its_heir_alone(stores: Stores) -> None:
    """Its heir has ended, and a third one has its place."""
    slow, heir, third, fourth = (stores.process(Times(lease=QUICK.lease, beat=60, settling=0.1)) for _ in range(4))
    assert slow.take(KEY)
    assert not heir.take(KEY)
    time.sleep(1.5 * QUICK.lease)
    assert heir.take(KEY)
    heir.release(KEY, done=True)
    assert third.take(KEY)
    slow.release(KEY, done=False)
    assert not fourth.take(KEY)


def test_from_one_that_is_dead_another_takes_over_and_only_one(stores: Stores) -> None:
    dead = stores.process()
    assert dead.take(KEY)
    dead.close()
    time.sleep(2 * QUICK.beat)
    heirs = [stores.process() for _ in range(3)]
    start = time.monotonic()
    for heir in heirs:
        assert not heir.take(KEY), "how should it know?"
    heirs[0].wait(KEY, NEVER)
    assert time.monotonic() - start >= QUICK.lease
    time.sleep(QUICK.lease)
    assert [heir.take(KEY) for heir in heirs] == [True, False, False]
    # what was thought dead ends after all, and disturbs nobody
    dead.release(KEY, done=False)
    assert not heirs[1].take(KEY)


def test_waiting_ends_with_ctrl_c_and_with_patience(folder: Stores) -> None:
    owner = folder.process()
    assert owner.take(KEY)
    pressed = threading.Event()
    pressed.set()
    other = folder.process()
    other.wait(KEY, pressed)
    assert not other.take(KEY)
    hasty = folder.process(Times(lease=60, beat=60, patience=0.2))
    hasty.wait(KEY, NEVER)
    assert hasty.take(KEY), "made here, whoever has it"


def test_a_key_that_was_claimed_in_vain_too_often_is_made_unclaimed(folder: Stores) -> None:
    for _ in range(LIMIT):
        process = folder.process()
        assert process.take(KEY)
        process.release(KEY, done=False)
    assert folder.process().take(KEY)
    assert folder.process().take(KEY)


def test_however_many_race_each_key_is_made_once(folder: Stores) -> None:
    """Results appear between a claim and its release, as they do in a store."""
    keys = [f"{number:064x}" for number in range(30)]
    results: set[str] = set()
    made: list[str] = []

    def work(seed: int) -> None:
        process = folder.process(Times(lease=30, beat=0.01))
        for one in random.Random(seed).sample(keys, len(keys)):
            while one not in results:
                if not process.take(one):
                    process.wait(one, NEVER)
                    continue
                if one not in results:
                    made.append(one)
                    time.sleep(0.001)
                    results.add(one)
                process.release(one, done=True)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert Counter(made) == Counter(keys)
    assert list((Path(folder.url.removeprefix("file://")) / "claims").iterdir()) == []


class Broken(FolderMarks):
    """Marks of which one method goes wrong."""

    def __init__(self, stores: Stores, method: str, kind: str, times: int = 10**6) -> None:
        super().__init__(stores.remote())  # type: ignore[arg-type]
        self.left = times
        old: Callable[..., object] = getattr(self, method)

        def fail(*args: bytes) -> object:
            self.left -= 1
            if self.left >= 0:
                raise Fault(kind, "no")
            return old(*args)

        setattr(self, method, fail)


@pytest.mark.parametrize("method", ["get", "create"])
@pytest.mark.parametrize("kind", ["closed", "transient", "wrong"])
def test_a_fault_means_make_it_here(folder: Stores, method: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graph.remote.guard.PAUSES", (0.0, 0.0))
    process = folder.process(marks=Broken(folder, method, kind))
    for number in range(10):
        assert process.take(f"{number:064x}")
        process.wait(f"{number:064x}", NEVER)
    assert len(folder.said) in (1, 2)
    assert "it is not asked for claims any more in this run" in folder.said[-1]


def test_a_fault_that_passes_costs_nothing(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graph.remote.guard.PAUSES", (0.0, 0.0))
    marks = stores.marks()
    tries = iter([Fault("transient", "once")])
    create = marks.create

    def broken(name: bytes, value: bytes) -> bool:
        assert create(name, value)
        for fault in tries:
            raise fault
        return create(name, value)

    monkeypatch.setattr(marks, "create", broken)
    if not stores.exclusive:
        assert stores.process(marks=marks).take(KEY)
    else:
        monkeypatch.setattr(marks, "create", create)
        process = stores.process(marks=marks)
        assert marks.create(claims._name(KEY, 0), process._mark())
        assert process.take(KEY), "its own, of a try before"
    assert not stores.process().take(KEY)


def test_a_store_that_keeps_no_marks_is_told_and_not_waited_for(tmp_path: Path) -> None:
    def forgets(handler: CacheHandler) -> bool:
        if handler.command == "PUT":
            handler.rfile.read(int(handler.headers["Content-Length"]))
            handler.answer(200, b"")
        return handler.command == "PUT"

    def mangles(handler: CacheHandler) -> bool:
        if handler.command == "PUT":
            handler.rfile.read(int(handler.headers["Content-Length"]))
            handler.server.kept.results[handler.path.rpartition("/")[2]] = b""
            handler.answer(200, b"")
        return handler.command == "PUT"

    for fault in (forgets, mangles):
        with http_cache() as server:
            server.fault = fault
            stores = Stores(server.url)
            assert stores.process().take(KEY)
            assert stores.said == ["remote: it does not keep marks: it is not asked for claims any more in this run"]


def test_marks_that_are_none_count_no_longer_than_others(stores: Stores) -> None:
    marks = stores.marks()
    if stores.exclusive:
        assert marks.create(claims._name(KEY, 0), b"\xff" * 5000)
        assert marks.get(claims._name(KEY, 0)) == b"\xff" * claims.LONGEST
    elif stores.url.startswith("http"):
        assert stores.kept is not None
        stores.kept.results[Digest.of(claims._name(KEY, 0)).hash] = b"\xff"
    else:
        marks.create(claims._name(KEY, 0), b"%016x 0" % 7)
    process = stores.process()
    assert not process.take(KEY)
    process.wait(KEY, NEVER)
    assert process.take(KEY)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "machines")
    with made.stack:
        yield made


def claiming(place: Place, url: str, times: Times = QUICK) -> Machine:
    return place.machine(Settings(url, push=True), Terms(push=True, claim=times))


def realise_all(machine: Machine, build: Build, order: Sequence[str]) -> None:
    for name in order:
        if not build.is_cached(name):
            build.realise(name)
    machine.shared.flush()


@pytest.mark.parametrize("kind", ["file", "http"])
def test_machines_that_build_the_same_at_once_run_each_node_once(kind: str, place: Place, tmp_path: Path) -> None:
    with ExitStack() as stack:
        (tmp_path / "shared").mkdir()
        url = f"file://{tmp_path}/shared" if kind == "file" else stack.enter_context(http_cache()).url
        # nobody dies here, and none is taken for dead where the machine is busy
        machines = [claiming(place, url, replace(QUICK, lease=60)) for _ in range(3)]
        builds = [machine.build(context_of()) for machine in machines]
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda pair: realise_all(pair[0], pair[1][0], EVERYTHING), zip(machines, builds, strict=True)))
        ran = [name for _, notes in builds for name in notes.ran]
        assert set(ran) == set(EVERYTHING)
        assert [machine.said for machine in machines] == [[], [], []]
        # without an atomic create a race may be lost, which costs a second run
        if kind == "file":
            assert len(ran) == sum(machine.shared.pushed for machine in machines) == len(EVERYTHING)


def test_a_node_that_fails_is_left_to_the_others(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shared").mkdir()
    first, second = (claiming(place, f"file://{tmp_path}/shared") for _ in range(2))
    below = [name for name in EVERYTHING if name.startswith(("fetch:", "toolchain:", "source:"))]
    build, _ = first.build(context_of())
    realise_all(first, build, below)
    run = first.runner.run
    failing = (Step(("fail", "3")),)
    monkeypatch.setattr(first.runner, "run", lambda job, *_: run(replace(job, steps=failing)))
    with pytest.raises(StepFailed):
        build.realise("make:zlib")
    other, notes = second.build(context_of())
    realise_all(second, other, [*below, "make:zlib"])
    assert notes.ran == ["make:zlib"]


def test_ctrl_c_while_another_machine_is_waited_for(place: Place, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    url = f"file://{tmp_path}/shared"
    machine = claiming(place, url)
    build, _ = machine.build(context_of())
    theirs = Stores(url).process()
    assert theirs.take(key(build.manifest("fetch:zlib")))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(build.realise, "fetch:zlib")
        time.sleep(0.3)
        build.stop()
        machine.shared.abandon()
        with pytest.raises(Interrupted):
            waiting.result(10)


def test_what_is_not_given_is_not_claimed(place: Place, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    url = f"file://{tmp_path}/shared"
    private = place.machine(Settings(url, push=True), Terms(push=True, may_publish=lambda _: False, claim=QUICK))
    assert sorted(private.make()) == sorted(EVERYTHING)
    reader = place.machine(Settings(url), Terms(claim=QUICK))
    assert sorted(reader.make()) == sorted(EVERYTHING)
    assert list((tmp_path / "shared").iterdir()) == []


def test_a_store_that_takes_nothing_more_is_not_claimed_in(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shared").mkdir()
    machine = claiming(place, f"file://{tmp_path}/shared")

    def full(*_: object) -> None:
        raise Fault("closed", "full")

    monkeypatch.setattr(machine.remote, "write", full)
    assert sorted(machine.make()) == sorted(EVERYTHING)
    assert len(machine.said) == 1
    left = [path.read_bytes() for path in (tmp_path / "shared/claims").iterdir()]
    assert set(left) == {FREE}, "the first ones, which it could not give: others may make them at once"
    assert len(left) < len(EVERYTHING)


def test_claim_as_typed(tmp_path: Path) -> None:
    mini = Mini(tmp_path / "checkout")
    (tmp_path / "shared").mkdir()
    url = f"file://{tmp_path}/shared"
    refused = mini.doit("--remote", url, "--claim", TARGET)
    assert refused.returncode == 26
    assert "--claim, but nothing is pushed" in refused.stderr and "next: --push" in refused.stderr
    assert mini.doit("--remote", url, "--push", "--claim", TARGET).returncode == 0
    assert list((tmp_path / "shared/claims").iterdir()) == []
    plain = Mini(tmp_path / "plain")
    done = plain.doit(TARGET, FREESTANDING_REMOTE=url, FREESTANDING_REMOTE_CLAIM="1", FREESTANDING_REMOTE_PUSH="1")
    assert "0 nodes run" in done.stdout
    other = tmp_path / "other"
    other.mkdir()
    unboxed = Mini(tmp_path / "unboxed")
    unboxed.settings["FREESTANDING_SANDBOX"] = "plain"
    assert unboxed.doit("--remote", f"file://{other}", "--push", "--claim", TARGET).returncode == 0
    assert not (other / "claims").exists(), "nothing of it will be given"


def test_claims_are_in_the_store_that_is_shared_whatever_farm_is_beside_it(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    settings = Settings(f"file://{tmp_path}/shared")
    with reapi() as farm:
        stores = [
            SharedStore(tmp_path / name, connect(settings, nothing), Terms(push=True, claim=QUICK), print, beside)
            for name, beside in (("plain", None), ("farming", connect(Settings(farm.url), nothing)))
        ]
        with stores[0].turn("make:zlib", KEY, 1) as first, stores[1].turn("make:zlib", KEY, 1) as second:
            assert (first.ours, second.ours) == (True, False)
        for store in stores:
            store.abandon()


def nothing(received: int = 0, sent: int = 0) -> None:
    """Nobody looks at what moves."""
