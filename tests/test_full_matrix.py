"""The script that runs the whole matrix: which cells and parts it takes, what it keeps, and its table."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from graph import errors
from graph.errors import UsageError
from graph.session import Session
from tests.fakes import fake_wine
from tests.mini import ROOT
from tests.real import full_matrix, landed
from tests.real.full_matrix import Bench, Part, Record, attempt, chosen_cells, due, read_record, run_cell, table

SESSION = Session(ROOT)
GNU = SESSION.matrix.default(SESSION.matrix.targets["aarch64-unknown-linux-gnu"])
MUSL = SESSION.matrix.default(SESSION.matrix.targets["x86_64-unknown-linux-musl"])
MAC = SESSION.matrix.default(SESSION.matrix.targets["aarch64-apple-darwin"])


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Parts that only say that they were called; the archives are what a file says."""
    (tmp_path / "digest").write_text("one")
    (tmp_path / "calls").touch()
    bench = Bench(SESSION, GNU, tmp_path, tmp_path)

    def part(name: str) -> Callable[[Bench], str]:
        def run(given: Bench) -> str:
            with (tmp_path / "calls").open("a") as file:
                file.write(f"{name} ")
            if (tmp_path / f"break {name}").exists():
                raise errors.TestsFailed("2 of 3 checks failed", place="x", hint="y")
            return "5 run, 90 from the store; 1234 bytes" if name == "build" else f"{name} went well"

        return run

    monkeypatch.setattr(full_matrix, "PARTS", {name: part(name) for name in full_matrix.PARTS})
    monkeypatch.setattr(full_matrix, "digest_of", lambda given: (tmp_path / "digest").read_text())
    return bench


def calls(bench: Bench) -> list[str]:
    told = (bench.out / "calls").read_text().split()
    (bench.out / "calls").write_text("")
    return told


def test_cells_are_chosen_by_target_group_and_full_name() -> None:
    assert chosen_cells(SESSION, ["aarch64-unknown-linux-gnu", str(GNU), f"dist:{GNU}"], False) == (GNU,)
    everything = chosen_cells(SESSION, [], False)
    assert len(everything) == len([target for target in SESSION.matrix.targets.values() if not target.slices])
    assert set(chosen_cells(SESSION, ["dist:darwin"], False)) == {cell for cell in everything if cell.target.os == "macos"}
    options = chosen_cells(SESSION, [str(GNU)], True)
    assert {cell.options for cell in options} > {GNU.options}
    assert {cell.target for cell in options} == {GNU.target}
    with pytest.raises(UsageError):
        chosen_cells(SESSION, ["aarch64-unknown-linux-gnus"], False)


def test_every_linux_target_has_its_wheels() -> None:
    assert {target.multiarch for target in SESSION.matrix.targets.values() if target.os == "linux"} == set(landed.WHEELS)


def test_a_run_goes_on_where_it_was(bench: Bench) -> None:
    path = bench.out / "record.json"
    (bench.out / "break smoke").touch()
    first = run_cell(bench, ["build", "check", "smoke"], path, False)
    assert calls(bench) == ["build", "check", "smoke"]
    assert (first.parts["check"].state, first.parts["smoke"].state) == ("ok", "FAILED")
    assert "2 of 3" in first.parts["smoke"].told
    assert read_record(path, str(GNU)) == first
    (bench.out / "break smoke").unlink()
    # what failed and what is new; the first build's time stays
    second = run_cell(bench, ["build", "check", "smoke", "pip"], path, False)
    assert calls(bench) == ["build", "smoke", "pip"]
    assert second.parts["build"] == first.parts["build"]
    assert {part.state for part in second.parts.values()} == {"ok"}
    # other archives: all of it
    (bench.out / "digest").write_text("two")
    run_cell(bench, ["check", "smoke"], path, False)
    assert calls(bench) == ["build", "check", "smoke"]
    run_cell(bench, ["check"], path, True)
    assert calls(bench) == ["build", "check"]


def test_what_is_not_built_is_not_tried(bench: Bench) -> None:
    (bench.out / "break build").touch()
    record = run_cell(bench, ["check", "smoke"], bench.out / "record.json", False)
    assert calls(bench) == ["build"]
    assert (record.parts["build"].state, list(record.parts)) == ("FAILED", ["build"])


def test_whatever_a_part_raises_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(full_matrix.PARTS, "check", lambda given: next(iter(())))
    monkeypatch.setitem(full_matrix.PARTS, "verify", lambda given: str([][0]))
    assert [(part.state, part.told) for part in (attempt("check", bench), attempt("verify", bench))] == [
        ("FAILED", "StopIteration: "),
        ("FAILED", "IndexError: list index out of range"),
    ]


def test_programs_that_nothing_runs_here_are_not_run(bench: Bench) -> None:
    mac = replace(bench, cell=MAC)
    assert attempt("smoke", mac).state == "run = none"
    assert attempt("check", mac).state == "ok"
    assert calls(bench) == ["check"]


def test_windows_programs_run_under_wine(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{fake_wine(bench.workdir / 'bin')}:{os.environ['PATH']}")
    windows = replace(bench, cell=SESSION.matrix.default(SESSION.matrix.targets["x86_64-pc-windows-gnu"]))
    assert [attempt(part, windows).state for part in ("smoke", "suite")] == ["ok", "ok"]
    assert {attempt(part, windows).state for part in ("configure", "pip", "extension", "wheels")} == {"not for Windows"}
    assert calls(bench) == ["smoke", "suite"]
    fake_wine(bench.workdir / "bin", "wine-8.0 (Debian 8.0~repack-4)")
    told = attempt("smoke", windows)
    assert (told.state, "wine-8.0 is too old" in told.told) == ("not run here", True)
    assert calls(bench) == []


def test_a_static_program_is_asked_for_no_module(bench: Bench) -> None:
    static = replace(bench, cell=replace(MUSL, options=("noopt", "static")))
    assert [attempt(part, static).state for part in ("extension", "wheels", "pip")] == ["a static program", "a static program", "ok"]
    assert calls(bench) == ["pip"]


def test_on_a_processor_below_the_cells_nothing_is_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graph.session.processor", lambda: frozenset({"fpu"}))
    old = replace(bench, cell=SESSION.matrix.default(SESSION.matrix.targets["x86_64_v3-unknown-linux-gnu"]))
    part = attempt("smoke", old)
    assert (part.state, "lacks abm, avx, avx2" in part.told) == ("not run here", True)
    assert attempt("check", old).state == "ok"
    assert calls(bench) == ["check"]


def test_parts_are_due_until_they_went_well_with_these_archives() -> None:
    parts = {
        "a": Part("ok", 1, "", "x"),
        "b": Part("FAILED", 1, "", "x"),
        "c": Part("ok", 1, "", "old"),
        "d": Part("run = none", 0, "", "x"),
    }
    assert due(Record("cell", parts), ["a", "b", "c", "d", "e"], "x") == ("b", "c", "e")


def test_what_was_tried_with_earlier_archives_is_in_no_table(bench: Bench) -> None:
    path = bench.out / "record.json"
    (bench.out / "break smoke").touch()
    first = run_cell(bench, ["build", "smoke", "pip"], path, False)
    assert "smoke: 2 of 3" in table([first]) or "smoke: x: 2 of 3" in table([first])
    (bench.out / "digest").write_text("two")
    second = run_cell(bench, ["build", "check"], path, False)
    assert set(second.parts) == {"build", "check", "smoke", "pip"} and set(second.current) == {"build", "check"}
    assert "2 of 3" not in table([second])
    (bench.out / "break build").touch()
    assert set(run_cell(bench, ["build"], path, False).current) == {"build"}


def test_a_universal_target_is_verified_with_its_slices(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    universal = SESSION.matrix.default(SESSION.matrix.targets["universal2-apple-darwin"])
    asked: list[str] = []

    def doit(self: Bench, *words: str) -> str:
        asked.extend(words)
        return "verified"

    monkeypatch.setattr(Bench, "doit", doit)
    assert full_matrix.verify(replace(bench, cell=universal)) == "verified"
    assert {name.split(":")[1] for name in asked if name.startswith(("make:", "core:"))} == {"aarch64-apple-darwin", "x86_64-apple-darwin"}


def test_the_table_has_a_line_for_each_cell_and_what_failed() -> None:
    good = {
        "build": Part("ok", 90, "5 run, 90 from the store; 1234 bytes"),
        "check": Part("ok", 1, "x"),
        "configure": Part("ok", 1, "9 logs"),
        "smoke": Part("ok", 1, "66 checks"),
    }
    shown = table(
        [
            Record("t:1:lto", {**good, "suite": Part("FAILED", 5, "1 unexpected")}),
            Record("u:1:noopt", {"smoke": Part("not run here", 0, "lacks avx512bw")}),
        ]
    ).splitlines()
    assert shown[2] == "| t | 1:lto | 1.5 | 5 (+90) | 1234 | ok | 9 logs | 66 checks | FAILED |  |  |  |  |"
    assert shown[3] == "| u | 1:noopt |  |  |  |  |  | not run here |  |  |  |  |  |"
    assert shown[5:] == ["t:1:lto suite: 1 unexpected", "u:1:noopt smoke: lacks avx512bw"]
