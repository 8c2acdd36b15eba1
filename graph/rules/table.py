"""The limits that differ between targets, as docs/audit.md shows them."""

from __future__ import annotations

from collections.abc import Iterable

from graph.facts import Format
from graph.policy import Policy
from graph.rules.hardening import isa_level

COLUMNS = ("target", "machine", "word", "e_flags", "loader", "oldest system", "alignment", "platform triplet", "sysconfig platform")


def limits_table(policies: Iterable[Policy]) -> str:
    """A table in Markdown, one row a policy."""
    rows = [COLUMNS, tuple("---" for _ in COLUMNS), *(_row(policy) for policy in policies)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(policy: Policy) -> tuple[str, ...]:
    target = policy.target
    mask, value = policy.abi
    level = isa_level(target)
    return (
        f"`{target}`",
        f"{policy.format.value} {' and '.join(sorted(policy.machines))}" + (f", level {level}" if level > 1 else ""),
        f"{policy.bits} {policy.byteorder}",
        f"{value:#x} of {mask:#x}" if mask else "",
        f"`{policy.loader}`" if policy.loader else "",
        _oldest(policy),
        str(target.page_size),
        f"`{policy.multiarch}`" if policy.multiarch else "none",
        f"`{target.platform_tag}`",
    )


def _oldest(policy: Policy) -> str:
    if policy.format is Format.MACHO:
        return f"macOS {policy.target.deployment_target}"
    if policy.format is Format.PE:
        # the first with the Universal C Runtime in it
        return "Windows 10"
    return ", ".join(f"{family.replace('GLIBC', 'glibc')} {version}" for family, version in policy.versions.items()) or policy.target.libc
