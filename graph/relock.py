"""What `doit lock` does: pins again what the user edited, and looks whether the ways still serve what is pinned.

Nothing here prints or writes: the command does, from the values that are returned.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

from graph.errors import FetchError, LockDrift, UsageError, did_you_mean
from graph.lock import Lock, Source, Way, dump_lock, parse_lock
from graph.ways import Answer

THREADS = 8
"""Ways asked at once: the time goes into waiting for servers."""


class Prober(Protocol):
    """The half of a Fetcher that asks without keeping bytes."""

    def probe(self, source: Source, way: Way, full: bool) -> Answer: ...

    def mirror_ways(self, source: Source) -> tuple[Way, ...]: ...


@dataclass(frozen=True, slots=True)
class Repin:
    """A new text of sources.lock, and how it differs from the old one."""

    text: str
    diff: tuple[str, ...]
    """Lines of a unified diff, without line ends; empty when nothing changes."""
    notes: tuple[str, ...]
    """One line for each source: which way vouched for its bytes."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one way of one source was found to serve."""

    name: str
    state: str
    """same | size (only that was compared) | drift | unreached; for a wanted one: ready (can be had) | drift | absent."""
    answer: Answer
    detail: str


def repin(text: str, names: Iterable[str], prober: Prober) -> Repin:
    """Text with sha256 and size of `names` taken from the bytes that the first answering way serves, all in canonical form.

    A wanted source whose pinned bytes can be had moves to [sources]. Raises LockError, UsageError (unknown name), FetchError.
    """
    lock = parse_lock(text)
    notes: list[str] = []
    for source in _chosen(lock, names):
        answer = _first_answer(source, prober)
        pinned = replace(source, sha256=answer.sha256, size=answer.size or 0)
        notes.append(f"{source.name}: {pinned.size} bytes, sha256 {pinned.sha256}, from {answer.way}")
        lock = _with_pin(lock, source, pinned, answer)
    new = dump_lock(lock)
    lines = difflib.unified_diff(text.splitlines(), new.splitlines(), "sources.lock", "sources.lock (new)", lineterm="")
    return Repin(new, tuple(lines), tuple(notes))


def check(lock: Lock, names: Iterable[str], prober: Prober, *, full: bool) -> tuple[Finding, ...]:
    """Ask every way of the named sources (none named: of all, the wanted ones too); with `full` their bytes are read and hashed.

    Raises UsageError for an unknown name; what the network does is in the findings.
    """
    asked = [(source, way) for source in _chosen(lock, list(names) or _names(lock)) for way in (*prober.mirror_ways(source), *source.ways)]
    with ThreadPoolExecutor(THREADS) as pool:
        answers = pool.map(lambda pair: prober.probe(pair[0], pair[1], full), asked)
        return tuple(judge(source, answer, wanted=source.name in lock.wanted) for (source, _), answer in zip(asked, answers, strict=True))


def judge(source: Source, answer: Answer, *, wanted: bool) -> Finding:
    """An answer held against the pin."""
    if not answer.reached:
        return Finding(source.name, "absent" if wanted else "unreached", answer, answer.why)
    if answer.size not in (None, source.size):
        return Finding(source.name, "drift", answer, f"serves {answer.size} bytes, pinned are {source.size}")
    if answer.sha256 and answer.sha256 != source.sha256:
        return Finding(source.name, "drift", answer, f"serves sha256 {answer.sha256}, pinned is {source.sha256}")
    if wanted:
        return Finding(source.name, "ready", answer, f"can be had now: doit lock {source.name} moves it to [sources]")
    if answer.sha256:
        return Finding(source.name, "same", answer, "the pinned sha256")
    told = "tells no size" if answer.size is None else "the pinned size"
    return Finding(source.name, "size", answer, told)


def render(findings: Sequence[Finding]) -> list[str]:
    """One line for each way, one for each source that no way serves now, and a last one with the sums."""
    lines = [f"{finding.state:<9} {finding.name:<18} {finding.answer.way}: {finding.detail}" for finding in findings]
    lines += [f"{'nowhere':<9} {name:<18} no way answers now; the next fetch needs a mirror folder" for name in _nowhere(findings)]
    sums: dict[str, int] = {}
    for finding in findings:
        sums[finding.state] = sums.get(finding.state, 0) + 1
    lines.append(", ".join(f"{count} {state}" for state, count in sorted(sums.items())) or "nothing to check")
    return lines


def raise_on_drift(findings: Sequence[Finding]) -> None:
    """Raises LockDrift when a way serves other bytes than the pinned ones."""
    drifted = [finding for finding in findings if finding.state == "drift"]
    if drifted:
        what = "\n".join(["sources.lock does not say what is served:", *(f"  {f.name}: {f.answer.way} {f.detail}" for f in drifted)])
        hint = f"find out why upstream changed it; remove that way, or doit lock {drifted[0].name} to pin the new bytes"
        raise LockDrift(what, place="sources.lock", hint=hint)


def _nowhere(findings: Sequence[Finding]) -> list[str]:
    reached = {finding.name for finding in findings if finding.answer.reached}
    return sorted({finding.name for finding in findings if finding.state == "unreached"} - reached)


def _names(lock: Lock) -> list[str]:
    return [*lock.sources, *lock.wanted]


def _chosen(lock: Lock, names: Iterable[str]) -> list[Source]:
    known: Mapping[str, Source] = {**lock.sources, **lock.wanted}
    for name in names:
        if name not in known:
            raise UsageError(f"no source named {name!r}", place="sources.lock", hint=did_you_mean(name, known))
    return [known[name] for name in dict.fromkeys(names)]


def _first_answer(source: Source, prober: Prober) -> Answer:
    tries = []
    for way in (*prober.mirror_ways(source), *source.ways):
        answer = prober.probe(source, way, True)
        if answer.reached and answer.size:
            return answer
        tries.append(f"  {way}: {answer.why or 'serves an empty file'}")
    what = "\n".join([f"no way serves {source.filename}:", *tries])
    raise FetchError(
        what, place=f"source {source.name}", hint=f"mend its ways, or put {source.filename} into the folder FREESTANDING_MIRROR"
    )


def _with_pin(lock: Lock, source: Source, pinned: Source, answer: Answer) -> Lock:
    """The pin put in place; a wanted source moves only when its bytes are those of the signed index that its sha256 came from."""
    if source.name in lock.sources:
        return replace(lock, sources={**lock.sources, source.name: pinned})
    raise_on_drift([judge(source, answer, wanted=True)])
    wanted = {name: other for name, other in lock.wanted.items() if name != source.name}
    return replace(lock, sources={**lock.sources, source.name: pinned}, wanted=wanted)
