"""Run BY the interpreter of a distribution: tries what a moved Python must be able to do. Prints JSON, {check: "" or what broke}.

Usage: PYTHON -I smoke.py EXPECTED [CHECK...], where EXPECTED is JSON
{"version", "platform", "prefix", "missing": [modules], "builtin": [modules], "scratch": a folder, "timeout": seconds for a process}.
Imports only the standard library; every check stands alone, so that one broken module hides no other.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl

Expected = dict[str, Any]
Check = Callable[[Expected], None]
CHECKS: list[Check] = []
WINDOWS = os.name == "nt"
TIMEOUT = float(json.loads(sys.argv[1]).get("timeout", 240)) if __name__ == "__main__" else 240.0
"""Seconds for one process."""


def check(function: Check) -> Check:
    """Registers a check; it raises when something is broken."""
    CHECKS.append(function)
    return function


def check_of_unix(function: Check) -> Check:
    """Registers a check of what Windows has not."""
    return function if WINDOWS else check(function)


def same(got: object, wanted: object) -> None:
    if got != wanted:
        raise AssertionError(f"{got!r} is not {wanted!r}")


def inside(place: str | Path, root: str) -> None:
    if not Path(place).resolve().is_relative_to(root):
        raise AssertionError(f"{place} lies outside {root}")


def run(*argv: str, program: str | None = None) -> str:
    """Output of a process that ends well; `program` is what runs when argv[0] is to say something else."""
    done = subprocess.run(
        argv,
        executable=program,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
    )
    if done.returncode:
        raise AssertionError(f"{argv[0]} ended with {done.returncode}: {done.stdout[-400:]}")
    return done.stdout.strip()


@check
def version(expected: Expected) -> None:
    same(".".join(map(str, sys.version_info[:3])), expected["version"])


@check
def platform_tag(expected: Expected) -> None:
    """What pip names wheels by; where build-details.json lies (PEP 739), it says the same."""
    import sysconfig

    same(sysconfig.get_platform(), expected["platform"])
    details = Path(sysconfig.get_path("stdlib"), "build-details.json")
    same(json.loads(details.read_bytes())["platform"] if details.exists() else expected["platform"], expected["platform"])


@check
def prefix(expected: Expected) -> None:
    for name in ("prefix", "exec_prefix", "base_prefix", "base_exec_prefix"):
        same(os.path.realpath(getattr(sys, name)), expected["prefix"])
    for place in (sys.executable, os.__file__, *(entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent)):
        inside(place, expected["prefix"])


@check
def imports(expected: Expected) -> None:
    """Exactly the modules that are named as missing are missing, and for no other reason than that."""
    missing, broken = set(), {}
    # antigravity opens a page
    vars(importlib.import_module("webbrowser"))["open"] = bool
    for name in sorted(sys.stdlib_module_names):
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                importlib.import_module(name)
        except ImportError as error:
            missing.add(name)
            if name not in expected["missing"]:
                broken[name] = str(error)
        except Exception as error:
            broken[name] = repr(error)
    for name in set(expected["missing"]) & set(sys.stdlib_module_names) - missing:
        broken[name] = "is named as missing, but imports"
    same(broken, {})


@check
def builtin_modules(expected: Expected) -> None:
    got, wanted = set(sys.builtin_module_names), set(expected["builtin"])
    same((sorted(got - wanted), sorted(wanted - got)), ([], []))


@check
def ssl_handshake(expected: Expected) -> None:
    """Both ends in memory; anonymous ciphers need no certificate."""
    import ssl

    ssl.create_default_context()
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = anonymous(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(back, there)
    server = anonymous(ssl.PROTOCOL_TLS_SERVER).wrap_bio(there, back, server_side=True)
    waiting = [client, server]
    for _ in range(10):
        for end in tuple(waiting):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
                waiting.remove(end)
    same(waiting, [])
    client.write(b"through the tunnel")
    same(server.read(), b"through the tunnel")


def anonymous(side: int) -> ssl.SSLContext:
    import ssl

    context = ssl.SSLContext(side)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    # TLS 1.3 has no anonymous ciphers
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("aNULL:@SECLEVEL=0")
    return context


@check
def ssl_modern(expected: Expected) -> None:
    import ssl

    if not ssl.HAS_TLSv1_3 or ssl.OPENSSL_VERSION_INFO < (3, 0):
        raise AssertionError(ssl.OPENSSL_VERSION)


@check
def certificates(expected: Expected) -> None:
    """With no variable set there is somebody to trust: the machine's certificates, or the bundle, which has Mozilla's."""
    import ssl

    if WINDOWS:
        # Windows' own store; it fills while programs ask for certificates
        same(isinstance(vars(ssl)["enum_certificates"]("ROOT"), list), True)
        return
    told = run("env", "-u", "SSL_CERT_FILE", "-u", "SSL_CERT_DIR", sys.executable, "-I", "-c", TRUSTED)
    capath, loaded = json.loads(told)
    if not loaded and not any(path.name.endswith(".0") for path in Path(capath or "/none").glob("*")):
        raise AssertionError(f"nothing is trusted by default: {told}")
    bundle = Path(expected["prefix"], "share", "ca-certificates", "cacert.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(bundle)
    same(context.cert_store_stats()["x509_ca"] >= 100, True)


TRUSTED = """
import json, ssl
print(json.dumps([ssl.get_default_verify_paths().capath, ssl.create_default_context().cert_store_stats()["x509_ca"]]))
"""


@check
def hashes(expected: Expected) -> None:
    import hashlib

    for name in ("md5", "sha1", "sha256", "sha512", "sha3_256", "blake2b", "blake2s", "shake_128"):
        same(name in hashlib.algorithms_available, True)
    same(hashlib.sha256(b"abc").hexdigest()[:16], "ba7816bf8f01cfea")
    same(hashlib.new("sha512_256", b"abc").hexdigest()[:8], "53048e26")
    same(len(hashlib.scrypt(b"p", salt=b"s", n=2, r=1, p=1)), 64)


@check
def sqlite(expected: Expected) -> None:
    import sqlite3

    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        db.execute("create virtual table t using fts5(words)")
        db.execute("insert into t values ('a standalone interpreter')")
        same(db.execute("select words from t where t match 'standalone'").fetchall(), [("a standalone interpreter",)])
        same(db.execute("select json_extract('{\"a\": 2}', '$.a'), sqrt(16)").fetchone(), (2, 4.0))
        same(hasattr(db, "enable_load_extension"), True)


@check
def ctypes_callback(expected: Expected) -> None:
    import ctypes

    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
    numbers = (ctypes.c_int * 5)(5, 1, 4, 2, 3)
    library = ctypes.CDLL("ucrtbase" if WINDOWS else None)
    library.qsort(numbers, ctypes.c_size_t(5), ctypes.c_size_t(ctypes.sizeof(ctypes.c_int)), kind(lambda a, b: a[0] - b[0]))
    same(list(numbers), [1, 2, 3, 4, 5])
    same(ctypes.pythonapi.Py_IsInitialized(), 1)


@check
def decimals(expected: Expected) -> None:
    import decimal

    same(decimal.__name__ == "decimal" and decimal.HAVE_THREADS, True)
    importlib.import_module("_decimal")
    same(str(decimal.Decimal(2).sqrt(decimal.Context(prec=30))), "1.41421356237309504880168872421")


@check
def compressors(expected: Expected) -> None:
    data = bytes(range(256)) * 400
    for name in ("zlib", "bz2", "lzma"):
        module = importlib.import_module(name)
        same(module.decompress(module.compress(data)) == data, True)


@check
def dbm_file(expected: Expected) -> None:
    for name in (*(() if WINDOWS else ("dbm.ndbm",)), *(("dbm.sqlite3",) if sys.version_info >= (3, 13) else ())):
        module = importlib.import_module(name)
        with contextlib.closing(module.open(str(Path(expected["scratch"], name)), "c")) as db:
            db[b"key"] = b"value"
            same(db[b"key"], b"value")


@check_of_unix
def line_editing(expected: Expected) -> None:
    import readline

    readline.parse_and_bind("tab: complete")
    readline.add_history("first line")
    same(readline.get_history_item(1), "first line")
    history = str(Path(expected["scratch"], "history"))
    readline.add_history("second line")
    readline.set_history_length(1)
    readline.write_history_file(history)
    readline.clear_history()
    readline.read_history_file(history)
    same(readline.get_history_item(1), "second line")


@check_of_unix
def terminfo(expected: Expected) -> None:
    """Known on any machine: terminals that are compiled in, and one that only the bundled database has."""
    script = "import curses, sys; curses.setupterm(sys.argv[1], 1); print(len(curses.tigetstr('cup')) > 0)"
    for term in ("xterm-256color", "linux", "tmux-256color", "xterm-kitty"):
        same(run(sys.executable, "-I", "-c", script, term), "True")


@check
def tcl(expected: Expected) -> None:
    """Needs no display: the script library, its encodings, message catalogues and time zones are there."""
    if "_tkinter" in expected["missing"]:
        return
    import tkinter

    interpreter = tkinter.Tcl()
    same(interpreter.eval("clock format 0 -timezone :Asia/Tokyo -locale de -format {%A %H:%M}"), "Donnerstag 09:00")
    same(interpreter.eval("clock scan {1970-01-01 09:00:07} -timezone :Asia/Tokyo -format {%Y-%m-%d %H:%M:%S}"), "7")
    same("iso8859-15" in interpreter.splitlist(interpreter.eval("encoding names")), True)
    same(interpreter.eval("string length [encoding convertfrom euc-jp \\xc6\\xfc]"), "1")
    for package in ("Tcl", "msgcat", "http", "platform"):
        same(bool(interpreter.eval(f"package require {package}")), True)


@check
def xml_and_uuid(expected: Expected) -> None:
    import uuid
    import xml.etree.ElementTree as tree

    same(tree.fromstring("<a><b>t</b></a>").findtext("b"), "t")
    importlib.import_module("_uuid")
    same(uuid.uuid1().version, 1)


@check
def processes(expected: Expected) -> None:
    import multiprocessing

    same(run(sys.executable, "-I", "-c", "import sys; print(sys.prefix)"), sys.prefix)
    with multiprocessing.get_context("spawn" if WINDOWS else "forkserver").Pool(2) as pool:
        same(pool.map(abs, [-1, 2]), [1, 2])


@check_of_unix
def symlinked(expected: Expected) -> None:
    link = Path(expected["scratch"], "link to python")
    link.symlink_to(sys.executable)
    same(os.path.realpath(run(str(link), "-I", "-c", "import ssl, sys; print(sys.prefix)")), expected["prefix"])


@check_of_unix
def other_argv0(expected: Expected) -> None:
    """argv[0] is what a caller says: it may name nothing, or something else."""
    for name in ("/dev/null", "no-such-program"):
        same(os.path.realpath(run(name, "-I", "-c", "import sys; print(sys.prefix)", program=sys.executable)), expected["prefix"])


@check
def virtual_environment(expected: Expected) -> None:
    folder = Path(expected["scratch"], "a venv")
    run(sys.executable, "-m", "venv", str(folder))
    python = str(folder / ("Scripts/python.exe" if WINDOWS else "bin/python"))
    same(str(folder) in run(python, "-m", "pip", "--version"), True)
    same(run(python, "-c", "import sys, ssl, sqlite3; print(sys.prefix != sys.base_prefix)"), "True")


@check
def bundled_pip(expected: Expected) -> None:
    inside(run(sys.executable, "-m", "pip", "--version").partition(" from ")[2].rpartition(" (")[0], expected["prefix"])


@check
def build_settings(expected: Expected) -> None:
    import sysconfig

    for name in ("stdlib", "platstdlib", "purelib", "platlib", "include", "scripts"):
        inside(sysconfig.get_path(name), expected["prefix"])
        same((name, Path(sysconfig.get_path(name)).is_dir()), (name, True))
    same(Path(sysconfig.get_config_h_filename()).is_file(), True)
    same(WINDOWS or Path(sysconfig.get_makefile_filename()).is_file(), True)


def attempt(function: Check, expected: Expected) -> str:
    """Empty, or what broke."""
    try:
        function(expected)
    except AssertionError as error:
        return str(error) or "an assertion failed"
    except BaseException:
        return traceback.format_exc(limit=-2)
    return ""


if __name__ == "__main__":
    chosen = [function for function in CHECKS if function.__name__ in sys.argv[2:] or not sys.argv[2:]]
    print(json.dumps({function.__name__: attempt(function, json.loads(sys.argv[1])) for function in chosen}))
