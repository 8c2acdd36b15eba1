"""What archives, indexes and headers say; and the ways that ask this machine's apt and pip, here set up for a server on the loopback."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path

import pytest

from graph import fetch
from graph.errors import FetchError
from graph.fetch import Fetcher
from graph.lock import Source, Way
from graph.ways import Answer, IndexFile, archive_bases, find_in_index, pool_paths, range_start, seconds_to_wait, shown
from tests.fetch_server import Server, ranged, status, whole

BODY = b"the bytes" * 1000
SHA = hashlib.sha256(BODY).hexdigest()
JSON = "application/vnd.pypi.simple.v1+json"


@pytest.mark.parametrize(("package", "prefix"), [("openssl", "o"), ("libffi", "libf"), ("lib", "lib"), ("db5.3", "d")])
def test_pool_paths(package: str, prefix: str) -> None:
    assert pool_paths(package, "f.tar") == (f"pool/main/{prefix}/{package}/f.tar", f"pool/updates/main/{prefix}/{package}/f.tar")


def test_archive_bases() -> None:
    listing = """\
'http://one.example/debian/dists/x/InRelease' one_x 0
'http://one.example/debian/dists/y/InRelease' one_y 0
'https://two.example/security/dists/x/main/Packages.xz' two 0 SHA256:00
'file:/srv/debian/dists/x/InRelease' three 0
Reading package lists...
"""
    assert archive_bases(listing) == ("http://one.example/debian/", "https://two.example/security/")


PAGE = "https://index.example/simple/a/"


def test_index_as_json() -> None:
    files = [
        {"filename": "a-1.whl", "url": "../../files/a-1.whl", "hashes": {"sha256": "5" * 64}, "size": 7},
        {"filename": "a-2.whl", "url": "https://files.example/a-2.whl", "hashes": {}},
    ]
    page = json.dumps({"files": files})
    assert find_in_index(page, JSON, PAGE, "a-1.whl") == IndexFile("https://index.example/files/a-1.whl", 7, "5" * 64)
    assert find_in_index(page, JSON, PAGE, "a-2.whl") == IndexFile("https://files.example/a-2.whl", None, "")
    assert find_in_index(page, JSON, PAGE, "a-3.whl") is None


def test_index_as_html() -> None:
    page = f'<p href="x"><a name="x">x</a><a href="/f/a%2B1.whl#sha256={"5" * 64}">a+1.whl</a><a class=q href="../b-1.whl">b</a>'
    assert find_in_index(page, "text/html; charset=utf-8", PAGE, "a+1.whl") == IndexFile(
        "https://index.example/f/a%2B1.whl", None, "5" * 64
    )
    assert find_in_index(page, "text/html", PAGE, "b-1.whl") == IndexFile("https://index.example/simple/b-1.whl", None, "")
    assert find_in_index(page, "text/html", PAGE, "c.whl") is None


@pytest.mark.parametrize(
    ("page", "kind"), [("{", JSON), ("[]", JSON), ('{"files": [{}]}', JSON), ('{"files": 3}', JSON), ("", "image/png"), ("", "")]
)
def test_index_pages_that_are_none(page: str, kind: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        find_in_index(page, kind, PAGE, "a-1.whl")


def test_seconds_to_wait() -> None:
    now = 1_000_000_000.0
    assert [
        seconds_to_wait(header, now)
        for header in ("12", "", "soon", "-3", formatdate(now + 90, usegmt=True), formatdate(now - 90, usegmt=True))
    ] == [12, 0, 0, 0, 90, 0]


def test_range_start() -> None:
    assert [range_start(header) for header in ("bytes 5-9/10", "bytes */10", "", "lines 5-9/10")] == [5, -1, -1, -1]


def test_shown_hides_the_password() -> None:
    assert shown("https://user:secret@index.example:8/simple/?a=b") == "https://index.example:8/simple/?a=b"
    assert shown("https://index.example/") == "https://index.example/"


def test_answer_is_reached_unless_it_tells_why_not() -> None:
    assert Answer(Way("url"), size=3).reached
    assert not Answer(Way("url"), why="HTTP 404").reached


@pytest.fixture
def fetcher(tmp_path: Path) -> Fetcher:
    return Fetcher((tmp_path / "mirror",), False, tmp_path / "downloads", sleep=lambda seconds: None)


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def apt(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An apt-get set up for two archives, with its options written down."""
    lines = "\n".join(f"echo \"'{server.base}/{name}/dists/x/InRelease' f 0\"" for name in ("debian", "security"))
    program(tmp_path / "bin", "apt-get", f'echo "$@" >> {tmp_path}/asked\n{lines}')
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")


DEBIAN = Way("debian", package="libffi", version="1-1", filename="f.tar")
PYPI = Way("pypi", package="a", version="1", filename="a-1.whl")


def source(*ways: Way, filename: str = "f.tar") -> Source:
    return Source("s", "1", filename, SHA, len(BODY), "MIT", ways)


def test_debian_way_asks_each_archive_of_the_machine(apt: None, server: Server, fetcher: Fetcher, tmp_path: Path) -> None:
    server.url("/security/pool/updates/main/libf/libffi/f.tar", ranged(BODY))
    for _ in range(2):
        fetcher.fetch(source(DEBIAN), tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == BODY
    pools = [f"/{base}/{pool}/main/libf/libffi/f.tar" for base in ("debian", "security") for pool in ("pool", "pool/updates")]
    assert server.paths() == pools * 2
    [asked] = (tmp_path / "asked").read_text().splitlines()
    assert asked.startswith("update --print-uris")
    assert f"Dir::State::lists={tmp_path}/downloads/apt-lists" in asked


def test_debian_way_names_each_address_that_failed(apt: None, server: Server, fetcher: Fetcher, tmp_path: Path) -> None:
    with pytest.raises(FetchError) as caught:
        fetcher.fetch(source(DEBIAN), tmp_path / "out")
    assert f"debian libffi 1-1: {server.base}/security/pool/main/libf/libffi/f.tar: HTTP 404" in caught.value.what


@pytest.mark.parametrize(("apt_get", "why"), [(None, "no apt-get"), ("exit 3", "apt-get failed"), ("echo none", "no http(s) archive")])
def test_debian_way_on_a_machine_without(
    apt_get: str | None, why: str, server: Server, fetcher: Fetcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    if apt_get:
        program(tmp_path / "bin", "apt-get", apt_get)
    fetcher.fetch(source(DEBIAN, Way("url", url=server.url("/a", whole(BODY)))), tmp_path / "out")
    answer = fetcher.probe(source(DEBIAN), DEBIAN, False)
    assert why in answer.why
    assert "not available here" in answer.why


def index_page(size: int | None = len(BODY)) -> Callable[..., None]:
    file = {"filename": "a-1.whl", "url": "/files/a-1.whl", "hashes": {"sha256": SHA}} | ({} if size is None else {"size": size})
    return status(200, json.dumps({"files": [file]}).encode(), Content_Type=JSON)


@pytest.fixture
def pip(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip set up for two indexes (its output; that pip really tells so is tested below)."""
    told = json.dumps({"indexes": [f"{server.base}/empty/", f"{server.base}/simple"], "cert": None})
    monkeypatch.setattr(fetch, "_pip_settings", lambda: told)
    server.url("/empty/a/", status(200, b'{"files": []}', Content_Type=JSON))


def test_pypi_way_asks_each_index(pip: None, server: Server, fetcher: Fetcher, tmp_path: Path) -> None:
    server.url("/simple/a/", index_page())
    server.url("/files/a-1.whl", ranged(BODY))
    fetcher.fetch(source(PYPI), tmp_path / "out")
    fetcher.fetch(source(PYPI), tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == BODY
    # a page is read once: twelve wheels of one project lie on one page
    assert server.paths() == ["/empty/a/", "/simple/a/", "/files/a-1.whl", "/files/a-1.whl"]


@pytest.mark.parametrize(
    ("page", "why"),
    [
        (status(404), "HTTP 404"),
        (status(200, b'{"files": []}', Content_Type=JSON), "the index has no a-1.whl"),
        (whole(b"?"), "no content type"),
    ],
)
def test_pypi_way_without_the_file(
    page: Callable[..., None], why: str, pip: None, server: Server, fetcher: Fetcher, tmp_path: Path
) -> None:
    server.url("/simple/a/", page)
    with pytest.raises(FetchError) as caught:
        fetcher.fetch(source(PYPI), tmp_path / "out")
    assert f"pypi a 1: {why}" in caught.value.what or why in caught.value.what


def test_pip_tells_its_index(server: Server, fetcher: Fetcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real pip of this interpreter, set up by environment as a user might."""
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.base}/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_CERT", "/some/bundle.pem")
    told = json.loads(fetch._pip_settings())
    assert (told["indexes"], told["cert"]) == ([f"{server.base}/simple"], "/some/bundle.pem")


def test_no_pip_anywhere(server: Server, fetcher: Fetcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "bin", "python3", "echo no module named pip >&2; exit 1")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python3"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert fetcher.probe(source(PYPI), PYPI, False).why == "not available here: no pip"


def test_probe_of_an_address(server: Server, fetcher: Fetcher) -> None:
    way = Way("url", url=server.url("/a", whole(BODY)))
    assert fetcher.probe(source(way), way, False) == Answer(way, size=len(BODY))
    assert fetcher.probe(source(way), way, True) == Answer(way, size=len(BODY), sha256=SHA)
    assert [method for method, _, _ in server.seen] == ["HEAD", "GET"]


def test_probe_of_what_tells_no_size_is_gone_or_breaks_off(server: Server, fetcher: Fetcher) -> None:
    ways = [
        Way("url", url=server.url("/untold", whole(BODY, Content_Length=""))),
        Way("url", url=server.url("/gone", status(410))),
        Way("url", url=server.url("/short", whole(BODY, Content_Length=str(len(BODY) + 1)))),
    ]
    assert fetcher.probe(source(), ways[0], False) == Answer(ways[0])
    assert fetcher.probe(source(), ways[1], False) == Answer(ways[1], why="HTTP 410")
    assert not fetcher.probe(source(), ways[2], True).reached


def test_probe_of_the_index_needs_no_download(pip: None, server: Server, fetcher: Fetcher) -> None:
    server.url("/simple/a/", index_page())
    server.url("/files/a-1.whl", ranged(BODY))
    assert fetcher.probe(source(PYPI), PYPI, False) == Answer(PYPI, size=len(BODY), sha256=SHA)
    assert "/files/a-1.whl" not in server.paths()
    assert fetcher.probe(source(PYPI), PYPI, True) == Answer(PYPI, size=len(BODY), sha256=SHA)
    assert "/files/a-1.whl" in server.paths()


def test_probe_of_a_mirror(fetcher: Fetcher, tmp_path: Path) -> None:
    assert fetcher.mirror_ways(source()) == ()
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "f.tar").write_bytes(BODY)
    [way] = fetcher.mirror_ways(source())
    assert fetcher.probe(source(), way, False) == Answer(way, size=len(BODY))
    assert fetcher.probe(source(), way, True) == Answer(way, size=len(BODY), sha256=SHA)
    (tmp_path / "mirror" / "f.tar").unlink()
    assert "No such file" in fetcher.probe(source(), way, False).why
