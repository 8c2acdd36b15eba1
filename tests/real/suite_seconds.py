"""Writes toolchains/suite-seconds.toml: how long each file of CPython's test suite takes natively, of a run that full_matrix.py logged.

python -m tests.real.full_matrix --parts build,suite x86_64-unknown-linux-gnu:3.13.15
python -m tests.real.suite_seconds matrix/logs/x86_64-unknown-linux-gnu:3.13.15:lto
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from graph.suite import SECONDS, file_seconds, parse_output

ROOT = Path(__file__).resolve().parents[2]


def main(logs: Path) -> None:
    """`logs` holds regrtest's output and JUnit XML, all.log and all.xml."""
    junit = (logs / "all.xml").read_text()
    files = parse_output((logs / "all.log").read_text(), junit).files
    lines = [
        "# Seconds of each file of CPython's test suite, natively, four at a time on two cores. Written by tests/real/suite_seconds.py.",
        "",
        "[seconds]",
        *(f"{json.dumps(name)} = {took:.2f}" for name, took in file_seconds(files, junit).items()),
    ]
    (ROOT / SECONDS).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
