"""What a remote store gives is looked at before it is believed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from graph import published
from graph.digest import Digest, Directory
from graph.node import key
from graph.published import SIGNED, Note, folders_of, foreign_tree, result_of, tree_of
from graph.reapi import Outcome, encode_tree
from graph.result import ActionResult
from graph.trees import DEPTH, NAME_MAX, PATH_MAX

MANIFEST = (("kind", "make"), ("step", "true"))
TEXT = Digest.of(b"text")
ROOT = Digest.of(Directory().encode())
RESULT = ActionResult("make:zlib", key(MANIFEST), ROOT, 1.0, True, MANIFEST)
OUTCOME = Outcome(ROOT, TEXT, b"", None)


def note(result: ActionResult) -> Note:
    return Note(result.encode().decode(), {})


def test_a_result_of_this_key_is_taken() -> None:
    assert result_of(RESULT.key, note(RESULT), OUTCOME) == RESULT


def test_what_is_signed_is_the_whole_result() -> None:
    assert note(RESULT).signed == SIGNED + RESULT.encode()


@pytest.mark.parametrize(
    ("result", "outcome", "why"),
    [
        (replace(RESULT, key="f" * 64), OUTCOME, "another key"),
        (replace(RESULT, manifest=MANIFEST[1:]), OUTCOME, "another key"),
        (replace(RESULT, hermetic=False), OUTCOME, "outside a sandbox"),
        (RESULT, replace(OUTCOME, log=TEXT), "two logs"),
    ],
)
def test_another_result_is_refused(result: ActionResult, outcome: Outcome, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        result_of(RESULT.key, note(result), outcome)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"[]", "not a note"),
        (b'{"result": 1, "signatures": {}}', "not a note"),
        (b'{"result": "", "signatures": []}', "not a note"),
        (b'{"result": "", "signatures": {"a": "%"}}', "not a signature"),
        (b'{"result": "", "signatures": {"a": 1}}', "not a signature"),
    ],
)
def test_what_is_no_note_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Note.decode(data)


def test_a_tree_holds_each_folder_once() -> None:
    inner = Directory((("file", TEXT, False),))
    below = Digest.of(inner.encode())
    top = Directory((), (("a", below), ("b", below)))
    root = Digest.of(top.encode())
    data = tree_of({root: top, below: inner}.__getitem__, root)
    assert data == encode_tree(top.encode(), [inner.encode()])
    assert foreign_tree(data) == (root, {below: inner.encode(), root: top.encode()})


def test_a_foreign_tree_is_in_canonical_form() -> None:
    unsorted = b"".join(Directory(((name, TEXT, False),)).encode() for name in "ba")
    with pytest.raises(ValueError, match="canonical"):
        foreign_tree(encode_tree(unsorted, []))


@pytest.mark.parametrize(("limit", "most"), [("MAX_ENTRIES", 1), ("MAX_SIZE", TEXT.size)])
def test_a_tree_has_an_end(monkeypatch: pytest.MonkeyPatch, limit: str, most: int) -> None:
    monkeypatch.setattr(published, limit, most)
    top = Directory((("a", TEXT, False), ("b", TEXT, False)))
    with pytest.raises(ValueError, match="more than"):
        foreign_tree(encode_tree(top.encode(), []))


def test_a_tree_that_unfolds_is_not_unfolded(monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [Directory((("file", TEXT, False),))]
    for _ in range(150):
        below = Digest.of(folders[-1].encode())
        folders.append(Directory((), tuple((f"{number}", below) for number in range(50))))
    monkeypatch.delattr(published, "flatten")
    data = encode_tree(folders[-1].encode(), [one.encode() for one in folders[:-1]])
    with pytest.raises(ValueError, match="more than 200000 files"):
        folders_of(Digest.of(folders[-1].encode()), data)


def test_a_folder_comes_after_all_that_it_holds() -> None:
    low = Directory((("file", TEXT, False),))
    middle = Directory((), (("low", Digest.of(low.encode())),))
    # `low` is met first where it is held directly
    top = Directory((), (("a", Digest.of(low.encode())), ("b", Digest.of(middle.encode()))))
    other = Directory((), (("a", Digest.of(middle.encode())), ("b", Digest.of(low.encode()))))
    for root in (top, other):
        data = encode_tree(root.encode(), [middle.encode(), low.encode()])
        assert list(folders_of(Digest.of(root.encode()), data).values()) == [low.encode(), middle.encode(), root.encode()]


def chain(levels: int) -> list[Directory]:
    """A folder in a folder, the innermost first."""
    folders = [Directory()]
    for _ in range(levels):
        folders.append(Directory((), (("d", Digest.of(folders[-1].encode())),)))
    return folders


def folders_below(*folders: Directory) -> dict[Digest, bytes]:
    """What is found in a Tree of these, of which the last is the root."""
    messages = [one.encode() for one in folders]
    return folders_of(Digest.of(messages[-1]), encode_tree(messages[-1], messages[:-1]))


# (far more would exceed Python's own stack)
@pytest.mark.parametrize("more", [1, 2000])
def test_a_tree_has_so_many_levels(more: int) -> None:
    assert len(folders_below(*chain(DEPTH))) == DEPTH + 1
    with pytest.raises(ValueError, match=f"more than {DEPTH} levels"):
        folders_below(*chain(DEPTH + more))


def test_levels_count_on_the_longest_way() -> None:
    folders = chain(DEPTH)
    deep, top = (Digest.of(one.encode()) for one in (folders[-1], folders[-2]))
    # it is met first where it may be, and then one level too low
    root = Directory((), (("a", top), ("b", deep)))
    with pytest.raises(ValueError, match=f"more than {DEPTH} levels"):
        folders_below(*folders, root)


@pytest.mark.parametrize(
    "top",
    [
        Directory((("n" * (NAME_MAX + 1), TEXT, False),)),
        Directory((), (("n" * (NAME_MAX + 1), ROOT),)),
        Directory((), (), (("l", "t" * PATH_MAX),)),
    ],
)
def test_a_name_that_no_file_system_takes(top: Directory) -> None:
    with pytest.raises(ValueError, match="no file system takes"):
        folders_below(Directory(), top)


def test_names_and_links_of_any_length_that_a_file_system_takes() -> None:
    top = Directory((("n" * NAME_MAX, TEXT, False),), (), (("l", "t" * (PATH_MAX - 1)),))
    assert len(folders_below(top)) == 1


def test_a_path_that_no_file_system_takes() -> None:
    folders = [Directory()]
    while len(folders) <= PATH_MAX // NAME_MAX + 1:
        folders.append(Directory((), (("n" * NAME_MAX, Digest.of(folders[-1].encode())),)))
    with pytest.raises(ValueError, match=f"a path of more than {PATH_MAX} bytes"):
        folders_below(*folders)


def test_a_link_leads_to_no_place_outside() -> None:
    top = Directory((), (), (("a", "../b"),))
    with pytest.raises(ValueError, match="outside"):
        folders_of(Digest.of(top.encode()), encode_tree(top.encode(), []))
