"""What comes from a remote store is read and hashed with care."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from graph.digest import Digest
from graph.remote.base import Fault, Feed


@contextmanager
def malformed(what: str) -> Iterator[None]:
    """Bytes that cannot be read are a Fault."""
    try:
        yield
    except ValueError as error:
        raise Fault("wrong", f"{what} that is none: {str(error)[:100]}") from None


@contextmanager
def checking(digest: Digest, keep: Callable[[bytes], object]) -> Iterator[Feed]:
    """Hash what is fed, and hand it on. Raises Fault on a byte too many, and at the end if it is not the blob."""
    state, size = hashlib.sha256(), 0

    def feed(chunk: bytes) -> None:
        nonlocal size
        size += len(chunk)
        if size > digest.size:
            raise Fault("wrong", f"blob {digest}: more bytes than that came")
        state.update(chunk)
        keep(chunk)

    yield feed
    if size < digest.size:
        raise Fault("transient", f"blob {digest}: only {size} bytes came")
    if state.hexdigest() != digest.hash:
        raise Fault("wrong", f"blob {digest}: wrong bytes came")
