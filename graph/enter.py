"""Run as a program: enter.py SPEC PROGRAM ARGUMENT...: runs the program on this machine as if it had the target's libc, and its processor.

SPEC is JSON: "runtime", a folder whose lib* are put over this machine's own; "register", a line for binfmt_misc, or empty.
All in user, mount and pid namespaces of this program's own: nothing of the machine changes, other processes see none of it, and
what the program leaves running ends with it. docs/testing.md tells how. Its exit status is the program's; 120 when the namespaces
cannot be made, with one line that says which call refused.
"""

# pathlib and subprocess are slow to import, and this program starts once a process that is tried
# ruff: noqa: PTH102, PTH103, PTH106, PTH108, PTH109, PTH112, PTH114, PTH115, PTH118, PTH123, PTH208, PTH211
from __future__ import annotations

import ctypes
import json
import os
import signal
import sys

REFUSED = 120
# linux/sched.h, linux/mount.h, linux/prctl.h
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID = 0x00020000, 0x10000000, 0x20000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG = 1
HOST, RUNTIME, OWN, PROGRAMS = "/.host", "/.runtime", "/.libraries", "/.programs"
"""In the new root: this machine's root while it is copied, the target's libc, this machine's /lib* where they are folders, libc's ldd."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

libc = ctypes.CDLL(None, use_errno=True)


class SetupError(Exception):
    """The namespaces cannot be made; the text says which call refused."""


def call(name: str, *arguments: object) -> None:
    """A libc function that gives -1 and errno. Raises SetupError."""
    if getattr(libc, name)(*arguments) == -1:
        shown = ", ".join(a.decode() for a in arguments if isinstance(a, bytes))
        raise SetupError(f"{name}({shown}): {os.strerror(ctypes.get_errno())}")


def mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    call("mount", source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode())


def write(path: str, text: str) -> None:
    """Fill a file of the kernel. Raises SetupError."""
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError as error:
        raise SetupError(f"write to {path}: {error.strerror}") from None


def mappings(table: str) -> str:
    """A user (or group) map that keeps every number of `table`, /proc/self/uid_map of the caller."""
    return "".join(f"{inside} {inside} {count}\n" for inside, _, count in (line.split() for line in table.splitlines()))


def allow_users(pid: int) -> None:
    """Give the new user namespace of `pid` its users: root keeps all that there are (tests become nobody), others are root inside."""
    uid, gid = os.geteuid(), os.getegid()
    for name, own in (("uid_map", uid), ("gid_map", gid)):
        if uid:
            if name == "gid_map":
                write(f"/proc/{pid}/setgroups", "deny")
            write(f"/proc/{pid}/{name}", f"0 {own} 1")
        else:
            with open(f"/proc/self/{name}") as file:
                write(f"/proc/{pid}/{name}", mappings(file.read()))


def make_root(runtime: str) -> None:
    """A root that holds all of this machine, but /proc of the own processes, and in /lib* the target's libraries before the machine's."""
    mount("", "/", "", MS_REC | MS_PRIVATE)
    # /tmp is only a place to mount on: after pivot_root it is itself again
    mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    os.mkdir("/tmp" + HOST)
    call("pivot_root", b"/tmp", b"/tmp" + HOST.encode())
    os.chdir("/")
    os.mkdir(RUNTIME)
    mount(HOST + runtime, RUNTIME, "", MS_BIND)
    # the store's own files; the low four ST_* flags of statvfs are the MS_* ones, and may not be dropped
    mount("", RUNTIME, "", MS_REMOUNT | MS_BIND | MS_RDONLY | os.statvfs(RUNTIME).f_flag & 15)
    for name in os.listdir(HOST):
        place = f"{HOST}/{name}"
        if name == "proc":
            os.mkdir("/proc")
            mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        elif name.startswith("lib"):
            keep_libraries(name)
        elif os.path.islink(place):
            os.symlink(os.readlink(place), f"/{name}")
        elif os.path.isdir(place):
            os.mkdir(f"/{name}")
            mount(place, f"/{name}", "", MS_BIND | MS_REC)
    for name in os.listdir(RUNTIME):
        lay_over(f"{RUNTIME}/{name}", f"/{name}")
    lay_ldd()
    call("umount2", HOST.encode(), MNT_DETACH)
    os.rmdir(HOST)


def keep_libraries(name: str) -> None:
    """/NAME as a folder of links to what this machine has there, a link itself where /usr is merged."""
    place = f"{HOST}/{name}"
    if os.path.islink(place):
        source = os.path.normpath(os.path.join("/", os.readlink(place)))
        names = os.listdir(HOST + source)
    elif os.path.isdir(place):
        source = f"{OWN}/{name}"
        os.makedirs(source)
        mount(place, source, "", MS_BIND | MS_REC)
        names = os.listdir(source)
    else:
        return
    lay(source, names, f"/{name}")


def lay_over(source: str, folder: str) -> None:
    """Links in `folder` to all that `source` has."""
    lay(source, os.listdir(source), folder)


def lay_ldd() -> None:
    """musl's loader is its ldd, too, which CPython's tests ask whether this is musl; it comes before this machine's."""
    for name in os.listdir(f"{RUNTIME}/lib") if os.path.isdir(f"{RUNTIME}/lib") else ():
        if name.startswith("ld-musl-"):
            os.makedirs(PROGRAMS)
            os.symlink(f"/lib/{name}", f"{PROGRAMS}/ldd")
            os.environ["PATH"] = f"{PROGRAMS}:{os.environ.get('PATH', os.defpath)}"
            return


def lay(source: str, names: list[str], folder: str) -> None:
    """Links in `folder` to these of `source`; they replace what is there."""
    os.makedirs(folder, exist_ok=True)
    for name in names:
        if os.path.lexists(f"{folder}/{name}"):
            os.unlink(f"{folder}/{name}")
        os.symlink(f"{source}/{name}", f"{folder}/{name}")


def register(line: str) -> None:
    """binfmt_misc of the new user namespace (Linux 6.7) runs the target's programs with the emulator. Raises SetupError."""
    place = "/proc/sys/fs/binfmt_misc"
    try:
        mount("binfmt_misc", place, "binfmt_misc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    except SetupError as error:
        raise SetupError(f"{error} (emulated programs start others by binfmt_misc in a user namespace: Linux 6.7 or later)") from None
    try:
        write(f"{place}/register", line)
    except SetupError as error:
        raise SetupError(f"{error} (emulator: {line.split(':')[-2]})") from None


def run(argv: list[str], cwd: str) -> int:
    """As first process of the pid namespace: run it, reap what ends, give its status."""
    pid = os.fork()
    if pid == 0:
        try:
            # Python ignores these two, and a program would inherit that
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            os.chdir(cwd)
            os.execvp(argv[0], argv)
        except OSError as error:
            os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
        finally:
            os._exit(1)
    while True:
        ended, status = os.wait()
        if ended == pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def first_process(spec: dict[str, str], argv: list[str], cwd: str) -> int:
    """pid 1: makes the root and runs the program in it."""
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)
    make_root(os.path.realpath(spec["runtime"]))
    if spec["register"]:
        register(spec["register"])
    return run(argv, cwd)


def guarded(body: Callable[..., int], *arguments: object) -> int:
    """Status of body(*arguments); REFUSED, and a line, when namespaces cannot be made."""
    try:
        return body(*arguments)
    except (SetupError, OSError) as error:
        os.write(2, f"cannot run the target's programs here: {error}\n".encode())
        return REFUSED


def child(body: Callable[..., int], *arguments: object) -> int:
    """Pid of a fork that does this and ends with its status."""
    pid = os.fork()
    if pid:
        return pid
    status = REFUSED
    try:
        status = guarded(body, *arguments)
    finally:
        os._exit(status)


def wait(pid: int) -> int:
    """Exit status; a signal that killed it kills this process too."""
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code < 0:
        os.kill(os.getpid(), -code)
    return code


def enter(ready: int, allowed: int, spec: dict[str, str], argv: list[str], cwd: str) -> int:
    """In new namespaces, once the parent has given users to them: start pid 1 and wait for it."""
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)
    call("unshare", CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID)
    os.close(ready)
    os.read(allowed, 1)
    return wait(child(first_process, spec, argv, cwd))


def main(spec: dict[str, str], argv: list[str]) -> int:
    """Status of the program."""
    told, ready = os.pipe()
    allowed, allow = os.pipe()
    pid = child(enter, ready, allowed, spec, argv, os.getcwd())
    os.close(ready)
    # end of file: the namespaces are there, or the child has failed and told why
    os.read(told, 1)
    try:
        allow_users(pid)
    except (SetupError, OSError) as error:
        os.write(2, f"cannot run the target's programs here: {error}\n".encode())
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return REFUSED
    os.write(allow, b"x")
    return wait(pid)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1]), sys.argv[2:]))
