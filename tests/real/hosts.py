"""Another build host on this one: a Debian of another release, and in it another user, locale, time zone, umask, path, name, the lowest
priority and one core.

Needs root and mmdebstrap. What is not otherwise is the kernel.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from graph import toml
from graph.node import Fetch
from graph.session import Session
from tests.mini import ROOT, Checkout
from tests.real.debian import bootstrap
from tests.real.machine import said

RELEASE = "bookworm" if platform.freedesktop_os_release().get("VERSION_CODENAME") == "trixie" else "trixie"
"""Not this machine's."""
CORE = str(min(os.sched_getaffinity(0)))
PACKAGES = "python3,python3-venv,make,perl,git,gawk,bash,locales,util-linux,mount,hostname,procps,libstdc++6"
UID = 4711
USER = "müller"
HOME = f"/home/{USER}"
SETTINGS = {
    **{"USER": USER, "LOGNAME": USER, "HOME": HOME, "PATH": "/usr/local/bin:/usr/bin:/bin", "TERM": "dumb"},
    # in Turkish the small letter of I is not i; Nepal is not on the hour
    **{"LANG": "tr_TR.UTF-8", "LC_ALL": "tr_TR.UTF-8", "TZ": "Asia/Kathmandu", "MAKEFLAGS": "--no-print-directory", "CFLAGS": "-O0"},
}
"""The user's environment: all that a careless build would take."""
UNSHARED = ("--mount", "--pid", "--ipc", "--net", "--uts")
"""Not users: the other host has some of its own."""
ENTER = Path(__file__).with_name("enter_host.sh")
NAME = "other-host"
WHEELS = "/var/wheels"
SOURCES = "/var/sources"
TESTS = "/var/freestanding"
"""Recipes of small checkouts lie there, and what they import."""
SHARED = "/var/shared"


class OtherHost:
    """The root file system at `place`, with Python and this project's requirements in HOME/venv."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.shared = place / SHARED[1:]
        """A folder that this machine and the other one see."""

    @property
    def home(self) -> Path:
        return self.place / HOME[1:]

    def inside(self, path: Path) -> str:
        """What a path of this machine, below `place`, is called over there."""
        return "/" + path.relative_to(self.place).as_posix()

    def command(self, folder: Path, argv: Iterable[str], **settings: str) -> list[str]:
        """The command line that runs `argv` over there in `folder` (a path of this machine, below `place`)."""
        words = [f"{name}={value}" for name, value in {**SETTINGS, **settings}.items()]
        enter = ("unshare", *UNSHARED, "--fork", "--kill-child", "sh", "-e", str(ENTER), str(self.place), NAME)
        person = ("/usr/bin/setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--inh-caps=-all")
        shell = ("sh", "-c", 'umask 077; cd "$0"; exec "$@"', self.inside(folder))
        return [*enter, *person, "/usr/bin/env", "-i", *words, "taskset", "--cpu-list", CORE, "nice", "-n", "19", *shell, *argv]

    def run(self, *argv: str, folder: Path | None = None) -> str:
        """Output of a program over there. Raises CalledProcessError."""
        return subprocess.run(self.command(folder or self.home, argv), check=True, capture_output=True, text=True).stdout.strip()

    def facts(self) -> dict[str, str]:
        """What is otherwise over there, as a table's column."""
        asked = {
            "system": ". /etc/os-release; echo $PRETTY_NAME",
            "Python": "python3 --version",
            "coreutils": "ls --version | head -n 1",
            "make": "make --version | head -n 1",
            "perl": 'perl -e "print $^V"',
            "awk": "awk --version 2>&1 | head -n 1",
            "sh": "readlink -f /bin/sh",
            "user": "id -u",
            "locale": "echo $LC_ALL",
            "time": "date +%z",
            "umask": "umask",
            "cores": "nproc",
            "nice": "nice",
            "name": "hostname",
        }
        return {name: self.run("sh", "-c", script) for name, script in asked.items()}

    def copy_code(self) -> None:
        """As it is now, to TESTS."""
        shutil.rmtree(self.place / TESTS[1:], ignore_errors=True)
        for name in ("graph", "tests"):
            shutil.copytree(ROOT / name, self.place / TESTS[1:] / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", self.place / TESTS[1:])

    def give(self, folder: Path) -> None:
        """To the other host's user."""
        subprocess.run(["chown", "--recursive", "--no-dereference", f"{UID}:{UID}", str(folder)], check=True)


class Away(Checkout):
    """A checkout on another host."""

    def __init__(self, host: OtherHost, root: Path) -> None:
        super().__init__(root)
        self.host = host

    def start(self, *argv: str, **more: str) -> subprocess.Popen[str]:
        settings = {"PYTHONPATH": self.host.inside(self.root), "FREESTANDING_OFFLINE": "1", **self.settings, **more}
        return subprocess.Popen(
            self.host.command(self.root, [f"{HOME}/venv/bin/python", "-m", "doit", *argv], **settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


def make_host(root: Path) -> OtherHost:
    """Installs it all: a minute or two. Raises AssertionError when the archive or the index refuses."""
    # a half-made one has another name
    place = root.with_name(root.name + ".making")
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    bootstrap(place, RELEASE, PACKAGES)
    host = OtherHost(place)
    (place / "bin/sh").unlink()
    (place / "bin/sh").symlink_to("bash")
    said("chroot", place, "localedef", "-i", "tr_TR", "-f", "UTF-8", "tr_TR.UTF-8")
    with (place / "etc/passwd").open("a") as accounts:
        accounts.write(f"{USER}:x:{UID}:{UID}::{HOME}:/bin/bash\n")
    for folder in (host.home, host.shared, place / SOURCES[1:], place / WHEELS[1:]):
        folder.mkdir(parents=True)
    host.give(host.home)
    host.give(host.shared)
    _install(host)
    place.rename(root)
    return OtherHost(root)


def _install(host: OtherHost) -> None:
    """The requirements of pyproject.toml, downloaded by this machine's pip for the other's Python."""
    version = host.run("python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    project = toml.loads((ROOT / "pyproject.toml").read_text())["project"]
    folder = host.place / WHEELS[1:]
    wanted = ["--only-binary=:all:", f"--python-version={version}", "--implementation=cp", "--dest", str(folder)]
    platforms = [f"--platform=manylinux{tag}_{platform.machine()}" for tag in ("2014", "_2_17", "_2_28")]
    said(sys.executable, "-m", "pip", "download", "--quiet", *wanted, *platforms, *project["dependencies"])
    host.run("python3", "-m", "venv", f"{HOME}/venv")
    host.run(f"{HOME}/venv/bin/pip", "install", "--quiet", "--no-index", f"--find-links={WHEELS}", *project["dependencies"])


def lay_out_sources(session: Session, names: Iterable[str], folder: Path) -> None:
    """Everything that the nodes `names` are made from and that is fetched, as a mirror folder. The session's store has to have it."""
    for name in session.plan.closure(tuple(names)):
        action = session.plan[name].action
        if isinstance(action, Fetch) and not (folder / action.filename).exists():
            shutil.copyfile(session.store.checkout(session.build.result(name).tree) / action.filename, folder / action.filename)
