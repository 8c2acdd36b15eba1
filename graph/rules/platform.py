"""Values that name the platform: _sysconfigdata, Makefile and pyconfig.h are read as data and compared with what CPython computes.

Not of Windows, which has none but the last, the same for all of its platforms: pe.py.
"""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Mapping

from graph.facts import Archive, Finding
from graph.policy import Policy
from graph.rules.common import Findings, module_of

SYSTEMS = {"linux": "linux", "macos": "darwin"}
"""zig's name of an OS -> MACHDEP, which sys.platform is."""


def platform(archive: Archive, policy: Policy) -> Findings:
    """What sysconfig will say, and the names that it makes of that, are the target's."""
    if policy.target.os not in SYSTEMS:
        return
    wanted = values(policy)
    for path, text in archive.texts.items():
        name = posixpath.basename(path)
        read = next((reader for start, reader in READERS.items() if name.startswith(start)), None)
        found = read(text) if read else {}
        for key, value in wanted.items():
            # of _sysconfigdata all must be there; the others have some, in other words
            if read and (key in found or name.startswith("_sysconfigdata")) and found.get(key) != value:
                yield Finding("platform-values", path, f"{key} is {found.get(key)!r}, not {value!r}")
        if name.startswith("_sysconfigdata"):
            yield from _architectures(path, found, policy)
    yield from _places(archive, policy, wanted)


def _architectures(path: str, found: Mapping[str, str], policy: Policy) -> Findings:
    """Extension modules get the slices that the distribution has; CFLAGS tells sysconfig's platform, too (Lib/_osx_support.py)."""
    wanted = policy.machines if policy.slices else frozenset[str]()
    for key in ("CFLAGS", "LDSHARED"):
        asked = frozenset(re.findall(r"-arch\s+(\S+)", found.get(key, "")))
        if asked != wanted:
            has, due = (" and ".join(sorted(names)) or "none" for names in (asked, wanted))
            yield Finding("platform-values", path, f"-arch of {key} is {has}, not {due}")


def values(policy: Policy) -> Mapping[str, str]:
    """What sysconfig has to say of a cell: configure.ac's SOABI, EXT_SUFFIX and LDVERSION from the platform triplet and the ABI."""
    cell, target = policy.cell, policy.target
    soabi = f"cpython-{cell.nodot}{cell.abiflags}" + (f"-{policy.multiarch}" if policy.multiarch else "")
    return {
        "ABIFLAGS": cell.abiflags,
        "EXT_SUFFIX": f".{soabi}.so",
        "HOST_GNU_TYPE": target.autoconf,
        "LDVERSION": cell.ldversion,
        "MACHDEP": SYSTEMS[target.os],
        "MACOSX_DEPLOYMENT_TARGET": target.deployment_target,
        "MULTIARCH": policy.multiarch,
        "SIZEOF_VOID_P": str(policy.bits // 8),
        "SOABI": soabi,
        "VERSION": cell.minor,
    }


def _places(archive: Archive, policy: Policy, wanted: Mapping[str, str]) -> Findings:
    """Names of files and folders that sysconfig and the import system make of these values."""
    cell, triplet = policy.cell, policy.multiarch
    paths = {entry.path for entry in archive.entries}
    data = f"_sysconfigdata_{cell.abiflags}_{wanted['MACHDEP']}_{triplet}.py"
    config = f"config-{cell.ldversion}" + (f"-{triplet}" if triplet else "")
    for name, found in (
        (data, {posixpath.basename(path) for path in archive.texts if "/_sysconfigdata_" in path}),
        (config, {part for path in paths for part in path.split("/") if part.startswith("config-") and path.endswith("/Makefile")}),
    ):
        for other in sorted(found - {name}):
            yield Finding("platform-values", other, f"is not named {name}")
    for path in sorted(paths):
        if module_of(path) and not path.endswith(wanted["EXT_SUFFIX"]):
            yield Finding("platform-values", path, f"does not end in {wanted['EXT_SUFFIX']}")
    order = "1" if policy.byteorder == "big" else ""
    for path, text in archive.texts.items():
        if path.endswith("/pyconfig.h") and _define(text, "WORDS_BIGENDIAN") != order:
            yield Finding("platform-values", path, f"WORDS_BIGENDIAN is {_define(text, 'WORDS_BIGENDIAN') or 'not defined'}")


def _sysconfigdata(text: str) -> Mapping[str, str]:
    """build_time_vars, the one literal of the module."""
    try:
        body = ast.parse(text).body
        [value] = [one.value for one in body if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == "build_time_vars"]
        return {str(name): str(each) for name, each in ast.literal_eval(value).items()}
    except (SyntaxError, ValueError, AttributeError):
        return {}


def _makefile(text: str) -> Mapping[str, str]:
    """Its variables with literal values: the others are made of these."""
    return {match[1]: match[2].strip() for match in re.finditer(r"(?m)^(\w+)=([^$\n]*)$", text)}


def _pyconfig(text: str) -> Mapping[str, str]:
    return {"SIZEOF_VOID_P": _define(text, "SIZEOF_VOID_P")}


def _define(text: str, name: str) -> str:
    """Value of a macro; empty where it is not defined. AC_C_BIGENDIAN has a definition for Apple's universal builds before its own."""
    found = definitions(re.sub(r"(?s)#if defined AC_APPLE_UNIVERSAL_BUILD.*?#else", "", text), name)
    return found[-1] if found else ""


def definitions(text: str, name: str) -> list[str]:
    """Values that a macro has in the branches of a header."""
    return re.findall(rf"(?m)^ *# *define +{name} +(\S+)", text)


READERS = {"_sysconfigdata_": _sysconfigdata, "Makefile": _makefile, "pyconfig.h": _pyconfig}
