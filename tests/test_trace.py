from __future__ import annotations

from graph.trace import chrome


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
