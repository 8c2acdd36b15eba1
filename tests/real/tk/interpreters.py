"""Tcl and Tk in interpreters of Python's, Tcl in its own. Prints JSON: what became of each."""

import json
import tkinter

import _interpreters

CODE = (
    "import tkinter; root = tkinter.Tk(); root.update(); assert root.tk.eval('clock format 0 -gmt 1 -format %Y') == '1970'; root.destroy()"
)


def python_interpreter(config: str) -> str:
    """Empty, or the error of CODE in a Python interpreter of that kind."""
    made = _interpreters.create(config)
    try:
        failed = _interpreters.exec(made, CODE)
        return failed.formatted if failed else ""
    finally:
        _interpreters.destroy(made)


def main() -> None:
    # one of Tk's is alive in this interpreter meanwhile
    window = tkinter.Tk()
    window.update()
    tcl = tkinter.Tcl()
    child = tcl.eval("interp create child; child eval {package require http; list [info library] [clock format 0 -gmt 1 -format %Y]}")
    safe = tcl.eval("interp create -safe safe; safe eval {expr {1 + 1}}")
    print(json.dumps({"child": child, "safe": safe, **{kind: python_interpreter(kind) for kind in ("legacy", "isolated")}}))


if __name__ == "__main__":
    main()
