from __future__ import annotations

from dataclasses import replace

import pytest

from graph.errors import PatchError, PlanError, UsageError
from graph.lock import Lock, Source
from graph.node import File, Input, Node, Run, Step, Unpack
from graph.plan import Plan, check_patches, deep_keys, make_plan
from graph.recipes.common import Context, Host
from graph.target import Cell
from tests.data import TARGET

SOURCE = Source("zlib", "1.3.1", "zlib.tar.gz", "0" * 64, 1, "Zlib", ())
CONTEXT = Context(Cell(TARGET, "3.13.15", ("noopt",)), Host("linux-x86_64", TARGET), Lock("20260101", 0, {"zlib": SOURCE}), {})


def node(name: str, *inputs: str) -> Node:
    return Node(name, Run((Step(("true",)),)), tuple(Input(given, given) for given in inputs))


def plan_of(*nodes: Node):  # type: ignore[no-untyped-def]
    return make_plan([CONTEXT], [lambda context: nodes])


def test_nodes_come_after_their_inputs() -> None:
    plan = plan_of(node("c", "b", "a"), node("b", "a"), node("a"))
    assert list(plan.nodes) == ["a", "b", "c"]
    assert plan.closure(["b"]) == ("a", "b")


def test_a_node_that_two_recipes_give_alike_is_one() -> None:
    assert list(make_plan([CONTEXT, CONTEXT], [lambda context: (node("a"),)]).nodes) == ["a"]


def test_two_different_nodes_of_one_name_are_refused() -> None:
    with pytest.raises(PlanError, match="two different nodes are named a"):
        plan_of(node("a"), replace(node("a"), platform="other"))


def test_a_cycle_is_named_with_its_members() -> None:
    with pytest.raises(PlanError, match="cycle: b -> c -> b"):
        plan_of(node("a", "b"), node("b", "c"), node("c", "b"))


def test_a_long_chain_does_not_exhaust_the_stack() -> None:
    chain = [node("n0")] + [node(f"n{i}", f"n{i - 1}") for i in range(1, 3000)]
    assert len(plan_of(*reversed(chain)).nodes) == 3000


def test_the_first_user_of_a_node_is_the_first_root_that_needs_it() -> None:
    plan = plan_of(node("a", "x", "y"), node("b", "y", "z"), node("c", "a"), *map(node, "xyz"))
    assert plan.first_users("cb") == {"c": 0, "a": 0, "x": 0, "y": 0, "b": 1, "z": 1}
    with pytest.raises(UsageError):
        plan.first_users(["nope"])


def test_a_deep_key_holds_all_that_a_node_is_made_from_and_nothing_else() -> None:
    def keys(first: Node, second: Node, tools: str = "cat") -> dict[str, str]:
        return deep_keys(Plan({"a": first, "b": node("b"), "c": second, "d": node("d", "c")}), ["d"], {"posix": tools})

    user = replace(node("c", "a"), action=Run((Step(("true",)),), tools=("posix",)))
    plain = keys(node("a"), user)
    assert list(plain) == ["a", "c", "d"]
    assert keys(node("a"), user) == plain
    changed = keys(replace(node("a"), platform="other"), user)
    assert all(changed[name] != plain[name] for name in plain)
    for other in (
        replace(user, inputs=(Input("a", "a", only=("x",)),)),
        replace(user, inputs=(Input("a", "a", without=("x",)),)),
        replace(user, inputs=(Input("a", "a", subdir="x"),)),
        replace(user, inputs=(Input("a", "a", writable=True),)),
    ):
        found = keys(node("a"), other)
        assert [name for name in plain if found[name] != plain[name]] == ["c", "d"]
    found = keys(node("a"), user, tools="cat cp")
    assert [name for name in plain if found[name] != plain[name]] == ["c", "d"]


def test_an_unknown_input_gets_a_suggestion() -> None:
    with pytest.raises(PlanError) as caught:
        plan_of(node("make:zlib"), node("b", "make:zlb"))
    assert caught.value.place == "b"
    assert "make:zlib" in caught.value.hint


@pytest.mark.parametrize(
    ("ats", "paths", "what"),
    [
        (("x", "x"), (), "two inputs are placed at 'x'"),
        (("/x",), (), "'/x' is no place below /build"),
        (("../x",), (), "'../x' is no place"),
        (("x/../y",), (), "is no place"),
        (("x//y",), (), "is no place"),
        ((".",), (), "is no place"),
        ((), ("/etc/x",), "'/etc/x' is no place"),
        ((), ("a/../../x",), "is no place"),
        ((), ("a", "b", "a"), "two files are placed at 'a'"),
        (("src",), ("src/new.c",), "file 'src/new.c' would be written into the read-only input at 'src'"),
        (("src",), ("src",), "file 'src' is in the way of the input at 'src'"),
        (("src/deep",), ("src",), "file 'src' is in the way of the input at 'src/deep'"),
        ((), ("a", "a/b"), "file 'a' is in the way of file 'a/b'"),
    ],
)
def test_places_that_cannot_all_be_are_refused(ats: tuple[str, ...], paths: tuple[str, ...], what: str) -> None:
    inputs, files = tuple(Input("a", at) for at in ats), tuple(File(path, b"") for path in paths)
    with pytest.raises(PlanError) as caught:
        plan_of(node("a"), Node("c", Run(()), inputs, files))
    assert what in caught.value.what
    assert caught.value.place == "c"


def test_files_may_lie_beside_inputs_and_within_writable_ones() -> None:
    inputs = (Input("a", "src"), Input("a", "work", writable=True))
    files = (File("src.txt", b""), File("work/Setup.local", b""))
    assert plan_of(node("a"), Node("c", Run(()), inputs, files))["c"].files == files


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(UsageError) as caught:
        plan_of(node("make:zlib"))["make:zlb"]
    assert "did you mean make:zlib?" in caught.value.hint


PATCH = b"What: x\nVersions: %s\n--- a/f\n+++ b/f\n"


def checked(path: str, versions: bytes, used: bool = False) -> None:
    file = File(path, PATCH % versions)
    users = [Node("source:zlib", Unpack(), (Input("a", "archive"),), (file,))] if used else []
    check_patches(plan_of(node("a"), *users), {path: file}, CONTEXT.lock)


@pytest.mark.parametrize("versions", [b"all", b"1.3", b"9"])
def test_a_patch_of_a_node_is_fine(versions: bytes) -> None:
    checked("patches/zlib/0001-x.patch", versions, used=True)


@pytest.mark.parametrize("versions", [b"1.3", b"1.2, 1.3.1"])
def test_a_patch_that_names_a_version_in_the_lock_may_wait_for_a_cell(versions: bytes) -> None:
    checked("patches/zlib/0001-x.patch", versions)


def test_readmes_and_other_folders_are_left_alone() -> None:
    checked("patches/zlib/README.md", b"9")
    checked("toolchains/x.patch", b"9")


@pytest.mark.parametrize(
    ("path", "versions"),
    [
        ("patches/zlib/0001-x.patch", b"1.2"),
        ("patches/zlib/0001-x.patch", b"all"),
        ("patches/zlob/0001-x.patch", b"1.3.1"),
        ("patches/zlib/0001-x.diff", b"1.3.1"),
        ("patches/stray.patch", b"1.3.1"),
    ],
)
def test_an_unused_patch_is_an_error(path: str, versions: bytes) -> None:
    with pytest.raises(PatchError) as caught:
        checked(path, versions)
    assert caught.value.place == path


def test_an_input_inside_a_read_only_input_is_refused() -> None:
    inputs = (Input("a", "deps"), Input("b", "deps/b"))
    with pytest.raises(PlanError, match="'deps/b' lies inside the read-only input at 'deps'"):
        plan_of(node("a"), node("b"), Node("c", Run(()), inputs))
    writable = (replace(inputs[0], writable=True), inputs[1])
    assert "c" in plan_of(node("a"), node("b"), Node("c", Run(()), writable)).nodes
