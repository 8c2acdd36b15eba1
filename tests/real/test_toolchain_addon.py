"""The toolchain add-on: on a machine without any compiler, pip builds C and C++ packages; what it builds is for every machine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from graph.audit import audit_archives
from graph.binaries import read_binary
from graph.facts import Kind
from graph.policy import render
from graph.testrun import prefix_of
from tests.data import TARGET
from tests.mini import Checkout
from tests.real.conftest import DEEP, archive
from tests.real.packages import LIBYAML_FILES, PACKAGES, Package, from_source, libyaml, smoke_program, stock
from tests.real.roots import Root

VERSION = "3.13.15"
DIST = f"dist:{TARGET}:toolchain"
PLATFORM = "manylinux2014_x86_64"
FLOOR = (2, 17)
MANYLINUX = {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1", "ld-linux-x86-64.so.2"}
"""Libraries of PEP 599 that are glibc's: what is built must need no other."""
BUILT = tuple(package for package in PACKAGES if package.language in ("c", "c++"))
PROGRAMS = ("sh", "readlink")
"""All that the machine in these tests has beside glibc, env and the distribution."""


@pytest.fixture(scope="session")
def addon(first: Checkout) -> Path:
    """The add-on's archive in dist/."""
    done = first.doit(DIST, timeout=1800)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return archive(first, "toolchain")


@pytest.fixture(scope="session")
def prefix(moved: Path, addon: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A moved distribution with the add-on unpacked over it by its own Python, and then moved again."""
    place = tmp_path_factory.mktemp("addon")
    subprocess.run(["cp", "-al", moved, place / "python"], check=True)
    subprocess.run([place / "python/bin/python3", "-m", "tarfile", "-e", addon, place], check=True)
    (place / DEEP).mkdir(parents=True)
    (place / "python").rename(place / DEEP / "python")
    return prefix_of(place / DEEP)
