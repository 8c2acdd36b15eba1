"""Whom a distribution trusts: a TLS server with a CA made for the test, asked from root file systems laid out as systems do.

Servers listen on this machine's loopback, which the roots share. docs/certificates.md has the rules that are tried here.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import trustme

from tests.real.conftest import DEEP
from tests.real.roots import Root

HERE = Path(__file__).parent
PREFIX = f"/opt/{DEEP}/python"
BUNDLE = f"{PREFIX}/share/ca-certificates/cacert.pem"
PROBE = "/tmp/tls_probe.py"
UNTRUSTED = "unable to get local issuer certificate"
PUBLIC = "/tmp/letsencrypt.org.pem"
PUBLIC_TIME = "1785542400"
"""1 August 2026: the chain that letsencrypt.org sent in that summer was valid."""
DEBIAN, RHEL, SUSE = "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"
EXTRACTED = "etc/pki/ca-trust/extracted/pem"
WHEEL = "local_demo-1.0-py3-none-any.whl"


@dataclass(frozen=True)
class Authority:
    """A CA made for the test, and the name OpenSSL looks it up by in a directory."""

    pem: bytes
    hash: str


Layout = Callable[[Root, Authority], None]


def debian(root: Root, ca: Authority) -> None:
    root.write(DEBIAN, ca.pem)
    root.write("usr/local/share/ca-certificates/own.crt", ca.pem)
    link(root, f"etc/ssl/certs/{ca.hash}", "/usr/local/share/ca-certificates/own.crt")


def rhel(root: Root, ca: Authority) -> None:
    """8 and 9: the directory holds bundles, no hashed names."""
    root.write(f"{EXTRACTED}/tls-ca-bundle.pem", ca.pem)
    link(root, RHEL, f"/{EXTRACTED}/tls-ca-bundle.pem")
    link(root, "etc/ssl/certs", "../pki/tls/certs")


def fedora(root: Root, ca: Authority) -> None:
    """Of late: hashed names only, no bundle where programs look for one."""
    root.write(f"{EXTRACTED}/directory-hash/{ca.hash}", ca.pem)
    link(root, "etc/pki/tls/certs", f"/{EXTRACTED}/directory-hash")


def suse(root: Root, ca: Authority) -> None:
    root.write("var/lib/ca-certificates/ca-bundle.pem", ca.pem)
    root.write(f"var/lib/ca-certificates/pem/{ca.hash}", ca.pem)
    link(root, SUSE, "/var/lib/ca-certificates/ca-bundle.pem")
    link(root, "etc/ssl/certs", "/var/lib/ca-certificates/pem")


def alpine(root: Root, ca: Authority) -> None:
    root.write(DEBIAN, ca.pem)
    link(root, "etc/ssl/cert.pem", "certs/ca-certificates.crt")


def empty(root: Root, ca: Authority) -> None:
    """No certificate and no place for one."""


def slim(root: Root, ca: Authority) -> None:
    """Debian without the package ca-certificates: folders, and in one a link that leads nowhere."""
    (root.place / "etc/ssl/certs").mkdir(parents=True)
    (root.place / "etc/ssl/certs" / ca.hash).symlink_to("/usr/share/ca-certificates/removed.crt")


WITH_STORE: dict[Layout, tuple[str | None, str | None]] = {
    debian: (DEBIAN, "/etc/ssl/certs"),
    rhel: (RHEL, "/etc/ssl/certs"),
    fedora: (None, "/etc/pki/tls/certs"),
    suse: (SUSE, "/etc/ssl/certs"),
    alpine: ("/etc/ssl/cert.pem", "/etc/ssl/certs"),
}
"""Layouts with a store of their own; what ssl.get_default_verify_paths() must say there."""
WITHOUT_STORE: dict[Layout, tuple[str | None, str | None]] = {empty: (BUNDLE, None), slim: (BUNDLE, "/etc/ssl/certs")}
LAYOUTS = {**WITH_STORE, **WITHOUT_STORE}


def link(root: Root, path: str, target: str) -> None:
    place = root.place / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)


@pytest.fixture(scope="module")
def issuer() -> trustme.CA:
    return trustme.CA(organization_name="Tests of a distribution")


@pytest.fixture(scope="module")
def authority(issuer: trustme.CA, moved: Path, tmp_path_factory: pytest.TempPathFactory) -> Authority:
    pem = issuer.cert_pem.bytes()
    root = Root(tmp_path_factory.mktemp("hash") / "root")
    install(root, moved)
    root.write("tmp/ca.pem", pem)
    return Authority(pem, probe(root, "hash", "/tmp/ca.pem"))


@pytest.fixture(scope="module")
def context(issuer: trustme.CA) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issuer.issue_cert("localhost").configure_cert(made)
    return made


@pytest.fixture(scope="module")
def port(context: ssl.SSLContext) -> Iterator[int]:
    """A TLS server that greets, and hears nothing of clients that do not trust it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=greet, args=(server, context), daemon=True).start()
        yield server.getsockname()[1]


def greet(server: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        try:
            raw, _ = server.accept()
        except OSError:  # the fixture has closed it
            return
        try:
            raw.settimeout(20)
            with context.wrap_socket(raw, server_side=True) as tls:
                tls.sendall(b"hi")
        except OSError:
            raw.close()


def install(root: Root, moved: Path) -> None:
    root.tree(moved, PREFIX)
    for file in ("tls_probe.py", "letsencrypt.org.pem"):
        root.write(f"tmp/{file}", (HERE / file).read_bytes())


Make = Callable[[Layout], Root]


@pytest.fixture(scope="module")
def roots(moved: Path, authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """The root file system of a layout, made once, with the distribution in it and a CA that no layout trusts."""
    made: dict[Layout, Root] = {}

    def root_of(layout: Layout) -> Root:
        if layout not in made:
            made[layout] = root = Root(tmp_path_factory.mktemp(layout.__name__) / "root")
            install(root, moved)
            layout(root, authority)
            root.write("tmp/own/ca.pem", authority.pem)
            root.write(f"tmp/own/{authority.hash}", authority.pem)
            root.write("tmp/other.pem", trustme.CA().cert_pem.bytes())
        return made[layout]

    return root_of


def probe(root: Root, *argv: str, python: str = f"{PREFIX}/bin/python3", **env: str) -> Any:
    return json.loads(root.output(python, "-B", PROBE, *argv, timeout=60, **env))


def both(answer: str) -> dict[str, str]:
    """The same answer for Python and for C."""
    return {"python": answer, "c": answer}


def names(layouts: dict[Layout, Any]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("layout", layouts, ids=lambda layout: layout.__name__)


@names(LAYOUTS)
def test_default_paths_are_what_is_used(layout: Layout, roots: Make) -> None:
    told = probe(roots(layout), "paths")
    cafile, capath = LAYOUTS[layout]
    assert (told["python"]["cafile"], told["python"]["capath"]) == (cafile, capath)
    assert (told["python"]["openssl_cafile"], told["python"]["openssl_capath"]) == (told["c"]["file"], told["c"]["dir"])
    if layout in WITHOUT_STORE:
        assert told["loaded"] > 100
    else:
        assert told["loaded"] == (1 if cafile else 0)  # certificates of a directory are read when they are asked for


@names(LAYOUTS)
def test_the_store_of_the_machine_wins_where_there_is_one(layout: Layout, roots: Make, port: int) -> None:
    root = roots(layout)
    assert probe(root, "connect", str(port)) == both("" if layout in WITH_STORE else UNTRUSTED)
    public = probe(root, "verify", PUBLIC, PUBLIC_TIME)
    assert public == ("" if layout in WITHOUT_STORE else UNTRUSTED)


@pytest.mark.parametrize("layout", [debian, empty], ids=lambda layout: layout.__name__)
@pytest.mark.parametrize(
    ("env", "trusted", "cafile", "capath"),
    [
        pytest.param({"SSL_CERT_FILE": "/tmp/own/ca.pem"}, True, "/tmp/own/ca.pem", None, id="file"),
        pytest.param({"SSL_CERT_DIR": "/tmp/own"}, True, None, "/tmp/own", id="dir"),
        pytest.param({"SSL_CERT_DIR": "/none:/tmp/own"}, True, None, None, id="two dirs"),
        pytest.param({"SSL_CERT_FILE": "/tmp/other.pem", "SSL_CERT_DIR": "/tmp/own"}, True, "/tmp/other.pem", "/tmp/own", id="both"),
        pytest.param({"SSL_CERT_FILE": "/none.pem"}, False, None, None, id="absent file"),
        pytest.param({"SSL_CERT_DIR": "/none"}, False, None, None, id="absent dir"),
        pytest.param({"SSL_CERT_FILE": "/tmp/other.pem"}, False, "/tmp/other.pem", None, id="file of others"),
        pytest.param({"SSL_CERT_FILE": ""}, False, None, None, id="set to nothing"),
    ],
)
def test_variables_are_obeyed(
    layout: Layout, env: dict[str, str], trusted: bool, cafile: str | None, capath: str | None, roots: Make, port: int
) -> None:
    """What they name is all that is trusted, also when it is not there."""
    root = roots(layout)
    assert probe(root, "connect", str(port), **env) == both("" if trusted else UNTRUSTED)
    assert probe(root, "verify", PUBLIC, PUBLIC_TIME, **env) == UNTRUSTED
    told = probe(root, "paths", **env)["python"]
    assert (told["cafile"], told["capath"]) == (cafile, capath)


def test_a_store_that_trusts_nobody_is_not_widened(moved: Path, tmp_path: Path) -> None:
    root = Root(tmp_path / "root")
    install(root, moved)
    root.write(DEBIAN, "")
    assert probe(root, "paths")["python"]["cafile"] == DEBIAN
    assert probe(root, "verify", PUBLIC, PUBLIC_TIME) == UNTRUSTED


def test_the_bundle_can_be_refused(roots: Make) -> None:
    root = roots(empty)
    refused = {"FREESTANDING_NO_BUNDLED_CERTS": "1"}
    assert probe(root, "verify", PUBLIC, PUBLIC_TIME, **refused) == UNTRUSTED
    told = probe(root, "paths", **refused)
    assert (told["python"]["cafile"], told["loaded"]) == (None, 0)
    assert probe(root, "verify", PUBLIC, PUBLIC_TIME, FREESTANDING_NO_BUNDLED_CERTS="") == ""


def test_the_bundle_can_be_removed(moved: Path, tmp_path: Path) -> None:
    root = Root(tmp_path / "root")
    install(root, moved)
    (root.place / BUNDLE.lstrip("/")).unlink()
    assert probe(root, "verify", PUBLIC, PUBLIC_TIME) == UNTRUSTED
    assert probe(root, "paths")["python"]["cafile"] is None


def test_the_bundle_is_found_however_the_library_was_loaded(roots: Make) -> None:
    """By a relative name that leads nowhere any more, through a link, by many threads at once, in a virtual environment."""
    root = roots(empty)
    python, found = f"{PREFIX}/bin/python3", {"file": BUNDLE, "dir": "/etc/ssl/certs"}
    assert probe(root, "relative", "lib/libcrypto-fs.so.3") == found
    link(root, "tmp/elsewhere.so", f"{PREFIX}/lib/libcrypto-fs.so.3")
    assert probe(root, "relative", "/tmp/elsewhere.so") == found
    assert probe(root, "threads") == [found] * 64
    root.output(python, "-m", "venv", "--without-pip", "/tmp/venv")
    assert probe(root, "paths", python="/tmp/venv/bin/python")["python"]["cafile"] == BUNDLE


def test_the_bundle_moves_with_the_tree(moved: Path, tmp_path: Path) -> None:
    root = Root(tmp_path / "root")
    install(root, moved)
    (root.place / PREFIX.lstrip("/")).rename(root.place / "opt/elsewhere")
    assert probe(root, "paths", python="/opt/elsewhere/bin/python3")["c"]["file"] == "/opt/elsewhere/share/ca-certificates/cacert.pem"


class Files(SimpleHTTPRequestHandler):
    """Says nothing on the terminal."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Index(ThreadingHTTPServer):
    """Silent about clients that do not trust it."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


@pytest.fixture(scope="module")
def index(context: ssl.SSLContext, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a package index over TLS, with one wheel."""
    folder = tmp_path_factory.mktemp("index")
    page = folder / "simple/local-demo/index.html"
    page.parent.mkdir(parents=True)
    page.write_text(f'<!DOCTYPE html><a href="{WHEEL}">{WHEEL}</a>')
    with ZipFile(page.parent / WHEEL, "w") as wheel:
        info = "local_demo-1.0.dist-info"
        wheel.writestr("local_demo.py", "")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: local-demo\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", f"local_demo.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")

    with Index(("127.0.0.1", 0), partial(Files, directory=str(folder))) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"https://localhost:{server.server_address[1]}/simple/"
        server.shutdown()


def pip_install(root: Root, index: str, target: str, **env: str) -> tuple[bool, str]:
    """Whether the wheel is there, and what pip said."""
    options = ("--index-url", index, "--target", target, "--retries", "0", "--no-cache-dir", "--disable-pip-version-check")
    done = root.run(f"{PREFIX}/bin/python3", "-B", "-m", "pip", "install", *options, "local-demo", timeout=120, **env)
    return (root.place / target.lstrip("/") / "local_demo.py").exists(), done.stdout


@names(LAYOUTS)
def test_pip_trusts_the_store_of_the_machine(layout: Layout, roots: Make, index: str) -> None:
    installed, said = pip_install(roots(layout), index, "/tmp/site")
    assert installed == (layout in WITH_STORE), said
    assert installed or "certificate verify failed" in said


@pytest.mark.parametrize(
    ("file", "stored", "trusts"),
    [("/tmp/own/ca.pem", False, True), ("/tmp/own/none.pem", False, False), ("/tmp/own/none.pem", True, True), (BUNDLE, True, False)],
    ids=["right", "missing", "missing, with a store", "others' roots, with a store"],
)
def test_pip_and_ssl_cert_file(roots: Make, index: str, file: str, stored: bool, trusts: bool) -> None:
    """pip's truststore looks for the machine's store itself where the file is missing (docs/certificates.md); else it obeys."""
    root = roots(debian if stored else empty)
    installed, told = pip_install(root, index, f"/tmp/site-{stored}-{trusts}", SSL_CERT_FILE=file)
    assert installed == trusts, told


def test_pip_trusts_the_bundle_where_there_is_no_store(moved: Path, authority: Authority, index: str, tmp_path: Path) -> None:
    """No public CA signs for a test: the bundle of this copy is one with the test's CA in it."""
    root = Root(tmp_path / "root")
    install(root, moved)
    bundle = root.place / BUNDLE.lstrip("/")
    text = bundle.read_bytes()
    bundle.unlink()  # a hard link
    bundle.write_bytes(text + authority.pem)
    installed, said = pip_install(root, index, "/tmp/site")
    assert installed, said
