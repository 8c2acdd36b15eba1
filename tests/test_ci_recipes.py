"""docs/ci: each command of the workflows is one that there is, and their scripts do what they say on a checkout in small."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from doit.cmd_base import ModuleTaskLoader

from graph import commands
from graph.commands import Own, Run, options_first
from graph.errors import UsageError
from graph.remote.settings import VARIABLES
from tests.mini import ROOT, Mini, commit, many, nodes_done, versions

pytestmark = pytest.mark.whole

FOLDER = ROOT / "docs/ci"
WORKFLOWS = sorted(path.name for path in FOLDER.glob("*.yml"))
COMMANDS = {one.name: one for one in vars(commands).values() if isinstance(one, type) and issubclass(one, Own | Run) and one is not Own}


def workflow(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text())
    return found


def scripts(value: object) -> Iterator[str]:
    """The text of every `run` and `script` of a workflow."""
    if isinstance(value, dict):
        for key, below in value.items():
            if key in ("run", "script", "before_script"):
                yield below if isinstance(below, str) else "\n".join(below)
            else:
                yield from scripts(below)
    elif isinstance(value, list):
        for below in value:
            yield from scripts(below)


def typed(text: str) -> list[list[str]]:
    """The words of every doit command of a script."""
    return [shlex.split(found, posix=True)[1:] for found in re.findall(r"\bdoit\b[^|;>)&\n]*", text)]


def of_all(name: str) -> list[list[str]]:
    return [words for text in scripts(workflow(name)) for words in typed(text)]


def parsed(words: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Options and names, by the command's own parser. Raises KeyError, UsageError."""
    name, rest = (words[0], words[1:]) if words[0] in COMMANDS else ("run", words)
    kind = COMMANDS[name]
    command: Any = Run(task_loader=ModuleTaskLoader({})) if kind is Run else kind()
    found: tuple[dict[str, Any], list[str]] = command.cmdparser.parse(options_first(command, rest))
    return found


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_command_is_one_that_there_is(name: str) -> None:
    found = of_all(name)
    assert len(found) >= 2
    for words in found:
        options, names = parsed(words)
        if words[0] == "matrix":
            assert options["json"] and names == []
        else:
            assert re.fullmatch(r"(check:|\$).*", names[0]), words
    compared, everything = [words for words in found if words[0] == "matrix"]
    assert compared[:-1] == ["matrix", "--json", "--changed-since"] and compared[-1].startswith("$")
    assert everything == ["matrix", "--json"]


def test_a_command_that_there_is_not_would_be_seen() -> None:
    assert typed('x=$(doit a --b "$c") && doit d > e\nif true; then doit f; fi') == [["a", "--b", "$c"], ["d"], ["f"]]
    with pytest.raises(UsageError):
        parsed(["matrix", "--changed-sinse", "x"])
    with pytest.raises(UsageError):
        parsed(["dist:x", "--pull"])


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_variable_is_one_that_is_read(name: str) -> None:
    read = set(VARIABLES.values())
    for path in (ROOT / "graph").rglob("*.py"):
        read.update(re.findall(r'"(FREESTANDING_\w+)"', path.read_text()))
    named = set(re.findall(r"FREESTANDING_\w+", (FOLDER / name).read_text()))
    assert len(named) >= 3
    assert named - read == set()


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_history_that_is_compared_is_fetched(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert "fetch-depth: 0" in text or 'GIT_DEPTH: "0"' in text


def test_the_key_of_a_cache_is_of_files_that_there_are() -> None:
    restored, saved = (one["with"] for one in workflow("github-cache.yml")["jobs"]["build"]["steps"] if "cache/" in one.get("uses", ""))
    assert restored["path"] == saved["path"] == ".shared"
    assert saved["key"].startswith(f"{restored['key']}-")
    named = re.findall(r"'([^']+)'", restored["key"])
    assert len(named) == 4
    for glob in named:
        assert next(ROOT.glob(glob), None), glob


@pytest.fixture
def mini(tmp_path: Path) -> Mini:
    """Two cells, and a third one that is not committed, with a shared folder."""
    mini = many(tmp_path / "checkout", 2)
    (tmp_path / "shared").mkdir()
    commit(mini.root)
    table = mini.root / "toolchains/targets.toml"
    table.write_text(table.read_text().replace(versions(2), versions(4)))
    mini.settings["FREESTANDING_REMOTE"] = f"file://{tmp_path}/shared"
    return mini


def bash(mini: Mini, script: str, **variables: str) -> str:
    """Run a script as a CI job does, with this Python's doit."""
    if not shutil.which("jq"):
        pytest.skip("no jq, which the workflows take lists apart with")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = mini.environment(PATH=path, **variables)
    done = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", script], cwd=mini.root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def step(name: str, job: str, id_: str) -> str:
    [found] = [one["run"] for one in workflow(name)["jobs"][job]["steps"] if one.get("id") == id_]
    return str(found)


def expression(text: str, context: dict[str, str]) -> str:
    """`${{ name }}` filled in, as far as it is only a name."""
    return re.sub(r"\$\{\{ ([\w.]+) \}\}", lambda found: context[found[1]], text)


def test_github_gets_a_matrix_and_each_of_its_jobs_builds_one(mini: Mini, tmp_path: Path) -> None:
    output = tmp_path / "output"
    bash(mini, step("github.yml", "plan", "matrix"), GITHUB_OUTPUT=str(output), SINCE="HEAD")
    [line] = output.read_text().splitlines()
    cells = json.loads(line.removeprefix("cells="))
    assert [cell["python"] for cell in cells] == ["3.13.2", "3.13.3"]
    for cell in cells:
        assert all(re.fullmatch(r"[a-z][a-z ]*", key) and isinstance(value, str) for key, value in cell.items())
    job = workflow("github.yml")["jobs"]["build"]
    assert job["strategy"]["matrix"] == {"include": "${{ fromJSON(needs.plan.outputs.cells) }}"}
    context = {f"matrix.{key}": value for key, value in cells[0].items()}
    upload = expression(job["steps"][-1]["with"]["name"], context)
    assert upload == "x86_64-unknown-linux-gnu-3.13.2-noopt"
    dist = expression(job["env"]["DIST"], context)
    claimed = {"FREESTANDING_REMOTE_PUSH": "1", "FREESTANDING_REMOTE_CLAIM": "1"}
    ran = nodes_done(bash(mini, step("github.yml", "build", "build"), DIST=dist, **claimed))
    assert dist in ran
    assert [path.name for path in (mini.root / "dist").glob("*.txt")] == ["3.13.2.txt"]


def test_github_makes_no_job_where_nothing_changed(mini: Mini, tmp_path: Path) -> None:
    commit(mini.root)
    output = tmp_path / "output"
    bash(mini, step("github.yml", "plan", "matrix"), GITHUB_OUTPUT=str(output), SINCE="HEAD")
    assert output.read_text() == "cells=[]\n"
    assert workflow("github.yml")["jobs"]["build"]["if"] == "needs.plan.outputs.cells != '[]'"


def test_everything_is_listed_where_there_is_nothing_to_compare_with(mini: Mini, tmp_path: Path) -> None:
    output = tmp_path / "output"
    bash(mini, step("github.yml", "plan", "matrix"), GITHUB_OUTPUT=str(output), SINCE="0" * 40)
    assert len(json.loads(output.read_text().removeprefix("cells="))) == 4


def test_github_without_a_server_builds_what_changed(mini: Mini) -> None:
    ran = nodes_done(bash(mini, step("github-cache.yml", "build", "build"), SINCE="HEAD", FREESTANDING_REMOTE_PUSH="1"))
    assert {f"dist:x86_64-unknown-linux-gnu:3.13.{number}:noopt" for number in (2, 3)} < set(ran)
    commit(mini.root)
    assert nodes_done(bash(mini, step("github-cache.yml", "build", "build"), SINCE="HEAD")) == []


def test_gitlab_deals_what_changed_to_its_jobs(mini: Mini) -> None:
    jobs = workflow("gitlab.yml")
    bash(mini, "\n".join(jobs["plan"]["script"]), CI_COMMIT_BEFORE_SHA="HEAD")
    [artifact] = jobs["plan"]["artifacts"]["paths"]
    assert len(json.loads((mini.root / artifact).read_text())) == 2
    dealt = []
    total = jobs["build"]["parallel"]
    for index in range(1, total + 1):
        script = "\n".join(jobs["build"]["script"]).replace("doit ", "echo done ")
        dealt += nodes_done(bash(mini, script, CI_NODE_INDEX=str(index), CI_NODE_TOTAL=str(total)))
    assert dealt == [f"dist:x86_64-unknown-linux-gnu:3.13.{number}:noopt" for number in (2, 3)]
