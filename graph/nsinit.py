"""First process of a sandbox: enters the namespaces, lays out the root, runs the steps, leaves no process behind.

Run as `python -I -S nsinit.py FD`; standard library only, and of that only what imports fast. FD is a socket: a spec comes in (8 bytes
length, then marshal), and lines go out: `step N` before each step, then `done STATUS` or `error TEXT`. End of file on FD means: kill all.

Two processes: the *watcher* waits for the end of file or of the *runner*; the runner is pid 1 of the sandbox and starts the steps.
Linux kills a pid namespace with its pid 1, the runner with the watcher, and in a sandbox the watcher with its parent (PR_SET_PDEATHSIG);
so kill -9 of doit ends every step at once.
"""

# pathlib is slow to import, and this program starts once a node
# ruff: noqa: PTH102, PTH103, PTH106, PTH110, PTH112, PTH120, PTH123, PTH211
from __future__ import annotations

import ctypes
import fcntl
import marshal
import os
import resource
import select
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypedDict

    class Spec(TypedDict):
        """What the sandbox holds and runs; sandbox.py writes it."""

        namespaces: bool
        root: str
        binds: list[tuple[str, str]]
        """(host path, path inside), parents before children; read-only."""
        steps: list[tuple[list[str], str]]
        """(argv, absolute working directory)."""
        env: dict[str, str]
        descriptors: list[tuple[int, int]]
        """(number here, number inside) of what the steps inherit beside stdin, stdout and stderr."""
        shell: bool
        masked: bool
        """Within another sandbox, where the kernel gives no fresh /proc, the one that is there will do."""


UID = 1000
"""User and group inside, whoever calls: not root, so a step has no capability, as on a developer's machine."""
HIGH = 200
"""Descriptors of our own are kept from here on, clear of the numbers that `descriptors` names."""
OPEN_FILES = 4096
STACK_BYTES = 8 << 20

# linux/sched.h, linux/mount.h, linux/prctl.h
CLONE_NEW = 0x10000000 | 0x00020000 | 0x20000000 | 0x40000000 | 0x08000000 | 0x04000000  # user, mount, pid, net, ipc, uts
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 36, 38
SIGKILL, SIGPIPE, SIGXFSZ = 9, 13, 25
LINUX = sys.platform == "linux"

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
LINKS = (
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "fd/0"),
    ("/dev/stdout", "fd/1"),
    ("/dev/stderr", "fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
)
ETC = {
    "passwd": f"root:x:0:0::/:/bin/sh\nbuild:x:{UID}:{UID}::/build/tmp:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
    "group": f"root:x:0:\nbuild:x:{UID}:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost build\n::1 localhost build\n",
}

libc = ctypes.CDLL(None, use_errno=True)


class SetupError(Exception):
    """The sandbox cannot be made; the text says which call refused."""


def call(name: str, *arguments: object) -> None:
    """A libc function that gives -1 and errno. Raises SetupError."""
    if getattr(libc, name)(*arguments) == -1:
        shown = ", ".join(a.decode() if isinstance(a, bytes) else str(a) for a in arguments)
        raise SetupError(f"{name}({shown}): {os.strerror(ctypes.get_errno())}")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """mount(2)."""
    call("mount", source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode())


def bind(source: str, target: str, flags: int) -> None:
    """Bind `source` at `target` with `flags` on top of those its mount has: a user namespace may not drop these."""
    mount(source, target, "", MS_BIND | MS_REC)
    # the low four ST_* flags of statvfs are the MS_* ones
    mount("", target, "", MS_REMOUNT | MS_BIND | flags | os.statvfs(target).f_flag & 15)


def write(path: str, text: str) -> None:
    """Make or fill a small file. Raises SetupError."""
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError as error:
        raise SetupError(f"write to {path}: {error.strerror}") from None


def enter_namespaces() -> None:
    """New namespaces for this process and (pid) its children; the caller's user and group are UID inside."""
    uid, gid = os.geteuid(), os.getegid()
    call("unshare", CLONE_NEW)
    write("/proc/self/setgroups", "deny")
    write("/proc/self/uid_map", f"{UID} {uid} 1")
    write("/proc/self/gid_map", f"{UID} {gid} 1")


def make_root(spec: Spec) -> None:
    """A fresh tmpfs as root that holds the binds, /build, /proc, /dev, /etc and /tmp; all but /build and the scratch places read-only."""
    name = b"build"
    call("sethostname", name, len(name))
    call("setdomainname", b"", 0)
    sources = [(os.path.realpath(source), at) for source, at in spec["binds"]]
    root = os.path.realpath(spec["root"])
    mount("", "/", "", MS_REC | MS_PRIVATE)
    # job.root is only a place to mount on: after pivot_root it is itself again, under /old
    mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    os.mkdir(root + "/old")
    call("pivot_root", root.encode(), (root + "/old").encode())
    os.chdir("/")
    os.makedirs("/build")
    os.makedirs("/usr/bin")
    os.symlink("usr/bin", "/bin")
    bind("/old" + root, "/build", MS_NOSUID | MS_NODEV)
    for source, at in sources:
        make_mount_point("/old" + source, at)
        bind("/old" + source, at, MS_RDONLY | MS_NOSUID | MS_NODEV)
    make_system_folders(spec["masked"])
    call("umount2", b"/old", MNT_DETACH)
    os.rmdir("/old")
    mount("", "/", "", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)


def make_mount_point(source: str, at: str) -> None:
    """A directory or an empty file, whatever `source` is, to bind it on."""
    if os.path.isdir(source):
        os.makedirs(at, exist_ok=True)
    elif not os.path.exists(at):
        os.makedirs(os.path.dirname(at), exist_ok=True)
        write(at, "")


def make_system_folders(masked: bool) -> None:
    """/proc of the sandbox's own processes, the harmless devices, a devpts and scratch folders of its own, and the fixed /etc."""
    for folder in ("/proc", "/dev/pts", "/dev/shm", "/etc", "/tmp"):
        os.makedirs(folder, exist_ok=True)
    try:
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    except SetupError:
        # containers mount over parts of /proc, and a fresh one would show these (mount_too_revealing in fs/namespace.c of Linux)
        if not masked:
            raise
        bind("/old/proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    for device in DEVICES:
        write(f"/dev/{device}", "")
        bind(f"/old/dev/{device}", f"/dev/{device}", MS_NOSUID)
    for name, text in ETC.items():
        write(f"/etc/{name}", text)
    for place, target in LINKS:
        os.symlink(target, place)


def set_limits() -> None:
    """The same limits whatever the caller's are, as far as its hard limits allow."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for limit, wanted in ((resource.RLIMIT_NOFILE, OPEN_FILES), (resource.RLIMIT_STACK, STACK_BYTES)):
        hard = resource.getrlimit(limit)[1]
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(limit, (soft, hard))


def place_descriptors(spec: Spec) -> None:
    """Give the steps' descriptors their numbers; by way of high ones, as the two ranges may overlap."""
    moved = [(move_up(fd), inside) for fd, inside in spec["descriptors"]]
    for fd, inside in moved:
        os.dup2(fd, inside)


def move_up(fd: int) -> int:
    """The descriptor under a number from HIGH on, closed when a step starts."""
    high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH)
    os.close(fd)
    return high


def run_steps(spec: Spec, control: int) -> int:
    """Run the steps in order up to the first that fails; its status, or 0."""
    for number, (argv, cwd) in enumerate(spec["steps"]):
        os.write(control, b"step %d\n" % number)
        os.write(1, f"+ cd {cwd} && {' '.join(map(quoted, argv))}\n".encode("utf-8", "surrogateescape"))
        pid = os.fork()
        if pid == 0:
            become(argv, cwd, spec)
        status = wait_for(pid)
        kill_rest(spec["namespaces"])
        if status:
            return status
    return 0


def quoted(word: str) -> str:
    """As a shell would want it; shlex is slow to import."""
    if word and all(c.isalnum() or c in "@%+=:,./_-" for c in word):
        return word
    return "'" + word.replace("'", "'\"'\"'") + "'"


def become(argv: list[str], cwd: str, spec: Spec) -> None:
    """In the forked child: turn into the step. Never returns."""
    try:
        if spec["namespaces"]:
            os.setsid()
        # Python ignores these two, and a program would inherit that
        libc.signal(SIGPIPE, None)
        libc.signal(SIGXFSZ, None)
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.chdir(cwd)
        os.execve(find_program(argv[0], spec["env"]), argv, spec["env"])
    except OSError as error:
        os.write(2, f"sandbox: {error.filename or argv[0]}: {error.strerror}\n".encode("utf-8", "surrogateescape"))
    finally:
        os._exit(127)


def find_program(name: str, env: dict[str, str]) -> str:
    """Path of a program on the PATH of `env`; the bare name if it is nowhere. os.execvpe imports a module, which the new root has not."""
    if "/" not in name:
        for folder in env.get("PATH", "").split(":"):
            if os.access(f"{folder}/{name}", os.X_OK):
                return f"{folder}/{name}"
    return name


def wait_for(pid: int) -> int:
    """Reap until `pid` has ended; its exit status, or 128 + signal."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            return exit_status(status)


def exit_status(status: int) -> int:
    """Of a wait status: the exit status, or 128 + signal, as a shell has it."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def kill_rest(namespaces: bool) -> None:
    """Kill and reap what a step left running."""
    while True:
        try:
            if namespaces:
                os.kill(-1, SIGKILL)
            else:
                kill_children()
            os.wait()
        except (ProcessLookupError, ChildProcessError):
            return


def kill_children() -> None:
    """Orphans come to a subreaper (Linux); elsewhere the process group must do. Raises ChildProcessError when there is none."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            children = [int(word) for word in file.read().split()]
    except OSError:
        children = []
    if not children:
        raise ChildProcessError
    for child in children:
        os.kill(child, SIGKILL)


def run_shell(spec: Spec) -> int:
    """An interactive shell on a terminal of its own, relayed to ours; its status."""
    ours = os.isatty(0)

    def relay(terminal: int) -> bytes:
        if ours:
            resize(terminal)
        return os.read(terminal, 4096)

    typed = [b"\x04"]

    def type_in(stdin: int) -> bytes:
        # the end of our input is Control-D there, once; or the shell would wait for ever
        return os.read(stdin, 4096) or (typed.pop() if typed else b"")

    ((argv, cwd),) = spec["steps"]
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(spec["env"])
    program = find_program(argv[0], spec["env"])
    return exit_status(sys.modules["pty"].spawn([program, *argv[1:]], relay, type_in))


def resize(terminal: int) -> None:
    """Give the terminal the size of ours."""
    columns, lines = os.get_terminal_size(0)
    shape = sys.modules["struct"].pack("HHHH", lines, columns, 0, 0)
    fcntl.ioctl(terminal, sys.modules["termios"].TIOCSWINSZ, shape)


def runner(spec: Spec, control: int) -> None:
    """pid 1 of the sandbox."""
    if LINUX:
        call("prctl", PR_SET_PDEATHSIG, SIGKILL)
    # the caller may have died before that line
    if ready([control], 0):
        return
    os.umask(0o022)
    if spec["namespaces"]:
        make_root(spec)
        call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    elif LINUX:
        call("prctl", PR_SET_CHILD_SUBREAPER, 1)
    set_limits()
    place_descriptors(spec)
    status = run_shell(spec) if spec["shell"] else run_steps(spec, control)
    os.write(control, b"done %d\n" % status)


def watcher(spec: Spec, control: int) -> None:
    """Start the runner, and kill it when the other end of `control` is closed."""
    if spec["shell"]:
        # once the root is replaced, nothing more can be imported
        for name in ("pty", "termios", "struct"):
            __import__(name)
    if spec["namespaces"]:
        enter_namespaces()
        # outside a pid namespace our death would leave the steps alive, so there the end of file must do
        call("prctl", PR_SET_PDEATHSIG, SIGKILL)
    elif LINUX:
        call("prctl", PR_SET_CHILD_SUBREAPER, 1)
    alive, held = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(alive)
            if not (spec["namespaces"] or spec["shell"]):
                os.setpgid(0, 0)
            guarded(runner, spec, control)
        finally:
            os._exit(0)
    os.close(held)
    if control in ready([control, alive], None):
        kill(pid, spec)
    os.waitpid(pid, 0)
    if not spec["namespaces"]:
        kill_rest(False)


def ready(fds: list[int], milliseconds: int | None) -> list[int]:
    """Those of `fds` that have something to read or were closed at the other end."""
    poller = select.poll()
    for fd in fds:
        poller.register(fd, select.POLLIN)
    return [fd for fd, _ in poller.poll(milliseconds)]


def kill(pid: int, spec: Spec) -> None:
    """Kill the runner, and with it all it has started."""
    if spec["namespaces"] or spec["shell"]:
        os.kill(pid, SIGKILL)
    else:
        os.killpg(pid, SIGKILL)


def guarded(body: Callable[[Spec, int], None], spec: Spec, control: int) -> None:
    """body(spec, control), its errors reported on `control`."""
    try:
        body(spec, control)
    except (SetupError, OSError) as error:
        os.write(control, f"error {error}\n".encode("utf-8", "surrogateescape"))


def read_exactly(fd: int, size: int) -> bytes:
    """`size` bytes. Exits when the caller has gone."""
    data = b""
    while len(data) < size:
        part = os.read(fd, size - len(data))
        if not part:
            raise SystemExit(1)
        data += part
    return data


def main(inherited: int) -> None:
    """Read the spec and carry it out."""
    control = move_up(inherited)
    size = int.from_bytes(read_exactly(control, 8), "big")
    spec: Spec = marshal.loads(read_exactly(control, size))
    guarded(watcher, spec, control)


if __name__ == "__main__":
    main(int(sys.argv[1]))
