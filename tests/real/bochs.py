"""Runs distributions for a processor that this machine is not: a PC of Bochs, which knows AVX-512, with Debian's kernel (needs root).

    python -m tests.real.bochs FOLDER CELL... [--flavours install_only,...]

CELL's archives are in dist/. Each cell boots a PC of its own, in which this file's second half tries what full_matrix.py does of native
cells: toolchains/smoke.py after two moves, pip, and a C extension by the target's own compiler. FOLDER keeps what Debian gave, and what
each PC said. Bochs is two hundred times slower than the processor it runs on: an archive takes half an hour and more.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tty
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from graph.errors import FreestandingError, TestsFailed, UsageError
from graph.machine import LEVELS, Emulated, Machine, Native, lacking, processor
from graph.matrix import parse_cell, parse_matrix
from graph.target import Cell
from graph.testrun import expected_of, refuse_smoke, run_smoke, unpack_archive
from tests.real import landed
from tests.real.debian import bootstrap
from tests.real.machine import environment, said

if TYPE_CHECKING:
    from graph.session import Session

ROOT = Path(__file__).resolve().parents[2]
RELEASE = "bookworm"
MODEL = "corei7_skylake_x"
"""Bochs' first with AVX-512; Linux calls its features what LEVELS does."""
MODULES = ("crc32c_generic", "libcrc32c", "ata_piix", "sd_mod", "ext4")
"""What the kernel needs to find its disk."""
TOOLS = "bochs,bochs-term,grub-pc-bin,grub-common,xorriso,mtools,cpio,e2fsprogs,busybox-static"
GUEST = "python3,python3-zstandard,ca-certificates,netbase,tzdata,iproute2,mount,linux-image-amd64"
CODE = ("graph", "tests", "toolchains")
MEMORY = 1536
"""MiB."""
ROOM = 2 << 30
"""Free bytes of the disk."""
CYLINDER = 63 * 16 * 512
"""Bytes: a disk has whole ones."""
SMOKE = ROOT / "toolchains/smoke.py"
SPOILED = {"ssl handshake": "OPENSSL_ia32cap=:~0x80100"}
"""Checks that Bochs 2.7 spoils -> the setting with which they go well: OpenSSL's big numbers come out wrong there with ADX and BMI2, which
this switches off. Debian's Python fails as well; AVX-512 has no part in it, for ours fail with that switched off."""
LIMIT = 4 * 3600.0
"""Seconds for a PC, from its start to its end."""
SCREEN = re.compile(r'connected to screen "(/dev/pts/\d+)"')
RESULT, END = "RESULT ", "THE END "
"""Begin a line with a result, as JSON, and the last one, with the status of what was run."""
LAST = re.compile(rf"^{END}\d+\s", re.MULTILINE)

# XSAVES and XSAVEC are switched off: Bochs tells the size of their format wrongly, for which Linux would do without all of AVX
BOOT = """set timeout=0
menuentry linux {
  linux /vmlinuz console=ttyS0 loglevel=1 mitigations=off clearcpuid=321,323
  initrd /initrd
}
"""
START = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
while read module; do /bin/busybox insmod "/$module"; done < /modules
until [ -b /dev/sda ]; do /bin/busybox sleep 0.1; done
/bin/busybox mount -t ext4 /dev/sda /root
exec /bin/busybox switch_root /root /init
"""
INIT = f"""#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=xterm PYTHONPATH=/code
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts; mount -t tmpfs shm /dev/shm
exec > /dev/ttyS0 2>&1 < /dev/null
ip link set lo up
cd /code && python3 -m tests.real.bochs --inside /trial/job.json
echo "{END}$?"
exec sleep 1000000
"""
PC = f"""plugin_ctrl: unmapped=1, biosdev=1, speaker=0, extfpuirq=1, parallel=0, serial=1, iodebug=0
config_interface: textconfig
display_library: term
memory: guest={MEMORY}, host={MEMORY}
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
cpu: model={MODEL}, count=1, ips=400000000, reset_on_triple_fault=0, ignore_bad_msrs=1
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=disk, path={{place}}/disk, mode=flat
ata1: enabled=1, ioaddr1=0x170, ioaddr2=0x370, irq=15
ata1-master: type=cdrom, path={{place}}/boot.iso, status=inserted
boot: cdrom
pci: enabled=1, chipset=i440fx
com1: enabled=1, mode=file, dev={{place}}/serial
clock: sync=none, time0=local
log: {{place}}/bochs.log
panic: action=report
error: action=ignore
info: action=ignore
"""
"""ips, instructions a second, sets the pace of the clock, not of the PC: time limits count the clock's seconds."""


def root_of(folder: Path, packages: str) -> Path:
    """A root file system with these packages, made unless it is there. Raises HostToolMissing, AssertionError when the archive refuses."""
    place = folder / f"root-{hashlib.sha256(packages.encode()).hexdigest()[:8]}"
    if not place.exists():
        making = place.with_name(place.name + ".making")
        shutil.rmtree(making, ignore_errors=True)
        bootstrap(making, RELEASE, packages)
        making.rename(place)
    return place


def within(root: Path, *argv: str) -> list[str]:
    """The command line that runs a program of a root file system; it ends with the process that starts it."""
    enter = Path(__file__).with_name("enter_root.sh")
    spaces = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
    return ["setpriv", "--pdeathsig", "KILL", *spaces, "sh", "-e", str(enter), str(root), *argv]


def boot_disk(tools: Path, guest: Path, place: Path) -> None:
    """boot.iso, with the guest's kernel and its modules for the disk."""
    start = place / "start"
    for folder in ("bin", "dev", "root"):
        (start / folder).mkdir(parents=True)
    shutil.copy(tools / "bin/busybox", start / "bin/busybox")
    [version] = [path.name for path in (guest / "lib/modules").iterdir()]
    asked = ["modprobe", "--set-version", version, "--show-depends"]
    lines = [line.split() for name in MODULES for line in said(*within(guest, *asked, name)).splitlines()]
    modules = list(dict.fromkeys(line[1] for line in lines if line[0] == "insmod"))
    for module in modules:
        shutil.copy(guest / module[1:], start)
    (start / "modules").write_text("".join(f"{Path(module).name}\n" for module in modules))
    (start / "init").write_text(START)
    (start / "init").chmod(0o755)
    (place / "iso/boot/grub").mkdir(parents=True)
    (place / "iso/boot/grub/grub.cfg").write_text(BOOT)
    shutil.copy(guest / f"boot/vmlinuz-{version}", place / "iso/vmlinuz")
    there = f"/{place.relative_to(tools)}"
    said(*within(tools, "sh", "-c", f"cd {there}/start && find . | cpio --quiet -o -H newc > ../iso/initrd"))
    said(*within(tools, "grub-mkrescue", "-o", f"{there}/boot.iso", f"{there}/iso"))


@dataclass(frozen=True, slots=True)
class Job:
    """What is tried in the PC; written as JSON. Paths are of the PC."""

    cell: str
    archives: Sequence[str]
    runtime: str
    """The target's libc, if it is not the PC's own."""


def lay_out(session: Session, cell: Cell, flavours: Sequence[str], work: Path) -> Job:
    """Copy to `work`, the PC's /trial, what the job needs. The session's store has the cell."""
    work.mkdir()
    archives = [path for path in session.archives(f"dist:{cell}") if any(f"-{flavour}." in path.name for flavour in flavours)]
    for path in archives:
        shutil.copy(path, work)
    land = landed.land(session, cell, archives[0], work / "laid", Native())
    shutil.copytree(land.toolchain / "tc", work / "cross/tc")
    shutil.copytree((land.toolchain / "libc").resolve(), work / "cross/libc", symlinks=True)
    shutil.copytree(land.zig.parent, work / "zig", symlinks=True)
    shutil.rmtree(land.place)
    landed.stock_build_requirements(work / "house")
    nodes = session.machine_nodes(cell.target)
    landed.realise(session, nodes)
    for name in nodes:
        shutil.copytree(session.store.checkout(session.build.result(name).tree), work / "runtime", symlinks=True)
    names = [f"/trial/{path.name}" for path in archives]
    return Job(str(cell), names, "/trial/runtime" if nodes else "")


def hard_disk(tools: Path, guest: Path, place: Path) -> None:
    """disk: the guest with all that was copied into it."""
    used = int(said("du", "--summarize", "--block-size=1", guest).split()[0])
    size = -(-(used * 11 // 10 + ROOM) // CYLINDER) * CYLINDER
    there, root = f"/{place.relative_to(tools)}", f"/{guest.relative_to(tools)}"
    said(*within(tools, "mke2fs", "-q", "-t", "ext4", "-d", root, f"{there}/disk", str(size // 1024)))
    os.truncate(place / "disk", size)


def drain(terminal: str) -> None:
    """Read what is written to a terminal until it is closed: the writer would wait."""
    with suppress(OSError):
        reading = os.open(terminal, os.O_RDONLY | os.O_NOCTTY)
        tty.setraw(reading)
        while os.read(reading, 1 << 16):
            pass


def run_pc(tools: Path, place: Path, kept: Path) -> str:
    """Switch it on, and collect what it tells, until it has nothing more to tell. `kept` gets that, and what Bochs said.

    Raises TestsFailed when it does not come to its end.
    """
    there = f"/{place.relative_to(tools)}"
    (place / "bochsrc").write_text(PC.format(place=there))
    # Debian's Bochs has its debugger in, which waits for a word
    (place / "go").write_text("c\n")
    # it tells on a terminal that it draws its screen on another, of its own
    command = f"exec bochs-bin -q -f {there}/bochsrc -rc {there}/go"
    argv = within(tools, "script", "--quiet", "--return", "--flush", "--command", command, f"{there}/screen")
    serial, screen, drained = place / "serial", place / "screen", False
    start, text = time.monotonic(), ""
    with (place / "said").open("wb") as out:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            while not LAST.search(text) and process.poll() is None and time.monotonic() - start < LIMIT:
                time.sleep(2)
                text = serial.read_text(errors="replace") if serial.exists() else ""
                if not drained and (drawn := SCREEN.search(screen.read_text(errors="replace") if screen.exists() else "")):
                    drained = True
                    threading.Thread(target=drain, args=drawn.groups(), daemon=True).start()
        finally:
            ended = process.poll()
            process.kill()
            process.wait()
            kept.mkdir(parents=True, exist_ok=True)
            for name in ("serial", "screen", "said", "bochs.log"):
                if (place / name).exists():
                    shutil.copy(place / name, kept)
    if not LAST.search(text):
        how = f"Bochs ended ({ended})" if ended is not None else f"there was no end after {LIMIT / 3600:.0f} hours"
        raise TestsFailed(f"{how}; the PC's last words: {text.strip()[-400:] or 'none'}", place=str(kept), hint=f"less {kept}/said")
    return text


def results(text: str, job: Job) -> dict[str, str]:
    """What was tried -> ok and figures, or FAILED and why, out of the lines of a PC. Whatever is lacking has failed."""
    found = dict.fromkeys(expected(job), "FAILED: nothing was told of it")
    for line in text.splitlines():
        if line.startswith(RESULT):
            try:
                found.update(json.loads(line.removeprefix(RESULT)))
            except ValueError:
                found[line[:80]] = "FAILED: the line is broken"
        elif line.startswith(END) and line.split()[-1] != "0":
            found["the end"] = f"FAILED: {line}"
    return found


def expected(job: Job) -> list[str]:
    """What is tried. A static program loads no extension."""
    static = "static" in job.cell.rpartition(":")[2].split("+")
    return ["processor", *(f"smoke of {Path(name).name}" for name in job.archives), "pip", *([] if static else ["extension"])]


def try_cell(folder: Path, name: str, flavours: Sequence[str]) -> dict[str, str]:
    """What was tried -> what came of it. Raises FreestandingError, AssertionError, OSError."""
    # (the PC lacks what they need)
    from graph.recipes.distribution import FLAVOURS
    from graph.session import Session

    session = Session(ROOT)
    cell = session.selection(f"dist:{name}")
    if not isinstance(cell, Cell) or (cell.target.os, cell.target.arch) != ("linux", "x86_64"):
        raise UsageError(f"{name} is no distribution for Linux on x86_64", hint="doit test:TARGET runs others")
    if unknown := [flavour for flavour in flavours if flavour not in FLAVOURS]:
        raise UsageError(f"there is no archive {unknown[0]!r}", hint=f"--flavours {','.join(FLAVOURS)}")
    if session.look_up([f"dist:{cell}"]) or not session.delivery.is_delivered(f"dist:{cell}"):
        raise UsageError(f"{cell} is not built", hint=f"doit dist:{cell}")
    tools = root_of(folder, TOOLS)
    with tempfile.TemporaryDirectory(prefix="pc-", dir=tools / "srv") as made:
        place = Path(made)
        guest = place / "guest"
        said("cp", "--archive", "--reflink=auto", root_of(folder, GUEST), guest)
        for part in CODE:
            shutil.copytree(ROOT / part, guest / "code" / part, ignore=shutil.ignore_patterns("__pycache__"))
        job = lay_out(session, cell, flavours, guest / "trial")
        (guest / "trial/job.json").write_text(json.dumps(asdict(job)))
        (guest / "init").write_text(INIT)
        (guest / "init").chmod(0o755)
        boot_disk(tools, guest, place)
        hard_disk(tools, guest, place)
        shutil.rmtree(guest)
        return results(run_pc(tools, place, folder / str(cell)), job)


# in the PC


def inside(job: Job) -> None:
    """Try all, and tell each result on a line of its own."""
    cell = parse_cell(job.cell, parse_matrix((ROOT / "toolchains/targets.toml").read_text()))
    machine: Machine = Emulated(Path(job.runtime), None) if job.runtime else Native()
    place = Path("/trial/landed")
    land = landed.Landed(cell, machine, place, Path("/trial/cross"), Path("/trial/zig/zig"), place)
    tries: dict[str, Callable[[], str]] = {
        "processor": lambda: level(cell),
        **{f"smoke of {Path(name).name}": partial(smoke, name, cell, machine) for name in job.archives},
        "pip": partial(pip, land, Path(job.archives[0])),
        "extension": lambda: json.dumps(landed.extension(land, Path("/trial/house"))),
    }
    for name in expected(job):
        try:
            told = f"ok {tries[name]()}"
        except Exception as error:  # whatever it is, the others go on
            told = f"FAILED {type(error).__name__}: {str(error)[-3000:]}"
        print(RESULT + json.dumps({name: told}), flush=True)


def level(cell: Cell) -> str:
    """The features that the target's level asks for; the PC has them. Raises TestsFailed."""
    if lacks := lacking(cell.target.cpu_flags, processor()):
        raise TestsFailed(f"the PC's processor lacks {', '.join(lacks)}")
    return " ".join(sorted(set().union(*(LEVELS.get(flag, ()) for flag in cell.target.cpu_flags))))


def smoke(archive: str, cell: Cell, machine: Machine) -> str:
    """How many checks went well, and which need a setting there. Raises TestsFailed."""
    place = Path("/trial/smoke")
    checks = run_smoke(Path(archive), place, SMOKE, expected_of(cell, lambda name: (ROOT / name).read_text()), machine)
    [python] = place.rglob(f"bin/python{cell.ldversion}")
    spoiled = [check.name for check in checks if check.error and check.name in SPOILED and not without_fault(machine, python, check.name)]
    shutil.rmtree(place)
    refuse_smoke([check for check in checks if check.name not in spoiled], archive)
    return "; ".join([f"{len(checks)} checks", *(f"{name} with {SPOILED[name]}" for name in spoiled)])


def without_fault(machine: Machine, python: Path, name: str) -> str:
    """What is wrong with a check of smoke.py, of which Bochs may be the reason, with the setting that leaves Bochs's fault out."""
    expected = json.dumps({"scratch": "/tmp"})
    setting, _, value = SPOILED[name].partition("=")
    argv = machine.argv(str(python), "-I", str(SMOKE), expected, name.replace(" ", "_"))
    [error] = json.loads(said(*argv, env=environment(**{setting: value})).splitlines()[-1]).values()
    return str(error)


def pip(land: landed.Landed, archive: Path) -> str:
    """A wheel of Python alone; what it says."""
    unpack_archive(archive, land.place / "tree")
    return landed.pure_wheel(land)


def main(argv: Sequence[str]) -> int:
    """0 when nothing failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("cells", nargs="+")
    parser.add_argument("--flavours", default="install_only")
    given = parser.parse_args(argv)
    given.folder.mkdir(parents=True, exist_ok=True)
    failed = False
    for name in given.cells:
        start = time.monotonic()
        try:
            found = try_cell(given.folder.resolve(), name, given.flavours.split(","))
        except (FreestandingError, AssertionError, OSError) as error:
            found = {"the PC": f"FAILED {error}"}
        minutes = (time.monotonic() - start) / 60
        print(f"{name}, {minutes:.0f} minutes", *(f"  {what}: {told}" for what, told in found.items()), sep="\n", flush=True)
        failed = failed or any(not told.startswith("ok") for told in found.values())
    return int(failed)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        inside(Job(**json.loads(Path(sys.argv[2]).read_text())))
        sys.exit()
    # what is begun is cleared away
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
