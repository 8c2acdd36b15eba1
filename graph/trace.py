"""Node times of a run as Chrome trace events (the Trace Event Format, read by chrome://tracing and Perfetto)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def chrome(spans: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """`spans` ({node, start, end} in seconds) -> a trace with one complete event ("X", microseconds) a node, packed into few rows."""
    rows: list[float] = []
    events = []
    begin = min((span["start"] for span in spans), default=0.0)
    for span in sorted(spans, key=lambda span: (span["start"], span["end"])):
        row = next((index for index, end in enumerate(rows) if end <= span["start"]), len(rows))
        rows[row : row + 1] = [span["end"]]
        events.append(
            {
                "name": span["node"],
                "cat": span["node"].partition(":")[0],
                "ph": "X",
                "ts": round((span["start"] - begin) * 1e6),
                "dur": round((span["end"] - span["start"]) * 1e6),
                "pid": 1,
                "tid": row + 1,
            }
        )
    return {"displayTimeUnit": "ms", "traceEvents": events}
