"""`pytest` runs the fast tests; `pytest --real` runs all: compilers, namespaces, servers, the whole distribution."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--real", action="store_true", help="run the tests in tests/real too (about an hour on 2 cores)")
    parser.addoption("--golden", action="store_true", help="write tests/golden and docs/graph.svg anew from the plan")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--real"):
        # what passing tests measured is shown at the end
        config.option.reportchars += "P"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    real = [item for item in items if "tests/real/" in item.path.as_posix()]
    for item in real:
        item.add_marker(pytest.mark.real)
    if not config.getoption("--real"):
        chosen = [item for item in items if item not in real]
        config.hook.pytest_deselected(items=real)
        items[:] = chosen
