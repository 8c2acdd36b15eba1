"""Trees: flattening, hostile names, and the filter against its law on lists of paths."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.digest import Digest, Directory
from graph.errors import StoreError
from graph.globs import Selection
from graph.trees import DEPTH, Entry, check, escapes, filter_tree, flatten
from tests.test_globs import NAMES, PATTERNS


class Memory:
    """Directories in a dict; counts what is read."""

    def __init__(self) -> None:
        self.directories: dict[Digest, Directory] = {}
        self.loads: list[Digest] = []

    def save(self, directory: Directory) -> Digest:
        digest = Digest.of(directory.encode())
        self.directories[digest] = directory
        return digest

    def load(self, digest: Digest) -> Directory:
        self.loads.append(digest)
        return self.directories[digest]

    def tree(self, paths: list[str]) -> Digest:
        """A tree of files whose bytes are their path; a path that ends in / is an empty folder, one with -> a symlink."""
        files: list[tuple[str, Digest, bool]] = []
        folders: dict[str, list[str]] = {}
        links: list[tuple[str, str]] = []
        for path in sorted(set(paths)):
            name, slash, rest = path.partition("/")
            if " -> " in name:
                links.append((name.partition(" -> ")[0], path.partition(" -> ")[2]))
            elif slash:
                folders.setdefault(name, []).append(rest)
            elif name:
                files.append((name, Digest.of(path.encode()), False))
        below = tuple((name, self.tree([rest for rest in rests if rest])) for name, rests in folders.items())
        return self.save(Directory(tuple(files), below, tuple(links)))

    def paths(self, root: Digest) -> set[str]:
        """Files, symlinks, and empty folders with a trailing /."""
        found = set()
        for entry in flatten(self.load, root):
            if entry.kind != "directory":
                found.add(entry.path)
            elif entry.digest is not None and self.directories[entry.digest] == Directory():
                found.add(entry.path + "/")
        return found


def no_clash(paths: list[str]) -> bool:
    """No path is a file and a folder, nor a folder both empty and full."""
    return not any(b.startswith(a.rstrip("/") + "/") or (a != b and a == b.rstrip("/")) for a in paths for b in paths if a != b)


TREES = st.lists(
    st.builds(lambda parts, end: "/".join(parts) + end, st.lists(NAMES, min_size=1, max_size=4), st.sampled_from(["", "", "/"])), max_size=8
).filter(no_clash)


@given(TREES.filter(bool), st.lists(PATTERNS, max_size=3), st.lists(PATTERNS, max_size=2))
def test_a_filtered_tree_holds_the_paths_that_the_selection_keeps(paths: list[str], only: list[str], without: list[str]) -> None:
    memory, selection = Memory(), Selection.parse(only, without)
    root = memory.tree(paths)
    found = filter_tree(memory.load, memory.save, root, "", selection)
    assert memory.paths(found.tree) == {path for path in paths if selection.keeps(path)}
    matched = {text for path in paths for text in selection.matched(path)}
    assert set(found.unmatched) == set(only) - matched


@given(TREES, st.lists(PATTERNS, max_size=3))
def test_filtering_twice_is_filtering_once(paths: list[str], only: list[str]) -> None:
    memory, selection = Memory(), Selection.parse(only, [])
    once = filter_tree(memory.load, memory.save, memory.tree(paths), "", selection).tree
    assert filter_tree(memory.load, memory.save, once, "", selection).tree == once


def test_folders_that_no_pattern_touches_are_shared_and_not_read() -> None:
    memory = Memory()
    root = memory.tree(["Lib/a/x", "Lib/b/y", "Doc/z/1", "top"])
    memory.loads.clear()
    found = filter_tree(memory.load, memory.save, root, "", Selection.parse(["Lib/", "top"], ["Doc/z/"]))
    assert memory.loads == [root]
    assert memory.paths(found.tree) == {"Lib/a/x", "Lib/b/y", "top"}


def test_a_pattern_inside_a_covered_folder_is_told_apart_from_one_that_matches_nothing() -> None:
    memory = Memory()
    root = memory.tree(["Lib/a.py", "Lib/b.py"])
    assert filter_tree(memory.load, memory.save, root, "", Selection.parse(["Lib/", "Lib/a.py"], [])).unmatched == ()
    assert filter_tree(memory.load, memory.save, root, "", Selection.parse(["Lib/", "Lib/gone.py"], [])).unmatched == ("Lib/gone.py",)


def test_subdir_is_the_new_root_and_a_missing_one_is_told() -> None:
    memory = Memory()
    root = memory.tree(["a/b/x", "a/b/y.c", "z"])
    found = filter_tree(memory.load, memory.save, root, "a/b", Selection.parse(["*.c"], []))
    assert memory.paths(found.tree) == {"y.c"}
    missing = filter_tree(memory.load, memory.save, root, "a/c", Selection.parse([], []))
    assert missing.unmatched == ("a/c/",)
    assert memory.paths(missing.tree) == set()


def test_flatten_gives_every_entry_with_its_path() -> None:
    memory = Memory()
    root = memory.tree(["a/x", "l -> a/x"])
    inner = memory.directories[root].directories[0][1]
    assert list(flatten(memory.load, root)) == [
        Entry("l", "symlink", target="a/x"),
        Entry("a", "directory", inner),
        Entry("a/x", "file", Digest.of(b"x")),
    ]


@pytest.mark.parametrize(
    ("path", "target", "leads_outside"),
    [
        ("l", "a", False),
        ("d/l", "../a", False),
        ("d/l", "../../a", True),
        ("l", "..", True),
        ("d/l", "..", False),
        ("l", "/etc/passwd", True),
        ("l", "", True),
        ("l", "..a", False),
    ],
)
def test_links_that_lead_outside(path: str, target: str, leads_outside: bool) -> None:
    assert escapes(path, target) is leads_outside


def test_flatten_refuses_a_link_that_leads_outside() -> None:
    memory = Memory()
    with pytest.raises(StoreError, match="leads outside"):
        list(flatten(memory.load, memory.save(Directory(symlinks=(("l", "../../etc"),)))))


def test_flatten_refuses_a_tree_without_end() -> None:
    memory = Memory()
    root = memory.save(Directory())
    for _ in range(DEPTH + 2):
        root = memory.save(Directory(directories=(("d", root),)))
    with pytest.raises(StoreError, match="levels"):
        list(flatten(memory.load, root))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b"])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(StoreError, match="bad name"):
        check(Directory(files=((name, Digest.of(b""), False),)), "remote")


def test_a_name_that_stands_twice_is_refused() -> None:
    digest = Digest.of(b"")
    with pytest.raises(StoreError, match="bad name"):
        check(Directory(files=(("a", digest, False),), directories=(("a", digest),)), "remote")
    good = Directory(files=(("a", digest, False),), directories=(("b", digest),))
    assert check(good, "remote") is good
