"""Extension modules, and PYTHON.json, which lists them."""

from __future__ import annotations

from itertools import chain

from graph.facts import Archive, Finding, Flavour, Format
from graph.metadata import differences, problems
from graph.policy import Policy
from graph.rules.common import METADATA, Findings, flavour_of, module_of, places_of


def modules(archive: Archive, policy: Policy) -> Findings:
    """Exactly the extension modules of this Python on this system."""
    flavour = flavour_of(archive.filename)
    found = {module_of(entry.path): entry.path for entry in archive.entries if module_of(entry.path)}
    wanted = policy.shared | policy.test if flavour is Flavour.FULL else policy.shared
    folder = "DLLs" if policy.format is Format.PE else "lib-dynload"
    for name in sorted(wanted - policy.optional - found.keys()):
        yield Finding("modules", f"{folder}/{name}", "is missing")
    for name in sorted(found.keys() - wanted):
        yield Finding("modules", found[name], "is not in the list of extension modules")


def metadata(archive: Archive, policy: Policy) -> Findings:
    """PYTHON.json says what is there."""
    if flavour_of(archive.filename) is not Flavour.FULL:
        return
    target = policy.target
    expected = {"target_triple": target.triple, "python_version": policy.cell.version, "python_platform_tag": target.platform_tag}
    text = archive.texts.get(METADATA, "")
    present = places_of(archive)
    # of the optional ones those that the archive has, which `modules` looks at
    absent = policy.optional - {module_of(entry.path) for entry in archive.entries}
    for where, what in chain(
        problems(text, present),
        differences(text, expected, policy.builtin, (policy.shared | policy.test) - absent),
    ):
        yield Finding("metadata", f"python/PYTHON.json {where}", what)
