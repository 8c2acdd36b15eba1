"""Run BY an interpreter under wine, in the place of `-m test`: CPython's regrtest, told what wine lacks.

Usage: PYTHON regrtest.py ARGUMENT..., with regrtest's arguments. It imports nothing of ours.
"""

import os
import re
import sys
import traceback
import xml.etree.ElementTree as ElementTree
from typing import Any, NoReturn

REFUSED = 1314
"""ERROR_PRIVILEGE_NOT_HELD: what Windows says to a user without the right to make symbolic links."""
HOLDER = re.compile(r"(\w+) \((.+)\)")
"""unittest's name of what stands for a class or module: setUpClass (test.test_x.T)."""


def no_link(src: object, dst: object, target_is_directory: bool = False, *, dir_fd: object = None) -> NoReturn:
    """As os.symlink where nobody may make a link: wine's CreateSymbolicLinkW only says that it made one (dlls/kernelbase/file.c)."""
    raise OSError(None, "A required privilege is not held by the client", str(src), REFUSED, str(dst))


def name_failures(result_class: Any) -> None:
    """Have libregrtest's result write every failure into its XML.

    It leaves out those of subTest, the second one of a case (of tearDown, say), and those of setUpClass and setUpModule, which become cases
    of that name.
    """
    from test.libregrtest.utils import sanitize_xml

    def put(self: Any, test: Any, error: Any, said: str) -> None:
        root, name = self.get_xml_element(), HOLDER.sub(r"\2.\1", test.id())
        if not len(root) or root[-1].get("name") not in (None, name):
            ElementTree.SubElement(root, "testcase")
        root[-1].set("name", name)
        failure = ElementTree.SubElement(root[-1], "failure", message=sanitize_xml(said))
        failure.text = sanitize_xml("".join(traceback.format_exception(*error)))

    def subtest(self: Any, test: Any, part: Any, error: Any) -> None:
        if error is not None:
            put(self, test, error, str(part))
        add_subtest(self, test, part, error)

    def completed(method: Any) -> Any:
        def add(self: Any, test: Any, error: Any) -> None:
            before = len(list(self.get_xml_element().iterfind("*/*")))
            method(self, test, error)
            if len(list(self.get_xml_element().iterfind("*/*"))) == before:
                put(self, test, error, str(test))

        return add

    add_subtest = result_class.addSubTest
    result_class.addSubTest = subtest
    result_class.addError, result_class.addFailure = completed(result_class.addError), completed(result_class.addFailure)


if __name__ == "__main__":
    # the interpreter puts this folder first, whose modules are not meant for tests
    del sys.path[0]
    os.symlink = no_link
    from test import support
    from test.libregrtest import logger, main, testresult

    if not os.environ.get("DISPLAY"):
        # Tk ends the process where wine can make no window
        support._is_gui_available.result = False
        support._is_gui_available.reason = "no display"
    name_failures(testresult.RegressionTestResult)
    # the load is a performance counter (HKEY_PERFORMANCE_DATA), which wine has not
    logger.Logger.start_load_tracker = lambda self: None
    main.main()
