"""A script library as zip archive: script_zip.py ROOT OUT [OLD=NEW...].

Every file below ROOT, by its path there, a renamed one as NEW. The same files give the same bytes: sorted, one time, one mode.
"""

import sys
import zipfile
from pathlib import Path

import members

TIME = (1980, 1, 1, 0, 0, 0)
"""The first that the format knows."""
MODE = 0o100644 << 16
"""Of every member."""


def renamed_files(root: Path, renamed: dict[str, str]) -> list[tuple[str, Path]]:
    """Name in the archive and file, sorted by name."""
    paths = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    return sorted((renamed.get(name, name), path) for name, path in paths.items())


def main(argv: list[str]) -> None:
    root, out = Path(argv[0]), Path(argv[1])
    renamed = dict(pair.split("=") for pair in argv[2:])
    with zipfile.ZipFile(out, "w") as packed:
        for name, path in renamed_files(root, renamed):
            packed.writestr(members.entry(name, TIME, members.UNIX, MODE), path.read_bytes(), compresslevel=9)


if __name__ == "__main__":
    main(sys.argv[1:])
