"""What machine A built and pushed, machine B takes: no node run, the archive's bytes and little more. With real servers."""

from __future__ import annotations

import random
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from graph.disk import remove_tree
from tests.mini import Checkout, Mini, nodes_done
from tests.real.cache_servers import SERVERS, CacheServer, casd
from tests.real.conftest import DIST, clone
from tests.test_cli import TARGET as MINI

METADATA = 6e6
"""Bytes of results and of the folders of the trees that filters read."""


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CacheServer]:
    place = tmp_path_factory.mktemp("server")
    with SERVERS[request.param](place) as running:  # type: ignore[attr-defined]
        yield running
    # two GB, and another server gets as much
    remove_tree(place)


def another(place: Path) -> Checkout:
    """A clone of somebody else: in a user namespace, where this user's files are theirs."""
    other = clone(place / "checkout")
    (place / "home").mkdir()
    other.enter = ("unshare", "--user", "--map-user=4711", "--map-group=4711")
    other.settings |= {"USER": "other", "LOGNAME": "other", "HOME": str(place / "home")}
    return other


def archives(checkout: Checkout, names: set[str]) -> dict[str, bytes]:
    return {name: (checkout.root / "dist" / name).read_bytes() for name in sorted(names)}


def test_a_distribution_is_taken_and_not_built(first: Checkout, server: CacheServer, tmp_path: Path) -> None:
    start = time.monotonic()
    pushed = first.doit("--remote", server.push, "--push", DIST, timeout=600)
    assert pushed.returncode == 0, pushed.stdout + pushed.stderr
    assert nodes_done(pushed.stdout) == []
    print(f"\n{server.push}: pushed in {time.monotonic() - start:.1f} s; {_last(pushed.stdout)}")
    for number, url in enumerate(server.pull):
        place = tmp_path / f"another place {number}"
        _take(first, another(place), url)
        remove_tree(place)


def _take(first: Checkout, other: Checkout, url: str) -> None:
    assert subprocess.run([*other.enter, "id", "-u"], check=True, capture_output=True, text=True).stdout == "4711\n"
    start = time.monotonic()
    taken = other.doit("--remote", url, DIST, timeout=600)
    seconds = time.monotonic() - start
    assert taken.returncode == 0, taken.stdout + taken.stderr
    assert nodes_done(taken.stdout) == []
    assert "run  " not in taken.stdout
    ours = archives(other, {path.name for path in (other.root / "dist").glob("*.tar.*")})
    assert ours == archives(first, set(ours))
    size = sum(map(len, ours.values()))
    received = re.findall(r"remote: ([\d.]+) MB received", taken.stdout)[-1]
    print(f"{url}: {seconds:.1f} s, {received} MB for {size / 1e6:.1f} MB of archives; {_last(taken.stdout)}")
    assert float(received) * 1e6 <= 1.1 * size + METADATA
    start = time.monotonic()
    again = other.doit("--remote", url, DIST)
    assert "MB received" not in again.stdout, "the second time nothing is asked"
    print(f"{url}: {time.monotonic() - start:.1f} s when all is there")


def _last(output: str) -> str:
    return "; ".join(line for line in output.splitlines()[-4:] if line.startswith("remote") or "nodes run" in line)


def test_a_server_killed_at_ten_moments(tmp_path: Path) -> None:
    """SIGKILL, while a machine takes what another one pushed: it ends with the same bytes, whatever it has to build itself."""
    first = Mini(tmp_path / "first")
    moments = random.Random(5)
    (tmp_path / "server").mkdir()
    with casd(tmp_path / "server") as server:
        assert first.ran("--remote", server.push, "--push", MINI, FREESTANDING_OFFLINE="")
        start = time.monotonic()
        assert Mini(tmp_path / "undisturbed").ran("--remote", server.push, MINI, FREESTANDING_OFFLINE="") == []
        whole = time.monotonic() - start
    for number in range(10):
        other = Mini(tmp_path / f"other{number}")
        with casd(tmp_path / "server") as server:
            process = other.start("--remote", server.push, MINI, FREESTANDING_OFFLINE="")
            time.sleep(moments.uniform(0.4, 0.9) * whole)
            server.kill()
            out, err = process.communicate(timeout=60)
        assert process.returncode == 0, out + err
        print(f"{len(nodes_done(out))} nodes run;", "; ".join(line for line in out.splitlines() if line.startswith("remote: ")))
        [ours], [theirs] = ([*(one.root / "dist").glob("*.txt")] for one in (other, first))
        assert ours.read_bytes() == theirs.read_bytes()
