"""Errors a user can meet: each class has its own exit code and a hint, the next command to type."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar


class FreestandingError(Exception):
    """Base of all errors shown to a user: `what` broke, at which `place`, and the `hint` to act on."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, place: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.place = place
        self.hint = hint

    def __str__(self) -> str:
        lines = [f"{self.place}: {self.what}" if self.place else self.what]
        if self.hint:
            lines.append(f"  next: {self.hint}")
        return "\n".join(lines)


class UsageError(FreestandingError):
    """An unknown target, option, version or node name was typed."""

    exit_code = 10


class LockError(FreestandingError):
    """sources.lock, targets.toml or another data file is malformed."""

    exit_code = 11


class FetchError(FreestandingError):
    """No way to get an artefact worked."""

    exit_code = 12


class HashMismatch(FetchError):
    """Bytes came, from every way that answered, but none had the pinned sha256 or size."""

    exit_code = 13


class UnpackError(FreestandingError):
    """An archive is truncated, broken or hostile."""

    exit_code = 14


class PatchError(FreestandingError):
    """A patch does not apply, or is used by nothing."""

    exit_code = 15


class PlanError(FreestandingError):
    """The recipes do not make a graph: a cycle, an unknown input, two nodes of one name."""

    exit_code = 16


class StepFailed(FreestandingError):
    """A step of a node ended with a non-zero status or gave no output."""

    exit_code = 17


class StoreError(FreestandingError):
    """The store cannot be read or written, or holds wrong bytes."""

    exit_code = 18


class MissingBlob(StoreError):
    """A blob that a tree names is not in the store, or not whole."""


class DiskFull(StoreError):
    """No space left on the device of the store."""

    exit_code = 19


class HostToolMissing(FreestandingError):
    """A declared host tool is not on PATH."""

    exit_code = 20


class AuditFailed(FreestandingError):
    """An archive breaks a limit of its policy."""

    exit_code = 21


class TestsFailed(FreestandingError):
    """The interpreter of an archive failed its tests."""

    exit_code = 22


class NotReproducible(FreestandingError):
    """A node built twice gave two digests."""

    exit_code = 23


class SandboxError(FreestandingError):
    """The sandbox, or the machine that runs a target's programs, could not be had."""

    exit_code = 24


class LockDrift(LockError):
    """`doit lock --check` found entries that differ from what the ways serve."""

    exit_code = 25


class RemoteError(FreestandingError):
    """Settings of the remote store cannot be used: address, key, token, package. What the store itself does is never an error."""

    exit_code = 26


class Interrupted(FreestandingError):
    """Ctrl-C."""

    exit_code = 130


def import_error(error: ImportError) -> FreestandingError:
    """A wheel (lief's) counts on a library that the machine lacks. Raises any other ImportError again: it is ours."""
    if "cannot open shared object file" not in str(error):
        raise error
    return HostToolMissing(str(error), hint="install the package that has it, e.g. apt-get install libstdc++6")


def os_error(error: OSError, place: object) -> StoreError:
    """The error to show for an OSError that came up while the store, or work on its file system, was at `place`."""
    where = str(error.filename or place)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull("no space left for the store", place=where, hint="free some space, or: doit store gc --max-size 10G")
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        hint = "make it writable, or set FREESTANDING_STORE to another folder"
        return StoreError(f"the store cannot be written: {error.strerror}", place=where, hint=hint)
    return StoreError(f"the store failed: {error.strerror or error}", place=where, hint="doit store verify")


def did_you_mean(typed: str, known: Iterable[str]) -> str:
    """Hint text for a mistyped name: the closest known names, or the whole (short) list."""
    names = sorted(known)
    close = get_close_matches(typed, names, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"known: {', '.join(names[:20])}" if names else "nothing is known here"
