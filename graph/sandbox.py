"""Running the steps of a node where only its declared inputs exist.

`NamespaceRunner` is the sandbox; `PlainRunner` scrubs the environment where Linux namespaces are missing, and is not hermetic;
`RecordingRunner` runs nothing. All are safe to use from many threads: a job is a process of its own (nsinit.py), never a fork of this one.
"""

from __future__ import annotations

import marshal
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from graph.disk import remove_tree
from graph.errors import SandboxError, UsageError, did_you_mean
from graph.node import Step

INIT = Path(__file__).with_name("nsinit.py")
JOBSERVER_FDS = (198, 199)
"""Where the jobserver's pipe is inside: the same numbers in every step, above those that shells and configure scripts use."""
POLL_SECONDS = 0.1
"""How often a running job looks for a cancel."""
KILL_SECONDS = 2.0
"""How long a cancelled job may take to end before its watcher is killed, too."""

ToolResolver = Callable[[tuple[str, ...]], Mapping[str, str]]
"""Declared tool names -> {path inside: path on the host} of the programs (as /usr/bin/NAME) and all they need. Raises HostToolMissing."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A host directory or file, read-only at /build/<at>."""

    source: Path
    at: str


@dataclass(frozen=True, slots=True)
class Job:
    """All that one node's steps get."""

    root: Path
    """Host directory that is /build inside: holds work/, tmp/, out/, staged files and writable copies."""
    mounts: tuple[Mount, ...]
    steps: tuple[Step, ...]
    env: tuple[tuple[str, str], ...]
    tools: tuple[str, ...]
    log: Path
    """Gets the output of all steps, each after a line with its argv."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended; `status` is 0, the failed step's exit status, or 128 + the signal that killed it."""

    status: int
    failed_step: int | None
    seconds: float
    hermetic: bool


class Tokens(Protocol):
    """The make jobserver, as far as a runner needs it."""

    @property
    def fds(self) -> tuple[int, int]:
        """Read end, write end."""

    def makeflags(self, fds: tuple[int, int]) -> str:
        """Value of MAKEFLAGS for a process that has the pipe at `fds`."""


class Runner(Protocol):
    """Runs jobs."""

    @property
    def hermetic(self) -> bool:
        """Whether a step can see nothing but what its job declares."""

    def run(self, job: Job, jobserver: Tokens | None = None, cancel: threading.Event | None = None) -> Outcome:
        """Run the steps up to the first that fails; when `cancel` is set all their processes are killed.

        Raises SandboxError, HostToolMissing.
        """

    def shell(self, job: Job) -> int:
        """An interactive sh in the job's work folder on the caller's terminal; its exit status."""


class NamespaceRunner:
    """User, mount, pid, net, ipc and uts namespaces: /build, the declared tools, and nothing else of the host.

    Inside, user and group are 1000 whoever calls; files made there belong to the caller. No network interface is up, not even lo.
    """

    hermetic = True

    def __init__(self, tools: ToolResolver) -> None:
        self._tools = tools

    def run(self, job: Job, jobserver: Tokens | None = None, cancel: threading.Event | None = None) -> Outcome:
        steps = [(list(step.argv), f"/build/{step.cwd}") for step in job.steps]
        with _mount_points(job) as binds:
            spec = self._spec(job, binds, steps)
            return _run(job.log, spec, jobserver, cancel)

    def shell(self, job: Job) -> int:
        with _mount_points(job) as binds:
            return _converse({**self._spec(job, binds, [(["sh", "-i"], "/build/work")]), "shell": True})

    def _spec(self, job: Job, binds: list[tuple[str, str]], steps: list[tuple[list[str], str]]) -> dict[str, object]:
        tools = [(source, at) for at, source in sorted(self._tools(job.tools).items())]
        return _spec(True, job.root, tools + binds, steps, dict(job.env))


class PlainRunner:
    """The scrubbed fallback: the same argv and environment with /build replaced by the job's real root.

    Nothing keeps a step from looking around. Inputs are copies: a step of root could write through their modes, and so into the store.
    """

    hermetic = False

    def __init__(self, tools: ToolResolver, reason: str) -> None:
        self.reason = reason
        self._tools = tools
        self._folder = tempfile.TemporaryDirectory(prefix="freestanding-tools-")
        self._guard = threading.Lock()

    def run(self, job: Job, jobserver: Tokens | None = None, cancel: threading.Event | None = None) -> Outcome:
        root = str(job.root)
        steps = [([relocate(word, root) for word in step.argv], f"{root}/{step.cwd}") for step in job.steps]
        with _copies(job):
            return _run(job.log, _spec(False, job.root, [], steps, self._environment(job)), jobserver, cancel)

    def shell(self, job: Job) -> int:
        with _copies(job):
            steps = [(["sh", "-i"], f"{job.root}/work")]
            return _converse({**_spec(False, job.root, [], steps, self._environment(job)), "shell": True})

    def _environment(self, job: Job) -> dict[str, str]:
        tools = self._path(job.tools)
        env = {name: relocate(value, str(job.root)) for name, value in job.env}
        places = [tools if place in ("/usr/bin", "/bin") else place for place in env.get("PATH", "/usr/bin").split(":")]
        return {**env, "PATH": ":".join(dict.fromkeys(places))}

    def _path(self, tools: tuple[str, ...]) -> str:
        """A folder of links to the declared programs."""
        folder = Path(self._folder.name, "+".join(sorted(tools)).replace("/", "_") or "none")
        with self._guard:
            if not folder.exists():
                folder.mkdir()
                for at, source in self._tools(tools).items():
                    if at.startswith("/usr/bin/"):
                        (folder / at.removeprefix("/usr/bin/")).symlink_to(source)
        return str(folder)


class RecordingRunner:
    """Runs nothing: keeps the jobs it is given, and lets `act` play the steps (its result is the status)."""

    def __init__(self, act: Callable[[Job], int] = lambda job: 0, *, hermetic: bool = True) -> None:
        self.jobs: list[Job] = []
        self.hermetic = hermetic
        self._act = act

    def run(self, job: Job, jobserver: Tokens | None = None, cancel: threading.Event | None = None) -> Outcome:
        self.jobs.append(job)
        job.log.write_text("".join(f"+ cd /build/{step.cwd} && {' '.join(step.argv)}\n" for step in job.steps))
        status = self._act(job)
        return Outcome(status, 0 if status else None, 0.0, self.hermetic)

    def shell(self, job: Job) -> int:
        self.jobs.append(job)
        return 0


def select_runner(tools: ToolResolver, environ: Mapping[str, str]) -> Runner:
    """The sandbox where the host allows it, or else the fallback; FREESTANDING_SANDBOX is auto (default), require or plain."""
    mode = environ.get("FREESTANDING_SANDBOX") or "auto"
    if mode not in ("auto", "require", "plain"):
        raise UsageError(f"FREESTANDING_SANDBOX is {mode!r}", hint=did_you_mean(mode, ("auto", "require", "plain")))
    if mode == "plain":
        return PlainRunner(tools, "FREESTANDING_SANDBOX=plain")
    reason = why_unavailable()
    if not reason:
        return NamespaceRunner(tools)
    if mode == "require":
        hint = "sysctl user.max_user_namespaces, or FREESTANDING_SANDBOX=auto"
        raise SandboxError(f"no sandbox on this host: {reason}", place="FREESTANDING_SANDBOX=require", hint=hint)
    return PlainRunner(tools, reason)


def why_unavailable() -> str:
    """Empty if this host can make the sandbox (one is made to see), or else what refused."""
    if sys.platform != "linux":
        return f"{sys.platform} has no namespaces"
    with tempfile.TemporaryDirectory() as folder:
        try:
            _run(Path(os.devnull), _spec(True, Path(folder), [], [], {}), None, None)
        except SandboxError as error:
            return error.what
    return ""


def relocate(text: str, root: str) -> str:
    """Replace /build at the start of a path by `root`: after a separator, or after an option like -I."""
    return re.sub(r"(?:(?<![\w./-])|(?<=-[A-Z]))/build(?![\w.-])", lambda match: root, text)


def _spec(
    namespaces: bool, root: Path, binds: list[tuple[str, str]], steps: list[tuple[list[str], str]], env: dict[str, str]
) -> dict[str, object]:
    """What nsinit.py reads; its Spec documents the fields."""
    return {
        "namespaces": namespaces,
        "root": str(root),
        "binds": binds,
        "steps": steps,
        "env": env,
        "descriptors": [],
        "shell": False,
        "masked": False,
    }


def _run(log: Path, spec: dict[str, object], jobserver: Tokens | None, cancel: threading.Event | None) -> Outcome:
    start = time.monotonic()
    fds: tuple[int, ...] = ()
    if jobserver is not None:
        fds = jobserver.fds
        env = {**dict(spec["env"]), "MAKEFLAGS": jobserver.makeflags(JOBSERVER_FDS)}  # type: ignore[call-overload]
        spec = {**spec, "env": env, "descriptors": list(zip(fds, JOBSERVER_FDS, strict=True))}
    with log.open("ab") as output:
        report = _supervise(spec, fds, cancel, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
    if not report and not (cancel is not None and cancel.is_set()):
        raise SandboxError("the sandbox's first process ended before the first step", place=str(log))
    status, step = _read_report(report)
    return Outcome(status, step if status else None, time.monotonic() - start, bool(spec["namespaces"]))


def _converse(spec: dict[str, object]) -> int:
    # in the caller's session, so that the relay may change its terminal
    return _read_report(_supervise(spec, (), None))[0]


def _supervise(spec: dict[str, object], fds: tuple[int, ...], cancel: threading.Event | None, **options: object) -> str:
    """Start nsinit.py, give it the spec, and wait for its end; what it reported."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            argv = [sys.executable, "-I", "-S", "-B", str(INIT), str(theirs.fileno())]
            process = subprocess.Popen(argv, env={}, pass_fds=(theirs.fileno(), *fds), **options)  # type: ignore[call-overload]
        data = marshal.dumps(spec)
        try:
            with suppress(ConnectionError):
                ours.sendall(len(data).to_bytes(8, "big") + data)
            report = _listen(ours, process, cancel)
        finally:
            # closing our end is the order to kill; also when an exception (Ctrl-C) comes this way
            ours.close()
            process.wait()
    return report.decode("utf-8", "surrogateescape")


def _listen(control: socket.socket, process: subprocess.Popen[bytes], cancel: threading.Event | None) -> bytes:
    """All that comes until the other end is closed; when `cancel` is set, our sending side is closed first."""
    control.settimeout(POLL_SECONDS)
    report, deadline = b"", float("inf")
    while True:
        try:
            part = control.recv(65536)
            if not part:
                return report
            report += part
        except ConnectionError:
            return report
        except TimeoutError:
            if deadline == float("inf") and cancel is not None and cancel.is_set():
                control.shutdown(socket.SHUT_WR)
                deadline = time.monotonic() + KILL_SECONDS
            elif time.monotonic() > deadline:
                process.kill()


def _read_report(report: str) -> tuple[int, int | None]:
    """(status, last step started). A job that was killed from outside gives 137. Raises SandboxError."""
    status, step = 137, None
    for line in report.splitlines():
        word, _, value = line.partition(" ")
        if word == "error":
            raise SandboxError(f"cannot set up the sandbox: {value}", hint="FREESTANDING_SANDBOX=plain runs without (not hermetic)")
        if word == "step":
            step = int(value)
        elif word == "done":
            status = int(value)
    return status, step


@contextmanager
def _mount_points(job: Job) -> Iterator[list[tuple[str, str]]]:
    """(host path, path inside) of the mounts, parents first; places to mount on are made under the root, and taken away again."""
    mounts = sorted(job.mounts, key=lambda mount: mount.at)
    made: list[Path] = []
    try:
        for mount in mounts:
            _make_place(job.root, mount, made)
        yield [(str(mount.source), f"/build/{mount.at}") for mount in mounts]
    finally:
        for path in reversed(made):
            _remove(path)


def _make_place(root: Path, mount: Mount, made: list[Path]) -> None:
    """Make what is missing of the path, and note it in `made`."""
    place = root / mount.at
    missing = [parent for parent in (place, *place.parents) if root in parent.parents and not parent.exists()]
    for path in reversed(missing):
        if path == place and not mount.source.is_dir():
            path.touch()
        else:
            path.mkdir()
            path.chmod(0o755)
        made.append(path)


@contextmanager
def _copies(job: Job) -> Iterator[None]:
    """Copies where the mounts would be, with their modes and times, for as long as the steps run.

    Raises SandboxError when a mount lies within another.
    """
    ats = {Path(mount.at) for mount in job.mounts}
    nested = [str(at) for at in ats if ats & set(at.parents)]
    if nested:
        raise SandboxError(f"an input within an input: {nested[0]}", hint="only the sandbox of Linux namespaces can do that")
    with _mount_points(job) as binds:
        places = [(Path(source), job.root / at.removeprefix("/build/")) for source, at in binds]
        try:
            for source, place in places:
                _copy(source, place)
            yield
        finally:
            for _, place in places:
                _remove_copy(place)


def _copy(source: Path, place: Path) -> None:
    """Fill a mount point. Raises SandboxError."""
    try:
        if source.is_dir():
            shutil.copytree(source, place, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy2(source, place)
    except OSError as error:
        raise SandboxError(f"cannot copy the input {source}: {error}", place=str(place)) from error


def _remove_copy(place: Path) -> None:
    """Remove a copy, whatever a step has done to it."""
    with suppress(OSError):
        remove_tree(place) if place.is_dir() and not place.is_symlink() else place.unlink()


def _remove(path: Path) -> None:
    """Remove a mount point, unless a step has put something of its own there."""
    with suppress(OSError):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


_MISSING = re.compile(r"no such file or directory|not found|FileNotFound|cannot find|can't open|does not exist", re.IGNORECASE)
_COMMAND = re.compile(
    r"sandbox: (?P<init>[\w.+-]+): No such file"
    r"|(?:sh|bash|dash|ash): (?:line )?(?:\d+: )?(?P<sh>[\w.+-]+): (?:command )?not found"
    r"|: (?:line )?\d+: (?P<script>[\w.+-]+): (?:command )?not found"
    r"|make(?:\[\d+\])?: (?P<make>[\w.+-]+): No such file"
    r"|env: [‘'\"]?(?P<env>[\w.+-]+)[’'\"]?: No such file"  # noqa: RUF001
    r"|bad interpreter: (?P<interpreter>/[\w./+-]+)"
)
_PATH = re.compile(r"(?<![\w./-])/(?!build\b|tmp\b|proc\b|dev\b)[\w.+@-]+(?:/[\w.+@-]+)*")
_NETWORK = re.compile(r"could not resolve|name resolution|network is unreachable|connection refused", re.IGNORECASE)
_READ_ONLY = re.compile(
    r"(?P<path>[\w./+@-]+)['’\"]?: read-only file system"  # noqa: RUF001
    r"|read-only file system: ['\"]?(?P<python>[^'\"\s]+)",
    re.IGNORECASE,
)


def explain_failure(log_tail: str, tools: tuple[str, ...]) -> str | None:
    """What a failed step asked for that its node does not declare, seen from the end of its log; None when nothing points to that."""
    for line in reversed(log_tail.splitlines()):
        hint = _explain_line(line, tools)
        if hint:
            return hint
    return None


def _explain_line(line: str, tools: tuple[str, ...]) -> str | None:
    command = _COMMAND.search(line)
    if command:
        name = next(word for word in command.groups() if word)
        return f"the step ran {name}, which is no declared host tool (declared: {' '.join(tools) or 'none'})"
    if _NETWORK.search(line):
        return "the step asked for the network, which no step has: fetch it in a node of its own"
    read_only = _READ_ONLY.search(line)
    if read_only:
        return f"the step wrote to {read_only['path'] or read_only['python']}, which is a read-only input: make the input writable"
    path = _PATH.search(line) if _MISSING.search(line) else None
    return f"the step asked for {path[0]}, which is no declared input" if path else None
