"""Merge what configure said of each processor: universal_config.py OUT DEPLOYMENT_TARGET PLATFORM ARCH=TREE...

Of every TREE, the configured files of one architecture (as `cc -arch` names it; the first is the one that sysconfig tells of), one tree for
all of them. It says what CPython's configure says with --with-universal-archs. What differs and has no rule is an error that names it.
"""

import re
import sys
from collections.abc import Callable, Mapping
from itertools import groupby
from pathlib import Path

Texts = Mapping[str, str]
"""Architecture -> text of one file."""

MACROS = {"arm64": "__arm64__", "x86_64": "__x86_64__"}
"""Architecture -> what clang defines for it alone."""


def pyconfig(texts: Texts, name: str) -> str:
    """The header with each architecture's lines where they differ. (pymacconfig.h mends most of them, if it is read, too.)"""
    out: list[str] = []
    for same, rows in groupby(_rows(texts, name), key=lambda row: len(set(row)) == 1):
        first, *others = zip(*rows, strict=True)
        # the first comes last: sysconfig, which knows no #if, takes the last value
        tests = [f"#{'elif' if at else 'if'} defined({MACROS[arch]})" for at, arch in enumerate(list(texts)[1:])]
        choices = [line for test, lines in zip(tests, others, strict=True) for line in (test, *lines)]
        out += first if same else (*choices, "#else", *first, "#endif")
    return "\n".join(out) + "\n"


def makefile(texts: Texts, name: str, deployment_target: str, platform: str) -> str:
    """The Makefile of configure --enable-universalsdk=/ --with-universal-archs=universal2 (configure.ac: UNIVERSAL_ARCH_FLAGS)."""
    flags = " ".join(f"-arch {arch}" for arch in texts)
    arguments = f"'--enable-universalsdk=/' '--with-universal-archs={platform.rpartition('-')[2]}'"
    settings: dict[str, Callable[[str], str]] = {
        "MACOSX_DEPLOYMENT_TARGET": lambda _: deployment_target,
        "_PYTHON_HOST_PLATFORM": lambda _: platform,
        "HOST_GNU_TYPE": lambda first: first,
        "UNIVERSALSDK": lambda _: "/",
        "CONFIG_ARGS": lambda first: f"{first} {arguments}",
        "CONFIGURE_CFLAGS": lambda first: f"{flags} {first}".rstrip(),
        "CONFIGURE_LDFLAGS": lambda first: f"{flags} {first}".rstrip(),
    }
    out, left = [], set(settings)
    for number, row in enumerate(_rows(texts, name), 1):
        found = re.fullmatch(r"(\w+)(=[ \t]*)(.*)", row[0])
        if found and found[1] in settings:
            left.discard(found[1])
            out.append(found[1] + found[2] + settings[found[1]](found[3]))
        elif len(set(row)) == 1:
            out.append(row[0])
        else:
            raise ValueError(f"{name}:{number} differs between {', '.join(texts)} and has no rule: {row[0]}")
    if left:
        raise ValueError(f"{name} does not set {', '.join(sorted(left))}")
    return "\n".join(out) + "\n"


def _rows(texts: Texts, name: str) -> list[tuple[str, ...]]:
    """Each line as every architecture has it. Raises ValueError when they do not come from one template."""
    lines = [text.splitlines() for text in texts.values()]
    if len(set(map(len, lines))) > 1:
        raise ValueError(f"{name} has another number of lines for each of {', '.join(texts)}")
    return list(zip(*lines, strict=True))


def merge(trees: Mapping[str, Path], out: Path, rules: Mapping[str, Callable[[Texts, str], str]]) -> None:
    """Write the files of the trees. Raises ValueError when they have other ones each, or one differs that has no rule."""
    names = {arch: sorted(str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()) for arch, tree in trees.items()}
    every = next(iter(names.values()))
    for arch, some in names.items():
        if some != every:
            raise ValueError(f"configure made other files for {arch}: {', '.join(sorted({*some} ^ {*every}))}")
    for name in every:
        texts = {arch: (tree / name).read_text() for arch, tree in trees.items()}
        text = next(iter(texts.values()))
        if name in rules:
            text = rules[name](texts, name)
        elif len(set(texts.values())) > 1:
            raise ValueError(f"{name} differs between {', '.join(texts)} and has no rule")
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text)


def main(argv: list[str]) -> None:
    out, deployment_target, platform = Path(argv[0]), argv[1], argv[2]
    trees = {arch: Path(tree) for arch, _, tree in (pair.partition("=") for pair in argv[3:])}
    rules = {"pyconfig.h": pyconfig, "Makefile": lambda texts, name: makefile(texts, name, deployment_target, platform)}
    merge(trees, out, rules)


if __name__ == "__main__":
    main(sys.argv[1:])
