"""What extension builders and embedders read: headers, config folder, _sysconfigdata, pkg-config files, python-config, build-details.json.

build_files.py SRC WORK OUT FACTS: the source, the configured build tree, the output, and facts.json of the recipe (see `Facts`).
Nothing of the machine or folder that built stays in them; the prefix is /install.
"""

import json
import re
import shutil
import sys
from pathlib import Path
from sysconfig import parse_config_h
from typing import TypedDict

try:
    from sysconfig.__main__ import _parse_makefile  # type: ignore[import-not-found]
except ImportError:
    from sysconfig import _parse_makefile  # type: ignore[attr-defined]


class Facts(TypedDict):
    """What the recipe tells."""

    minor: str
    version: str
    multiarch: str
    platform_tag: str
    ext_suffix: str
    soname: str
    modules: list[str]
    """Extension modules built apart from the core."""


NEUTRAL = {
    "srcdir": ".",
    "VPATH": ".",
    "abs_srcdir": ".",
    "abs_builddir": ".",
    "RUNSHARED": "",
    "INSTALL": "install -c",
    "MKDIR_P": "mkdir -p",
    "PYTHON_FOR_REGEN": "python3",
}
"""Makefile variables that tell of the machine that built, and what an installed Makefile says instead."""

FOREIGN = re.compile(r"/build\b|\.\./src\b|\.\./out\b")
"""Places of the sandbox."""


def neutral_makefile(text: str, modules: list[str]) -> str:
    """The Makefile of an installation. Raises ValueError if a place of the sandbox stays."""
    states = {f"MODULE_{name.upper()}_STATE": "yes" for name in modules}
    lines = [_neutral_line(line, {**NEUTRAL, **states}) for line in text.splitlines()]
    for number, line in enumerate(lines, 1):
        if FOREIGN.search(line) and not line.startswith("#") and "build/scripts" not in line and "Tools/build" not in line:
            raise ValueError(f"Makefile line {number} names a place of the sandbox: {line}")
    return "\n".join(lines) + "\n"


def _neutral_line(line: str, values: dict[str, str]) -> str:
    found = re.match(r"([A-Za-z_][A-Za-z0-9_]*)(\??=)[ \t]*(.*)", line)
    if not found:
        return line
    name, equals, value = found.groups()
    if name == "CONFIG_ARGS":
        # what the environment held is no argument
        words = re.findall(r"'[^']*'", value)
        return "CONFIG_ARGS= " + " ".join(word for word in words if word.startswith("'--"))
    if name.endswith("_NODIST"):
        value = re.sub(r"-f\w+-prefix-map=\S+ ?", "", value)
    if name in values:
        value = values[name]
    return f"{name}{equals} {value}" if name in values or name.endswith("_NODIST") else line


def config_vars(makefile: Path, pyconfig: Path) -> dict[str, object]:
    """What `python -m sysconfig --generate-posix-vars` collects."""
    values: dict[str, object] = dict(_parse_makefile(str(makefile)))
    with pyconfig.open(encoding="utf-8") as file:
        parse_config_h(file, values)
    # as sysconfig does for a shared build: linking against the place where it was built helps nobody
    values["BLDSHARED"] = values["LDSHARED"]
    return values


def sysconfigdata(values: dict[str, object]) -> str:
    """Source of the _sysconfigdata module."""
    lines = [f"    {name!r}: {values[name]!r}," for name in sorted(values)]
    return "# system configuration generated and used by the sysconfig module\nbuild_time_vars = {\n" + "\n".join(lines) + "\n}\n"


def build_details(facts: Facts) -> dict[str, object]:
    """build-details.json (PEP 739), paths relative to its own folder, lib/pythonX.Y."""
    minor = facts["minor"]
    major, number = minor.split(".")
    suffixes = [facts["ext_suffix"], f".abi{major}.so", ".so"]
    micro = int(facts["version"].split(".")[2])
    info = {"major": int(major), "minor": int(number), "micro": micro, "releaselevel": "final", "serial": 0}
    hexversion = int(major) << 24 | int(number) << 16 | micro << 8 | 0xF0
    tag = f"cpython-{major}{number}"
    return {
        "schema_version": "1.0",
        "base_prefix": "../..",
        "base_interpreter": f"../../bin/python{minor}",
        "platform": facts["platform_tag"],
        "language": {"version": minor, "version_info": info},
        "implementation": {
            "name": "cpython",
            "cache_tag": tag,
            "version": info,
            "hexversion": hexversion,
            "_multiarch": facts["multiarch"],
        },
        "abi": {"flags": [], "extension_suffix": suffixes[0], "stable_abi_suffix": suffixes[1]},
        "suffixes": {
            "source": [".py"],
            "bytecode": [".pyc"],
            "optimized_bytecode": [".pyc"],
            "debug_bytecode": [".pyc"],
            "extensions": suffixes,
        },
        "libpython": {
            "dynamic": f"../{facts['soname']}",
            "dynamic_stableabi": f"../libpython{major}.so",
            "link_extensions": False,
        },
        "c_api": {"headers": f"../../include/python{minor}", "pkgconfig_path": "../pkgconfig"},
        "arbitrary_data": {},
    }


def copy(source: Path, dest: Path, executable: bool = False) -> None:
    """Copy one file, with the usual mode."""
    dest.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, dest)
    dest.chmod(0o755 if executable else 0o644)


def headers(src: Path, work: Path, include: Path) -> None:
    """Include/ as `make inclinstall` places it, and pyconfig.h."""
    for header in sorted((src / "Include").rglob("*.h")):
        copy(header, include / header.relative_to(src / "Include"))
    copy(work / "pyconfig.h", include / "pyconfig.h")


def config_folder(src: Path, work: Path, folder: Path, makefile: str) -> None:
    """What `make libainstall` places in the config folder, less the static libpython."""
    for name in ("Modules/config.c.in", "Modules/Setup"):
        copy(src / name, folder / Path(name).name)
    for name in ("Modules/config.c", "Modules/Setup.bootstrap", "Modules/Setup.stdlib", "Modules/Setup.local"):
        if (work / name).exists():
            copy(work / name, folder / Path(name).name)
    for name in ("Modules/makesetup", "install-sh"):
        copy(src / name, folder / Path(name).name, executable=True)
    script = (src / "Misc/python-config.in").read_text()
    (folder / "python-config.py").write_text(re.sub(r"@EXENAME@", "/usr/bin/env python3", script))
    (folder / "python-config.py").chmod(0o755)
    (folder / "Makefile").write_text(makefile)


def pkgconfig(work: Path, minor: str, folder: Path) -> None:
    """python-X.Y.pc, python-X.Y-embed.pc and the python3 names."""
    folder.mkdir(parents=True)
    for kind in ("", "-embed"):
        copy(work / f"Misc/python{kind}.pc", folder / f"python-{minor}{kind}.pc")
        (folder / f"python3{kind}.pc").symlink_to(f"python-{minor}{kind}.pc")


def python_config(work: Path, minor: str, folder: Path) -> None:
    """pythonX.Y-config: the shell script, with make's $(NAME) in it turned into the shell's ${NAME}."""
    script = (work / "Misc/python-config.sh").read_text()
    path = folder / f"python{minor}-config"
    path.write_text(re.sub(r"\$\((prefix|exec_prefix|LDVERSION|VERSION|ABIFLAGS)\)", r"${\1}", script))
    path.chmod(0o755)
    (folder / "python3-config").symlink_to(path.name)


START = """#!/bin/sh
'''exec' "$(dirname -- "$(realpath -- "$0")")/python{minor}" "$0" "$@"
' '''
"""
COMMANDS = {"idle": "from idlelib.pyshell import main\n\nmain()\n", "pydoc": "import pydoc\n\npydoc.cli()\n"}


def commands(minor: str, folder: Path) -> None:
    """idleX.Y and pydocX.Y, which find the interpreter beside them (sh reads a command, Python a string)."""
    for name, body in COMMANDS.items():
        path = folder / f"{name}{minor}"
        path.write_text(START.format(minor=minor) + body)
        path.chmod(0o755)
        (folder / f"{name}3").symlink_to(path.name)


def links(facts: Facts, out: Path) -> None:
    """python3, python, and the name of libpython that a link step looks for."""
    for name in ("python", "python3"):
        (out / "bin" / name).symlink_to(f"python{facts['minor']}")
    (out / f"lib/libpython{facts['minor']}.so").symlink_to(facts["soname"])


def main(argv: list[str]) -> None:
    src, work, out = (Path(name) for name in argv[:3])
    facts: Facts = json.loads(Path(argv[3]).read_text())
    minor = facts["minor"]
    lib = out / f"lib/python{minor}"
    config = lib / f"config-{minor}-{facts['multiarch']}"
    (out / "bin").mkdir(parents=True)
    headers(src, work, out / f"include/python{minor}")
    config_folder(src, work, config, neutral_makefile((work / "Makefile").read_text(), facts["modules"]))
    values = config_vars(config / "Makefile", work / "pyconfig.h")
    (lib / f"_sysconfigdata__linux_{facts['multiarch']}.py").write_text(sysconfigdata(values))
    (lib / "build-details.json").write_text(json.dumps(build_details(facts), indent=2) + "\n")
    commands(minor, out / "bin")
    pkgconfig(work, minor, out / "lib/pkgconfig")
    python_config(work, minor, out / "bin")
    links(facts, out)
    copy(src / "LICENSE", lib / "LICENSE.txt")
    copy(src / "LICENSE", out / "licenses/LICENSE.cpython.txt")
    copy(src / "Misc/python.man", out / f"share/man/man1/python{minor}.1")
    (out / "share/man/man1/python3.1").symlink_to(f"python{minor}.1")


if __name__ == "__main__":
    main(sys.argv[1:])
