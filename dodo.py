"""doit's entry point: the plan of this checkout, as tasks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from doit.task import Task

from graph.session import session
from graph.tasks import config, tasks

SESSION = session(Path(__file__).resolve().parent)
DOIT_CONFIG = config(SESSION)


def task_freestanding() -> Iterator[Task]:
    """Every node, group, check and test."""
    yield from tasks(SESSION)
