"""Run BY the interpreter of a distribution: what ssl and a C program trust by default. Prints JSON.

Usage: PYTHON tls_probe.py paths | connect PORT | verify CHAIN UNIXTIME | hash CERTIFICATE | relative LIBRARY | threads
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import ssl
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ctypes import c_char_p, c_int, c_long, c_ulong, c_void_p
from pathlib import Path
from typing import Any

LIB = Path(sys.base_prefix, "lib")
SSL_SERVER = 2  # X509_PURPOSE_SSL_SERVER


class Library:
    """Functions of a shared library that take and give pointers, or the types that are named."""

    def __init__(self, path: str) -> None:
        self.library = ctypes.CDLL(path)

    def __call__(self, name: str, *args: Any, gives: Any = c_void_p) -> Any:
        function = self.library[name]
        function.restype = gives
        function.argtypes = [type(arg) if isinstance(arg, ctypes._SimpleCData) else c_char_p for arg in args]
        return function(*args)


def crypto() -> Library:
    return Library(str(LIB / "libcrypto-fs.so.3"))


def c_paths(library: Library) -> dict[str, str]:
    """What a C program is told."""
    names = {"file": "X509_get_default_cert_file", "dir": "X509_get_default_cert_dir"}
    return {key: os.fsdecode(library(name, gives=c_char_p)) for key, name in names.items()}


def paths() -> dict[str, Any]:
    told = ssl.get_default_verify_paths()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    return {"python": told._asdict(), "c": c_paths(crypto()), "loaded": context.cert_store_stats()["x509_ca"]}


def connect(port: str) -> dict[str, str]:
    """How a TLS client with Python's defaults fares, and a C program's with the certificate that the server sent."""
    plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    plain.check_hostname, plain.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("localhost", int(port)), 20) as raw, plain.wrap_socket(raw) as tls:
        leaf = tls.getpeercert(binary_form=True)
    assert leaf
    return {"python": handshake(int(port)), "c": c_verify([ssl.DER_cert_to_PEM_cert(leaf).encode()])}


def handshake(port: int) -> str:
    """Empty, or why the server is not trusted."""
    context = ssl.create_default_context()
    try:
        with socket.create_connection(("localhost", port), 20) as raw, context.wrap_socket(raw, server_hostname="localhost") as tls:
            return "" if tls.recv(2) == b"hi" else "no greeting"
    except ssl.SSLCertVerificationError as error:
        return error.verify_message


def c_verify(chain: list[bytes], time: int | None = None) -> str:
    """Verify a server's certificate as a C program does that calls SSL_CTX_set_default_verify_paths(). Empty, or the error."""
    lib, tls = crypto(), Library(str(LIB / "libssl-fs.so.3"))
    context = c_void_p(tls("SSL_CTX_new", c_void_p(tls("TLS_client_method"))))
    assert tls("SSL_CTX_set_default_verify_paths", context, gives=c_int) == 1
    assert lib("ERR_peek_error", gives=c_ulong) == 0
    leaf, *others = [certificate(lib, pem) for pem in chain]
    untrusted = c_void_p(lib("OPENSSL_sk_new_null"))
    for other in others:
        lib("OPENSSL_sk_push", untrusted, other)
    verify = c_void_p(lib("X509_STORE_CTX_new"))
    lib("X509_STORE_CTX_init", verify, c_void_p(tls("SSL_CTX_get_cert_store", context)), leaf, untrusted, gives=c_int)
    lib("X509_STORE_CTX_set_purpose", verify, c_int(SSL_SERVER), gives=c_int)
    if time is not None:
        lib("X509_VERIFY_PARAM_set_time", c_void_p(lib("X509_STORE_CTX_get0_param", verify)), c_long(time), gives=None)
    if lib("X509_verify_cert", verify, gives=c_int) == 1:
        return ""
    code = lib("X509_STORE_CTX_get_error", verify, gives=c_int)
    return bytes(lib("X509_verify_cert_error_string", c_long(code), gives=c_char_p)).decode()


def certificate(lib: Library, pem: bytes) -> c_void_p:
    bio = c_void_p(lib("BIO_new_mem_buf", pem, c_int(len(pem))))
    return c_void_p(lib("PEM_read_bio_X509", bio, c_void_p(), c_void_p(), c_void_p()))


def verify(chain: str, time: str) -> str:
    mark = "-----BEGIN CERTIFICATE-----"
    return c_verify([(mark + part).encode() for part in Path(chain).read_text().split(mark)[1:]], int(time))


def subject_hash(file: str) -> str:
    """The name under which OpenSSL looks up this certificate in a directory."""
    lib = crypto()
    return f"{lib('X509_subject_name_hash', certificate(lib, Path(file).read_bytes()), gives=c_ulong):08x}.0"


def relative(library: str) -> dict[str, str]:
    """Load the library by a relative name, and ask it when that name leads nowhere any more."""
    os.chdir(sys.base_prefix)
    loaded = Library(library)
    os.chdir("/")
    return c_paths(loaded)


def threads() -> list[dict[str, str]]:
    """The first answers, asked for by many threads at once (ctypes lets go of the GIL)."""
    lib = crypto()
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda _: c_paths(lib), range(64)))


if __name__ == "__main__":
    commands: dict[str, Callable[..., Any]] = {
        **{"paths": paths, "connect": connect, "verify": verify},
        **{"hash": subject_hash, "relative": relative, "threads": threads},
    }
    print(json.dumps(commands[sys.argv[1]](*sys.argv[2:])))
