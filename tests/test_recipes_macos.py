"""Plans of macOS targets, made on Linux and on a Mac: what links, how, and that nothing of ELF is among it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from graph.errors import UsageError
from graph.lock import Source
from graph.node import Node, Run
from graph.plan import make_plan
from graph.recipes.common import Context, Host
from graph.recipes.registry import RECIPES
from graph.session import Session
from tests.mini import ROOT

SESSION = Session(ROOT, {})
MACS = {"arm64": "macos-aarch64", "x86_64": "macos-x86_64"}
"""platform.machine() -> the build host."""
TARGETS = ("aarch64-apple-darwin", "x86_64-apple-darwin")
HOSTS = {"linux-x86_64": "x86_64-unknown-linux-gnu", "macos-aarch64": "aarch64-apple-darwin", "macos-x86_64": "x86_64-apple-darwin"}
OF_ELF = ("-soname", "--version-script", "--whole-archive", "--exclude-libs", "--disable-new-dtags", "$ORIGIN", "-Wl,-s,", ".so.")
"""Parts of words that tell a linker of ELF something."""


def context(triple: str, host: str) -> Context:
    matrix = SESSION.matrix
    return Context(matrix.default(matrix.targets[triple]), Host(host, matrix.targets[HOSTS[host]]), SESSION.lock, SESSION.files)


def closure(given: Context) -> dict[str, Node]:
    """Nodes of the distribution."""
    own = replace(given, cell=SESSION.matrix.default(given.host.target))
    plan = make_plan([given, own], RECIPES)
    return {name: plan.nodes[name] for name in plan.closure([f"dist:{given.cell}"])}


def words(node: Node) -> list[str]:
    assert isinstance(node.action, Run)
    return [word for step in node.action.steps for word in step.argv]


def compiles(nodes: dict[str, Node], triple: str) -> dict[str, Node]:
    """Those that compile or link for the target."""
    kinds = ("make", "configure", "core", "ext")
    return {name: node for name, node in nodes.items() if node.kind in kinds and f":{triple}:" in name}


@pytest.mark.parametrize("triple", TARGETS)
@pytest.mark.parametrize("host", ["linux-x86_64", "same"])
def test_nothing_of_elf_is_said_to_the_linker(triple: str, host: str) -> None:
    own = next(name for name, target in HOSTS.items() if target == triple)
    found = compiles(closure(context(triple, own if host == "same" else host)), triple)
    assert {"core", "ext", "make", "configure"} == {node.kind for node in found.values()}
    said = [(name, word) for name, node in found.items() for word in words(node) if any(part in word for part in OF_ELF)]
    assert said == []
    assert not [name for name, node in found.items() if {"-shared", "-Wl,-s"} & set(words(node))]


@pytest.mark.parametrize("triple", TARGETS)
def test_on_linux_lld_comes_from_the_graph(triple: str) -> None:
    nodes = closure(context(triple, "linux-x86_64"))
    assert "toolchain:lld" in nodes
    for name, node in compiles(nodes, triple).items():
        assert "toolchain:lld" in {given.node for given in node.inputs}, name
        assert "lld" not in node.action.tools, name  # type: ignore[union-attr]


@pytest.mark.parametrize("triple", TARGETS)
def test_on_a_mac_lld_is_the_hosts(triple: str) -> None:
    host = next(name for name, target in HOSTS.items() if target == triple)
    nodes = closure(context(triple, host))
    assert "toolchain:lld" not in nodes
    assert f"fetch:zig-{host}" in nodes
    # nothing of Linux is built on the way
    assert [name for name in nodes if "linux" in name] == []
    for name, node in compiles(nodes, triple).items():
        assert "lld" in node.action.tools, name  # type: ignore[union-attr]
        [linker] = [file for file in node.files if file.path == "tc/bin/ld64.lld"]
        assert b"lib/ld-linux" not in linker.data and b"PATH=${PATH#*:} exec ld64.lld" in linker.data


def test_modules_of_the_system_stand_for_packages() -> None:
    nodes = closure(context(TARGETS[0], "linux-x86_64"))
    modules = {name.rpartition(":")[2]: node for name, node in nodes.items() if node.kind == "ext" and "darwin" in name}
    assert {"_dbm", "_uuid", "_scproxy"} <= set(modules)
    assert "_tkinter" not in modules
    assert not [name for name in nodes if name.startswith(f"make:{TARGETS[0]}:") and name.endswith((":bdb", ":libuuid", ":tk"))]
    assert "SystemConfiguration" in words(modules["_scproxy"])
    assert "-Wl,-rpath,@loader_path/../.." in words(modules["_ssl"])
    assert "-Wl,-exported_symbol,_PyInit_*" in words(modules["_ssl"])


def test_only_lto_needs_a_table_of_references() -> None:
    given = context(TARGETS[0], "linux-x86_64")
    for options in (("lto",), ("noopt",)):
        cell = replace(given.cell, options=options)
        core = closure(replace(given, cell=cell))[f"core:{cell}"]
        told = [word for word in words(core) if word.startswith("REFERENCES=")]
        assert [word.endswith("python3.13 /build/steps/references.py") for word in told] == ([True] if "lto" in options else [])
        assert ("steps/references.py" in {file.path for file in core.files}) == ("lto" in options)


def test_an_sdk_is_a_source_of_the_sysroot() -> None:
    given = context(TARGETS[0], "linux-x86_64")
    sdk = Source("macos-sdk", "15.2", "macos-sdk.tar", "a" * 64, 1, "LicenseRef-Apple", ())
    nodes = closure(replace(given, lock=replace(given.lock, sources={**given.lock.sources, "macos-sdk": sdk})))
    assert "source:macos-sdk" in {given.node for given in nodes[f"libc:{TARGETS[0]}"].inputs}
    assert words(nodes[f"libc:{TARGETS[0]}"])[-1] == "/build/sdk"
    assert "source:macos-sdk" not in closure(given)


@pytest.mark.parametrize("machine", MACS)
def test_a_mac_plans_the_whole_of_what_it_can_build(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr("platform.machine", lambda: machine)
    session = Session(ROOT, {})
    macs = [target for target in session.matrix.targets.values() if target.os == "macos"]
    assert session.host.platform == MACS[machine]
    assert {cell.target for cell in session.cells} == set(macs)
    assert {f"dist:{cell}" for cell in session.cells} == {name for name in session.plan.nodes if name.startswith("dist:")}
    assert set(session.groups) == {"dist:darwin", "dist:all", *(f"dist:{target}" for target in macs)}
    with pytest.raises(UsageError, match="is not built on macos") as refused:
        session.resolve(["dist:x86_64-unknown-linux-musl::noopt"])
    assert refused.value.hint == "on Linux: doit dist:x86_64-unknown-linux-musl; here: doit dist:aarch64-apple-darwin"
