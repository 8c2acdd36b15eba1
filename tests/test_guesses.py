"""Lines of configure logs that tell of a guess."""

from __future__ import annotations

import pytest

from tests.real.guesses import GUESS, NO_GUESS, NO_GUESS_ACROSS, guesses

TOLD = (
    "checking for working fork... cross",
    "configure: WARNING: result yes guessed because of cross compilation",
    "checking whether mbrtowc works as well as mbtowc... guessing yes",
    "checking for %zd printf() format support... cross -- assuming yes",
    "checking if nanosleep really works... unknown",
    "checking if nanosleep really works... (cached) unknown",
    "checking for working mkstemp... maybe",
    "checking getaddrinfo bug... undefined",
    "checking for /dev/ptmx... not set",
    "  checking if poll really works... unknown",
)


@pytest.mark.parametrize("line", TOLD)
@pytest.mark.parametrize("across", [False, True])
def test_a_guess_is_seen(line: str, across: bool) -> None:
    assert guesses(f"checking for cc... cc\n{line}\nchecking for fork... yes\n", across=across) == [line.strip()]


def test_a_script_that_finds_out_guesses_nothing() -> None:
    log = "checking for working fork... yes\nchecking if poll really works... (cached) no\nchecking for unknown warning option... none\n"
    assert guesses(log, across=False) == []


def test_what_is_let_off_would_be_seen_and_across_alone_where_it_is_for_that() -> None:
    for line in NO_GUESS | NO_GUESS_ACROSS:
        assert GUESS.search(line), line
        assert guesses(line, across=True) == []
        assert bool(guesses(line, across=False)) == (line in NO_GUESS_ACROSS)
