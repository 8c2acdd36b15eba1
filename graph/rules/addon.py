"""The toolchain add-on."""

from __future__ import annotations

from graph.facts import Archive, Finding, Kind
from graph.policy import Policy
from graph.rules.common import Findings, shipped
from graph.rules.linking import allowed


def sysroot(archive: Archive, policy: Policy) -> Findings:
    """The sysroot's libraries are stubs, which nothing loads; what is linked with them needs what they offer."""
    for binary in shipped(archive):
        late = sorted({symbol.version for symbol in binary.exports if symbol.version and not allowed(symbol, policy)})
        if binary.kind is Kind.SHARED and late:
            yield Finding("sysroot-version", binary.path, f"offers symbols of {', '.join(late)}")
