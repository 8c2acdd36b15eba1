"""What graph/regrtest.py does to CPython's regrtest, as far as it needs no wine."""

from __future__ import annotations

import io
import types
import unittest
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from graph.regrtest import name_subtests, no_link


class Cases(unittest.TestCase):
    __test__ = False
    """(pytest would run it)"""

    def test_parts(self) -> None:
        for number in range(3):
            with self.subTest(number=number):
                self.assertEqual(number, 1, "a bell \a")

    def test_good(self) -> None:
        with self.subTest("one"):
            pass


class Result(unittest.TextTestResult):
    """As libregrtest's: an element for each case that starts, to which failures of subTest add nothing."""

    def __init__(self) -> None:
        super().__init__(io.StringIO(), False, 0)  # type: ignore[arg-type]
        self.suite = ET.Element("testsuite")

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        ET.SubElement(self.suite, "testcase")

    def get_xml_element(self) -> ET.Element:
        return self.suite


def test_parts_of_a_case_that_fail_are_its_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = types.ModuleType("test.libregrtest.utils")
    module.sanitize_xml = lambda text: text.replace("\a", "\\x07")
    monkeypatch.setitem(__import__("sys").modules, "test.libregrtest.utils", module)
    monkeypatch.setattr(Result, "addSubTest", Result.addSubTest)
    name_subtests(Result)
    result = Result()
    unittest.defaultTestLoader.loadTestsFromTestCase(Cases).run(result)
    good, parts = result.suite
    assert (good.get("name"), len(good)) == (None, 0)
    assert parts.get("name", "").endswith("Cases.test_parts") and len(parts) == len(result.failures) == 2
    assert [(one.text or "").splitlines()[-1] for one in parts] == [f"AssertionError: {number} != 1 : a bell \\x07" for number in (0, 2)]


def test_no_link_is_made() -> None:
    with pytest.raises(OSError, match="required privilege"):
        no_link("a", "b")
