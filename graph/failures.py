"""How a node's failure is told: the step, the end of its log, what may be missing, and what to type next."""

from __future__ import annotations

from pathlib import Path

from graph.errors import StepFailed
from graph.node import Node, Run
from graph.sandbox import explain_failure

TAIL_LINES = 25
"""Lines of a failed step's log that are shown."""


def step_failed(node: Node, action: Run, number: int, status: int, log: Path) -> StepFailed:
    """Step `number` (from 0) ended with this status; `log` is the file that says what it printed."""
    tail = log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
    step = action.steps[number]
    what = [
        f"step {number + 1} of {len(action.steps)} ended with status {status}: {' '.join(step.argv)}",
        *("  | " + line for line in tail),
    ]
    undeclared = explain_failure("\n".join(tail), action.tools)
    if undeclared:
        what.append(f"  {undeclared}")
    what.append(f"  log: {log}")
    return StepFailed("\n".join(what), place=node.name, hint=f"doit shell {node.name}")


def no_output(node: Node, action: Run) -> StepFailed:
    """All steps ended well, and what they were to make is not there."""
    return StepFailed(f"the steps ended well but made no {action.output}/", place=node.name, hint=f"doit shell {node.name}")
