"""What ZIP archives and the MSI are made of: a tree's files, and the headers of a ZIP's members."""

import zipfile
from pathlib import Path

WINDOWS, UNIX = 0, 3
"""Systems that made a ZIP (its format's numbers)."""


def files(tree: Path) -> list[str]:
    """Paths in the tree of all files, sorted. Raises ValueError at what neither a ZIP of files nor an MSI can hold."""
    found = []
    for path in tree.rglob("*"):
        if path.is_symlink() or (path.is_dir() and not any(path.iterdir())):
            raise ValueError(f"{path} is a link or an empty folder")
        if not path.is_dir():
            found.append(path.relative_to(tree).as_posix())
    return sorted(found)


def entry(name: str, time: tuple[int, int, int, int, int, int], system: int, attributes: int) -> zipfile.ZipInfo:
    """A compressed member's header; attributes as the system has them (`external_attr`)."""
    info = zipfile.ZipInfo(name, time)
    info.create_system, info.external_attr, info.compress_type = system, attributes, zipfile.ZIP_DEFLATED
    return info
