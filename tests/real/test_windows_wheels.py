"""Wheels that were made for python.org's build work in ours: pip installs them below wine, and each does one thing with its native code.

The list is wheels.toml; files come from the package index that this machine's pip is set up for, as they are.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from graph.machine import Wine
from graph.testrun import prefix_of, unpack_archive
from tests.mini import Checkout
from tests.real import wheels
from tests.real.test_windows import archive_of
from tests.real.wheels import WHEELS, Wheel

AT_LEAST = 25
"""Of the fifty that are downloaded most."""
MUST = {"numpy", "pandas", "cryptography", "pydantic-core", "lxml", "pillow", "pywin32", "psutil", "orjson", "grpcio"}
PIP = ("install", "--quiet", "--no-index", "--no-deps", "--no-compile", "--disable-pip-version-check")
HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Venv:
    """A virtual environment of the distribution, below wine."""

    wine: Wine
    place: Path

    def run(self, *argv: str, timeout: float) -> subprocess.CompletedProcess[str]:
        """Of its python.exe; errors are in the output."""
        command = self.wine.argv(str(self.place / "Scripts/python.exe"), *argv)
        # (a checkout has settings for some of the packages)
        return subprocess.run(
            command, cwd=self.place, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=timeout
        )

    def pip(self, house: Path, *argv: str) -> None:
        done = self.run("-m", "pip", *PIP, "--find-links", self.wine.name(house), *argv, timeout=HOUR)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheels' files."""
    return wheels.download(WHEELS.wanted, tmp_path_factory.mktemp("house"))


@pytest.fixture(scope="module")
def venv(first: Checkout, wine: Wine, house: Path, tmp_path_factory: pytest.TempPathFactory) -> Venv:
    """With all of them, but those that end."""
    place = tmp_path_factory.mktemp("wheels")
    unpack_archive(archive_of(first, "install_only_stripped"), place / "python of ours")
    python = prefix_of(place / "python of ours") / "python.exe"
    done = subprocess.run(wine.argv(str(python), "-m", "venv", wine.name(place / "venv")), capture_output=True, text=True, timeout=HOUR)
    assert done.returncode == 0, done.stdout + done.stderr
    made = Venv(wine, place / "venv")
    made.pip(house, *WHEELS.wanted)
    return made


def output(venv: Venv, wheel: Wheel, *argv: str) -> str:
    """What its program says, started from a file: a command line of Windows has 32 kB, and quotes of its own."""
    program = venv.place / f"{wheel.name}-{wheel.version}.py"
    program.write_text(wheel.program, encoding="utf-8")
    return venv.run("-I", venv.wine.name(program), *argv, timeout=600).stdout


def test_the_list_is_what_was_asked_for() -> None:
    """Fifty with native code, by their downloads, less those that were not tried or that end; pywin32 is more."""
    ranked = [wheel for wheel in WHEELS.listed if wheel.rank and wheel.name != "pywin32"]
    assert [wheel.rank for wheel in ranked] == sorted(wheel.rank for wheel in ranked)
    assert {wheel.name for wheel in WHEELS.listed} >= MUST
    assert len(ranked) + len(WHEELS.untried) == 50 and len(ranked) >= AT_LEAST


@pytest.mark.whole
@pytest.mark.parametrize("wheel", WHEELS.listed, ids=lambda wheel: f"{wheel.name}-{wheel.version}")
def test_a_wheel_works(venv: Venv, house: Path, wheel: Wheel) -> None:
    said = output(venv, wheel)
    assert re.findall(r"^value (.*?)\s*$", said, re.M) == [wheel.gives], said
    # (its own code, not a substitute in Python)
    own = {name for name, _ in wheels.members(wheels.file_of(wheel, house))}
    assert own & set(re.findall(r"^module (.*?)\s*$", said, re.M)), said


@pytest.mark.whole
@pytest.mark.parametrize("wheel", WHEELS.listed, ids=lambda wheel: f"{wheel.name}-{wheel.version}")
def test_what_a_wheel_is(house: Path, wheel: Wheel) -> None:
    """As the table has it; an abi3 wheel's extension modules import python3.dll, and no other of Python's."""
    path = wheels.file_of(wheel, house)
    found = wheels.binaries(path)
    assert (wheels.abi_of(path), wheels.runtime_of(found)) == (wheel.abi, wheel.runtime)
    if wheel.abi == wheels.ABI3:
        assert {name.lower() for binary in found for name in binary.needed if name.lower().startswith("python")} == {"python3.dll"}


@pytest.mark.whole
@pytest.mark.parametrize("wheel", WHEELS.newer, ids=lambda wheel: f"{wheel.name}-{wheel.version}")
def test_a_newer_wheel_ends_in_what_wine_has_not(venv: Venv, wine: Wine, wheel: Wheel, tmp_path: Path) -> None:
    """The day wine has it, the version in the list can be raised."""
    newer = wheels.download([f"{wheel.name}=={wheel.version}"], tmp_path / "house")
    venv.pip(newer, "--target", wine.name(tmp_path / "site"), f"{wheel.name}=={wheel.version}")
    program = Wheel(wheel.name, wheel.version, wheel.value, "", f"sys.path.insert(0, {wine.name(tmp_path / 'site')!r})\n{wheel.before}")
    said = output(venv, program)
    assert f"unimplemented function {wheel.ends}, aborting" in said and "value" not in said, said
