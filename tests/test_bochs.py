"""What a PC of tests/real/bochs.py tells."""

from __future__ import annotations

import json

import pytest

from tests.real.bochs import END, RESULT, Job, expected, results

DYNAMIC = Job("x86_64_v4-unknown-linux-gnu:3.13.15:lto", ("/trial/a.tar.gz",), "")
STATIC = Job("x86_64_v4-unknown-linux-musl:3.13.15:lto+static", ("/trial/a.tar.gz", "/trial/b.tar.zst"), "/trial/runtime")
ALL = {"processor": "ok avx512f", "smoke of a.tar.gz": "ok 26 checks", "pip": "ok small indeed", "extension": "ok {}"}
LINES = [RESULT + json.dumps({name: told}) for name, told in ALL.items()]


def test_a_static_program_loads_no_extension() -> None:
    assert expected(DYNAMIC) == list(ALL)
    assert expected(STATIC) == ["processor", "smoke of a.tar.gz", "smoke of b.tar.zst", "pip"]


def test_what_is_told_between_other_lines() -> None:
    text = "\r\n".join(["[    0.1] a word of the kernel", *LINES, f"{END}0", ""])
    assert results(text, DYNAMIC) == ALL


@pytest.mark.parametrize("name", ALL)
def test_what_is_not_told_has_failed(name: str) -> None:
    found = results("\n".join([line for line in LINES if name not in line] + [f"{END}0"]), DYNAMIC)
    assert [what for what, told in found.items() if not told.startswith("ok")] == [name]


def test_a_broken_line_and_a_bad_end_are_failures() -> None:
    broken = [LINES[0][:-9] + "[ 12.3] random: 3 bytes", *LINES[1:], f"{END}137"]
    failed = [what for what, told in results("\n".join(broken), DYNAMIC).items() if not told.startswith("ok")]
    assert failed == ["processor", broken[0][:80], "the end"]
