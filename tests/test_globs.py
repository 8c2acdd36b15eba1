"""Globs: against a plain regular expression, and the walk's early answers against the matches below."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.errors import PlanError
from graph.globs import Glob, Selection

NAMES = st.sampled_from(["a", "b", "ab", "x.c", "x.h", "[", "é"])
PARTS = st.sampled_from(["a", "b", "*", "?", "*.c", "a*", "**", "[ab]", "x.?"])
PATHS = st.lists(NAMES, min_size=1, max_size=5).map("/".join)
PATTERNS = st.builds(lambda parts, end: "/".join(parts) + end, st.lists(PARTS, min_size=1, max_size=4), st.sampled_from(["", "/"]))


def matches(pattern: str, path: str) -> bool:
    return Selection.parse((pattern,), ()).keeps(path)


def as_regex(pattern: str) -> str:
    """The meaning of a glob, said a second time: one regular expression over the whole path."""
    parts = pattern.split("/")
    if parts[-1] in ("", "**"):
        parts[-1:] = ["**", "ANY"]
    text = ""
    for part in parts:
        if part == "**":
            text += "(?:[^/]+/)*"
        elif part == "ANY":
            text += "[^/]*/"
        else:
            text += part.replace(".", r"\.").replace("*", "[^/]*").replace("?", "[^/]").replace("[ab]", "(?:a|b)") + "/"
    return text


def expected(pattern: str, path: str) -> bool:
    return re.fullmatch(as_regex(pattern), path + "/") is not None


@given(PATTERNS, PATHS)
def test_a_glob_means_what_its_regular_expression_means(pattern: str, path: str) -> None:
    assert matches(pattern, path) == expected(pattern, path)


@given(PATTERNS, PATHS, PATHS)
def test_the_answers_for_a_folder_hold_for_every_path_below(pattern: str, folder: str, below: str) -> None:
    glob = Glob.parse(pattern)
    states = glob.start()
    for name in folder.split("/"):
        states = glob.step(states, name)
    if glob.covers(states):
        assert matches(pattern, f"{folder}/{below}")
        assert matches(pattern, f"{folder}/")
    if not states:
        assert not matches(pattern, f"{folder}/{below}")


@pytest.mark.parametrize(
    ("pattern", "path", "is_match"),
    [
        ("Lib/", "Lib/a/b.py", True),
        ("Lib/", "Lib", False),
        ("Lib/", "Lib/", True),
        ("Lib/**", "Lib/empty/", True),
        ("Lib/*", "Lib/empty/", False),
        ("Lib/empty/", "Lib/empty/", True),
        ("Lib/*", "Lib/a.py", True),
        ("Lib/*", "Lib/a/b.py", False),
        ("**/*.py", "a.py", True),
        ("**/*.py", "x/y/a.py", True),
        ("**/test/", "Lib/test/x", True),
        ("**/test/", "test/x", True),
        ("a/**/z", "a/z", True),
        ("**", "x", True),
        ("Lib", "Lib/a", False),
        ("a.c", "abc", False),
    ],
)
def test_examples(pattern: str, path: str, is_match: bool) -> None:
    assert matches(pattern, path) is is_match


@pytest.mark.parametrize("pattern", ["", "/", "/etc/passwd", "a//b", "../x", "a/../b", "./a", "**.c", "a**/b"])
def test_what_is_no_glob_is_refused(pattern: str) -> None:
    with pytest.raises(PlanError, match="not a glob"):
        Glob.parse(pattern)


def test_a_selection_keeps_what_only_names_and_without_does_not() -> None:
    selection = Selection.parse(["Lib/", "*.txt"], ["**/test/"])
    kept = [p for p in ("Lib/os.py", "Lib/test/x.py", "a.txt", "b/a.txt") if selection.keeps(p)]
    assert kept == ["Lib/os.py", "a.txt"]
    assert selection.matched("Lib/test/x.py") == ("Lib/",)
    assert Selection.parse([], []).keeps("anything/")
