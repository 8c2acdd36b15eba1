"""The platform table and the selections typed by a user, parsed once into Targets and Cells."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Mapping

from graph import toml
from graph.errors import LockError, UsageError, did_you_mean
from graph.target import Cell, Target

PLACE = "toolchains/targets.toml"


@dataclass(frozen=True, slots=True)
class Matrix:
    """All that can be built: targets by triple, the Python versions offered (default first), and the build hosts."""

    targets: Mapping[str, Target]
    versions: tuple[str, ...]
    hosts: Mapping[str, str]
    """Host platform (os-arch, as in linux-x86_64) -> triple of the target that it runs natively."""

    def default(self, target: Target) -> Cell:
        return Cell(target, self.versions[0], options(target.options[0]))

    def cells(self) -> tuple[Cell, ...]:
        """Every cell offered, in the order of the table."""
        return tuple(
            Cell(target, version, options(choice))
            for target in self.targets.values()
            for version in self.versions
            for choice in target.options
        )


def options(text: str) -> tuple[str, ...]:
    """`pgo+lto` -> ("lto", "pgo")."""
    return tuple(sorted(text.split("+")))


def parse_matrix(text: str) -> Matrix:
    """Read targets.toml. Raises LockError with the table and key."""
    try:
        data = toml.loads(text)
    except toml.TOMLDecodeError as error:
        raise LockError(f"not TOML: {error}", place=PLACE, hint=f"git diff {PLACE}") from error
    targets = {triple: _target(triple, row) for triple, row in data.get("targets", {}).items()}
    python = data.get("python", {})
    versions = python.get("versions", [])
    if not targets or not versions:
        raise LockError("needs [python] versions and at least one [targets.TRIPLE]", place=PLACE, hint=f"git diff {PLACE}")
    return Matrix(targets, tuple(versions), dict(data.get("hosts", {})))


def _target(triple: str, row: Mapping[str, Any]) -> Target:
    known = {field.name for field in fields(Target)} - {"triple"}
    place = f"{PLACE}: [targets.{triple}]"
    for name in sorted(set(row) - known):
        raise LockError(f"unknown key {name!r}", place=place, hint=did_you_mean(name, known))
    for name in sorted(known - set(row)):
        raise LockError(f"missing key {name!r}", place=place, hint=f"add {name} = ...")
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
    return Target(triple=triple, **values)


def parse_cell(text: str, matrix: Matrix) -> Cell:
    """TRIPLE[:VERSION[:OPTIONS]] -> Cell; VERSION may be major.minor. Raises UsageError with the closest known names."""
    triple, _, rest = text.partition(":")
    version, _, choice = rest.partition(":")
    target = matrix.targets.get(triple)
    if target is None:
        raise UsageError(f"unknown target {triple!r}", hint=f"{did_you_mean(triple, matrix.targets)} (doit matrix shows all)")
    return Cell(target, _version(version, matrix), _choice(choice, target))


def _version(text: str, matrix: Matrix) -> str:
    if not text:
        return matrix.versions[0]
    for version in matrix.versions:
        if (version + ".").startswith(text + "."):
            return version
    raise UsageError(f"unknown Python version {text!r}", hint=f"known: {', '.join(matrix.versions)}")


def _choice(text: str, target: Target) -> tuple[str, ...]:
    chosen = options(text or target.options[0])
    if chosen not in [options(offered) for offered in target.options]:
        raise UsageError(f"{target} does not offer the option {text!r}", hint=did_you_mean(text, target.options))
    return chosen
