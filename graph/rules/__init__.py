"""The pure judgement of facts by the limits of a Policy.

`check` is a chain of rules, each a generator from (archive, policy) to findings; docs/audit.md lists them by id.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import chain

from graph.errors import AuditFailed
from graph.facts import Archive, Binary, Finding, Flavour
from graph.policy import Policy
from graph.rules import addon, files, form, hardening, linking, macho, modules, pe, platform
from graph.rules.common import METADATA, Findings, Rule, bundled, flavour_of

__all__ = ["METADATA", "OF_CODE", "OF_DISTRIBUTIONS", "OF_EVERY_ARCHIVE", "OF_TOOLCHAINS", "check", "flavour_of", "refuse"]

OF_EVERY_ARCHIVE: tuple[Rule, ...] = (
    form.name,
    form.layout,
    form.deterministic,
    form.members,
    files.contents,
    files.bytecode,
    files.foreign,
    linking.libraries,
    linking.search,
    linking.versions,
)
OF_DISTRIBUTIONS: tuple[Rule, ...] = (
    linking.exports,
    linking.private,
    linking.undefined,
    linking.unversioned,
    linking.static,
    hardening.hardening,
    hardening.segments,
    hardening.interpreter,
    hardening.symbols,
    hardening.elf_abi,
    macho.system,
    macho.form,
    macho.signature,
    pe.libraries,
    pe.undefined,
    pe.functions,
    pe.modules,
    pe.stable_abi,
    pe.headers,
    pe.symbols,
    pe.programs,
    pe.resources,
    pe.names,
    pe.licensed,
    pe.platform,
    modules.modules,
    modules.metadata,
    modules.details,
    platform.platform,
)
OF_CODE: frozenset[Rule] = frozenset(
    {
        *(linking.libraries, linking.search, linking.versions, linking.exports, linking.private, linking.undefined, linking.unversioned),
        linking.static,
        *(hardening.hardening, hardening.segments, hardening.interpreter, hardening.symbols, hardening.elf_abi),
        *(macho.system, macho.form, macho.signature),
        *(pe.libraries, pe.undefined, pe.functions, pe.modules, pe.stable_abi, pe.headers, pe.symbols, pe.programs, pe.resources),
    }
)
"""Of these, the rules about code: each slice of a fat file is judged alone, by the limits of its own target."""
OF_TOOLCHAINS: tuple[Rule, ...] = (addon.sysroot,)
"""zig is a program of its makers: hardening of what we link is not asked of it."""


def check(archive: Archive, policy: Policy) -> tuple[Finding, ...]:
    """Every limit that the archive breaks, sorted by rule and path.

    Of files that may be foreign nothing is asked; of launchers and of what the user brought, nothing about how they were made.
    """
    archive = replace(archive, binaries=_others(archive.binaries, policy.foreign))
    brought = bundled(archive, policy)
    ours = replace(archive, binaries=tuple(one for one in _others(archive.binaries, policy.launchers) if one.path not in brought))
    rules = OF_EVERY_ARCHIVE + (OF_TOOLCHAINS if flavour_of(archive.filename) is Flavour.TOOLCHAIN else OF_DISTRIBUTIONS)
    found = chain.from_iterable(_of_slices(rule, ours, policy) if rule in OF_CODE else rule(archive, policy) for rule in rules)
    return tuple(sorted({replace(finding, archive=archive.filename) for finding in found}))


def _others(binaries: Iterable[Binary], globs: tuple[str, ...]) -> tuple[Binary, ...]:
    """Those that no glob names."""
    return tuple(one for one in binaries if not any(fnmatchcase(one.path, glob) for glob in globs))


def _of_slices(rule: Rule, archive: Archive, policy: Policy) -> Findings:
    """What the rule finds in the code for each processor; the path says which, where there are several."""
    if not policy.slices:
        yield from rule(archive, policy)
    for limits in policy.slices:
        own = tuple(binary for binary in archive.binaries if binary.machine == limits.machine)
        for finding in rule(replace(archive, binaries=own), limits):
            yield replace(finding, path=f"{finding.path} ({limits.machine})")


SHOWN = 20
"""Findings that are told; the rest is counted."""


def refuse(findings: Sequence[Finding], place: str) -> None:
    """Raises AuditFailed, which tells of the first ones, when there is any finding; `place` is the task that looked."""
    if findings:
        more = [f"  and {len(findings) - SHOWN} more"] if len(findings) > SHOWN else []
        what = "\n".join([f"{len(findings)} findings", *(f"  {finding}" for finding in findings[:SHOWN]), *more])
        raise AuditFailed(what, place=place, hint="docs/audit.md explains each rule; the limits stand in toolchains/policy.toml")
