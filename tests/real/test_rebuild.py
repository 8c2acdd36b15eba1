"""The real graph: what runs again when something changes, and whether the bytes are the same."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from graph.session import Session
from tests.mini import Checkout, nodes_done
from tests.real.conftest import DIST, HOUR, clone
from tests.real.version import DARWIN, TARGET
from tests.test_farmhand import results

CELL, ABI = f"{TARGET}:3.13.15:lto", f"{TARGET}:3.13.15"
KILLS = 3
LIBRARIES = tuple(f"make:{TARGET}:{name}" for name in ("bzip2", "expat", "libffi", "ncurses", "sqlite", "xz"))
OTHER = f"dist:{DARWIN}"
"""For the clone: other tests want it, too, so that it is built twice and not four times; two_hosts.py compares more."""


def archives(checkout: Checkout) -> dict[str, str]:
    """File name -> sha256 of the archives of OTHER in dist/."""
    triple, _, options = DARWIN.split(":")
    found = sorted((checkout.root / "dist").glob(f"*-{triple}-{options}-*"))
    assert len(found) == 3
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


@contextmanager
def edited(path: Path, text: str) -> Iterator[None]:
    """`path` with other content, put back at the end."""
    before = path.read_text() if path.exists() else None
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    try:
        yield
    finally:
        if before is None:
            path.unlink()
        else:
            path.write_text(before)


def patch(file: str, line: str, *new: str, at: int = 1) -> str:
    """A patch that puts the lines `new` in place of line `at` of a file, which is `line`."""
    added = "".join(f"+{text}\n" for text in new)
    return f"What: a test\nVersions: all\n--- a/{file}\n+++ b/{file}\n@@ -{at} +{at},{len(new)} @@\n-{line}\n{added}"


# In libraries, built without debug information, a comment that keeps the line numbers changes no byte of the output; one line more does in
# OpenSSL, through __LINE__ in error reports. CPython's debug information holds the sources' MD5, so there every change is one.
SSL_C = ("Modules/_ssl.c", "/* SSL socket module")
SSL_LIB_C = ("ssl/ssl_lib.c", "/*")
BZLIB_H = ("bzlib_private.h", '#define BZ_VERSION  "1.0.8, 13-Jul-2019"')
ADLER32_C = ("adler32.c", "/* adler32.c -- compute the Adler-32 checksum of a data stream")
UP = {"stdlib", "assemble", "metadata", "archive", "dist"}


def test_a_second_run_runs_no_node(first: Checkout) -> None:
    start = time.monotonic()
    assert first.ran(DIST) == []
    print(f"\nsecond run: {time.monotonic() - start:.2f} s")
    for database in first.root.glob(".doit.db*"):
        database.unlink()
    assert first.ran(DIST) == []
    assert sorted(first.root.glob("*.db*")) == []


def test_the_readme_is_in_no_key(first: Checkout) -> None:
    with edited(first.root / "README.md", "something else"):
        assert first.ran(DIST) == []


def test_a_patch_of_ssl_c(first: Checkout) -> None:
    place = first.root / "patches/cpython/9999-test.patch"
    own = ["source:cpython-3.13.15", f"ext:{ABI}:_ssl"]
    with edited(place, patch(*SSL_C, SSL_C[1], "   (a line)")):
        ran = first.ran(DIST, timeout=HOUR)
    print(f"\n{ran}")
    assert ran[:2] == own
    assert {name.split(":")[0] for name in ran[2:]} <= UP
    assert f"dist:{CELL}" in ran


def test_a_patch_of_a_library(first: Checkout) -> None:
    place = first.root / "patches/bzip2/9999-test.patch"
    # (another one each time: with --built the store may know it)
    version = f'#define BZ_VERSION  "1.0.8, {random.getrandbits(32):08x}"'
    with edited(place, patch(*BZLIB_H, version, at=39)):
        ran = first.ran(DIST, timeout=HOUR)
    print(f"\n{ran}")
    assert ran[:3] == ["source:bzip2", f"make:{TARGET}:bzip2", f"ext:{ABI}:_bz2"]
    assert {name.split(":")[0] for name in ran[3:]} <= UP
    assert f"dist:{CELL}" in ran


@pytest.mark.whole
def test_a_patch_of_openssl(first: Checkout) -> None:
    place = first.root / "patches/openssl/9999-test.patch"
    own = {"source:openssl", f"configure:{TARGET}:openssl", f"make:{TARGET}:openssl"}
    with edited(place, patch(*SSL_LIB_C, SSL_LIB_C[1], " * (a line)")):
        ran = set(first.ran(DIST, timeout=HOUR))
    print(f"\n{sorted(ran)}")
    users = {f"ext:{ABI}:_ssl", f"ext:{ABI}:_hashlib"}
    assert {name for name in ran - own if name.split(":")[0] not in UP} <= users
    assert f"dist:{CELL}" in ran


def test_a_comment_in_a_library_is_built_and_changes_nothing_else(first: Checkout) -> None:
    # (another one each time: with --built the store may know it)
    comment = f"{ADLER32_C[1]} (comment {random.getrandbits(32):x})"
    with edited(first.root / "patches/zlib/9999-test.patch", patch(*ADLER32_C, comment)):
        ran = set(first.ran(DIST, timeout=HOUR))
    assert {"source:zlib", f"make:{TARGET}:zlib"} <= ran <= {"source:zlib", f"configure:{TARGET}:zlib", f"make:{TARGET}:zlib"}


def test_a_target_flag(first: Checkout) -> None:
    """On one small library: the rest of the plan is told by tests/test_real_plan.py."""
    table, zlib = first.root / "toolchains/targets.toml", f"make:{TARGET}:zlib"
    with edited(table, table.read_text().replace('"-march=x86-64"', '"-march=x86-64-v3"')):
        ran = first.ran(zlib, timeout=HOUR)
    assert set(ran) == {f"libc:{TARGET}", f"configure:{TARGET}:zlib", zlib}
    assert first.ran(zlib) == []


def test_nodes_built_twice_give_the_same_bytes(first: Checkout) -> None:
    """Of Linux, less its libraries and core for want of time (full_matrix.py verifies all)."""
    session = Session(first.root, first.environment())
    nodes = [name for name in session.plan.closure([DIST]) if TARGET in name and not name.startswith(("make:", "core:"))]
    assert {name.partition(":")[0] for name in nodes} > {"libc", "configure", "ext", "assemble", "archive"}
    done = first.doit("verify", *nodes, timeout=HOUR)
    print(f"\n{done.stdout.splitlines()[-1]}")
    assert done.returncode == 0, (
        "\n".join(line for line in done.stdout.splitlines() if not line.startswith(("same", "run", "done"))) + done.stderr
    )
    assert " 0 did not" in done.stdout


def killed(checkout: Checkout, names: Sequence[str], seconds: float) -> list[str]:
    """Start the build, kill its whole process tree after a while; the nodes that had ended."""
    process = checkout.start(*names)
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    out, _ = process.communicate()
    return nodes_done(out)


def made_with_kills(place: Path, names: Sequence[str], longest: float) -> Checkout:
    """A clone at another place, with an empty store, killed three times (after `longest` seconds at most) until it had these nodes."""
    checkout = clone(place / "another" / "place for a clone")
    seed = random.randrange(1 << 32)
    dice = random.Random(seed)
    done: list[str] = []
    for _ in range(KILLS):
        ended = killed(checkout, names, dice.uniform(longest / 6, longest))
        assert not set(ended) & set(done)
        done += ended
    ended = checkout.ran(*names, timeout=HOUR)
    assert not set(ended) & set(done), "a node that had ended was run again"
    print(f"\nseed {seed}: {len(done)} nodes before the {KILLS} kills, {len(ended)} after")
    assert done, "no node had ended before the kills"
    verified = checkout.doit("store", "verify", timeout=600)
    assert verified.returncode == 0, verified.stdout
    return checkout


def test_libraries_of_another_clone_killed_three_times_are_the_same(first: Checkout, tmp_path: Path) -> None:
    """Of the first they were made with its distribution. (A test that left a patched source would be seen here.)"""
    assert first.ran(*LIBRARIES) == []
    second = made_with_kills(tmp_path, LIBRARIES, 60)
    ours, theirs = results(second), results(first)
    assert ours.keys() > set(LIBRARIES)
    assert ours == {name: theirs[name] for name in ours}


@pytest.mark.whole
def test_another_clone_killed_three_times_gives_the_same_archives(first: Checkout, tmp_path: Path) -> None:
    second = made_with_kills(tmp_path, [OTHER], 120)
    first.ran(OTHER, timeout=HOUR)
    assert archives(second) == archives(first)
