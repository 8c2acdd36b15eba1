"""The table of wheels in docs/windows.md is the list that the real test runs."""

from __future__ import annotations

import pytest

from tests.mini import ROOT
from tests.real.wheels import DATA, WHEELS, Wheel, read_wheels, render

BEGIN = "| rank |"


def test_the_docs_have_the_table() -> None:
    text = (ROOT / "docs/windows.md").read_text()
    start = text.index(BEGIN)
    assert text[start : text.index("\n\n", start) + 1] == render()


def test_each_wheel_is_listed_once_and_pinned() -> None:
    names = [wheel.name for wheel in WHEELS.listed]
    assert len(names) == len(set(names)) and all(wheel.version for wheel in WHEELS.listed)
    assert {wheel.name for wheel in WHEELS.newer} <= set(names) and all(wheel.ends for wheel in WHEELS.newer)


def test_programs_are_python() -> None:
    for wheel in (*WHEELS.listed, *WHEELS.newer):
        compile(wheel.program, wheel.name, "exec")


def test_a_program_prints_its_value_and_the_extension_modules(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(Wheel("a", "1", "'é' * two", "", "two = 2").program, "a", "exec"), {})
    assert capsys.readouterr().out == "value '\\xe9\\xe9'\n"


def test_a_key_that_no_wheel_has_is_refused() -> None:
    with pytest.raises(TypeError, match="gave"):
        read_wheels(DATA.read_text().replace("\ngives = ", "\ngave = ", 1))
