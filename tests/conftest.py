"""`pytest` runs the fast tests; `pytest --whole` also those that type doit or start servers, over distributions in small; `pytest --real`
runs these and the real ones: compilers, namespaces, servers, the whole distribution; `pytest --real --whole` what takes hours, too."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings

from tests.fetch_server import Server, running

TOLD = 4000
"""Letters of a failure that are told at once."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--real", action="store_true", help="run the tests in tests/real too (about an hour on 2 cores)")
    parser.addoption("--whole", action="store_true", help="run all: builds in small as doit is typed; with --real further whole builds")
    parser.addoption("--built", metavar="CHECKOUT", help="real tests take this checkout and its store, not a fresh clone")
    parser.addoption("--host", metavar="ROOT", help="the other build host of the real tests: what tests/real/two_hosts.py made there")
    parser.addoption("--golden", action="store_true", help="write tests/golden and docs/graph.svg anew from the plan")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """`pytest` takes every core, where no file is named and nothing is asked for that wants one process. (Called before xdist's own.)"""
    alone = config.args_source is not pytest.Config.ArgsSource.TESTPATHS or any(map(config.getoption, ("real", "golden", "usepdb")))
    # a worker is told of no processes either
    if config.pluginmanager.hasplugin("xdist") and config.option.numprocesses is None and not alone and not hasattr(config, "workerinput"):
        config.option.numprocesses = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        # a stretch for each, as neighbours share plans; who is done takes over from the other
        config.option.dist = "worksteal"


def pytest_configure(config: pytest.Config) -> None:
    # no deadline: a busy machine is no failure
    settings.register_profile("fast", max_examples=50, deadline=None)
    settings.register_profile("thorough", max_examples=120, deadline=None)
    # (--hypothesis-profile comes after this)
    settings.load_profile("fast")
    if config.getoption("--real"):
        # what passing tests measured is shown at the end
        config.option.reportchars += "P"
        # and where the time went
        config.option.durations = config.option.durations or 40


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    real = [item for item in items if "tests/real/" in item.path.as_posix()]
    fast = [item for item in items if "tests/real/" not in item.path.as_posix()]
    for item in real:
        item.add_marker(pytest.mark.real)
    # one of the real tests runs all the others, with their coverage measured: once is enough
    measured = any(item.path.name == "test_coverage.py" for item in real)
    if config.getoption("--real"):
        if not config.getoption("--whole"):
            real = [item for item in real if not item.get_closest_marker("whole")]
        kept = real if measured else [*fast, *real]
    elif config.getoption("--whole") or any(".py" in name for name in config.args):
        kept = fast
    else:
        kept = [item for item in fast if not item.get_closest_marker("whole")]
    chosen = set(kept)
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = kept


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What fails among the real tests is told at once: a run that is ended from outside has no summary."""
    report = yield
    if report.failed and item.get_closest_marker("real"):
        reporter = item.config.pluginmanager.get_plugin("terminalreporter")
        assert isinstance(reporter, pytest.TerminalReporter)
        reporter.ensure_newline()
        reporter.write_line(f"{report.nodeid} ({report.when}):\n{report.longreprtext[-TOLD:]}")
    return report


@pytest.fixture(scope="module")
def one_server() -> Iterator[Server]:
    """A web server on loopback that misbehaves as told."""
    with running() as server:
        yield server


@pytest.fixture
def server(one_server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The same, as new."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    one_server.behaviours.clear()
    one_server.seen.clear()
    return one_server
