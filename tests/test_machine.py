"""Running programs of other targets: namespaces with another libc, and an emulator that the kernel calls."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from graph.errors import HostToolMissing, SandboxError, UsageError
from graph.machine import ENTER, HEADER, LEVELS, REGRTEST, Emulated, Machine, Native, Wine, check_wine, lacking, processor, registration
from graph.session import Session
from graph.testrun import try_machine
from tests.fakes import fake_wine
from tests.mini import ROOT

BIG_64 = b"\x7fELF\x02\x02\x01" + bytes(9) + b"\x00\x03\x12\x34"
"""The head of a shared library for a big-endian machine that does not exist."""


def done(machine: Machine, *argv: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(machine.argv(*argv), capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """A libc of a strange machine, in a folder that this machine has not, and over one that it has."""
    for name in ("lib/ld-strange.so.1", "libstrange/libc.so.9"):
        (tmp_path / "runtime" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "runtime" / name).write_bytes(BIG_64)
    return tmp_path / "runtime"


def test_here_a_command_is_run_as_it_is() -> None:
    assert Native().argv("a", "b c") == ("a", "b c")
    try_machine(Native())


def test_programs_of_a_kind_are_registered() -> None:
    line = registration(BIG_64, "/q/qemu-strange")
    assert line == (
        r":freestanding:M:0:\x7f\x45\x4c\x46\x02\x02\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x12\x34"
        r":\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xfe\xff\xff:/q/qemu-strange:FP"
    )
    little = registration(b"\x7fELF\x01\x01\x01\x03" + bytes(8) + b"\x03\x00\x28\x00", "/q/arm")
    assert r"\x7f\x45\x4c\x46\x01\x01\x01\x03\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x28\x00:" in little
    assert r"\x00\xfe\xff\xff\xff:/q/arm" in little
    assert len(BIG_64) == HEADER


def test_the_targets_libraries_lie_beside_this_machines(runtime: Path) -> None:
    machine = Emulated(runtime, None)
    shown = done(machine, "sh", "-c", "cat /lib/ld-strange.so.1 | head -c 4; ls /libstrange /usr/bin/env; echo >> /lib/ld-strange.so.1")
    assert shown.stdout == "\x7fELF/usr/bin/env\n\n/libstrange:\nlibc.so.9\n"
    # the store's own files
    assert "Read-only file system" in shown.stderr
    assert (runtime / "lib/ld-strange.so.1").read_bytes() == BIG_64
    assert not Path("/libstrange").exists()
    assert machine.patience == 1


def test_programs_of_the_target_are_started_by_any_other(runtime: Path, tmp_path: Path) -> None:
    """The emulator here is echo: it gets the program's path, and the argv[0] that its caller gave."""
    program = tmp_path / "a program"
    program.write_bytes(BIG_64[:17] + b"\x02" + BIG_64[18:])
    program.chmod(0o755)
    echo = Path("/bin/echo").resolve()
    code = f"import subprocess; subprocess.run(['other name', 'x y'], executable={str(program)!r})"
    shown = done(Emulated(runtime, echo), sys.executable, "-c", code)
    assert (shown.stdout, shown.stderr) == (f"{program} other name x y\n", "")
    assert Emulated(runtime, echo).patience > 1
    # nothing is left on the machine itself
    assert not Path("/proc/sys/fs/binfmt_misc/freestanding").exists()


@pytest.mark.parametrize(("script", "status"), [("exit 7", 7), ("kill -9 $$", 137), ("no-such-program", 127)])
def test_the_status_is_the_programs(runtime: Path, script: str, status: int) -> None:
    assert done(Emulated(runtime, None), "sh", "-c", script).returncode == status


def test_users_places_and_signals_are_this_machines(runtime: Path, tmp_path: Path) -> None:
    code = "import os, signal; print(os.getuid(), os.getcwd(), os.environ['X'], signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)"
    shown = subprocess.run(
        Emulated(runtime, None).argv(sys.executable, "-c", code),
        cwd=tmp_path,
        env={**os.environ, "X": "y z"},
        capture_output=True,
        text=True,
    )
    # who is not root is root inside: there is one user then
    assert (shown.stdout, shown.stderr) == (f"0 {tmp_path.resolve()} y z True\n", "")
    nobody = "import os; os.setgroups([]); os.setgid(65534); os.setuid(65534); print(open('/proc/self/uid_map').read())"
    if os.getuid() == 0:
        assert done(Emulated(runtime, None), sys.executable, "-c", nobody).returncode == 0


@pytest.mark.whole
def test_what_is_left_running_ends_with_it(runtime: Path, tmp_path: Path) -> None:
    script = f"(sleep 3; echo alive > {tmp_path}/alive) & echo started"
    assert done(Emulated(runtime, None), "sh", "-c", script).stdout == "started\n"
    long = f"sleep 2; echo alive > {tmp_path}/alive"
    with subprocess.Popen(Emulated(runtime, None).argv("sh", "-c", f"echo up; {long}"), stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGKILL)
    time.sleep(4)
    assert not (tmp_path / "alive").exists()


def test_a_machine_that_cannot_be_had_is_told_in_a_line(tmp_path: Path, runtime: Path) -> None:
    with pytest.raises(SandboxError, match=r"cannot run the target's programs here: .*No such file.*no-emulator"):
        try_machine(Emulated(runtime, tmp_path / "no-emulator"))
    spec = '{"runtime": "/no/such/folder", "register": ""}'
    shown = subprocess.run([sys.executable, "-I", "-S", str(ENTER), spec, "true"], capture_output=True, text=True)
    assert (shown.returncode, shown.stderr.count("\n")) == (120, 1)


def test_the_platform_table_says_how_programs_run() -> None:
    session = Session(ROOT)
    targets = session.matrix.targets
    assert session.machine_nodes(targets["x86_64-unknown-linux-gnu"]) == ()
    assert session.machine(targets["x86_64-unknown-linux-gnu"]) == Native()
    assert session.machine_nodes(targets["x86_64-unknown-linux-musl"]) == ("runtime:x86_64-unknown-linux-musl",)
    assert session.machine_nodes(targets["s390x-unknown-linux-gnu"]) == ("runtime:s390x-unknown-linux-gnu", "qemu:s390x")
    assert session.machine_nodes(targets["aarch64-apple-darwin"]) == ()
    for target in targets.values():
        assert bool(session.machine_nodes(target)) == (target.run == "qemu" or target.libc == "musl")


def test_tests_that_nothing_can_run_are_refused_before_anything_is_built() -> None:
    session = Session(ROOT)
    [name] = session.task_names(["test:aarch64-unknown-linux-gnu"])
    assert name == f"test:{session.matrix.default(session.matrix.targets['aarch64-unknown-linux-gnu'])}"
    with pytest.raises(UsageError, match="nothing here runs programs of aarch64-apple-darwin"):
        session.task_names(["test:aarch64-apple-darwin"])
    with pytest.raises(UsageError, match="run = 'none'"):
        session.machine(session.matrix.targets["x86_64-apple-darwin"])


LOADER = Path("/lib64/ld-linux-x86-64.so.2")


@pytest.fixture
def haswell(tmp_path: Path) -> frozenset[str]:
    """A processor of 2013, as Linux tells of it: level 3, and not 4."""
    names = "fpu sse sse2 ht lm pni ssse3 fma cx16 sse4_1 sse4_2 movbe popcnt xsave avx f16c lahf_lm abm bmi1 avx2 bmi2"
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {names}\nvmx flags\t: ept\n\nprocessor\t: 1\nflags\t\t: avx512f\n")
    return processor(cpuinfo)


@pytest.mark.skipif(not LOADER.exists(), reason="only glibc's loader on x86-64 tells levels")
def test_the_levels_of_this_processor_are_those_that_its_loader_finds() -> None:
    told = subprocess.run([LOADER, "--help"], capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^  (x86-64-v[234]) *(\(supported.*)?$", told, re.MULTILINE)
    assert len(found) == 3
    assert {f"-march={level}": bool(supported) for level, supported in found} == {flag: not lacking([flag], processor()) for flag in LEVELS}


def test_what_a_processor_lacks_is_named(haswell: frozenset[str], tmp_path: Path) -> None:
    assert lacking(["-march=x86-64-v3"], haswell) == ()
    assert lacking(["-march=x86-64-v4"], haswell) == ("avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl")
    assert lacking(["-O2", "-march=x86-64-v3"], haswell - {"sse4_2", "avx2"}) == ("avx2", "sse4_2")
    # nothing is asked beyond the architecture, and nobody knows
    assert lacking(["-march=x86-64"], frozenset({"fpu"})) == lacking(["-march=x86-64-v4"], frozenset()) == ()
    assert processor(tmp_path / "none") == frozenset()


def test_every_level_of_the_platform_table_is_known() -> None:
    levels = {flag for target in Session(ROOT).matrix.targets.values() for flag in target.cpu_flags if re.search(r"-v\d$", flag)}
    assert levels == set(LEVELS)


def test_tests_on_a_processor_below_the_targets_are_refused(haswell: frozenset[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graph.session.processor", lambda: haswell)
    session = Session(ROOT)
    assert session.task_names(["test:x86_64_v3-unknown-linux-gnu", "test:aarch64-unknown-linux-gnu"])
    for triple in ("x86_64_v4-unknown-linux-gnu", "x86_64_v4-unknown-linux-musl"):
        with pytest.raises(SandboxError, match=f"cannot run programs of {triple}: it lacks avx512bw") as caught:
            session.task_names([f"test:{triple}"])
        assert (caught.value.exit_code, f"doit check:{triple}" in caught.value.hint) == (24, True)
        with pytest.raises(SandboxError):
            session.machine(session.matrix.targets[triple])


def test_tests_of_windows_without_wine_are_refused_before_anything_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(ROOT)
    windows = session.matrix.targets["x86_64-pc-windows-gnu"]
    folder = fake_wine(tmp_path / "bin", "wine-10.0 (Debian 10.0~repack-6)")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    assert session.task_names([f"test:{windows}"]) == [f"test:{session.matrix.default(windows)}"]
    assert isinstance(session.machine(windows), Wine)
    for said, what in (
        ("wine-8.0 (Debian 8.0~repack-4)", f"{folder}/wine: wine-8.0 is too old to run programs of Windows"),
        ("wine-9.22-rc1 (Staging)", f"{folder}/wine: wine-9.22-rc1 is too old"),
        ("whine-10", f"{folder}/wine: wine --version tells no version: whine-10"),
        ("", f"{folder}/wine: wine --version tells no version: status 0"),
    ):
        fake_wine(folder, said)
        for asked in (lambda: session.task_names([f"test:{windows}"]), lambda: session.machine(windows)):
            with pytest.raises(HostToolMissing, match=re.escape(what)) as refused:
                asked()
            assert (refused.value.exit_code, "python -m tests.real.wine FOLDER" in refused.value.hint) == (20, True)
    # what cannot be started is told
    monkeypatch.setenv("LC_ALL", "C")
    (folder / "wine").write_text("#!/no/such/program\n")
    with pytest.raises(HostToolMissing, match=r"tells no version: .*No such file"):
        check_wine()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostToolMissing, match="there is no wine on PATH"):
        session.task_names(["test:i686-pc-windows-gnu"])


def test_the_version_of_wine_is_asked_without_tmpdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With it wine 10 ends before it starts."""
    folder = fake_wine(tmp_path / "bin")
    (folder / "wine").write_text('#!/bin/sh\n[ -z "${TMPDIR+x}" ] && [ "$*" = --version ] && echo wine-11.0\n')
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    check_wine()


def test_wine_gets_a_pipe_its_prefix_and_names_of_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output is a file here, and none for wine."""
    wine = tmp_path / "bin/wine"
    wine.parent.mkdir()
    wine.write_text('#!/bin/sh\n[ -p /dev/stdout ] && echo "$WINEPREFIX $*"\nexit 7\n')
    wine.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wine.parent}:{os.environ['PATH']}")
    machine = Wine(tmp_path / "a prefix")
    with (tmp_path / "out").open("w") as out:
        done = subprocess.run(machine.argv("python.exe", "-c", "a b"), stdout=out)
    assert ((tmp_path / "out").read_text(), done.returncode) == (f"{tmp_path}/a prefix python.exe -c a b\n", 7)
    assert machine.name(Path("/a b/c")) == "Z:\\a b\\c"
    assert Native().name(Path("/a b/c")) == Emulated(tmp_path, None).name(Path("/a b/c")) == "/a b/c"
    assert machine.patience > 1
    assert (machine.trial[0], Wine(tmp_path, narrow=True).trial[0]) == ("cmd", "C:\\windows\\syswow64\\cmd.exe")
    assert machine.stop == machine.argv("wineboot", "--kill")
    assert machine.regrtest == (machine.name(REGRTEST),)
    assert Native().regrtest == ("-m", "test") and Native().stop == ()
