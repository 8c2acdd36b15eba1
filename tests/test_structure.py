"""The shape of the code: floors of imports, sizes of functions and files, frozen dataclasses, names of places."""

from __future__ import annotations

import ast
import statistics
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"errors", "wire", "digest", "target", "facts", "metadata", "toml"}),
    frozenset({"node", "lock", "matrix", "policy", "globs", "patch", "suite", "staticlib", "tbd", "codesign", "pdb", "pyc"}),
    frozenset({"recipes", "rules", "result", "trees", "ways", "reapi", "groups", "feeds"}),
    frozenset({"plan", "explain", "picture", "trace", "table", "published", "errand"}),
    frozenset({"disk", "machine"}),
    frozenset({"store", "cas", "upkeep", "fetch", "web", "relock", "sandbox", "jobserver", "hosttools", "local", "vcruntime"})
    | frozenset({"binaries", "macho", "pe", "archive", "audit", "compare", "binarydiff", "testrun", "report", "remote"}),
    frozenset({"build", "failures", "delivery", "verify", "shared"}),
    frozenset({"farm"}),
    frozenset({"session"}),
    frozenset({"checks", "tasks", "commands", "changes", "index"}),
)
"""A file imports from lower floors only. Up to floor 3 there is no I/O; floor 4 is what the effects share, floor 5 the
effects, which do not know one another."""

TOGETHER = {
    ("digest", "wire"),
    ("store", "cas"),
    ("store", "upkeep"),
    ("upkeep", "cas"),
    ("fetch", "web"),
    ("audit", "binaries"),
    ("binarydiff", "binaries"),
    ("compare", "audit"),
    ("compare", "binarydiff"),
    ("binaries", "macho"),
    ("binaries", "pe"),
    ("local", "vcruntime"),
    ("picture", "plan"),
    ("verify", "build"),
    ("build", "failures"),
    ("delivery", "build"),
    ("tasks", "checks"),
    ("commands", "changes"),
    ("commands", "tasks"),
    ("commands", "index"),
}
"""Halves of one module that was split for its size: the left one stands on the right one."""

ALONE = {"nsinit", "enter", "pipindex", "launch", "farmhand", "regrtest"}
"""Run as programs of their own: they import nothing of ours."""

IO = {"os", "subprocess", "socket", "tempfile", "shutil", "requests", "lief", "threading", "http", "time", "select", "signal", "fcntl"}
IO |= {"io", "mmap", "glob", "logging", "random", "secrets", "uuid", "platform", "urllib.request", "urllib.error", "tarfile", "zipfile"}
"""Not imported by floors 0 to 3."""

DOING = {"open", "print", "input", "read_text", "read_bytes", "write_text", "write_bytes", "mkdir", "rmdir", "unlink", "touch", "chmod"}
DOING |= {"exists", "is_file", "is_dir", "is_symlink", "iterdir", "rglob", "stat", "lstat", "readlink", "symlink_to", "hardlink_to"}
DOING |= {"now", "today", "utcnow", "cwd", "home", "expanduser", "absolute"}
"""Nor are these called there, as functions or methods: what a Path does to a disk, and clocks."""


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted((ROOT / "graph").rglob("*.py")):
        parts = path.relative_to(ROOT / "graph").parts
        if path.name != "__init__.py" and parts[0] != "runtime":
            yield (parts[0] if len(parts) > 1 else path.stem), path


def imported(path: Path) -> set[str]:
    found = set()
    for statement in ast.walk(parsed(path)):
        if isinstance(statement, ast.ImportFrom) and statement.module and statement.module.split(".")[0] == "graph":
            names = [statement.module.split(".")[1]] if "." in statement.module else [alias.name for alias in statement.names]
            found.update(names)
        elif isinstance(statement, ast.Import):
            found.update(alias.name.split(".")[1] for alias in statement.names if alias.name.startswith("graph."))
    return found


def floor(name: str) -> int:
    for number, names in enumerate(FLOORS):
        if name in names:
            return number
    raise AssertionError(f"graph/{name}.py stands on no floor: add it to FLOORS")


@pytest.mark.parametrize(("name", "path"), [pytest.param(*pair, id=str(pair[1].relative_to(ROOT))) for pair in modules()])
def test_a_module_imports_from_lower_floors_only(name: str, path: Path) -> None:
    if name in ALONE:
        assert imported(path) == set()
        return
    for other in imported(path):
        if (name, other) in TOGETHER or name == other in ("recipes", "rules", "remote"):
            continue
        assert floor(other) < floor(name), f"{path.name} (floor {floor(name)}) imports {other} (floor {floor(other)})"


@pytest.mark.parametrize(("name", "path"), [pytest.param(*pair, id=str(pair[1].relative_to(ROOT))) for pair in modules()])
def test_up_to_floor_3_there_is_no_io(name: str, path: Path) -> None:
    if name in ALONE or floor(name) > 3:
        return
    assert list(io_of(path.read_text())) == []


def io_of(code: str) -> Iterator[str]:
    """What of IO a module imports, in any way, and what of DOING it calls."""
    for item in ast.walk(ast.parse(code)):
        names: list[str] = []
        if isinstance(item, ast.Import):
            names = [alias.name for alias in item.names]
        elif isinstance(item, ast.ImportFrom):
            names = [f"{item.module}.{alias.name}" for alias in item.names]
        elif isinstance(item, ast.Call):
            called = item.func.attr if isinstance(item.func, ast.Attribute) else item.func.id if isinstance(item.func, ast.Name) else ""
            yield from {called} & DOING
        yield from (name for name in names if any((name + ".").startswith(module + ".") for module in IO))


@pytest.mark.parametrize(
    "code",
    [
        "import os.path",
        "from os import path",
        "import urllib.request",
        "from urllib import request",
        "from urllib.request import urlopen",
        "import http.client",
        "def f():\n    from time import sleep",
        "open('x')",
        "Path('x').read_text()",
        "Path('x').open()",
        "datetime.now()",
    ],
)
def test_io_is_seen(code: str) -> None:
    assert list(io_of(code))
    assert list(io_of("from urllib.parse import urlsplit\nfrom datetime import datetime\nx.openly(y.opened)")) == []


def test_the_runtime_imports_nothing_of_ours() -> None:
    for path in (ROOT / "graph/runtime").rglob("*.py"):
        assert imported(path) == set(), path


def sources(*folders: str) -> Iterator[Path]:
    listed = subprocess.run(["git", "ls-files", "-z", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.split("\0"):
        if name and (ROOT / name).is_file() and (not folders or name.startswith(folders)):
            yield ROOT / name


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for item in ast.walk(parsed(path)):
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            assert item.end_lineno is not None
            yield f"{path.relative_to(ROOT)}:{item.name}", item.end_lineno - item.lineno + 1


def test_functions_are_short() -> None:
    lengths = {name: lines for path in sources("graph/", "toolchains/", "benchmarks/", "dodo.py") for name, lines in functions(path)}
    ordered = sorted(lengths.values())
    assert {name: lines for name, lines in lengths.items() if lines > 60} == {}
    assert ordered[len(ordered) * 9 // 10] < 40
    assert statistics.median(ordered) <= 12


def test_test_functions_are_short_too() -> None:
    assert {name: n for path in sources("tests/") for name, n in functions(path) if n > 60} == {}


def test_files_are_short() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources()}
    assert {name: lines for name, lines in lengths.items() if lines >= 500} == {}


def test_every_dataclass_is_frozen() -> None:
    for path in sources("graph/", "toolchains/", "benchmarks/"):
        for item in ast.walk(parsed(path)):
            if isinstance(item, ast.ClassDef):
                for decorator in item.decorator_list:
                    text = ast.unparse(decorator)
                    assert not text.startswith("dataclass") or "frozen=True" in text, f"{path}: {item.name}"


def test_public_functions_of_the_package_have_docstrings() -> None:
    """All but main() of programs and nodes() of recipes, which are what their module's docstring says."""
    missing = []
    for path in sources("graph/"):
        for item in parsed(path).body:
            if not isinstance(item, ast.FunctionDef | ast.ClassDef) or item.name.startswith("_") or item.name in ("main", "nodes"):
                continue
            if not ast.get_docstring(item):
                missing.append(f"{path.relative_to(ROOT)}:{item.name}")
    assert missing == []
