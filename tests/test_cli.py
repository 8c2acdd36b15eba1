"""The program as typed: real doit, sandbox and store on a checkout in small."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from graph.commands import guarded, with_values
from tests.fakes import ARCHIVES, CPYTHON, DIST, tar_of
from tests.mini import Mini, many, nodes_done
from tests.test_build import EVERYTHING, PATCH_COMMENT, PATCH_CRYPTO, PATCH_SSL

pytestmark = pytest.mark.whole

TARGET = "dist:x86_64-unknown-linux-gnu"


@pytest.fixture
def mini(tmp_path: Path) -> Mini:
    return Mini(tmp_path / "check out")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Mini:
    mini = Mini(tmp_path_factory.mktemp("built") / "check out")
    assert sorted(mini.ran(TARGET)) == sorted(EVERYTHING)
    return mini


def test_the_archives_lie_in_dist_and_a_second_run_runs_nothing(built: Mini) -> None:
    done = built.doit(TARGET)
    assert done.returncode == 0
    assert "0 nodes run, 17 from the store" in done.stdout


def test_what_made_a_distribution_may_be_gone(tmp_path: Path) -> None:
    mini = Mini(tmp_path / "check out")
    mini.ran(TARGET)
    for kept in (mini.store / "ac").rglob("*.json"):
        if json.loads(kept.read_text())["node"].partition(":")[0] in ("make", "ext", "fetch"):
            kept.unlink()
    done = mini.doit(TARGET)
    assert "0 nodes run, 17 from the store" in done.stdout
    assert "in the store" in mini.doit("explain", TARGET).stdout.splitlines()[0]
    # who makes it a second time needs what it was made from
    refused = mini.doit("verify", TARGET)
    assert refused.returncode == 10
    assert f"doit run --closure {DIST}" in refused.stderr
    assert {"make:openssl", "fetch:openssl"} <= set(mini.ran("run", "--closure", TARGET))
    assert mini.doit("verify", TARGET).returncode == 0
    mini.write("patches/openssl/0001-x.patch", PATCH_CRYPTO.decode())
    assert {"make:openssl", "ext:_ssl"} <= set(mini.ran(TARGET))


def test_what_is_named_first_is_ended_first(tmp_path: Path) -> None:
    """As far as doit goes: what its five threads have in hand goes on. First in, first out it would make twenty cores, at least, before
    it ends one distribution."""
    mini = many(tmp_path / "check out", 24)
    named = [f"dist:x86_64-unknown-linux-gnu:3.13.{number}:noopt" for number in (23, *range(23))]
    ran = mini.ran(*named, FREESTANDING_JOBS="1")
    ended = [name for name in ran if name.startswith("dist:")]
    assert sorted(ended) == sorted(named)
    cores = [name for name in ran[: ran.index(ended[0])] if name.startswith("core:")]
    assert "core:3.13.23" in cores and len(cores) < 15


def test_a_lost_archive_is_put_back_without_running_a_node(built: Mini) -> None:
    archive = built.root / "dist/archive.txt"
    content = archive.read_bytes()
    archive.unlink()
    assert built.ran(TARGET) == []
    assert archive.read_bytes() == content
    archive.write_bytes(b"edited by hand")
    assert built.ran(TARGET) == []
    assert archive.read_bytes() == content


def test_list_is_short_and_all_shows_every_node(built: Mini) -> None:
    short = built.doit("list").stdout.splitlines()
    # (of the table: whether recipes of one's own make the add-on is not asked)
    assert [line.split()[0] for line in short] == ["dist:all", "dist:linux", TARGET, f"{TARGET}:toolchain"]
    whole = built.doit("list", "--all").stdout
    assert all(name in whole for name in EVERYTHING)


def test_matrix_prints_the_platform_table(built: Mini) -> None:
    [row] = json.loads(built.doit("matrix", "--json").stdout)
    assert row["target"] == "x86_64-unknown-linux-gnu"
    named = built.doit("matrix", "--archives").stdout.splitlines()
    kinds = ("noopt-full.tar.zst", "install_only.tar.gz", "install_only_stripped.tar.gz")
    assert [name.partition("+")[0] for name in named] == [f"cpython-{row['python']}"] * 3
    assert [name.endswith(f"-{row['target']}-{kind}") for name, kind in zip(named, kinds, strict=True)] == [True] * 3
    printed = built.doit("matrix").stdout.splitlines()
    assert "glibc 2.17" in printed[1]
    assert printed[-1] == "1 distributions: 17 nodes; by a job each 17, 1.0 times as many"


def test_graph_as_dot_and_as_picture(built: Mini) -> None:
    assert '"source:openssl" -> "make:openssl";' in built.doit("graph").stdout
    assert "make:zlib" not in built.doit("graph", "make:openssl").stdout
    assert built.doit("graph", TARGET, "--output", "graph.svg").returncode == 0
    assert ET.parse(built.root / "graph.svg").getroot().tag.endswith("svg")


def test_index_lists_what_lies_in_dist(mini: Mini) -> None:
    refused = mini.doit("index", "--url", "https://example.org/d")
    assert (refused.returncode, "no archive of a distribution lies in dist/" in refused.stderr) == (10, True)
    mini.write("dist/cpython-3.13.15+20260101-x86_64-unknown-linux-gnu-install_only.tar.gz", "archive")
    assert "next: e.g. --url https://" in mini.doit("index").stderr
    done = mini.doit("index", "--url", "https://example.org/d", "--output", "out")
    assert (done.returncode, done.stdout) == (0, "out/uv-downloads.json: 1 entries\n")
    [entry] = json.loads((mini.root / "out/uv-downloads.json").read_text()).values()
    assert entry["url"] == "https://example.org/d/cpython-3.13.15%2B20260101-x86_64-unknown-linux-gnu-install_only.tar.gz"


def test_explain_says_in_the_store_or_what_changed(mini: Mini) -> None:
    assert "fetch:openssl: will run, it was never built with this store" in mini.doit("explain", "make:openssl").stdout
    mini.ran(TARGET)
    assert "make:openssl: in the store" in mini.doit("explain", "make:openssl").stdout
    mini.write("patches/openssl/0001-x.patch", PATCH_CRYPTO.decode())
    text = mini.doit("explain", "make:openssl").stdout
    assert "source:openssl: will run, its manifest changed:" in text
    assert "+ file 0 patches/openssl/0001-x.patch = plain" in text


def test_trace_is_a_chrome_trace_of_the_last_run(built: Mini) -> None:
    events = json.loads(built.doit("trace").stdout)["traceEvents"]
    assert sorted(event["name"] for event in events) == sorted(EVERYTHING)


def test_verify_builds_every_node_again(built: Mini) -> None:
    done = built.doit("verify", "--closure", TARGET)
    assert done.returncode == 0, done.stderr
    assert "13 nodes gave the same bytes twice, 0 did not" in done.stdout


def test_store_commands(built: Mini) -> None:
    assert "whole" in built.doit("store", "verify").stdout
    assert built.doit("store", "size").returncode == 0
    assert built.doit("store", "gc").returncode == 0
    assert built.ran(TARGET) == []
    wrong = built.doit("store", "clean")
    assert (wrong.returncode, "doit store gc" in wrong.stderr) == (10, True)
    assert built.doit("store", "gc", "--max-size", "much").returncode == 10


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        pytest.param(("cpython", PATCH_SSL), ["source:cpython", "ext:_ssl", "assemble:cpython", DIST], id="a patch of _ssl.c"),
        pytest.param(("openssl", PATCH_CRYPTO), ["source:openssl", "make:openssl", "ext:_ssl", "assemble:cpython", DIST], id="OpenSSL"),
        pytest.param(("openssl", PATCH_COMMENT), ["source:openssl", "make:openssl"], id="a comment in OpenSSL"),
    ],
)
def test_the_change_table(mini: Mini, patch: tuple[str, bytes], expected: list[str]) -> None:
    mini.ran(TARGET)
    mini.write("README.md", "edited")
    assert mini.ran(TARGET) == []
    mini.write(f"patches/{patch[0]}/0001-x.patch", patch[1].decode())
    assert mini.ran(TARGET) == expected
    assert mini.ran(TARGET) == []


def test_a_target_flag_and_a_zig_version(mini: Mini) -> None:
    mini.ran(TARGET)
    table = mini.root / "toolchains/targets.toml"
    table.write_text(table.read_text().replace("cpu_flags = []", 'cpu_flags = ["-march=x86-64-v3"]'))
    compiled = {"configure:cpython", "core:cpython", "ext:_ssl", "ext:zlib", "make:openssl", "make:zlib"}
    assert set(mini.ran(TARGET)) == compiled
    mini.serve({**ARCHIVES, "zig": tar_of({"zig": "zig 2\n"})})
    assert set(mini.ran(TARGET)) == compiled | {"fetch:zig", "toolchain:zig"}


def test_two_runs_at_once_on_one_store(mini: Mini) -> None:
    # large enough for the two to meet while they copy it to dist/
    mini.serve({**ARCHIVES, "zlib": tar_of({"inflate.c": "inflate\n" * 1_000_000})})
    first, second = mini.start(TARGET), mini.start(TARGET)
    outputs = [process.communicate(timeout=120)[0] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), outputs
    ran = [name for text in outputs for name in nodes_done(text)]
    assert sorted(ran) == sorted(EVERYTHING)
    assert mini.doit("store", "verify").returncode == 0


@pytest.mark.parametrize("typed", [f"{TARGET}:3.13", f"{TARGET}:3.13.15", f"{TARGET}::noopt", f"{TARGET}:3.13.15:noopt", "dist:linux"])
def test_the_ways_to_name_a_cell(built: Mini, typed: str) -> None:
    assert built.ran(typed) == []


def test_output_that_cannot_be_written_and_readers_that_went_away(built: Mini) -> None:
    assert built.doit("graph", "--output", "gone/x.svg").returncode == 10
    assert built.doit("trace", "--output", "gone/x.json").returncode == 10
    script = f"{sys.executable} -m doit list --all | head -1"
    done = subprocess.run(["sh", "-c", script], cwd=built.root, env=built.environment(), capture_output=True, text=True)
    assert done.stderr == ""


def test_what_a_set_of_host_tools_holds_is_in_the_key(mini: Mini) -> None:
    mini.ran("make:zlib")
    table = mini.root / "toolchains/host-tools.toml"
    table.write_text(table.read_text().replace('"uniq", ', "", 1))
    assert "make:zlib" in mini.ran("make:zlib")


def test_the_callers_umask_changes_nothing(mini: Mini) -> None:
    mini.ran("make:zlib")
    script = f"umask 077; exec {sys.executable} -m doit verify --closure make:zlib"
    done = subprocess.run(["sh", "-c", script], cwd=mini.root, env=mini.environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_cpython_is_what_was_put_in(built: Mini) -> None:
    text = (built.root / "dist/archive.txt").read_text().splitlines()
    assert set(CPYTHON["main.c"].split()) <= set(text)
    assert {"ssl", "crypto", "inflate", "os"} <= set(text)
    assert "doc" not in text


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("run --source cpython=../x dist:t", "--source=cpython=../x dist:t"),
        ("--source zlib=a.tgz --source cpython=x=y -n 2 dist:t", "--source=zlib=a.tgz --source=cpython=x=y -n 2 dist:t"),
        ("run --source=zlib=a --source cpython=b dist:t", "--source=zlib=a --source=cpython=b dist:t"),
        ("run --source nothing --source cpython=b dist:t", "--source nothing --source=cpython=b dist:t"),
        ("run dist:t name=value --source", "dist:t --source"),
    ],
)
def test_the_value_of_source_stays_where_it_was_typed(typed: str, words: str) -> None:
    """doit hands a command the words that are no NAME=VALUE."""
    left = [word for word in typed.removeprefix("run ").split() if word.startswith("-") or "=" not in word]
    assert " ".join(with_values(left, typed.split())) == words


def test_a_source_that_is_not_there_is_named(mini: Mini) -> None:
    done = mini.doit("run", "--source", "cpython=/nonexistent", "list")
    assert done.returncode == 10 and "--source cpython: /nonexistent does not exist" in done.stderr


def test_a_run_time_of_microsofts_that_is_not_there_is_named(mini: Mini) -> None:
    done = mini.doit("run", "--vcruntime", "/nonexistent", "list")
    assert done.returncode == 10 and "--vcruntime: /nonexistent is no folder" in done.stderr


def test_a_library_of_the_machine_that_a_wheel_lacks_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    def load() -> None:
        raise ImportError("libstdc++.so.6: cannot open shared object file: No such file or directory")

    def misspell() -> None:
        raise ImportError("cannot import name 'x' from 'lief' (_lief.so)")

    assert guarded(load) == 20
    assert "libstdc++.so.6" in capsys.readouterr().err
    with pytest.raises(ImportError):
        guarded(misspell)
