"""What an archive, an index or a server says about a file: pure readings of their texts, for fetch and relock."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from graph.lock import Way

INDEX_TYPES = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
"""Accept header of the Simple Repository API (PEP 691), JSON preferred: it tells sizes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one way says about its file."""

    way: Way
    why: str = ""
    """Why nothing came; empty when the way answered."""
    size: int | None = None
    """Bytes; None when the answer does not tell."""
    sha256: str = ""
    """Empty when only the size was asked for."""

    @property
    def reached(self) -> bool:
        return not self.why


@dataclass(frozen=True, slots=True)
class IndexFile:
    """A file of a package index: its address, and what the index says of it (None and empty where it says nothing)."""

    url: str
    size: int | None
    sha256: str


def pool_paths(package: str, filename: str) -> tuple[str, str]:
    """Where a source package's file lies below an archive's base: in the main archive, and in the security archive."""
    prefix = package[:4] if package.startswith("lib") else package[:1]
    path = f"main/{prefix}/{package}/{filename}"
    return f"pool/{path}", f"pool/updates/{path}"


def archive_bases(listing: str) -> tuple[str, ...]:
    """Base addresses of the archives in the output of `apt-get update --print-uris`: what stands before /dists/, http(s) only, in order."""
    bases: dict[str, None] = {}
    for line in listing.splitlines():
        address = line.partition(" ")[0].strip("'")
        base, dists, _ = address.partition("/dists/")
        if dists and base.startswith(("http://", "https://")):
            bases[base + "/"] = None
    return tuple(bases)


def find_in_index(page: str, content_type: str, address: str, filename: str) -> IndexFile | None:
    """The file of that name on a project's page of a package index (PEP 503 HTML, PEP 691 JSON). Raises ValueError on other pages."""
    if "json" in content_type:
        return _find_in_json(page, address, filename)
    if "html" in content_type:
        return next((file for name, file in _anchors(page, address) if name == filename), None)
    raise ValueError(f"the index answers with {content_type or 'no content type'}")


def seconds_to_wait(header: str, now: float) -> float:
    """Value of a Retry-After header in seconds (RFC 9110 10.2.3: a number or a date); 0 where it makes no sense."""
    if header.isdecimal():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now)
    except (TypeError, ValueError):
        return 0.0


def shown(url: str) -> str:
    """An address without the user and password that an index setting may hold."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _find_in_json(page: str, address: str, filename: str) -> IndexFile | None:
    try:
        for file in json.loads(page)["files"]:
            if file["filename"] == filename:
                size = file.get("size")
                return IndexFile(urljoin(address, file["url"]), None if size is None else int(size), str(file["hashes"].get("sha256", "")))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the index's JSON is not a project page: {error!r}") from None
    return None


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for name, value in attrs if tag == "a" and name == "href" and value]


def _anchors(page: str, address: str) -> Iterator[tuple[str, IndexFile]]:
    parser = _Links()
    parser.feed(page)
    for link in parser.links:
        url, _, fragment = urljoin(address, link).partition("#")
        yield (
            unquote(urlsplit(url).path.rpartition("/")[2]),
            IndexFile(url, None, fragment.removeprefix("sha256=") if "sha256=" in fragment else ""),
        )


def range_start(header: str) -> int:
    """First position in a Content-Range header (`bytes START-END/ALL`); -1 where it tells none."""
    unit, _, rest = header.partition(" ")
    start = rest.partition("-")[0]
    return int(start) if unit == "bytes" and start.isdecimal() else -1
