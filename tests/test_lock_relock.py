"""`doit lock` and `doit lock --check`: what is pinned, what is called drift, and what is not."""

from __future__ import annotations

import pytest

from graph.errors import FetchError, LockDrift, UsageError
from graph.lock import Source, Way, dump_lock, parse_lock
from graph.relock import check, raise_on_drift, render, repin
from graph.ways import Answer
from tests.test_lock import GOOD

OLD, NEW = "0" * 64, "7" * 64
WANTED = """
[wanted."w-3"]
version = "3"
filename = "w-3.tar"
sha256 = "3333333333333333333333333333333333333333333333333333333333333333"
size = 9
licence = "MIT"
ways = [
  { url = "https://example.org/w-3.tar" },
]
"""
A_URL = Way("url", url="https://example.org/a-1.0.tar.gz")
A_DEBIAN = Way("debian", package="a", version="1.0-1", filename="a_1.0.orig.tar.gz")
B = Way("pypi", package="b", version="2", filename="b-2.whl")
W = Way("url", url="https://example.org/w-3.tar")
MIRROR = Way("mirror", url="/mnt/mirror", filename="a_1.0.orig.tar.gz")


class World:
    """A prober that knows what each way serves: (size, sha256); others are unreachable."""

    def __init__(self, served: dict[Way, tuple[int, str]], mirrors: tuple[Way, ...] = ()) -> None:
        self.served = served
        self.mirrors = mirrors
        self.asked: list[tuple[Way, bool]] = []

    def probe(self, source: Source, way: Way, full: bool) -> Answer:
        self.asked.append((way, full))
        if way not in self.served:
            return Answer(way, why="no such host")
        size, sha256 = self.served[way]
        return Answer(way, size=size, sha256=sha256 if full or way.kind == "pypi" else "")

    def mirror_ways(self, source: Source) -> tuple[Way, ...]:
        return tuple(way for way in self.mirrors if way.filename == source.filename)


CANONICAL = dump_lock(parse_lock(GOOD + WANTED))


def test_repin_takes_the_first_way_that_answers() -> None:
    world = World({A_DEBIAN: (77, NEW)})
    done = repin(CANONICAL, ["a-1.0"], world)
    pinned = parse_lock(done.text).sources["a-1.0"]
    assert (pinned.sha256, pinned.size) == (NEW, 77)
    assert [line for line in done.diff if line[0] in "+-"][2:] == [f'-sha256 = "{OLD}"', "-size = 5", f'+sha256 = "{NEW}"', "+size = 77"]
    assert done.notes == (f"a-1.0: 77 bytes, sha256 {NEW}, from debian a 1.0-1",)
    assert world.asked == [(A_URL, True), (A_DEBIAN, True)]


def test_repin_prefers_a_mirror() -> None:
    done = repin(CANONICAL, ["a-1.0"], World({MIRROR: (8, NEW), A_URL: (77, "8" * 64)}, (MIRROR,)))
    assert parse_lock(done.text).sources["a-1.0"].size == 8


def test_repin_of_what_is_right_changes_nothing() -> None:
    done = repin(CANONICAL, ["a-1.0"], World({A_URL: (5, OLD)}))
    assert (done.text, done.diff) == (CANONICAL, ())


def test_repin_without_names_only_tidies() -> None:
    world = World({})
    untidy = CANONICAL.replace("size = 5", "size   =   5")
    done = repin(untidy, [], world)
    assert done.text == CANONICAL
    assert "-size   =   5" in done.diff
    assert world.asked == []


def test_repin_of_an_unknown_name() -> None:
    with pytest.raises(UsageError, match=r"a-1\.1") as caught:
        repin(CANONICAL, ["a-1.1"], World({}))
    assert "did you mean a-1.0?" in caught.value.hint


def test_repin_when_no_way_answers() -> None:
    with pytest.raises(FetchError) as caught:
        repin(CANONICAL, ["a-1.0"], World({A_DEBIAN: (0, NEW)}))
    assert f"{A_URL.url}: no such host" in caught.value.what
    assert "debian a 1.0-1: serves an empty file" in caught.value.what


def test_repin_moves_a_wanted_source_whose_bytes_can_be_had() -> None:
    lock = parse_lock(repin(CANONICAL, ["w-3"], World({W: (9, "3" * 64)})).text)
    assert lock.sources["w-3"] == parse_lock(CANONICAL).wanted["w-3"]
    assert lock.wanted == {}


def test_repin_refuses_other_bytes_for_a_wanted_source() -> None:
    """Its sha256 came from a signed index: what is served has to be that."""
    with pytest.raises(LockDrift):
        repin(CANONICAL, ["w-3"], World({W: (9, NEW)}))


EVERYTHING = {A_URL: (5, OLD), A_DEBIAN: (5, OLD), B: (6, "1" * 64)}


def states(world: World, *names: str, full: bool = False) -> dict[Way, str]:
    return {finding.answer.way: finding.state for finding in check(parse_lock(CANONICAL), names, world, full=full)}


def test_check_asks_sizes_only_and_the_wanted_ones_too() -> None:
    world = World(EVERYTHING)
    assert states(world) == {A_URL: "size", A_DEBIAN: "size", B: "same", W: "absent"}
    assert {full for _, full in world.asked} == {False}


def test_check_in_full() -> None:
    assert states(World(EVERYTHING), full=True) == {A_URL: "same", A_DEBIAN: "same", B: "same", W: "absent"}


def test_check_of_named_ones_with_a_mirror() -> None:
    assert states(World({MIRROR: (5, OLD)}, (MIRROR,)), "a-1.0") == {MIRROR: "size", A_URL: "unreached", A_DEBIAN: "unreached"}
    with pytest.raises(UsageError):
        states(World({}), "c")


def test_drift_is_another_size_or_sha256() -> None:
    world = World({A_URL: (4, OLD), A_DEBIAN: (5, NEW), B: (6, NEW)})
    assert states(world, full=True) == {A_URL: "drift", A_DEBIAN: "drift", B: "drift", W: "absent"}
    assert states(world) == {A_URL: "drift", A_DEBIAN: "size", B: "drift", W: "absent"}
    with pytest.raises(LockDrift) as caught:
        raise_on_drift(check(parse_lock(CANONICAL), [], world, full=True))
    assert caught.value.exit_code == 25
    assert f"a-1.0: {A_URL.url} serves 4 bytes, pinned are 5" in caught.value.what
    assert f"b: pypi b 2 serves sha256 {NEW}" in caught.value.what


def test_what_cannot_be_reached_is_no_drift() -> None:
    findings = check(parse_lock(CANONICAL), [], World({}), full=True)
    raise_on_drift(findings)
    lines = render(findings)
    assert [line.split()[:2] for line in lines if line.startswith("nowhere")] == [["nowhere", "a-1.0"], ["nowhere", "b"]]
    assert lines[-1] == "1 absent, 3 unreached"


def test_a_wanted_one_that_can_be_had_is_told() -> None:
    lines = render(check(parse_lock(CANONICAL), ["w-3"], World({W: (9, "3" * 64)}), full=False))
    assert lines[0].startswith("ready")
    assert "doit lock w-3" in lines[0]
    assert lines[1:] == ["1 ready"]


def test_nothing_to_check() -> None:
    empty = parse_lock('version = 1\nrelease = "20261123"\n')
    assert render(check(empty, [], World({}), full=False)) == ["nothing to check"]
