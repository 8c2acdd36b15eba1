"""Settings of a remote store: command line before environment before `[tool.freestanding.remote]` of pyproject.toml."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from graph.errors import RemoteError, did_you_mean

PLACE = "pyproject.toml: [tool.freestanding.remote]"
FARM = ("farm", "farm-jobs", "farm-cores", "farm-properties")
NAMES = ("url", "push", "claim", "ca", "cert", "key", "token-file", "signing-key", "keys", *FARM)
"""What the table may hold; each but `keys` has a variable (VARIABLES), e.g. FREESTANDING_REMOTE_CA, FREESTANDING_FARM."""
_ENDS = {name: name if name in FARM else f"remote-{name}" for name in NAMES if name not in ("url", "keys")} | {"url": "remote"}
VARIABLES = {name: f"FREESTANDING_{end.upper().replace('-', '_')}" for name, end in _ENDS.items()}
YES = (True, "1", "true", "yes")
SCHEMES = ("file", "http", "https", "grpc", "grpcs")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
FARM_FORM = "grpcs://HOST:PORT[/INSTANCE]"
FARM_JOBS, FARM_CORES = 32, 4
FORM = "grpcs://HOST:PORT[/INSTANCE], https://HOST[:PORT][/PATH] or file:///FOLDER"


@dataclass(frozen=True, slots=True)
class Settings:
    """A remote store and how to talk to it. `token` is never shown."""

    url: str
    push: bool = False
    ca: str = ""
    """PEM file of the authority that the server's certificate is checked with, in the place of the machine's own."""
    cert: str = ""
    """PEM file of our certificate, for mutual TLS; `key` is its private key."""
    key: str = ""
    token: str = field(default="", repr=False)
    signing_key: str = ""
    """PEM file of the ed25519 key that signs what is pushed."""
    keys: tuple[str, ...] = ()
    """NAME:BASE64 of ed25519 public keys; if there are any, results that none of them signed are not used."""
    claim: bool = False
    """Whether what is pushed is claimed before it is made."""

    @property
    def scheme(self) -> str:
        return urlsplit(self.url).scheme

    def pem(self, name: str) -> bytes | None:
        """Bytes of the file that the setting `ca`, `cert` or `key` names, if it does. Raises RemoteError."""
        path = str(getattr(self, name))
        return _read(path, name) if path else None

    def tls(self) -> ssl.SSLContext:
        """For a client. Raises RemoteError on a file that cannot be used."""
        try:
            context = ssl.create_default_context(cafile=self.ca or None)
            if self.cert:
                context.load_cert_chain(self.cert, self.key or None)
        except OSError as error:
            files = ", ".join(path for path in (self.ca, self.cert, self.key) if path)
            raise RemoteError(f"a certificate or key cannot be used: {error}", place=files, hint="PEM files are needed") from None
        return context


@dataclass(frozen=True, slots=True)
class FarmSettings:
    """A farm: a server whose workers run actions."""

    server: Settings
    jobs: int
    """Actions at once."""
    cores: int
    """Cores that one action may use, of those its worker has."""
    properties: tuple[tuple[str, str], ...]
    """REAPI's platform properties: which workers will do, and how they run an action."""


def parse_farm(table: Mapping[str, Any], environ: Mapping[str, str], *, farm: str = "", jobs: str = "") -> FarmSettings | None:
    """The farm in force; `farm` and `jobs` are the command line's. None without an address, or with `none`. Raises RemoteError."""
    given = {**_checked(table), **_variables(environ)}
    url = farm or str(given.get("farm", ""))
    if url in ("", "none"):
        return None
    if urlsplit(url).scheme not in ("grpc", "grpcs"):
        raise RemoteError(f"{_bare(url)!r} is no address of a farm", hint=f"--farm {FARM_FORM}")
    numbers = (_number("farm-jobs", jobs or given.get("farm-jobs", FARM_JOBS)), _number("farm-cores", given.get("farm-cores", FARM_CORES)))
    return FarmSettings(_settings(given, environ, url), *numbers, _properties(given.get("farm-properties", {})))


def _number(name: str, value: object) -> int:
    if not (str(value).isdecimal() and 0 < int(str(value)) <= 1000):
        raise RemoteError(f"{name} is {value!r}", place=PLACE, hint="a number from 1 to 1000")
    return int(str(value))


def _properties(given: object) -> tuple[tuple[str, str], ...]:
    """From the table, or from the variable's NAME=VALUE words."""
    pairs = [word.partition("=")[::2] for word in given.split()] if isinstance(given, str) else dict(given).items()  # type: ignore[call-overload]
    for name, value in pairs:
        if not (name and value and isinstance(value, str)):
            raise RemoteError(f"farm-properties has {name!r} = {value!r}", place=PLACE, hint='e.g. { OSFamily = "linux" }')
    return tuple(sorted(pairs))


def parse_settings(
    table: Mapping[str, Any], environ: Mapping[str, str], *, url: str = "", push: bool = False, claim: bool = False
) -> Settings | None:
    """The settings in force; `url`, `push` and `claim` are the command line's. None without a URL, or with `none`. Raises RemoteError."""
    given = {**_checked(table), **_variables(environ)}
    if url == "none":
        return None
    url = url or str(given.get("url", ""))
    push = push or given.get("push") in YES
    if claim and not push:
        raise RemoteError("--claim, but nothing is pushed", hint="--push, too: others wait for what is claimed")
    if url in ("", "none"):
        if push:
            raise RemoteError("--push, but no remote store is named", hint=f"--remote {FORM}")
        return None
    return _settings(given, environ, url, push=push, claim=push and (claim or given.get("claim") in YES))


def _settings(given: Mapping[str, Any], environ: Mapping[str, str], url: str, *, push: bool = False, claim: bool = False) -> Settings:
    _check_url(url)
    texts = {name: str(given.get(name, "")) for name in ("ca", "cert", "key", "signing-key", "token-file")}
    token = environ.get("FREESTANDING_REMOTE_TOKEN", "") or (
        _read(texts["token-file"], "token-file").decode(errors="replace") if texts["token-file"] else ""
    )
    settings = Settings(
        url,
        push,
        texts["ca"],
        texts["cert"],
        texts["key"],
        _token(token, url),
        texts["signing-key"],
        tuple(given.get("keys", ())),
        claim,
    )
    if bool(settings.key) and not settings.cert:
        raise RemoteError("`key` without `cert`", place=PLACE, hint="name the certificate, too")
    return settings


KINDS: Mapping[str, type] = {"push": bool, "claim": bool, "keys": list, "farm-jobs": int, "farm-cores": int, "farm-properties": dict}
FORMS = {bool: "true or false", list: "a list of texts", int: "a number", dict: "a table of texts"}


def _checked(table: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in table.items():
        kind: type = KINDS.get(name, str)
        if name not in NAMES:
            raise RemoteError(f"unknown setting {name!r}", place=PLACE, hint=did_you_mean(name, NAMES))
        if not isinstance(value, kind) or (isinstance(value, list) and not all(isinstance(one, str) for one in value)):
            form = FORMS.get(kind, "a text")
            raise RemoteError(f"{name} is {value!r}", place=PLACE, hint=f"it must be {form}")
    return dict(table)


def _variables(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: environ[variable] for name, variable in VARIABLES.items() if environ.get(variable)}


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in SCHEMES and (parts.path.startswith("/") if parts.scheme == "file" else bool(parts.hostname))
        # raises ValueError when it is no number
        good = good and (parts.port is not None or parts.scheme not in ("grpc", "grpcs"))
    except ValueError:
        good = False
    if not good:
        raise RemoteError(f"{_bare(url)!r} is no address of a remote store", hint=FORM)
    if parts.username or parts.password or parts.query or parts.fragment:
        hint = "put the token into FREESTANDING_REMOTE_TOKEN, or into a file that FREESTANDING_REMOTE_TOKEN_FILE names"
        raise RemoteError(f"the address {_bare(url)} holds a name, password or query", hint=hint)
    if parts.scheme == "file" and parts.netloc:
        raise RemoteError(f"{url!r} names a host", hint="file:///FOLDER, with three slashes")


def _bare(url: str) -> str:
    """The address without what could be secret."""
    head, at, tail = url.rpartition("@")
    return (head.split("//")[0] + "//…@" + tail if at else url).split("?")[0]


def _token(token: str, url: str) -> str:
    token = token.strip()
    parts = urlsplit(url)
    if token and parts.scheme in ("http", "grpc") and parts.hostname not in LOOPBACK:
        raise RemoteError(f"a token would go to {url} in the clear", hint="use https:// or grpcs://")
    if token and not (token.isascii() and token.isprintable()):
        raise RemoteError("the token holds characters that no header can", place="FREESTANDING_REMOTE_TOKEN", hint="give the bare token")
    return token


def _read(path: str, name: str) -> bytes:
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise RemoteError(f"{name} cannot be read: {error.strerror}", place=path, hint="doit help run") from None
