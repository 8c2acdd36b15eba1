"""sources.lock: the committed file, every kind of mistake with its line and key, and parse(dump(x)) == x."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.errors import LockError
from graph.lock import Lock, Source, Way, dump_lock, parse_lock

COMMITTED = (Path(__file__).resolve().parent.parent / "sources.lock").read_text(encoding="utf-8")

GOOD = """\
version = 1
release = "20261123"

[sources."a-1.0"]
version = "1.0"
filename = "a_1.0.orig.tar.gz"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
size = 5
licence = "MIT"
ways = [
  { url = "https://example.org/a-1.0.tar.gz" },
  { debian = "a", version = "1.0-1", filename = "a_1.0.orig.tar.gz" },
]

[sources.b]
version = "2"
filename = "b-2.whl"
sha256 = "1111111111111111111111111111111111111111111111111111111111111111"
size = 6
licence = "MIT OR Apache-2.0"
ways = [{ pypi = "b", version = "2", filename = "b-2.whl" }]
"""


def test_the_committed_file_is_canonical() -> None:
    assert dump_lock(parse_lock(COMMITTED)) == COMMITTED


def test_the_committed_file_names_what_the_build_needs() -> None:
    lock = parse_lock(COMMITTED)
    needed = (
        "cpython-3.13.15 zlib bzip2 xz zstd libffi openssl sqlite ncurses libedit util-linux db5.3 pip zig-linux-x86_64 zig-macos-aarch64"
    )
    assert set(needed.split()) <= set(lock.sources)
    assert [source.name for source in lock] == sorted(lock.sources)


def test_a_repacked_file_has_no_upstream_address() -> None:
    """What Debian repacked (+dfsg, .dfsg) no upstream server has."""
    for source in parse_lock(COMMITTED):
        if "dfsg" in source.filename:
            assert {way.kind for way in source.ways} == {"debian"}, source.name


def test_values() -> None:
    lock = parse_lock(GOOD)
    assert (lock.release, lock.epoch) == ("20261123", 1795392000)
    assert lock.sources["a-1.0"] == Source(
        name="a-1.0",
        version="1.0",
        filename="a_1.0.orig.tar.gz",
        sha256="0" * 64,
        size=5,
        licence="MIT",
        ways=(
            Way("url", url="https://example.org/a-1.0.tar.gz"),
            Way("debian", package="a", version="1.0-1", filename="a_1.0.orig.tar.gz"),
        ),
    )
    assert lock.sources["b"].ways == (Way("pypi", package="b", version="2", filename="b-2.whl"),)
    assert lock.wanted == {}


def test_a_way_as_text() -> None:
    """As it stands in what a failed fetch prints."""
    ways = [*parse_lock(GOOD).sources["a-1.0"].ways, Way("mirror", url="/mnt/mirror", filename="a.tar")]
    assert [str(way) for way in ways] == ["https://example.org/a-1.0.tar.gz", "debian a 1.0-1", "mirror /mnt/mirror/a.tar"]


SECOND_A = GOOD[GOOD.index("[sources.b]") :].replace("[sources.b]", "[wanted.b]").replace("b-2.whl", "c-2.whl")

MISTAKES = [
    # what is replaced, by what, the line, and what the error says
    ('release = "20261123"', "release = 20261123", 2, "release: 20261123 is wrong"),
    ('release = "20261123"', 'release = "20261323"', 2, "release: '20261323' is no date"),
    ('release = "20261123"', 'release = "2026-11-23"', 2, "is no date"),
    ("version = 1\n", "version = 2\n", 1, "format version 2 is not 1"),
    ("version = 1\n", "", 1, "key 'version' is missing"),
    ("version = 1\n", "version = 1\nsource = 3\n", 2, "source: unknown key"),
    ('[sources."a-1.0"]', '[sources."a-1.0"', 4, "not TOML"),
    ('version = "2"\nf', 'version = "2\nf', 16, "not TOML"),
    ("[sources.b]", '[sources."a-1.0"]', 15, "not TOML"),
    ("[sources.b]", "[sources.B]", 15, "sources.B: not a source's name"),
    ("[sources.b]", "[sources.b.c]", 15, "sources.b.c: unknown key"),
    ("[sources.b]", "[source.b]", 15, "source: unknown key"),
    ('version = "2"\nfile', 'version = ""\nfile', 16, "sources.b.version: '' is wrong"),
    ('filename = "b-2.whl"\ns', 'filename = "../b-2.whl"\ns', 17, "sources.b.filename: '../b-2.whl' is wrong"),
    ('filename = "b-2.whl"\ns', 'filename = ".."\ns', 17, "sources.b.filename"),
    ('filename = "b-2.whl"\ns', 'filename = "a_1.0.orig.tar.gz"\ns', 17, "sources.b.filename: a_1.0.orig.tar.gz is a-1.0's too"),
    ('"1111', '"111', 18, "sources.b.sha256"),
    ('"1111', '"A111', 18, "sources.b.sha256"),
    ("size = 6", 'size = "6"', 19, "sources.b.size: '6' is wrong"),
    ("size = 6", "size = 0", 19, "sources.b.size: 0 is wrong"),
    ("size = 6", "size = true", 19, "sources.b.size: True is wrong"),
    ("size = 6\n", "", 15, "sources.b: key 'size' is missing"),
    ("size = 6\n", "size = 6\nsise = 7\n", 20, "sources.b.sise: unknown key"),
    ("MIT OR", "mit OR", 20, "is not SPDX's spelling"),
    ("MIT OR", "GPL OR", 20, "sources.b.licence: Unknown license: 'gpl'"),
    ("ways = [{ pypi", 'ways = ["x", { pypi', 21, "sources.b.ways: not a list of ways"),
    ('ways = [{ pypi = "b", version = "2", filename = "b-2.whl" }]', "ways = []", 21, "not a list of ways"),
    ("{ url =", "{ uri =", 11, 'sources."a-1.0".ways[0]: neither url, debian nor pypi'),
    ("https://", "ftp://", 11, 'sources."a-1.0".ways[0].url'),
    ('{ debian = "a"', '{ debian = "a/b"', 12, 'sources."a-1.0".ways[1].debian'),
    ('version = "1.0-1", ', "", 12, "sources.\"a-1.0\".ways[1]: key 'version' is missing"),
    ('tar.gz" },\n  { debian', 'tar.gz", size = 3 },\n  { debian', 11, 'sources."a-1.0".ways[0].size: unknown key'),
    ("  { debian", '  { url = "https://example.org/a-1.0.tar.gz" },\n  { debian', 12, "the same way twice"),
    ("[sources.b]", SECOND_A + "\n[sources.b]", 15, "wanted.b: is in [sources] too"),
]


@pytest.mark.parametrize(("old", "new", "line", "says"), MISTAKES)
def test_a_mistake_is_named_with_line_and_key(old: str, new: str, line: int, says: str) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(LockError) as caught:
        parse_lock(GOOD.replace(old, new))
    assert caught.value.place == f"sources.lock:{line}"
    assert says in caught.value.what
    assert caught.value.hint
    assert caught.value.exit_code == 11


@pytest.mark.parametrize(("text", "says"), [("sources = 3", "is no table"), ("sources.a = 3", "a is no table")])
def test_tables_that_are_none(text: str, says: str) -> None:
    with pytest.raises(LockError, match=says):
        parse_lock(f'version = 1\nrelease = "20261123"\n{text}\n')


def test_a_way_on_a_line_that_cannot_be_found_is_placed_at_its_table() -> None:
    """Dotted keys are TOML too; there the error falls back to the nearest table."""
    text = GOOD.replace('ways = [{ pypi = "b", version = "2", filename = "b-2.whl" }]', "") + '\n[[sources.b.ways]]\nurl = "x"\n'
    with pytest.raises(LockError) as caught:
        parse_lock(text)
    assert caught.value.place == "sources.lock:15"


LINE = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)
NAME = st.text("az09._+-", min_size=1, max_size=8).filter(lambda name: name[0] in "az09")
FILE = st.text("aZ09._+~-", min_size=1, max_size=8).filter(lambda name: name[0] not in ".-")
PACKAGE = st.text("aZ09._+-", min_size=1, max_size=6).filter(lambda name: name[0] in "aZ09")
WAY = st.one_of(
    st.builds(
        Way,
        st.just("url"),
        url=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=9).map("https://{}".format),
    ),
    st.builds(Way, st.sampled_from(["debian", "pypi"]), package=PACKAGE, version=LINE, filename=FILE),
)
SOURCE = st.builds(
    Source,
    name=NAME,
    version=LINE,
    filename=FILE,
    sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
    size=st.integers(1, 2**60),
    licence=st.sampled_from(["MIT", "0BSD", "BSD-3-Clause OR GPL-2.0-only", "Apache-2.0 WITH LLVM-exception"]),
    ways=st.lists(WAY, min_size=1, max_size=4, unique=True).map(tuple),
)


@st.composite
def locks(draw: st.DrawFn) -> Lock:
    sources = draw(st.lists(SOURCE, max_size=5, unique_by=(lambda s: s.name, lambda s: s.filename)))
    cut = draw(st.integers(0, len(sources)))
    days = draw(st.dates())
    release = f"{days.year:04}{days.month:02}{days.day:02}"
    epoch = (days.toordinal() - 719163) * 86400
    return Lock(release, epoch, {s.name: s for s in sources[:cut]}, {s.name: s for s in sources[cut:]})


@settings(max_examples=80, deadline=None)
@given(locks())
def test_what_is_dumped_is_parsed_to_the_same(lock: Lock) -> None:
    text = dump_lock(lock)
    assert parse_lock(text) == lock
    assert dump_lock(parse_lock(text)) == text


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(COMMITTED) - 1), st.text(max_size=3), st.integers(0, 3))
def test_a_damaged_file_is_an_error_of_ours_or_another_lock(at: int, put: str, cut: int) -> None:
    """No mistake gives a traceback."""
    text = COMMITTED[:at] + put + COMMITTED[at + cut :]
    try:
        lock = parse_lock(text)
    except LockError as error:
        assert error.place.startswith("sources.lock:")
    else:
        assert parse_lock(dump_lock(lock)) == lock
