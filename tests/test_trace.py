from __future__ import annotations

from graph.trace import chrome, summary


def test_overlapping_nodes_get_rows_of_their_own_and_rows_are_reused() -> None:
    spans = [
        {"node": "make:a", "start": 10.0, "end": 12.0},
        {"node": "make:b", "start": 11.0, "end": 13.0},
        {"node": "dist:c", "start": 12.0, "end": 12.5},
    ]
    events = chrome(spans)["traceEvents"]
    assert [(e["name"], e["cat"], e["ts"], e["dur"], e["tid"]) for e in events] == [
        ("make:a", "make", 0, 2_000_000, 1),
        ("make:b", "make", 1_000_000, 2_000_000, 2),
        ("dist:c", "dist", 2_000_000, 500_000, 1),
    ]


def test_no_spans_give_no_events() -> None:
    assert chrome([])["traceEvents"] == []


FARMED = {
    "node": "make:a",
    "start": 10.0,
    "end": 13.0,
    "where": "grpc://farm worker 7",
    "phases": [{"name": "upload", "start": 10.0, "end": 10.5}, {"name": "run", "start": 10.5, "end": 13.0}],
}


def test_the_phases_of_a_farmed_node_lie_in_it() -> None:
    events = chrome([{"node": "fetch:z", "start": 9.0, "end": 12.0}, FARMED])["traceEvents"]
    assert [(e["name"], e["cat"], e["ts"], e["dur"], e["tid"]) for e in events] == [
        ("fetch:z", "fetch", 0, 3_000_000, 1),
        ("make:a", "make", 1_000_000, 3_000_000, 2),
        ("upload", "farm", 1_000_000, 500_000, 2),
        ("run", "farm", 1_500_000, 2_500_000, 2),
    ]
    assert events[1]["args"] == {"where": "grpc://farm worker 7"}


def test_what_a_farm_cost_is_told_in_a_line() -> None:
    assert list(summary([{"node": "fetch:z", "start": 9.0, "end": 12.0}])) == []
    [line] = summary([FARMED, FARMED])
    assert line == "farm: 2 nodes run; median upload 0.50 s, run 2.50 s; overhead 0.50 s a node"
