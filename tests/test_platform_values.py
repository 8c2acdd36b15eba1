"""Values that name the platform: each one that differs is found, in each file that has it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from graph.audit import audit_archives
from graph.facts import Archive, Entry, Finding
from graph.policy import Policy, parse_policy
from graph.rules.platform import platform
from graph.target import Cell
from tests.data import TARGET
from tests.fake_archive import CELL, NAMES, POLICY, TRIPLET, Tree, changed, good, write

DATA = f"python/lib/python3.13/_sysconfigdata__linux_{TRIPLET}.py"
MAKEFILE = f"python/lib/python3.13/config-3.13-{TRIPLET}/Makefile"
PYCONFIG = "python/include/python3.13/pyconfig.h"


def audit(folder: Path, tree: Tree, limits: Policy | None = None) -> set[tuple[str, str, str]]:
    found = audit_archives([write(folder, "install_only", tree)], limits or parse_policy(POLICY, CELL))
    return {(f.rule, f.path, f.message) for f in found}


@pytest.mark.parametrize(
    ("path", "old", "new", "message"),
    [
        (DATA, '"SOABI": "cpython-313-', '"SOABI": "cpython-313t-', f"SOABI is 'cpython-313t-{TRIPLET}', not 'cpython-313-{TRIPLET}'"),
        (DATA, f'".cpython-313-{TRIPLET}.so"', '".so"', f"EXT_SUFFIX is '.so', not '.cpython-313-{TRIPLET}.so'"),
        (DATA, f'"MULTIARCH": "{TRIPLET}"', '"MULTIARCH": ""', f"MULTIARCH is '', not '{TRIPLET}'"),
        (DATA, '"SIZEOF_VOID_P": 8', '"SIZEOF_VOID_P": 4', "SIZEOF_VOID_P is '4', not '8'"),
        (DATA, "x86_64-unknown-linux-gnu", "x86_64-pc-linux-gnu", "HOST_GNU_TYPE is 'x86_64-pc-linux-gnu', not 'x86_64-unknown-linux-gnu'"),
        (DATA, '    "MACHDEP": "linux",\n', "", "MACHDEP is None, not 'linux'"),
        (DATA, '"LDVERSION": "3.13"', '"LDVERSION": "3.13d"', "LDVERSION is '3.13d', not '3.13'"),
        (DATA, '"ABIFLAGS": ""', '"ABIFLAGS": "d"', "ABIFLAGS is 'd', not ''"),
        (DATA, '"VERSION": "3.13"', '"VERSION": "3.12"', "VERSION is '3.12', not '3.13'"),
        (DATA, '"MACOSX_DEPLOYMENT_TARGET": ""', '"MACOSX_DEPLOYMENT_TARGET": "11.0"', "MACOSX_DEPLOYMENT_TARGET is '11.0', not ''"),
        (
            MAKEFILE,
            "HOST_GNU_TYPE=  x86_64",
            "HOST_GNU_TYPE=  i686",
            "HOST_GNU_TYPE is 'i686-unknown-linux-gnu', not 'x86_64-unknown-linux-gnu'",
        ),
        (MAKEFILE, f"MULTIARCH=\t{TRIPLET}", "MULTIARCH=", f"MULTIARCH is '', not '{TRIPLET}'"),
        (PYCONFIG, "SIZEOF_VOID_P 8", "SIZEOF_VOID_P 4", "SIZEOF_VOID_P is '4', not '8'"),
        (PYCONFIG, "/* #  undef WORDS_BIGENDIAN */", "#  define WORDS_BIGENDIAN 1", "WORDS_BIGENDIAN is 1"),
    ],
)
def test_a_wrong_value_is_found(tmp_path: Path, path: str, old: str, new: str, message: str) -> None:
    tree = good("install_only")
    text = tree[path].data.decode()
    assert old in text
    found = audit(tmp_path, changed(tree, path, data=text.replace(old, new, 1).encode()))
    assert found == {("platform-values", path, message)}


@pytest.mark.parametrize("text", ["", "build_time_vars = {", "build_time_vars = dict(a=1)", "build_time_vars = {}; build_time_vars = {}"])
def test_what_cannot_be_read_has_no_value(tmp_path: Path, text: str) -> None:
    found = audit(tmp_path, changed(good("install_only"), DATA, data=text.encode()))
    assert {rule for rule, _, _ in found} == {"platform-values"} and len(found) == 10


def test_a_big_endian_target(tmp_path: Path) -> None:
    limits = replace(parse_policy(POLICY, CELL), byteorder="big")
    assert ("platform-values", PYCONFIG, "WORDS_BIGENDIAN is not defined") in audit(tmp_path, good("install_only"), limits)


@pytest.mark.parametrize(
    ("path", "other", "wanted"),
    [
        (DATA, DATA.replace("_linux_", "linux_"), f"_sysconfigdata__linux_{TRIPLET}.py"),
        (MAKEFILE, MAKEFILE.replace("config-3.13-", "config-3.13d-"), f"config-3.13-{TRIPLET}"),
    ],
)
def test_names_are_made_of_the_values(tmp_path: Path, path: str, other: str, wanted: str) -> None:
    tree = good("install_only")
    member = tree.pop(path)
    assert {(rule, message) for rule, _, message in audit(tmp_path, {**tree, other: member})} == {
        ("platform-values", f"is not named {wanted}")
    }


def test_a_module_for_another_abi_is_found(tmp_path: Path) -> None:
    tree = good("install_only")
    path = f"python/lib/python3.13/lib-dynload/fix.cpython-313-{TRIPLET}.so"
    member = tree.pop(path)
    other = path.replace("313", "313t")
    assert ("platform-values", other, f"does not end in .cpython-313-{TRIPLET}.so") in audit(tmp_path, {**tree, other: member})


def test_a_platform_without_a_triplet() -> None:
    """Names end with the ABI, as those of 3.11 without its patch for LoongArch."""
    limits = replace(parse_policy(POLICY, CELL), cell=Cell(TARGET, "3.11.2", ("lto",)), multiarch="")
    folder = "python/lib/python3.11"
    names = (f"{folder}/config-3.11/Makefile", f"{folder}/lib-dynload/fix.cpython-311.so", f"{folder}/lib-dynload/own.cpython-311-x.so")
    found = list(platform(Archive(NAMES["install_only"], tuple(Entry(name, "file") for name in names)), limits))
    assert found == [Finding("platform-values", names[2], "does not end in .cpython-311.so")]
