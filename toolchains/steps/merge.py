"""Merge part trees into one: merge.py OUT PART=DEST... (DEST relative to OUT, . for its root). No path may come from two parts."""

import os
import shutil
import sys
from pathlib import Path


def merge(part: Path, dest: Path) -> int:
    """Copy the files and links of `part` below `dest`; how many. Raises FileExistsError when one is there already."""
    count = 0
    for folder, _, names in os.walk(part):
        links = [path.name for path in Path(folder).iterdir() if path.is_symlink()]
        target = dest / Path(folder).relative_to(part)
        target.mkdir(parents=True, exist_ok=True)
        for name in sorted({*names, *links}):
            source = Path(folder, name)
            if os.path.lexists(target / name):
                raise FileExistsError(f"{target / name} comes from {part} and from a part before it")
            shutil.copy(source, target / name, follow_symlinks=False)
            count += 1
    return count


def main(argv: list[str]) -> None:
    out = Path(argv[0])
    for pair in argv[1:]:
        part, _, dest = pair.partition("=")
        print(f"{merge(Path(part), out / dest)} files of {part} to {dest}")


if __name__ == "__main__":
    main(sys.argv[1:])
