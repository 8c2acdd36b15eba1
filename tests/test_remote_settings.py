"""Settings of a remote store, keys, and the command as it is typed."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Any

import pytest

from graph.errors import RemoteError
from graph.remote.settings import FarmSettings, Settings, parse_farm, parse_settings
from graph.remote.sign import Signer, Verifier
from tests.mini import Mini, nodes_done
from tests.remotes import http_cache, reapi
from tests.test_cli import TARGET


def key_pair(folder: Path, name: str) -> tuple[Path, str]:
    """PEM file of a private key, and its public one as pyproject.toml has it."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    (folder / f"{name}.pem").write_bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()))
    public = key.public_key().public_bytes(form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo)
    return folder / f"{name}.pem", f"{name}:{base64.b64encode(public).decode()}"


def signer(path: Path) -> Signer:
    return Signer(str(path))


def verifier(*keys: str) -> Verifier:
    return Verifier(keys)


def test_the_command_line_comes_before_the_environment_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-a-file\n")
    table = {"url": "https://file.example.org", "push": False, "token-file": str(tmp_path / "token"), "keys": ["a:b"]}
    found = parse_settings(table, {})
    assert found == Settings("https://file.example.org", token="from-a-file", keys=("a:b",))
    environ = {
        "FREESTANDING_REMOTE": "grpcs://variable.example.org:443/x",
        "FREESTANDING_REMOTE_PUSH": "1",
        "FREESTANDING_REMOTE_TOKEN": "t",
    }
    assert parse_settings(table, environ) == Settings("grpcs://variable.example.org:443/x", push=True, token="t", keys=("a:b",))
    typed = parse_settings(table, environ, url="file:///shared")
    assert typed is not None
    assert typed.url == "file:///shared"
    assert parse_settings(table, environ | {"FREESTANDING_REMOTE_PUSH": ""}, url="none") is None
    assert parse_settings({}, {}) is None
    assert "token" not in repr(typed)


def test_claims_are_for_those_who_push() -> None:
    table = {"url": "https://file.example.org", "claim": True}
    found = [
        parse_settings(table, {}),
        parse_settings(table, {}, push=True),
        parse_settings({"url": table["url"]}, {}, push=True, claim=True),
    ]
    assert [one is not None and one.claim for one in found] == [False, True, True]
    given = parse_settings(table | {"claim": False, "push": True}, {"FREESTANDING_REMOTE_CLAIM": "1"})
    assert given is not None and given.claim
    with pytest.raises(RemoteError, match="--claim, but nothing is pushed"):
        parse_settings(table, {}, claim=True)


def test_a_farm_has_settings_of_its_own_and_shares_the_token(tmp_path: Path) -> None:
    table = {"url": "https://store.example.org", "farm": "grpcs://farm.example.org:1", "farm-properties": {"b": "2", "a": "1"}}
    environ = {"FREESTANDING_REMOTE_TOKEN": "t"}
    server = Settings("grpcs://farm.example.org:1", token="t")
    assert parse_farm(table, environ) == FarmSettings(server, 32, 4, (("a", "1"), ("b", "2")))
    environ |= {"FREESTANDING_FARM": "grpcs://other:2/x", "FREESTANDING_FARM_JOBS": "5", "FREESTANDING_FARM_CORES": "2"}
    environ["FREESTANDING_FARM_PROPERTIES"] = "OSFamily=linux unixUID=1000"
    found = parse_farm({**table, "farm-jobs": 7}, environ)
    assert found == FarmSettings(Settings("grpcs://other:2/x", token="t"), 5, 2, (("OSFamily", "linux"), ("unixUID", "1000")))
    typed = parse_farm(table, environ, farm="grpcs://typed:3", jobs="9")
    assert typed is not None
    assert (typed.server.url, typed.jobs) == ("grpcs://typed:3", 9)
    assert parse_farm(table, environ, farm="none") is None
    assert parse_farm({"url": "https://store.example.org"}, {}) is None
    assert parse_settings(table, {}) == Settings("https://store.example.org"), "a store is no farm"


@pytest.mark.parametrize(
    ("table", "environ", "text"),
    [
        ({"farm": "https://farm"}, {}, "no address of a farm"),
        ({"farm": "grpc://farm"}, {}, "no address of a remote store"),
        ({"farm": "grpc://farm:1", "farm-jobs": "4"}, {}, "farm-jobs is '4'"),
        ({"farm": "grpc://farm:1", "farm-jobs": 0}, {}, "farm-jobs is 0"),
        ({"farm": "grpc://farm:1"}, {"FREESTANDING_FARM_CORES": "many"}, "farm-cores is 'many'"),
        ({"farm": "grpc://farm:1", "farm-properties": {"a": 1}}, {}, "farm-properties has 'a' = 1"),
        ({"farm": "grpc://farm:1"}, {"FREESTANDING_FARM_PROPERTIES": "plain"}, "farm-properties has 'plain' = ''"),
        ({"farm": "grpc://farm:1"}, {"FREESTANDING_REMOTE_TOKEN": "secret"}, "in the clear"),
    ],
)
def test_bad_settings_of_a_farm_are_told(table: dict[str, Any], environ: dict[str, str], text: str) -> None:
    with pytest.raises(RemoteError, match=text):
        parse_farm(table, environ)


BAD: list[tuple[dict[str, Any], dict[str, str], str]] = [
    ({"url": "ftp://x"}, {}, "no address of a remote store"),
    ({"url": "https://"}, {}, "no address of a remote store"),
    ({"url": "grpc://host"}, {}, "no address of a remote store"),
    ({"url": "https://host:port"}, {}, "no address of a remote store"),
    ({"url": "file://host/folder"}, {}, "names a host"),
    ({"url": "https://me:secret@host/x"}, {}, "holds a name, password or query"),
    ({"url": "https://host/x?token=secret"}, {}, "holds a name, password or query"),
    ({"url": "http://host"}, {"FREESTANDING_REMOTE_TOKEN": "secret"}, "in the clear"),
    ({"url": "https://host"}, {"FREESTANDING_REMOTE_TOKEN": "secret\nX-Evil: 1"}, "characters that no header can"),
    ({"url": "https://host"}, {"FREESTANDING_REMOTE_TOKEN_FILE": "/nowhere"}, "cannot be read"),
    ({"url": "https://host", "key": "k.pem"}, {}, "`key` without `cert`"),
    ({"ulr": "https://host"}, {}, "unknown setting 'ulr'"),
    ({"url": 5}, {}, "url is 5"),
    ({"push": "yes"}, {}, "push is 'yes'"),
    ({"claim": "yes"}, {}, "claim is 'yes'"),
    ({"keys": [1]}, {}, r"keys is \[1\]"),
    ({}, {"FREESTANDING_REMOTE_PUSH": "1"}, "no remote store is named"),
]


@pytest.mark.parametrize(("table", "environ", "text"), BAD)
def test_bad_settings_are_told_without_secrets(table: dict[str, Any], environ: dict[str, str], text: str) -> None:
    with pytest.raises(RemoteError, match=text) as caught:
        parse_settings(table, environ)
    assert caught.value.hint
    assert "secret" not in str(caught.value)
    assert caught.value.exit_code == 26


def test_keys_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("no key")
    for path in ("/nowhere", str(tmp_path / "bad.pem")):
        with pytest.raises(RemoteError, match="the signing key cannot be read"):
            Signer(path)
    for text in ("a:!!!", "a:AAAA", ""):
        with pytest.raises(RemoteError, match="no ed25519 public key"):
            Verifier([text])


def test_packages_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from graph.remote.connect import connect

    for name, use in (
        ("grpc", lambda: connect(Settings("grpc://localhost:1"), lambda received=0, sent=0: None)),
        ("cryptography", lambda: Verifier(["a:b"])),
    ):
        with monkeypatch.context() as patched:
            patched.setitem(sys.modules, name, None)
            with pytest.raises(RemoteError, match="the package") as caught:
                use()
            assert "[remote]" in caught.value.hint


@pytest.fixture
def mini(tmp_path: Path) -> Mini:
    return Mini(tmp_path / "first")


@pytest.mark.whole
def test_two_checkouts_as_typed(mini: Mini, tmp_path: Path) -> None:
    with reapi() as server:
        done = mini.doit("--remote", server.url, "--push", TARGET, FREESTANDING_OFFLINE="")
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"remote: 0 results taken, {len(nodes_done(done.stdout))} pushed" in done.stdout
        other = Mini(tmp_path / "elsewhere" / "second")
        done = other.doit(TARGET, FREESTANDING_REMOTE=server.url, FREESTANDING_OFFLINE="")
        assert done.returncode == 0, done.stdout + done.stderr
        assert nodes_done(done.stdout) == []
        assert "0 nodes run" in done.stdout
        assert "MB received, 0.0 MB sent" in done.stdout
        [one], [two] = ([*(checkout.root / "dist").glob("*.txt")] for checkout in (mini, other))
        assert one.read_bytes() == two.read_bytes()
        assert server.kept.wrong == []


@pytest.mark.whole
def test_pyproject_names_the_remote_store_and_offline_leaves_it(mini: Mini, tmp_path: Path) -> None:
    with http_cache() as server:
        text = (mini.root / "pyproject.toml").read_text()
        mini.write("pyproject.toml", f'{text}\n[tool.freestanding.remote]\nurl = "{server.url}"\npush = true\n')
        assert mini.doit(TARGET).returncode == 0
        assert server.kept.asked == [], "FREESTANDING_OFFLINE is set"
        assert mini.doit(TARGET, FREESTANDING_OFFLINE="").returncode == 0
        assert server.kept.results


@pytest.mark.whole
def test_local_sources_stay_here(mini: Mini, tmp_path: Path) -> None:
    from tests.fakes import ARCHIVES

    (tmp_path / "zlib.tar.gz").write_bytes(ARCHIVES["zlib"] + b"\0")
    with http_cache() as server:
        options = ("--remote", server.url, "--push", f"--source=zlib={tmp_path / 'zlib.tar.gz'}")
        done = mini.doit("run", *options, "make:zlib", "make:openssl", FREESTANDING_OFFLINE="")
        assert done.returncode == 0, done.stdout + done.stderr
        pushed = " ".join(value.decode(errors="replace") for value in server.kept.results.values())
        assert "make:openssl" in pushed
        assert "make:zlib" not in pushed
        assert "zlib.tar.gz" not in pushed


@pytest.mark.whole
def test_a_bad_address_ends_with_its_own_code(mini: Mini) -> None:
    done = mini.doit("--remote", "ftp://x", TARGET)
    assert done.returncode == 26, done.stdout + done.stderr
    assert "next: grpcs://" in done.stderr
    assert "Traceback" not in done.stderr
    assert mini.doit("list", FREESTANDING_REMOTE="ftp://x").returncode == 0, "it asks no remote store"
