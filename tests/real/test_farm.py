"""A real farm, casd with workers in bubblewrap: the same nodes as here, two at once, and the server killed in the middle."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mini import Checkout, Mini, nodes_done
from tests.real.buildgrid import buildgrid
from tests.real.cache_servers import WORKER_PROPERTIES, CacheServer, farm
from tests.real.conftest import DIST, HOUR, clone
from tests.test_cli import TARGET as MINI
from tests.test_farmhand import results

ON: dict[str, Any] = {"FREESTANDING_OFFLINE": "", "FREESTANDING_FARM_PROPERTIES": WORKER_PROPERTIES}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CacheServer]:
    with farm(tmp_path_factory.mktemp("server")) as running:
        yield running


def spans(checkout: Checkout) -> list[dict[str, Any]]:
    """Nodes of the last run that the farm ran."""
    return [span for span in json.loads((checkout.store / "runs/last.json").read_text()) if span["phases"]]


def overlapping(checkout: Checkout) -> list[tuple[str, str]]:
    """Pairs of nodes whose steps ran at the same time."""
    runs = [(span["node"], phase["start"], phase["end"]) for span in spans(checkout) for phase in span["phases"] if phase["name"] == "run"]
    return [(a, b) for a, start, end in runs for b, other, other_end in runs if a < b and start < other_end and other < end]


def test_nodes_on_a_farm_are_those_built_here(server: CacheServer, tmp_path: Path) -> None:
    here, farmed = Mini(tmp_path / "here", recipes="SLOW"), Mini(tmp_path / "farmed", recipes="SLOW")
    assert here.ran(MINI)
    done = farmed.doit("--farm", server.push, MINI, **ON)
    assert done.returncode == 0, done.stdout + done.stderr
    print("\n" + next(line for line in done.stdout.splitlines() if line.startswith("farm: ")))
    assert results(here) == results(farmed)
    assert len(spans(farmed)) == 9
    assert overlapping(farmed), "casd has two workers, and three nodes can begin at once"


def test_nodes_that_fail_on_a_farm_do_so_as_here(server: CacheServer, tmp_path: Path) -> None:
    farmed = Mini(tmp_path / "farmed", recipes="FAILING")
    bad = farmed.doit("--farm", server.push, "make:bad", **ON)
    assert bad.returncode == 17
    assert "ended with status 3" in bad.stdout
    assert "| the end is near" in bad.stdout
    spy = farmed.doit("--farm", server.push, "make:spy", **ON)
    assert spy.returncode == 17
    assert "asked for /etc/machine-id, which is no declared input" in spy.stdout


def test_ctrl_c_ends_the_action_on_the_worker(server: CacheServer, tmp_path: Path) -> None:
    farmed = Mini(tmp_path / "farmed", recipes="FAILING")
    process = farmed.start("--farm", server.push, "make:endless", **ON)
    deadline = time.monotonic() + 60
    while not sleepers():
        assert time.monotonic() < deadline, "the step never began"
        time.sleep(0.1)
    os.killpg(process.pid, 2)
    process.communicate(timeout=30)
    assert process.returncode == 130
    deadline = time.monotonic() + 60
    while sleepers():
        assert time.monotonic() < deadline, "the worker goes on"
        time.sleep(0.1)


def sleepers() -> list[str]:
    """Processes of make:endless on this machine."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [place.parent.name] if place.read_bytes() == b"sleep\x001000\x00" else []
        except OSError:
            # it has ended meanwhile
            continue
    return found


def test_a_farm_killed_at_five_moments(tmp_path: Path) -> None:
    """SIGKILL of the server: the build ends here, with the same bytes."""
    first = Mini(tmp_path / "first", recipes="SLOW")
    assert first.ran(MINI)
    moments = random.Random(7)
    with farm(_folder(tmp_path / "server")) as server:
        start = time.monotonic()
        assert Mini(tmp_path / "undisturbed", recipes="SLOW").ran("--farm", server.push, MINI, **ON)
        whole = time.monotonic() - start
    for number in range(5):
        other = Mini(tmp_path / f"other{number}", recipes="SLOW")
        with farm(_folder(tmp_path / f"server{number}")) as server:
            process = other.start("--farm", server.push, MINI, **ON)
            time.sleep(moments.uniform(0.3, 0.9) * whole)
            server.kill()
            out, err = process.communicate(timeout=120)
        assert process.returncode == 0, out + err
        said = [line for line in out.splitlines() if line.startswith(("farm: ", "remote: ", "lost "))]
        print(f"{len(spans(other))} nodes farmed of {len(nodes_done(out))};", "; ".join(said))
        assert results(other) == results(first)


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_nodes_on_buildgrid_are_those_built_here(tmp_path: Path) -> None:
    """Another server, whose two workers have a CAS of their own each."""
    here, farmed = Mini(tmp_path / "here", recipes="SLOW"), Mini(tmp_path / "farmed", recipes="SLOW")
    assert here.ran(MINI)
    with buildgrid(_folder(tmp_path / "server")) as server:
        done = farmed.doit("--farm", server.push, MINI, **ON)
    assert done.returncode == 0, done.stdout + done.stderr
    print("\n" + next(line for line in done.stdout.splitlines() if line.startswith("farm: ")))
    assert results(here) == results(farmed)
    assert {span["where"].rpartition(" ")[2] for span in spans(farmed)} == {"worker0", "worker1"}
    print(f"{len(overlapping(farmed))} pairs of nodes ran at the same time")
    assert overlapping(farmed)


@pytest.mark.whole
def test_a_distribution_from_a_farm(first: Checkout, tmp_path: Path) -> None:
    farmed = clone(tmp_path / "farmed")
    with farm(_folder(tmp_path / "server")) as server:
        done = farmed.doit("--farm", server.push, DIST, timeout=3 * HOUR, **ON)
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
        print("\n" + "\n".join(line for line in done.stdout.splitlines() if line.startswith("farm: ")))
        ours, theirs = results(farmed), results(first)
        assert ours == {name: theirs[name] for name in ours}
        assert all(span["where"] for span in spans(farmed))
