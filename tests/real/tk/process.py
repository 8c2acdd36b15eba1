"""What importing and using tkinter does to the process. Prints JSON: see the keys."""

import ctypes
import json
import os
import re
import subprocess
import sys
from pathlib import Path

# what PIL.ImageTk and matplotlib's TkAgg look up by dlsym in the library that tkinter._tkinter names
WANTED = (
    *("Tcl_CreateCommand", "Tcl_AppendResult", "Tcl_GetInterpPath", "Tcl_Eval", "Tcl_SetVar", "Tcl_SetVar2", "Tk_MainWindow"),
    *("Tk_FindPhoto", "Tk_PhotoPutBlock", "Tk_PhotoPutBlock_NoComposite", "Tk_PhotoBlank", "Tk_PhotoGetImage"),
)


def signals() -> dict[str, str]:
    """Masks of the signals that are caught and ignored."""
    return dict(re.findall(r"^(Sig(?:Cgt|Ign)):\s*(\w+)", Path("/proc/self/status").read_text(), re.M))


def child_environment() -> str:
    return subprocess.run([sys.executable, "-c", "import os; print(sorted(os.environ.items()))"], capture_output=True, text=True).stdout


def forked() -> int:
    """Exit code of a child that goes on using Tcl after a fork."""
    import tkinter

    interpreter = tkinter.Tcl()
    child = os.fork()
    if child == 0:
        good = interpreter.eval("expr {6 * 7}") == "42" and tkinter.Tcl().eval("package require msgcat") != ""
        os._exit(0 if good else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    before, given = signals(), child_environment()
    import _tkinter
    import tkinter
    import tkinter.font

    root = tkinter.Tk()
    families = len(tkinter.font.families())
    tkinter.Label(root, text="text", cursor="hand2").pack()
    root.update()
    library = ctypes.CDLL(_tkinter.__file__)
    mapped = {Path(line.split()[-1]).name for line in Path("/proc/self/maps").read_text().splitlines() if ".so" in line}
    facts = {
        "signals": [before, signals()],
        "environment": [given, child_environment()],
        "symbols": sorted(name for name in WANTED if hasattr(library, name)),
        "families": families,
        "mapped": sorted(mapped),
    }
    root.destroy()
    print(json.dumps({**facts, "forked": forked()}), flush=True)


if __name__ == "__main__":
    main()
