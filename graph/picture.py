"""The graph as text for Graphviz (DOT) and as a picture (SVG) that needs no Graphviz."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from graph.plan import Plan

COLOURS = {
    "fetch": "#dbe9f6",
    "source": "#cfe3f1",
    "toolchain": "#e6e0f0",
    "libc": "#e6e0f0",
    "configure": "#fff3c4",
    "make": "#fde2b8",
    "core": "#f9d5a7",
    "ext": "#fbd9c6",
    "stdlib": "#dcefd9",
    "assemble": "#c9e7c4",
    "dist": "#a9d8a2",
}
"""Fill of a node, by kind; white for others."""

CHARACTER = 7.2
"""Width of a character in the picture, in user units (12 px monospace)."""
ROW, COLUMN, BOX = 34, 60, 24
"""Distance of rows, gap between columns, height of a box, in user units."""


def dot(plan: Plan, names: Iterable[str]) -> str:
    """The nodes `names` and the edges between them, in Graphviz's language."""
    chosen = tuple(names)
    lines = ["digraph freestanding {", "  rankdir=LR; node [shape=box, style=filled, fontname=monospace];"]
    for name in chosen:
        lines.append(f'  "{name}" [fillcolor="{_colour(plan, name)}"];')
    for source, name in _edges(plan, chosen):
        lines.append(f'  "{source}" -> "{name}";')
    return "\n".join([*lines, "}", ""])


def svg(plan: Plan, names: Iterable[str]) -> str:
    """The same as a picture: a column per depth (longest way from a source), edges from left to right."""
    chosen = tuple(names)
    columns = _columns(plan, chosen)
    places, width, height = _places(columns)
    body = [_edge(places[source], places[name]) for source, name in _edges(plan, chosen)]
    body += [_box(name, places[name], _colour(plan, name)) for name in chosen]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}">'
    style = "<style>text{font:12px monospace}path{fill:none;stroke:#9aa;stroke-width:1}rect{stroke:#667}</style>"
    return "\n".join([head, style, '<rect width="100%" height="100%" fill="white" stroke="none"/>', *body, "</svg>", ""])


Place = tuple[float, float, float]
"""x, y, width of a box in user units."""


def _colour(plan: Plan, name: str) -> str:
    return COLOURS.get(plan[name].kind, "#ffffff")


def _edges(plan: Plan, names: tuple[str, ...]) -> list[tuple[str, str]]:
    chosen = set(names)
    found = {(given.node, name): None for name in names for given in plan[name].inputs if given.node in chosen}
    return list(found)


def _columns(plan: Plan, names: tuple[str, ...]) -> list[list[str]]:
    depth: dict[str, int] = {}
    for name in names:  # topological order: inputs come first
        depth[name] = 1 + max((depth[given.node] for given in plan[name].inputs if given.node in depth), default=-1)
    columns: list[list[str]] = [[] for _ in range(1 + max(depth.values(), default=-1))]
    for name, column in depth.items():
        columns[column].append(name)
    return columns


def _places(columns: list[list[str]]) -> tuple[dict[str, Place], float, float]:
    places: dict[str, Place] = {}
    x = 10.0
    height = max((len(column) for column in columns), default=0) * ROW + 20
    for column in columns:
        width = max(len(name) for name in column) * CHARACTER + 12
        top = (height - len(column) * ROW) / 2
        for row, name in enumerate(column):
            places[name] = (x, top + row * ROW, len(name) * CHARACTER + 12)
        x += width + COLUMN
    return places, x - COLUMN + 10, height


def _edge(source: Place, target: Place) -> str:
    x1, y1, x2, y2 = source[0] + source[2], source[1] + BOX / 2, target[0], target[1] + BOX / 2
    middle = (x1 + x2) / 2
    return f'<path d="M{x1:.0f},{y1:.0f} C{middle:.0f},{y1:.0f} {middle:.0f},{y2:.0f} {x2:.0f},{y2:.0f}"/>'


def _box(name: str, place: Place, colour: str) -> str:
    x, y, width = place
    box = f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{BOX}" rx="3" fill="{colour}"/>'
    return f'{box}<text x="{x + 6:.0f}" y="{y + 16:.0f}">{escape(name)}</text>'
