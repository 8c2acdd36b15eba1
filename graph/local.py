"""A local checkout or archive in the place of a source of the lock: `--source cpython=../cpython`. Hashed like any other source.

A folder is packed as a release tarball is: one top folder; of a git checkout what git knows and does not ignore, committed or not.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import tarfile
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from packaging.version import Version

from graph.disk import hash_file
from graph.errors import UsageError, did_you_mean
from graph.lock import VCRUNTIME, Lock, Source
from graph.matrix import Matrix
from graph.target import Target

CPYTHON = "cpython"
SDK = "macos-sdk"
"""Name of the source that SDKROOT brings."""
SETTINGS = "SDKSettings.json"
SDK_HINT = "unset SDKROOT, or set it to what `xcrun --show-sdk-path` prints on a Mac"
PATCHLEVEL = "Include/patchlevel.h"
HINT = "--source NAME=PATH, e.g. --source cpython=../cpython"


@dataclass(frozen=True, slots=True)
class Local:
    """A typed NAME=PATH."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Brought:
    """What a user brings: local sources, Apple's SDK, Microsoft's C and C++ run time."""

    sources: tuple[Local, ...]
    sdk: Local | None
    vcruntime: Local | None

    def mirrors(self, folder: Path) -> tuple[Path, ...]:
        """Folders where the fetcher finds the bytes."""
        brought = (*self.sources, self.sdk, self.vcruntime)
        return tuple(mirror_of(local, folder) for local in brought if local)


def parse_brought(sources: Iterable[str], sdk: str, vcruntime: str) -> Brought:
    """NAME=PATH each, and folders or nothing. Raises UsageError."""
    return Brought(
        tuple(map(parse_local, sources)),
        _sdk(sdk) if sdk else None,
        Local(VCRUNTIME, Path(vcruntime).expanduser().absolute()) if vcruntime else None,
    )


def _sdk(path: str) -> Local:
    sdk = Local(SDK, Path(path).expanduser().absolute())
    if not sdk.path.is_dir():
        raise UsageError(f"{sdk.path} is no folder", place="SDKROOT", hint=SDK_HINT)
    return sdk


def with_brought(lock: Lock, matrix: Matrix, brought: Brought, folder: Path) -> tuple[Lock, Matrix]:
    """Lock and matrix with all of it; folders are packed into `folder`. Raises UsageError."""
    for local in brought.sources:
        lock, matrix = with_local(lock, matrix, local, folder)
    if brought.sdk:
        lock, matrix = with_sdk(lock, matrix, brought.sdk, folder)
    return (with_vcruntime(lock, matrix, brought.vcruntime, folder) if brought.vcruntime else lock), matrix


def parse_local(text: str) -> Local:
    """NAME=PATH, of a folder or file that exists. Raises UsageError."""
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise UsageError(f"{text!r} names no source and path", hint=HINT)
    place = Path(path).expanduser().absolute()
    if not place.exists():
        raise UsageError(f"{place} does not exist", place=f"--source {name}", hint=HINT)
    return Local(name, place)


def with_local(lock: Lock, matrix: Matrix, local: Local, folder: Path) -> tuple[Lock, Matrix]:
    """Lock and matrix with `local` in the place of its source; a folder is packed into `folder`. Raises UsageError for an unknown name.

    A CPython brings its version along, which takes the place of the one with the same major.minor. Archives say in their names that they
    are of local sources.
    """
    path = _packed(local, folder) if local.path.is_dir() else local.path
    name, version = local.name, ""
    if name.startswith(CPYTHON):
        version = cpython_version(local.path)
        name = f"{CPYTHON}-{_of_same_minor(version, matrix)}"
        if local.name not in (CPYTHON, name):
            raise UsageError(
                f"{local.path} is CPython {version}, no {local.name}", place="--source", hint=f"--source {CPYTHON}={local.path}"
            )
    if name not in lock.sources:
        raise UsageError(f"no source named {name!r}", place="--source", hint=did_you_mean(name, [CPYTHON, *lock.sources]))
    old, digest = lock.sources[name], hash_file(path)
    taken = f"{CPYTHON}-{version}" if version else name
    new = replace(old, name=taken, version=version or old.version, filename=path.name, sha256=digest.hash, size=digest.size, ways=())
    marked = replace(lock, release=f"{lock.release}.{name}.{digest.hash[:8]}", sources={**lock.sources, taken: new})
    return marked, replace(matrix, versions=_versions(version, matrix) if version else matrix.versions)


def with_sdk(lock: Lock, matrix: Matrix, sdk: Local, folder: Path) -> tuple[Lock, Matrix]:
    """Lock and matrix with Apple's SDK, which macOS targets are then built with: a source like any other, with its content in their keys.

    Raises UsageError when the folder is no SDK of macOS. (One that is too old for a target is of use for others: `refuse_old_sdk`.)
    """
    version = sdk_version(sdk.path)
    path = _packed(sdk, folder)
    digest = hash_file(path)
    source = Source(SDK, version, path.name, digest.hash, digest.size, "LicenseRef-Apple-Xcode", ())
    targets = {triple: _with_sdk(target, version) if target.os == "macos" else target for triple, target in matrix.targets.items()}
    return replace(lock, sources={**lock.sources, SDK: source}), replace(matrix, targets=targets)


def _with_sdk(target: Target, version: str) -> Target:
    return replace(target, sdk=version, slices=tuple(replace(one, sdk=version) for one in target.slices))


def sdk_version(tree: Path) -> str:
    """Version of a macOS SDK, e.g. 15.2. Raises UsageError when the folder is none."""
    try:
        told = json.loads((tree / SETTINGS).read_text())
        name, version = str(told["CanonicalName"]), str(Version(str(told["Version"])))
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"{tree} has no {SETTINGS} that names a version", place="SDKROOT", hint=SDK_HINT) from None
    if not name.startswith("macosx"):
        raise UsageError(f"{tree} is the SDK {name}, not one of macOS", place="SDKROOT", hint=SDK_HINT)
    return version


def with_vcruntime(lock: Lock, matrix: Matrix, local: Local, folder: Path) -> Lock:
    """The lock with DLLs of Microsoft's run time, which Windows distributions for their machine then hold: a source like any other.

    Raises UsageError when the folder has no vcruntime140.dll, or a DLL that is none of a Windows target's machine.
    """
    # lief takes half a second
    from graph.vcruntime import read_vcruntime

    files, version, arch = read_vcruntime(local.path, {target.arch for target in matrix.targets.values() if target.os == "windows"})
    path = _packed(local, folder, files)
    digest = hash_file(path)
    source = Source(VCRUNTIME, version, path.name, digest.hash, digest.size, "LicenseRef-Microsoft-Visual-Cpp-Runtime", (), arch)
    return replace(lock, sources={**lock.sources, VCRUNTIME: source})


def refuse_unfit(lock: Lock, matrix: Matrix, nodes: Container[str], *, typed: bool) -> None:
    """Raises UsageError when what was brought does not fit the `nodes` of a run. `typed`: with --vcruntime; as a setting it may be idle."""
    refuse_old_sdk(matrix, nodes)
    if typed:
        refuse_idle(lock, matrix, nodes)


def refuse_idle(lock: Lock, matrix: Matrix, nodes: Container[str]) -> None:
    """Raises UsageError when Microsoft's run time was brought and is in none of the `nodes` of a run: no distribution of its machine."""
    brought = lock.sources.get(VCRUNTIME)
    if brought and f"fetch:{VCRUNTIME}" not in nodes:
        holder = next(target for target in matrix.targets.values() if lock.vcruntime(target))
        what = f"its DLLs are for Windows on {brought.arch}, and none of what was named is a distribution for that"
        raise UsageError(what, place="--vcruntime", hint=f"doit run --vcruntime DIR dist:{holder}, or the command without --vcruntime")


def refuse_old_sdk(matrix: Matrix, nodes: Container[str]) -> None:
    """Raises UsageError when Apple's SDK was brought and one of the `nodes` of a run is for an older macOS than the SDK can serve."""
    macos = [target for target in matrix.targets.values() if target.sdk and not target.slices]
    old = [target for target in macos if Version(target.sdk) < Version(target.deployment_target)]
    refused = next((target for target in old if f"libc:{target}" in nodes), None)
    if refused:
        what = f"it is the SDK of macOS {refused.sdk}; {refused} is built for macOS {refused.deployment_target} and later"
        # on a Mac programs of its own run while any target is built
        served = "" if matrix.only else next((f"; this one serves doit dist:{target}" for target in macos if target not in old), "")
        raise UsageError(what, place="SDKROOT", hint=f"unset SDKROOT, or set it to a newer SDK{served}")


def mirror_of(local: Local, folder: Path) -> Path:
    """The folder where the fetcher finds the bytes."""
    return folder if local.path.is_dir() else local.path.parent


def cpython_version(source: Path) -> str:
    """X.Y.Z of a CPython source tree or tarball. Raises UsageError when it is none."""
    try:
        text = (source / PATCHLEVEL).read_text() if source.is_dir() else _patchlevel_of(source)
        numbers = dict(re.findall(r"#define\s+PY_(MAJOR|MINOR|MICRO)_VERSION\s+(\d+)", text))
        return ".".join(numbers[part] for part in ("MAJOR", "MINOR", "MICRO"))
    except (OSError, tarfile.TarError, KeyError):
        raise UsageError(f"{source} has no {PATCHLEVEL}: it is no CPython source", place=f"--source {CPYTHON}", hint=HINT) from None


def _patchlevel_of(archive: Path) -> str:
    with tarfile.open(archive) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.name.endswith(f"/{PATCHLEVEL}") else None
            if file:
                return file.read().decode()
    raise KeyError(PATCHLEVEL)


def _of_same_minor(version: str, matrix: Matrix) -> str:
    """The version of the matrix whose place is taken. Raises UsageError when recipes know nothing of its like."""
    minor = version.rpartition(".")[0] + "."
    for one in matrix.versions:
        if one.startswith(minor):
            return one
    what = f"CPython {version} is like none of the versions offered: {', '.join(matrix.versions)}"
    raise UsageError(what, place=f"--source {CPYTHON}", hint="docs/cpython.md, Adding a Python version")


def _versions(version: str, matrix: Matrix) -> tuple[str, ...]:
    other = _of_same_minor(version, matrix)
    return tuple(version if one == other else one for one in matrix.versions)


def _packed(local: Local, folder: Path, chosen: Mapping[str, Path] | None = None) -> Path:
    """The tarball of a folder: made again only when a name, size or time in it changed. Using it makes it young for `doit store gc`.

    `chosen`: all that it holds, by name there, each as a program, whatever its mode.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: local.path / name for name in sorted(_files(local.path))} if chosen is None else chosen
    stamps = [(name, status.st_size, status.st_mtime_ns, status.st_mode) for name, file in files.items() for status in [file.lstat()]]
    stamp = hashlib.sha256(json.dumps([str(local.path), stamps]).encode()).hexdigest()[:16]
    path = folder / f"{local.name}-{stamp}.tar"
    if not path.exists():
        part = path.with_suffix(".part")
        with tarfile.open(part, "w") as tar:
            for name, file in files.items():
                tar.add(file, f"{local.name}/{name}", recursive=False, filter=partial(_plain, program=chosen is not None))
        part.replace(path)
    # a store that cannot be written is of use all the same
    with suppress(OSError):
        os.utime(path)
    return path


def _plain(info: tarfile.TarInfo, *, program: bool = False) -> tarfile.TarInfo:
    """Of a file's header what the source is: no time, no owner."""
    info.mtime = info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mode = 0o755 if program or info.mode & 0o111 else 0o644
    return info


def _files(tree: Path) -> Iterator[str]:
    """Files and links of the tree, relative to it."""
    listed = (
        subprocess.run(
            ["git", "-C", str(tree), "ls-files", "-z", "--cached", "--others", "--exclude-standard"], capture_output=True, check=False
        )
        if (tree / ".git").exists()
        else None
    )
    if listed is not None and listed.returncode == 0:
        names = (name.decode() for name in listed.stdout.split(b"\0") if name)
    else:
        names = (path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_symlink() or path.is_file())
    # deleted, but not yet for git; a submodule is a folder
    yield from (name for name in names if (tree / name).is_symlink() or (tree / name).is_file())
