"""One real fetch by each way that asks this machine: its apt archive and its pip index."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from graph.errors import FetchError
from graph.fetch import Fetcher
from graph.lock import parse_lock

LOCK = parse_lock((Path(__file__).resolve().parents[2] / "sources.lock").read_text(encoding="utf-8"))

CANDIDATES = {
    # small ones from stable suites: the archive refuses some files for a time, but hardly all of these
    "debian": ("libedit", "bzip2", "zlib", "libffi"),
    "pypi": ("pip", "certifi"),
}


@pytest.mark.parametrize("kind", CANDIDATES)
def test_a_real_fetch(kind: str, tmp_path: Path) -> None:
    fetcher = Fetcher((), False, tmp_path / "downloads")
    refused = []
    for name in CANDIDATES[kind]:
        source = LOCK.sources[name]
        only = replace(source, ways=tuple(way for way in source.ways if way.kind == kind))
        dest = tmp_path / source.filename
        try:
            fetcher.fetch(only, dest)
        except FetchError as error:
            refused.append(str(error))
            print(f"going on without {name}: {error}")
            continue
        assert dest.stat().st_size == source.size
        assert list((tmp_path / "downloads").glob("*.part")) == []
        return
    pytest.fail("\n".join(["no candidate could be had:", *refused]))


def test_the_committed_lock_agrees_with_the_package_index() -> None:
    """The index tells sizes and sha256 without a download."""
    fetcher = Fetcher((), False, Path("unused"))
    pinned = [source for source in LOCK if source.ways[0].kind == "pypi"]
    answers = [fetcher.probe(source, source.ways[0], False) for source in pinned]
    if not any(answer.reached for answer in answers):
        pytest.fail(answers[0].why)
    told = {s.name: (a.size, a.sha256) for s, a in zip(pinned, answers, strict=True) if a.reached}
    assert told == {s.name: (s.size, s.sha256) for s in pinned if s.name in told}
