"""Mach-O: file type, system version, libraries' versions, room for install_name_tool, debug map and code signature."""

from __future__ import annotations

from collections.abc import Iterator

from graph.facts import Archive, Binary, Finding, Kind, Macho, Signature
from graph.policy import Policy
from graph.rules.common import Findings, module_of, shipped, some
from graph.rules.linking import numbers

CS_ADHOC = 0x2
"""xnu osfmk/kern/cs_blobs.h: no certificate, only hashes."""


def _macho(archive: Archive) -> Iterator[tuple[Binary, Macho]]:
    return ((binary, binary.macho) for binary in shipped(archive) if binary.macho)


def system(archive: Archive, policy: Policy) -> Findings:
    """The oldest macOS that loads the file, and versions of what it loads."""
    limit = policy.target.deployment_target
    for binary, macho in _macho(archive):
        if macho.platform != policy.target.os:
            yield Finding("minos", binary.path, f"is for {macho.platform or 'no platform'}, not {policy.target.os}")
        elif macho.minos != limit:
            yield Finding("minos", binary.path, f"is for {macho.platform} {macho.minos}, not {limit}")
        if numbers(macho.sdk) < numbers(limit):
            yield Finding("minos", binary.path, f"is made with an SDK of {macho.sdk}, older than {limit}")
        yield from _libraries(archive, binary, macho, policy)


def _libraries(archive: Archive, binary: Binary, macho: Macho, policy: Policy) -> Findings:
    """dyld refuses a library whose compatibility version is below the one that the file was linked with."""
    limits = {other.name: other_macho.compatibility for other, other_macho in _macho(archive) if other.name}
    limits |= {name: numbers(version) for name, version in policy.dylibs.items()}
    for library in macho.libraries:
        limit = _three(limits.get(library.name, library.compatibility))
        if _three(library.compatibility) > limit:
            asked, given = (".".join(map(str, version)) for version in (library.compatibility, limit))
            yield Finding("dylib-version", binary.path, f"asks for version {asked} of {library.name}, above {given}")


def _three(version: tuple[int, ...]) -> tuple[int, ...]:
    return (*version, 0, 0, 0)[:3]


def form(archive: Archive, policy: Policy) -> Findings:
    """File type, name spaces, place for edits, no debug map."""
    for binary, macho in _macho(archive):
        wanted = Kind.BUNDLE if module_of(binary.path) else Kind.SHARED if binary.path.endswith(".dylib") else Kind.EXECUTABLE
        if binary.kind is not wanted:
            yield Finding("file-type", binary.path, f"is {binary.kind.value}, not {wanted.value}")
        if "twolevel" not in macho.flags:
            yield Finding("two-level", binary.path, "takes symbols of whatever library has them (no MH_TWOLEVEL)")
        if binary.kind is Kind.EXECUTABLE and not binary.position_independent:
            yield Finding("pie", binary.path, "loads at a fixed address")
        if macho.padding < policy.padding:
            yield Finding("headerpad", binary.path, f"{macho.padding} bytes behind the load commands, fewer than {policy.padding}")
        objects = [name for name in binary.debug if "/" in name or name.endswith((".o", ".a)", ")"))]
        if objects:
            yield Finding("debug-map", binary.path, f"names object files of the build: {some(objects)}")


def signature(archive: Archive, policy: Policy) -> Findings:
    """Page hashes are the file's own, nothing lies behind them."""
    for binary, macho in _macho(archive):
        if macho.signature is None:
            if policy.signed:
                yield Finding("signature", binary.path, "is not signed")
            continue
        for wrong in _wrongs(macho.signature):
            yield Finding("signature", binary.path, wrong)


def _wrongs(found: Signature) -> Iterator[str]:
    if found.broken:
        yield found.broken
        return
    if not found.flags & CS_ADHOC:
        yield f"is not ad hoc (flags {found.flags:#x})"
    if found.hashes != "sha256":
        yield f"hashes are {found.hashes}"
    if found.wrong:
        yield f"{len(found.wrong)} of {found.pages} pages have another hash, e.g. page {found.wrong[0]}"
    if found.limit != found.start:
        yield f"covers {found.limit} bytes of {found.start} before it"
    if found.end != found.size:
        yield f"ends at {found.end}, not with the file ({found.size})"
