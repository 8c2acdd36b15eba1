"""Root file systems made by hand: only what a test puts there, entered in mount and pid namespaces of their own (needs root).

So a distribution can be tried on a machine that has no certificates, no terminfo or no compiler, whatever this machine has.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

ENTER = Path(__file__).with_name("enter_root.sh")
LIBRARIES = (
    *("libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1"),
    *("libnss_files.so.2", "libnss_dns.so.2"),
)
"""glibc, all that a distribution needs of a machine."""
FOLDERS = ("bin", "dev", "etc", "lib", "lib64", "proc", "root", "sys", "tmp", "usr/bin", "usr/lib", "var/tmp")
HOSTS = "127.0.0.1 localhost\n::1 localhost\n"


class Root:
    """A root file system at `place`: glibc of this machine, /etc/passwd and /etc/hosts, empty folders, and the named programs."""

    def __init__(self, place: Path, programs: Iterable[str] = ()) -> None:
        self.place = place
        self.furnish()
        self.libraries(*LIBRARIES)
        self._library(Path("/lib64/ld-linux-x86-64.so.2"))
        self.programs("env", *programs)

    def furnish(self) -> None:
        """Folders and the files in etc/ that programs take for granted."""
        for folder in FOLDERS:
            (self.place / folder).mkdir(parents=True)
        self.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
        self.write("etc/group", "root:x:0:\nnogroup:x:65534:\n")
        self.write("etc/hosts", HOSTS)

    def write(self, path: str, data: str | bytes, mode: int = 0o644) -> Path:
        """Make a file, with its folders."""
        file = self.place / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data.encode() if isinstance(data, str) else data)
        file.chmod(mode)
        return file

    def programs(self, *names: str) -> None:
        """Copy programs of this machine to /usr/bin (and /bin), with the libraries that they need."""
        for name in names:
            found = shutil.which(name)
            assert found, f"this machine has no {name}"
            for folder in ("usr/bin", "bin"):
                shutil.copyfile(os.path.realpath(found), self.place / folder / name)
                (self.place / folder / name).chmod(0o755)
            told = subprocess.run(["ldd", os.path.realpath(found)], capture_output=True, text=True)
            for path in re.findall(r"(/\S+) \(0x", told.stdout):
                self._library(Path(path))

    def libraries(self, *names: str) -> None:
        """Copy libraries of this machine to where they lie here."""
        for name in names:
            self._library(_find_library(name))

    def tree(self, source: Path, at: str) -> Path:
        """A copy of a folder, by hard links where that can be; its path in this root is /<at>."""
        dest = self.place / at.lstrip("/")
        dest.parent.mkdir(parents=True, exist_ok=True)
        if subprocess.run(["cp", "-al", str(source), str(dest)], capture_output=True).returncode:
            shutil.rmtree(dest, ignore_errors=True)
            subprocess.run(["cp", "-a", str(source), str(dest)], check=True)
        return dest

    def argv(self, *argv: str, **env: str) -> list[str]:
        """The command line that runs `argv` in this root with no other environment than HOME, LANG, TERM, PATH and `env`."""
        settings = [f"{name}={value}" for name, value in env.items()]
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-e", str(ENTER), str(self.place), *settings, *argv]

    def run(self, *argv: str, timeout: float = 300, **env: str) -> subprocess.CompletedProcess[str]:
        """Run to its end; output and errors in `stdout`, together."""
        command = self.argv(*argv, **env)
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout
        )

    def output(self, *argv: str, timeout: float = 300, **env: str) -> str:
        """Output of a process that ends well."""
        done = self.run(*argv, timeout=timeout, **env)
        assert done.returncode == 0, f"{argv} ended with {done.returncode}:\n{done.stdout[-3000:]}"
        return done.stdout.strip()

    def _library(self, path: Path) -> None:
        dest = self.place / str(path).lstrip("/")
        if not dest.exists():
            dest.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path.resolve(), dest)
            dest.chmod(0o755)


class MuslRoot(Root):
    """A root without glibc: busybox, a static program, and no other library than the given loader of musl, if any."""

    def __init__(self, place: Path, loader: Path | None = None, name: str = "ld-musl-x86_64.so.1") -> None:
        self.place = place
        self.furnish()
        busybox = Path(shutil.which("busybox") or "/no/busybox")
        assert b"ld-linux" not in busybox.read_bytes()[:4096], "busybox-static is needed"
        self.write("bin/busybox", busybox.read_bytes(), 0o755)
        told = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout
        for applet in set(told.split()) - {"busybox"}:
            (place / "bin" / applet).symlink_to("busybox")
        (place / "usr/bin/env").symlink_to("../../bin/busybox")
        if loader:
            self.write(f"lib/{name}", loader.read_bytes(), 0o755)
            # by that name it lists what a program needs; CPython's tests ask it whether this is musl
            (place / "usr/bin/ldd").symlink_to(f"/lib/{name}")


def _find_library(name: str) -> Path:
    for folder in ("/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/usr/lib/x86_64-linux-gnu", "/lib"):
        if (Path(folder) / name).exists():
            return Path(folder) / name
    raise AssertionError(f"this machine has no {name}")
