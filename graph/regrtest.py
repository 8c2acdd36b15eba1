"""Run BY an interpreter under wine, in the place of `-m test`: CPython's regrtest, told what wine lacks.

Usage: PYTHON regrtest.py ARGUMENT..., with regrtest's arguments. It imports nothing of ours.
"""

import os
import sys
import traceback
import xml.etree.ElementTree as ElementTree
from typing import Any, NoReturn

REFUSED = 1314
"""ERROR_PRIVILEGE_NOT_HELD: what Windows says to a user without the right to make symbolic links."""


def no_link(src: object, dst: object, target_is_directory: bool = False, *, dir_fd: object = None) -> NoReturn:
    """As os.symlink where nobody may make a link: wine's CreateSymbolicLinkW only says that it made one (dlls/kernelbase/file.c)."""
    raise OSError(None, "A required privilege is not held by the client", str(src), REFUSED, str(dst))


def name_subtests(result_class: Any) -> None:
    """Have libregrtest's result put failures of subTest into the XML of their case: unittest reports them apart, and it writes none."""
    add_subtest = result_class.addSubTest

    from test.libregrtest.utils import sanitize_xml

    def named(self: Any, test: Any, subtest: Any, error: Any) -> None:
        if error is not None:
            # (its last element is of the case that runs)
            case = self.get_xml_element()[-1]
            case.set("name", test.id())
            failure = ElementTree.SubElement(case, "failure", message=sanitize_xml(str(subtest)))
            failure.text = sanitize_xml("".join(traceback.format_exception(*error)))
        add_subtest(self, test, subtest, error)

    result_class.addSubTest = named


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
    name_subtests(testresult.RegressionTestResult)
    # the load is a performance counter (HKEY_PERFORMANCE_DATA), which wine has not
    logger.Logger.start_load_tracker = lambda self: None
    main.main()
