"""kill -9 of the whole process tree at random moments: the next run goes on, and nothing in the store is wrong."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

from tests.mini import Mini, nodes_done
from tests.test_build import EVERYTHING
from tests.test_cli import TARGET

KILLS = 24


def kill_after(process: subprocess.Popen[str], seconds: float) -> tuple[list[str], bool]:
    """The nodes that were reported done, and whether the process was still running when it was killed."""
    try:
        out, _ = process.communicate(timeout=seconds)
        killed = False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, _ = process.communicate()
        killed = True
    return nodes_done(out), killed


def test_kill_9_at_random_moments(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    kills = builds = 0
    begun = time.monotonic()
    assert Mini(tmp_path / "undisturbed", recipes="SLOW").ran(TARGET)
    whole = time.monotonic() - begun
    while kills < KILLS:
        mini = Mini(tmp_path / f"checkout {builds}", recipes="SLOW")
        builds += 1
        done: list[str] = []
        finished = False
        while not finished:
            ran, killed = kill_after(mini.start(TARGET), dice.uniform(0.2, 0.9) * whole if kills < KILLS else 600)
            assert not set(ran) & set(done), "a node that had ended was run again"
            done += ran
            kills += killed
            finished = not killed
        assert set(done) <= set(EVERYTHING)
        assert mini.ran(TARGET) == []
        assert (mini.root / "dist/archive.txt").is_file()
        verified = mini.doit("store", "verify")
        assert verified.returncode == 0, verified.stdout
    print(f"{kills} kills over {builds} builds")


def test_a_killed_build_leaves_no_process_behind(tmp_path: Path) -> None:
    mini = Mini(tmp_path / "checkout", recipes="FAILING")
    process = mini.start("make:endless")
    assert process.stdout is not None
    while not process.stdout.readline().startswith("run "):
        pass
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    deadline = time.monotonic() + 60
    while left := _running("sleep 1000"):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def _running(words: str) -> list[str]:
    found = []
    # not a glob of */cmdline: that fails when a process ends while it looks
    for path in Path("/proc").glob("[0-9]*"):
        try:
            text = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        if text.endswith(words):
            found.append(f"{path.name} {text}")
    return found
