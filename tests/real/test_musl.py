"""musl's distributions where they are to run, in roots without glibc: the dynamic one with musl's loader, the static one with none."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from graph.matrix import parse_matrix
from graph.store import Store
from graph.target import Cell
from graph.testrun import expected_of, unpack_archive
from tests.mini import ROOT, Checkout
from tests.real.conftest import HOUR, Folder
from tests.real.machine import patiently, said
from tests.real.roots import MuslRoot
from tests.real.version import MINOR, MUSL, STATIC, VERSION

TRIPLE = "x86_64-unknown-linux-musl"
FLOOR = parse_matrix((ROOT / "toolchains/targets.toml").read_text()).targets[TRIPLE].libc_floor
PLATFORM = f"musllinux_{FLOOR.replace('.', '_')}_x86_64"
"""The floor as PEP 656 writes it."""
OPTIONS = tuple(cell.rpartition(":")[2] for cell in (MUSL, STATIC))
PYTHON = f"/opt/a place/bin/python{MINOR}"
DEEP = """
import ast, json, pickle, threading
nested = []
for _ in range(50_000):
    nested = [nested]
ended = []

def run(function, argument):
    try:
        function(argument)
    except (RecursionError, MemoryError):
        ended.append(function.__name__)

for function, argument in ((repr, nested), (json.dumps, nested), (pickle.dumps, nested), (ast.parse, "-" * 50_000 + "1")):
    thread = threading.Thread(target=run, args=(function, argument))
    thread.start()
    thread.join()
print(*ended)
"""
DAEMON = """
import subprocess, sys
program = '''
import sys, threading, time
ready = threading.Event()

def wait():
    ready.set()
    time.sleep(100)

threading.Thread(target=wait, daemon=True).start()
ready.wait()
sys.exit(42)
'''
print({subprocess.run([sys.executable, "-c", program]).returncode for _ in range(60)})
"""
NUMPY = "import numpy; print(numpy.linalg.solve([[2.0, 0.0], [1.0, 3.0]], [4.0, 8.0]).tolist(), numpy.fft.fft([1, 0, 0, 0]).real.sum())"


@pytest.fixture(scope="module")
def built(first: Checkout) -> Checkout:
    """The checkout, with the target's default cell and its static form in dist/."""
    done = first.doit(f"runtime:{TRIPLE}", *(f"dist:{TRIPLE}:{VERSION}:{options}" for options in OPTIONS), timeout=HOUR)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return first


@pytest.fixture(scope="module")
def loader(built: Checkout) -> Path:
    """musl as we build it."""
    store = Store(Path(built.settings.get("FREESTANDING_STORE", built.root / ".store")))
    result = store.result(store.last(f"runtime:{TRIPLE}") or "")
    assert result
    return store.checkout(result.tree) / "lib/ld-musl-x86_64.so.1"


@pytest.fixture(scope="module")
def trees(built: Checkout, folder: Folder) -> dict[str, Path]:
    """Options -> the install folder of the full archive."""
    found = {}
    for options in OPTIONS:
        [archive] = (built.root / "dist").glob(f"cpython-{VERSION}+*-{TRIPLE}-{options}-full.tar.zst")
        found[options] = folder("full")
        unpack_archive(archive, found[options] / "a")
    return {options: place / "a/python/install" for options, place in found.items()}


@pytest.fixture
def dynamic(trees: dict[str, Path], loader: Path, tmp_path: Path) -> MuslRoot:
    root = MuslRoot(tmp_path / "root", loader)
    root.tree(trees[OPTIONS[0]], "opt/a place")
    return root


@pytest.fixture
def static(trees: dict[str, Path], tmp_path: Path) -> MuslRoot:
    root = MuslRoot(tmp_path / "root")
    root.tree(trees[OPTIONS[1]], "opt/a place")
    return root


def wheel(name: str, folder: Path) -> Path:
    """The newest musllinux wheel of the index."""
    options = ("--no-deps", "--only-binary", ":all:", "--platform", PLATFORM, "--python-version", MINOR)
    patiently(lambda: said(sys.executable, "-m", "pip", "download", "-q", *options, "-d", folder, name))
    [found] = folder.iterdir()
    return found


def broken(root: MuslRoot, options: str) -> dict[str, str]:
    """The checks of smoke.py that fail in the root."""
    cell = Cell(parse_matrix((ROOT / "toolchains/targets.toml").read_text()).targets[TRIPLE], VERSION, tuple(sorted(options.split("+"))))
    root.write("smoke.py", (ROOT / "toolchains/smoke.py").read_bytes())
    expected = asdict(expected_of(cell, lambda name: (ROOT / name).read_text()))
    wanted = {**expected, "prefix": "/opt/a place", "scratch": "/tmp"}
    told = json.loads(root.output(PYTHON, "-I", "/smoke.py", json.dumps(wanted), timeout=900).splitlines()[-1])
    return {name: error for name, error in told.items() if error}


def test_the_dynamic_build_works_with_nothing_but_musl(dynamic: MuslRoot) -> None:
    assert broken(dynamic, OPTIONS[0]) == {}


def test_it_starts_with_the_oldest_musl_that_can_be_had(trees: dict[str, Path], tmp_path: Path) -> None:
    """Debian's 1.2.3 (bookworm): less than what we link with has."""
    patiently(lambda: said("apt-get", "download", "musl", cwd=tmp_path))
    [package] = tmp_path.glob("musl_1.2.*.deb")
    said("dpkg-deb", "-x", package, tmp_path / "package")
    root = MuslRoot(tmp_path / "root", tmp_path / "package/lib/ld-musl-x86_64.so.1")
    root.tree(trees[OPTIONS[0]], "opt/a place")
    modules = "ssl, sqlite3, ctypes, curses, readline, lzma, zlib, bz2, uuid, dbm.ndbm, hashlib, _tkinter"
    assert root.output(PYTHON, "-c", f"import {modules}; print(ssl.OPENSSL_VERSION[:9])") == "OpenSSL 3"


@pytest.mark.parametrize("options", OPTIONS)
def test_deep_recursion_in_a_thread_ends_with_an_exception(request: pytest.FixtureRequest, options: str) -> None:
    root = request.getfixturevalue("static" if "static" in options else "dynamic")
    assert root.output(PYTHON, "-c", DEEP) == "repr dumps dumps parse"


def test_a_daemon_thread_may_let_the_lock_go_while_the_program_ends(dynamic: MuslRoot) -> None:
    """patches/cpython/0011: musl gives freed memory back, where a thread read its state."""
    assert dynamic.output(PYTHON, "-c", DAEMON) == "{42}"


def test_pip_takes_a_musllinux_wheel_and_it_computes(dynamic: MuslRoot, tmp_path: Path) -> None:
    found = wheel("numpy", tmp_path / "wheels")
    dynamic.write(f"wheels/{found.name}", found.read_bytes())
    dynamic.output(PYTHON, "-m", "pip", "install", "-q", "--no-index", "--find-links", "/wheels", "--target", "/site", "numpy")
    assert dynamic.output(PYTHON, "-c", NUMPY, PYTHONPATH="/site") == "[2.0, 2.0] 4.0"


def test_the_static_build_is_one_file_that_needs_nothing(trees: dict[str, Path]) -> None:
    program = trees[OPTIONS[1]] / f"bin/python{MINOR}"
    headers = subprocess.run(["readelf", "-lWd", program], check=True, capture_output=True, text=True).stdout
    assert "INTERP" not in headers and "NEEDED" not in headers
    assert "DYN (" in headers
    assert [path for path in trees[OPTIONS[1]].rglob("*.so*") if path.is_file()] == []


def test_the_static_build_works_in_a_root_without_libraries(static: MuslRoot) -> None:
    assert broken(static, OPTIONS[1]) == {}


def test_the_static_build_takes_pure_wheels_and_refuses_others(static: MuslRoot, tmp_path: Path) -> None:
    found = wheel("numpy", tmp_path / "wheels")
    static.write(f"wheels/{found.name}", found.read_bytes())
    pure = wheel("six", tmp_path / "pure")
    static.write(f"wheels/{pure.name}", pure.read_bytes())
    static.output(PYTHON, "-m", "pip", "install", "-q", "--no-index", "--find-links", "/wheels", "--target", "/site", "six")
    assert static.output(PYTHON, "-c", "import six; print(six.PY3)", PYTHONPATH="/site") == "True"
    refused = static.run(PYTHON, "-m", "pip", "install", "--no-index", "--find-links", "/wheels", "--target", "/site", "numpy")
    assert "No matching distribution found" in refused.stdout
    loads = static.run(PYTHON, "-c", "import ctypes; ctypes.CDLL('/lib/libfoo.so')")
    assert "this Python is a static program, which cannot load shared libraries" in loads.stdout
