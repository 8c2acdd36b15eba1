"""sources.lock: every source pinned by sha256 and size, with its licence and every way to get its bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from graph import toml
from graph.errors import LockError, did_you_mean
from graph.target import Target

FORMAT = 1
VCRUNTIME = "vcruntime"
"""The source that --vcruntime brings (graph/local.py), never in the file: DLLs of Microsoft's C and C++ run time."""
HEADER = """\
# Every source: pinned by sha256 and size, its licence (SPDX, of what a distribution takes from it), every way to get its bytes.
# Kept in canonical form by `doit lock`; docs/sources.md tells how to add one. [wanted] holds what no way serves yet.
"""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to get an artefact's bytes."""

    kind: str
    """url | debian | pypi, and, never in the file, mirror: such folders are tried for every source by file name."""
    url: str = ""
    """kind url: the full address upstream; kind mirror: the folder."""
    package: str = ""
    """kind debian: source package name; kind pypi: project name."""
    version: str = ""
    """kind debian: full Debian version; kind pypi: release."""
    filename: str = ""
    """kind debian, pypi: the file's name there."""

    def __str__(self) -> str:
        if self.kind == "mirror":
            return f"mirror {self.url}/{self.filename}"
        return self.url if self.kind == "url" else f"{self.kind} {self.package} {self.version}"


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
    arch: str = ""
    """Of what the user brought: the architecture whose targets alone take it."""


@dataclass(frozen=True, slots=True)
class Lock:
    """The whole file: sources by name, and the release date that dates the archives."""

    release: str
    """YYYYMMDD, the tag in archive names."""
    epoch: int
    """SOURCE_DATE_EPOCH in seconds: midnight UTC of `release`."""
    sources: Mapping[str, Source]
    wanted: Mapping[str, Source] = field(default_factory=dict)
    """Entries whose sha256 is known from a signed index but whose bytes no way serves yet; no recipe sees them."""

    def __iter__(self) -> Iterator[Source]:
        return iter(self.sources.values())

    def vcruntime(self, target: Target) -> Source | None:
        """Microsoft's run time that --vcruntime brought, where the target's distributions hold it."""
        source = self.sources.get(VCRUNTIME)
        return source if source and (target.os, target.arch) == ("windows", source.arch) else None


def parse_lock(text: str) -> Lock:
    """The value of sources.lock. Raises LockError with `sources.lock:LINE` and the table and key that is wrong."""
    try:
        data = toml.loads(text)
    except toml.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        raise LockError(f"not TOML: {error}", place=f"sources.lock:{line}", hint="mend that line, then doit lock") from None
    top = _Table(text, (), data)
    top.only("version", "release", "sources", "wanted", optional=("sources", "wanted"))
    if top.whole("version") != FORMAT:
        raise top.error("version", f"format version {data['version']!r} is not {FORMAT}", "update the checkout: git pull")
    release = top.string("release")
    lock = Lock(release, _epoch(top, release), _sources(top, "sources"), _sources(top, "wanted"))
    _no_shared_names(top, lock)
    return lock


def dump_lock(lock: Lock) -> str:
    """Canonical text: parse_lock(dump_lock(lock)) == lock, sources sorted by name, ways in the order in which they are tried."""
    parts = [HEADER, f"version = {FORMAT}\nrelease = {_quote(lock.release)}\n"]
    for table, sources in (("sources", lock.sources), ("wanted", lock.wanted)):
        parts += [_dump_source(table, sources[name]) for name in sorted(sources)]
    return "\n".join(parts)


@dataclass(frozen=True, slots=True)
class _Table:
    """A TOML table with the text it came from, so that an error can name its line."""

    text: str
    path: tuple[str, ...]
    data: Mapping[str, object]

    def error(self, key: str, what: str, hint: str) -> LockError:
        name = ".".join(_key(part) for part in (*self.path, *([key] if key else [])))
        return LockError(f"{name or 'the file'}: {what}", place=f"sources.lock:{_line(self.text, self.path, key)}", hint=hint)

    def only(self, *keys: str, optional: tuple[str, ...] = ()) -> None:
        for key in self.data:
            if key not in keys:
                raise self.error(key, "unknown key", did_you_mean(key, keys))
        for key in keys:
            if key not in self.data and key not in optional:
                raise self.error("", f"key {key!r} is missing", f"add {key} = ... there")

    def string(self, key: str, pattern: str = r"[^\x00-\x1f\x7f]+", hint: str = 'a non-empty "string" on one line is due') -> str:
        value = self.data[key]
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise self.error(key, f"{value!r} is wrong", hint)
        return value

    def whole(self, key: str) -> int:
        value = self.data[key]
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self.error(key, f"{value!r} is wrong", "a whole number above 0 is due")
        return value


def _sources(top: _Table, key: str) -> Mapping[str, Source]:
    tables = top.data.get(key, {})
    if not isinstance(tables, dict):
        raise top.error(key, f"{tables!r} is no table", f"write [{key}.NAME]")
    found: dict[str, Source] = {}
    for name in sorted(tables):
        if not isinstance(tables[name], dict):
            raise top.error(key, f"{name} is no table", f"write [{key}.{_key(name)}] (quote a name that holds a dot)")
        found[name] = _source(_Table(top.text, (key, name), tables[name]))
    return found


def _source(table: _Table) -> Source:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._+-]*", name := table.path[-1]):
        raise table.error("", "not a source's name", "use a-z, 0-9 and . _ + - only")
    table.only("version", "filename", "sha256", "size", "licence", "ways")
    return Source(
        name=name,
        version=table.string("version"),
        filename=_filename(table),
        sha256=table.string("sha256", r"[0-9a-f]{64}", f"64 lower-case hex digits are due: doit lock {name}"),
        size=table.whole("size"),
        licence=_licence(table),
        ways=_ways(table),
    )


def _filename(table: _Table) -> str:
    return table.string("filename", r"[A-Za-z0-9_+~][A-Za-z0-9._+~-]*", "a plain file name without folders is due")


def _licence(table: _Table) -> str:
    typed = table.string("licence")
    try:
        canonical = canonicalize_license_expression(typed)
    except InvalidLicenseExpression as error:
        raise table.error("licence", str(error), "an SPDX expression is due, e.g. MIT OR Apache-2.0 (spdx.org/licenses)") from None
    if canonical != typed:
        raise table.error("licence", f"{typed!r} is not SPDX's spelling", f"write {canonical!r}")
    return typed


def _ways(table: _Table) -> tuple[Way, ...]:
    value = table.data["ways"]
    if not isinstance(value, list) or not value or not all(isinstance(way, dict) for way in value):
        raise table.error("ways", "not a list of ways", 'write ways = [{ url = "https://..." }]')
    ways: list[Way] = []
    for number, way in enumerate(value):
        parsed = _way(_Table(table.text, (*table.path, f"ways[{number}]"), way))
        if parsed in ways:
            raise table.error(f"ways[{number}]", "the same way twice", "remove one")
        ways.append(parsed)
    return tuple(ways)


def _way(table: _Table) -> Way:
    if "url" in table.data:
        table.only("url")
        return Way("url", url=table.string("url", r"https?://[^\s\x00-\x1f\x7f]+", "an http(s) address is due"))
    for kind in ("debian", "pypi"):
        if kind in table.data:
            table.only(kind, "version", "filename")
            package = table.string(kind, r"[A-Za-z0-9][A-Za-z0-9._+-]*", "a package name is due")
            return Way(kind, package=package, version=table.string("version"), filename=_filename(table))
    raise table.error("", "neither url, debian nor pypi", 'write { url = "https://..." }')


def _epoch(top: _Table, release: str) -> int:
    if re.fullmatch(r"[0-9]{8}", release):
        try:
            return int(datetime.strptime(release, "%Y%m%d").replace(tzinfo=timezone.utc).timestamp())
        except ValueError:
            pass
    raise top.error("release", f"{release!r} is no date", "YYYYMMDD is due")


def _no_shared_names(top: _Table, lock: Lock) -> None:
    """Two sources of one file name could not both lie in a mirror folder; one in both tables is a half-done move."""
    owners: dict[str, str] = {}
    for table, sources in (("sources", lock.sources), ("wanted", lock.wanted)):
        for source in sources.values():
            at = _Table(top.text, (table, source.name), {})
            if table == "wanted" and source.name in lock.sources:
                raise at.error("", "is in [sources] too", "remove it from [wanted]")
            if source.filename in owners:
                raise at.error("filename", f"{source.filename} is {owners[source.filename]}'s too", "give each source its own file name")
            owners[source.filename] = source.name


def _line(text: str, path: tuple[str, ...], key: str) -> int:
    """Number, from 1, of the line of `key` in the table `path`, or of the table; where the text is laid out oddly, of what opens it."""
    lines = text.split("\n")
    way = next((part for part in (*path, key) if part.startswith("ways[")), "")
    names = path[:2] if way or not key else (*path, key)
    start = _header_line(lines, names) or _header_line(lines, path[:2]) or 0
    end = next((n for n in range(start + 1, len(lines)) if lines[n].startswith("[")), len(lines))
    body = lines[start:end]
    if way:
        opened = [n for n, line in enumerate(body) for _ in range(line.count("{"))]
        return start + 1 + (opened[int(way[5:-1])] if int(way[5:-1]) < len(opened) else 0)
    return start + 1 + next((n for n, line in enumerate(body) if key and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line)), 0)


def _header_line(lines: list[str], names: tuple[str, ...]) -> int | None:
    """Index of the line that opens table `names` or one in it: [a."b"], spaces and either quote allowed."""
    wanted = r"\s*\.\s*".join(rf"[\"']?{re.escape(name)}[\"']?" for name in names)
    return next((n for n, line in enumerate(lines) if names and re.match(rf"\s*\[\s*{wanted}\s*[\].]", line)), None)


def _dump_source(table: str, source: Source) -> str:
    lines = [f"[{table}.{_key(source.name)}]", *(f"{key} = {_quote(getattr(source, key))}" for key in ("version", "filename", "sha256"))]
    lines += [f"size = {source.size}", f"licence = {_quote(source.licence)}", "ways = ["]
    lines += [f"  {{ {_dump_way(way)} }}," for way in source.ways]
    return "\n".join([*lines, "]\n"])


def _dump_way(way: Way) -> str:
    if way.kind == "url":
        return f"url = {_quote(way.url)}"
    return f"{way.kind} = {_quote(way.package)}, version = {_quote(way.version)}, filename = {_quote(way.filename)}"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_\[\]-]+", name) else _quote(name)


def _quote(text: str) -> str:
    """A TOML basic string. JSON's escapes are a subset of TOML's; DEL and control characters never get here (parse refuses them)."""
    return json.dumps(text, ensure_ascii=False)
