"""Pack a tree as a ZIP for the Python install manager: pack_zip.py TREE ARCHIVE.

The same tree gives the same bytes: members sorted by name, one time (SOURCE_DATE_EPOCH, UTC), no modes. There are no members for folders:
the install manager writes each member as a file.
"""

import os
import sys
import time
import zipfile
from pathlib import Path

import members

LEVEL = 6
"""As for the tar archives."""
ARCHIVE_BIT = 0x20
"""What Windows sets on every file."""


def main(argv: list[str]) -> None:
    tree, archive, epoch = Path(argv[0]), Path(argv[1]), int(os.environ["SOURCE_DATE_EPOCH"])
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w") as packed:
        for name in members.files(tree):
            info = members.entry(name, time.gmtime(epoch)[:6], members.WINDOWS, ARCHIVE_BIT)
            packed.writestr(info, (tree / name).read_bytes(), compresslevel=LEVEL)
    print(f"{archive.name}: {archive.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
