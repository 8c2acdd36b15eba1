"""Errors of others that are shown as ours."""

from __future__ import annotations

import pytest

from graph.errors import HostToolMissing, import_error


def test_a_library_that_a_wheel_counts_on_is_a_tool_of_the_machine() -> None:
    error = import_error(ImportError("libstdc++.so.6: cannot open shared object file: No such file or directory"))
    assert isinstance(error, HostToolMissing) and error.hint.startswith("install the package")


def test_any_other_module_that_cannot_be_imported_is_a_fault_of_ours() -> None:
    with pytest.raises(ImportError, match="lief"):
        import_error(ImportError("No module named 'lief'"))
