"""One process of freestanding: the repository it works on, the plan, and the effects, each made when first asked for."""

from __future__ import annotations

import gc
import importlib
import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from difflib import get_close_matches
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from graph import toml, trace
from graph.build import Build, Workshop
from graph.delivery import Delivery
from graph.errors import (
    FreestandingError,
    LockError,
    MissingBlob,
    PlanError,
    RemoteError,
    SandboxError,
    StoreError,
    UsageError,
    did_you_mean,
)
from graph.farm import Farm
from graph.fetch import Fetcher
from graph.groups import KINDS, groups_of, installer
from graph.hosttools import HostTools, ToolTable, parse_tools
from graph.jobserver import Jobserver
from graph.local import Brought, parse_brought, with_brought
from graph.lock import Lock, parse_lock
from graph.machine import Emulated, Machine, Native, Wine, check_wine, lacking, processor
from graph.matrix import Matrix, parse_cell, parse_matrix, parse_selection
from graph.node import Fetch, File
from graph.plan import Plan, check_patches, make_plan
from graph.recipes.common import Context, Host, Recipe, Scoped
from graph.remote.connect import connect_farm
from graph.remote.execute import Executor
from graph.remote.settings import FarmSettings, Settings, parse_farm, parse_settings
from graph.report import PlainReporter, make_reporter
from graph.result import ActionResult
from graph.sandbox import PlainRunner, Runner, select_runner
from graph.shared import SharedStore, open_shared
from graph.store import Store
from graph.target import Addon, Cell, Target
from graph.upkeep import LOCAL

RECIPES = "graph.recipes.registry:RECIPES"

LOOK_UPS = 16
"""Questions to a remote store at once."""
WAITING = 28
"""Nodes, beside those that run, that other machines may be waited for at once."""

REPOSITORY_FOLDERS = ("patches", "toolchains", "graph/runtime")
"""Folders whose files recipes may put into nodes."""

RUNS = ("native", "qemu", "wine")
"""Values of `run` in the platform table with which programs run on a build host."""


class Session:
    """Everything that a command needs, for the repository at `root`."""

    def __init__(self, root: Path, environ: Mapping[str, str] = os.environ) -> None:
        self.root = root
        self.environ = environ
        self.offline = environ.get("FREESTANDING_OFFLINE", "") not in ("", "0")
        self.failures: list[FreestandingError] = []
        self.brief = False
        """Only tasks that `doit list` shows are wanted."""
        self.sources: list[str] = [text for text in environ.get("FREESTANDING_SOURCES", "").split(os.pathsep) if text]
        """NAME=PATH: local sources in the place of the lock's."""
        self.vcruntime = environ.get("FREESTANDING_VCRUNTIME", "")
        """Folder with Microsoft's C and C++ run time, for Windows distributions."""
        self.remote_url = ""
        """The command line's remote store, whether to push to it, and to claim what is to be pushed."""
        self.push = self.claim = False
        self.farm_url = self.farm_jobs = ""
        """The command line's farm, and how many actions it may have at once."""
        self.chosen: frozenset[str] | None = None
        """The nodes that the run has to look at; None before any are chosen: all."""

    @property
    def lock(self) -> Lock:
        return self._given[0]

    @property
    def matrix(self) -> Matrix:
        return self._given[1]

    @cached_property
    def _given(self) -> tuple[Lock, Matrix]:
        """sources.lock and the platform table, with what the user brings in them."""
        lock, matrix = parse_lock(self.read("sources.lock")), parse_matrix(self.read("toolchains/targets.toml"))
        lock, matrix = with_brought(lock, matrix, self._brought, self._local_folder)
        # Linux's emulators do not run on a Mac
        return lock, replace(matrix, only="macos" if platform.system() == "Darwin" else "")

    @cached_property
    def _brought(self) -> Brought:
        # Apple's SDK: the variable that Apple's tools go by
        return parse_brought(self.sources, self.environ.get("SDKROOT", ""), self.vcruntime)

    @property
    def _local_folder(self) -> Path:
        return self.store_root / LOCAL

    @cached_property
    def files(self) -> Mapping[str, File]:
        """The repository's files that nodes may hold, by path."""
        return {file.path: file for folder in REPOSITORY_FOLDERS for file in _read_folder(self.root, folder)}

    @cached_property
    def host(self) -> Host:
        """The build host's row of the platform table. Raises UsageError when it has none."""
        name = f"{_OS_NAMES.get(platform.system(), platform.system().lower())}-{_ARCH_NAMES.get(platform.machine(), platform.machine())}"
        triple = self.matrix.hosts.get(name)
        if triple is None:
            raise UsageError(f"cannot build on {name}", hint=f"build hosts: {', '.join(self.matrix.hosts)} (toolchains/targets.toml)")
        return Host(name, self.matrix.targets[triple])

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        return self.matrix.cells()

    @cached_property
    def addons(self) -> tuple[Addon, ...]:
        """Every add-on offered that the recipes make."""
        return tuple(addon for addon in self.matrix.addons() if f"dist:{addon}" in self.plan.nodes)

    @cached_property
    def plan(self) -> Plan:
        """The plan of the whole matrix."""
        # some hundred thousand values and no cycle among them: collecting garbage meanwhile is a fifth of the time
        gc.disable()
        try:
            return self._make_plan()
        finally:
            # nor is any of them ever garbage
            gc.freeze()
            gc.enable()

    def _make_plan(self) -> Plan:
        first = Context(self.cells[0], self.host, self.lock, self.files, self.matrix.versions[0])
        contexts = [replace(first, cell=cell) for cell in self.matrix.cells()]
        plan = make_plan(contexts, self.recipes())
        # elsewhere patches of other systems have no node
        if not self.matrix.only:
            check_patches(plan, self.files, self.lock)
        return plan

    def recipes(self) -> tuple[Recipe | Scoped, ...]:
        """[tool.freestanding] recipes = "module:ATTRIBUTE" in pyproject.toml; without it the project's own."""
        place = "pyproject.toml: [tool.freestanding] recipes"
        named = self._configuration.get("recipes", RECIPES)
        module, _, attribute = named.partition(":")
        try:
            return tuple(getattr(importlib.import_module(module), attribute))
        except (ImportError, AttributeError, ValueError) as error:
            raise PlanError(f"{named!r} cannot be imported: {error}", place=place, hint=f'e.g. recipes = "{RECIPES}"') from error

    @cached_property
    def _configuration(self) -> Mapping[str, Any]:
        """[tool.freestanding] of pyproject.toml."""
        found: Mapping[str, Any] = toml.loads(self.read("pyproject.toml")).get("tool", {}).get("freestanding", {})
        return found

    @cached_property
    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Short names -> the nodes they stand for."""
        return groups_of(self.matrix)

    def selection(self, name: str) -> Cell | Addon:
        """dist:TRIPLE[:VERSION[:OPTIONS]] or dist:TRIPLE:ADDON. Raises UsageError."""
        return parse_selection(name.removeprefix("dist:"), self.matrix)

    def resolve(self, names: Iterable[str]) -> tuple[str, ...]:
        """Node names that typed names stand for. Raises UsageError with the closest known names."""
        found: list[str] = []
        for name in names:
            if name in self.plan.nodes:
                found.append(name)
            elif name in self.groups:
                found.extend(self.groups[name])
            elif name.startswith("dist:"):
                found.append(f"dist:{self.selection(name)}")
            elif name.partition(":")[0] in KINDS:
                found.append(self.plan[installer(name, self.matrix)].name)
            else:
                triple, colon, rest = name.partition(":")
                close = get_close_matches(triple, map(str, self.matrix.offered), n=1, cutoff=0.8)
                near = f"did you mean dist:{close[0]}{colon}{rest}?" if close else did_you_mean(name, [*self.groups, *self.plan.nodes])
                raise UsageError(f"unknown node {name!r}", hint=f"{near} (doit list --all shows all)")
        return tuple(dict.fromkeys(found))

    def task_names(self, names: Iterable[str]) -> list[str]:
        """doit's names for what was typed: a node, a group, dist: or check: of a cell or add-on, or test: of a cell. Raises UsageError."""
        found = []
        for name in names:
            kind, _, chosen = name.partition(":")
            if kind == "check":
                found.append(f"check:{self.selection(chosen)}")
            elif kind == "test":
                cell = parse_cell(chosen, self.matrix)
                self.check_runs(cell.target)
                found.append(f"test:{cell}")
            elif name in self.groups:
                found.append(name)
            else:
                found.extend(self.resolve([name]))
        return found

    @cached_property
    def store(self) -> Store:
        """The local store, with the remote one and the farm behind it if there are such. Raises RemoteError."""
        settings = self.remote
        if settings is not None and self.offline and settings.scheme != "file":
            settings = None
        if settings is None and self._executor is None:
            return Store(self.store_root, self.reporter.line)
        if settings is not None and settings.claim and isinstance(self.runner, PlainRunner):
            # nothing that is made here will be given: nobody should wait for it
            settings = replace(settings, claim=False)
        return open_shared(self.store_root, settings, self._may_leave, self.reporter, self._executor)

    @cached_property
    def farm_settings(self) -> FarmSettings | None:
        """Settings of the farm, if there is one to use. Raises RemoteError."""
        table = self._configuration.get("remote", {})
        return None if self.offline else parse_farm(table, self.environ, farm=self.farm_url, jobs=self.farm_jobs)

    @cached_property
    def _executor(self) -> Executor | None:
        return connect_farm(self.farm_settings.server, self.reporter.moved) if self.farm_settings else None

    @cached_property
    def farm(self) -> Farm | None:
        """The farm that runs nodes, if there is one. Raises RemoteError."""
        if self.farm_settings is None or self._executor is None or not isinstance(self.store, SharedStore):
            return None
        tools = HostTools(self._tool_table)
        return Farm(self._executor, self.store, tools, self.farm_settings, self._may_leave, self.reporter.line)

    @property
    def remote(self) -> Settings | None:
        """Settings of the remote store, if there is one. Raises RemoteError."""
        table = self._configuration.get("remote", {})
        return parse_settings(table, self.environ, url=self.remote_url, push=self.push, claim=self.claim)

    @property
    def threads(self) -> int:
        """Nodes that may be at work: running, downloaded, about to run, on a farm, or (with claims) on other machines."""
        remote = farm = None
        # asked for by every command; the one that needs the remote store tells what is wrong with it
        with suppress(RemoteError):
            remote = self.remote
            farm = self.farm_settings
        return self.jobs + 4 + (WAITING if remote is not None and remote.claim else 0) + (farm.jobs if farm is not None else 0)

    def _may_leave(self, name: str) -> bool:
        return name not in self._private

    @cached_property
    def _private(self) -> frozenset[str]:
        """Nodes made from what the user brought: no way of the lock leads to it. They stay on this machine."""
        fetches = {name: node.action.source for name, node in self.plan.nodes.items() if isinstance(node.action, Fetch)}
        local = [name for name, source in fetches.items() if not self.lock.sources[source].ways]
        return frozenset((*local, *self.plan.users(local)))

    def choose(self, tasks: Iterable[str], *, whole: bool = False) -> None:
        """Set `chosen` for a run of these tasks (as task_names() gives them); `whole`: all that they are made from."""
        nodes = self.nodes_of(tasks)
        # what is pushed may be anything that the store here has
        pushes = isinstance(self.store, SharedStore) and self.store.pushes
        self.chosen = frozenset(self.plan.closure(nodes) if pushes or whole else self.build.needed(nodes))

    def nodes_of(self, tasks: Iterable[str]) -> tuple[str, ...]:
        """The nodes that tasks (as task_names() gives them) stand for, or need."""
        return tuple(node for task in tasks for node in self._nodes_of(task))

    def _nodes_of(self, task: str) -> tuple[str, ...]:
        kind, _, chosen = task.partition(":")
        if task in self.groups:
            return self.groups[task]
        if kind not in ("check", "test"):
            return (task,)
        cell = self.selection(chosen)
        return (f"dist:{cell}", *(self.machine_nodes(cell.target) if kind == "test" else ()))

    def look_ahead(self, names: Iterable[str]) -> None:
        """Ask a remote store early, and in parallel, for `names`, given in topological order."""
        if isinstance(self.store, SharedStore):
            self.build.look_ahead(names, LOOK_UPS)

    def settle(self) -> None:
        """Wait for what goes to a remote store, and say what it gave and took."""
        if isinstance(self.store, SharedStore):
            self.store.flush()
            if self.store.results or self.store.pushed:
                self.reporter.line(f"remote: {self.store.results} results taken, {self.store.pushed} pushed")
        for line in trace.summary(self._spans()):
            self.reporter.line(line)

    def abandon(self) -> None:
        """Ctrl-C: end the steps, and what moves to and from a remote store."""
        self.build.stop()
        if isinstance(self.store, SharedStore):
            self.store.abandon()

    @property
    def store_root(self) -> Path:
        """Where the local store is."""
        given = self.environ.get("FREESTANDING_STORE")
        return Path(given).expanduser().absolute() if given else self.root / ".store"

    @cached_property
    def fetcher(self) -> Fetcher:
        named = tuple(Path(part).expanduser() for part in self.environ.get("FREESTANDING_MIRROR", "").split(os.pathsep) if part)
        mirrors = (*self._brought.mirrors(self._local_folder), *named)
        return Fetcher(mirrors=mirrors, offline=self.offline, cache=self.store.downloads, warn=self.reporter.line)

    @cached_property
    def jobs(self) -> int:
        """Jobs that may run at once: FREESTANDING_JOBS, or the cores this process may use."""
        given = self.environ.get("FREESTANDING_JOBS", "")
        if given and not (given.isdecimal() and int(given)):
            raise UsageError(f"FREESTANDING_JOBS is {given!r}, not a number above 0", hint="unset FREESTANDING_JOBS")
        return int(given) if given else _cores()

    @cached_property
    def runner(self) -> Runner:
        return select_runner(HostTools(self._tool_table), self.environ)

    @cached_property
    def _tool_table(self) -> ToolTable:
        return parse_tools(self.read("toolchains/host-tools.toml"))

    @cached_property
    def tools(self) -> Mapping[str, str]:
        """Set of host tools -> what it lets a step see, as manifests tell it."""
        sets = self._tool_table.sets.items()
        return {name: " ".join((*sorted(one.programs), *sorted(one.libraries), *one.folders)) for name, one in sets}

    @cached_property
    def reporter(self) -> PlainReporter:
        return make_reporter()

    @cached_property
    def build(self) -> Build:
        # modes of what this process makes in a sandbox must not depend on its caller
        os.umask(0o022)
        if isinstance(self.runner, PlainRunner):
            self.reporter.line(f"no sandbox here ({self.runner.reason}): environment scrubbed, results marked non-hermetic")
        # what killed runs left behind; a store that cannot be written is told by the first node that has to
        with suppress(StoreError):
            self.store.sweep()
        workshop = Workshop(self.store, self.runner, self.fetcher, Jobserver(self.jobs), self.reporter, self.lock, self.tools, self.farm)
        return Build(self.plan, workshop)

    def read(self, path: str) -> str:
        """Text of a repository file. Raises LockError when it is absent or not UTF-8."""
        try:
            return (self.root / path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise LockError(f"cannot be read: {error}", place=path, hint=f"git checkout -- {path}") from error

    def last(self, name: str) -> ActionResult | None:
        """What the node of this name gave when it was last made or used."""
        last = self.store.last(name)
        return self.store.result(last) if last else None

    def write_run(self) -> None:
        """Keep the node times of this process's build as the last run, if it executed any."""
        if self.build.spans:
            # a help for `doit trace`, no result: a full disk is told by the node that met it
            with suppress(OSError, StoreError):
                part = self.store.runs / f".last.{os.getpid()}"
                part.write_text(json.dumps(self._spans(), indent=1))
                part.replace(self.store.runs / "last.json")

    def _spans(self) -> list[dict[str, Any]]:
        return [asdict(span) for span in self.build.spans]

    def last_run(self) -> list[dict[str, Any]]:
        """Node times of the last run that executed something: node, start, end (seconds of the epoch); of farmed ones their phases, too."""
        try:
            return list(json.loads((self.store.runs / "last.json").read_text()))
        except (OSError, ValueError):
            raise UsageError("no run is recorded in this store", hint="doit " + next(iter(self.groups))) from None

    def look_up(self, names: Iterable[str], *, whole: bool = True) -> tuple[str, ...]:
        """Realise from the store alone what it has of `names` and their inputs; the nodes that would run, in order.

        Not `whole`: less what is behind known results, as a run looks at it.
        """
        nodes = self.plan.closure(names) if whole else self.build.needed(names)
        self.look_ahead(nodes)
        return tuple(name for name in nodes if not self.build.is_cached(name))

    @cached_property
    def delivery(self) -> Delivery:
        """dist/ of the checkout."""
        return Delivery(self.root / "dist", self.build, self.store)

    def machine_nodes(self, target: Target) -> tuple[str, ...]:
        """The nodes that running its programs here needs: its libc, the emulator; none where they just run."""
        return tuple(name for name in (f"runtime:{target}", f"qemu:{target.qemu}") if name in self.plan.nodes)

    def check_runs(self, target: Target) -> None:
        """Before anything is built to be run. Raises UsageError if nothing runs its programs, SandboxError on too old a processor,
        HostToolMissing without wine."""
        if target.run not in RUNS:
            what = f"nothing here runs programs of {target} (run = {target.run!r} in toolchains/targets.toml)"
            raise UsageError(what, hint=f"doit check:{target} audits its archives")
        if target.run == "wine":
            check_wine()
        lacks = lacking(target.cpu_flags, processor()) if target.run == "native" else ()
        if lacks:
            what = f"this processor cannot run programs of {target}: it lacks {', '.join(lacks)}"
            hint = f"doit check:{target} audits its archives; run them on a newer processor, or on Bochs (docs/testing.md)"
            raise SandboxError(what, hint=hint)

    def machine(self, target: Target) -> Machine:
        """Where its programs run; `machine_nodes` are realised. Raises as check_runs does when nowhere here."""
        self.check_runs(target)
        trees = [self.build.mending(partial(self._checkout, name)) for name in self.machine_nodes(target)]
        if not trees:
            # (a prefix that a wine of 64 bits alone has made lacks the system of 32)
            narrow = target.arch == "i686"
            return Wine(self.store.root / ("wine32" if narrow else "wine"), narrow=narrow) if target.run == "wine" else Native()
        return Emulated(trees[0], trees[1] / f"qemu-{target.qemu}" if target.qemu else None)

    def _checkout(self, name: str) -> Path:
        with self.build.forgetting(name):
            return self.store.checkout(self.build.result(name).tree)

    def archives(self, name: str) -> tuple[Path, ...]:
        """Where the files of a dist node lie once delivered."""
        return self.delivery.archives(name)

    def files_of(self, name: str, end: str) -> Iterator[tuple[str, Path]]:
        """Files in a node's tree whose path ends so, and where the store has their bytes. Raises MissingBlob."""
        # what a run did not have to look at is looked up now
        for entry in self.store.tree(self.build.mending(lambda: self.build.result(name).tree)):
            if entry.digest and entry.kind == "file" and entry.path.endswith(end):
                blob = self.store.blob_path(entry.digest, entry.executable)
                if blob is None:
                    raise MissingBlob(f"blob {entry.digest} is missing", place=f"{name}: {entry.path}")
                yield entry.path, blob


_OS_NAMES = {"Linux": "linux", "Darwin": "macos", "Windows": "windows"}
_ARCH_NAMES = {"AMD64": "x86_64", "arm64": "aarch64"}


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _read_folder(root: Path, folder: str) -> Iterator[File]:
    for path in sorted((root / folder).rglob("*")):
        relative = path.relative_to(root)
        if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in relative.parts):
            yield File(relative.as_posix(), path.read_bytes(), bool(path.stat().st_mode & 0o111))


def checked_root(folder: Path) -> Path:
    """`folder` itself, which must be the root of a checkout, as for doit. Raises UsageError."""
    if not (folder / "dodo.py").is_file() or not (folder / "sources.lock").is_file():
        raise UsageError(f"{folder} is not the root of a freestanding checkout", hint="cd to the folder that has dodo.py")
    _check_code(folder)
    return folder


def _check_code(root: Path) -> None:
    """With an editable install of another checkout, this one's recipes would silently not be used."""
    code = Path(__file__).resolve().parent
    if (root / "graph").is_dir() and code != (root / "graph").resolve():
        raise UsageError(f"the code that runs is {code}, not this checkout's", place=str(root), hint=f"pip install --editable {root}")


_sessions: dict[Path, Session] = {}


def session(root: Path) -> Session:
    """The process's one session for the checkout at `root`."""
    return _sessions.setdefault(root, Session(root))
