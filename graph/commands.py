"""doit's commands: run and list as this project wants them, and matrix, graph, explain, shell, verify, trace, index, store, lock."""

from __future__ import annotations

import getopt
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from doit.cmd_base import Command
from doit.cmd_list import List as DoitList
from doit.cmd_run import Run as DoitRun

from graph import index, picture, relock, table, trace
from graph.changes import changed
from graph.disk import hash_file
from graph.errors import FreestandingError, Interrupted, NotReproducible, StoreError, UsageError, import_error, os_error
from graph.explain import diff
from graph.local import SDK, refuse_unfit
from graph.node import Fetch
from graph.recipes.cpython_modules import remarks
from graph.session import Session, checked_root, session
from graph.shared import SharedStore
from graph.tasks import InTurn, turns
from graph.verify import obtain, twin, verify_nodes


def guarded(action: Callable[[], int | None]) -> int:
    """Run a command; a user error becomes its text on stderr and its exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return int(action() or 0)
    except KeyboardInterrupt:
        error: FreestandingError = Interrupted("interrupted; nodes that had ended are kept", hint="type the same command to go on")
    except FreestandingError as caught:
        error = caught
    except BrokenPipeError:
        # the reader has gone (doit list | head): what Python writes at exit must not fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except ImportError as unloaded:
        error = import_error(unloaded)
    except OSError as caught_os:
        error = os_error(caught_os, Path(caught_os.filename or "."))
    print(f"ERROR: {error}", file=sys.stderr)
    return error.exit_code


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def options_first(command: Any, words: list[str]) -> list[str]:
    """The words of a command line with its options before its names: doit itself takes none after the first name."""
    parser = command.cmdparser
    try:
        given, names = getopt.gnu_getopt(words, parser.get_short(), parser.get_long())
    except getopt.GetoptError as error:
        raise UsageError(str(error), hint=f"doit help {command.get_name()}") from None
    return [*(part for name, value in given for part in (name, value) if part), *names]


def with_values(words: list[str], typed: Sequence[str]) -> list[str]:
    """`words` with the values of --source again: doit takes each word NAME=VALUE of what was `typed` for a variable of its own."""
    values = iter([after if "=" in after else "" for word, after in pairwise([*typed, ""]) if word == "--source"])
    return [f"--source={value}" if word == "--source" and (value := next(values, "")) else word for word in words]


def here() -> Session:
    """The session of the checkout in the working directory."""
    return session(checked_root(Path.cwd().resolve()))


class Run(InTurn, DoitRun):  # type: ignore[misc]
    """doit's run: unknown names get a suggestion, failures their own exit code, Ctrl-C ends the steps."""

    name = "run"
    cmd_options = (
        *DoitRun.cmd_options,
        {"name": "offline", "long": "offline", "type": bool, "default": False, "help": "fetch from the store and mirror folders only"},
        {
            "name": "source",
            "long": "source",
            "type": list,
            "default": [],
            "help": "NAME=PATH: a local checkout or archive in the place of a source",
        },
        {
            "name": "vcruntime",
            "long": "vcruntime",
            "type": str,
            "default": "",
            "help": "folder with Microsoft's vcruntime140.dll, which Windows distributions then hold",
        },
        {"name": "remote", "long": "remote", "type": str, "default": "", "help": "URL of a store to take results from, or none"},
        {"name": "farm", "long": "farm", "type": str, "default": "", "help": "URL of a build farm to run nodes, or none"},
        {"name": "farm_jobs", "long": "farm-jobs", "type": str, "default": "", "help": "nodes that the farm may have at once"},
        {"name": "push", "long": "push", "type": bool, "default": False, "help": "give results to the remote store, too"},
        {
            "name": "closure",
            "long": "closure",
            "type": bool,
            "default": False,
            "help": "make also what is behind results that are there",
        },
        {"name": "claim", "long": "claim", "type": bool, "default": False, "help": "with --push: what another machine makes is waited for"},
    )

    def parse_execute(self, in_args: list[str]) -> int:
        return guarded(lambda: self._with_sources(options_first(self, with_values(in_args, sys.argv[1:]))))

    def _with_sources(self, words: list[str]) -> int:
        """Before doit reads dodo.py, whose plan, and number of threads, depend on them."""
        given, _ = self.cmdparser.parse(words)
        current = here()
        current.sources.extend(given["source"])
        current.vcruntime = given["vcruntime"] or current.vcruntime
        current.remote_url, current.push, current.claim = given["remote"], given["push"], given["claim"]
        current.farm_url, current.farm_jobs = given["farm"], given["farm_jobs"]
        current.offline = current.offline or given["offline"]
        return int(super().parse_execute(words) or 0)

    def execute(self, params: Any, args: list[str]) -> int:
        current = here()
        args = current.task_names(args)
        if not args:
            print("nothing chosen; doit list shows what there is, e.g. doit " + next(iter(current.groups)))
        if args and (params["vcruntime"] or SDK in current.lock.sources):
            refuse_unfit(current.lock, current.matrix, current.plan.closure(current.nodes_of(args)), typed=bool(params["vcruntime"]))
        current.choose(args, whole=params["closure"])
        self.turns = turns(current, args)
        try:
            status = super().execute(params, args)
        except KeyboardInterrupt:
            current.abandon()
            raise
        if current.failures:
            return min(failure.exit_code for failure in current.failures)
        return int(status or 0)


class List(DoitList):  # type: ignore[misc]
    """doit's list: the groups and the distributions; --all adds every node."""

    name = "list"

    def parse_execute(self, in_args: list[str]) -> int:
        return guarded(lambda: self._brief(options_first(self, in_args)))

    def _brief(self, words: list[str]) -> int:
        """Without --all or names, nothing is planned."""
        given, names = self.cmdparser.parse(words)
        here().brief = not (given["subtasks"] or given["private"] or names)
        return int(super().parse_execute(words) or 0)


class Own(Command):  # type: ignore[misc]
    """A command that needs no doit task."""

    def parse_execute(self, in_args: list[str]) -> int:
        return guarded(lambda: super(Own, self).parse_execute(options_first(self, in_args)))


def _flag(name: str, help_: str, default: Any = False, long: str = "") -> dict[str, Any]:
    return {"name": name, "long": long or name.replace("_", "-"), "type": type(default), "default": default, "help": help_}


class Matrix(Own):
    """doit matrix: every cell that can be built, printed from the platform table."""

    name = "matrix"
    doc_purpose = "show every target, Python version and option set, and the add-ons"
    doc_usage = ""
    doc_description = None
    cmd_options = (
        _flag("json", "print JSON, in one line"),
        _flag("markdown", "print the tables of docs/targets.md"),
        _flag("archives", "print the names of all archives, one a line"),
        _flag("changed_since", "only what is not built as in this commit of git", ""),
    )

    def execute(self, opt_values: Any, pos_args: list[str]) -> int:
        current, ref = here(), opt_values["changed_since"]
        if opt_values["markdown"]:
            print("\n".join(table.markdown(current.matrix)))
            return 0
        chosen = changed(current, ref) if ref else None
        rows = [row for row in table.rows(current.matrix, current.addons) if chosen is None or row["dist"] in chosen]
        if opt_values["json"]:
            print(json.dumps(rows))
            return 0
        if opt_values["archives"]:
            files = table.archives(current.matrix, current.addons, current.host, current.lock)
            print("".join(f"{name}\n" for row in rows for name in files[row["dist"]]), end="")
            return 0
        if rows:
            print("\n".join(table.columns(rows)))
        if chosen is not None:
            print(f"{len(rows)} distributions and add-ons are not built as in {ref}")
            return 0
        shared, apart = current.plan.sharing(f"dist:{cell}" for cell in current.cells)
        print(f"{len(current.cells)} distributions: {shared} nodes; by a job each {apart}, {apart / shared:.1f} times as many")
        print("".join(f"{line}\n" for line in (*remarks(current.cells), *table.remarks(current.matrix))), end="")
        return 0


def write(output: str, text: str) -> None:
    """Text to the file `output`, or to the terminal if that is empty. Raises UsageError."""
    if not output:
        print(text, end="")
        return
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}", hint="name another --output") from None


class Graph(Own):
    """doit graph [NODE...]: the nodes and their edges."""

    name = "graph"
    doc_purpose = "draw the graph of a node, or of all nodes"
    doc_usage = "[NODE...]"
    doc_description = None
    cmd_options = (_flag("output", "write here: .svg for a picture, else DOT (default: DOT to the terminal)", ""),)

    def execute(self, opt_values: Any, pos_args: list[str]) -> int:
        plan = here().plan
        names = plan.closure(here().resolve(pos_args)) if pos_args else tuple(plan.nodes)
        output = opt_values["output"]
        write(output, picture.svg(plan, names) if output.endswith(".svg") else picture.dot(plan, names))
        return 0


class Explain(Own):
    """doit explain NODE: why it will run, or why not."""

    name = "explain"
    doc_purpose = "say why a node will run, or why not"
    doc_usage = "NODE..."
    doc_description = None

    def execute(self, opt_values: Any, pos_args: list[str]) -> int:
        current = here()
        for name in _named(current, pos_args):
            missing = current.look_up([name], whole=False)
            dists = (cell for cell in current.cells if name == f"dist:{cell}")
            for line in (*explanation(current, name, missing), *remarks(dists)):
                print(line)
        return 0


def _named(current: Session, names: list[str]) -> tuple[str, ...]:
    if not names:
        raise UsageError("name at least one node", hint="doit list --all shows all")
    return current.resolve(names)


def explanation(current: Session, name: str, missing: tuple[str, ...]) -> list[str]:
    """What `doit explain` says of a node, `missing` being those of its inputs and itself that would run."""
    if name not in missing:
        result = current.build.result(name)
        built = f"{result.seconds:.1f} s when it was built" + (f", on {result.where}" if result.where else "")
        return [f"{name}: in the store ({built})", f"  key  {result.key}", f"  tree {result.tree}"]
    waiting = [given.node for given in current.plan[name].inputs if given.node in missing]
    if waiting:
        others = len(missing) - 1
        return [
            f"{name}: nodes it is made from will run ({others}); it runs unless they give the bytes they gave before",
            *(line for first in missing if _is_root(current, first, missing) for line in explanation(current, first, missing)),
        ]
    last = current.last(name)
    if last is None:
        known = current.store.last(name) is not None
        return [f"{name}: will run, " + ("its result is no longer in the store" if known else "it was never built with this store")]
    changed = diff(last.manifest, current.build.manifest(name))
    if not changed:
        return [f"{name}: will run, its result was made outside the sandbox that this host has"]
    return [f"{name}: will run, its manifest changed:", *("  " + line for line in changed)]


def _is_root(current: Session, name: str, missing: tuple[str, ...]) -> bool:
    return not any(given.node in missing for given in current.plan[name].inputs)


class Shell(Own):
    """doit shell NODE: a shell in the node's sandbox, laid out as before its first step."""

    name = "shell"
    doc_purpose = "open a shell in a node's sandbox, with its inputs and environment"
    doc_usage = "NODE"
    doc_description = None

    def execute(self, opt_values: Any, pos_args: list[str]) -> int:
        current = here()
        [name] = _named(current, pos_args) if len(pos_args) == 1 else [""]
        if not name:
            raise UsageError("name one node", hint="doit shell NODE")
        ready(current, [given.node for given in current.plan[name].inputs])
        with current.store.workdir() as root:
            job = current.build.stage(current.plan[name], root)
            print(f"{name}: {len(job.steps)} step(s), /build/work is where they begin; exit leaves and removes it all")
            for step in job.steps:
                print(f"  (cd /build/{step.cwd}) {' '.join(step.argv)}")
            status: int = current.runner.shell(job)
            return status


def ready(current: Session, names: Sequence[str]) -> None:
    """Realise from the store what `names` need. Raises UsageError when something was not built yet."""
    missing = current.look_up(names)
    if missing:
        raise UsageError(f"{len(missing)} nodes must be built first", hint=f"doit run --closure {' '.join(names)}")


class Verify(Own):
    """doit verify NODE: build it again, compare the digests; with --against compare with what was published."""

    name = "verify"
    doc_purpose = "build nodes a second time and compare their bytes, or a distribution's with a published archive"
    doc_usage = "NODE... | --against URL|FILE dist:TARGET"
    doc_description = None
    cmd_options = (
        _flag("closure", "verify also everything that the nodes are made from"),
        _flag("against", "an archive that was published: build the distribution here, and compare", ""),
        _flag("remote", "URL of a store whose results are tried, or none", ""),
    )

    def execute(self, opt_values: Any, pos_args: list[str]) -> int:
        current = here()
        current.remote_url = opt_values["remote"]
        names = _named(current, pos_args)
        if opt_values["against"]:
            if opt_values["remote"]:
                raise UsageError("--against compares with an archive, --remote with a store's results", hint="doit help verify")
            return against(current, opt_values["against"], names)
        ready(current, names)
        chosen = current.plan.closure(names) if opt_values["closure"] else names
        if opt_values["remote"]:
            refuse_own(current, chosen)
        try:
            reports = verify_nodes(current.plan, current.build, current.store, chosen, current.jobs)
        finally:
            current.reporter.end(0)
        for report in reports:
            print(report)
        unlike = [report for report in reports if not report.same]
        print(f"{len(reports) - len(unlike)} nodes gave the same bytes twice, {len(unlike)} did not")
        if unlike:
            raise NotReproducible(f"{', '.join(report.node for report in unlike)}", hint=f"doit shell {unlike[0].node}")
        return 0


def refuse_own(current: Session, names: Sequence[str]) -> None:
    """Results that were made here say nothing of another machine. Raises UsageError when there are such."""
    store = current.store
    runs = [name for name in names if not isinstance(current.plan[name].action, Fetch)]
    own = [name for name in runs if not isinstance(store, SharedStore) or store.made_here(current.build.result(name).key)]
    if own:
        hint = "FREESTANDING_STORE=FOLDER doit verify --remote ..., with a folder that is new"
        raise UsageError(f"{len(own)} of {len(runs)} results are this machine's own, e.g. of {own[0]}", hint=hint)


def against(current: Session, published: str, names: Sequence[str]) -> int:
    """Build a distribution, with nothing of a remote store, and compare. Raises UsageError, FetchError, UnpackError, NotReproducible."""
    # lief takes half a second
    from graph.compare import compare

    if len(names) != 1 or not names[0].startswith("dist:"):
        raise UsageError("--against compares one distribution", hint=f"doit verify --against {published} dist:TARGET")
    with tempfile.TemporaryDirectory(prefix="freestanding-verify-") as folder:
        # before hours of building: is it there at all
        theirs = obtain(published, Path(folder))
        current.remote_url = current.farm_url = "none"
        argv = [sys.executable, "-m", "doit", "run", "--remote", "none", "--farm", "none", names[0]]
        built = subprocess.run(argv, cwd=current.root, check=False)
        if built.returncode:
            return built.returncode
        current.look_up(names, whole=False)
        ours = twin(published, current.archives(names[0]))
        lines = compare(ours, theirs)
        print("\n".join([*lines, f"{'DIFFERS' if lines else 'same'} {ours.name} {hash_file(ours).hash}"]))
    if lines:
        raise NotReproducible(f"{names[0]} is not what {published} is", hint="doit verify --closure " + names[0])
    return 0


class Trace(Own):
    """doit trace: the node times of the last run, for chrome://tracing or Perfetto."""

    name = "trace"
    doc_purpose = "write the last run's node times as a Chrome trace"
    doc_usage = ""
    doc_description = None
    cmd_options = (_flag("output", "write here instead of to the terminal", ""),)

    def execute(self, opt_values: Any, pos_args: list[str]) -> int:
        write(opt_values["output"], json.dumps(trace.chrome(here().last_run())) + "\n")
        return 0


class Index(Own):
    """doit index [DIST...]: lists of the archives in dist/, for installers."""

    name = "index"
    doc_purpose = "list the archives in dist/ for uv and the Python install manager"
    doc_usage = "--url URL [dist:TARGET...]"
    doc_description = None
    cmd_options = (
        _flag("url", "address of the folder in which the archives are published", ""),
        _flag("flavour", "what uv is given: install_only or install_only_stripped", index.FLAVOURS[0]),
        _flag("output", "folder to write to (default: dist)", ""),
    )

    def execute(self, opt_values: Any, pos_args: list[str]) -> int:
        current, url = here(), opt_values["url"]
        folder = Path(opt_values["output"]) if opt_values["output"] else current.root / "dist"
        print("\n".join(index.write_feeds(current, pos_args, url, opt_values["flavour"], folder)))
        return 0


class StoreCommand(Own):
    """doit store gc|verify|size."""

    name = "store"
    doc_purpose = "clean up, check or measure the store"
    doc_usage = "gc|verify|size"
    doc_description = None
    cmd_options = (
        _flag("keep_days", "gc: drop results, and packed folders of --source, not used for this many days", 30),
        _flag("max_size", "gc: then drop the oldest until the store is at most this large, e.g. 20G", ""),
    )

    def execute(self, opt_values: Any, pos_args: list[str]) -> int:
        verbs: dict[str, Callable[[], None]] = {
            "gc": lambda: print(here().store.gc(opt_values["keep_days"], parse_size(opt_values["max_size"]))),
            "verify": _verify_store,
            "size": lambda: print(here().store.size()),
        }
        verb = verbs.get(pos_args[0] if len(pos_args) == 1 else "")
        if verb is None:
            raise UsageError("say what to do with the store", hint="doit store gc, doit store verify or doit store size")
        verb()
        return 0


class LockCommand(Own):
    """doit lock [NAME...]: pin again; --check: see whether anything drifted."""

    name = "lock"
    doc_purpose = "pin sources again and show the diff, or check the pins"
    doc_usage = "[NAME...]"
    doc_description = None
    cmd_options = (
        _flag("check", "ask every way of every source; fail if one serves other bytes than the pinned ones"),
        _flag("full", "with --check: read and hash the bytes instead of comparing sizes"),
    )

    def execute(self, opt_values: Any, pos_args: list[str]) -> int:
        current = here()
        if opt_values["check"]:
            findings = relock.check(current.lock, pos_args, current.fetcher, full=opt_values["full"])
            print("\n".join(relock.render(findings)))
            relock.raise_on_drift(findings)
            return 0
        repinned = relock.repin(current.read("sources.lock"), pos_args, current.fetcher)
        print("\n".join([*repinned.notes, *repinned.diff] or ["sources.lock is as it should be"]))
        if repinned.diff:
            part = current.root / ".sources.lock.part"
            part.write_text(repinned.text, encoding="utf-8")
            part.replace(current.root / "sources.lock")
        return 0


def _verify_store() -> None:
    problems = here().store.verify()
    for problem in problems:
        print(problem)
    if problems:
        raise StoreError(f"{len(problems)} problems; wrong blobs were set aside", hint="run the build again: it makes them anew")
    print("every blob, result and checkout is whole")


def parse_size(text: str) -> int | None:
    """`20G` -> bytes (powers of 1024); empty -> None. Raises UsageError."""
    if not text:
        return None
    number, unit = (text[:-1], text[-1].upper()) if not text[-1].isdigit() else (text, "")
    scale = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}.get(unit)
    if scale is None or not number.isdecimal():
        raise UsageError(f"{text!r} is no size", hint="e.g. --max-size 20G")
    return int(number) << 10 * scale
