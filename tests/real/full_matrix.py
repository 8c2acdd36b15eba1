"""Builds, audits and runs cells of the matrix, and writes what came out as JSON and as a table.

    python -m tests.real.full_matrix [CELL...] [--options] [--parts build,check,...] [--out FOLDER] [--again]

CELL is dist:linux, a target, or TARGET:VERSION:OPTIONS; without any, the default cell of every target but those with slices. With --options
every option that the targets offer. What FOLDER (matrix/) has of the same archives is not done again, so a run that was stopped goes on
where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from graph.disk import remove_tree
from graph.errors import FreestandingError, HostToolMissing, SandboxError, UsageError
from graph.recipes.distribution import FLAVOURS
from graph.session import RUNS, Session
from graph.suite import FAILED, PASSED, SKIPPED, render_suite, unexpected, wanted
from graph.target import Cell
from graph.testrun import expected_of, refuse_smoke, run_smoke, run_suite, try_machine
from tests.real import landed
from tests.real.guesses import guessed

ROOT = Path(__file__).resolve().parents[2]
AFTER = {"check": "audit", "configure": "guesses", **{name: name for name in ("smoke", "suite", "pip", "extension", "wheels", "verify")}}
"""Parts that follow the build -> their columns in the table."""
COLUMNS = ("target", "options", "minutes", "nodes", "archive bytes", *AFTER.values())
COUNTED = ("configure", "smoke", "suite", "wheels", "verify")
"""Parts whose column says how much went well."""


@dataclass(frozen=True)
class Part:
    """What came of one thing that was tried."""

    state: str
    """ok, FAILED, or the reason why it was not tried."""
    seconds: float
    told: str = ""
    archives: str = ""
    """Digest of the archives that it was tried with."""


@dataclass(frozen=True)
class Record:
    """All that is known of one cell."""

    cell: str
    parts: Mapping[str, Part] = field(default_factory=dict)

    @property
    def current(self) -> Mapping[str, Part]:
        """The build, what was tried with the archives that it made (of earlier ones nothing counts), and what is not tried with any."""
        made = self.parts.get("build")
        return {name: part for name, part in self.parts.items() if made is None or part.archives in ("", made.archives)}


@dataclass(frozen=True)
class Bench:
    """Where parts are carried out."""

    session: Session
    cell: Cell
    workdir: Path
    out: Path

    def archive(self, flavour: str) -> Path:
        [found] = [path for path in self.session.archives(f"dist:{self.cell}") if f"-{flavour}." in path.name]
        return found

    def land(self) -> landed.Landed:
        return landed.land(self.session, self.cell, self.archive("install_only"), self.workdir / "landed")

    def doit(self, *argv: str) -> str:
        """Output of doit in the checkout. Raises AssertionError when it fails."""
        command = [sys.executable, "-m", "doit", *argv]
        done = subprocess.run(command, cwd=self.session.root, env=dict(self.session.environ), capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout


def build(bench: Bench) -> str:
    """Nodes that ran and bytes of the archives."""
    told = bench.doit(f"dist:{bench.cell}")
    missing = bench.session.look_up([f"dist:{bench.cell}"])
    assert not missing, missing
    ran = re.search(r"(\d+) nodes run, (\d+) from the store", told)
    size = sum(path.stat().st_size for path in bench.session.archives(f"dist:{bench.cell}"))
    return f"{ran[1] if ran else 0} run, {ran[2] if ran else '?'} from the store; {size} bytes"


def check(bench: Bench) -> str:
    """The audit's last words."""
    return next(line for line in bench.doit(f"check:{bench.cell}").splitlines() if line.startswith("audit of"))


def configure(bench: Bench) -> str:
    """How many configure logs were read. Raises AssertionError when one tells of a guess, LookupError when this store has not all."""
    found = guessed(bench.session, bench.cell)
    wrong = {name: lines for name, lines in found.items() if lines}
    assert not wrong, wrong
    return f"{len(found)} logs"


def smoke(bench: Bench, flavours: Sequence[str] = tuple(FLAVOURS)) -> str:
    """The archives of these flavours, each moved twice. Raises TestsFailed."""
    machine = landed.machine_of(bench.session, bench.cell)
    try_machine(machine)
    expected = expected_of(bench.cell, bench.session.read)
    count = 0
    for archive in map(bench.archive, flavours):
        script = bench.session.root / "toolchains/smoke.py"
        checks = run_smoke(archive, bench.workdir / archive.name, script, expected, machine)
        remove_tree(bench.workdir / archive.name)
        refuse_smoke(checks, archive.name)
        count += len(checks)
    return f"{count} checks"


def suite(bench: Bench) -> str:
    """CPython's own tests, as toolchains/suite.toml has them for the cell. Raises AssertionError."""
    tried = wanted(bench.session.read, bench.cell)
    machine = landed.machine_of(bench.session, bench.cell)
    logs = bench.out / "logs" / str(bench.cell)
    result = run_suite(bench.archive("full"), logs, tried.suite, bench.cell.version, machine=machine, only=tried.only)
    (logs / "result.txt").write_text(render_suite(result, tried.suite, tried.baseline))
    states = list(result.files.values())
    counts = ", ".join(f"{states.count(state)} {state}" for state in (PASSED, SKIPPED, FAILED))
    worse = unexpected(result, tried.suite, tried.baseline)
    assert result.cases and not worse, f"{len(worse)} unexpected of {counts}: {'; '.join(': '.join(one) for one in worse)[:3000]}"
    return f"{counts}; {result.cases} cases"


def pip(bench: Bench) -> str:
    """A wheel of Python alone."""
    return landed.pure_wheel(bench.land())


def extension(bench: Bench) -> str:
    """A C module, compiled."""
    house = landed.stock_build_requirements(bench.out / "house")
    return json.dumps(landed.extension(bench.land(), house))


def wheels(bench: Bench) -> str:
    """Of the package index."""
    return landed.wheels(bench.land())


def verify(bench: Bench) -> str:
    """Every node of the target, of its slices, and of the baselines that these take libraries from, a second time, with the same bytes."""
    whole = bench.cell.target
    targets = {str(whole), *(str(one) for target in whole.compiled for one in target.with_baseline)}
    nodes = [name for name in bench.session.plan.closure([f"dist:{bench.cell}"]) if targets & {*name.split(":")}]
    return bench.doit("verify", *nodes).splitlines()[-1]


PARTS: Mapping[str, Callable[[Bench], str]] = {
    **{
        "build": build,
        "check": check,
        "configure": configure,
        "smoke": smoke,
        "pip": pip,
        "extension": extension,
        "wheels": wheels,
        "suite": suite,
        "verify": verify,
    },
}
NOT_HERE = "not run here"
"""State of a part whose programs need another processor, or wine."""
RUNNING = ("smoke", "pip", "extension", "wheels", "suite")
"""Parts that need a machine for the target's programs."""
OF_UNIX = ("configure", "pip", "extension", "wheels")
"""Parts that know Unix, its layout and scripts; test_windows_wheels.py and test_windows_extension.py have what Windows has of them."""
LOADING = ("extension", "wheels")
"""Parts that a static program, which loads no shared library, cannot have."""


def chosen_cells(session: Session, names: Sequence[str], options: bool) -> tuple[Cell, ...]:
    """The cells that are asked for, each once. Raises UsageError."""
    found: dict[Cell, None] = {}
    for name in names or ("dist:all",):
        members = session.groups.get(name if name.startswith("dist:") else f"dist:{name}", (f"dist:{name.removeprefix('dist:')}",))
        for member in members:
            cell = session.selection(member)
            if not isinstance(cell, Cell):
                raise UsageError(f"{name} is an add-on", hint="cells are TARGET:VERSION:OPTIONS")
            found[cell] = None
            if options:
                found.update(dict.fromkeys(other for other in session.cells if other.target == cell.target))
    return tuple(found)


def attempt(part: str, bench: Bench) -> Part:
    """Try one part; whatever it raises is told."""
    if part in RUNNING and bench.cell.target.run not in RUNS:
        return Part(f"run = {bench.cell.target.run}", 0)
    if part in OF_UNIX and bench.cell.target.os == "windows":
        return Part("not for Windows", 0)
    if part in LOADING and bench.cell.static:
        return Part("a static program", 0)
    try:
        if part in RUNNING:
            bench.session.check_runs(bench.cell.target)
    except (HostToolMissing, SandboxError) as error:
        return Part(NOT_HERE, 0, str(error))
    start = time.monotonic()
    try:
        state, told = "ok", PARTS[part](bench)
    except Exception as error:  # whatever it is, the other cells go on
        state, told = "FAILED", str(error) if isinstance(error, AssertionError | FreestandingError) else f"{type(error).__name__}: {error}"
    return Part(state, round(time.monotonic() - start, 1), told, "" if part == "build" and state != "ok" else digest_of(bench))


def digest_of(bench: Bench) -> str:
    """One digest of the cell's archives."""
    together = hashlib.sha256()
    for path in bench.session.archives(f"dist:{bench.cell}"):
        together.update(hashlib.sha256(path.read_bytes()).digest())
    return together.hexdigest()


def read_record(path: Path, cell: str) -> Record:
    """What an earlier run wrote; empty when there is none."""
    if not path.exists():
        return Record(cell)
    data = json.loads(path.read_text())
    return Record(data["cell"], {name: Part(**part) for name, part in data["parts"].items()})


def due(record: Record, parts: Iterable[str], archives: str) -> tuple[str, ...]:
    """Parts that have not been tried with these archives, or failed."""
    return tuple(name for name in parts if (done := record.parts.get(name)) is None or done.state == "FAILED" or done.archives != archives)


def table(records: Iterable[Record]) -> str:
    """The records as a Markdown table, and under it what failed, or was not run, and why."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS)]
    failures = []
    for record in records:
        target, _, rest = record.cell.partition(":")
        made = record.parts.get("build")
        numbers = re.match(r"(\d+) run, (\S+) from the store; (\d+) bytes", made.told if made else "")
        minutes = f"{made.seconds / 60:.1f}" if made else ""
        cells = [target, rest, minutes, *((f"{numbers[1]} (+{numbers[2]})", numbers[3]) if numbers else ("", ""))]
        for name in AFTER:
            part = record.current.get(name)
            told = part.told if part and part.state == "ok" and name in COUNTED else ""
            cells.append(told or (part.state if part else ""))
        lines.append("| " + " | ".join(cells) + " |")
        failures += [f"{record.cell} {name}: {part.told}" for name, part in record.current.items() if part.state in ("FAILED", NOT_HERE)]
    return "\n".join([*lines, "", *failures]) + "\n"


def run_cell(bench: Bench, parts: Sequence[str], path: Path, again: bool) -> Record:
    """Try what is due, and write the record after each part."""
    record = Record(str(bench.cell)) if again else read_record(path, str(bench.cell))
    made = attempt("build", bench)
    before = record.parts.get("build")
    # built already: what the first build took is what counts
    kept = before if before and before.state == "ok" and before.archives == made.archives and made.state == "ok" else made
    record = Record(record.cell, {**record.parts, "build": kept})
    left = due(record, [name for name in parts if name != "build"], made.archives) if made.state == "ok" else ()
    for name in ("", *left):
        if name:
            with tempfile.TemporaryDirectory(prefix="freestanding-") as folder:
                part = attempt(name, Bench(bench.session, bench.cell, Path(folder), bench.out))
            record = Record(record.cell, {**record.parts, name: part})
            print(f"{record.cell} {name}: {part.state}, {part.seconds:.0f} s {part.told[-300:]}", flush=True)
        path.write_text(json.dumps(asdict(record), indent=1, sort_keys=True))
    return record


def main(argv: Sequence[str]) -> int:
    """0 when nothing failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", nargs="*")
    parser.add_argument("--options", action="store_true")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--out", type=Path, default=ROOT / "matrix")
    parser.add_argument("--again", action="store_true")
    given = parser.parse_args(argv)
    session = Session(ROOT)
    parts = given.parts.split(",")
    if unknown := [name for name in parts if name not in PARTS]:
        parser.error(f"no part {unknown[0]!r}: {', '.join(PARTS)}")
    given.out.mkdir(parents=True, exist_ok=True)
    records = []
    for cell in chosen_cells(session, given.cells, given.options):
        path = given.out / f"{str(cell).replace(':', '_')}.json"
        records.append(run_cell(Bench(session, cell, given.out, given.out), parts, path, given.again))
        (given.out / "table.md").write_text(table(records))
    print(table(records))
    return int(any(part.state == "FAILED" for record in records for part in record.current.values()))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except FreestandingError as error:
        sys.exit(str(error))
