"""Node times of a run as Chrome trace events (the Trace Event Format, read by chrome://tracing and Perfetto), and what a farm cost."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

Span = dict[str, Any]
"""node, start, end in seconds; of a farmed node also where it ran and its phases, each name, start, end."""


def chrome(spans: Sequence[Span]) -> dict[str, Any]:
    """`spans` -> a trace with one complete event ("X", microseconds) a node, packed into few rows; in a farmed one its phases lie."""
    rows: list[float] = []
    events = []
    begin = min((span["start"] for span in spans), default=0.0)
    for span in sorted(spans, key=lambda span: (span["start"], span["end"])):
        row = next((index for index, end in enumerate(rows) if end <= span["start"]), len(rows))
        rows[row : row + 1] = [span["end"]]
        more = {"args": {"where": span["where"]}} if span.get("where") else {}
        events.append({**_event(span["node"], span["node"].partition(":")[0], span, begin, row), **more})
        events += [_event(phase["name"], "farm", phase, begin, row) for phase in span.get("phases", ())]
    return {"displayTimeUnit": "ms", "traceEvents": events}


def _event(name: str, kind: str, times: Span, begin: float, row: int) -> dict[str, Any]:
    return {
        "name": name,
        "cat": kind,
        "ph": "X",
        "ts": round((times["start"] - begin) * 1e6),
        "dur": round((times["end"] - times["start"]) * 1e6),
        "pid": 1,
        "tid": row + 1,
    }


def summary(spans: Sequence[Span]) -> Iterator[str]:
    """A line about the nodes that a farm ran, if there are any: how many, and what half of them took no longer than, by phase."""
    seconds: dict[str, list[float]] = {}
    for span in spans:
        for phase in span.get("phases", ()):
            seconds.setdefault(phase["name"], []).append(phase["end"] - phase["start"])
    if seconds:
        parts = ", ".join(f"{name} {statistics.median(each):.2f} s" for name, each in seconds.items())
        # for a worker it waits as here for a core
        whole = sum(sum(each) for name, each in seconds.items() if name not in ("queue", "run"))
        count = max(map(len, seconds.values()))
        yield f"farm: {count} nodes run; median {parts}; overhead {whole / count:.2f} s a node"
