"""What graph/regrtest.py does to CPython's regrtest, as far as it needs no wine."""

from __future__ import annotations

import io
import sys
import types
import unittest
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from graph.regrtest import name_failures, no_link


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

    def test_twice(self) -> None:
        self.addCleanup(self.fail, "after")
        self.fail("before")


class Late(unittest.TestCase):
    __test__ = False

    @classmethod
    def setUpClass(cls) -> None:
        raise OSError("no class")

    def test_never(self) -> None:
        pass


class Result(unittest.TextTestResult):
    """As libregrtest's: an element for each case that starts, which gets its name and the first failure alone."""

    def __init__(self) -> None:
        super().__init__(io.StringIO(), False, 0)  # type: ignore[arg-type]
        self.suite = ET.Element("testsuite")
        self.case: ET.Element | None = None

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self.case = ET.SubElement(self.suite, "testcase")

    def ended(self, test: unittest.TestCase, *errors: Any) -> None:
        if self.case is not None:
            self.case.set("name", test.id())
            for error in errors:
                ET.SubElement(self.case, "failure").text = str(error[1])
        self.case = None

    def addSuccess(self, test: unittest.TestCase) -> None:
        self.ended(test)

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        self.ended(test, err)
        super().addError(test, err)

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        self.ended(test, err)
        super().addFailure(test, err)

    def get_xml_element(self) -> ET.Element:
        return self.suite


def test_every_failure_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = types.ModuleType("test.libregrtest.utils")
    module.sanitize_xml = lambda text: text.replace("\a", "\\x07")
    monkeypatch.setitem(sys.modules, "test.libregrtest.utils", module)
    for name in ("addSubTest", "addError", "addFailure"):
        monkeypatch.setattr(Result, name, getattr(Result, name))
    name_failures(Result)
    result = Result()
    unittest.TestSuite(map(unittest.defaultTestLoader.loadTestsFromTestCase, (Cases, Late))).run(result)
    told = {
        (case.get("name") or "").rpartition(f"{__name__}.")[2]: [(one.text or "").splitlines()[-1] for one in case] for case in result.suite
    }
    assert told == {
        "Cases.test_good": [],
        "Cases.test_parts": [f"AssertionError: {number} != 1 : a bell \\x07" for number in (0, 2)],
        "Cases.test_twice": ["before", "AssertionError: after"],
        "Late.setUpClass": ["OSError: no class"],
    }
    assert sum(map(len, told.values())) == len(result.failures) + len(result.errors)


def test_no_link_is_made() -> None:
    with pytest.raises(OSError, match="required privilege"):
        no_link("a", "b")
