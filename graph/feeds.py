"""What installers read to find archives: uv's list of downloads, and the feed of the Python install manager (PEP 773)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from graph.errors import UsageError
from graph.target import Cell, Target

UV_OS = {"linux": "linux", "macos": "darwin", "windows": "windows"}
UV_ARCH = {"ppc64le": "powerpc64le"}
"""Architectures that uv calls otherwise."""
UV_VARIANTS = ("freethreaded", "debug")
"""Options that make another variant of a Python; of those that differ in others uv knows one."""
SCHEMES = ("http", "https", "file")
EXAMPLE = "--url https://downloads.example.org/20261123/"


@dataclass(frozen=True, slots=True)
class Published:
    """An archive of a cell, as it lies below the base address."""

    cell: Cell
    name: str
    release: str
    """The date in its name, e.g. 20261123."""
    sha256: str
    url: str


def address(base: str, name: str) -> str:
    """Of a file below the base address. Raises UsageError unless that is absolute: uv reads no other."""
    parts = urlsplit(base)
    if parts.scheme not in SCHEMES or not (parts.netloc or parts.scheme == "file") or parts.query or parts.fragment:
        raise UsageError(f"{base!r} is no address that files can lie below", place="--url", hint=f"e.g. {EXAMPLE}")
    return f"{base.rstrip('/')}/{quote(name)}"


def uv_downloads(archives: Iterable[Published]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """What UV_PYTHON_DOWNLOADS_JSON_URL leads to, by uv's key; and what it has no place for: file name -> the one that has its key.

    The first of equals is taken: best options come first. What is merged of slices stands for each that has no archive of its own.
    """
    found: dict[str, dict[str, Any]] = {}
    left_out: dict[str, str] = {}
    names: dict[str, str] = {}
    for archive in sorted(archives, key=lambda one: bool(one.cell.target.slices)):
        entries = dict(_uv_entries(archive))
        new = {key: entry for key, entry in entries.items() if key not in found}
        found |= new
        names |= dict.fromkeys(new, archive.name)
        if not new:
            left_out[archive.name] = names[next(iter(entries))]
    return found, left_out


def _uv_entries(archive: Published) -> Iterator[tuple[str, dict[str, Any]]]:
    cell = archive.cell
    major, minor, patch = map(int, cell.version.split("."))
    variant = "+".join(name for name in UV_VARIANTS if name in cell.options)
    for target in cell.target.compiled:
        family, level = UV_ARCH.get(target.arch, target.arch), _level(target)
        libc = target.multiarch.rpartition("-")[2] if target.os == "linux" else "none"
        entry = {
            **{"name": "cpython", "arch": {"family": family, "variant": level}, "os": UV_OS[target.os], "libc": libc},
            **{"major": major, "minor": minor, "patch": patch, "prerelease": "", "variant": variant or None},
            **{"build": archive.release, "sha256": archive.sha256, "url": archive.url},
        }
        arch = f"{family}_{level}" if level else family
        version = f"{cell.version}+{variant}" if variant else cell.version
        yield f"cpython-{version}-{entry['os']}-{arch}-{libc}", entry


def _level(target: Target) -> str | None:
    """Of the x86-64 psABI, e.g. v3."""
    return next((flag.rpartition("-")[2] for flag in target.cpu_flags if flag.startswith("-march=x86-64-v")), None)


def manager_feed(installs: Iterable[tuple[Published, Mapping[str, Any]]]) -> dict[str, Any]:
    """index.json of the Python install manager: of each ZIP, what its own __install__.json says, and where it lies; the newest first.

    Of two with one id and version the first is taken. Raises UsageError where a file says itself what only an index can.
    """
    entries: dict[tuple[str, str], dict[str, Any]] = {}
    for archive, install in installs:
        stray = sorted({"url", "hash", "prefix"} & set(install))
        if stray:
            what = f"its __install__.json has {', '.join(stray)}, which an index says"
            raise UsageError(what, place=archive.name, hint=f"doit zip:{archive.cell}")
        entry = {**install, "url": archive.url, "hash": {"sha256": archive.sha256}}
        entries.setdefault((install["id"], install["sort-version"]), entry)
    return {"versions": sorted(entries.values(), key=lambda entry: _numbers(entry["sort-version"]), reverse=True)}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
