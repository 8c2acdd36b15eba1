"""What the benchmarks reckon from their readings."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import levels, scale
from benchmarks.build import Outcome, Ticks, by_kind, complaints, cpu_ticks, shares, table, thin_seconds
from benchmarks.startup import Comparison, line, seconds

SPANS = [
    {"node": "make:t:zlib", "start": 10.0, "end": 14.0},
    {"node": "make:t:xz", "start": 11.0, "end": 13.0},
    {"node": "dist:t", "start": 15.0, "end": 16.0},
]
GOOD = Outcome("dist:t", 100.0, 180.0, (0.91, 0.89), 0.9, 0.5, by_kind(SPANS), (("make:t:zlib", 4.0),), 4.0)


def test_seconds_of_each_kind() -> None:
    assert by_kind(SPANS) == (("make", 2, 6.0), ("dist", 1, 1.0))


@pytest.mark.parametrize(("cores", "seconds"), [(1, 1.0), (2, 4.0), (3, 6.0)])
def test_seconds_with_fewer_nodes_than_cores(cores: int, seconds: float) -> None:
    assert thin_seconds(SPANS, cores) == seconds
    assert thin_seconds([], cores) == 0


def test_busy_shares() -> None:
    assert shares([Ticks(100, 50), Ticks(100, 50)], [Ticks(200, 60), Ticks(100, 50)]) == (0.9, 0.0)
    now = cpu_ticks()
    assert now and all(0 <= ticks.idle <= ticks.total for ticks in now)


def test_limits() -> None:
    assert complaints(GOOD) == ()
    slow = Outcome("dist:t", 1000.0, 180.0, (0.91, 0.5), 0.1, 2.0, (), (), 0.0)
    assert [message.split()[0] for message in complaints(slow)] == ["took", "a", "the"]


def test_the_table() -> None:
    lines = table(GOOD).splitlines()
    assert lines[1] == "wall 100.0 s, CPU 180.0 s: 90% of the cores' time; cores busy 91%, 89%"
    assert "make             2      6.0" in lines


def test_a_comparison_is_by_pairs() -> None:
    """A slow moment of the machine is in both of a pair."""
    found = Comparison("-c pass", (0.010, 0.020, 0.011), (0.010, 0.020, 0.010))
    assert found.ratio == 1.0
    assert line(found) == "-c pass          with  11.00 ms, without  10.00 ms (medians); ratio 1.000"


def test_a_start_that_fails_is_no_measurement() -> None:
    assert seconds(Path(sys.executable), ["-c", "pass"]) > 0
    with pytest.raises(RuntimeError, match="status"):
        seconds(Path(sys.executable), ["-c", "raise SystemExit(3)"])


def test_a_graph_of_layers() -> None:
    taken = dict(scale.edges(3 * scale.LEAST))
    assert all(taken[number] == () for number in range(scale.LEAST))
    assert taken[scale.LEAST + 9] == (9, 0, 1)
    assert all(len(set(taken[number])) == scale.TAKEN for number in range(scale.LEAST, len(taken)))


@pytest.mark.whole
def test_a_filled_graph_has_nothing_to_do_and_a_change_runs_its_leaf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(scale.COUNT, "40")
    found = scale.ours(40, tmp_path / "ours")
    assert {name: run.ran for name, run in found.items()} == {
        "nothing to do": 0,
        "a late leaf changed": 1,
        "an early leaf changed": 1,
        "every node asked (explain)": 0,
    }
    assert all(run.seconds > 0 and run.bytes > 1e6 for run in found.values())
    assert "1 executed" in scale.line("x", found["a late leaf changed"])


def test_a_program_that_fails_is_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="status 3"):
        scale.measured([sys.executable, "-c", "import sys; sys.exit(3)"], tmp_path, {})


def test_the_best_times_of_two_builds_are_compared() -> None:
    rounds = [levels.measured("SHA256 3.000\nP-256 sign 10.000\n"), levels.measured("SHA256 2.000\nP-256 sign 11.000\n")]
    assert levels.best(rounds) == {"SHA256": 2.0, "P-256 sign": 10.0}
    shown = [line.split() for line in levels.table(levels.best(rounds), {"SHA256": 4.0, "P-256 sign": 5.0}).splitlines()]
    assert shown == [["SHA256", "2.00", "4.00", "0.50"], ["P-256", "sign", "10.00", "5.00", "2.00"]]
