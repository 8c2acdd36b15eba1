"""Builds one distribution in a fresh clone with an empty store and says how long it took and how busy the cores were.

    python benchmarks/build.py [NODE] [--keep FOLDER] [--check] [--json FILE]

Sources come as FREESTANDING_MIRROR says, or from the network: fetching is part of the time. With --check the run fails when it takes over
15 minutes or a core is busy for less than 80 % of it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LIMIT_SECONDS = 900
LIMIT_BUSY = 0.80
AGAIN_SECONDS = 1.0


@dataclass(frozen=True)
class Ticks:
    """One `cpuN` line of /proc/stat (proc(5)), in clock ticks."""

    total: int
    idle: int


@dataclass(frozen=True)
class Outcome:
    """What was measured."""

    node: str
    wall: float
    cpu: float
    """User and system seconds of all processes of the build."""
    cores: tuple[float, ...]
    """Share of the time that each core of the machine was busy, whoever used it."""
    busy: float
    """Share of the cores' time that the build itself used."""
    again: float
    """Wall seconds of a second run, which has nothing to do."""
    kinds: tuple[tuple[str, int, float], ...]
    """Kind of node, how many ran, seconds in total."""
    slowest: tuple[tuple[str, float], ...]
    thin: float
    """Seconds in which fewer nodes ran than there are cores."""


def cpu_ticks() -> tuple[Ticks, ...]:
    """Counters of each core since boot; guest time is part of user time, idle and iowait are fields 4 and 5."""
    found = []
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name != "cpu":
            numbers = [int(field) for field in fields[:8]]
            found.append(Ticks(sum(numbers), numbers[3] + numbers[4]))
    return tuple(found)


def shares(before: Sequence[Ticks], after: Sequence[Ticks]) -> tuple[float, ...]:
    """Busy share of each core between two readings."""
    spans = ((b.total - a.total, b.idle - a.idle) for a, b in zip(before, after, strict=True))
    return tuple((total - idle) / total if total else 0.0 for total, idle in spans)


def by_kind(spans: Iterable[dict[str, Any]]) -> tuple[tuple[str, int, float], ...]:
    """(kind, nodes, seconds) from the longest in total."""
    table: dict[str, list[float]] = {}
    for span in spans:
        table.setdefault(span["node"].partition(":")[0], []).append(span["end"] - span["start"])
    return tuple(sorted(((kind, len(times), sum(times)) for kind, times in table.items()), key=lambda row: -row[2]))


def thin_seconds(spans: Sequence[dict[str, Any]], cores: int) -> float:
    """Seconds between the first start and the last end in which fewer than `cores` nodes ran."""
    events = sorted([(span["start"], 1) for span in spans] + [(span["end"], -1) for span in spans])
    running, last, thin = 0, events[0][0] if events else 0.0, 0.0
    for moment, step in events:
        thin += (moment - last) * (running < cores)
        running, last = running + step, moment
    return thin


def build(clone: Path, node: str) -> float:
    """Wall seconds of `doit NODE` in the clone; the process's output is shown."""
    env = {key: value for key, value in os.environ.items() if key not in ("FREESTANDING_STORE", "PYTHONPATH")}
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "doit", node], cwd=clone, env=env, check=True)
    return time.monotonic() - began


def measure(clone: Path, node: str) -> Outcome:
    """Clone, build, build again."""
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone)], check=True)
    usage, ticks = resource.getrusage(resource.RUSAGE_CHILDREN), cpu_ticks()
    wall = build(clone, node)
    used, cores = resource.getrusage(resource.RUSAGE_CHILDREN), shares(ticks, cpu_ticks())
    cpu = used.ru_utime + used.ru_stime - usage.ru_utime - usage.ru_stime
    spans = json.loads((clone / ".store" / "runs" / "last.json").read_text())
    slowest = sorted(((span["node"], span["end"] - span["start"]) for span in spans), key=lambda row: -row[1])
    return Outcome(
        node=node,
        wall=wall,
        cpu=cpu,
        cores=cores,
        busy=cpu / wall / len(cores),
        again=build(clone, node),
        kinds=by_kind(spans),
        slowest=tuple(slowest[:10]),
        thin=thin_seconds(spans, len(cores)),
    )


def table(outcome: Outcome) -> str:
    """The outcome as lines to read."""
    cores = ", ".join(f"{share:.0%}" for share in outcome.cores)
    lines = [
        f"{outcome.node} on {platform.machine()}, {len(outcome.cores)} cores, Python {platform.python_version()}",
        f"wall {outcome.wall:.1f} s, CPU {outcome.cpu:.1f} s: {outcome.busy:.0%} of the cores' time; cores busy {cores}",
        f"fewer nodes than cores for {outcome.thin:.1f} s; a second run takes {outcome.again:.2f} s",
        "",
        f"{'kind':<12} nodes  seconds",
        *(f"{kind:<12} {nodes:5}  {seconds:7.1f}" for kind, nodes, seconds in outcome.kinds),
        "",
        *(f"{seconds:7.1f} s  {node}" for node, seconds in outcome.slowest),
    ]
    return "\n".join(lines)


def complaints(outcome: Outcome) -> tuple[str, ...]:
    """Limits that the outcome breaks."""
    limits = (
        (outcome.wall > LIMIT_SECONDS, f"took {outcome.wall:.0f} s, over {LIMIT_SECONDS}"),
        (min(outcome.cores) < LIMIT_BUSY, f"a core was busy for {min(outcome.cores):.0%}, under {LIMIT_BUSY:.0%}"),
        (outcome.again > AGAIN_SECONDS, f"the second run took {outcome.again:.2f} s, over {AGAIN_SECONDS}"),
    )
    return tuple(message for broken, message in limits if broken)


def main(argv: Sequence[str]) -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("node", nargs="?", default="dist:x86_64-unknown-linux-gnu")
    parser.add_argument("--keep", type=Path, help="clone to this absent folder and leave it there")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="freestanding-") as folder:
        outcome = measure(given.keep or Path(folder) / "clone", given.node)
    print(table(outcome))
    if given.json:
        given.json.write_text(json.dumps(asdict(outcome), indent=1) + "\n")
    broken = complaints(outcome) if given.check else ()
    for message in broken:
        print(f"LIMIT: {message}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
