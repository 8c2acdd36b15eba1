"""The platform table as it is printed, and the copies of it in docs/."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from graph.errors import UsageError
from graph.node import Run
from graph.session import Session
from graph.table import archives, columns, markdown, oldest, remarks, rows

ROOT = Path(__file__).resolve().parent.parent
SESSION = Session(ROOT, {})


def test_the_copy_in_the_docs_is_as_printed(request: pytest.FixtureRequest) -> None:
    path = ROOT / "docs/targets.md"
    lines = path.read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| target |"))
    end = next(number for number, line in enumerate(lines) if line.startswith("One program"))
    printed = [*markdown(SESSION.matrix), ""]
    if request.config.getoption("--golden"):
        path.write_text("\n".join([*lines[:start], *printed, *lines[end:]]) + "\n")
    assert lines[start:end] == printed, "docs/targets.md is not what the table gives; if that is meant: pytest --golden"


def test_every_cell_has_a_row_and_every_target_one_default() -> None:
    found = rows(SESSION.matrix, SESSION.addons)
    assert [row["target"] for row in found if row["note"] == "default"] == list(SESSION.matrix.targets)
    assert len([row for row in found if row["note"] != "add-on"]) == len(SESSION.cells)


def test_what_the_table_offers_is_made() -> None:
    assert {f"dist:{one}" for one in (*SESSION.cells, *SESSION.matrix.addons())} <= SESSION.plan.nodes.keys()


def test_the_archives_named_are_those_that_are_packed() -> None:
    """As the steps of the archive nodes have them, of every cell and add-on."""
    named = archives(SESSION.matrix, SESSION.addons, SESSION.host, SESSION.lock)
    assert list(named) == [row["dist"] for row in rows(SESSION.matrix, SESSION.addons)]
    every = [name for names in named.values() for name in names]
    assert len(every) == len(set(every))
    for dist, names in named.items():
        packs = [SESSION.plan[given.node].action for given in SESSION.plan[dist].inputs if given.node.startswith("archive:")]
        written = {Path(word).name for pack in packs if isinstance(pack, Run) for step in pack.steps for word in step.argv}
        assert len(packs) == len(names) and set(names) <= written, dist


def test_columns_are_as_wide_as_what_stands_in_them() -> None:
    table = [
        {"target": "a", "options": "noopt", "note": "", "dist": "a::noopt"},
        {"target": "longer", "options": "x", "note": "default", "dist": ""},
    ]
    assert columns(table) == ["target  options", "a       noopt", "longer  x        default"]


@pytest.mark.parametrize(
    ("triple", "what"),
    [
        ("riscv64-unknown-linux-gnu", "glibc 2.28"),
        ("aarch64-unknown-linux-musl", "musl 1.2"),
        ("x86_64-apple-darwin", "macOS 10.15"),
    ],
)
def test_the_oldest_system_is_told_in_its_own_terms(triple: str, what: str) -> None:
    assert oldest(SESSION.matrix.targets[triple]) == what


def test_nodes_are_shared_between_cells() -> None:
    shared, apart = SESSION.plan.sharing(f"dist:{cell}" for cell in SESSION.cells)
    assert apart / shared > 5


@pytest.mark.parametrize(
    ("typed", "reason", "nearest"),
    [
        (
            "x86_64-unknown-linux-gnu:3.11:freethreaded",
            "freethreaded needs Python 3.13 or later, not 3.11.2",
            "x86_64-unknown-linux-gnu:3.11.2:lto",
        ),
        ("x86_64-unknown-linux-gnu::static", "does not offer static", "x86_64-unknown-linux-gnu:3.13.15:lto"),
        ("aarch64-apple-darwin::debug+static", "does not offer static", "aarch64-apple-darwin:3.13.15:debug"),
        ("x86_64_v5-unknown-linux-gnu", "unknown target 'x86_64_v5-unknown-linux-gnu'", "x86_64_v2-unknown-linux-gnu"),
    ],
)
def test_bad_cells_are_refused_with_the_nearest_good_one(typed: str, reason: str, nearest: str) -> None:
    with pytest.raises(UsageError, match=re.escape(reason)) as caught:
        SESSION.selection(typed)
    assert nearest in caught.value.hint


def test_groups_are_the_defaults_of_their_targets() -> None:
    darwin = ("dist:aarch64-apple-darwin:3.13.15:lto", "dist:x86_64-apple-darwin:3.13.15:lto")
    assert SESSION.resolve(["dist:darwin"]) == darwin
    assert set(SESSION.resolve(["dist:all"])) == {*darwin, *SESSION.resolve(["dist:linux", "dist:windows"])}
    assert len(SESSION.resolve(["dist:linux"])) == 17


def test_what_was_never_run_on_its_own_system_is_said() -> None:
    said = [f"{arch}-pc-windows-gnu: run under wine only, never on Windows (docs/windows.md)" for arch in ("x86_64", "i686")]
    assert list(remarks(SESSION.matrix)) == [*said, "aarch64-pc-windows-gnu: built and audited only, never run (docs/windows.md)"]
