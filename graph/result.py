"""ActionResult: what a node gave, as kept under its key."""

from __future__ import annotations

import json
from dataclasses import dataclass

from graph.digest import Digest
from graph.node import Manifest

VERSION = 1
"""Of the JSON form. Another version is not read: the node runs again."""


@dataclass(frozen=True, slots=True)
class ActionResult:
    """The outcome of a node that ended well. But for `where`, nothing in it is about the machine that made it."""

    node: str
    key: str
    tree: Digest
    """Root Directory of the output tree."""
    seconds: float
    """Wall time of the run that made it."""
    hermetic: bool
    """False where the sandbox was only a scrubbed environment: never given to a shared store."""
    manifest: Manifest
    """The lines that the key hashes, for `explain` to compare."""
    log: Digest | None = None
    where: str = ""
    """The farm, and what it calls the worker, that ran the steps; empty for the machine of whoever made the result."""

    def encode(self) -> bytes:
        """JSON, one line."""
        return json.dumps(
            {
                "version": VERSION,
                "node": self.node,
                "key": self.key,
                "tree": str(self.tree),
                "seconds": round(self.seconds, 3),
                "hermetic": self.hermetic,
                "log": str(self.log) if self.log else None,
                "manifest": self.manifest,
                **({"where": self.where} if self.where else {}),
            }
        ).encode()

    @classmethod
    def decode(cls, data: bytes) -> ActionResult:
        """Inverse of encode(). Raises ValueError on bytes that are no such JSON, or of another version."""
        found = json.loads(data)
        if not isinstance(found, dict) or found.get("version") != VERSION:
            raise ValueError("not an action result of this version")
        try:
            return cls(
                node=_text(found["node"]),
                key=_text(found["key"]),
                tree=Digest.parse(_text(found["tree"])),
                seconds=float(found["seconds"]),
                hermetic=found["hermetic"] is True,
                manifest=tuple((_text(name), _text(value)) for name, value in found["manifest"]),
                log=Digest.parse(_text(found["log"])) if found["log"] is not None else None,
                where=_text(found.get("where", "")),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not an action result: {error!r}") from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"not a string: {value!r}")
    return value
