from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from graph.explain import diff

LINES = st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=5)).map(lambda lines: tuple(lines.items()))


def test_added_dropped_and_changed_lines_are_named() -> None:
    old = (("a", "1"), ("b", "2"), ("c", "3"))
    new = (("a", "1"), ("b", "9"), ("d", "4"))
    assert diff(old, new) == ("~ b: 2 -> 9", "+ d = 4", "- c = 3")


@given(LINES, LINES)
def test_there_is_a_difference_exactly_when_the_lines_differ(old: tuple[tuple[str, str], ...], new: tuple[tuple[str, str], ...]) -> None:
    assert (diff(old, new) == ()) == (dict(old) == dict(new))
