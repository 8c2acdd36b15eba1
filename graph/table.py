"""The platform table printed: rows of `doit matrix`, the table of docs/targets.md, and the names of all archives of a release."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from graph.matrix import Matrix
from graph.target import OPTIONS, Addon, Cell, Target

RUNS = {"native": "natively", "qemu": "under qemu-user", "wine": "under wine", "none": "not run, audited"}


def rows(matrix: Matrix, addons: Iterable[Addon]) -> list[dict[str, str]]:
    """One a cell, then one an add-on, by column."""
    cells = (_row(cell.target, cell.version, "+".join(cell.options), _note(matrix, cell)) for cell in matrix.cells())
    return [*cells, *(_row(addon.target, "any", addon.name, "add-on") for addon in addons)]


def cells(matrix: Matrix, addons: Iterable[Addon]) -> list[dict[str, str]]:
    """The rows for programs: with the name to type, and no column without one."""
    names = [f"dist:{one}" for one in (*matrix.cells(), *addons)]
    plain = ({column or "note": text for column, text in row.items()} for row in rows(matrix, addons))
    return [{"dist": name, **row} for name, row in zip(names, plain, strict=True)]


def _note(matrix: Matrix, cell: Cell) -> str:
    return "default" if cell == matrix.default(cell.target) else ""


def _row(target: Target, version: str, options: str, note: str) -> dict[str, str]:
    return {"target": str(target), "python": version, "options": options, "oldest system": oldest(target), "run": target.run, "": note}


def oldest(target: Target) -> str:
    """The oldest libc or system that it runs on."""
    if target.os == "macos":
        return f"macOS {target.deployment_target}"
    return f"{ {'gnu': 'glibc', 'musl': 'musl'}[target.libc] } {target.libc_floor}"


def columns(table: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines with aligned columns."""
    widths = [max(len(row[index]) for row in table) for index in range(len(table[0]))]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in table]


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
