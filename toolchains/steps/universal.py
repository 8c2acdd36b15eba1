"""Merge trees of one distribution, each built for another processor: universal.py OUT FILES SLICE...

Every SLICE is such a tree; they hold the same paths. LIPO, a program, makes one file of their object code (programs, libraries, objects,
bitcode, archives); it copies each slice as it is, so that its signature stays right. Of FILES, a tree that may be absent, each file takes
the place of the slices' own. What else differs is an error that names it.
"""

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

CODE = (b"\xcf\xfa\xed\xfe", b"!<arch>\n", b"BC\xc0\xde", b"\xde\xc0\x17\x0b")
"""How 64-bit Mach-O files, archives, and LLVM's bitcode (bare, and in a wrapper) start."""


def places(tree: Path) -> set[str]:
    """Every file and link below the tree, and every folder that holds none."""
    found = set()
    for folder, folders, names in os.walk(tree):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        here = [*names, *links] if names or folders else ["."]
        found |= {os.path.normpath(os.path.relpath(Path(folder, name), tree)) for name in here}
    return found - {"."}


def same_places(slices: list[Path], files: Path) -> list[str]:
    """The paths of all slices, sorted. Raises ValueError naming those that are not in each, or in FILES alone."""
    found = [places(tree) for tree in slices]
    for what, one in zip((*slices[1:], files), (*found[1:], places(files)), strict=True):
        odd = one - found[0] if what is files else one ^ found[0]
        if odd:
            raise ValueError(f"{what} and {slices[0]} differ in what they hold: {', '.join(sorted(odd))}")
    return sorted(found[0])


def kind(path: Path) -> str:
    """What is done with a path: that of a link, a folder, object code or another file."""
    if path.is_symlink():
        return "link"
    if path.is_dir():
        return "folder"
    with path.open("rb") as file:
        return "code" if file.read(8).startswith(CODE) else "file"


def alike(paths: list[Path]) -> bool:
    """Do all have the same link text, or the same bytes, and are all or none executable."""
    first, *others = paths
    if kind(first) == "link":
        return all(path.is_symlink() and path.readlink() == first.readlink() for path in others)
    return all(is_executable(path) == is_executable(first) and path.read_bytes() == first.read_bytes() for path in others)


def is_executable(path: Path) -> bool:
    """As its owner may."""
    return bool(path.stat().st_mode & 0o100)


def join(paths: list[Path], out: Path, lipo: str) -> None:
    """One file with a slice of each. Raises CalledProcessError when lipo refuses, e.g. two slices of one architecture."""
    subprocess.run([lipo, "-create", *map(str, paths), "-output", str(out)], check=True)
    out.chmod(0o755 if is_executable(paths[0]) else 0o644)


def place(name: str, slices: list[Path], files: Path, out: Path, lipo: str) -> str:
    """Write one path of the result; how: files, code, same. Raises ValueError when no rule is for it."""
    paths, target = [tree / name for tree in slices], out / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(files / name):
        shutil.copy(files / name, target, follow_symlinks=False)
        return "files"
    kinds = {kind(path) for path in paths}
    if kinds == {"folder"}:
        target.mkdir()
    elif len(kinds) == 1 and alike(paths):
        shutil.copy(paths[0], target, follow_symlinks=False)
    elif kinds == {"code"}:
        join(paths, target, lipo)
        return "code"
    else:
        raise ValueError(f"{name} differs between {', '.join(map(str, slices))}, and there is no rule how to merge it")
    return "same"


def main(argv: list[str]) -> None:
    out, files, *slices = map(Path, argv)
    out.mkdir(parents=True, exist_ok=True)
    counted = Counter(place(name, slices, files, out, os.environ["LIPO"]) for name in same_places(slices, files))
    print(f"{counted['code']} files of object code, {counted['files']} of their own, {counted['same']} the same in all")


if __name__ == "__main__":
    main(sys.argv[1:])
