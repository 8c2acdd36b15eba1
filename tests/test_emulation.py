"""How configure scripts of foreign targets run their programs: inputs and environment of configure nodes, and of no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from graph.node import Node, Run
from graph.session import Session
from graph.target import Target

SESSION = Session(Path(__file__).resolve().parent.parent, {})
TARGETS = SESSION.matrix.targets
LINUX = tuple(target for target in TARGETS.values() if target.os == "linux")
VERSION = SESSION.matrix.default(LINUX[0]).version


def run_of(name: str) -> tuple[Node, Run, dict[str, str]]:
    node = SESSION.plan.nodes[name]
    assert isinstance(node.action, Run)
    return node, node.action, dict(node.action.env)


def inputs(name: str) -> dict[str, str]:
    return {given.at: given.node for given in SESSION.plan.nodes[name].inputs}


@pytest.mark.parametrize("target", LINUX, ids=str)
@pytest.mark.parametrize("package", ["xz", VERSION])
def test_configure_is_told_that_nothing_is_foreign(target: Target, package: str) -> None:
    _, run, _ = run_of(f"configure:{target}:{package}")
    said = [word for word in run.steps[0].argv if word.startswith(("--build=", "--host="))]
    assert said == [f"--build={target.autoconf}", f"--host={target.autoconf}"]


@pytest.mark.parametrize("target", [target for target in LINUX if target.run == "qemu"], ids=str)
@pytest.mark.parametrize("package", ["xz", VERSION])
def test_programs_of_foreign_targets_run_with_qemu_and_the_targets_libc(target: Target, package: str) -> None:
    name = f"configure:{target}:{package}"
    assert run_of(name)[2]["EMULATOR"] == f"/build/qemu/qemu-{target.qemu} -L /build/runtime"
    given = inputs(name)
    assert (given["qemu"], given["runtime"]) == (f"qemu:{target.qemu}", f"runtime:{target}")


def test_programs_of_musl_run_with_its_loader() -> None:
    name = "configure:x86_64-unknown-linux-musl:xz"
    assert run_of(name)[2]["EMULATOR"] == "/build/runtime/lib/ld-musl-x86_64.so.1"
    assert inputs(name)["runtime"] == "runtime:x86_64-unknown-linux-musl"
    assert "qemu" not in inputs(name)


def test_the_build_hosts_own_need_no_emulator() -> None:
    name = f"configure:{SESSION.host.target}:xz"
    assert "EMULATOR" not in run_of(name)[2]
    assert not {"qemu", "runtime"} & set(inputs(name))


@pytest.mark.parametrize("level", ["x86_64_v2", "x86_64_v3", "x86_64_v4"])
def test_a_processor_level_is_for_what_is_made_not_for_what_configure_runs(level: str) -> None:
    base, own = TARGETS["x86_64-unknown-linux-gnu"].cpu_flags, TARGETS[f"{level}-unknown-linux-gnu"].cpu_flags
    configured, made = (run_of(f"{kind}:{level}-unknown-linux-gnu:xz")[2]["CLANG_TARGET_FLAGS"] for kind in ("configure", "make"))
    assert (configured, made) == (" ".join(base), " ".join(own))


def test_only_configure_nodes_run_programs_of_foreign_targets() -> None:
    for node in SESSION.plan.nodes.values():
        if isinstance(node.action, Run) and "EMULATOR" in dict(node.action.env):
            assert node.kind == "configure", node.name


def test_macos_programs_do_not_run() -> None:
    for target in TARGETS.values():
        if target.os == "macos" and not target.slices:
            assert "EMULATOR" not in run_of(f"configure:{target}:xz")[2]
