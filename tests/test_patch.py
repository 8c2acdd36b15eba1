"""Patches: what difflib makes is applied to the byte, what does not fit exactly is refused with its place."""

from __future__ import annotations

import difflib
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.errors import PatchError
from graph.patch import apply_patch

LINE = st.sampled_from(
    [b"a\n", b"b\n", b"\n", b"x\r\n", b"\xff\xfe\n", b" c\x0c\n", b"--- d\n", b"+++ e\n", b"@@ f\n", b"\\ g\n", b"\x85\r"]
)
TEXTS = st.lists(LINE, max_size=12).map(b"".join)


def diff(old: bytes, new: bytes, context: int = 3) -> bytes:
    """A unified diff; difflib knows nothing of a missing newline at the end of a file."""
    names = (b"a/f" if old else b"/dev/null", b"b/f" if new else b"/dev/null")
    lines = difflib.diff_bytes(difflib.unified_diff, split(old), split(new), *names, n=context)
    return b"".join(line if line.endswith(b"\n") else line + b"\n\\ No newline at end of file\n" for line in lines)


def split(text: bytes) -> list[bytes]:
    lines = [line + b"\n" for line in text.split(b"\n")]
    return [*lines[:-1], *([lines[-1][:-1]] if lines[-1] != b"\n" else [])]


def apply(patch: bytes, **files: bytes) -> dict[str, bytes | None]:
    return apply_patch(patch, "0001-x.patch", files.get)


@given(TEXTS, TEXTS, st.integers(0, 3))
def test_a_diff_applied_gives_the_second_text(old: bytes, new: bytes, context: int) -> None:
    if old == new:
        return
    files = {"f": old} if old else {}
    assert apply(diff(old, new, context), **files) == {"f": new or None}


@given(TEXTS.filter(bool), TEXTS.filter(bool), TEXTS.filter(bool))
def test_a_diff_with_the_whole_file_as_context_fits_only_what_begins_with_it(old: bytes, new: bytes, other: bytes) -> None:
    if old == new or other.startswith(old):
        return
    with pytest.raises(PatchError, match="hunk 1 does not apply"):
        apply(diff(old, new, 100), f=other)


def test_what_diff_itself_writes_is_applied(tmp_path: Path) -> None:
    old, new = b"one\ntwo\nthree", b"one\n2\nthree\nfour"
    for name, data in (("a", old), ("b", new)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_bytes(data)
    found = subprocess.run(["diff", "-ru", "a", "b"], cwd=tmp_path, stdout=subprocess.PIPE, check=False)
    assert apply(found.stdout, f=old) == {"f": new}


GIT = b"""What: a change
Why: it is due
Upstream: none
Versions: all
---
 f | 2 +-
 1 file changed, 1 insertion(+), 1 deletion(-)

diff --git a/f b/f
index 1..2 100644
--- a/f
+++ b/f
@@ -2,2 +2,2 @@ def x():
 two
-three
+3
diff --git a/d/new b/d/new
new file mode 100644
--- /dev/null
+++ b/d/new
@@ -0,0 +1 @@
+hello
diff --git a/gone b/gone
deleted file mode 100644
--- a/gone
+++ /dev/null
@@ -1 +0,0 @@
-bye
--\x20
2.39.2
"""


def test_a_mail_of_git_changes_makes_and_deletes() -> None:
    assert apply(GIT, f=b"one\ntwo\nthree\n", gone=b"bye\n") == {"f": b"one\ntwo\n3\n", "d/new": b"hello\n", "gone": None}


def test_a_context_line_without_its_blank_is_an_empty_line() -> None:
    assert apply(b"--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n-a\n+b\n\n c\n", f=b"a\n\nc\n") == {"f": b"b\n\nc\n"}


def test_two_diffs_of_one_file_build_on_each_other() -> None:
    assert apply(diff(b"a\n", b"b\n") + diff(b"b\n", b"c\n"), f=b"a\n") == {"f": b"c\n"}


def test_a_mismatch_is_told_with_hunk_line_and_both_texts() -> None:
    old = b"".join(b"%d\n" % n for n in range(40))
    patch = diff(old, old.replace(b"5\n", b"five\n", 1).replace(b"\n30\n", b"\nthirty\n"))
    with pytest.raises(PatchError) as caught:
        apply(patch, f=old.replace(b"\n31\n", b"\n31!\n"))
    assert caught.value.place == "0001-x.patch: f"
    assert caught.value.what == "hunk 2 does not apply: line 32 is '31!\\n', the patch has '31\\n'"


def test_lines_that_moved_are_refused_and_told_where_they_are() -> None:
    old = b"".join(b"%d\n" % n for n in range(20))
    with pytest.raises(PatchError, match=r"hunk 1 does not apply: line 8 is '6\\n', the patch has '7\\n'; its lines are at line 9"):
        apply(diff(old, old.replace(b"10\n", b"ten\n")), f=b"new\n" + old)


def test_a_file_that_is_too_short_is_told() -> None:
    with pytest.raises(PatchError, match="line 2 is the end of the file, the patch has 'b"):
        apply(diff(b"a\nb\n", b"a\nc\n"), f=b"a\n")


@pytest.mark.parametrize(
    ("patch", "files", "told"),
    [
        (diff(b"a\n", b"b\n"), {}, "the file to change is not there"),
        (diff(b"", b"b\n"), {"f": b""}, "the file to make is there already"),
        (diff(b"a\n", b""), {"f": b"a\nb\n"}, "the file to delete has 1 more lines"),
        (b"", {}, "holds no change"),
        (b"What: words only\n", {}, "holds no change"),
        (b"--- a/f\n+++ b/f\n", {}, "has no hunk for f"),
        (b"--- a/f\n+++ b/g\n@@ -1 +1 @@\n-a\n+b\n", {"f": b"a\n"}, "names two files: f and g"),
        (b"--- /dev/null\n+++ /dev/null\n@@ -1 +1 @@\n-a\n+b\n", {}, "names two files"),
        (b"@@ -1 +1 @@\n-a\n+b\n", {}, "cannot be applied: '@@"),
        (b"--- a/f\n+++ b/f\n@@ -x +1 @@\n-a\n+b\n", {"f": b"a\n"}, "malformed hunk header"),
        (b"--- a/f\n+++ b/f\n@@ -1,2 +1 @@\n-a\n+b\n", {"f": b"a\n"}, "ends inside a hunk"),
        (b"--- a/f\n+++ b/f\n@@ -1 +1,2 @@\n-a\n+b\nx\n", {"f": b"a\n"}, "ends inside a hunk, or holds a line that is none"),
        (b"--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b", {"f": b"a\n"}, "ends inside a hunk"),
        (b"--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n+c\n", {"f": b"a\n"}, "hunk 1 does not count: '\\+c"),
        (b"--- a/f\n+++ b/f\n@@ -1,0 +1,1 @@\n a\n+b\n", {"f": b"a\n"}, "header does not count its lines"),
        (b"--- a/f\n+++ b/f\n@@ -9,0 +10 @@\n+b\n", {"f": b"a\n"}, "after the end of the file"),
        (b"--- a/f\n+++ b/f\n@@ -2 +2 @@\n-b\n+c\n@@ -1 +1 @@\n-a\n+c\n", {"f": b"a\nb\n"}, "hunk 2 does not apply"),
        (b"--- a/f\n+++ b/f\n@@ -0 +1 @@\n-a\n+c\n", {"f": b"a\n"}, "hunk 1 does not apply"),
    ],
)
def test_what_does_not_fit_is_refused(patch: bytes, files: dict[str, bytes], told: str) -> None:
    with pytest.raises(PatchError, match=told) as caught:
        apply(patch, **files)
    assert caught.value.place.startswith("0001-x.patch")
    assert caught.value.hint


@pytest.mark.parametrize("name", [b"/etc/passwd", b"a/../../x", b"a/", b"f", b"a//x", b"a/./x", b'"a/\\303"', b"a/\xff"])
def test_a_path_that_leads_outside_or_is_none_is_refused(name: bytes) -> None:
    with pytest.raises(PatchError, match="outside the tree, or none"):
        apply(b"--- " + name + b"\n+++ " + name + b"\n@@ -1 +1 @@\n-a\n+b\n")


@pytest.mark.parametrize(
    "line",
    [b"rename from a", b"copy from a", b"GIT binary patch", b"Binary files a/x and b/y", b"new mode 100755", b"new file mode 100755"],
)
def test_what_no_hunk_can_say_is_refused_not_skipped(line: bytes) -> None:
    with pytest.raises(PatchError, match="cannot be applied"):
        apply(b"diff --git a/f b/f\n" + line + b"\n" + diff(b"a\n", b"b\n"), f=b"a\n")


def test_the_same_words_above_the_first_diff_are_text() -> None:
    assert apply(b"new mode of linking\n" + diff(b"a\n", b"b\n"), f=b"a\n") == {"f": b"b\n"}
