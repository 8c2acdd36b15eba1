"""Which distributions another commit makes otherwise: told from the two plans alone, before anything is built."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from graph.changes import changed, recipes
from graph.errors import UsageError
from graph.node import Fetch, Input, Node, Run
from graph.session import Session
from tests.fakes import DIST, context_of, tiny_plan
from tests.mini import ROOT, Mini, commit, many, versions
from tests.test_build import PATCH_COMMENT


def digest(node: Node | None = None, tools: dict[str, str] | None = None) -> str:
    """Of the small graph's distribution, with `node` in the place of the one of its name."""
    nodes = dict(tiny_plan(context_of()).nodes)
    if node is not None:
        nodes[node.name] = node
    return recipes(nodes, tools or {})[DIST]


def changes() -> dict[str, Node]:
    nodes = tiny_plan(context_of()).nodes
    zlib, core, fetch = nodes["make:zlib"], nodes["core:cpython"], nodes["fetch:zlib"]
    assert isinstance(zlib.action, Run) and isinstance(fetch.action, Fetch)
    first, *others = core.inputs
    return {
        "a variable": replace(zlib, action=replace(zlib.action, env=(("PATH", "/bin"),))),
        "what a node sees": replace(core, inputs=(replace(first, without=()), *others)),
        "where it sees it": replace(core, inputs=(replace(first, at="elsewhere"), *others)),
        "what it is made from": replace(core, inputs=(replace(first, node="source:zlib"), *others)),
        "a subfolder": replace(core, inputs=(replace(first, subdir="Lib"), *others)),
        "a source": replace(fetch, action=replace(fetch.action, sha256="0" * 64)),
    }


@pytest.mark.parametrize("name", changes())
def test_what_can_change_bytes_below_changes_the_recipe(name: str) -> None:
    assert digest(changes()[name]) != digest()


def test_host_tools_change_it_and_names_and_neighbours_do_not() -> None:
    assert digest(tools={"posix": "sh"}) != digest()
    assert digest(Node("make:other", Run(()), (Input("source:zlib", "src"),))) == digest()
    nodes = tiny_plan(context_of()).nodes
    renamed = {name.replace("make:zlib", "make:z"): _renamed(node) for name, node in nodes.items()}
    assert recipes(renamed, {})[DIST] == digest()


def _renamed(node: Node) -> Node:
    inputs = tuple(replace(given, node=given.node.replace("make:zlib", "make:z")) for given in node.inputs)
    return replace(node, name=node.name.replace("make:zlib", "make:z"), inputs=inputs)


def since(mini: Mini, ref: str) -> list[str]:
    done = mini.doit("matrix", "--json", "--changed-since", ref)
    assert done.returncode == 0, done.stderr
    return [row["python"] for row in json.loads(done.stdout)]


@pytest.mark.whole
def test_edits_count_before_they_are_committed_and_after(tmp_path: Path) -> None:
    mini = many(tmp_path / "a checkout", 2)
    commit(mini.root)
    assert since(mini, "HEAD") == []
    mini.write("README.md", "edited")
    assert since(mini, "HEAD") == []
    table = mini.root / "toolchains/targets.toml"
    table.write_text(table.read_text().replace(versions(2), versions(3)))
    assert since(mini, "HEAD") == ["3.13.2"]
    commit(mini.root)
    assert since(mini, "HEAD") == []
    assert since(mini, "HEAD^") == ["3.13.2"]
    mini.write("patches/openssl/1.patch", PATCH_COMMENT.decode())
    assert since(mini, "HEAD") == ["3.13.0", "3.13.1", "3.13.2"]
    plain = mini.doit("matrix", "--changed-since", "HEAD").stdout.splitlines()
    assert plain[0].startswith("target ") and "3.13.2" in plain[3]
    assert plain[-1] == "3 distributions and add-ons are not built as in HEAD"
    assert list(mini.root.glob(".store*")) == [], "nothing was made"
    (mini.root / "patches/openssl/1.patch").unlink()
    assert mini.doit("matrix", "--changed-since", "HEAD").stdout == "0 distributions and add-ons are not built as in HEAD\n"


@pytest.mark.whole
def test_the_recipes_of_a_commit_are_code_of_that_commit(tmp_path: Path) -> None:
    """This checkout's own matrix, compared with a commit whose recipe of musl is another one."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    recipe = tmp_path / "graph/recipes/musl.py"
    text = recipe.read_text()
    recipe.write_text(
        text.replace('Step(argv),), environment(ctx, CLANG_TARGET_FLAGS="")', 'Step(argv),), environment(ctx, CLANG_TARGET_FLAGS="-O1")')
    )
    assert recipe.read_text() != text
    commit(tmp_path)
    session = Session(tmp_path, {})
    found = changed(session, "HEAD")
    assert found == {f"dist:{cell}" for cell in session.cells if cell.target.libc == "musl"}
    assert len(found) > 10


def test_what_cannot_be_compared_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mini = many(tmp_path / "checkout", 1)
    session = Session(mini.root, mini.environment())
    with pytest.raises(UsageError, match="no git repository to compare with") as told:
        changed(session, "HEAD")
    assert told.value.hint
    good = (mini.root / "pyproject.toml").read_text()
    mini.write("pyproject.toml", '[tool.freestanding]\nrecipes = "tests.mini:NONE"\n')
    commit(mini.root)
    mini.write("pyproject.toml", good)
    for ref in ("0" * 40, "--output=x", "HEAD^", "HEAD:dodo.py", ""):
        with pytest.raises(UsageError, match="git knows no commit") as told:
            changed(session, ref)
        assert "--unshallow" in told.value.hint
    with pytest.raises(UsageError, match=r"HEAD cannot be planned: (.*\n)*.*tests.mini:NONE") as told:
        changed(session, "HEAD")
    assert "doit matrix --json" in told.value.hint
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="no git on PATH"):
        changed(session, "HEAD")


def test_a_commit_whose_files_git_has_lost_is_told(tmp_path: Path) -> None:
    mini = many(tmp_path / "checkout", 1)
    commit(mini.root)
    session = Session(mini.root, mini.environment())
    assert changed(session, "HEAD") == set()
    tree = subprocess.run(["git", "rev-parse", "HEAD^{tree}"], cwd=mini.root, capture_output=True, text=True, check=True).stdout.strip()
    (mini.root / ".git/objects" / tree[:2] / tree[2:]).unlink()
    with pytest.raises(UsageError, match="git cannot give commit"):
        changed(session, "HEAD")
