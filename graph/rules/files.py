"""What is in the files: build paths, bytecode, binaries of another platform."""

from __future__ import annotations

from fnmatch import fnmatchcase

from graph.facts import Archive, Binary, Finding, format_of
from graph.policy import Policy
from graph.rules.common import Findings, source_of


def contents(archive: Archive, policy: Policy) -> Findings:
    """Paths of the build, and of the configure prefix in #! lines."""
    for entry in archive.entries:
        for leak in entry.leaks:
            # the prefix of configure: readers of PYTHON.json know it
            if entry.path != "python/PYTHON.json" or not leak.startswith("/install"):
                yield Finding("build-path", entry.path, f"holds {leak!r}")
        if entry.head.startswith(b"#!/install"):
            yield Finding("shebang", entry.path, f"starts {entry.head.splitlines()[0].decode(errors='replace')}")


def bytecode(archive: Archive, policy: Policy) -> Findings:
    """PEP 552: bytes 0-3 magic, 4-7 flags (1 hash-based, 2 check source), then mtime and size of the source, or its hash."""
    files = {entry.path: entry for entry in archive.entries}
    compiled = [entry for entry in archive.entries if source_of(entry.path)]
    for magic in sorted({entry.head[:4] for entry in compiled})[1:]:
        yield Finding("pycache", next(e.path for e in compiled if e.head[:4] == magic), "another magic number than the others have")
    for entry in compiled:
        source = files.get(source_of(entry.path))
        flags, mtime, size = (int.from_bytes(entry.head[at : at + 4], "little") for at in (4, 8, 12))
        if source is None:
            yield Finding("pycache", entry.path, "has no source beside it")
        elif flags == 0 and (mtime, size) != (int(source.mtime) & 0xFFFFFFFF, source.size):
            yield Finding("pycache", entry.path, "is stale: made of a source with another mtime or size")
        elif flags & 1 and entry.head[8:16] != archive.sources.get(entry.path):
            yield Finding("pycache", entry.path, "is stale: made of a source with another hash")


def foreign(archive: Archive, policy: Policy) -> Findings:
    """Binaries of another platform, or of none."""
    seen: dict[str, list[Binary]] = {}
    for binary in archive.binaries:
        seen.setdefault(binary.path, []).append(binary)
    for entry in archive.entries:
        found = format_of(entry.head) if entry.kind == "file" else None
        if found is None or any(fnmatchcase(entry.path, glob) for glob in policy.foreign):
            continue
        if found is not policy.format:
            yield Finding("binary-format", entry.path, f"is {found.value}, not {policy.format.value}")
        elif entry.path not in seen:
            yield Finding("binary-format", entry.path, "cannot be read")
        for binary in seen.get(entry.path, ()):
            if binary.machine not in policy.machines:
                yield Finding("binary-machine", entry.path, f"is for {binary.machine}, not {' and '.join(sorted(policy.machines))}")
            elif (binary.bits, binary.byteorder) != (policy.bits, policy.byteorder):
                wanted = f"{policy.bits} bits, {policy.byteorder} endian"
                yield Finding("binary-machine", entry.path, f"has {binary.bits} bits, {binary.byteorder} endian, not {wanted}")
        if policy.slices and entry.path in seen:
            for machine in sorted(policy.machines - {binary.machine for binary in seen[entry.path]}):
                yield Finding("binary-machine", entry.path, f"has no slice for {machine}")
