"""The recipes that make up a plan, each a function of the context."""

from __future__ import annotations

from collections.abc import Callable

from graph.node import Node
from graph.recipes import toolchain
from graph.recipes.common import Context

RECIPES: tuple[Callable[[Context], tuple[Node, ...]], ...] = (toolchain.nodes,)
