"""Pack trees as one archive: pack.py ARCHIVE PART=PREFIX... (a PART that is a file is stored under the name PREFIX).

The same trees give the same bytes: members sorted by name, owner 0, modes 755 and 644, time SOURCE_DATE_EPOCH, GNU tar format (long
names, and read by every tar), gzip without name and time. A .tar.zst is piped through the program named by ZSTD, whose output does not
depend on its threads.
"""

import contextlib
import gzip
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

GZIP_LEVEL = 6
"""9 takes 2.5 times as long for 1 % less."""
ZSTD_FLAGS = ("-9", "--long=27", "-T0", "--quiet", "--no-progress")
"""A window of 128 MiB, the largest that decoders take unasked, spans program, libpythons and their objects: 46 MB, not 78."""


def members(parts: list[str]) -> list[tuple[str, Path]]:
    """(name in the archive, path) of everything in the parts, sorted by name. Raises ValueError if two have one name."""
    found: dict[str, Path] = {}
    for pair in parts:
        part, _, prefix = pair.partition("=")
        for name, path in _walk(Path(part), prefix):
            if name in found and not (path.is_dir() and found[name].is_dir()):
                raise ValueError(f"{name} comes from {found[name]} and from {path}")
            found[name] = path
    return sorted(found.items())


def _walk(part: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    for parent in list(Path(prefix).parents)[-2::-1]:
        yield str(parent), part.parent
    yield prefix, part
    if part.is_dir() and not part.is_symlink():
        for folder, folders, names in os.walk(part):
            for name in folders + names:
                path = Path(folder, name)
                yield f"{prefix}/{path.relative_to(part).as_posix()}", path


def header(name: str, path: Path, mtime: int) -> tarfile.TarInfo:
    """The member's metadata: nothing of the file but kind, size, link text and whether it can be executed."""
    info = tarfile.TarInfo(name)
    info.mtime = mtime
    info.mode = 0o755
    if path.is_symlink():
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, str(path.readlink()), 0o777
    elif path.is_dir():
        info.type = tarfile.DIRTYPE
    else:
        stat = path.stat()
        info.size = stat.st_size
        info.mode = 0o755 if stat.st_mode & 0o100 else 0o644
    return info


def write_tar(stream: IO[bytes], entries: list[tuple[str, Path]], mtime: int) -> None:
    """Write the members as a tar stream."""
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.GNU_FORMAT, bufsize=1 << 20) as tar:
        for name, path in entries:
            info = header(name, path, mtime)
            if info.isreg():
                with path.open("rb") as data:
                    tar.addfile(info, data)
            else:
                tar.addfile(info)


@contextlib.contextmanager
def compressor(archive: Path) -> Iterator[IO[bytes]]:
    """A stream whose bytes end compressed in the archive, by the ending of its name."""
    with archive.open("wb") as file:
        if archive.suffix == ".gz":
            with gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0) as packed, io.BufferedWriter(packed, 1 << 20) as stream:
                yield stream
            return
        with subprocess.Popen([os.environ["ZSTD"], *ZSTD_FLAGS], stdin=subprocess.PIPE, stdout=file) as zstd:
            assert zstd.stdin
            yield zstd.stdin
            zstd.stdin.close()
        if zstd.returncode:
            raise OSError(f"zstd ended with status {zstd.returncode}")


def main(argv: list[str]) -> None:
    archive = Path(argv[0])
    archive.parent.mkdir(parents=True, exist_ok=True)
    with compressor(archive) as stream:
        write_tar(stream, members(argv[1:]), int(os.environ["SOURCE_DATE_EPOCH"]))
    print(f"{archive.name}: {archive.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
