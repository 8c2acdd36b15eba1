"""What CPython's DLLs for Windows offer, as its sources declare it: api.py SOURCE OUT DLL STABLE [FREE].

SOURCE is CPython's tree. OUT/DLL.def is a module definition of each name that a header or a source declares for export, under whatever
condition; OUT/STABLE.def one of those that PC/python3dll.c forwards. OUT/pyconfig.h is PC/pyconfig.h.in; with FREE, as upstream's target
_UpdatePyconfig (PCbuild/pythoncore.vcxproj) writes it for a Python without the global interpreter lock.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

FOLDERS = ("Include", "Modules", "Objects", "PC", "Parser", "Python")
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.M)
DECLARED = re.compile(r"\bPyAPI_(FUNC|DATA)\((?:[^()]|\([^()]*\))*\)([^;{=]*)")
"""A declaration or the head of a definition, up to its end."""
POINTER = re.compile(r"\(\s*\*\s*(\w+)")
"""Of a variable that points to a function."""
FORWARDED = re.compile(r"^EXPORT_(FUNC|DATA)\((\w+)\)$", re.M)
NO_LOCK = ("/* #define Py_GIL_DISABLED 1 */", "#define Py_GIL_DISABLED 1")


def declared(text: str) -> Iterator[tuple[str, str]]:
    """FUNC or DATA, and the name, of each declaration in a C file as it is written."""
    for kind, declaration in DECLARED.findall(DIRECTIVE.sub("", COMMENT.sub(" ", text))):
        head, _, rest = declaration.partition("(")
        pointer = POINTER.match(f"({rest}")
        yield kind, pointer[1] if pointer else re.findall(r"[A-Za-z_]\w*", head.partition("[")[0])[-1]


def definition(names: Iterable[tuple[str, str]]) -> str:
    """A module definition file. What is declared as both is a variable to who takes it as one."""
    kinds: dict[str, str] = {}
    for kind, name in sorted(names, reverse=True):
        kinds[name] = kind
    lines = (f"{name} DATA\n" if kind == "DATA" else f"{name}\n" for name, kind in sorted(kinds.items()))
    return "EXPORTS\n" + "".join(lines)


def main(argv: list[str]) -> None:
    source, out, dll, stable, free = Path(argv[0]), Path(argv[1]), argv[2], argv[3], len(argv) > 4
    files = sorted(path for folder in FOLDERS for path in (source / folder).rglob("*.[ch]"))
    core = [found for path in files for found in declared(path.read_text(encoding="utf-8"))]
    forwarded = FORWARDED.findall((source / "PC/python3dll.c").read_text(encoding="utf-8"))
    for name, names in ((dll, core), (stable, forwarded)):
        if not names:
            raise ValueError(f"{source} declares nothing that {name}.dll could export")
        # (dlltool knows the library's name by this line alone)
        (out / f"{name}.def").write_text(f"LIBRARY {name}.dll\n{definition(names)}")
    config = (source / "PC/pyconfig.h.in").read_text(encoding="utf-8")
    if free and NO_LOCK[0] not in config:
        raise ValueError(f"{source}/PC/pyconfig.h.in has no place for Py_GIL_DISABLED")
    (out / "pyconfig.h").write_text(config.replace(*NO_LOCK) if free else config, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
