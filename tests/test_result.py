"""ActionResult: its JSON form."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from graph.digest import Digest
from graph.result import ActionResult

RESULT = ActionResult("make:x:zlib", "a" * 64, Digest.of(b"t"), 1.25, True, (("schema", "1"), ("env A", "x\udc80\n")), Digest.of(b"l"))


@pytest.mark.parametrize("result", [RESULT, replace(RESULT, log=None, hermetic=False, manifest=())], ids=["log", "no log"])
def test_decode_is_the_inverse_of_encode(result: ActionResult) -> None:
    assert ActionResult.decode(result.encode()) == result


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"version": None},
        {"tree": "nonsense"},
        {"node": 3},
        {"manifest": [["a"]]},
        {"manifest": 5},
        {"manifest": [["a", 1]]},
        {"seconds": None},
        {"log": 1},
    ],
    ids=str,
)
def test_another_version_or_type_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        ActionResult.decode(json.dumps({**json.loads(RESULT.encode()), **change}).encode())


@pytest.mark.parametrize("field", ["node", "key", "tree", "seconds", "hermetic", "manifest", "log"])
def test_a_missing_field_is_refused(field: str) -> None:
    found = json.loads(RESULT.encode())
    del found[field]
    with pytest.raises(ValueError):
        ActionResult.decode(json.dumps(found).encode())


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"3"])
def test_what_is_no_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        ActionResult.decode(data)
