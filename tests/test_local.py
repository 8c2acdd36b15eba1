"""`--source NAME=PATH`: a checkout or an archive in the place of a source of the lock."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from graph.digest import Digest
from graph.errors import UsageError
from graph.local import SDK_HINT, Local, cpython_version, mirror_of, parse_local, with_local
from graph.lock import Lock
from graph.matrix import Matrix
from graph.session import Session
from tests.test_vcruntime import bring, ran

ROOT = Path(__file__).resolve().parent.parent
SESSION = Session(ROOT, {})
VERSIONS = SESSION.matrix.versions


def cpython(folder: Path, version: str, **files: str) -> Path:
    numbers = zip(("MAJOR", "MINOR", "MICRO"), version.split("."), strict=True)
    (folder / "Include").mkdir(parents=True)
    (folder / "Include/patchlevel.h").write_text("".join(f"#define PY_{part}_VERSION\t\t{number}\n" for part, number in numbers))
    for name, text in files.items():
        (folder / f"{name}.c").write_text(text)
    return folder


def taken(path: Path, store: Path, name: str = "cpython") -> tuple[Lock, Matrix]:
    return with_local(SESSION.lock, SESSION.matrix, Local(name, path), store)


def members(lock: Lock, name: str, store: Path) -> dict[str, bytes]:
    with tarfile.open(store / lock.sources[name].filename) as tar:
        return {member.name: file.read() for member in tar for file in [tar.extractfile(member)] if file}


@pytest.mark.parametrize(
    ("text", "what"), [("cpython", "names no source"), ("=x", "names no source"), ("cpython=/nowhere/at/all", "does not exist")]
)
def test_what_is_typed_wrong_is_told(text: str, what: str) -> None:
    with pytest.raises(UsageError, match=what) as caught:
        parse_local(text)
    assert "--source cpython=" in caught.value.hint


def test_a_checkout_takes_the_place_of_its_own_minor_version(tmp_path: Path) -> None:
    minor = VERSIONS[0].rpartition(".")[0]
    lock, matrix = taken(cpython(tmp_path / "tree", f"{minor}.99", main="int x;"), tmp_path / "store")
    assert matrix.versions == (f"{minor}.99", *VERSIONS[1:])
    source = lock.sources[f"cpython-{minor}.99"]
    assert (source.version, source.ways) == (f"{minor}.99", ())
    data = (tmp_path / "store" / source.filename).read_bytes()
    assert (source.sha256, source.size) == (Digest.of(data).hash, len(data))
    assert members(lock, source.name, tmp_path / "store")["cpython/main.c"] == b"int x;"


def test_a_checkout_of_a_version_that_the_recipes_do_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"CPython 3.99.0 is like none of the versions offered: 3.13") as caught:
        taken(cpython(tmp_path / "tree", "3.99.0"), tmp_path / "store")
    assert "docs/cpython.md" in caught.value.hint


def test_the_version_of_a_tarball_is_read_from_it(tmp_path: Path) -> None:
    tree = cpython(tmp_path / "Python-3.11.99", "3.11.99")
    archive = tmp_path / "some.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tree, tree.name)
    lock, matrix = taken(archive, tmp_path / "store")
    assert matrix.versions == tuple("3.11.99" if one.startswith("3.11.") else one for one in VERSIONS)
    assert lock.sources["cpython-3.11.99"].filename == "some.tar.gz"
    with pytest.raises(UsageError, match=r"is CPython 3\.11\.99, no cpython-3\.13\.15"):
        taken(archive, tmp_path / "store", "cpython-3.13.15")


def test_archives_of_local_sources_are_told_from_a_release_by_their_names(tmp_path: Path) -> None:
    lock, _ = taken(cpython(tmp_path / "tree", VERSIONS[0]), tmp_path / "store")
    digest = lock.sources[f"cpython-{VERSIONS[0]}"].sha256
    assert lock.release == f"{SESSION.lock.release}.cpython-{VERSIONS[0]}.{digest[:8]}"
    assert lock.epoch == SESSION.lock.epoch


def test_the_same_files_give_the_same_bytes_wherever_and_whenever(tmp_path: Path) -> None:
    first, second = (cpython(tmp_path / name, VERSIONS[0], main="m") for name in ("first", "second"))
    os.utime(second / "main.c", (1, 1))
    name = f"cpython-{VERSIONS[0]}"
    one, two = (taken(tree, tmp_path / "store")[0].sources[name] for tree in (first, second))
    assert one.sha256 == two.sha256
    (first / "main.c").write_text("other")
    assert taken(first, tmp_path / "store")[0].sources[name].sha256 != one.sha256


def test_of_a_git_checkout_what_git_ignores_stays_out(tmp_path: Path) -> None:
    tree = cpython(tmp_path / "tree", VERSIONS[0], main="m", untracked="u", ignored="i", deleted="d")
    (tree / ".gitignore").write_text("ignored.c\n")
    for words in (["init", "-q"], ["add", "main.c", "deleted.c", ".gitignore"]):
        subprocess.run(["git", "-C", str(tree), *words], check=True)
    (tree / "deleted.c").unlink()
    (tree / "main.c").write_text("not committed")
    found = members(taken(tree, tmp_path / "store")[0], f"cpython-{VERSIONS[0]}", tmp_path / "store")
    assert found["cpython/main.c"] == b"not committed"
    assert {name for name in found if name.endswith(".c")} == {"cpython/main.c", "cpython/untracked.c"}
    assert not any(".git/" in name for name in found)


def test_an_archive_is_taken_as_it_is(tmp_path: Path) -> None:
    archive = tmp_path / "zlib-9.tar.gz"
    archive.write_bytes(b"bytes")
    lock, matrix = taken(archive, tmp_path / "store", "zlib")
    assert (lock.sources["zlib"].filename, lock.sources["zlib"].sha256) == ("zlib-9.tar.gz", Digest.of(b"bytes").hash)
    assert matrix == SESSION.matrix
    assert mirror_of(Local("zlib", archive), tmp_path / "store") == tmp_path


def test_an_unknown_source_and_a_tree_that_is_no_cpython_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no source named 'zlob'") as caught:
        taken(tmp_path, tmp_path / "store", "zlob")
    assert "zlib" in caught.value.hint
    with pytest.raises(UsageError, match="it is no CPython source"):
        cpython_version(tmp_path)


def test_a_local_source_changes_its_own_nodes_and_no_others(tmp_path: Path) -> None:
    """As typed: FREESTANDING_SOURCES or --source. What a node reads of its source decides, so the rest of the plan is as it was."""
    tree = cpython(tmp_path / "tree", VERSIONS[0])
    given = Session(ROOT, {"FREESTANDING_SOURCES": f"cpython={tree}", "FREESTANDING_STORE": str(tmp_path / "store")})
    name = f"fetch:cpython-{VERSIONS[0]}"
    changed = {one for one, node in given.plan.nodes.items() if node != SESSION.plan.nodes[one]}
    # archives are called otherwise
    assert {one for one in changed if not one.startswith(("archive:", "dist:", "zip:", "msi:"))} == {name}


def sdk(folder: Path, **settings: str) -> Path:
    folder.mkdir()
    (folder / "SDKSettings.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({}, "has no SDKSettings.json that names a version"),
        ({"CanonicalName": "iphoneos18.0", "Version": "18.0"}, "is the SDK iphoneos18.0, not one of macOS"),
        ({"CanonicalName": "macosx", "Version": "newest"}, "has no SDKSettings.json that names a version"),
    ],
)
def test_an_sdk_that_cannot_serve_is_refused(tmp_path: Path, settings: dict[str, str], what: str) -> None:
    with pytest.raises(UsageError, match=re.escape(what)) as caught:
        assert Session(ROOT, {"SDKROOT": str(sdk(tmp_path / "sdk", **settings)), "FREESTANDING_STORE": str(tmp_path / "store")}).plan
    assert caught.value.place == "SDKROOT"
    assert "unset SDKROOT" in caught.value.hint


def test_an_sdk_that_is_not_there_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="/none is no folder") as caught:
        assert Session(ROOT, {"SDKROOT": str(tmp_path / "none"), "FREESTANDING_STORE": str(tmp_path / "store")}).plan
    assert (caught.value.place, caught.value.hint) == ("SDKROOT", SDK_HINT)


def test_an_old_sdk_serves_the_targets_that_it_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As typed. A run time that is a setting, and in none of what is named, is no hindrance."""
    root = sdk(tmp_path / "sdk", CanonicalName="macosx10.15", Version="10.15")
    settings = {"SDKROOT": str(root), "FREESTANDING_STORE": str(tmp_path / "store"), "FREESTANDING_VCRUNTIME": str(tmp_path / "crt")}
    bring(tmp_path / "crt")
    given = Session(ROOT, settings)
    monkeypatch.setattr("graph.commands.here", lambda: given)
    for name in ("dist:x86_64-apple-darwin", "dist:linux"):
        assert ran(monkeypatch, "", name)
    for name in ("dist:aarch64-apple-darwin", "check:aarch64-apple-darwin", "dist:universal2-apple-darwin", "dist:darwin", "dist:all"):
        with pytest.raises(UsageError, match=r"SDK of macOS 10\.15; aarch64-apple-darwin is built for macOS 11\.0 and later") as caught:
            ran(monkeypatch, "", name)
        assert caught.value.hint.endswith("or set it to a newer SDK; this one serves doit dist:x86_64-apple-darwin")


def test_an_sdk_that_is_too_old_for_all_is_refused_for_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = sdk(tmp_path / "sdk", CanonicalName="macosx10.13", Version="10.13")
    given = Session(ROOT, {"SDKROOT": str(root), "FREESTANDING_STORE": str(tmp_path / "store")})
    monkeypatch.setattr("graph.commands.here", lambda: given)
    with pytest.raises(UsageError, match=r"SDK of macOS 10\.13; x86_64-apple-darwin is built for macOS 10\.15") as caught:
        ran(monkeypatch, "", "dist:x86_64-apple-darwin")
    assert caught.value.hint == "unset SDKROOT, or set it to a newer SDK"


def test_an_sdk_changes_macos_alone(tmp_path: Path) -> None:
    root = sdk(tmp_path / "sdk", CanonicalName="macosx15.2", Version="15.2")
    given = Session(ROOT, {"SDKROOT": str(root), "FREESTANDING_STORE": str(tmp_path / "store")})
    changed = {name for name, node in given.plan.nodes.items() if SESSION.plan.nodes.get(name) != node}
    assert {name for name in changed if "-apple-darwin" not in name} == {f"{kind}:macos-sdk" for kind in ("fetch", "source")} | {
        f"source:{name}-macos" for name in ("tcl", "tk")
    }
    assert {f"libc:{arch}-apple-darwin" for arch in ("aarch64", "x86_64")} <= changed
