"""What toolchains/policy.toml says of Windows, beside CPython's own sources."""

from __future__ import annotations

import re
from pathlib import Path

from graph.policy import parse_policy
from tests.fake_pe import CELL
from tests.mini import Checkout
from tests.real.test_windows import ABSENT, VERSION, trees


def test_modules_of_the_core_and_the_stack_are_upstreams(first: Checkout) -> None:
    [source] = trees(first, f"source:cpython-{VERSION}:windows")
    policy = parse_policy((first.root / "toolchains/policy.toml").read_text(), CELL)
    assert policy.builtin == built_in((source / "PC/config.c").read_text())
    assert policy.stack == stack_of(source / "PCbuild/python.vcxproj") == stack_of(source / "PCbuild/pythonw.vcxproj")
    assert policy.absent_exports == ABSENT


def built_in(text: str) -> set[str]:
    """Names of the table of built-in modules."""
    return set(re.findall(r'^ *\{"(\w+)", *\w+\}', text.partition("_PyImport_Inittab[]")[2], re.MULTILINE))


def stack_of(project: Path) -> int:
    """Bytes that a release reserves."""
    [size] = re.findall(r"<StackReserveSize>(\d+)<", project.read_text())
    return int(size)
