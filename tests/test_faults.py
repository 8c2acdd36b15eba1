"""Bad input and bad hosts, as typed: one clear error, its own exit code, the next command to type, and nothing lost."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.fakes import ARCHIVES, tar_of
from tests.mini import ROOT, Mini
from tests.test_build import PATCH_SSL
from tests.test_cli import TARGET

pytestmark = pytest.mark.whole


@pytest.fixture
def mini(tmp_path: Path) -> Mini:
    return Mini(tmp_path / "checkout")


def refused(done: subprocess.CompletedProcess[str], code: int, *texts: str) -> None:
    """The exit code, each text in the output, a next command, and no traceback."""
    output = done.stdout + done.stderr
    assert done.returncode == code, output
    for text in texts:
        assert text in output
    assert "next: " in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("typed", "texts"),
    [
        ("dist:x86_64-unknown-linux-gun", ("unknown target 'x86_64-unknown-linux-gun'", "did you mean x86_64-unknown-linux-gnu?")),
        ("dist:x86_64-unknown-linux-gnu:3.99", ("unknown Python version '3.99'", "3.13.15")),
        ("dist:x86_64-unknown-linux-gnu:3.13.15:pgoo", ("unknown option 'pgoo'", "noopt")),
        ("make:opensll", ("unknown node 'make:opensll'", "did you mean make:openssl")),
        ("test:x86_64-linux", ("unknown target",)),
        ("dist:musl", ("unknown target 'musl'", "groups: dist:linux dist:all")),
        ("x86_64-unknown-linux-gnu", ("unknown node", "did you mean dist:x86_64-unknown-linux-gnu?")),
        ("x86_64-unknown-linux-gnu:3.13.15", ("unknown node", "did you mean dist:x86_64-unknown-linux-gnu:3.13.15?")),
    ],
)
def test_unknown_names(mini: Mini, typed: str, texts: tuple[str, ...]) -> None:
    refused(mini.doit(typed), 10, *texts)
    refused(mini.doit("--frobnicate", typed), 10, "frobnicate")


def test_a_malformed_lock_names_line_and_key(mini: Mini) -> None:
    lock = mini.root / "sources.lock"
    lines = lock.read_text().splitlines()
    number = next(index for index, line in enumerate(lines) if line.startswith("sha256"))
    lines[number] = 'sha256 = "beef"'
    lock.write_text("\n".join(lines))
    refused(mini.doit(TARGET), 11, f"sources.lock:{number + 1}", "sha256")
    lock.write_text("version = [")
    refused(mini.doit(TARGET), 11, "sources.lock:1")
    lock.write_bytes(b"\xff")
    refused(mini.doit(TARGET), 11, "sources.lock")


def test_bytes_with_a_wrong_hash_are_not_used(mini: Mini) -> None:
    (mini.root / "mirror/zlib.tar.gz").write_bytes(tar_of({"inflate.c": "evil\n"}))
    refused(mini.doit("make:zlib"), 13, "zlib.tar.gz", "sha256")
    (mini.root / "mirror/zlib.tar.gz").write_bytes(ARCHIVES["zlib"][:-1])
    refused(mini.doit("make:zlib"), 13, "zlib.tar.gz")
    (mini.root / "mirror/zlib.tar.gz").unlink()
    refused(mini.doit("make:zlib"), 12, "zlib.tar.gz", "offline")
    (mini.root / "mirror/zlib.tar.gz").write_bytes(ARCHIVES["zlib"])
    assert "make:zlib" in mini.ran("make:zlib")


def hostile_tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        info = tarfile.TarInfo("top/../../escaped")
        info.size = 4
        tar.addfile(info, io.BytesIO(b"evil"))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("archive", "text"),
    [(hostile_tar(), "escaped"), (ARCHIVES["zlib"][:-20], "zlib.tar.gz"), (b"no archive", "zlib.tar.gz")],
    ids=["hostile", "cut", "no archive"],
)
def test_a_hostile_or_broken_archive(mini: Mini, archive: bytes, text: str) -> None:
    mini.serve({**ARCHIVES, "zlib": archive})
    refused(mini.doit("make:zlib"), 14, text)
    assert not list(mini.root.rglob("escaped"))
    mini.serve(ARCHIVES)
    assert "make:zlib" in mini.ran("make:zlib")


def test_a_patch_that_does_not_apply_or_is_unused(mini: Mini) -> None:
    mini.write("patches/cpython/0001-x.patch", PATCH_SSL.replace(b" ssl\n", b" tls\n").decode())
    refused(mini.doit(TARGET), 15, "patches/cpython/0001-x.patch", "ssl.c", "hunk 1")
    (mini.root / "patches/cpython/0001-x.patch").unlink()
    mini.write("patches/cpyhton/0001-x.patch", PATCH_SSL.decode())
    refused(mini.doit(TARGET), 15, "patches/cpyhton/0001-x.patch", "used by no")


def test_a_cycle_of_recipes(tmp_path: Path) -> None:
    refused(Mini(tmp_path / "checkout", recipes="CYCLIC").doit("list", "--all"), 16, "make:a -> make:b -> make:a")


def test_recipes_that_cannot_be_imported(tmp_path: Path) -> None:
    refused(Mini(tmp_path / "checkout", recipes="GONE").doit(TARGET), 16, "tests.mini:GONE")


def test_a_step_that_fails_and_one_that_reads_what_it_did_not_declare(tmp_path: Path) -> None:
    mini = Mini(tmp_path / "checkout", recipes="FAILING")
    refused(mini.doit("make:bad"), 17, "status 3", "| the end is near", "doit shell make:bad", "log: ")
    refused(mini.doit("make:spy"), 17, "/etc/machine-id", "declare", "doit shell make:spy")


def test_other_nodes_are_kept_when_one_fails(tmp_path: Path) -> None:
    mini = Mini(tmp_path / "checkout", recipes="FAILING")
    assert mini.doit(TARGET, "make:bad").returncode == 17
    first = mini.ran(TARGET)
    assert mini.ran(TARGET) == []
    assert "make:bad" not in first


def test_a_missing_host_tool_is_named_with_its_package(mini: Mini) -> None:
    table = mini.root / "toolchains/host-tools.toml"
    table.write_text(table.read_text().replace('"sh", "sed",', '"sh", "sed", "frobnicate",', 1))
    refused(mini.doit("make:zlib"), 20, "frobnicate", "install")


def in_namespace(mini: Mini, script: str) -> subprocess.CompletedProcess[str]:
    """A shell script with mounts of its own, as the root of a user namespace."""
    done = subprocess.run(["unshare", "-Urm", "true"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this host has no user namespaces: {done.stderr.strip()}")
    argv = ["unshare", "-Urm", "sh", "-c", script, "sh", sys.executable, str(mini.root)]
    return subprocess.run(argv, cwd=mini.root, env=mini.environment(), capture_output=True, text=True, timeout=60)


def test_a_full_disk(mini: Mini) -> None:
    (mini.root / ".store").mkdir()
    big = {**ARCHIVES, "zlib": tar_of({"inflate.c": "x" * 3_000_000})}
    mini.serve(big)
    refused(in_namespace(mini, f"mount -t tmpfs -o size=1m tmpfs .store && exec $1 -m doit {TARGET}"), 19, ".store", "space")
    assert "make:zlib" in mini.ran("make:zlib")


def test_a_read_only_store(mini: Mini) -> None:
    mini.ran("make:zlib")
    readonly = "mount --bind .store .store && mount -o remount,ro,bind .store && exec $1 -m doit "
    refused(in_namespace(mini, readonly + TARGET), 18, ".store")
    assert mini.doit("make:zlib").returncode == 0


def test_ctrl_c_ends_the_steps_and_says_how_to_go_on(tmp_path: Path) -> None:
    mini = Mini(tmp_path / "checkout", recipes="FAILING")
    process = mini.start("make:zlib", "make:endless")
    assert process.stdout is not None
    line = ""
    while not line.startswith("run  make:endless"):
        line = process.stdout.readline()
    os.kill(process.pid, signal.SIGINT)
    try:
        out, err = process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 130
    assert "next: " in err
    assert "Traceback" not in out + err
    assert mini.doit("store", "verify").returncode == 0


def test_the_code_of_another_checkout_is_not_used_silently(tmp_path: Path) -> None:
    mini = Mini(tmp_path / "checkout")
    (mini.root / "graph").mkdir()
    refused(mini.doit("matrix"), 10, "not this checkout's", "pip install --editable")
    assert (ROOT / "graph").is_dir()


def test_outside_a_checkout(tmp_path: Path) -> None:
    mini = Mini(tmp_path / "checkout")
    (mini.root / "dodo.py").unlink()
    refused(mini.doit("matrix"), 10, "not the root of a freestanding checkout")
