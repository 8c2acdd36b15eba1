"""The plan: every node of the selected cells as one value, in topological order. Nothing is run to make it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain

from graph.errors import PatchError, PlanError, UsageError, did_you_mean
from graph.lock import Lock
from graph.node import File, Node, Unpack, key, manifest
from graph.recipes.common import Context, Recipe, Scope, Scoped, patch_applies
from graph.target import Cell
from graph.trees import FILTER_SCHEMA


@dataclass(frozen=True, slots=True)
class Plan:
    """Nodes by name, each after all that it takes as input."""

    nodes: Mapping[str, Node]

    def __getitem__(self, name: str) -> Node:
        """The node `name`. Raises UsageError with the closest names."""
        try:
            return self.nodes[name]
        except KeyError:
            raise UsageError(f"unknown node {name!r}", hint=f"{did_you_mean(name, self.nodes)} (doit list --all shows all)") from None

    def closure(self, names: Iterable[str]) -> tuple[str, ...]:
        """`names` and all that they need, in topological order."""
        wanted = self.first_users(names)
        return tuple(name for name in self.nodes if name in wanted)

    def first_users(self, roots: Iterable[str]) -> dict[str, int]:
        """Of `roots` and all that they need: the position of the first of `roots` that needs it."""
        found: dict[str, int] = {}
        for position, root in enumerate(roots):
            pending = [root]
            while pending:
                name = pending.pop()
                if name not in found:
                    found[name] = position
                    pending.extend(given.node for given in self[name].inputs)
        return found

    def users(self, names: Iterable[str]) -> tuple[str, ...]:
        """All that is made from any of the nodes `names`, in topological order."""
        names = frozenset(names)
        found = set(names)
        for user, node in self.nodes.items():
            if any(given.node in found for given in node.inputs):
                found.add(user)
        return tuple(user for user in self.nodes if user in found - names)

    def sharing(self, names: Iterable[str]) -> tuple[int, int]:
        """How many nodes make all of `names`, and how many it would be if each of them were made alone."""
        closures = [self.closure([name]) for name in names]
        return len({node for closure in closures for node in closure}), sum(map(len, closures))


def deep_keys(plan: Plan, names: Iterable[str], tools: Mapping[str, str]) -> dict[str, str]:
    """Of `names` and all that they are made from, in topological order: a key of what is planned, down to the sources.

    Of two equal ones a result of the first is one of the second, without a look at what lies between; of two that differ nothing is said.
    """
    found: dict[str, str] = {}
    for name in plan.closure(names):
        node = plan[name]
        inputs = {given: (FILTER_SCHEMA, found[given.node], given.subdir, given.only, given.without) for given in node.inputs}
        found[name] = key(manifest(node, inputs, tools))
    return found


def make_plan(contexts: Iterable[Context], recipes: Iterable[Recipe | Scoped]) -> Plan:
    """Cross contexts with recipes. Raises PlanError on two unlike nodes of one name, an input that no node makes, or a cycle."""
    nodes: dict[str, Node] = {}
    for recipe, context in _calls(contexts, tuple(recipes)):
        for node in _plain(recipe)(context):
            if nodes.setdefault(node.name, node) != node:
                raise PlanError(f"two different nodes are named {node.name}", place=_where(recipe))
    for node in nodes.values():
        _check_inputs(node, nodes)
    return Plan(_sorted(nodes))


def _calls(contexts: Iterable[Context], recipes: tuple[Recipe | Scoped, ...]) -> Iterator[tuple[Recipe | Scoped, Context]]:
    """Each recipe with each context of its scope, once."""
    seen: dict[Recipe, set[Cell]] = {}
    for context in contexts:
        # many recipes have one scope
        scoped = {scope: scope(context) for scope in dict.fromkeys(map(_scope, recipes))}
        for recipe in recipes:
            cells = seen.setdefault(_plain(recipe), set())
            for own in scoped[_scope(recipe)]:
                if own.cell not in cells:
                    cells.add(own.cell)
                    yield recipe, own


def _plain(recipe: Recipe | Scoped) -> Recipe:
    return recipe.recipe if isinstance(recipe, Scoped) else recipe


def _scope(recipe: Recipe | Scoped) -> Scope:
    return recipe.scope if isinstance(recipe, Scoped) else _every_cell


def _every_cell(context: Context) -> tuple[Context, ...]:
    return (context,)


def _where(recipe: Recipe | Scoped) -> str:
    return f"{_plain(recipe).__module__.replace('.', '/')}.py"


def _check_inputs(node: Node, nodes: Mapping[str, Node]) -> None:
    for given in node.inputs:
        if given.node not in nodes:
            raise PlanError(f"input {given.node!r} is made by no node", place=node.name, hint=did_you_mean(given.node, nodes))
    what = _clash(node)
    if what:
        raise PlanError(what, place=node.name, hint="give each input and file a place of its own below /build")


def _clash(node: Node) -> str:
    """Why the inputs and files of a node cannot all be placed; empty if they can."""
    ats, paths = [given.at for given in node.inputs], [file.path for file in node.files]
    if _are_apart((*ats, *paths)):
        return ""
    for place in (*ats, *paths):
        if not _is_place(place):
            return f"{place!r} is no place below /build"
    for things, places in (("inputs", ats), ("files", paths)):
        if len({*places}) < len(places):
            twice = next(place for place in places if places.count(place) > 1)
            return f"two {things} are placed at {twice!r}"
    writable = {given.at: given.writable for given in node.inputs}
    for at in ats:
        for folder in _folders(at):
            if not writable.get(folder, True):
                return f"input {at!r} lies inside the read-only input at {folder!r}"
    # the files of an Unpack are patches: applied, not placed
    return "" if isinstance(node.action, Unpack) else _clash_of_files(writable, paths)


def _are_apart(places: tuple[str, ...]) -> bool:
    """Nothing more to ask, as of most nodes: no place is in or at another."""
    different = set(places)
    inside = chain.from_iterable(map(_folders, different))
    return len(different) == len(places) and different.isdisjoint(inside) and all(map(_is_place, different))


@cache
def _is_place(place: str) -> bool:
    return {"", ".", ".."}.isdisjoint(place.split("/"))


@cache
def _folders(place: str) -> tuple[str, ...]:
    """a/b/c -> a/b, a"""
    parts = place.split("/")
    return tuple("/".join(parts[:length]) for length in range(len(parts) - 1, 0, -1))


def _clash_of_files(writable: Mapping[str, bool], paths: list[str]) -> str:
    files = set(paths)
    for at in writable:
        for path in (at, *_folders(at)):
            if path in files:
                return f"file {path!r} is in the way of the input at {at!r}"
    for path in paths:
        for folder in _folders(path):
            if not writable.get(folder, True):
                return f"file {path!r} would be written into the read-only input at {folder!r}"
            if folder in files:
                return f"file {folder!r} is in the way of file {path!r}"
    return ""


def _sorted(nodes: Mapping[str, Node]) -> dict[str, Node]:
    """Depth first in the order of the recipes, without recursion: a chain of inputs may be longer than Python's stack."""
    done: dict[str, Node] = {}
    for root in nodes:
        path: list[tuple[str, list[str]]] = [(root, [i.node for i in nodes[root].inputs])]
        active = {root: None}
        while path:
            name, todo = path[-1]
            if not todo:
                done.setdefault(name, nodes[name])
                active.pop(name)
                path.pop()
                continue
            child = todo.pop(0)
            if child in active:
                names = list(active)
                cycle = " -> ".join([*names[names.index(child) :], child])
                raise PlanError(f"the recipes make a cycle: {cycle}", place=name, hint="git diff graph/recipes")
            if child not in done:
                active[child] = None
                path.append((child, [i.node for i in nodes[child].inputs]))
    return done


def check_patches(plan: Plan, files: Mapping[str, File], lock: Lock) -> None:
    """Every file below patches/ (but a README.md) must be a file of some node, or name a version that the lock has but no cell builds.

    Raises PatchError naming the one that is not.
    """
    used = {file.path for node in plan.nodes.values() for file in node.files}
    for path, file in files.items():
        if path.startswith("patches/") and path.rpartition("/")[2] != "README.md" and path not in used and not _waits(path, file, lock):
            raise PatchError("this file is used by no node", place=path, hint=f"git rm {path}, or mend its Versions: line")


def _waits(path: str, file: File, lock: Lock) -> bool:
    """Whether a patch names, in so many words and not by `all`, the version of its package's source in the lock."""
    package = path.split("/")[1]
    versions = [source.version for source in lock if source.name in (package, f"{package}-{source.version}")]
    # `all` is true of the empty version, too
    named = path.endswith(".patch") and not patch_applies(file.data, "")
    return named and any(patch_applies(file.data, version) for version in versions)
