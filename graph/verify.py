"""Building nodes a second time and comparing what they give."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from graph.build import Build
from graph.digest import Digest
from graph.errors import FetchError, UsageError, did_you_mean
from graph.node import Fetch
from graph.plan import Plan
from graph.store import StoreProtocol
from graph.web import Failed, Place, Timeouts, Web

LIMIT = 2 * 1024**3
"""Bytes of a published archive."""


@dataclass(frozen=True, slots=True)
class Report:
    """What the second build of one node gave."""

    node: str
    first: Digest
    second: Digest
    differing: tuple[str, ...]
    """Paths that are in one tree only, or differ."""

    @property
    def same(self) -> bool:
        return self.first == self.second

    def __str__(self) -> str:
        if self.same:
            return f"same {self.node} {self.first.hash}"
        return "\n".join([f"DIFFERS {self.node} {self.first.hash} {self.second.hash}", *("  " + path for path in self.differing)])


def verify_nodes(plan: Plan, build: Build, store: StoreProtocol, names: Sequence[str], jobs: int) -> tuple[Report, ...]:
    """Execute each realised node again, in parallel. A fetch is left out: its bytes are its sha256."""
    chosen = [name for name in names if not isinstance(plan[name].action, Fetch)]

    def verify(name: str) -> Report:
        first = build.result(name).tree
        second = build.execute(name).tree
        return Report(name, first, second, () if first == second else _differing(store, first, second))

    with ThreadPoolExecutor(jobs + 2) as pool:
        try:
            return tuple(pool.map(verify, chosen))
        except BaseException:
            # the pool waits for its threads: they must hear of it first
            build.stop()
            raise


def _differing(store: StoreProtocol, first: Digest, second: Digest) -> tuple[str, ...]:
    one, two = (({entry.path: entry for entry in store.tree(tree)}) for tree in (first, second))
    return tuple(sorted(path for path in one.keys() | two.keys() if one.get(path) != two.get(path)))


def file_name(published: str) -> str:
    """Of the archive at an URL or path."""
    return unquote(urlsplit(published).path if "://" in published else published).rpartition("/")[2]


def twin(published: str, ours: Sequence[Path]) -> Path:
    """Of our archives the one that the published one (an URL or path) is to equal. Raises UsageError when its name is none of theirs."""
    name = file_name(published)
    found = next((path for path in ours if path.name == name), None)
    if found is None:
        raise UsageError(f"{name} is no archive of this distribution", hint=did_you_mean(name, [path.name for path in ours]))
    return found


def obtain(published: str, folder: Path, web: Web | None = None) -> Path:
    """The published archive as a file: a path, or what is downloaded into `folder`. Raises UsageError, FetchError."""
    scheme = published.partition("://")[0] if "://" in published else ""
    if scheme in ("http", "https"):
        return _download(published, folder / file_name(published), web or Web(Timeouts()))
    path = Path(unquote(urlsplit(published).path) if scheme == "file" else published).expanduser()
    if scheme not in ("", "file") or not path.is_file():
        raise UsageError(f"there is no file {published}", hint="--against takes a path, or an http, https or file URL")
    return path


def _download(url: str, path: Path, web: Web) -> Path:
    try:
        with path.open("wb") as file:

            def keep(chunk: bytes) -> None:
                if file.tell() + len(chunk) > LIMIT:
                    raise Failed("wrong", f"has more than {LIMIT} bytes")
                file.write(chunk)

            web.measure(Place(url), keep)
    except Failed as failed:
        raise FetchError(failed.why, place=url, hint="try the address in a browser, or give the path of a downloaded archive") from None
    return path
