"""The plan: every node of the selected cells as one value, in topological order. Nothing is run to make it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterable, Mapping

from graph.errors import PatchError, PlanError, UsageError, did_you_mean
from graph.node import Node
from graph.recipes.common import Context, patch_applies

Recipe = Callable[[Context], tuple[Node, ...]]


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
        wanted: set[str] = set()
        pending = list(names)
        while pending:
            name = pending.pop()
            if name not in wanted:
                wanted.add(name)
                pending.extend(given.node for given in self[name].inputs)
        return tuple(name for name in self.nodes if name in wanted)

    def dependents(self, name: str) -> tuple[str, ...]:
        """The nodes that take `name` as a direct input."""
        return tuple(other for other, node in self.nodes.items() if any(given.node == name for given in node.inputs))


def make_plan(contexts: Iterable[Context], recipes: Iterable[Recipe]) -> Plan:
    """Cross contexts with recipes. Raises PlanError on two unlike nodes of one name, an input that no node makes, or a cycle."""
    nodes: dict[str, Node] = {}
    recipes = tuple(recipes)
    for context in contexts:
        for recipe in recipes:
            for node in recipe(context):
                if nodes.setdefault(node.name, node) != node:
                    raise PlanError(f"two different nodes are named {node.name}", place=_where(recipe))
    for node in nodes.values():
        _check_inputs(node, nodes)
    return Plan(_sorted(nodes))


def _where(recipe: Recipe) -> str:
    return f"{recipe.__module__.replace('.', '/')}.py"


def _check_inputs(node: Node, nodes: Mapping[str, Node]) -> None:
    places: set[str] = set()
    for given in node.inputs:
        if given.node not in nodes:
            raise PlanError(f"input {given.node!r} is made by no node", place=node.name, hint=did_you_mean(given.node, nodes))
        if given.at in places:
            raise PlanError(f"two inputs are placed at {given.at!r}", place=node.name)
        places.add(given.at)


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


def check_patches(context: Context) -> None:
    """Every patch must serve some version in the lock. Raises PatchError naming the one that does not."""
    versions = {source.name: source.version for source in context.lock}
    for path, file in context.files.items():
        if not path.startswith("patches/") or not path.endswith(".patch"):
            continue
        package = path.split("/")[1]
        serves = [v for name, v in versions.items() if name == package or name == f"{package}-{v}"]
        if not any(patch_applies(file.data, version) for version in serves):
            raise PatchError("this patch is used by no source in the lock", place=path, hint=f"git rm {path}, or mend its Versions: line")
