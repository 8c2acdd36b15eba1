"""doit index: feeds for installers, of the archives that lie in dist/."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from graph.disk import hash_file
from graph.errors import UnpackError, UsageError, did_you_mean
from graph.feeds import Published, address, manager_feed, uv_downloads
from graph.recipes.common import Context
from graph.recipes.distribution import archive_name
from graph.session import Session
from graph.target import Cell

UV = "uv-downloads.json"
MANAGER = "index.json"
"""Names of the feeds; the second is what the install manager looks for in a folder."""
FLAVOURS = ("install_only", "install_only_stripped")
INSTALL = "__install__.json"
"""The install manager's own file in what it unpacks."""
ZIPPED = "windows"
"""The system whose archives it installs."""


def write_feeds(session: Session, names: Sequence[str], base: str, flavour: str, folder: Path) -> Iterator[str]:
    """Write the feeds of the named distributions (of all that lie in dist/ where none is named) and tell of each. Raises UsageError."""
    if flavour not in FLAVOURS:
        raise UsageError(f"unknown flavour {flavour!r}", place="--flavour", hint=did_you_mean(flavour, FLAVOURS))
    address(base, "")
    dist = session.root / "dist"
    cells = tuple(_cells(session, names, dist, flavour))
    downloads, left_out = uv_downloads([_published(session, cell, dist, base, flavour) for cell in cells])
    windows = [cell for cell in cells if cell.target.os == ZIPPED]
    # what is named must be there
    lacking = [] if names else [cell for cell in windows if not (dist / _name(session, cell, "zip")).is_file()]
    zips = [_published(session, cell, dist, base, "zip") for cell in windows if cell not in lacking]
    yield _write(folder / UV, downloads, len(downloads))
    yield from (f"left out {_name(session, cell, 'zip')}: it is not there (doit zip:{cell})" for cell in lacking)
    yield from (f"left out {name}: uv has one place for it and {taken}" for name, taken in left_out.items())
    if zips:
        feed = manager_feed((archive, _install(dist / archive.name)) for archive in zips)
        yield _write(folder / MANAGER, feed, len(feed["versions"]))


def _cells(session: Session, names: Sequence[str], dist: Path, flavour: str) -> Iterable[Cell]:
    if names:
        for name in names:
            if not name.startswith("dist:"):
                raise UsageError(f"{name!r} is no distribution", hint="doit index --url URL dist:TARGET")
        chosen = (session.selection(name) for name in session.resolve(names))
        cells = [one for one in chosen if isinstance(one, Cell)]
        if len(cells) < len(session.resolve(names)):
            raise UsageError("an add-on has no Python that could be installed", hint="doit index --url URL dist:TARGET")
        return cells
    found = [cell for cell in session.cells if (dist / _name(session, cell, flavour)).is_file()]
    if not found:
        raise UsageError("no archive of a distribution lies in dist/", hint=f"doit {next(iter(session.groups))}")
    return found


def _name(session: Session, cell: Cell, flavour: str) -> str:
    return archive_name(Context(cell, session.host, session.lock, {}), flavour)


def _published(session: Session, cell: Cell, dist: Path, base: str, flavour: str) -> Published:
    """The cell's archive in dist/. Raises UsageError when it is not there."""
    name = _name(session, cell, flavour)
    if not (dist / name).is_file():
        what = "its ZIP, which the install manager unpacks, is not there" if flavour == "zip" else "is not there"
        raise UsageError(what, place=f"dist/{name}", hint=f"doit {'zip' if flavour == 'zip' else 'dist'}:{cell}")
    return Published(cell, name, session.lock.release, hash_file(dist / name).hash, address(base, name))


def _install(archive: Path) -> Mapping[str, Any]:
    """What a ZIP says of itself. Raises UnpackError."""
    try:
        with zipfile.ZipFile(archive) as packed:
            found: Mapping[str, Any] = json.loads(packed.read(INSTALL))
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise UnpackError(f"has no {INSTALL} that can be read: {error}", place=str(archive), hint="doit zip:TARGET") from error
    return found


def _write(path: Path, value: object, count: int) -> str:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", hint="name another --output") from None
    return f"{path}: {count} entries"
