"""CPython's own file of platform triplets, preprocessed by the compiler for every target: what the platform table and the audit expect."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from graph.session import Session
from tests.mini import ROOT, Checkout
from tests.test_policy_matrix import TRIPLETS

VERSION = "3.13.15"


@pytest.fixture(scope="module")
def session(first: Checkout) -> Session:
    return Session(first.root, {key: value for key, value in first.settings.items() if key.startswith("FREESTANDING_")})


def tree(session: Session, node: str) -> Path:
    """The tree that a node of the distribution gave."""
    done = session.last(node)
    assert done is not None, node
    return session.store.checkout(done.tree)


# (A universal target is compiled as its slices.)
# CPython tells musl by its stdarg.h, before which `zig cc` puts clang's own: there the drivers' configure tells (rule platform-values)
@pytest.mark.parametrize("triple", [triple for triple in TRIPLETS if not triple.endswith("-musl") and not triple.startswith("universal2-")])
def test_the_compiler_computes_the_triplet(session: Session, triple: str) -> None:
    target = Session(ROOT, {}).matrix.targets[triple]
    source = tree(session, f"source:cpython-{VERSION}") / "Misc/platform_triplet.c"
    zig = tree(session, "toolchain:zig") / "zig"
    done = subprocess.run([zig, "cc", "-target", target.zig, "-E", source], capture_output=True, text=True, check=True)
    [found] = [line.replace(" ", "") for line in done.stdout.splitlines() if line.startswith("PLATFORM_TRIPLET")]
    assert found == f"PLATFORM_TRIPLET={target.multiarch}"
