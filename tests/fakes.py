"""A small world for engine tests: a runner whose only program concatenates, a fetcher that serves bytes from memory, tiny recipes."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from graph.jobserver import Jobserver
from graph.lock import Lock, Source
from graph.node import File, Input, Node, Run, Step, Unpack
from graph.plan import Plan, make_plan
from graph.recipes.common import Context, Host, fetch_node, source_node
from graph.sandbox import Job, Outcome
from graph.target import Cell
from tests.data import TARGET


def tar_of(files: Mapping[str, str]) -> bytes:
    """A tarball with one top folder, as upstream makes them."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(f"top/{name}")
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


class CatRunner:
    """Executes `cat IN... OUT` (comment lines are dropped, as a compiler would) and `fail N`, without a sandbox."""

    hermetic = True

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.hold: threading.Event | None = None

    def run(self, job: Job, jobserver: Jobserver, cancel: threading.Event) -> Outcome:
        job.log.write_text("")
        for number, step in enumerate(job.steps):
            with job.log.open("a") as log:
                log.write(f"+ {' '.join(step.argv)}\n")
            if step.argv[0] == "fail":
                return Outcome(int(step.argv[1]), number, 0.0, self.hermetic)
            absent = [name for name in step.argv[1:-1] if not self._files(job, name)]
            if absent:
                job.log.write_text(f"cat: {absent[0]}: No such file or directory\n")
                return Outcome(1, number, 0.0, self.hermetic)
            self._cat(job, step.argv[1:-1], job.root / step.argv[-1])
        return Outcome(0, None, 0.0, self.hermetic)

    def _cat(self, job: Job, names: tuple[str, ...], out: Path) -> None:
        text = "".join(file.read_text() for name in names for file in self._files(job, name))
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text("".join(line for line in text.splitlines(keepends=True) if not line.startswith("#")))

    def _files(self, job: Job, name: str) -> list[Path]:
        places = {mount.at: mount.source for mount in job.mounts}
        top, _, rest = name.partition("/")
        at = next((at for at in places if name == at or name.startswith(at + "/")), None)
        base = places[at] / name[len(at) :].lstrip("/") if at is not None else job.root / top / rest
        return [base] if base.is_file() else sorted(path for path in base.rglob("*") if path.is_file())

    def shell(self, job: Job) -> int:
        return 0

    def kill_all(self) -> None:
        pass


CPYTHON = {"configure": "conf\n", "main.c": "main\n", "ssl.c": "ssl\n", "zlibmodule.c": "z\n", "Lib/os.py": "os\n", "README": "r\n"}
ARCHIVES = {
    "cpython": tar_of(CPYTHON),
    "openssl": tar_of({"crypto.c": "crypto\n", "doc.txt": "doc\n"}),
    "zlib": tar_of({"inflate.c": "inflate\n"}),
    "zig": tar_of({"zig": "zig 1\n"}),
}


def lock_of(archives: Mapping[str, bytes]) -> Lock:
    sources = {
        name: Source(name, "1", f"{name}.tar.gz", hashlib.sha256(data).hexdigest(), len(data), "MIT", ()) for name, data in archives.items()
    }
    return Lock("20260101", 0, sources)


def context_of(archives: Mapping[str, bytes] = ARCHIVES, files: Mapping[str, bytes] | None = None, flags: tuple[str, ...] = ()) -> Context:
    cell = Cell(replace(TARGET, cpu_flags=flags), "3.13.15", ("noopt",))
    repository = {path: File(path, data) for path, data in (files or {}).items()}
    return Context(cell, Host("linux-x86_64", TARGET.triple), lock_of(archives), repository)


def _cat(name: str, out: str, *inputs: Input, flags: tuple[str, ...] = ()) -> Node:
    steps = (Step(("cat", *(given.at for given in inputs if given.at != "zig"), f"out/{out}")),)
    return Node(name, Run(steps, tuple(("FLAG", flag) for flag in flags)), tuple(inputs))


def tiny(ctx: Context) -> tuple[Node, ...]:
    """The shape of the real graph: toolchain, two libraries, CPython in several nodes."""
    flags = ctx.cell.target.cpu_flags
    zig = Input("toolchain:zig", "zig")
    return (
        *(fetch_node(ctx, name) for name in ("cpython", "openssl", "zlib", "zig")),
        *(source_node(ctx, name) for name in ("cpython", "openssl", "zlib")),
        Node("toolchain:zig", Unpack(), (Input("fetch:zig", "archive"),)),
        _cat("make:openssl", "libssl", Input("source:openssl", "src", only=("*.c",)), zig, flags=flags),
        _cat("make:zlib", "libz", Input("source:zlib", "src"), zig, flags=flags),
        _cat("configure:cpython", "conf", Input("source:cpython", "src", only=("configure",)), zig, flags=flags),
        _cat(
            "core:cpython",
            "python",
            Input("source:cpython", "src", without=("ssl.c", "zlibmodule.c", "Lib/", "README")),
            Input("configure:cpython", "conf"),
            zig,
            flags=flags,
        ),
        _cat("ext:_ssl", "_ssl.so", Input("source:cpython", "src", only=("ssl.c",)), Input("make:openssl", "ssl"), zig, flags=flags),
        _cat("ext:zlib", "zlib.so", Input("source:cpython", "src", only=("zlibmodule.c",)), Input("make:zlib", "z"), zig, flags=flags),
        _cat("stdlib:cpython", "Lib", Input("source:cpython", "src", only=("Lib/",)), Input("core:cpython", "core")),
        _cat("assemble:cpython", "tree", *(Input(name, name.replace(":", "-")) for name in ("core:cpython", "ext:_ssl", "ext:zlib", "stdlib:cpython"))),
        _cat("dist:cpython", "archive", Input("assemble:cpython", "tree")),
    )


def tiny_plan(ctx: Context) -> Plan:
    return make_plan([ctx], [tiny])
