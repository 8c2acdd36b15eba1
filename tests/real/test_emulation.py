"""Every foreign glibc target: the sysroot's programs run with the target's real libc, and configure scripts guess nothing."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import lief
import pytest

from graph.build import Build, Workshop
from graph.jobserver import Jobserver
from graph.node import File, Node, Step
from graph.plan import make_plan
from graph.policy import parse_policy
from graph.recipes import emulation, libffi, toolchain
from graph.recipes.common import Context, configure_node
from graph.session import Session
from tests.mini import Checkout
from tests.real.guesses import guesses, logs_of
from tests.real.machine import patiently

PROGRAM = Path(__file__).with_name("emulation.c")
FOREIGN = tuple(
    f"{row}-unknown-linux-{libc}"
    for row, libc in (("i686", "gnu"), ("armv7", "gnueabihf"), ("ppc64le", "gnu"), ("riscv64", "gnu"), ("s390x", "gnu"))
)
"""Twice 32 bits, IBM's long double, an ABI that flags name, big-endian: aarch64 runs as a whole, and full_matrix.py does the others."""
WIDE_TIME = ("-D_FILE_OFFSET_BITS=64", "-D_TIME_BITS=64")
"""What asks for 64-bit time on 32-bit machines, as configure scripts do: headers of a glibc without it must not know the second."""
BIG = 12345678901234567
SAID = [
    "atomic fa000000fa0 own 1000",
    "lock-free 1",
    "exp 7.38905609893065 root 1.73205080756888 seventh 0.428571428571429 scaled 3.70370367037037e+16",
    "whole -3000000000000 18000000000000000000",
    "complex 3.5 8.5 8.5 3.5 3.5 8.5",
    f"quotient {BIG // 1000003} {BIG % 1000003}",
    f"square {BIG**2 // 1000000007 % 2**64} {BIG**2 % 1000000007}",
]


def programs(ctx: Context) -> tuple[Node, ...]:
    """A configure node that compiles the program without and with optimisation, and with that of the link, and runs them."""
    compiles = (
        Step(("cc", *flags, "-o", name, "/build/emulation.c", "-lm", "-lpthread"))
        for name, flags in (("plain", ("-O0",)), ("fast", ("-O2", *WIDE_TIME)))
    )
    # as core.mk links: a library, and the machine code that lld leaves
    lto = ("-flto=thin", *ctx.cell.target.lto_flags)
    library = (
        Step(("cc", "-O2", "-fPIC", *lto, "-Dmain=program", "-c", "-o", "library.o", "/build/emulation.c")),
        Step(("cc", "-shared", *lto, "-Wl,--lto-obj-path=whole.o", "-o", "whole.so", "library.o", "-lm", "-lpthread")),
        Step(("sh", "-c", "cc -o linked /build/main.c whole.o* -lm -lpthread")),
        # as libpython3.so is
        Step(("cc", "-shared", "-o", "empty.so", "-Wl,--no-as-needed", "whole.so")),
    )
    runs = Step(
        ("sh", "-c", "mkdir out && for kind in plain fast linked; do ./$kind >out/$kind || exit 1; done && cp fast.bin out/program")
    )
    files = (File("emulation.c", PROGRAM.read_bytes()), File("main.c", b"int program(void);\nint main(void) { return program(); }\n"))
    return (configure_node(ctx, f"configure:{ctx.triple}:emulation", (*compiles, *library, runs), files=files, tools=("posix",)),)


def build_of(session: Session, triple: str) -> Build:
    cell = session.matrix.default(session.matrix.targets[triple])
    context = Context(cell, session.host, session.lock, session.files)
    plan = make_plan([context], [toolchain.nodes, emulation.nodes, libffi.nodes, programs])
    workshop = Workshop(session.store, session.runner, session.fetcher, Jobserver(2), session.reporter, session.lock, session.tools)
    return Build(plan, workshop)


def made(build: Build, name: str) -> None:
    for node in build.plan.closure([name]):
        patiently(partial(build.realise, node))


@pytest.fixture(scope="module")
def session(first: Checkout) -> Iterator[Session]:
    yield Session(first.root)


@pytest.mark.parametrize("triple", FOREIGN)
def test_a_program_of_the_target_computes_and_runs_on_its_floor(session: Session, triple: str, tmp_path: Path) -> None:
    build, name = build_of(session, triple), f"configure:{triple}:emulation"
    made(build, name)
    session.store.copy_tree(build.result(name).tree, tmp_path / "work")
    for kind in ("plain", "fast", "linked"):
        said = (tmp_path / "work/out" / kind).read_text().splitlines()
        *computed, size = said
        narrow = size.startswith("size 4 ")
        assert computed == (SAID[:-1] if narrow else SAID)
        # 32-bit time, as of every glibc below 2.34
        assert size == ("size 4 4" if narrow else "size 8 8")
    binary = lief.ELF.parse(tmp_path / "work/out/program")
    assert binary is not None
    wanted = [str(aux.name) for need in binary.symbols_version_requirement for aux in need.get_auxiliary_symbols()]
    versions = {tuple(int(part) for part in name.removeprefix("GLIBC_").split(".")) for name in wanted}
    floor = tuple(int(part) for part in session.matrix.targets[triple].libc_floor.split("."))
    assert versions
    assert max(versions) <= floor
    empty = lief.ELF.parse(tmp_path / "work/empty.so")
    policy = parse_policy(session.read("toolchains/policy.toml"), session.matrix.default(session.matrix.targets[triple]))
    mask, flags = policy.abi
    assert empty is not None
    assert int(empty.header.processor_flag) & mask == flags


@pytest.mark.parametrize("triple", ["aarch64-unknown-linux-gnu"])
def test_configure_runs_its_programs_and_guesses_nothing(session: Session, triple: str) -> None:
    build, name = build_of(session, triple), f"configure:{triple}:libffi"
    made(build, name)
    log = logs_of(session, [name])[name]
    assert "checking whether we are cross compiling... no" in log
    assert guesses(log, across=False) == []
