"""Pack a tree as a ZIP for the Python install manager: pack_zip.py TREE ARCHIVE.

The same tree gives the same bytes: members sorted by name, one time (SOURCE_DATE_EPOCH, UTC), no modes. There are no members for folders:
the install manager writes each member as a file.
"""

import os
import sys
import time
import zipfile
from pathlib import Path

LEVEL = 6
"""As for the tar archives."""
ARCHIVE_BIT = 0x20
"""What Windows sets on every file."""


def members(tree: Path) -> list[tuple[str, Path]]:
    """(name in the archive, path) of every file, sorted by name. Raises ValueError at what such a ZIP cannot hold."""
    found = []
    for path in tree.rglob("*"):
        if path.is_symlink() or (path.is_dir() and not any(path.iterdir())):
            raise ValueError(f"{path} is a link or an empty folder")
        if not path.is_dir():
            found.append((path.relative_to(tree).as_posix(), path))
    return sorted(found)


def header(name: str, epoch: int) -> zipfile.ZipInfo:
    """A member's header, as Windows makes them."""
    info = zipfile.ZipInfo(name, time.gmtime(epoch)[:6])
    info.create_system, info.external_attr, info.compress_type = 0, ARCHIVE_BIT, zipfile.ZIP_DEFLATED
    return info


def main(argv: list[str]) -> None:
    tree, archive, epoch = Path(argv[0]), Path(argv[1]), int(os.environ["SOURCE_DATE_EPOCH"])
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w") as packed:
        for name, path in members(tree):
            packed.writestr(header(name, epoch), path.read_bytes(), compresslevel=LEVEL)
    print(f"{archive.name}: {archive.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
