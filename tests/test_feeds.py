"""Feeds for installers: uv's list and the install manager's index, from the platform table and from archives in dist/."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from graph.errors import FreestandingError, UnpackError, UsageError
from graph.feeds import Published, address, manager_feed, uv_downloads
from graph.groups import installer
from graph.index import write_feeds
from graph.matrix import parse_cell
from graph.session import Session
from graph.target import Cell
from tests.test_steps import load

ROOT = Path(__file__).resolve().parent.parent
MATRIX = Session(ROOT, {}).matrix
BASE = "https://downloads.example.org/20261123"
WINDOWS = "x86_64-pc-windows-gnu"
VERSION = MATRIX.versions[0]
LINUX = "x86_64-unknown-linux-gnu"

ONE_TEXT: dict[str, Any] = {"tag": str, "target": str}
SCHEMA: dict[str, Any] = {
    **{"schema": 1, "id": str, "sort-version": str, "company": str, "tag": str, "install-for": [str]},
    **{"run-for": [{**ONE_TEXT, "args": [str], "windowed": int}], "alias": [{"name": str, "target": str, "windowed": int}]},
    **{"shortcuts": [{"kind": str, "...": object}], "display-name": str, "executable": str, "executable_args": [str]},
    **{"url": str, "hash": {"...": str}},
}
"""What PEP 773 lets an entry of schema 1 have; "..." stands for any other key. No prefix: the install manager says where that is."""
NEEDED = {"schema", "id", "sort-version", "company", "tag", "install-for", "run-for", "display-name", "executable", "url", "hash"}


def fits(value: object, due: Any) -> bool:
    """Is it of this form."""
    if isinstance(due, type):
        return isinstance(value, due)
    if isinstance(due, list):
        return isinstance(value, list) and all(fits(one, due[0]) for one in value)
    if isinstance(due, dict):
        rest = due.get("...")
        known = isinstance(value, dict) and all(key in due or rest for key in value)
        return known and all(fits(one, due.get(key, rest)) for key, one in value.items())  # type: ignore[attr-defined]
    return bool(value == due)


def archive(text: str) -> Published:
    cell = parse_cell(text, MATRIX)
    name = f"{cell.target}-{'+'.join(cell.options)}.tar.gz"
    return Published(cell, name, "20261123", hashlib.sha256(name.encode()).hexdigest(), address(BASE, name))


def described(version: str = VERSION) -> dict[str, Any]:
    found: dict[str, Any] = load("install_json").describe(version, "x86_64", "", ["python.exe", "pythonw.exe"])
    return found


@pytest.mark.parametrize(
    ("text", "key", "arch", "variant"),
    [
        (LINUX, "cpython-{}-linux-x86_64-gnu", ("x86_64", None), None),
        ("x86_64_v3-unknown-linux-musl", "cpython-{}-linux-x86_64_v3-musl", ("x86_64", "v3"), None),
        ("ppc64le-unknown-linux-gnu", "cpython-{}-linux-powerpc64le-gnu", ("powerpc64le", None), None),
        ("armv7-unknown-linux-gnueabihf", "cpython-{}-linux-armv7-gnueabihf", ("armv7", None), None),
        ("armv7-unknown-linux-gnueabi", "cpython-{}-linux-armv7-gnueabi", ("armv7", None), None),
        ("aarch64-apple-darwin", "cpython-{}-darwin-aarch64-none", ("aarch64", None), None),
        (WINDOWS, "cpython-{}-windows-x86_64-none", ("x86_64", None), None),
        ("aarch64-pc-windows-gnu", "cpython-{}-windows-aarch64-none", ("aarch64", None), None),
        (f"{LINUX}::freethreaded+lto", "cpython-{}+freethreaded-linux-x86_64-gnu", ("x86_64", None), "freethreaded"),
        (f"{LINUX}::debug", "cpython-{}+debug-linux-x86_64-gnu", ("x86_64", None), "debug"),
    ],
)
def test_an_entry_of_uv(text: str, key: str, arch: tuple[str, str | None], variant: str | None) -> None:
    one = archive(text)
    found, left_out = uv_downloads([one])
    [(name, entry)] = found.items()
    assert (name, left_out) == (key.format(VERSION), {})
    assert entry["arch"] == {"family": arch[0], "variant": arch[1]}
    assert (entry["variant"], entry["build"], entry["sha256"], entry["url"]) == (variant, "20261123", one.sha256, one.url)
    assert [entry[part] for part in ("major", "minor", "patch")] == [int(part) for part in VERSION.split(".")]
    assert name.endswith(f"-{entry['os']}-{'_'.join(filter(None, arch))}-{entry['libc']}")


def test_of_what_uv_cannot_tell_apart_the_best_is_taken() -> None:
    cells = [cell for cell in MATRIX.cells() if str(cell.target) == "x86_64-unknown-linux-musl" and cell.version == VERSION]
    archives = [archive(str(cell)) for cell in cells]
    found, left_out = uv_downloads(archives)
    plain = [one for one in archives if not {"debug", "freethreaded"} & set(one.cell.options)]
    assert found[f"cpython-{VERSION}-linux-x86_64-musl"]["url"] == plain[0].url
    assert len(plain) > 1 and {one.name for one in plain[1:]} <= set(left_out)
    assert {*left_out.values()} <= {one.name for one in archives}
    assert len(found) + len(left_out) == len(archives)


def test_a_universal_archive_stands_in_for_what_is_not_there() -> None:
    both, intel = archive("universal2-apple-darwin"), archive("x86_64-apple-darwin")
    found, left_out = uv_downloads([both, intel])
    urls = {name.split("-")[3]: entry["url"] for name, entry in found.items()}
    assert urls == {"x86_64": intel.url, "aarch64": both.url}
    assert left_out == {}
    found, left_out = uv_downloads([both, intel, archive("aarch64-apple-darwin")])
    assert len(found) == 2 and [*left_out] == [both.name]


def test_every_cell_of_the_table_has_a_place() -> None:
    found, _ = uv_downloads(archive(str(cell)) for cell in MATRIX.cells())
    triples = {(entry["os"], entry["arch"]["family"], entry["arch"]["variant"], entry["libc"]) for entry in found.values()}
    merged = [target for target in MATRIX.offered if target.slices]
    assert len(triples) == len(MATRIX.offered) - len(merged)
    assert all(re.fullmatch(r"cpython-3\.\d+\.\d+(\+[a-z+]+)?-[a-z]+-\w+-[a-z]+", name) for name in found)


def test_the_address_of_an_archive() -> None:
    assert address(f"{BASE}/", "cpython-3.13.15+2026-x.tar.gz") == f"{BASE}/cpython-3.13.15%2B2026-x.tar.gz"
    assert address("file:///a%20b", "x") == "file:///a%20b/x"
    for base in ("", "dist", "/dist", "ftp://example.org/x", "https://", f"{BASE}?x=1", f"{BASE}#x"):
        with pytest.raises(UsageError, match="--url") as refused:
            address(base, "x")
        assert refused.value.hint.startswith("e.g. --url https://")


def test_an_entry_of_the_install_manager_is_what_the_zip_says_and_where_it_lies() -> None:
    one = archive(WINDOWS)
    [entry] = manager_feed([(one, described())])["versions"]
    assert fits(entry, SCHEMA) and set(entry) >= NEEDED
    assert entry == {**described(), "url": one.url, "hash": {"sha256": one.sha256}}
    assert re.fullmatch(r"[0-9a-f]{64}", entry["hash"]["sha256"])
    # the tag must be one of those that it is installed and run for
    assert entry["tag"] in entry["install-for"] and entry["tag"] in {run["tag"] for run in entry["run-for"]}


@pytest.mark.parametrize(
    "spoiled",
    [{"schema": 2}, {"prefix": "x"}, {"displayName": "x"}, {"tag": 3}, {"run-for": [{"tag": "x", "exe": "y"}]}, {"hash": {"md5": 1}}],
)
def test_the_schema_of_this_test_refuses(spoiled: Mapping[str, object]) -> None:
    [entry] = manager_feed([(archive(WINDOWS), described())])["versions"]
    assert not fits({**entry, **spoiled}, SCHEMA)


def test_the_newest_comes_first_and_each_once() -> None:
    one = archive(WINDOWS)
    feed = manager_feed([(one, described(version)) for version in ("3.9.9", "3.13.15", "3.13.2", "3.13.15")])
    assert [entry["sort-version"] for entry in feed["versions"]] == ["3.13.15", "3.13.2", "3.9.9"]
    with pytest.raises(UsageError, match="has url, which an index says"):
        manager_feed([(one, {**described(), "url": "x"})])


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """A checkout with the real tables and recipes, and a dist/ of its own."""
    for name in ("sources.lock", "toolchains", "patches", "graph", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "dist").mkdir()
    return Session(tmp_path, {})


def fill(session: Session, *ends: str) -> None:
    """Archives in its dist/."""
    for end in ends:
        (session.root / f"dist/cpython-{VERSION}+{session.lock.release}-{end}").write_bytes(end.encode())


def zipped(session: Session, install: Mapping[str, object] | None) -> Path:
    path = session.root / f"dist/cpython-{VERSION}+{session.lock.release}-{WINDOWS}-install_only_stripped.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("python.exe", b"MZ")
        if install is not None:
            packed.writestr("__install__.json", json.dumps(install))
    return path


def test_feeds_of_what_lies_in_dist(session: Session) -> None:
    fill(session, f"{LINUX}-install_only.tar.gz", f"{LINUX}-install_only_stripped.tar.gz", f"{WINDOWS}-install_only.tar.gz")
    packed = zipped(session, described())
    out = session.root / "published"
    told = list(write_feeds(session, [], BASE, "install_only", out))
    assert told == [f"{out}/uv-downloads.json: 2 entries", f"{out}/index.json: 1 entries"]
    downloads = json.loads((out / "uv-downloads.json").read_text())
    assert {entry["os"] for entry in downloads.values()} == {"linux", "windows"}
    [linux] = (entry for entry in downloads.values() if entry["os"] == "linux")
    assert linux["sha256"] == hashlib.sha256(f"{LINUX}-install_only.tar.gz".encode()).hexdigest()
    assert linux["url"] == f"{BASE}/cpython-{VERSION}%2B{session.lock.release}-{LINUX}-install_only.tar.gz"
    [entry] = json.loads((out / "index.json").read_text())["versions"]
    assert entry["hash"]["sha256"] == hashlib.sha256(packed.read_bytes()).hexdigest()
    assert entry["url"] == f"{BASE}/{packed.name.replace('+', '%2B')}"
    stripped = list(write_feeds(session, [], BASE, "install_only_stripped", out))
    assert stripped == [f"{out}/uv-downloads.json: 1 entries"]


def test_feeds_of_named_distributions(session: Session) -> None:
    fill(session, f"{LINUX}-install_only.tar.gz", "x86_64-unknown-linux-musl-install_only.tar.gz")
    [told] = write_feeds(session, ["dist:x86_64-unknown-linux-musl"], BASE, "install_only", session.root / "dist")
    assert told.endswith("uv-downloads.json: 1 entries")
    assert [*json.loads((session.root / "dist/uv-downloads.json").read_text())] == [f"cpython-{VERSION}-linux-x86_64-musl"]


@pytest.mark.parametrize(
    ("names", "flavour", "present", "message", "hint"),
    [
        ([], "install_only", (), "no archive of a distribution lies in dist/", f"doit dist:{LINUX}"),
        ([], "full", (), "unknown flavour 'full'", "known: install_only, install_only_stripped"),
        ([f"dist:{LINUX}"], "install_only", (), "is not there", f"doit dist:{LINUX}:{VERSION}:lto"),
        ([f"dist:{LINUX}:toolchain"], "install_only", (), "an add-on has no Python", "doit index --url URL dist:TARGET"),
        ([f"zip:{WINDOWS}"], "install_only", (), "is no distribution", "doit index --url URL dist:TARGET"),
        ([f"dist:{WINDOWS}"], "install_only", (f"{WINDOWS}-install_only.tar.gz",), "its ZIP", f"doit zip:{WINDOWS}:{VERSION}:lto"),
    ],
)
def test_what_cannot_be_listed(session: Session, names: list[str], flavour: str, present: tuple[str, ...], message: str, hint: str) -> None:
    fill(session, *present)
    with pytest.raises(UsageError, match=message) as refused:
        list(write_feeds(session, names, BASE, flavour, session.root / "dist"))
    assert refused.value.hint == hint
    assert not [*(session.root / "dist").glob("*.json")]


def test_a_zip_that_is_not_there_and_not_named_is_left_out(session: Session) -> None:
    fill(session, f"{LINUX}-install_only.tar.gz", f"{WINDOWS}-install_only.tar.gz")
    told = list(write_feeds(session, [], BASE, "install_only", session.root / "dist"))
    assert told[0].endswith("uv-downloads.json: 2 entries") and told[1].endswith(f"it is not there (doit zip:{WINDOWS}:{VERSION}:lto)")
    assert len(told) == 2 and not (session.root / "dist/index.json").exists()


@pytest.mark.parametrize("broken", ["no json", "no file", "no zip"])
def test_a_zip_that_says_nothing(session: Session, broken: str) -> None:
    fill(session, f"{WINDOWS}-install_only.tar.gz")
    path = zipped(session, None)
    if broken == "no zip":
        path.write_bytes(b"PK")
    elif broken == "no json":
        with zipfile.ZipFile(path, "a") as packed:
            packed.writestr("__install__.json", "{")
    with pytest.raises(UnpackError, match=r"has no __install__\.json that can be read"):
        list(write_feeds(session, [], BASE, "install_only", session.root / "dist"))


def test_a_folder_that_cannot_be_written(session: Session) -> None:
    fill(session, f"{LINUX}-install_only.tar.gz")
    (session.root / "file").write_text("")
    with pytest.raises(FreestandingError, match="cannot write") as refused:
        list(write_feeds(session, [], BASE, "install_only", session.root / "file"))
    assert refused.value.hint == "name another --output"


def test_short_names_of_installers(session: Session) -> None:
    default = MATRIX.default(MATRIX.targets[WINDOWS])
    for kind in ("zip", "msi"):
        assert session.groups[f"{kind}:{WINDOWS}"] == (f"{kind}:{default}",)
        assert session.resolve([f"{kind}:{WINDOWS}:{default.minor}"]) == (f"{kind}:{default}",)
    assert isinstance(default, Cell)


@pytest.mark.parametrize("kind", ["zip", "msi"])
def test_what_has_no_installer_is_told_who_has_one(session: Session, kind: str) -> None:
    for typed, what, nearest in (
        (f"{kind}:{LINUX}", f"there is no {kind} for {LINUX}, only for Windows", WINDOWS),
        (f"{kind}:aarch64-apple-darwin", f"there is no {kind} for aarch64-apple-darwin, only", "aarch64-pc-windows-gnu"),
        (f"{kind}:s390x-unknown-linux-gnu", f"there is no {kind} for s390x", WINDOWS),
        (kind, f"{kind} names no target: {kind}:TRIPLE", WINDOWS),
        (f"{kind}:", f"{kind} names no target: {kind}:TRIPLE", WINDOWS),
    ):
        with pytest.raises(UsageError, match=re.escape(what)) as refused:
            session.resolve([typed])
        assert refused.value.hint == f"doit {kind}:{nearest}"
    # on a Mac
    with pytest.raises(UsageError, match="only for Windows") as refused:
        installer(f"{kind}:aarch64-apple-darwin", replace(MATRIX, only="macos"))
    assert refused.value.hint == "doit list shows what can be built here"
