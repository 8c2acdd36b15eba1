from __future__ import annotations

from dataclasses import replace

import pytest

from graph.errors import PlanError
from graph.node import Fetch, File, Input, Run, Step, Unpack
from graph.recipes.common import compile_node, fetch_node, patch_applies, patches_for, source_node
from tests.fakes import context_of

DRIVER = {"toolchains/driver/cc": b"#!/bin/sh\n", "toolchains/shims/uname": b"#!/bin/sh\n"}
CONTEXT = context_of(files=DRIVER)


def test_a_fetch_node_carries_the_pin() -> None:
    node = fetch_node(CONTEXT, "zlib")
    pin = CONTEXT.lock.sources["zlib"]
    assert node.name == "fetch:zlib"
    assert node.action == Fetch("zlib", pin.filename, pin.sha256, pin.size)


def test_a_source_that_is_not_in_the_lock_is_a_plan_error() -> None:
    with pytest.raises(PlanError, match="no source named 'gone'"):
        fetch_node(CONTEXT, "gone")


def test_a_source_node_takes_the_patches_for_its_version_in_order() -> None:
    files = {
        "patches/zlib/0002-b.patch": b"Versions: 1\n--- a/x\n",
        "patches/zlib/0001-a.patch": b"What: a\n--- a/x\n",
        "patches/zlib/0003-c.patch": b"Versions: 2\n--- a/x\n",
        "patches/other/0001.patch": b"--- a/x\n",
    }
    node = source_node(context_of(files=files), "zlib", strip=2, without=("doc/",))
    assert node.name == "source:zlib"
    assert node.action == Unpack(2, (), ("doc/",))
    assert node.inputs == (Input("fetch:zlib", "archive"),)
    assert [file.path for file in node.files] == ["patches/zlib/0001-a.patch", "patches/zlib/0002-b.patch"]


@pytest.mark.parametrize(
    ("versions", "version", "applies"),
    [
        ("all", "1", True),
        ("3.13", "3.13.15", True),
        ("3.1", "3.13.15", False),
        ("3.11, 3.13.15", "3.13.15", True),
        ("3.13.1", "3.13.15", False),
    ],
)
def test_a_patch_names_versions_by_prefix_at_a_dot(versions: str, version: str, applies: bool) -> None:
    assert patch_applies(f"What: x\nVersions: {versions}\n--- a/x\n".encode(), version) is applies


def test_a_patch_without_a_versions_line_is_for_all() -> None:
    assert patches_for(context_of(files={"patches/zlib/1.patch": b"What: x\n"}), "zlib", "9")


def test_a_compile_node_has_toolchain_drivers_and_the_whole_environment() -> None:
    node = compile_node(CONTEXT, "make:x", (Step(("make",)),), inputs=(Input("source:zlib", "src"),), env={"CFLAGS": "-O2"})
    assert [given.node for given in node.inputs] == ["toolchain:zig", "libc:x86_64-unknown-linux-gnu", "source:zlib"]
    assert File("tc/bin/cc", b"#!/bin/sh\n", False) in node.files
    assert isinstance(node.action, Run)
    environment = dict(node.action.env)
    assert environment["CFLAGS"] == "-O2"
    assert environment["BUILD_MACHINE"] == "x86_64"
    assert environment["CLANG_TARGET"] == "x86_64-unknown-linux-gnu"
    assert list(node.action.env) == sorted(node.action.env)
    assert node.platform == "linux-x86_64"


def test_repository_files_are_placed_and_absent_ones_named() -> None:
    assert CONTEXT.file("toolchains/driver/cc", "x", executable=True) == File("x", b"#!/bin/sh\n", True)
    with pytest.raises(PlanError, match="no file patches/x"):
        CONTEXT.file("patches/x", "x")
    with pytest.raises(PlanError, match="no files under toolchains/gone"):
        replace(CONTEXT).folder("toolchains/gone", "x")
