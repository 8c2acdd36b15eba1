"""What configure scripts guessed, by what their nodes printed."""

from __future__ import annotations

import re
from collections.abc import Iterable

from graph.session import Session
from graph.target import Cell

GUESS = re.compile(r"guess|cross.compil|cross -- |\bassum|\.\.\. *(\(cached\) *)?(unknown|maybe|cross|undefined|not set)$", re.IGNORECASE)
"""What scripts say of an answer that they have not found out. (Of many they say nothing: docs/macos.md, configure.)"""
NO_GUESS = frozenset(
    {
        "checking whether we are cross compiling... no",
        # options, and what an option has where it is not given
        "checking if we should assume mixed-case filenames... auto",
        "checking if you do not want to assume colors are white-on-black... yes",
        "checking how much RAM to assume if the real amount is unknown... 128 MiB",
        # CPython knows stacks of the 1990s by name, and needs a library for some; musl's is none of them
        "checking ipv6 stack type... unknown",
    }
)
NO_GUESS_ACROSS = frozenset(
    {
        "checking whether we are cross compiling... yes",
        # CPython asks for no answer, and goes by a yes alone
        "checking for glibc _FORTIFY_SOURCE/memmove bug... undefined",
        # ncurses asks for no answer here; only System V before its third release had them the other way round
        "configure: WARNING: cross compiling: assume setvbuf params not reversed",
    }
)
"""Where no program of the target runs (macOS); answers stand in toolchains/macos/configure.site."""


def logs_of(session: Session, names: Iterable[str]) -> dict[str, str]:
    """What nodes printed when they were built; the store must have their results. Raises LookupError."""
    missing = session.look_up(tuple(names))
    if missing:
        raise LookupError(f"not in this store: {', '.join(missing)}")
    digests = {name: session.build.result(name).log for name in names}
    paths = {name: session.store.blob_path(digest) if digest else None for name, digest in digests.items()}
    return {name: path.read_text(errors="replace") if path else "" for name, path in paths.items()}


def guesses(log: str, *, across: bool) -> list[str]:
    """Lines that tell of a guess. `across`: no program of the target runs."""
    allowed = NO_GUESS | (NO_GUESS_ACROSS if across else frozenset())
    return [line for line in map(str.strip, log.splitlines()) if GUESS.search(line) and line not in allowed]


def configured(session: Session, cell: Cell) -> tuple[str, ...]:
    """The configure nodes whose answers are in the cell's archives, those of its slices and baseline, too."""
    triples = {str(one) for target in cell.target.compiled for one in target.with_baseline}
    closure = session.plan.closure([f"dist:{cell}"])
    return tuple(name for name in closure if name.startswith("configure:") and name.split(":")[1] in triples)


def guessed(session: Session, cell: Cell) -> dict[str, list[str]]:
    """Per configure node of a cell for Linux or macOS what it guessed. Raises LookupError where the store has not all of them."""
    logs = logs_of(session, configured(session, cell))
    silent = [name for name, log in logs.items() if not log]
    if silent:
        raise LookupError(f"no log of {', '.join(silent)}")
    return {name: guesses(log, across=cell.target.run == "none") for name, log in logs.items()}
