"""Why a node runs: which lines of its manifest differ from the last one that was built."""

from __future__ import annotations

from graph.node import Manifest


def diff(old: Manifest, new: Manifest) -> tuple[str, ...]:
    """One text per line of the manifest that was added (+), dropped (-) or changed (~), in the order of the new manifest."""
    before, after = dict(old), dict(new)
    lines: list[str] = []
    for name, value in after.items():
        if name not in before:
            lines.append(f"+ {name} = {value}")
        elif before[name] != value:
            lines.append(f"~ {name}: {before[name]} -> {value}")
    lines.extend(f"- {name} = {value}" for name, value in before.items() if name not in after)
    return tuple(lines)
