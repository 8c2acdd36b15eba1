"""The program that runs a node's steps on a worker: what a step sees there, and how inputs that others share are left alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from graph import farmhand
from graph.digest import FIXED_MTIME
from graph.errors import StepFailed
from graph.hosttools import HostTools, parse_tools
from graph.node import File, Input, Node, Run, Step
from graph.plan import Plan, make_plan
from graph.sandbox import NamespaceRunner
from tests.fakes import tiny
from tests.farms import FarmApi, hand
from tests.mini import ROOT, Checkout, Mini
from tests.remotes import serve
from tests.test_build import World
from tests.test_cli import TARGET
from tests.test_farm import CONTEXT, Farmer
from tests.test_sandbox import needs_namespaces

TOOLS = HostTools(parse_tools((ROOT / "toolchains/host-tools.toml").read_text()))


@pytest.fixture
def api() -> Iterator[FarmApi]:
    with serve(FarmApi(hand)) as running:
        yield running


@pytest.fixture
def farmer(api: FarmApi, tmp_path: Path) -> Iterator[Farmer]:
    made = Farmer(tmp_path / "farmer", api.url)
    made.farm = type(made.farm)(made.executor, made.shared, TOOLS, made.settings, lambda _: True, made.said.append)
    yield made
    made.shared.abandon()


LOOK = """
cd /build; find . -type f ! -name seen | sort | while read -r file; do stat -c '%n %a %Y' "$file"; done > out/seen
find . -type d ! -path ./out ! -path ./tmp | sort >> out/seen
(env; id; ls -a / /dev /etc /build; ls /usr/bin; cat /etc/passwd; ulimit -n; umask; uname -n) | sort >> out/seen
! touch /build/src/new; ! touch /build/src/inflate.c; echo more >> work/inflate.c; test ! -e /etc/machine-id; test ! -e /usr/bin/perl
"""
STEPS = (
    Step(("sh", "-ec", LOOK)),
    Step(("sh", "-c", 'test "$(cat /proc/self/comm)" = cat && ln -s seen out/link && chmod +x out/seen'), cwd="."),
)


def looking(*steps: Step, output: str = "out") -> Plan:
    """The tiny plan's nodes that run nothing, and one that looks around."""
    inputs = (Input("source:zlib", "src"), Input("source:zlib", "work", writable=True), Input("source:openssl", "work/deps/ssl"))
    files = (File("tc/bin/cc", b"#!/bin/sh\n", True), File("work/x.mk", b"all:\n"))
    env = (("PATH", "/build/tc/bin:/usr/bin:/bin"), ("TZ", "UTC"))
    node = Node("make:look", Run(steps, env, output, ("posix",)), inputs, files)
    others = [one for one in tiny(CONTEXT) if not isinstance(one.action, Run)]
    return make_plan([CONTEXT], [lambda _: (*others, node)])


@needs_namespaces
@pytest.mark.parametrize("output", ["out", "work"])
def test_a_step_sees_on_a_worker_what_it_sees_here(farmer: Farmer, tmp_path: Path, output: str) -> None:
    plan = looking(*STEPS, output=output)
    world = World(tmp_path / "world")
    world.runner = NamespaceRunner(TOOLS)  # type: ignore[assignment]
    seen = []
    for machine in (world, farmer):
        build, _ = machine.build(CONTEXT, plan)
        for name in plan.nodes:
            build.realise(name)
        found = machine.store.checkout(build.result("make:look").tree)
        text = (found / ("seen" if output == "out" else "inflate.c")).read_text()
        seen.append((build.result("make:look"), text))
    assert seen[0][1] == seen[1][1]
    assert "MAKEFLAGS= -j --jobserver-auth=198,199" in text or output == "work"
    assert (seen[0][0].key, seen[0][0].tree, seen[0][0].log) == (seen[1][0].key, seen[1][0].tree, seen[1][0].log)
    assert (seen[0][0].where, seen[1][0].where) == ("", f"{farmer.settings.server.url} worker 7")
    assert farmer.said == []


@needs_namespaces
def test_a_step_that_fails_on_a_worker(farmer: Farmer) -> None:
    plan = looking(Step(("true",)), Step(("sh", "-c", "echo the end is near; exit 3")))
    with pytest.raises(StepFailed, match=r"step 2 of 2 ended with status 3(.|\n)*the end is near"):
        farmer.make(plan)
    with pytest.raises(StepFailed, match="made no elsewhere/"):
        farmer.make(looking(Step(("true",)), output="elsewhere"))


@pytest.mark.whole
@needs_namespaces
def test_doit_with_a_farm(tmp_path: Path, api: FarmApi) -> None:
    """As it is typed: the same keys and trees, the worker in the trace and in what explain says."""
    here, farmed = Mini(tmp_path / "here"), Mini(tmp_path / "farmed")
    assert here.ran(TARGET)
    farmed.settings["FREESTANDING_OFFLINE"] = ""
    done = farmed.doit("--farm", api.url, "--farm-jobs", "3", TARGET)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "farm: 9 nodes run; median upload" in done.stdout
    assert results(here) == results(farmed)
    trace = json.loads(farmed.doit("trace").stdout)
    assert sum(event["cat"] == "farm" for event in trace["traceEvents"]) == 9 * 6
    assert f"on {api.url} worker 7" in farmed.doit("explain", "core:cpython").stdout
    assert api.most <= 3
    # without the farm, nothing is run again; offline, no farm is asked
    assert farmed.ran(TARGET) == []
    assert "farm:" not in Mini(tmp_path / "offline").doit("--farm", api.url, "--offline", TARGET).stdout


def results(checkout: Checkout) -> dict[str, tuple[str, str]]:
    """Node -> its key and tree."""
    found = {}
    store = Path(checkout.settings.get("FREESTANDING_STORE", checkout.store))
    for path in (store / "last").iterdir():
        key = path.read_text().split()[0]
        found[path.name.removesuffix(".key")] = (key, json.loads((store / "ac" / key[:2] / f"{key}.json").read_text())["tree"])
    return found


@pytest.mark.whole
@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--farm", "https://farm"), "is no address of a farm"),
        (("--farm", "grpc://127.0.0.1:1", "--farm-jobs", "0"), "farm-jobs is '0'"),
    ],
)
def test_a_farm_that_cannot_be_meant(tmp_path: Path, words: tuple[str, ...], text: str) -> None:
    done = Mini(tmp_path / "mini").doit(*words, TARGET, FREESTANDING_OFFLINE="")
    assert done.returncode == 26, done.stdout + done.stderr
    assert text in done.stderr


# staging

EPOCH = 1_500_000_000


def staged(folder: Path) -> Path:
    """A tree as a server may have staged it."""
    (folder / "below").mkdir(parents=True)
    (folder / "below/tool").write_text("tool")
    (folder / "below/tool").chmod(0o775)
    (folder / "plain").write_text("plain")
    (folder / "link").symlink_to("plain")
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)
    return folder


def modes(folder: Path) -> dict[str, tuple[str, float]]:
    paths = (folder, *folder.rglob("*"))
    return {path.relative_to(folder).as_posix(): (oct(path.lstat().st_mode), path.lstat().st_mtime) for path in paths}


SETTLED = {
    ".": ("0o40755", FIXED_MTIME),
    "below": ("0o40755", FIXED_MTIME),
    "below/tool": ("0o100555", FIXED_MTIME),
    "plain": ("0o100444", FIXED_MTIME),
    "link": ("0o120777", FIXED_MTIME),
}


def test_what_is_staged_for_us_alone_is_settled_in_place(tmp_path: Path) -> None:
    folder = staged(tmp_path / "given")
    assert farmhand.settled(str(folder)) == str(folder)
    assert modes(folder) == SETTLED
    assert farmhand.settled(str(folder)) == str(folder), "a second time nothing is to do"


def test_what_is_linked_to_the_cache_of_a_worker_is_copied(tmp_path: Path) -> None:
    folder = staged(tmp_path / "given")
    (tmp_path / "cache").hardlink_to(folder / "plain")
    before = (tmp_path / "cache").stat()
    place = Path(farmhand.settled(str(folder)))
    assert place != folder
    assert modes(place) == SETTLED
    after = (tmp_path / "cache").stat()
    assert (before.st_mode, before.st_mtime) == (after.st_mode, after.st_mtime)


def test_links_that_are_right_stay(tmp_path: Path) -> None:
    folder = staged(tmp_path / "given")
    farmhand.settle(str(folder))
    (tmp_path / "cache").hardlink_to(folder / "plain")
    assert farmhand.settled(str(folder)) == str(folder)


def test_an_output_that_a_server_could_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(farmhand, "HERE", str(tmp_path))
    monkeypatch.setattr(farmhand, "BUILD", str(tmp_path / "build"))
    made = staged(tmp_path / "build/work")
    (made / "plain").chmod(0o000)
    (made / "below").chmod(0o555)
    farmhand.give("nothing")
    farmhand.give("work")
    assert {path: mode for path, (mode, _) in modes(tmp_path / "out").items() if path != "."} == {
        "below": "0o40755",
        "below/tool": "0o100755",
        "plain": "0o100644",
        "link": "0o120777",
    }
