"""A whole checkout in small: real doit, real sandbox, real store; recipes that concatenate files, in a second or so."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from graph.lock import dump_lock
from graph.node import Input, Node, Run, Step
from graph.recipes.common import Context
from tests.data import TARGET, table_of
from tests.fakes import ARCHIVES, DIST, lock_of, shell_cat, tiny

ROOT = Path(__file__).resolve().parent.parent
PATH = (("PATH", "/usr/bin:/bin"),)
"""The environment of steps."""


def recipe(context: Context) -> tuple[Node, ...]:
    """The tiny recipes with steps for a real sandbox."""
    return tiny(context, shell_cat)


def slow_recipe(context: Context) -> tuple[Node, ...]:
    """The same, with time to be interrupted in."""
    return tiny(context, lambda given, out: slow_cat(0.15, given, out))


def slow_cat(seconds: float, given: tuple[str, ...], out: str) -> Step:
    """shell_cat that takes its time."""
    return replace(shell_cat(given, out), argv=("sh", "-c", f"sleep {seconds}; {shell_cat(given, out).argv[2]}"))


def matrix_recipe(context: Context) -> tuple[Node, ...]:
    """Many cells with what the real ones have: nodes of their own, nodes that four of them share, nodes that all share."""
    shared = [node for node in tiny(context, lambda given, out: slow_cat(0.3, given, out)) if node.name != DIST]
    version = context.cell.version
    group = int(version.rpartition(".")[2]) // 4
    own: list[tuple[str, str, tuple[Input, ...]]] = [
        (f"ext:{group}", f"{group}.so", (Input("make:openssl", "ssl"),)),
        (f"core:{version}", "python", (Input("configure:cpython", "conf"), Input("make:zlib", "z"))),
        (f"dist:{context.cell}", f"{version}.txt", (Input(f"core:{version}", "core"), Input(f"ext:{group}", "ext"))),
    ]
    # the name in its environment makes each a node of its own
    steps = {name: slow_cat(0.3, tuple(one.at for one in inputs), f"out/{out}") for name, out, inputs in own}
    made = (Node(name, Run((steps[name],), (("NODE", name), *PATH), tools=("posix",)), inputs) for name, _, inputs in own)
    return (*shared, *made)


def cyclic_recipe(context: Context) -> tuple[Node, ...]:
    """Two nodes that need each other."""
    one, two = (Node(f"make:{a}", Run(()), (Input(f"make:{b}", "x"),)) for a, b in ("ab", "ba"))
    return (*recipe(context), one, two)


def failing_recipe(context: Context) -> tuple[Node, ...]:
    """Beside the others, nodes that go wrong: a status, a file that was not declared, an endless step."""
    nodes = {
        "bad": "echo the end is near; exit 3",
        "spy": "cat /etc/machine-id > out/id",
        "endless": "sleep 1000",
        "slow": "sleep 5; echo slow > out/slow",
    }
    steps = ((name, Step(("sh", "-c", script), cwd=".")) for name, script in nodes.items())
    return (*recipe(context), *(Node(f"make:{name}", Run((step,), PATH, tools=("posix",))) for name, step in steps))


LEAKS = {
    "name": "cat /proc/sys/kernel/hostname; id -u; umask; date +%z; echo $HOME $USER $LANG $TZ $CFLAGS",
    "cores": "grep Cpus_allowed_list /proc/self/status",
    "coreutils": "ls --version | head -n 1",
    "priority": "cut -d ' ' -f 19 /proc/self/stat",
}
"""What steps might write down of their host. The sandbox answers the first the same everywhere; the others only a second host shows."""


def leaking_recipe(context: Context) -> tuple[Node, ...]:
    """Beside the others, nodes that write down what host they are on; the first is part of the distribution."""
    *others, dist = recipe(context)
    leaks = [
        Node(f"leak:{name}", Run((Step(("sh", "-c", f"({script}) > out/{name}"), cwd="."),), PATH, tools=("posix",)))
        for name, script in LEAKS.items()
    ]
    step = shell_cat(("tree", "name"), "out/archive.txt")
    return (*others, *leaks, Node(dist.name, Run((step,), PATH, tools=("posix",)), (*dist.inputs, Input("leak:name", "name"))))


RECIPES, SLOW, CYCLIC, FAILING, MATRIX = (recipe,), (slow_recipe,), (cyclic_recipe,), (failing_recipe,), (matrix_recipe,)
LEAKING = (leaking_recipe,)
PYPROJECT = (ROOT / "pyproject.toml").read_text() + '\n[tool.freestanding]\nrecipes = "tests.mini:%s"\n'


def hear_interrupts() -> None:
    """Shells start background jobs, such as a CI run, with SIGINT ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Checkout:
    """A checkout in which doit is typed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = root / ".store"
        self.settings: dict[str, str] = {}
        self.enter: tuple[str, ...] = ()
        """What stands before the command line: a program that runs it as another user."""

    def environment(self, **more: str) -> dict[str, str]:
        """This process's, less what would set up another store or another way to build; some hundred doits compile our code once."""
        less = [name for name in os.environ if name.startswith("FREESTANDING_") and name != "FREESTANDING_MIRROR"]
        kept = {name: value for name, value in os.environ.items() if name not in (*less, "PYTHONDONTWRITEBYTECODE")}
        return {**kept, "PYTHONPATH": str(self.root), **self.settings, **more}

    def start(self, *argv: str, **more: str) -> subprocess.Popen[str]:
        """doit as a process of its own, in a session of its own."""
        return subprocess.Popen(
            [*self.enter, sys.executable, "-m", "doit", *argv],
            cwd=self.root,
            env=self.environment(**more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=hear_interrupts,
        )

    def doit(self, *argv: str, timeout: float = 600, **more: str) -> subprocess.CompletedProcess[str]:
        """Run doit to its end."""
        process = self.start(*argv, **more)
        out, err = process.communicate(timeout=timeout)
        return subprocess.CompletedProcess(argv, process.returncode, out, err)

    def ran(self, *argv: str, timeout: float = 600, **more: str) -> list[str]:
        """The nodes that a successful run executed, in order."""
        done = self.doit(*argv, timeout=timeout, **more)
        assert done.returncode == 0, done.stdout + done.stderr
        return nodes_done(done.stdout)


def nodes_done(output: str) -> list[str]:
    """The nodes that a run said to have ended."""
    return [line.split()[1] for line in output.splitlines() if line.startswith("done ")]


class Mini(Checkout):
    """A checkout in small, with its own store and mirror folder."""

    def __init__(self, root: Path, archives: Mapping[str, bytes] = ARCHIVES, recipes: str = "RECIPES") -> None:
        super().__init__(root)
        (root / "mirror").mkdir(parents=True)
        for name in ("dodo.py", "toolchains/host-tools.toml"):
            (root / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(ROOT / name, root / name)
        self.write("toolchains/targets.toml", table_of(TARGET))
        self.write("pyproject.toml", PYPROJECT % recipes)
        self.serve(archives)
        self.settings = {"PYTHONPATH": str(ROOT), "FREESTANDING_MIRROR": str(root / "mirror"), "FREESTANDING_OFFLINE": "1"}

    def serve(self, archives: Mapping[str, bytes]) -> None:
        """Pin these archives, and put them into the mirror folder."""
        lock = lock_of(archives)
        for source in lock:
            (self.root / "mirror" / source.filename).write_bytes(archives[source.name])
        self.write("sources.lock", dump_lock(lock))

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def many(root: Path, count: int) -> Mini:
    """One with a cell for each of so many Python versions."""
    mini = Mini(root, recipes="MATRIX")
    table = (root / "toolchains/targets.toml").read_text()
    mini.write("toolchains/targets.toml", table.replace('["3.13.15"]', versions(count)))
    return mini


def versions(count: int) -> str:
    """3.13.0 and so on, as targets.toml lists them."""
    return json.dumps([f"3.13.{number}" for number in range(count)])


def git(root: Path, *argv: str) -> None:
    """A git command by somebody."""
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(root), *argv], check=True, capture_output=True)


def commit(root: Path) -> None:
    """All that is there, as a commit."""
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "all")
