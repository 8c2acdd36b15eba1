"""The real distribution, built once per run in a fresh clone with an empty store."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import pytest

from graph.disk import remove_tree
from graph.errors import FetchError
from graph.machine import Wine
from graph.recipes.common import Context
from graph.recipes.distribution import FLAVOURS, archive_name
from graph.session import Session
from graph.testrun import prefix_of, unpack_archive
from tests.mini import ROOT, Checkout
from tests.real.machine import patiently, said
from tests.real.version import ADDON, CELL, DARWIN, EMULATED, MUSL, STATIC, TARGET, WINDOWS, WINDOWS_CORE
from tests.real.wine import make_root

DIST = f"dist:{CELL}"
AHEAD = {
    "test_macos.py": (f"dist:{DARWIN}",),
    "test_musl.py": (f"dist:{MUSL}", f"dist:{STATIC}"),
    "test_targets.py": (f"dist:{EMULATED}", f"dist:{MUSL}"),
    "test_toolchain_addon.py": (f"dist:{ADDON}",),
    "test_windows.py": (WINDOWS_CORE,),
    "test_windows_exports.py": (WINDOWS_CORE,),
}
"""Which tests ask for what besides, in their order."""
AHEAD_WHOLE = {
    f"test_windows{name}.py": (f"dist:{WINDOWS}:noopt",) for name in ("", "_extension", "_installers", "_pdb", "_tkinter", "_wheels")
}
"""And with --whole."""
BOTH_CORES = ("test_coverage.py", "test_emulation.py", "test_packages.py")
HOUR = 3600.0
ROOM = 12 * 1024**3
"""Bytes of disk that must be free at the start: a run has been seen to take half of it, a whole one (--whole) more."""
TOOLS = ("uv==0.13.9", "pbs-installer[install]==2026.10.25")


class Patient(Checkout):
    """A checkout in which doit is typed again, after a while, where an index refused a file."""

    def doit(self, *argv: str, timeout: float = 600, **more: str) -> subprocess.CompletedProcess[str]:
        def typed() -> subprocess.CompletedProcess[str]:
            done = super(Patient, self).doit(*argv, timeout=timeout, **more)
            if done.returncode == FetchError.exit_code:
                raise FetchError(f"doit {' '.join(argv)} was refused a file:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
            return done

        # not when it hangs: that takes an hour, and says nothing of an index
        return patiently(typed, (FetchError,))


def clone(place: Path) -> Checkout:
    """A fresh clone of this checkout's last commit, with an empty store."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(place)], check=True)
    return Patient(place)


def _cpu_seconds() -> float:
    """User and system time of all processes that this one started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@contextmanager
def build_ahead(first: Checkout, names: Iterable[str], place: Path) -> Iterator[None]:
    """Meanwhile these are built into the store of `first`, by what the tests leave of the processor; who asks for one earlier makes it."""
    other, log = Checkout(place / "clone"), place / "log"
    subprocess.run(["git", "clone", "--quiet", str(first.root), str(other.root)], check=True)
    log.touch()
    other.settings["FREESTANDING_STORE"] = str(first.store)
    with last_in_line() as group:
        script = 'echo $$ > "$1"; shift; exec nice -n 19 setpriv --pdeathsig KILL "$@" > "$0" 2>&1'
        other.enter = ("sh", "-c", script, str(log), str(group / "cgroup.procs" if group else os.devnull))
        yield from _running_beside(other.start(*names))
    print("built ahead:", *log.read_text().splitlines()[-1:])


def _running_beside(process: subprocess.Popen[str]) -> Iterator[None]:
    """Until it has ended, or is ended because nothing needs it any more."""
    # a child that has ended, and that nobody waits for, would be what a test's os.wait() finds
    threading.Thread(target=process.wait, daemon=True).start()
    yield
    # its number may be another's by now, if it has ended
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def last_in_line() -> Iterator[Path | None]:
    """A cgroup whose processes run when no other wants to; None where none can be made.

    To be nice is not enough: each session has a share of its own (sched_autogroup), and doit and its steps begin some.
    """
    groups = (Path(top, f"freestanding-{os.getpid()}") for top in ("/sys/fs/cgroup/cpu", "/sys/fs/cgroup"))
    group = next((group for group in groups if _of_least_weight(group)), None)
    try:
        yield group
    finally:
        if group:
            with suppress(OSError):
                group.rmdir()


def _of_least_weight(group: Path) -> bool:
    """Whether the cgroup, of version 1 or 2, could be made, with the least share of the processor that there is."""
    try:
        group.mkdir()
        file, least = next(item for item in (("cpu.shares", "2"), ("cpu.weight", "1")) if (group / item[0]).exists())
        (group / file).write_text(least)
    except (OSError, StopIteration):
        with suppress(OSError):
            group.rmdir()
        return False
    return True


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """First what leaves a core to what is built ahead; then what takes both; last what needs what was built ahead."""
    turns = {**dict.fromkeys(BOTH_CORES, 1), **dict.fromkeys((*AHEAD, *AHEAD_WHOLE), 2)}
    items.sort(key=lambda item: turns.get(item.path.name, 0))


Folder = Callable[[str], Path]
"""Makes a folder of this name."""


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    """Folders that go when the tests of the module have ended, but where one failed: a run makes some twenty GB of trees."""
    made: list[Path] = []
    failed = request.session.testsfailed

    def make(name: str) -> Path:
        made.append(tmp_path_factory.mktemp(name))
        return made[-1]

    yield make
    for place in made if request.session.testsfailed == failed else ():
        remove_tree(place)


@pytest.fixture(scope="session")
def first(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A clone in which the README's first command has ended well; with --built, the checkout named there, with its own store."""
    built, place = request.config.getoption("--built"), tmp_path_factory.getbasetemp()
    if not built and (free := shutil.disk_usage(place).free) < ROOM:
        pytest.exit(f"{free >> 30} GiB are free where {place} is, {ROOM >> 30} are needed: make room, or set TMPDIR", returncode=2)
    checkout = Checkout(Path(built)) if built else clone(tmp_path_factory.mktemp("first") / "clone")
    if built and "FREESTANDING_STORE" in os.environ:
        checkout.settings["FREESTANDING_STORE"] = os.environ["FREESTANDING_STORE"]
    start, before = time.monotonic(), _cpu_seconds()
    done = checkout.doit(DIST, timeout=HOUR)
    wall, used = time.monotonic() - start, _cpu_seconds() - before
    cores = len(os.sched_getaffinity(0))
    print(f"\n{DIST} from an empty store: {wall:.0f} s, {used:.0f} CPU seconds, {cores} cores {used / wall / cores:.0%} busy")
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    print(done.stdout.splitlines()[-1])
    asked = {item.path.name for item in request.session.items}
    tables = (AHEAD, AHEAD_WHOLE) if request.config.getoption("--whole") else (AHEAD,)
    names = dict.fromkeys(name for table in tables for file, names in table.items() if file in asked for name in names)
    with nullcontext() if built or not names else build_ahead(checkout, names, tmp_path_factory.mktemp("ahead")):
        yield checkout


def archive(first: Checkout, flavour: str) -> Path:
    """The archive of this flavour in dist/, where those of other cells may lie, too; "toolchain" is the target's add-on."""
    session = Session(first.root, {})
    named = archive_name(Context(CELL, session.host, session.lock, {}), flavour) if flavour in FLAVOURS else f"{flavour}+*-{TARGET}.*"
    [found] = (first.root / "dist").glob(named)
    return found


DEEP = "a deep place/with spaces/ünïcode/moved here"
"""Where archives are moved to: spaces and letters beyond ASCII."""


@pytest.fixture(scope="session")
def moved(first: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prefix of the install_only archive: unpacked, started once, and moved. Tests write nothing below it."""
    place = tmp_path_factory.mktemp("moved")
    unpack_archive(archive(first, "install_only"), place / "unpacked")
    subprocess.run([prefix_of(place / "unpacked") / "bin/python3", "-c", "import ssl, sysconfig; sysconfig.get_config_vars()"], check=True)
    (place / DEEP).parent.mkdir(parents=True)
    (place / "unpacked").rename(place / DEEP)
    return prefix_of(place / DEEP)


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which programs are installed that take our archives, as pip's --target does."""
    place = tmp_path_factory.mktemp("tools")
    patiently(lambda: said(sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--target", place, *TOOLS))
    return place


@pytest.fixture(scope="session")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wine]:
    """Debian 13's; one prefix for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(make_root(tmp_path_factory.mktemp("wine"))), prepend=os.pathsep)
        yield Wine(tmp_path_factory.mktemp("prefix") / "wine")
