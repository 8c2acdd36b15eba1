"""The hash of PEP 552, by what Python's own importlib computes."""

from __future__ import annotations

import importlib.util
import py_compile
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.pyc import siphash13, source_hash

MAGIC = importlib.util.MAGIC_NUMBER
of_3_11 = pytest.mark.skipif(sys.version_info < (3, 11), reason="SipHash-1-3 since Python 3.11")


@of_3_11
@given(st.binary(max_size=70))
def test_both_functions_are_importlibs(source: bytes) -> None:
    known = importlib.util.source_hash(source)
    assert siphash13(int.from_bytes(MAGIC, "little"), source) == source_hash(MAGIC, source) == known


def test_a_known_hash() -> None:
    """What importlib.util.source_hash of Python 3.13 says."""
    magic = b"\xf3\r\r\n"
    known = bytes.fromhex("e64d0392d26e5285")
    assert source_hash(magic, b"import os\n") == siphash13(int.from_bytes(magic, "little"), b"import os\n") == known


@of_3_11
@pytest.mark.parametrize("mode", [py_compile.PycInvalidationMode.CHECKED_HASH, py_compile.PycInvalidationMode.UNCHECKED_HASH])
def test_a_compiled_file_holds_it(tmp_path: Path, mode: py_compile.PycInvalidationMode) -> None:
    source = tmp_path / "one.py"
    source.write_bytes(b"x = 1\n")
    compiled = py_compile.compile(str(source), invalidation_mode=mode, doraise=True)
    assert compiled
    made = Path(compiled).read_bytes()
    assert made[8:16] == source_hash(made[:4], source.read_bytes())
