"""Unpacking source archives: tar (gzip, xz, bzip2, zstd or plain), zip (wheels) and deb (its data), told apart by their first bytes.

Archives are read in one pass and trusted in nothing: every refusal is an UnpackError with the archive's and the member's name.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

import zstandard

from graph.errors import UnpackError, os_error
from graph.globs import Selection
from graph.trees import escapes

LIMIT = 8 * 1024**3
"""Bytes that one archive may unpack to."""
RATIO = 250
"""Times its packed size that an archive may unpack to, above a free allowance: sources reach about 20, bombs 1000 and more."""
_ALLOWANCE = 256 * 1024**2
_CHUNK = 1 << 20
_AR = b"!<arch>\n"
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, zstandard.ZstdError, EOFError, ValueError, NotImplementedError)


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What was unpacked; `unmatched` are the patterns of `only` that no member matched."""

    files: int
    bytes: int
    unmatched: tuple[str, ...]


def unpack(
    archive: Path, dest: Path, strip: int = 0, only: tuple[str, ...] = (), without: tuple[str, ...] = (), *, limit: int = LIMIT
) -> Unpacked:
    """Unpack into `dest`, which is absent or an empty folder, without the first `strip` path parts and with what the globs keep after that.

    Of a file's mode only the executable bit is kept; a hard link becomes a copy. Raises UnpackError on a broken or hostile archive.
    """
    allowed = min(limit, RATIO * archive.stat().st_size + _ALLOWANCE)
    writer = _Writer(archive, dest, strip, Selection.parse(only, without), allowed)
    with _told(writer), archive.open("rb") as file:
        dest.mkdir(parents=True, exist_ok=True)
        magic = file.read(512)
        file.seek(0)
        if magic.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            _unzip(file, writer)
        elif magic.startswith(_AR):
            _undeb(file, writer)
        else:
            _untar(_decompressed(file, magic), writer)
        writer.finish()
    return writer.report()


def _decompressed(file: BinaryIO, magic: bytes) -> BinaryIO:
    if magic.startswith(b"\x1f\x8b"):
        return cast(BinaryIO, gzip.GzipFile(fileobj=file))
    if magic.startswith(b"\xfd7zXZ\x00"):
        return cast(BinaryIO, lzma.LZMAFile(file))
    if magic.startswith(b"BZh"):
        return cast(BinaryIO, bz2.BZ2File(file))
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        return cast(BinaryIO, zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True))
    if magic[257:262] == b"ustar":
        return file
    raise UnpackError("is no tar, zip or deb archive that is known", hint="check the entry in sources.lock")


@contextmanager
def _told(writer: _Writer) -> Iterator[None]:
    """Every failure names the archive and the member that was being read."""
    hint = "the file is not what upstream released, or was cut short: doit store verify"
    try:
        yield
    except UnpackError as error:
        raise UnpackError(error.what, place=writer.place(), hint=error.hint or hint) from None
    except _BROKEN as error:
        raise UnpackError(f"is broken or truncated: {error}", place=writer.place(), hint=hint) from error
    except OSError as error:
        # gzip and bz2 tell of bad data by an OSError without a number
        if error.errno is not None:
            raise os_error(error, writer.dest) from error
        raise UnpackError(f"is broken or truncated: {error}", place=writer.place(), hint=hint) from error
    except RuntimeError as error:
        raise UnpackError(f"cannot be read: {error}", place=writer.place(), hint=hint) from error


class _Counted:
    """A stream that counts what is read from it, and knows where its last byte that is not zero was."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self.stream = stream
        self.limit = limit
        self.count = 0
        self.text_end = 0

    def read(self, size: int) -> bytes:
        data = self.stream.read(size)
        text = len(data.rstrip(b"\0"))
        self.text_end = self.count + text if text else self.text_end
        self.count += len(data)
        if self.count > self.limit:
            raise _bomb(self.limit)
        return data


def _untar(stream: BinaryIO, writer: _Writer) -> None:
    counted = _Counted(stream, writer.allowed)
    with tarfile.open(fileobj=cast(IO[bytes], counted), mode="r|", encoding="utf-8", errors="surrogateescape") as tar:
        for member in tar:
            _tar_member(tar, member, writer)
            # tarfile keeps every member for a random access that nobody asks for
            tar.members = []  # type: ignore[attr-defined]
        end = tar.offset
    # the checksum of a compressed stream stands at its end
    while counted.read(_CHUNK):
        pass
    # tarfile takes a broken header for the end; the true end is a block of zeros with nothing behind it
    if counted.text_end > end or counted.count < end + tarfile.BLOCKSIZE:
        raise UnpackError("is broken or truncated after this member")


def _tar_member(tar: tarfile.TarFile, member: tarfile.TarInfo, writer: _Writer) -> None:
    path = writer.path(member.name, member.isdir())
    if member.isdir():
        writer.directory(path)
    elif member.issym():
        writer.symlink(path, member.linkname)
    elif member.islnk():
        writer.hardlink(path, member.linkname)
    elif member.isreg():
        data = tar.extractfile(member)
        if data is None:
            raise UnpackError("has no data")
        writer.file(path, data, bool(member.mode & stat.S_IXUSR))
    else:
        raise UnpackError("is a device, a pipe or of an unknown type")


def _unzip(file: BinaryIO, writer: _Writer) -> None:
    with zipfile.ZipFile(file) as packed:
        for member in packed.infolist():
            mode = member.external_attr >> 16
            path = writer.path(member.filename, member.is_dir())
            if member.is_dir():
                writer.directory(path)
                continue
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFLNK):
                raise UnpackError("is a device, a pipe or of an unknown type")
            with packed.open(member) as data:
                if stat.S_ISLNK(mode):
                    writer.symlink(path, os.fsdecode(data.read(4096)))
                else:
                    writer.file(path, data, bool(mode & stat.S_IXUSR))


def _undeb(file: BinaryIO, writer: _Writer) -> None:
    """The files of a Debian binary package, deb(5): an ar archive of debian-binary, control.tar.* and data.tar.*, in this order."""
    members = _ar_members(file)
    if next(members, None) != ("debian-binary", b"2.0\n"):
        raise UnpackError("is an ar archive, but no Debian package of format 2.0")
    data = [content for name, content in members if name.startswith("data.tar")]
    if len(data) != 1:
        raise UnpackError(f"holds {len(data)} data archives, not one")
    _untar(_decompressed(io.BytesIO(data[0]), data[0][:512]), writer)


def _ar_members(file: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each member, ar(5): a header of 60 bytes, the content, and a newline where its size is odd."""
    file.seek(len(_AR))
    while header := file.read(60):
        name, size = header[:16].rstrip().removesuffix(b"/").decode("ascii", "backslashreplace"), header[48:58].strip()
        if len(header) != 60 or header[58:] != b"`\n" or not size.isdigit():
            raise UnpackError("is broken or truncated: an ar header is wrong")
        content = file.read(int(size))
        if len(content) != int(size):
            raise UnpackError(f"is broken or truncated in {name}")
        file.read(int(size) % 2)
        yield name, content


class _Writer:
    """Writes members below `dest`. As `dest` was empty, what it has written is all there is: no path leads through a link."""

    def __init__(self, archive: Path, dest: Path, strip: int, selection: Selection, allowed: int) -> None:
        self.archive = archive
        self.dest = dest
        self.strip = strip
        self.selection = selection
        self.allowed = allowed
        self.member = ""
        self.kinds: dict[str, str] = {}
        self.filled: set[str] = set()
        self.matched: set[str] = set()
        self.bytes = 0

    def place(self) -> str:
        return f"{self.archive.name}: {self.member}" if self.member else self.archive.name

    def report(self) -> Unpacked:
        files = sum(kind == "file" for kind in self.kinds.values())
        return Unpacked(files, self.bytes, tuple(g.text for g in self.selection.only if g.text not in self.matched))

    def path(self, name: str, is_directory: bool) -> str:
        """The member's path under dest; empty for the folders that `strip` takes away. Every name is checked, wanted or not."""
        self.member = name.encode(errors="backslashreplace").decode()
        parts = self._parts(name)
        if len(parts) <= self.strip and not is_directory:
            raise UnpackError(f"has no name left without its first {self.strip} parts", hint="lower `strip` in the recipe")
        path = "/".join(parts[self.strip :])
        self.filled.update(_parents(path))
        return path

    def directory(self, path: str) -> None:
        if path:
            self._claim(path, "directory")

    def file(self, path: str, data: IO[bytes], executable: bool) -> None:
        if not self._wants(path):
            return
        target = self._claim(path, "file")
        with target.open("wb") as out:
            while chunk := data.read(_CHUNK):
                self.bytes += len(chunk)
                if self.bytes > self.allowed:
                    raise _bomb(self.allowed)
                out.write(chunk)
        target.chmod(0o755 if executable else 0o644)

    def symlink(self, path: str, text: str) -> None:
        if not self._wants(path):
            return
        self._check_text(text)
        if escapes(path, text) or "\0" in text:
            raise UnpackError(f"is a symbolic link that leads outside: {text!r}")
        self._claim(path, "symlink").symlink_to(text)

    def hardlink(self, path: str, name: str) -> None:
        if not self._wants(path):
            return
        source = "/".join(self._parts(name)[self.strip :])
        if self.kinds.get(source) != "file":
            raise UnpackError(f"is a hard link to {name!r}, which is no file unpacked before it")
        if source != path:
            shutil.copy(self.dest / source, self._claim(path, "file"))
            self.bytes += (self.dest / source).stat().st_size
            if self.bytes > self.allowed:
                raise _bomb(self.allowed)

    def finish(self) -> None:
        """Make the folders that are empty in the archive (others came with what they hold), and follow every link now that all are there:
        text that stays inside can still lead outside through another link.
        """
        for path, kind in self.kinds.items():
            if kind == "directory" and path not in self.filled and self._wants(f"{path}/"):
                (self.dest / path).mkdir(parents=True, exist_ok=True)
        root = os.path.realpath(self.dest)
        for path, kind in self.kinds.items():
            if kind == "symlink" and not (os.path.realpath(self.dest / path) + "/").startswith(root + "/"):
                self.member = path
                raise UnpackError("is a symbolic link that leads outside through another one")
        self.member = ""

    def _parts(self, name: str) -> list[str]:
        self._check_text(name)
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if name.startswith("/") or ".." in parts or "\0" in name:
            raise UnpackError("has a name that leads outside")
        return parts

    def _check_text(self, text: str) -> None:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UnpackError(f"has a name that is not UTF-8: {os.fsencode(text)!r}") from None

    def _wants(self, path: str) -> bool:
        self.matched.update(self.selection.matched(path))
        return self.selection.keeps(path)

    def _claim(self, path: str, kind: str) -> Path:
        """The place to write to, its folder made. Refuses a way through a link or file, and a second entry of another type."""
        for folder in _parents(path):
            if self.kinds.setdefault(folder, "directory") != "directory":
                raise UnpackError(f"would be written through {folder}, which is a {self.kinds[folder]}")
        if self.kinds.setdefault(path, kind) != kind:
            raise UnpackError(f"is a {kind} and a {self.kinds[path]}")
        target = self.dest / path
        if kind != "directory":
            target.parent.mkdir(parents=True, exist_ok=True)
            # the last of several entries counts
            target.unlink(missing_ok=True)
        return target


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


def _bomb(limit: int) -> UnpackError:
    return UnpackError(f"unpacks to more than {limit} bytes", hint="if that is right, raise LIMIT or RATIO in graph/archive.py")
