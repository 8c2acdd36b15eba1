"""Extension modules, and PYTHON.json, which lists them."""

from __future__ import annotations

import re
from itertools import chain

from graph.facts import Archive, Finding, Flavour, Format
from graph.metadata import OF_APPLE, differences, problems
from graph.policy import Policy
from graph.rules.common import METADATA, Findings, flavour_of, module_of, places_of
from graph.target import spelled

DETAILS = "/build-details.json"


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
    apple = OF_APPLE if policy.target.os == "macos" else ()
    text = archive.texts.get(METADATA, "")
    present = places_of(archive)
    # of the optional ones those that the archive has, which `modules` looks at
    absent = policy.optional - {module_of(entry.path) for entry in archive.entries}
    for where, what in chain(
        problems(text, present, apple),
        differences(text, _expected(policy), policy.builtin, (policy.shared | policy.test) - absent),
    ):
        yield Finding("metadata", f"python/PYTHON.json {where}", what)


def platform_of(policy: Policy) -> str:
    """sysconfig.get_platform(): of macOS what Lib/_osx_support.py makes of the deployment target, else what the machine's own name is."""
    target = policy.target
    return f"macosx-{target.deployment_target}-{policy.machine}" if target.os == "macos" else target.platform_tag


def _expected(policy: Policy) -> dict[str, str]:
    """Values of PYTHON.json that follow from the cell."""
    cell, target = policy.cell, policy.target
    apple = {"apple_sdk_deployment_target": target.deployment_target, "apple_sdk_platform": "macosx"} if target.os == "macos" else {}
    return {
        "target_triple": target.triple,
        "build_options": spelled(cell.options),
        "libpython_link_mode": "static" if cell.static else "shared",
        "python_abi_tag": cell.abiflags,
        "python_platform_tag": platform_of(policy),
        "python_tag": f"cp{cell.nodot}",
        "python_version": cell.version,
        **apple,
    }


def details(archive: Archive, policy: Policy) -> Findings:
    """build-details.json (PEP 739), which Windows has not, names the same platform."""
    for path, text in archive.texts.items():
        if path.endswith(DETAILS):
            said = re.search(r'"platform": "([^"]*)"', text)
            if not said or said[1] != platform_of(policy):
                yield Finding("metadata", path, f"platform is {said[1] if said else 'not there'}, not {platform_of(policy)}")
