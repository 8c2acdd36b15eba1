"""A small world for engine tests: a runner whose only program concatenates, a fetcher that serves bytes from memory, tiny recipes."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from graph.lock import Lock, Source, Way
from graph.node import File, Input, Node, Run, Step, Unpack
from graph.plan import Plan, make_plan
from graph.recipes.common import Context, Host, fetch_node, source_node
from graph.sandbox import Job, Outcome, Tokens
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
    suffix = ""
    """Stands at the end of each output: another one makes another machine, whose steps do not give the same bytes."""

    def run(self, job: Job, jobserver: Tokens | None = None, cancel: threading.Event | None = None) -> Outcome:
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
        out.write_text("".join(line for line in text.splitlines(keepends=True) if not line.startswith("#")) + self.suffix)

    def _files(self, job: Job, name: str) -> list[Path]:
        places = {mount.at: mount.source for mount in job.mounts}
        top, _, rest = name.partition("/")
        at = next((at for at in places if name == at or name.startswith(at + "/")), None)
        base = places[at] / name[len(at) :].lstrip("/") if at is not None else job.root / top / rest
        return [base] if base.is_file() else sorted(path for path in base.rglob("*") if path.is_file())

    def shell(self, job: Job) -> int:
        return 0


CPYTHON = {"configure": "conf\n", "main.c": "main\n", "ssl.c": "ssl\n", "zlibmodule.c": "z\n", "Lib/os.py": "os\n", "README": "r\n"}
ARCHIVES = {
    "cpython": tar_of(CPYTHON),
    "openssl": tar_of({"crypto.c": "crypto\n", "doc.txt": "doc\n"}),
    "zlib": tar_of({"inflate.c": "inflate\n"}),
    "zig": tar_of({"zig": "zig 1\n"}),
}


WAYS = (Way("url", url="https://example.org/archive.tar.gz"),)


def lock_of(archives: Mapping[str, bytes]) -> Lock:
    sources = {
        name: Source(name, "1", f"{name}.tar.gz", hashlib.sha256(data).hexdigest(), len(data), "MIT", WAYS)
        for name, data in archives.items()
    }
    return Lock("20260101", 0, sources)


def context_of(archives: Mapping[str, bytes] = ARCHIVES, files: Mapping[str, bytes] | None = None, flags: tuple[str, ...] = ()) -> Context:
    cell = Cell(replace(TARGET, cpu_flags=flags), "3.13.15", ("noopt",))
    repository = {path: File(path, data) for path, data in (files or {}).items()}
    return Context(cell, Host("linux-x86_64", TARGET), lock_of(archives), repository)


def cat(given: tuple[str, ...], out: str) -> Step:
    """CatRunner's one program."""
    return Step(("cat", *given, out), cwd=".")


def shell_cat(given: tuple[str, ...], out: str) -> Step:
    """The same for a real sandbox."""
    return Step(("sh", "-c", f"find {' '.join(given)} -type f | sort | xargs cat | sed '/^#/d' > {out}"), cwd=".")


@dataclass(frozen=True)
class _Maker:
    """Makes nodes that concatenate their inputs."""

    step: Callable[[tuple[str, ...], str], Step]
    flags: tuple[str, ...]

    def __call__(self, name: str, out: str, *inputs: Input) -> Node:
        given = tuple(one.at for one in inputs if one.at != "zig")
        compiles = any(one.at == "zig" for one in inputs)
        environment = tuple(("FLAG", flag) for flag in self.flags if compiles)
        return Node(name, Run((self.step(given, f"out/{out}"),), (("PATH", "/usr/bin:/bin"), *environment), tools=("posix",)), inputs)


DIST = f"dist:{TARGET.triple}:3.13.15:noopt"
PARTS = ("core:cpython", "ext:_ssl", "ext:zlib", "stdlib:cpython")


def tiny(ctx: Context, step: Callable[[tuple[str, ...], str], Step] = cat) -> tuple[Node, ...]:
    """The shape of the real graph: toolchain, two libraries, CPython in several nodes."""
    make = _Maker(step, ctx.cell.target.cpu_flags)
    zig = Input("toolchain:zig", "zig")
    cpython = "source:cpython"
    others = ("ssl.c", "zlibmodule.c", "Lib/", "README")
    return (
        *(fetch_node(ctx, name) for name in ("cpython", "openssl", "zlib", "zig")),
        *(source_node(ctx, name) for name in ("cpython", "openssl", "zlib")),
        Node("toolchain:zig", Unpack(), (Input("fetch:zig", "archive"),)),
        make("make:openssl", "libssl", Input("source:openssl", "src", only=("*.c",)), zig),
        make("make:zlib", "libz", Input("source:zlib", "src"), zig),
        make("configure:cpython", "conf", Input(cpython, "src", only=("configure",)), zig),
        make("core:cpython", "python", Input(cpython, "src", without=others), Input("configure:cpython", "conf"), zig),
        make("ext:_ssl", "_ssl.so", Input(cpython, "src", only=("ssl.c",)), Input("make:openssl", "ssl"), zig),
        make("ext:zlib", "zlib.so", Input(cpython, "src", only=("zlibmodule.c",)), Input("make:zlib", "z"), zig),
        make("stdlib:cpython", "Lib", Input(cpython, "src", only=("Lib/",)), Input("core:cpython", "core")),
        make("assemble:cpython", "tree", *(Input(name, name.replace(":", "-")) for name in PARTS)),
        make(DIST, "archive.txt", Input("assemble:cpython", "tree")),
    )


def tiny_plan(ctx: Context) -> Plan:
    return make_plan([ctx], [tiny])


def fake_wine(folder: Path, says: str = "wine-10.0 (Debian 10.0~repack-6)") -> Path:
    """A folder with a `wine` that only tells its version."""
    folder.mkdir(exist_ok=True)
    (folder / "wine").write_text(f"#!/bin/sh\necho '{says}'\n")
    (folder / "wine").chmod(0o755)
    return folder
