"""Run the standard library's tests with the interpreter of this archive: build/run_tests.py [arguments of python -m test]."""

import subprocess
import sys
from pathlib import Path


def interpreter(root: Path) -> Path:
    """The one python3.X in install/bin."""
    [path] = [path for path in (root / "install/bin").glob("python3.*") if path.suffix[1:].isdigit()]
    return path


if __name__ == "__main__":
    python = interpreter(Path(__file__).resolve().parent.parent)
    sys.exit(subprocess.call([str(python), "-m", "test", *sys.argv[1:]]))
