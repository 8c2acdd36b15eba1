"""The platform table printed: rows of `doit matrix`, the table of docs/targets.md, and the names of all archives of a release."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from graph.lock import Lock
from graph.matrix import Matrix
from graph.recipes import toolchain_addon
from graph.recipes.common import Context, Host
from graph.recipes.distribution import FLAVOURS, archive_name
from graph.target import OPTIONS, Addon, Cell, Target

RUNS = {"native": "natively", "qemu": "under qemu-user", "wine": "under wine only", "none": "not run, audited"}


def rows(matrix: Matrix, addons: Iterable[Addon]) -> list[dict[str, str]]:
    """One a cell, then one an add-on, by column; `dist` is the name to type."""
    cells = (_row(cell, cell.version, "+".join(cell.options), _note(matrix, cell)) for cell in matrix.cells())
    return [*cells, *(_row(addon, "any", addon.name, "add-on") for addon in addons)]


def archives(matrix: Matrix, addons: Iterable[Addon], host: Host, lock: Lock) -> dict[str, list[str]]:
    """Per `dist` of the rows the archives that it leaves in dist/, by name, in the order of the rows. (Installers: `doit zip:`, `msi:`.)"""

    def of(cell: Cell) -> Context:
        return Context(cell, host, lock, {})

    cells = {f"dist:{cell}": [archive_name(of(cell), flavour) for flavour in FLAVOURS] for cell in matrix.cells()}
    return cells | {f"dist:{addon}": [toolchain_addon.archive_name(of(matrix.default(addon.target)))] for addon in addons}


def _note(matrix: Matrix, cell: Cell) -> str:
    return "default" if cell == matrix.default(cell.target) else ""


def _row(dist: Cell | Addon, version: str, options: str, note: str) -> dict[str, str]:
    target = dist.target
    named = {"dist": f"dist:{dist}", "target": str(target), "python": version, "options": options}
    return {**named, "oldest system": oldest(target), "run": target.run, "note": note}


def oldest(target: Target) -> str:
    """The oldest libc or system that it runs on."""
    if target.os == "macos":
        return f"macOS {target.deployment_target}"
    if target.os == "windows":
        return "Windows 10"
    return f"{ {'gnu': 'glibc', 'musl': 'musl'}[target.libc] } {target.libc_floor}"


def remarks(matrix: Matrix) -> Iterator[str]:
    """A line on each target that nobody ran on its own system."""
    for target in matrix.offered:
        if target.run == "wine":
            yield f"{target}: run under wine only, never on Windows (docs/windows.md)"
        elif target.run == "none" and target.os == "windows":
            yield f"{target}: built and audited only, never run (docs/windows.md)"


def columns(table: Sequence[Mapping[str, str]]) -> list[str]:
    """Rows, one at least, as lines with aligned columns and their names above; the name to type is made of the others."""
    names = [name for name in table[0] if name != "dist"]
    lines = [["" if name == "note" else name for name in names], *([row[name] for name in names] for row in table)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def markdown(matrix: Matrix) -> Iterator[str]:
    """Lines of docs/targets.md: a table of targets, and one of options."""
    yield "| target | oldest system | processor | pages | run here | options, the best first |"
    yield "|---|---|---|---:|---|---|"
    for target in matrix.targets.values():
        flags = " ".join(flag.removeprefix("-m") for flag in target.cpu_flags) or " and ".join(one.arch for one in target.compiled)
        offered = ", ".join(f"`{choice}`" for choice in target.options)
        yield f"| `{target}` | {oldest(target)} | {flags} | {target.page_size >> 10} KiB | {RUNS[target.run]} | {offered} |"
    yield ""
    yield "| option | what it is |"
    yield "|---|---|"
    for name, what in OPTIONS.items():
        yield f"| `{name}` | {what} |"
