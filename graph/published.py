"""A result as it stands in a remote store, and the checks of all that comes from there: nothing in it is believed before them."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass

from graph.digest import Digest, Directory
from graph.errors import StoreError
from graph.node import key as key_of
from graph.reapi import Outcome, decode_tree, encode_tree
from graph.result import ActionResult
from graph.trees import DEPTH, Load, check, flatten
from graph.wire import repeated

MAX_RESULT = 4 << 20
"""Bytes of an ActionResult, or of the note in it. Those of the whole matrix have at most 60 kB."""
MAX_TREE = 16 << 20
"""Bytes of a Tree message. The largest here, zig's, has 2.5 MB."""
MAX_ENTRIES = 200_000
"""Paths in a tree, folders that it holds twice counted twice."""
MAX_SIZE = 32 << 30
"""Bytes of all files in a tree."""
SIGNED = b"freestanding result 1\n"
"""Stands before what is signed, so that the signature is of nothing else."""


@dataclass(frozen=True, slots=True)
class Note:
    """Our own result, as text, with signatures of it."""

    result: str
    signatures: Mapping[str, bytes]
    """Name of a key -> ed25519 signature of `signed`."""

    def encode(self) -> bytes:
        """JSON."""
        signatures = {name: base64.b64encode(signature).decode() for name, signature in sorted(self.signatures.items())}
        return json.dumps({"result": self.result, "signatures": signatures}).encode()

    @classmethod
    def decode(cls, data: bytes) -> Note:
        """Inverse of encode(). Raises ValueError."""
        found = _json(data)
        if not isinstance(found, dict) or not isinstance(found.get("result"), str) or not isinstance(found.get("signatures"), dict):
            raise ValueError("not a note of a result")
        try:
            signatures = {name: base64.b64decode(text, validate=True) for name, text in found["signatures"].items()}
        except (TypeError, binascii.Error) as error:
            raise ValueError(f"not a signature: {error}") from None
        return cls(found["result"], signatures)

    @property
    def signed(self) -> bytes:
        """The bytes that are signed: all that a result says."""
        return signed(self.result)


def signed(result: str) -> bytes:
    """The bytes whose signature stands for a result."""
    return SIGNED + result.encode()


def result_of(key: str, note: Note, outcome: Outcome) -> ActionResult:
    """Our own result. Raises ValueError unless it is one of this key, made in a sandbox, and what the ActionResult says, too."""
    _json(note.result.encode())
    found = ActionResult.decode(note.result.encode())
    if found.key != key or key_of(found.manifest) != key:
        raise ValueError("a result of another key")
    if not found.hermetic:
        raise ValueError("a result that was made outside a sandbox")
    if found.log != outcome.log:
        raise ValueError("two logs")
    return found


def tree_of(load: Load, root: Digest) -> bytes:
    """The Tree message of a tree. Raises StoreError if a folder of it is missing."""
    folders = {entry.digest: None for entry in flatten(load, root) if entry.kind == "directory" and entry.digest is not None}
    folders.pop(root, None)
    return encode_tree(load(root).encode(), (load(digest).encode() for digest in folders))


def folders_of(root: Digest, data: bytes) -> dict[Digest, bytes]:
    """The Directory messages of a Tree, children before the folder that holds them, `root` last.

    Raises ValueError when one is missing, a name or link leads outside, or the tree is larger than any of ours could be.
    """
    given = {Digest.of(one): one for one in decode_tree(data)}
    loaded: dict[Digest, Directory] = {}

    def load(digest: Digest) -> Directory:
        if digest not in loaded:
            if digest not in given:
                raise ValueError(f"its folder {digest} is missing")
            loaded[digest] = check(Directory.decode(given[digest]), "")
        return loaded[digest]

    sizes: dict[Digest, _Size] = {}
    try:
        _measure(load, root, sizes, 0)
        # what a link leads to depends on where it stands
        for _ in flatten(load, root):
            pass
    except StoreError as error:
        raise ValueError(error.what) from None
    return {digest: given[digest] for digest in sizes}


def foreign_tree(data: bytes) -> tuple[Digest, dict[Digest, bytes]]:
    """Root and folders of a Tree message that another program made, as folders_of() has them.

    Raises ValueError as that does, and if a Directory is not in canonical form: the same tree would have two digests.
    """
    [root] = list(repeated(data, 1)) or [b""]
    folders = folders_of(Digest.of(root), encode_tree(root, repeated(data, 2)))
    if any(Directory.decode(folder).encode() != folder for folder in folders.values()):
        raise ValueError("a folder that is not in canonical form")
    return Digest.of(root), folders


@dataclass(frozen=True, slots=True)
class _Size:
    """What lies below a folder, at any depth."""

    entries: int
    bytes: int


def _measure(load: Load, digest: Digest, sizes: dict[Digest, _Size], level: int) -> _Size:
    """Put the sizes of a folder and of those below it in `sizes`, each once however often it is held, children first. Raises ValueError."""
    if digest in sizes:
        return sizes[digest]
    if level > DEPTH:
        raise ValueError(f"a tree of more than {DEPTH} levels")
    directory = load(digest)
    below = [_measure(load, child, sizes, level + 1) for _, child in directory.directories]
    held = [file.size for _, file, _ in directory.files] + [folder.size for _, folder in directory.directories]
    entries = len(held) + len(directory.symlinks) + sum(one.entries for one in below)
    size = sum(held) + sum(one.bytes for one in below)
    if entries > MAX_ENTRIES or size > MAX_SIZE:
        raise ValueError(f"more than {MAX_ENTRIES} files or {MAX_SIZE} bytes in a tree")
    sizes[digest] = _Size(entries, size)
    return sizes[digest]


def _json(data: bytes) -> object:
    try:
        found: object = json.loads(data)
    except RecursionError:
        raise ValueError("too deep") from None
    return found
