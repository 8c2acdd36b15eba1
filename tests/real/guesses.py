"""What configure scripts guessed, by what their nodes printed."""

from __future__ import annotations

import re

from graph.session import Session
from graph.target import Cell

GUESS = re.compile(r"guess|cross.compil|\bassum|\.\.\. *(\(cached\) *)?(unknown|maybe|cross)$", re.IGNORECASE)
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
        # ncurses asks for no answer here; only System V before its third release had them the other way round
        "configure: WARNING: cross compiling: assume setvbuf params not reversed",
    }
)
"""Where no program of the target runs (macOS); answers stand in toolchains/macos/configure.site."""


def log_of(session: Session, name: str) -> str:
    """What the node printed when it was built; empty where this store never built it."""
    key = session.store.last(name)
    result = session.store.result(key) if key else None
    path = session.store.blob_path(result.log) if result and result.log else None
    return path.read_text(errors="replace") if path else ""


def guesses(log: str, *, across: bool) -> list[str]:
    """Lines that tell of a guess. `across`: no program of the target runs."""
    allowed = NO_GUESS | (NO_GUESS_ACROSS if across else frozenset())
    return [line for line in map(str.strip, log.splitlines()) if GUESS.search(line) and line not in allowed]


def configured(session: Session, cell: Cell) -> tuple[str, ...]:
    """The configure nodes whose answers are in the cell's archives, those of its baseline, too."""
    triples = {str(one) for one in cell.target.with_baseline}
    closure = session.plan.closure([f"dist:{cell}"])
    return tuple(name for name in closure if name.startswith("configure:") and name.split(":")[1] in triples)


def guessed(session: Session, cell: Cell) -> dict[str, list[str]]:
    """Per configure node of the cell what it guessed; a node that this store never built raises LookupError."""
    found = {}
    for name in configured(session, cell):
        log = log_of(session, name)
        if not log:
            raise LookupError(f"no log of {name} is in this store")
        found[name] = guesses(log, across=cell.target.run == "none")
    return found
