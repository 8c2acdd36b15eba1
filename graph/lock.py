"""sources.lock: every source pinned by sha256 and size, with its licence and every way to get its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Way:
    """One way to get an artefact's bytes: url, debian, pypi or mirror."""

    kind: str
    """url | debian | pypi (a mirror folder needs no entry: it is tried for every source by file name)."""
    url: str = ""
    """kind url: the full address upstream."""
    package: str = ""
    """kind debian: source package name; kind pypi: project name."""
    version: str = ""
    """kind debian: full Debian version; kind pypi: release."""
    filename: str = ""
    """kind debian, pypi: the file's name there."""


@dataclass(frozen=True, slots=True)
class Source:
    """One entry of sources.lock."""

    name: str
    """Table name; several versions of one package are name-version, e.g. cpython-3.13.15."""
    version: str
    filename: str
    """Name under which the bytes are kept, and sought in a mirror folder."""
    sha256: str
    size: int
    licence: str
    """SPDX expression."""
    ways: tuple[Way, ...]


@dataclass(frozen=True, slots=True)
class Lock:
    """The whole file: sources by name, and the release date that dates the archives."""

    release: str
    """YYYYMMDD, the tag in archive names."""
    epoch: int
    """SOURCE_DATE_EPOCH in seconds: midnight UTC of `release`."""
    sources: Mapping[str, Source]

    def __iter__(self) -> Iterator[Source]:
        return iter(self.sources.values())
