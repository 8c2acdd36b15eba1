"""Signatures of results with ed25519. Needs the package cryptography, of the extra [remote]."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from graph.errors import RemoteError
from graph.published import Note, signed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

EXTRA = "pip install 'freestanding[remote]'"
MAKE = "openssl genpkey -algorithm ed25519 -out key.pem; openssl pkey -in key.pem -pubout -outform DER | base64"


class Signer:
    """Signs with the private key in a PEM file. Raises RemoteError when it is none."""

    def __init__(self, path: str) -> None:
        self._key = _private(path)

    def sign(self, result: str) -> Note:
        """The result with its signature, under the first letters of the public key."""
        public = self._key.public_key().public_bytes_raw().hex()
        return Note(result, {public[:16]: self._key.sign(signed(result))})


class Verifier:
    """Knows whose signatures are good: NAME:BASE64 each, of the key as openssl's DER has it or of its 32 bytes. Raises RemoteError."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = [_public(key) for key in keys]
        self.fingerprint = hashlib.sha256(b"".join(sorted(key.public_bytes_raw() for key in self._keys))).hexdigest()
        """Of all the keys together."""

    def accepts(self, note: Note) -> bool:
        """Whether one of the keys signed this."""
        return any(_verifies(key, signature, note.signed) for key in self._keys for signature in list(note.signatures.values())[:16])


def _verifies(key: Ed25519PublicKey, signature: bytes, data: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, data)
    except InvalidSignature:
        return False
    return True


def _private(path: str) -> Ed25519PrivateKey:
    _needed()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(Path(path).expanduser().read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise RemoteError(f"the signing key cannot be read: {error}", place=path, hint=MAKE) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise RemoteError("the signing key is no ed25519 key", place=path, hint=MAKE)
    return key


def _public(text: str) -> Ed25519PublicKey:
    _needed()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        # the 12 bytes before those of the key say in DER that it is one of ed25519
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text.rpartition(":")[2], validate=True)[-32:])
    except ValueError:
        raise RemoteError(f"{text!r} is no ed25519 public key", place="[tool.freestanding.remote] keys", hint=MAKE) from None


def _needed() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise RemoteError("signed results need the package cryptography", hint=EXTRA) from None
