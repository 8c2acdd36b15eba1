"""Reads text-based stub libraries (.tbd, version 4): what a macOS library offers, by its install name.

The format is that of LLVM's TextAPI (llvm/lib/TextAPI/TextStub.cpp): YAML of which only flow lists of scalars under two levels of keys are
ever written, so that the pairs of a key and a list or scalar, in order, are all there is to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from graph.errors import AuditFailed

ARCHITECTURES = {"aarch64": ("arm64-macos", "arm64e-macos"), "x86_64": ("x86_64-macos",)}
"""Target.arch -> the targets of a .tbd whose symbols its programs find: the system's libraries on Apple silicon are arm64e."""

_PAIR = re.compile(r"(?m)^(?P<indent>[ -]*)(?P<key>[a-z-]+):[ ]*(?:\[(?P<list>[^\]]*)\]|(?P<value>[^\n\[]*))")
_WORD = re.compile(r"'([^']*)'|\"([^\"]*)\"|([^\s,'\"]+)")
_PREFIXES = {
    "symbols": ("",),
    "weak-symbols": ("",),
    "thread-local-symbols": ("",),
    "objc-classes": ("_OBJC_CLASS_$_", "_OBJC_METACLASS_$_"),
    "objc-eh-types": ("_OBJC_EHTYPE_$_",),
    "objc-ivars": ("_OBJC_IVAR_$_",),
}
"""Lists of exported names, and the linker's names of what they hold."""


@dataclass(frozen=True, slots=True)
class Stub:
    """One library of a .tbd file, which holds those that it re-exports, too."""

    name: str
    """Install name."""
    symbols: frozenset[str]
    """As C names them: without the leading underscore."""
    reexports: tuple[str, ...] = ()


def parse_tbd(text: str, arch: str, place: str = ".tbd") -> tuple[Stub, ...]:
    """The libraries in the file, with what they offer to programs of an architecture. Raises AuditFailed on another format version."""
    documents = [part for part in re.split(r"(?m)^(?:---.*|\.\.\.\s*)$", text) if part.strip()]
    return tuple(_stub(document, frozenset(ARCHITECTURES[arch]), place) for document in documents)


def _stub(document: str, targets: frozenset[str], place: str) -> Stub:
    name, section, applies = "", "", True
    symbols: set[str] = set()
    reexports: list[str] = []
    for pair in _PAIR.finditer(document):
        key, words = pair["key"], _words(pair["list"] if pair["list"] is not None else pair["value"])
        if not pair["indent"]:
            section = key
            if key == "tbd-version" and words != ["4"]:
                raise AuditFailed(f"tbd-version {' '.join(words)} is not read", place=place, hint="graph/tbd.py reads version 4")
            name = words[0] if key == "install-name" else name
        elif key == "targets":
            applies = not targets.isdisjoint(words)
        elif applies and section == "reexported-libraries":
            reexports += words
        elif applies and section in ("exports", "reexports"):
            symbols.update((prefix + word).removeprefix("_") for prefix in _PREFIXES.get(key, ()) for word in words)
    return Stub(name, frozenset(symbols), tuple(reexports))


def _words(text: str) -> list[str]:
    return ["".join(match.groups("")) for match in _WORD.finditer(re.sub(r"(?m)(^|\s)#.*$", "", text))]


def offered(stubs: Iterable[Stub]) -> Mapping[str, frozenset[str]]:
    """Install name -> every symbol that a program finds there, those of re-exported libraries included."""
    known: dict[str, Stub] = {}
    for stub in stubs:
        known.setdefault(stub.name, stub)
    return {name: frozenset(symbol for stub in _closure(name, known) for symbol in stub.symbols) for name in known}


def _closure(name: str, known: Mapping[str, Stub]) -> Iterator[Stub]:
    waiting, seen = [name], {name}
    while waiting:
        stub = known.get(waiting.pop())
        if stub is not None:
            yield stub
            waiting += [other for other in stub.reexports if other not in seen]
            seen.update(stub.reexports)
