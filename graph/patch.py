"""Applying unified diffs strictly, on bytes: exact context at the stated line, no fuzz, no offset, no line of the patch left unread.

Own parser: unidiff reads text (sources are bytes in any encoding) and skips lines that it does not know, so a hunk whose header counts too
few lines, a rename or a binary diff would be lost without a word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from graph.errors import PatchError

_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_UNSUPPORTED = re.compile(rb"GIT binary patch|Binary files |rename from |copy from |new mode |new file mode (?!100644)")
"""Lines of git's extended headers that change more than the bytes of a text file."""
_HINT = "make the patch again with diff -u against the pinned source"


@dataclass(frozen=True, slots=True)
class Hunk:
    """One hunk: from line `start` (1 is the first; where `old` is empty, the line it goes after) `old` is replaced by `new`."""

    number: int
    start: int
    old: tuple[bytes, ...]
    """Lines with their line ends."""
    new: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class FilePatch:
    """What a patch does to one file. `old` or `new` is empty where it makes or deletes the file."""

    old: str
    new: str
    hunks: tuple[Hunk, ...]

    @property
    def path(self) -> str:
        return self.new or self.old


def apply_patch(patch: bytes, name: str, read: Callable[[str], bytes | None]) -> dict[str, bytes | None]:
    """The new bytes of each file the patch changes, None for a deleted one; `read` gives a file's bytes, None where there is none.

    Raises PatchError with patch `name`, file, hunk and the first line that differs.
    """
    changed: dict[str, bytes | None] = {}
    for file in parse(patch, name):
        before = changed[file.path] if file.path in changed else read(file.path)
        changed[file.path] = _apply(file, before, name)
    return changed


def parse(patch: bytes, name: str) -> tuple[FilePatch, ...]:
    """The files of a unified diff, paths without their first part (a/, b/). Raises PatchError on a malformed one."""
    found = tuple(_Parser(_lines(patch), name).files())
    if not found:
        raise PatchError("holds no change to any file", place=name, hint=_HINT)
    return found


def _lines(data: bytes) -> list[bytes]:
    """Lines with their ends; only \\n ends a line."""
    lines = [line + b"\n" for line in data.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


class _Parser:
    def __init__(self, lines: list[bytes], name: str) -> None:
        self.lines = lines
        self.name = name
        self.at = 0
        self.in_diff = False

    def files(self) -> Iterator[FilePatch]:
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if line.startswith(b"--- ") and self._next().startswith(b"+++ "):
                yield self._file()
                continue
            # the same words may stand in the text above the first diff
            self.in_diff |= line.startswith(b"diff ")
            if line.startswith(b"@@ ") or (self.in_diff and _UNSUPPORTED.match(line)):
                raise self._error(f"cannot be applied: {_show(line)}")
            self.at += 1

    def _file(self) -> FilePatch:
        old, new = self._path(self.lines[self.at]), self._path(self.lines[self.at + 1])
        if not (old or new) or (old and new and old != new):
            raise self._error(f"names two files: {old or '/dev/null'} and {new or '/dev/null'}")
        self.at += 2
        hunks: list[Hunk] = []
        while self.at < len(self.lines) and self.lines[self.at].startswith(b"@@ "):
            hunks.append(self._hunk(len(hunks) + 1))
        if not hunks:
            raise self._error(f"has no hunk for {new or old}")
        if self._is_uncounted():
            raise self._error(f"has a line that the header of hunk {len(hunks)} does not count: {_show(self.lines[self.at])}")
        return FilePatch(old, new, tuple(hunks))

    def _is_uncounted(self) -> bool:
        """The line after a hunk looks like a part of it. `-- ` starts the signature of a mail from git format-patch."""
        line = self.lines[self.at] if self.at < len(self.lines) else b""
        between = line.rstrip() == b"--" or (line.startswith(b"--- ") and self._next().startswith(b"+++ "))
        return line.startswith((b"+", b"-", b" ")) and not between

    def _next(self) -> bytes:
        return self.lines[self.at + 1] if self.at + 1 < len(self.lines) else b""

    def _path(self, line: bytes) -> str:
        text = line[4:].rstrip(b"\r\n").split(b"\t")[0]
        if text == b"/dev/null":
            return ""
        try:
            _, _, path = text.decode().partition("/")
        except UnicodeDecodeError:
            path = ""
        if any(part in ("", ".", "..") for part in path.split("/")) or text.startswith((b"/", b'"')):
            raise self._error(f"names a file outside the tree, or none: {_show(line)}")
        return path

    def _hunk(self, number: int) -> Hunk:
        line = self.lines[self.at]
        header = _HUNK.match(line)
        if not header:
            raise self._error(f"has a malformed hunk header: {_show(line)}")
        left, right = (1 if header[group] is None else int(header[group]) for group in (2, 4))
        self.at += 1
        old: list[bytes] = []
        new: list[bytes] = []
        while len(old) < left or len(new) < right:
            self._body_line(old, new)
        if (len(old), len(new)) != (left, right):
            raise self._error(f"has a hunk whose header does not count its lines: {_show(line)}")
        self._no_newline(old, new)
        return Hunk(number, int(header[1]), tuple(old), tuple(new))

    def _body_line(self, old: list[bytes], new: list[bytes]) -> None:
        line = self.lines[self.at] if self.at < len(self.lines) else b""
        # editors strip the blank of an empty context line
        kind, body = (b" ", line) if line in (b"\n", b"\r\n") else (line[:1], line[1:])
        if kind == b"\\":
            self._no_newline(old, new)
            return
        if kind not in (b" ", b"-", b"+") or not body.endswith(b"\n"):
            raise self._error(f"ends inside a hunk, or holds a line that is none of a hunk: {_show(line)}")
        if kind != b"+":
            old.append(body)
        if kind != b"-":
            new.append(body)
        self.at += 1

    def _no_newline(self, old: list[bytes], new: list[bytes]) -> None:
        """`\\ No newline at end of file` is about the line before it, on each side that this line is on."""
        if self.at >= len(self.lines) or not self.lines[self.at].startswith(b"\\"):
            return
        kind = self.lines[self.at - 1][:1]
        for side, other in ((old, b"+"), (new, b"-")):
            if kind != other and side:
                side[-1] = side[-1].removesuffix(b"\n")
        self.at += 1

    def _error(self, what: str) -> PatchError:
        return PatchError(what, place=f"{self.name}:{min(self.at + 1, len(self.lines))}", hint=_HINT)


def _apply(file: FilePatch, before: bytes | None, name: str) -> bytes | None:
    place = f"{name}: {file.path}"
    if file.old and before is None:
        raise PatchError("the file to change is not there", place=place, hint=_HINT)
    if not file.old and before is not None:
        raise PatchError("the file to make is there already", place=place, hint=_HINT)
    lines = _lines(before or b"")
    after: list[bytes] = []
    done = 0
    for hunk in file.hunks:
        at = hunk.start - 1 if hunk.old else hunk.start
        if at < done or tuple(lines[at : at + len(hunk.old)]) != hunk.old or at > len(lines):
            raise PatchError(_mismatch(hunk, lines, at), place=place, hint=_HINT)
        after += lines[done:at]
        after += hunk.new
        done = at + len(hunk.old)
    after += lines[done:]
    if not file.new and after:
        raise PatchError(f"the file to delete has {len(after)} more lines than the patch takes away", place=place, hint=_HINT)
    return b"".join(after) if file.new else None


def _mismatch(hunk: Hunk, lines: list[bytes], at: int) -> str:
    """First differing line, and where the hunk's lines are found if they are found once."""
    for number, expected in enumerate(hunk.old, start=at):
        found = lines[number] if 0 <= number < len(lines) else None
        if found != expected:
            text = f"hunk {hunk.number} does not apply: line {number + 1} is {_show(found)}, the patch has {_show(expected)}"
            break
    else:
        text = f"hunk {hunk.number} does not apply: line {at + 1} is not after the hunk before it, or after the end of the file"
    size = len(hunk.old)
    elsewhere = [start + 1 for start in range(len(lines) - size + 1) if size and tuple(lines[start : start + size]) == hunk.old]
    return f"{text}; its lines are at line {elsewhere[0]}" if len(elsewhere) == 1 else text


def _show(line: bytes | None) -> str:
    return "the end of the file" if line is None else repr(line.decode(errors="backslashreplace"))
