"""Compile every .py below a folder: compile_tree.py ROOT INSTALLED [GLOB...]. INSTALLED is the name of ROOT in tracebacks and co_filename.

Hash-based, unchecked pyc files (PEP 552): valid whatever mtimes an unpacker leaves, and no source is read at import. Who edits a
module of the standard library in place runs `python -m compileall -f` on it; but for _sysconfigdata, which installers rewrite: its pyc is
checked. Files that match a GLOB are not compiled.
"""

import importlib.util
import marshal
import os
import sys
import traceback
from importlib._bootstrap_external import _code_to_hash_pyc  # type: ignore[attr-defined]
from pathlib import Path


def compile_file(path: Path, name: str) -> None:
    """Write the pyc of one source file; files that are no Python of this version have none, as with compileall."""
    source = path.read_bytes()
    try:
        code = compile(source, name, "exec", dont_inherit=True, optimize=0)
    except (SyntaxError, ValueError):
        print(f"not compiled: {path}", flush=True)
        return
    pyc = Path(importlib.util.cache_from_source(str(path)))
    pyc.parent.mkdir(exist_ok=True)
    checked = path.name.startswith("_sysconfigdata_")
    pyc.write_bytes(_code_to_hash_pyc(code, importlib.util.source_hash(source), checked))


def run_apart(path: Path, name: str) -> int:
    """Start a child that compiles one file; its pid.

    marshal writes back-references by reference counts, which depend on all that a process has compiled before. Each child starts from this
    very state, so a file's bytes depend on nothing but the file.
    """
    pid = os.fork()
    if pid:
        return pid
    try:
        compile_file(path, name)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def compile_all(root: Path, installed: str, skip: list[str], jobs: int) -> None:
    """Compile the tree with `jobs` children at a time. Raises RuntimeError when one fails."""
    running = 0
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        if any(relative.match(pattern) for pattern in skip):
            continue
        if running == jobs:
            running -= wait()
        run_apart(path, f"{installed}/{relative}")
        running += 1
    while running:
        running -= wait()


def wait() -> int:
    """Wait for one child."""
    _, status = os.wait()
    if status:
        raise RuntimeError("a file could not be compiled")
    return 1


def main(argv: list[str]) -> None:
    marshal.dumps(None)
    compile_all(Path(argv[0]), argv[1], argv[2:], max(1, len(os.sched_getaffinity(0))))


if __name__ == "__main__":
    main(sys.argv[1:])
