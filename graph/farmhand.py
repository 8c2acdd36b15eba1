"""Run as a program by a worker of a farm, in an input root as graph/errand.py puts it together: runs the node's steps in our sandbox.

The inputs get the modes and times that they have on a developer's machine, /build is laid out beside them, and nsinit.py enters the
namespaces. Standard output is the steps' log; on standard error go the sandbox's reports (`step N`, `done STATUS`, `error TEXT`) and
`staged SECONDS`. What the node gives is moved to `out`. Ends with 0 if all steps did.
"""

# ruff: noqa: PTH101, PTH102, PTH103, PTH104, PTH106, PTH110, PTH112, PTH114, PTH115, PTH120, PTH123, PTH211, PTH100
from __future__ import annotations

import json
import marshal
import os
import shutil
import socket
import stat
import subprocess
import sys
import time

FIXED_MTIME = 946684800
"""As graph/digest.py has it: of every file and folder that a step is given."""
JOBSERVER_FDS = (198, 199)
HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = HERE + "/build"
FAILED = 1


def executable(path: str) -> bool:
    """The one mode bit that a tree keeps."""
    return bool(os.lstat(path).st_mode & stat.S_IXUSR)


def stamp(path: str) -> None:
    """Give the fixed time, if it has another."""
    if os.lstat(path).st_mtime != FIXED_MTIME:
        os.utime(path, (FIXED_MTIME, FIXED_MTIME), follow_symlinks=False)


def settle(folder: str) -> None:
    """Give a staged tree the modes and times of a checkout, in place. Raises OSError when it is not ours alone, as with hard links."""
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            settle(entry.path)
        elif not entry.is_symlink():
            found = entry.stat()
            mode = 0o555 if found.st_mode & stat.S_IXUSR else 0o444
            right = stat.S_IMODE(found.st_mode) == mode and found.st_mtime == FIXED_MTIME
            if not right and found.st_nlink > 1:
                raise PermissionError(f"{entry.path} has other names")
            if stat.S_IMODE(found.st_mode) != mode:
                os.chmod(entry.path, mode)
        stamp(entry.path)
    stamp(folder)


def copy(source: str, dest: str, modes: tuple[int, int]) -> None:
    """Copy a tree into a folder that may be there, with the fixed time; `modes` of plain and of executable files."""
    os.makedirs(dest, exist_ok=True)
    for entry in os.scandir(source):
        place = f"{dest}/{entry.name}"
        if entry.is_symlink():
            os.symlink(os.readlink(entry.path), place)
        elif entry.is_dir():
            copy(entry.path, place, modes)
        else:
            shutil.copyfile(entry.path, place)
            os.chmod(place, modes[executable(entry.path)])
        stamp(place)
    os.chmod(dest, 0o755)
    stamp(dest)


def settled(source: str) -> str:
    """Where the tree lies as a step shall see it: where it is, or in a copy."""
    try:
        settle(source)
    except OSError:
        copy(source, source + ".copy", (0o444, 0o555))
        return source + ".copy"
    return source


def lay_out(spec: dict) -> tuple[list[tuple[str, str]], list[str]]:  # type: ignore[type-arg]
    """Fill BUILD. (what is bound where, mount points that were made for it and are to go again)."""
    os.makedirs(BUILD)
    mounts = []
    for number, given in enumerate(spec["inputs"]):
        source = f"{HERE}/given/{number}"
        if given["writable"]:
            copy(source, f"{BUILD}/{given['at']}", (0o644, 0o755))
        else:
            mounts.append((settled(source), given["at"]))
    if os.path.isdir(HERE + "/files"):
        copy(HERE + "/files", BUILD, (0o644, 0o755))
    for name in ("work", "tmp", "out"):
        os.makedirs(f"{BUILD}/{name}", exist_ok=True)
    made: list[str] = []
    for _, at in sorted(mounts, key=lambda one: one[1]):
        make_place(at, made)
    tools = [(f"{HERE}/tools{at}", at) for at in spec["tools"]]
    return tools + sorted(((source, f"/build/{at}") for source, at in mounts), key=lambda one: one[1]), made


def make_place(at: str, made: list[str]) -> None:
    """The mount point BUILD/AT, and what is missing above it, noted in `made`."""
    path = BUILD
    for part in at.split("/"):
        path = f"{path}/{part}"
        if not os.path.exists(path):
            os.mkdir(path)
            made.append(path)


def run(spec: dict, binds: list[tuple[str, str]]) -> int:  # type: ignore[type-arg]
    """Start nsinit.py and hand on what it reports; the steps' status."""
    ours, theirs = socket.socketpair()
    # all of the cores that this action may use, less the one that a make has without asking
    reader, writer = os.pipe()
    os.write(writer, b"+" * (max(1, min(spec["cores"], len(os.sched_getaffinity(0)))) - 1))
    order = {
        "namespaces": True,
        "root": BUILD,
        "binds": binds,
        "steps": [(argv, cwd) for argv, cwd in spec["steps"]],
        "env": {**spec["env"], "MAKEFLAGS": f" -j --jobserver-auth={JOBSERVER_FDS[0]},{JOBSERVER_FDS[1]}"},
        "descriptors": [(reader, JOBSERVER_FDS[0]), (writer, JOBSERVER_FDS[1])],
        "shell": False,
        "masked": True,
    }
    data = marshal.dumps(order)
    argv = [sys.executable, "-I", "-S", "-B", HERE + "/nsinit.py", str(theirs.fileno())]
    # this process ends when the server kills it; nsinit.py sees that by its socket, and ends all
    process = subprocess.Popen(argv, env={}, pass_fds=(theirs.fileno(), reader, writer), stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    theirs.close()
    ours.sendall(len(data).to_bytes(8, "big") + data)
    report = b""
    while True:
        part = ours.recv(65536)
        if not part:
            break
        os.write(2, part)
        report += part
    process.wait()
    done = [int(line[5:]) for line in report.decode(errors="replace").splitlines() if line.startswith("done ")]
    return done[0] if done else FAILED


def give(output: str) -> None:
    """Move what was made to `out`, with modes that every server can read."""
    if not os.path.isdir(f"{BUILD}/{output}"):
        return
    os.rename(f"{BUILD}/{output}", HERE + "/out")
    for folder, _, files in os.walk(HERE + "/out"):
        os.chmod(folder, 0o755)
        for name in files:
            path = f"{folder}/{name}"
            if not os.path.islink(path):
                os.chmod(path, 0o755 if executable(path) else 0o644)


def main() -> int:
    """Status for the server."""
    began = time.monotonic()
    os.umask(0o022)
    os.chdir(HERE)
    with open("spec.json", encoding="utf-8") as file:
        spec = json.load(file)
    binds, made = lay_out(spec)
    os.write(2, f"staged {time.monotonic() - began:.3f}\n".encode())
    status = run(spec, binds)
    for path in reversed(made):
        try:
            os.rmdir(path)
        except OSError:
            # a step has put something of its own there
            continue
    if status == 0:
        give(spec["output"])
    return FAILED if status else 0


if __name__ == "__main__":
    sys.exit(main())
