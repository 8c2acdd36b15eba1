"""Extensions built from source archives with this machine's compiler: where they were built, after a move, in virtual environments."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import time
import zipfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import lief
import pytest
from packaging.utils import parse_wheel_filename

from tests.real.conftest import Folder
from tests.real.machine import patiently, said
from tests.real.packages import (
    LONG,
    NUMPY,
    PACKAGES,
    REQUIREMENTS,
    Package,
    build_environment,
    from_source,
    libyaml,
    offline,
    smoke_program,
    stock,
)
from tests.real.version import MINOR, TAG

AGAINST_NUMPY = "scikit_fmm"
"""Compiled against numpy: with --whole the one that is built here, in a virtual environment."""
IN_BASE = tuple(package for package in PACKAGES if package.name != AGAINST_NUMPY)
IN_VENV = tuple(package for package in PACKAGES if package.name in (AGAINST_NUMPY, "levenshtein", "rpds_py", "markupsafe"))
"""One of each backend."""
AGAIN = ("levenshtein", "rpds_py")
"""Of these, those that take long enough to be built a second time with --whole only."""
OWN_RECORDS = ("numpy/__config__.py", "contourpy/util/_build_config.py")
"""Files in which a package notes, for bug reports, by which interpreter it was built."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where packages are built."""

    place: Path
    """Holds the copy of the distribution, and nothing else."""
    house: Path
    wheels: Path
    env: dict[str, str]
    base: tuple[Package, ...]
    """What this run builds for the distribution itself."""
    venv: tuple[Package, ...]
    """And in a virtual environment."""

    @property
    def python(self) -> Path:
        return self.place / "python/bin/python3"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one build."""

    error: str
    seconds: float


@pytest.fixture(scope="module")
def workshop(request: pytest.FixtureRequest, moved: Path, folder: Folder) -> Workshop:
    """A copy of the distribution in a place with spaces and letters beyond ASCII, and the archives to build."""
    top = folder("workshop")
    # a straight apostrophe would break the machine file that meson-python writes
    place = top / "où bâtir/first place"
    place.mkdir(parents=True)
    said("cp", "-a", moved, place / "python")
    (top / "yaml").mkdir()
    base, venv, wheels = IN_BASE, IN_VENV, [*REQUIREMENTS]
    if not request.config.getoption("--whole"):
        base, venv = (tuple(one for one in some if one.name not in left) for some, left in ((PACKAGES, LONG), (venv, AGAIN)))
        wheels.append(NUMPY)
    house = stock(place / "python/bin/python3", top / "house", dict.fromkeys((*base, *venv)), wheels)
    return Workshop(place, house, top / "wheels", build_environment(libyaml(house, top / "yaml")), base, venv)


@pytest.fixture(scope="module")
def outcomes(workshop: Workshop) -> dict[str, Outcome]:
    """Every package as a wheel, on all cores: name -> what came of it."""

    def build(package: Package) -> Outcome:
        start, error = time.monotonic(), ""
        argv: tuple[str | Path, ...] = (
            workshop.python,
            "-m",
            "pip",
            "wheel",
            "--wheel-dir",
            workshop.wheels,
            *from_source(package, workshop.house),
        )
        wheel = partial(said, *argv, env=workshop.env)
        try:
            # cargo asks its index for crates
            patiently(wheel) if package.language == "rust" else wheel()
        except (AssertionError, subprocess.TimeoutExpired) as failed:
            error = str(failed)
        return Outcome(error, time.monotonic() - start)

    start, before = time.monotonic(), _cpu_seconds()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        made = dict(zip([package.name for package in workshop.base], pool.map(build, workshop.base), strict=True))
    print(f"\n{len(made)} packages: {time.monotonic() - start:.0f} s, {_cpu_seconds() - before:.0f} CPU seconds")
    return made


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def wheel_of(package: Package, workshop: Workshop) -> Path:
    [found] = workshop.wheels.glob(f"{package.name}-*.whl")
    return found


@pytest.mark.parametrize(
    "package",
    [pytest.param(package, marks=pytest.mark.whole if package.name in LONG else ()) for package in IN_BASE],
    ids=lambda package: f"{package.name}-{package.backend}",
)
def test_a_package_is_built(workshop: Workshop, outcomes: dict[str, Outcome], package: Package) -> None:
    """Its tag is this Python's and the plain Linux one: nothing says for which glibc this machine's compiler builds."""
    outcome = outcomes[package.name]
    assert not outcome.error, outcome.error
    tags = parse_wheel_filename(wheel_of(package, workshop).name)[3]
    print(f"{package.name} {package.version}: {outcome.seconds:.1f} s, {', '.join(map(str, tags))}")
    assert {tag.platform for tag in tags} == {"linux_x86_64"}
    assert {tag.interpreter for tag in tags if tag.abi == f"cp{TAG}"} or {tag.abi for tag in tags} == {"abi3"}


def test_every_backend_and_language_is_there(workshop: Workshop) -> None:
    assert {package.backend for package in workshop.base} == {"setuptools", "meson-python", "scikit-build-core", "maturin"}
    assert {package.language for package in workshop.base} == {"c", "c++", "rust"}
    assert {package.backend for package in IN_VENV} == {package.backend for package in PACKAGES}
    assert len(workshop.base) >= 12


def loaded(data: bytes) -> bytes:
    """What of an ELF file comes into memory: all but sections such as debug information, which do name source folders."""
    binary = lief.ELF.parse(list(data))
    assert binary is not None
    return b"\0".join(bytes(segment.content) for segment in binary.segments if segment.type == lief.ELF.Segment.TYPE.LOAD)


def strays(wheel: Path, place: Path) -> list[str]:
    """Members of the wheel that name the place."""
    found = []
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            data = archive.read(name)
            if os.fsencode(place) in (loaded(data) if data.startswith(b"\x7fELF") else data):
                found.append(name)
    return found


def test_no_wheel_names_the_place_where_it_was_built(workshop: Workshop, outcomes: dict[str, Outcome]) -> None:
    wheels = sorted(workshop.wheels.glob("*.whl"))
    assert len(wheels) == len(workshop.base)
    found = {name for wheel in wheels for name in strays(wheel, workshop.place)}
    assert found <= set(OWN_RECORDS), found


def try_out(python: Path, packages: Iterable[Package]) -> None:
    """The smoke programs, with no compiler and no other environment."""
    packages = tuple(packages)
    shown = said(python, "-c", smoke_program(packages), env={"PATH": "/nonexistent", "LANG": "C.UTF-8"})
    assert shown.split() == [package.name for package in packages]


def install_base(python: Path, workshop: Workshop) -> None:
    """All packages, and numpy, which scikit_fmm's metadata do not ask for."""
    install_wheels(python, workshop, *(package.name for package in workshop.base), "numpy")


def install_wheels(python: Path, workshop: Workshop, *requirements: str) -> None:
    options = ("--find-links", workshop.wheels.as_uri(), "--only-binary", ":all:")
    said(python, "-m", "pip", "install", "--quiet", *offline(workshop.house), *options, *requirements, env=workshop.env)


@pytest.fixture(scope="module")
def base(workshop: Workshop, outcomes: dict[str, Outcome]) -> Workshop:
    """With all packages in the distribution itself."""
    assert [outcome.error for outcome in outcomes.values() if outcome.error] == []
    install_base(workshop.python, workshop)
    return workshop


def test_in_the_distribution_itself(base: Workshop) -> None:
    try_out(base.python, base.base)


@pytest.mark.parametrize("option", ["--symlinks", "--copies"])
def test_built_and_installed_in_a_virtual_environment(base: Workshop, tmp_path: Path, option: str) -> None:
    packages = [package for package in base.venv if option == "--symlinks" or package.name == "markupsafe"]
    python = tmp_path / "un environnement/bin/python"
    said(base.python, "-m", "venv", option, tmp_path / "un environnement")
    install_wheels(python, base, "numpy", "rapidfuzz")
    for package in packages:
        start = time.monotonic()
        said(python, "-m", "pip", "install", *from_source(package, base.house), "--find-links", base.wheels.as_uri(), env=base.env)
        print(f"{package.name} in a virtual environment: {time.monotonic() - start:.1f} s")
    try_out(python, packages)


@pytest.fixture(scope="module")
def elsewhere(base: Workshop, folder: Folder) -> Iterator[Workshop]:
    """The same, moved as a whole. Comes last: the first place is gone then."""
    place = folder("elsewhere") / "ailleurs, très loin"
    base.place.rename(place)
    yield replace(base, place=place)
    place.rename(base.place)


def test_after_the_move(elsewhere: Workshop) -> None:
    try_out(elsewhere.python, elsewhere.base)


def test_in_a_virtual_environment_that_sees_the_moved_packages(elsewhere: Workshop, tmp_path: Path) -> None:
    said(elsewhere.python, "-m", "venv", "--without-pip", "--system-site-packages", tmp_path / "v")
    try_out(tmp_path / "v/bin/python", elsewhere.base)


def test_wheels_from_the_first_place_in_a_virtual_environment_of_the_second(elsewhere: Workshop, tmp_path: Path) -> None:
    said(elsewhere.python, "-m", "venv", tmp_path / "v")
    install_base(tmp_path / "v/bin/python", elsewhere)
    try_out(tmp_path / "v/bin/python", elsewhere.base)


def test_a_build_after_the_move(elsewhere: Workshop, tmp_path: Path) -> None:
    """Compiled by what the moved tree says of itself; the first place is not asked."""
    [package] = [package for package in PACKAGES if package.name == "markupsafe"]
    log = said(
        elsewhere.python, "-m", "pip", "wheel", "-v", "--wheel-dir", tmp_path, *from_source(package, elsewhere.house), env=elsewhere.env
    )
    [include] = set(re.findall(r"-I(\S* ?[^-]*/include/python3\.\d+)", log))
    assert include == f"{elsewhere.place}/python/include/python{MINOR}"
