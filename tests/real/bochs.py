"""Runs distributions for a processor that this machine is not: a PC of Bochs, which knows AVX-512, with Debian's kernel (needs root).

    python -m tests.real.bochs FOLDER CELL... [--flavours install_only,...]

CELL's archives are in dist/. Each cell boots a PC of its own, in which this file's second half tries what full_matrix.py does of native
cells: toolchains/smoke.py after two moves, pip, and a C extension by the target's own compiler. FOLDER keeps what Debian gave. Bochs is two
hundred times slower than the processor it runs on: an archive takes half an hour and more.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graph.errors import FreestandingError, TestsFailed, UsageError
from graph.machine import LEVELS, Emulated, Machine, Native, lacking, processor
from graph.matrix import parse_cell, parse_matrix
from graph.testrun import refuse_smoke, run_smoke, unpack_archive
from tests.real import landed
from tests.real.machine import said

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
LIMIT = 4 * 3600.0
"""Seconds for a PC, from its start to its end."""
RESULT, END = "RESULT ", "THE END"

# XSAVES and XSAVEC are switched off: Bochs tells the size of their format wrongly, for which Linux would do without all of AVX
BOOT = """set timeout=0
menuentry linux {
  linux /vmlinuz console=ttyS0 quiet mitigations=off clearcpuid=321,323
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
cd /code && python3 -m tests.real.bochs --inside /work/job.json
echo {END}
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
"""ips sets the pace of the clock, not of the PC: so many instructions are a second there, and time limits are of such seconds."""


def make_root(place: Path, packages: str) -> None:
    """A root file system with these packages, unless it is there. Raises AssertionError when the archive refuses."""
    # (imported here: the PC has not what these import)
    from tests.real.debian_baseline import KEYS, mirror

    if place.exists():
        return
    making = place.with_name(place.name + ".making")
    shutil.rmtree(making, ignore_errors=True)
    line = f"deb [signed-by={KEYS}] {mirror()} {RELEASE} main"
    options = ["--variant=essential", '--aptopt=Acquire::Check-Valid-Until "false"', f"--include={packages}"]
    said("mmdebstrap", "--quiet", *options, RELEASE, making, line)
    making.rename(place)


def within(root: Path, *argv: str) -> list[str]:
    """The command line that runs a program of a root file system."""
    enter = Path(__file__).with_name("enter_root.sh")
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-e", str(enter), str(root), *argv]


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
    missing: Sequence[str]
    builtin: Sequence[str] | None
    runtime: str
    """The target's libc, if it is not the PC's own."""


def lay_out(session: Any, cell: Any, flavours: Sequence[str], work: Path) -> Job:
    """Copy to `work`, the PC's /work, what the job needs. `session` is a Session, whose store has the cell."""
    from graph.policy import parse_policy
    from graph.suite import parse_suite

    work.mkdir()
    archives = [path for path in session.archives(f"dist:{cell}") if any(f"-{flavour}." in path.name for flavour in flavours)]
    for path in archives:
        shutil.copy(path, work)
    land = landed.land(session, cell, archives[0], work / "laid", Native())
    shutil.rmtree(land.place / "tree")
    shutil.copytree(land.toolchain / "tc", work / "cross/tc")
    shutil.copytree((land.toolchain / "libc").resolve(), work / "cross/libc", symlinks=True)
    shutil.copytree(land.zig.parent, work / "zig", symlinks=True)
    shutil.rmtree(land.place)
    landed.stock_build_requirements(work / "house")
    landed.realise(session, nodes := session.machine_nodes(cell.target))
    for name in nodes:
        shutil.copytree(session.store.checkout(session.build.result(name).tree), work / "runtime", symlinks=True)
    missing = parse_suite(session.read("toolchains/suite.toml"), cell).missing
    builtin = parse_policy(session.read("toolchains/policy.toml"), cell).builtin
    names = [f"/work/{path.name}" for path in archives]
    return Job(str(cell), names, sorted(missing), None if builtin is None else sorted(builtin), "/work/runtime" if nodes else "")


def hard_disk(tools: Path, guest: Path, place: Path) -> None:
    """disk: the guest with all that was copied into it."""
    used = int(said("du", "--summarize", "--block-size=1", guest).split()[0])
    size = -(-(used * 11 // 10 + ROOM) // CYLINDER) * CYLINDER
    there, root = f"/{place.relative_to(tools)}", f"/{guest.relative_to(tools)}"
    said(*within(tools, "mke2fs", "-q", "-t", "ext4", "-d", root, f"{there}/disk", str(size // 1024)))
    os.truncate(place / "disk", size)


def run_pc(tools: Path, place: Path) -> dict[str, str]:
    """Switch it on, and wait for what it says: what was tried -> what came of it. Raises TestsFailed."""
    (place / "bochsrc").write_text(PC.format(place=f"/{place.relative_to(tools)}"))
    # Debian's Bochs has its debugger in, which waits for a word
    (place / "go").write_text("c\n")
    there = f"/{place.relative_to(tools)}"
    # it draws the screen, on a terminal of its own
    command = f"exec bochs-bin -q -f {there}/bochsrc -rc {there}/go"
    argv = within(tools, "script", "--quiet", "--return", "--flush", "--command", command, f"{there}/screen")
    serial = place / "serial"
    start, text = time.monotonic(), ""
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while END not in text and process.poll() is None and time.monotonic() - start < LIMIT:
            time.sleep(2)
            text = serial.read_text(errors="replace") if serial.exists() else ""
    finally:
        process.kill()
        process.wait()
    found: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith(RESULT):
            found.update(json.loads(line.removeprefix(RESULT)))
    if END not in text or not found:
        raise TestsFailed(f"the PC said no more than: {text.strip()[-600:]}", place=str(serial), hint=f"{place}/bochs.log")
    return found


def try_cell(folder: Path, cell_name: str, flavours: Sequence[str]) -> dict[str, str]:
    """What was tried with this cell -> what came of it: ok and figures, or FAILED and why."""
    from graph.session import Session

    session = Session(ROOT)
    cell = session.selection(f"dist:{cell_name}")
    if missing := session.look_up([f"dist:{cell}"]):
        raise UsageError(f"{len(missing)} nodes of {cell} are not in the store", hint=f"doit dist:{cell}")
    tools = folder / "tools"
    make_root(tools, TOOLS)
    make_root(folder / "guest", GUEST)
    with tempfile.TemporaryDirectory(prefix="pc-", dir=tools / "srv") as name:
        place = Path(name)
        guest = place / "guest"
        subprocess.run(["cp", "-a", "--reflink=auto", str(folder / "guest"), str(guest)], check=True)
        for part in CODE:
            shutil.copytree(ROOT / part, guest / "code" / part, ignore=shutil.ignore_patterns("__pycache__"))
        job = lay_out(session, cell, flavours, guest / "work")
        (guest / "work/job.json").write_text(json.dumps({name: getattr(job, name) for name in Job.__slots__}))
        (guest / "init").write_text(INIT)
        (guest / "init").chmod(0o755)
        boot_disk(tools, guest, place)
        hard_disk(tools, guest, place)
        shutil.rmtree(guest)
        return run_pc(tools, place)


# in the PC


def inside(job: Job) -> None:
    """Try all, and tell each result on a line of its own."""
    cell = parse_cell(job.cell, parse_matrix((ROOT / "toolchains/targets.toml").read_text()))
    assert not (lacks := lacking(cell.target.cpu_flags, processor())), f"the PC's processor lacks {lacks}"
    machine: Machine = Emulated(Path(job.runtime), None) if job.runtime else Native()
    tell("processor", f"ok {' '.join(sorted(LEVELS['-march=x86-64-v4'] & processor()))}")
    for name in job.archives:
        attempt(f"smoke of {Path(name).name}", lambda name=name: smoke(job, name, cell.version, machine))
    place = Path("/work/landed")
    unpack_archive(Path(job.archives[0]), place / "tree")
    land = landed.Landed(cell, machine, place, Path("/work/cross"), Path("/work/zig/zig"), place)
    attempt("pip", lambda: landed.pure_wheel(land))
    attempt("extension", lambda: json.dumps(landed.extension(land, Path("/work/house"))))


def smoke(job: Job, archive: str, version: str, machine: Machine) -> str:
    """How many checks went well. Raises TestsFailed."""
    script = ROOT / "toolchains/smoke.py"
    checks = run_smoke(Path(archive), Path("/work", Path(archive).stem), script, version, job.missing, job.builtin, machine)
    refuse_smoke(checks, archive)
    return f"{len(checks)} checks"


def attempt(name: str, what: Any) -> None:
    """Tell what came of it; the others go on, whatever it raises."""
    try:
        tell(name, f"ok {what()}")
    except Exception as error:
        tell(name, f"FAILED {type(error).__name__}: {str(error)[-3000:]}")


def tell(name: str, result: str) -> None:
    """To the serial line."""
    print(RESULT + json.dumps({name: result}), flush=True)


def main(argv: Sequence[str]) -> int:
    """0 when nothing failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("cells", nargs="+")
    parser.add_argument("--flavours", default="install_only")
    given = parser.parse_args(argv)
    given.folder.mkdir(parents=True, exist_ok=True)
    failed = False
    for cell in given.cells:
        start = time.monotonic()
        found: Mapping[str, str] = try_cell(given.folder.resolve(), cell, given.flavours.split(","))
        print(
            f"{cell}, {(time.monotonic() - start) / 60:.0f} minutes",
            *(f"  {name}: {told}" for name, told in found.items()),
            sep="\n",
            flush=True,
        )
        failed = failed or any(not told.startswith("ok") for told in found.values())
    return int(failed)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        inside(Job(**json.loads(Path(sys.argv[2]).read_text())))
        sys.exit()
    try:
        sys.exit(main(sys.argv[1:]))
    except FreestandingError as error:
        sys.exit(str(error))
