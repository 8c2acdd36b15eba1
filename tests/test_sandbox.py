"""Both runners on one contract, then what only the sandbox can promise."""

from __future__ import annotations

import functools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from graph.digest import FIXED_MTIME
from graph.errors import SandboxError
from graph.hosttools import HostTools, parse_tools
from graph.jobserver import Jobserver
from graph.node import Step
from graph.sandbox import Job, Mount, NamespaceRunner, Outcome, PlainRunner, Runner, why_unavailable
from graph.store import Store

ROOT = Path(__file__).resolve().parent.parent
REASON = why_unavailable()
needs_namespaces = pytest.mark.skipif(bool(REASON), reason=f"no sandbox on this host: {REASON}")


@functools.cache
def tools() -> HostTools:
    return HostTools(parse_tools((ROOT / "toolchains/host-tools.toml").read_text()))


@pytest.fixture(params=[pytest.param("namespaces", marks=needs_namespaces), "plain"])
def runner(request: pytest.FixtureRequest) -> Runner:
    return NamespaceRunner(tools()) if request.param == "namespaces" else PlainRunner(tools(), "test")


@pytest.fixture
def sandbox() -> NamespaceRunner:
    return NamespaceRunner(tools())


def job(folder: Path, *steps: str | tuple[str, ...], mounts: Mapping[str, Path] | None = None, env: Mapping[str, str] | None = None) -> Job:
    """A job in `folder`; a step that is one string is a script."""
    root = folder / "build"
    for name in ("work", "tmp", "out"):
        (root / name).mkdir(parents=True, exist_ok=True)
    made = tuple(Step(("sh", "-c", step) if isinstance(step, str) else step) for step in steps)
    variables = {"PATH": "/build/tc/bin:/usr/bin:/bin", "HOME": "/build/tmp", **(env or {})}
    placed = tuple(Mount(source, at) for at, source in (mounts or {}).items())
    return Job(root, placed, made, tuple(sorted(variables.items())), ("posix", "make"), folder / "log")


def run(runner: Runner, given: Job, status: int = 0) -> str:
    """Run it; what the steps printed, without the lines of argv."""
    outcome = runner.run(given)
    text = given.log.read_text(errors="replace")
    assert outcome.status == status, text
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("+ cd "))


def processes(marker: str) -> list[int]:
    """The live processes that have `marker` in their argv."""
    found = []
    # not a glob of */cmdline: that fails when a process ends while it looks
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if marker.encode() in (place / "cmdline").read_bytes():
                found.append(int(place.name))
        except OSError:
            continue
    return found


def wait_until(marker: str, *, alive: bool, seconds: float) -> float:
    """How long it took until processes with `marker` were there, or gone."""
    start = time.monotonic()
    while bool(processes(marker)) != alive:
        assert time.monotonic() - start < seconds, f"{marker}: {processes(marker)}"
        time.sleep(0.01)
    return time.monotonic() - start


@pytest.fixture
def marker() -> Iterator[str]:
    """A duration for sleep that no other process has in its argv."""
    text = f"98765.{time.time_ns()}"
    yield text
    for pid in processes(text):
        os.kill(pid, signal.SIGKILL)


def test_steps_run_in_order_and_the_result_stays(runner: Runner, tmp_path: Path) -> None:
    given = job(tmp_path, "echo one > /build/out/a; pwd", ("cp", "/build/out/a", "/build/out/b"))
    run(runner, given)
    assert (given.root / "out/b").read_text() == "one\n"


def test_the_log_has_each_argv_and_both_outputs(runner: Runner, tmp_path: Path) -> None:
    given = job(tmp_path, ("echo", "it's"), "echo out; echo err >&2")
    assert run(runner, given) == "it's\nout\nerr\n"
    assert """work && echo 'it'"'"'s'\n""" in given.log.read_text()


def test_the_first_failing_step_ends_the_job(runner: Runner, tmp_path: Path) -> None:
    outcome = runner.run(job(tmp_path, "true", "exit 7", "echo not reached"))
    assert (outcome.status, outcome.failed_step, outcome.hermetic) == (7, 1, runner.hermetic)
    assert "not reached'" not in (tmp_path / "log").read_text()


def test_a_signal_is_told_as_shells_do(runner: Runner, tmp_path: Path) -> None:
    assert runner.run(job(tmp_path, "kill -SEGV $$")).status == 128 + signal.SIGSEGV


def test_an_unknown_program_is_named(runner: Runner, tmp_path: Path) -> None:
    assert run(runner, job(tmp_path, ("gperf", "x")), status=127) == "sandbox: gperf: No such file or directory\n"


def test_stdin_is_empty_and_the_umask_fixed(runner: Runner, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        assert run(runner, job(tmp_path, "cat; umask; ulimit -c")) == "0022\n0\n"
    finally:
        os.umask(before)


def test_the_environment_is_the_jobs_alone(runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFLAGS", "-O0")
    lines = run(runner, job(tmp_path, ("env",), env={"ONE": "1", "TWO": "2 3"})).splitlines()
    assert {line.partition("=")[0] for line in lines} == {"PATH", "HOME", "ONE", "TWO"}
    assert {"ONE=1", "TWO=2 3"} <= set(lines)


def test_only_declared_programs_are_on_path(runner: Runner, tmp_path: Path) -> None:
    given = job(tmp_path, "command -v sh >/dev/null && ! command -v perl && ! command -v python3")
    run(runner, given)


def test_inputs_are_at_their_places_and_gone_afterwards(runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "tree/include").mkdir(parents=True)
    (tmp_path / "tree/include/z.h").write_text("int z;\n")
    given = job(
        tmp_path, "cat ../deps/zlib/include/z.h ../one.h", mounts={"deps/zlib": tmp_path / "tree", "one.h": tmp_path / "tree/include/z.h"}
    )
    assert run(runner, given) == "int z;\nint z;\n"
    assert sorted(path.name for path in given.root.iterdir()) == ["out", "tmp", "work"]


def test_a_large_log_is_whole(runner: Runner, tmp_path: Path) -> None:
    text = run(
        runner, job(tmp_path, "i=0; while [ $i -lt 14 ]; do i=$((i+1)); l=x$l$l; done; while [ $i -lt 400 ]; do i=$((i+1)); echo $l; done")
    )
    assert len(text) == 386 * (2**14)


def test_makeflags_lead_to_the_jobserver(runner: Runner, tmp_path: Path) -> None:
    jobserver = Jobserver(2)
    given = job(tmp_path, "echo $MAKEFLAGS", ("make",))
    (given.root / "work/Makefile").write_text("all: a b\na b:\n\t@echo +; sleep 0.5; echo -\n")
    with jobserver.slot():
        runner.run(given, jobserver)
    jobserver.close()
    flags, *rest = [line for line in given.log.read_text().splitlines() if not line.startswith("+ cd")]
    assert flags == "-j --jobserver-auth=198,199"
    assert rest[:4] == ["+", "+", "-", "-"], "two at once"


def test_cancel_kills_the_step_and_its_children_and_asks_nobody(runner: Runner, tmp_path: Path, marker: str) -> None:
    cancel = threading.Event()
    # who is asked to end says so, and goes on: it would have been given time
    given = job(tmp_path, f"trap 'echo asked' TERM INT HUP; (sleep {marker} &); while :; do sleep {marker} & wait; done")
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(runner.run, given, None, cancel)
        wait_until(marker, alive=True, seconds=60)
        cancel.set()
        outcome: Outcome = future.result(timeout=60)
    assert outcome.status != 0
    assert "\nasked" not in given.log.read_text()
    assert outcome.failed_step == 0
    assert processes(marker) == []


def test_what_a_step_leaves_running_is_killed(runner: Runner, tmp_path: Path, marker: str) -> None:
    given = job(tmp_path, f"sleep {marker} >/dev/null 2>&1 & echo started")
    assert run(runner, given) == "started\n"
    assert processes(marker) == []


CALLER = """
import sys
from pathlib import Path
from graph.hosttools import HostTools, parse_tools
from graph.node import Step
from graph.sandbox import Job, NamespaceRunner, PlainRunner
kind, folder, script = sys.argv[1:4]
tools = HostTools(parse_tools(Path("toolchains/host-tools.toml").read_text()))
runner = NamespaceRunner(tools) if kind == "NamespaceRunner" else PlainRunner(tools, "test")
root = Path(folder, "build")
for name in ("work", "tmp", "out"):
    (root / name).mkdir(parents=True)
env = (("HOME", "/build/tmp"), ("PATH", "/usr/bin"))
job = Job(root, (), (Step(("sh", "-c", script)),), env, ("posix",), Path(folder, "log"))
sys.exit(runner.shell(job) if script == "shell" else runner.run(job).status)
"""


def test_kill_9_of_the_caller_leaves_no_orphan(runner: Runner, tmp_path: Path, marker: str) -> None:
    argv = [sys.executable, "-c", CALLER, type(runner).__name__, str(tmp_path), f"(sleep {marker} &); sleep {marker}"]
    caller = subprocess.Popen(argv, cwd=ROOT)
    # the caller, its sh and both sleeps have it in their argv
    while len(processes(marker)) < 4:
        assert caller.poll() is None
        time.sleep(0.01)
    caller.kill()
    caller.wait()
    # the sleeps would live for a day; how soon is not asked
    wait_until(marker, alive=False, seconds=60)


def test_a_shell_on_a_terminal(runner: Runner, tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    argv = [sys.executable, "-c", CALLER, type(runner).__name__, str(tmp_path), "shell"]
    caller = subprocess.Popen(argv, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    # what is typed before the prompt is lost, as the relay makes the terminal raw
    text = os.read(ours, 4096)
    os.write(ours, b"echo sum $((40+2)) $HOME; test -t 0 && echo terminal >/dev/tty; pwd; exit 5\n")
    while caller.poll() is None or not text.endswith(b"work\r\n"):
        try:
            text += os.read(ours, 4096)
        except OSError:
            break
    os.close(ours)
    assert caller.wait(timeout=60) == 5, text
    assert b"sum 42 " in text
    assert b"terminal\r\n" in text
    assert b"/build/work\r\n" in text


def test_a_shell_without_a_terminal_ends_with_its_input(runner: Runner, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", CALLER, type(runner).__name__, str(tmp_path), "shell"]
    ended = subprocess.run(argv, cwd=ROOT, input=b"echo sum $((40+2))\n(exit 6)\n", stdout=subprocess.PIPE, timeout=60, check=False)
    assert b"sum 42\r\n" in ended.stdout
    assert ended.returncode == 6


@needs_namespaces
def test_an_undeclared_file_of_the_host_is_not_there(sandbox: NamespaceRunner, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("planted\n")
    script = f"cat {secret} /etc/os-release /usr/include/stdio.h; ls /etc /home /root /sys /var {tmp_path}; ls /"
    text = run(sandbox, job(tmp_path, script))
    assert "planted" not in text
    assert text.count("No such file or directory") == 8
    assert text.split("\n/etc:\n")[-1].split() == ["group", "hosts", "passwd", "bin", "build", "dev", "etc", *text.split()[-5:]]


@needs_namespaces
def test_every_host_looks_the_same_inside(sandbox: NamespaceRunner, tmp_path: Path) -> None:
    text = run(
        sandbox, job(tmp_path, "id -u; id -g; id -un; pwd; cat /proc/sys/kernel/hostname; ls /dev /proc | grep -c '^[0-9]'; ls /dev")
    )
    *lines, devices = text.split("\n", 6)
    assert lines[:5] == ["1000", "1000", "build", "/build/work", "build"]
    assert int(lines[5]) < 8, "only the sandbox's own processes"
    assert devices.split() == ["fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero"]


@needs_namespaces
def test_there_is_no_network(sandbox: NamespaceRunner, tmp_path: Path) -> None:
    text = run(sandbox, job(tmp_path, "cat /proc/net/dev; cat /proc/net/route"))
    assert [line.split(":")[0].strip() for line in text.splitlines() if ":" in line] == ["lo"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        script = f"use IO::Socket::INET; print IO::Socket::INET->new(PeerAddr => '127.0.0.1:{port}') ? 'in' : $!"
        given = job(tmp_path / "perl", ("perl", "-e", script))
        given = Job(given.root, given.mounts, given.steps, given.env, ("posix", "perl"), given.log)
        assert run(sandbox, given) == "Network is unreachable"


@needs_namespaces
def test_inputs_and_tools_are_read_only_for_root_too(sandbox: NamespaceRunner, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_text("whole\n")
    script = (
        "for f in /build/in/file /build/in/new /usr/bin/sed /usr/bin/new /new; do echo x > $f; done; rm -rf /build/in/file /usr/bin; true"
    )
    text = run(sandbox, job(tmp_path, script, mounts={"in": tree}))
    assert text.count("Read-only file system") >= 7
    assert [path.name for path in tree.iterdir()] == ["file"]
    assert (tree / "file").read_text() == "whole\n"


@needs_namespaces
def test_mounts_may_nest_where_the_outer_one_has_the_place(sandbox: NamespaceRunner, tmp_path: Path) -> None:
    (tmp_path / "outer/inner").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").touch()
    mounts = {"src/inner": tmp_path / "other", "src": tmp_path / "outer"}
    assert run(sandbox, job(tmp_path, "ls ../src/inner", mounts=mounts)) == "file\n"


def test_without_namespaces_mounts_may_not_nest(tmp_path: Path) -> None:
    (tmp_path / "outer").mkdir()
    with pytest.raises(SandboxError, match="within an input"):
        PlainRunner(tools(), "test").run(job(tmp_path, "true", mounts={"src/inner": tmp_path, "src": tmp_path / "outer"}))
    assert list((tmp_path / "outer").iterdir()) == []


def test_without_namespaces_a_step_cannot_spoil_the_store(tmp_path: Path) -> None:
    """Not even one of root, which no mode stops."""
    store = Store(tmp_path / "store")
    (tmp_path / "tree/d").mkdir(parents=True)
    (tmp_path / "tree/d/one").write_text("one\n")
    (tmp_path / "tree/link").symlink_to("d/one")
    digest = store.put_tree(tmp_path / "tree")
    checkout = store.checkout(digest)
    script = "cd ../src; ls -l; stat -c '%Y %a %N' d/one link; chmod -R u+w .; echo more >> d/one; echo new > d/new; rm link; cat d/one"
    given = job(tmp_path, script, mounts={"src": checkout, "src.txt": checkout / "d/one"})
    text = run(PlainRunner(tools(), "test"), given)
    assert text.endswith("one\nmore\n")
    assert f"{FIXED_MTIME} 444 'd/one'" in text
    assert f"{FIXED_MTIME} 777 'link' -> 'd/one'" in text
    assert store.verify() == []
    assert store.put_tree(checkout) == digest
    assert not (given.root / "src").exists()
    assert not (given.root / "src.txt").exists()


def test_what_a_step_puts_beside_an_input_stays(runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    given = job(tmp_path, "echo > ../deps/made", mounts={"deps/zlib": tmp_path / "tree"})
    run(runner, given)
    assert [path.name for path in (given.root / "deps").iterdir()] == ["made"]


@needs_namespaces
def test_a_lost_input_is_an_error_of_the_sandbox(sandbox: NamespaceRunner, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=r"nowhere.*No such file"):
        sandbox.run(job(tmp_path, "true", mounts={"in": tmp_path / "nowhere"}))


@needs_namespaces
def test_two_jobs_at_once_do_not_see_each_other(sandbox: NamespaceRunner, tmp_path: Path) -> None:
    script = "echo $NAME > /build/work/name; echo $NAME > /tmp/name; sleep 0.1; cat /build/work/name /tmp/name; ls /proc | grep -c '^[0-9]'"
    jobs = [job(tmp_path / str(number), script, env={"NAME": f"n{number}"}) for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        texts = list(pool.map(functools.partial(run, sandbox), jobs))
    assert [text.split()[:2] for text in texts] == [[f"n{n}", f"n{n}"] for n in range(6)]
    assert {text.split()[2] for text in texts} <= {"3", "4"}


@needs_namespaces
def test_a_multi_call_binary_sees_its_name(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/multi").write_text('#!/bin/sh\necho "I am ${0##*/}"\n')
    (tmp_path / "bin/multi").chmod(0o755)
    (tmp_path / "bin/ls").symlink_to("multi")
    table = parse_tools((ROOT / "toolchains/host-tools.toml").read_text())
    given = job(tmp_path, ("ls",))
    given = Job(given.root, (), given.steps, given.env, ("ls", "sh"), given.log)
    assert run(NamespaceRunner(HostTools(table, f"{tmp_path}/bin:/usr/bin:/bin")), given) == "I am ls\n"


@needs_namespaces
@pytest.mark.skipif(os.geteuid() != 0, reason="not root, so every other test here shows it")
def test_an_ordinary_user_can_do_all_this() -> None:
    user = 65534
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        for name in ("graph", "toolchains"):
            subprocess.run(["cp", "-r", str(ROOT / name), folder], check=True)
        Path(folder, "home").mkdir()
        os.chown(Path(folder, "home"), user, user)
        python = _python_for(user, folder)
        script = "id -u; echo x > /build/out/made; cat /etc/shadow"
        argv = [python, "-c", CALLER, "NamespaceRunner", f"{folder}/home", script]
        ended = subprocess.run(argv, cwd=folder, user=user, group=user, extra_groups=(), capture_output=True, text=True, check=False)
        assert ended.returncode == 1, ended.stderr
        assert Path(folder, "home/log").read_text().splitlines()[1:] == ["1000", "cat: /etc/shadow: No such file or directory"]
        made = Path(folder, "home/build/out/made").stat()
        assert (made.st_uid, made.st_gid) == (user, user)
        subprocess.run(["rm", "-r", f"{folder}/home/build"], user=user, group=user, extra_groups=(), check=True)


def _python_for(user: int, folder: str) -> str:
    """A Python that `user` may run, with what hosttools.py needs."""
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            argv = [python, "-c", "import sys; assert sys.version_info >= (3, 11)"]
            if subprocess.run(argv, cwd=folder, user=user, group=user, extra_groups=(), check=False, capture_output=True).returncode == 0:
                return python
        except OSError:
            continue
    pytest.skip("no Python >= 3.11 that an ordinary user may run")
