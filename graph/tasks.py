"""The doit side of the graph: one task a node, groups, checks and tests; doit orders them and is asked for nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from heapq import heappop, heappush
from itertools import count
from pathlib import Path
from typing import Any

from doit.exceptions import TaskFailed
from doit.task import Task

from graph.checks import check_dist, test_cell
from graph.errors import FreestandingError, import_error, os_error
from graph.groups import DELIVERED
from graph.recipes.cpython_modules import remarks
from graph.session import Session
from graph.target import Addon


def tasks(session: Session) -> Iterator[Task]:
    """All tasks of the session's plan; in brief only those with a doc."""
    if session.brief:
        yield from _shown(session)
        return
    chosen = session.plan.nodes.keys() if session.chosen is None else session.chosen
    addons = {f"dist:{addon}": _addon_doc(addon) for addon in session.addons}
    for name, node in session.plan.nodes.items():
        if name in chosen:
            dist = node.kind in DELIVERED
            yield _task(
                name,
                _guarded(session, _realise_and_deliver if dist else _realise),
                uptodate=[(_is_delivered if dist else _is_cached, [session, name])],
                task_dep=[given.node for given in node.inputs if given.node in chosen],
                doc=addons.get(name),
            )
    yield from (task for task in _groups(session) if chosen >= set(task.task_dep))
    yield from _checks(session, chosen)


def _checks(session: Session, chosen: AbstractSet[str]) -> Iterator[Task]:
    for cell in (cell for cell in session.cells if f"dist:{cell}" in chosen):
        run = session.machine_nodes(cell.target)
        for kind, action, needs in (("check", check_dist, ()), ("test", test_cell, run)):
            names = [f"{kind}:{cell}", *([f"{kind}:{cell.target}"] if cell == session.matrix.default(cell.target) else [])]
            for name in names:
                yield _task(name, _guarded(session, action, cell), task_dep=[f"dist:{cell}", *(need for need in needs if need in chosen)])
    for addon in (addon for addon in session.addons if f"dist:{addon}" in chosen):
        yield _task(f"check:{addon}", _guarded(session, check_dist, addon), task_dep=[f"dist:{addon}"])


def _groups(session: Session) -> Iterator[Task]:
    for name, members in session.groups.items():
        yield Task(name, None, task_dep=list(members), doc=f"{len(members)} distributions" if len(members) > 1 else members[0])


def _shown(session: Session) -> Iterator[Task]:
    """What the platform table offers: no node is planned for it, and no recipe loaded."""
    yield from _groups(session)
    for addon in session.matrix.addons():
        yield Task(f"dist:{addon}", None, doc=_addon_doc(addon))


def _addon_doc(addon: Addon) -> str:
    return f"the {addon.name} add-on"


def config(session: Session) -> dict[str, Any]:
    """doit's settings for this session."""
    return {
        "backend": "none",
        "dep_file": "none",
        "default_tasks": [],
        "num_process": session.threads,
        "par_type": "thread",
        "reporter": Reporter(session),
        "verbosity": 2,
    }


def _task(name: str, action: Callable[[str], object], *, doc: str | None = None, **more: Any) -> Task:
    """A task of one node, check or test; `doit list` shows only those that have a doc."""
    # doit swaps sys.stdout to capture output, which threads would share
    return Task(name, [(action, [name])], io={"capture": False}, subtask_of=None if doc else "node", doc=doc, **more)


def _guarded(session: Session, action: Callable[..., object], *args: Any) -> Callable[[str], object]:
    """The action with its user errors turned into doit's failure, and kept for the exit code."""

    def run(name: str) -> object:
        try:
            action(session, *(args or (name,)))
        except FreestandingError as caught:
            error = caught
        except OSError as caught_os:
            error = os_error(caught_os, Path(caught_os.filename or session.root))
        except ImportError as unloaded:
            error = import_error(unloaded)
        else:
            return True
        session.failures.append(error)
        return TaskFailed(str(error))

    return run


def _realise(session: Session, name: str) -> None:
    session.build.realise(name)


def _realise_and_deliver(session: Session, name: str) -> None:
    session.build.realise(name)
    for path in session.delivery.deliver(name):
        session.reporter.line(f"dist {path.relative_to(session.root)}")


def _is_cached(session: Session, name: str) -> bool:
    # doit asks on its main thread, where an error would end all running nodes: the node itself meets it again, and is told
    with suppress(FreestandingError):
        return session.build.is_cached(name)
    return False


def _is_delivered(session: Session, name: str) -> bool:
    with suppress(FreestandingError):
        return session.build.is_cached(name) and session.delivery.is_delivered(name)
    return False


def turns(session: Session, selected: Iterable[str]) -> dict[str, int]:
    """Tasks, and the nodes that they need: the position of the first task that needs it, each distribution of a group for itself."""
    roots = [(task, session.nodes_of([task])) for task in selected]
    found = session.plan.first_users(node for _, nodes in roots for node in nodes)
    # a check comes with its distribution
    return found | {task: max(found[node] for node in nodes) for task, nodes in roots if task not in found}


class Ready:
    """A queue in the place of the one in which doit keeps the tasks that may start: earliest turn first, and in order of arrival.

    First in, first out alone would begin all distributions of a run before it ends one.
    """

    def __init__(self, turns: Mapping[str, int]) -> None:
        self._turns = turns
        self._heap: list[tuple[int, int, Any]] = []
        self._arrivals = count()

    def append(self, node: Any) -> None:
        """One of doit's ExecNodes."""
        heappush(self._heap, (self._turns.get(node.task.name, len(self._turns)), next(self._arrivals), node))

    def popleft(self) -> Any:
        return heappop(self._heap)[2]

    def __len__(self) -> int:
        return len(self._heap)


class InTurn:
    """Mixin of doit's run: starts what the tasks named first need before what later ones need."""

    turns: Mapping[str, int] = {}
    _control: Any = None

    @property
    def control(self) -> Any:
        """doit's TaskControl, which makes the dispatcher that has the queue."""
        return self._control

    @control.setter
    def control(self, control: Any) -> None:
        make = control.task_dispatcher

        def dispatcher() -> Any:
            made = make()
            made.ready = Ready(self.turns)
            return made

        control.task_dispatcher = dispatcher
        self._control = control


class Reporter:
    """doit's reporter, as far as a build needs it: totals, failures as they come, the summary."""

    desc = "freestanding's own"

    def __init__(self, session: Session) -> None:
        self._session = session
        self._failed = 0

    def initialize(self, tasks: dict[str, Task], selected_tasks: list[str]) -> None:
        nodes = [name for name in selected_tasks if name in self._session.plan.nodes]
        groups = [member for name in selected_tasks for member in tasks[name].task_dep if member in self._session.plan.nodes]
        wanted = {*nodes, *groups}
        for line in remarks(cell for cell in self._session.cells if f"dist:{cell}" in wanted):
            self._session.reporter.line(f"note {line}")
        closure = self._session.plan.closure(wanted)
        looked_at = [name for name in closure if self._session.chosen is None or name in self._session.chosen]
        self._session.reporter.begin(len(closure), len(closure) - len(looked_at))
        self._session.look_ahead(looked_at)

    def add_failure(self, task: Task, fail: Any) -> None:
        if type(fail).__name__ == "UnmetDependency":
            return
        self._failed += 1
        self._session.reporter.line(f"FAILED {task.name}\n{fail.get_msg() if hasattr(fail, 'get_msg') else fail}")

    def runtime_error(self, msg: str) -> None:
        self._session.reporter.line(msg)

    def cleanup_error(self, exception: Exception) -> None:
        self._session.reporter.line(str(exception))

    def complete_run(self) -> None:
        self._session.settle()
        self._session.reporter.end(self._failed)
        self._session.write_run()

    def _nothing(self, task: Task) -> None:
        """Nodes report themselves: they know when they wait and when they work."""

    get_status = execute_task = add_success = skip_uptodate = skip_ignore = teardown_task = _nothing


class NoDatabase:
    """doit's backend: nothing is kept. Whether a node is done is the store's knowledge alone."""

    desc = "keeps nothing"

    def __init__(self, name: str, codec: object, module_name: str = "") -> None:
        self.name = name
        self._values: dict[str, dict[str, Any]] = {}

    def dump(self) -> None:
        pass

    def set(self, task_id: str, dependency: str, value: Any) -> None:
        self._values.setdefault(task_id, {})[dependency] = value

    def get(self, task_id: str, dependency: str) -> Any:
        return self._values.get(task_id, {}).get(dependency)

    def in_(self, task_id: str) -> bool:
        return task_id in self._values

    def remove(self, task_id: str) -> None:
        self._values.pop(task_id, None)

    def remove_all(self) -> None:
        self._values.clear()
