"""The platform table and the selections typed by a user, parsed once into Targets and Cells."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from graph import toml
from graph.errors import LockError, UsageError, did_you_mean
from graph.target import OPTIONS, Addon, Cell, Target, spelled

PLACE = "toolchains/targets.toml"
CHOICES = {
    "os": ("linux", "macos", "windows"),
    "libc": ("gnu", "musl", "none", "ucrt"),
    "run": ("native", "qemu", "wine", "none"),
}
"""Fields of a row that have one of a few values."""
SLICES = "slices"
BASELINE = "baseline"
OF_ROWS = (SLICES, BASELINE)
"""Fields of a row that name other rows, and that most rows lack."""
NO_COLUMN = ("triple", "sdk", *OF_ROWS)
"""Fields of Target that no row of the table gives as they are."""
TOOLCHAIN = "toolchain"
"""Name of the add-on with a compiler."""
ADDONS = (TOOLCHAIN,)
"""Names of all add-ons."""
FREETHREADED_SINCE = (3, 13)
"""PEP 703: the first version that can be built without the global interpreter lock."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """All that can be built: targets by triple, the Python versions offered (default first), and the build hosts."""

    targets: Mapping[str, Target]
    versions: tuple[str, ...]
    hosts: Mapping[str, str]
    """Host platform (os-arch, as in linux-x86_64) -> triple of the target that it runs natively."""
    only: str = ""
    """The system (Target.os) whose targets alone are built on this host; empty where all are."""

    @property
    def offered(self) -> tuple[Target, ...]:
        """The targets that are built on this host."""
        return tuple(target for target in self.targets.values() if self.only in ("", target.os))

    def default(self, target: Target) -> Cell:
        return Cell(target, self.versions[0], options(target.options[0]))

    def cells(self) -> tuple[Cell, ...]:
        """Every cell offered, in the order of the table."""
        return tuple(
            Cell(target, version, options(choice))
            for target in self.offered
            for version in self.versions
            for choice in target.options
            if not refusal(options(choice), version, target)
        )

    def addons(self) -> tuple[Addon, ...]:
        """Every add-on offered, in the order of the table."""
        return tuple(Addon(target, name) for target in self.offered for name in addon_names(target))


SYSTEMS = {"linux": "linux", "macos": "darwin", "windows": "windows"}
"""zig's name of an OS -> the name of its group of distributions."""


def addon_names(target: Target) -> tuple[str, ...]:
    """Names of the add-ons that the target offers, of ADDONS."""
    return ADDONS if target.zig_wheel else ()


NO_STATIC: Mapping[str, str] = {
    "gnu": "glibc loads libraries of its own version to look up names, also for a static program",
    "none": "macOS has no static libSystem",
    "ucrt": "extension modules link python3XX.dll",
}
"""libc of a target -> why no program of it stands alone."""


def refusal(chosen: tuple[str, ...], version: str, target: Target) -> str:
    """Why the target cannot have these options in this Python version; empty if it can."""
    if "freethreaded" in chosen and _numbers(version)[:2] < FREETHREADED_SINCE:
        return f"freethreaded needs Python {'.'.join(map(str, FREETHREADED_SINCE))} or later, not {version}"
    if _numbers(version) < _numbers(target.python_floor):
        return f"{target} needs Python {target.python_floor} or later, not {version}"
    return ""


def options(text: str) -> tuple[str, ...]:
    """`pgo+lto` -> ("lto", "pgo")."""
    return tuple(sorted({*text.split("+")}))


def parse_matrix(text: str) -> Matrix:
    """Read targets.toml. Raises LockError with the table and key."""
    try:
        data = toml.loads(text)
    except toml.TOMLDecodeError as error:
        raise LockError(f"not TOML: {error}", place=PLACE, hint=f"git diff {PLACE}") from error
    rows = _table(data, "targets")
    whole = {triple: _whole(triple, rows) for triple in rows}
    plain = {triple: _target(triple, {key: value for key, value in row.items() if key not in OF_ROWS}) for triple, row in whole.items()}
    thin = {triple: replace(target, baseline=_baseline(target, whole, plain)) for triple, target in plain.items()}
    targets = {triple: replace(target, slices=_slices(target, whole, thin)) for triple, target in thin.items()}
    python, hosts = _table(data, "python"), _table(data, "hosts")
    versions = python.get("versions", [])
    if not targets or not versions:
        raise LockError("needs [python] versions and at least one [targets.TRIPLE]", place=PLACE, hint=f"git diff {PLACE}")
    _check("[python]", "versions", "tuple[str, ...]", versions)
    for version in versions:
        if not re.fullmatch(r"\d+\.\d+\.\d+", version):
            raise LockError(f"versions: {version!r} is wrong", place=f"{PLACE}: [python]", hint="X.Y.Z is due")
    for name, triple in hosts.items():
        _check("[hosts]", name, "str", triple)
        if triple not in targets:
            raise LockError(f"{name}: {triple!r} is no target", place=f"{PLACE}: [hosts]", hint=did_you_mean(triple, targets))
    return Matrix(targets, tuple(versions), hosts)


_KINDS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "str": (lambda value: isinstance(value, str), 'a "string"'),
    "int": (lambda value: type(value) is int and value > 0, "a whole number above 0"),
    "tuple[str, ...]": (lambda v: isinstance(v, list) and all(one and isinstance(one, str) for one in v), 'a list of "strings"'),
}
"""Type of a field, as Target writes it -> its test, and what to call it."""


def _table(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = data.get(name, {})
    if not isinstance(found, dict):
        raise LockError(f"{name}: {found!r} is wrong", place=PLACE, hint=f"write a table [{name}]")
    return found


def _check(table: str, key: str, kind: str, value: object) -> None:
    is_right, due = _KINDS[kind]
    if not is_right(value):
        raise LockError(f"{key}: {value!r} is wrong", place=f"{PLACE}: {table}", hint=f"{due} is due")


def _whole(triple: str, rows: Mapping[str, Any], *users: str) -> dict[str, Any]:
    """A row with what it takes from the row that it is `like`."""
    place, row = f"{PLACE}: [targets.{triple}]", rows[triple]
    if not isinstance(row, dict):
        raise LockError(f"{row!r} is no table", place=place, hint=f"write [targets.{triple}] (quote a triple that holds a dot)")
    like = row.get("like")
    if like is None:
        return row
    if like not in rows:
        raise LockError(f"like: no row {like!r}", place=place, hint=did_you_mean(str(like), rows))
    if like in (triple, *users):
        raise LockError(f"like: {like!r} is like this row itself", place=place, hint="write out one of them")
    return {**_whole(like, rows, triple, *users), **{key: value for key, value in row.items() if key != "like"}}


def _target(triple: str, row: dict[str, Any]) -> Target:
    table = f"[targets.{triple}]"
    place = f"{PLACE}: {table}"
    kinds = {field.name: str(field.type) for field in fields(Target) if field.name not in NO_COLUMN}
    for name in sorted(set(row) - set(kinds)):
        raise LockError(f"unknown key {name!r}", place=place, hint=did_you_mean(name, kinds))
    for name in sorted(set(kinds) - set(row)):
        raise LockError(f"missing key {name!r}", place=place, hint=f"add {name} = ...")
    for name, kind in kinds.items():
        _check(table, name, kind, row[name])
    for name, choices in CHOICES.items():
        if row[name] not in choices:
            raise LockError(f"{name}: {row[name]!r} is wrong", place=place, hint=f"one of {', '.join(choices)} is due")
    if not row["options"]:
        raise LockError("options: an empty list offers nothing to build", place=place, hint='e.g. options = ["noopt"]')
    for name in (name for choice in row["options"] for name in choice.split("+") if name not in OPTIONS):
        raise LockError(f"options: {name!r} is unknown", place=place, hint=did_you_mean(name, OPTIONS))
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
    return Target(triple=triple, **values)


def _slices(target: Target, rows: Mapping[str, Mapping[str, Any]], targets: Mapping[str, Target]) -> tuple[Target, ...]:
    """The targets that a row is merged of. Raises LockError where their distributions could not be one."""
    named = rows[target.triple].get(SLICES, [])
    _check(f"[targets.{target}]", SLICES, "tuple[str, ...]", named)
    place = f"{PLACE}: [targets.{target}]"
    for name in named:
        if name not in targets:
            raise LockError(f"{SLICES}: no row {name!r}", place=place, hint=did_you_mean(name, targets))
        if rows[name].get(SLICES):
            raise LockError(f"{SLICES}: {name!r} is merged of others itself", place=place, hint="name targets that are compiled")
    slices = tuple(targets[name] for name in named)
    reason = _unlike(target, slices) if slices else ""
    if reason:
        raise LockError(f"{SLICES}: {reason}", place=place, hint="a slice offers what the whole does, for another processor")
    return slices


def _baseline(target: Target, rows: Mapping[str, Mapping[str, Any]], targets: Mapping[str, Target]) -> Target | None:
    """The target whose libraries a row may take for its own. Raises LockError where they would not be the same but for the processor."""
    name = rows[target.triple].get(BASELINE)
    if name is None:
        return None
    _check(f"[targets.{target}]", BASELINE, "str", name)
    place = f"{PLACE}: [targets.{target}]"
    if name not in targets:
        raise LockError(f"{BASELINE}: no row {name!r}", place=place, hint=did_you_mean(name, targets))
    reason = _unfit(target, targets[name], {*rows[name]})
    if reason:
        raise LockError(f"{BASELINE}: {reason}", place=place, hint="a baseline is the same target, but for what it asks of its processors")
    return targets[name]


def _unfit(target: Target, baseline: Target, keys: set[str]) -> str:
    """Why its libraries, or its row with these keys, cannot serve a target's distributions; empty if they can."""
    if keys & {*OF_ROWS}:
        return f"{baseline} has no libraries of its own"
    if target.os == "windows":
        return "libraries of Windows have recipes of their own, without levels"
    for field in fields(Target):
        if field.name not in OWN and getattr(target, field.name) != getattr(baseline, field.name):
            return f"{baseline} has {field.name} = {getattr(baseline, field.name)!r}, not {getattr(target, field.name)!r}"
    # its libraries are made for static programs only where it offers these
    ours, theirs = ({name for choice in one.options for name in options(choice)} for one in (target, baseline))
    return f"{baseline} does not offer {' and '.join(sorted(ours - theirs))}" if ours - theirs else ""


OWN = ("triple", "cpu_flags", "zig_wheel", "options")
"""Fields in which a target may differ from its baseline: what it is called, asks of the processor, and offers."""
ALIKE = ("os", "libc", "multiarch", "run")
"""Fields that all slices have as the whole: names of files, and what they are run by."""


def _unlike(target: Target, slices: tuple[Target, ...]) -> str:
    """Why no distribution can be merged of these targets'; empty if one can."""
    if len({one.arch for one in slices}) < max(2, len(slices)):
        return "two processors or more are due, each once"
    for one in slices:
        for name in (name for name in ALIKE if getattr(one, name) != getattr(target, name)):
            return f"{one} has {name} = {getattr(one, name)!r}, not {getattr(target, name)!r}"
        for choice in (choice for choice in target.options if options(choice) not in map(options, one.options)):
            return f"{one} does not offer {choice}"
    oldest = min((one.deployment_target for one in slices), key=_numbers)
    return "" if target.deployment_target == oldest else f"deployment_target is {target.deployment_target!r}, not {oldest!r}, the oldest"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def parse_selection(text: str, matrix: Matrix) -> Cell | Addon:
    """TRIPLE[:VERSION[:OPTIONS]] -> Cell, TRIPLE:ADDON -> Addon. Raises UsageError with the closest known names."""
    triple, _, rest = text.partition(":")
    target = _known(triple, matrix)
    return Addon(target, rest) if rest in addon_names(target) else parse_cell(text, matrix)


def parse_cell(text: str, matrix: Matrix) -> Cell:
    """TRIPLE[:VERSION[:OPTIONS]] -> Cell; VERSION may be major.minor. Raises UsageError with the closest known names."""
    triple, _, rest = text.partition(":")
    version, _, choice = rest.partition(":")
    target = _known(triple, matrix)
    full = _version(version, target, matrix)
    return Cell(target, full, _choice(choice, full, target, matrix.versions))


def _known(triple: str, matrix: Matrix) -> Target:
    if not triple:
        hint = f"it stands after the colon, e.g. dist:{matrix.offered[0]} (doit matrix shows all)"
        raise UsageError("no target is named", hint=hint)
    if triple not in matrix.targets:
        groups = " ".join(sorted({f"dist:{SYSTEMS[target.os]}" for target in matrix.offered}))
        hint = f"{did_you_mean(triple, matrix.targets)} (doit matrix shows all; groups: {groups} dist:all)"
        raise UsageError(f"unknown target {triple!r}", hint=hint)
    target = matrix.targets[triple]
    if target not in matrix.offered:
        reason = f"{triple} is not built on {matrix.only}: while it is built, programs of its own run"
        raise UsageError(reason, hint=f"on Linux: doit dist:{triple}; here: doit dist:{matrix.offered[0]}")
    return target


def _version(text: str, target: Target, matrix: Matrix) -> str:
    if not text:
        return matrix.versions[0]
    for version in matrix.versions:
        if (version + ".").startswith(text + "."):
            return version
    if text in addon_names(target):
        raise UsageError(f"{text} is an add-on: it has no Python to test", hint=f"doit check:{target}:{text}")
    if text in ADDONS:
        having = [str(addon.target) for addon in matrix.addons() if addon.name == text]
        what = f"there is no add-on {text} for {target}" + (f", only for {', '.join(having)}" if having else "")
        raise UsageError(what, hint=f"doit dist:{having[0]}:{text}" if having else "doit matrix shows what is built here")
    if set(options(text)) <= OPTIONS.keys():
        raise UsageError("options stand behind a Python version", hint=f"doit dist:{target}:{matrix.versions[0]}:{spelled(options(text))}")
    built = [version for version in matrix.versions if not refusal((), version, target)]
    raise UsageError(f"unknown Python version {text!r}", hint=did_you_mean(text, [*built, *addon_names(target)]))


def _choice(text: str, version: str, target: Target, versions: tuple[str, ...]) -> tuple[str, ...]:
    if text in addon_names(target):
        raise UsageError(f"the add-on {text} is one for all Python versions", hint=f"doit dist:{target}:{text}")
    chosen = options(text or target.options[0])
    for name in (name for name in chosen if name not in OPTIONS):
        raise UsageError(f"unknown option {name!r}", hint=did_you_mean(name, OPTIONS))
    reason = refusal(chosen, version, target) or _not_offered(chosen, target)
    if reason:
        raise UsageError(reason, hint=f"the nearest cell is {target}:{nearest(chosen, version, target, versions)}")
    return chosen


def _not_offered(chosen: tuple[str, ...], target: Target) -> str:
    offered = [options(choice) for choice in target.options]
    if chosen in offered:
        return ""
    absent = [name for name in chosen if not any(name in choice for choice in offered)]
    if absent:
        why = f": {NO_STATIC[target.libc]}" if "static" in absent and target.libc in NO_STATIC else ""
        return f"{target} does not offer {' and '.join(absent)}{why}"
    beside = {name: _beside(name, offered) for name in chosen}
    if len(chosen) == 1:
        return f"{target} offers {chosen[0]} together with another option only: {', '.join(beside[chosen[0]])}"
    apart = [name for name in chosen if {*chosen} - {name, *beside[name]}]
    why = f": {apart[0]} goes only with {', '.join(beside[apart[0]]) or 'itself'}" if apart else ""
    return f"{target} does not offer {'+'.join(chosen)} together{why}"


def _beside(name: str, offered: Iterable[tuple[str, ...]]) -> list[str]:
    """The options that an option is offered together with."""
    return sorted({other for choice in offered if name in choice for other in choice} - {name})


def nearest(chosen: tuple[str, ...], version: str, target: Target, versions: tuple[str, ...]) -> str:
    """VERSION:OPTIONS that is offered, of this version if any is: what shares most with `chosen` and adds least, the first of equals."""
    for one in (version, *versions):
        possible = [choice for choice in target.options if not refusal(options(choice), one, target)]
        if possible:
            best = max(possible, key=lambda choice: (len({*options(choice)} & {*chosen}), -len({*options(choice)} - {*chosen})))
            return f"{one}:{best}"
    raise LockError(f"no version is offered for {target}", place=PLACE, hint="python_floor is above all of [python] versions")
