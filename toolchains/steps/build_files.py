"""What extension builders and embedders read: headers, config folder, _sysconfigdata, pkg-config files, python-config, build-details.json.

build_files.py SRC WORK RUNTIME OUT FACTS: the source, the configured build tree, files of graph/runtime, the output, and facts.json of the
recipe (see `Facts`). Nothing of the machine or folder that built stays in them, and no prefix: each file finds it from its own place.
"""

import json
import re
import shutil
import sys
import tempfile
from pathlib import Path
from sysconfig import parse_config_h
from typing import TypedDict

from start import command

try:
    from sysconfig.__main__ import _parse_makefile  # type: ignore[import-not-found]
except ImportError:
    from sysconfig import _parse_makefile  # type: ignore[attr-defined]


class Facts(TypedDict):
    """What the recipe tells."""

    minor: str
    version: str
    abiflags: str
    lib: str
    """lib/pythonX.Y or lib/pythonX.Yt."""
    config: str
    """Folder of Makefile and static libpython, from the prefix."""
    system: str
    """sys.platform."""
    multiarch: str
    platform_tag: str
    ext_suffixes: list[str]
    soname: str
    static: bool
    """One program, all modules in it."""
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

STATIC = {
    "PY_ENABLE_SHARED": "0",
    "LDLIBRARY": "libpython$(VERSION)$(ABIFLAGS).a",
    "BLDLIBRARY": "$(LDLIBRARY)",
    "INSTSONAME": "$(LDLIBRARY)",
    "PY3LIBRARY": "",
    "LDLIBRARYDIR": "",
}
"""Makefile variables of a static distribution, whose objects were configured for a shared libpython too."""

NATIVE = {
    "BUILD_GNU_TYPE": "$(HOST_GNU_TYPE)",
    "PYTHON_FOR_BUILD": "./$(BUILDPYTHON) -E",
    "PYTHON_FOR_BUILD_DEPS": "$(BUILDPYTHON)",
    "PYTHON_FOR_FREEZE": "./_bootstrap_python",
    "FREEZE_MODULE_BOOTSTRAP": "./Programs/_freeze_module",
    "FREEZE_MODULE_BOOTSTRAP_DEPS": "Programs/_freeze_module",
    "FREEZE_MODULE": "$(PYTHON_FOR_FREEZE) $(srcdir)/Programs/_freeze_module.py",
    "FREEZE_MODULE_DEPS": "_bootstrap_python $(srcdir)/Programs/_freeze_module.py",
}
"""What a Makefile of a cross build, which names another Python here, says where it is installed: as configure writes it without one."""

FOREIGN = re.compile(r"/build\b|\.\./src\b|\.\./out\b")
"""Places of the sandbox."""

CROSS = "'--with-build-python="
"""Argument of configure that only a cross build has; --build, which it has besides, names the machine that built."""

PREFIX = "{prefix}"
"""Stands for the prefix in _sysconfigdata (graph/runtime/_relocatable_sysconfig.py)."""

MAKE_PREFIX = r"""
# The prefix, from where this file lies: the end of MAKEFILE_LIST that is a file. (Names may hold spaces; other makefiles may come first.)
# (make 4.3 changed how a number sign is written in a function.)
_number_sign:=	\#
prefix:=	$(shell f='$(subst ','\'',$(MAKEFILE_LIST))'; CDPATH=; \
	while [ "$$f" ] && [ ! -f "$$f" ]; do f="$${f$(_number_sign)?}"; done; cd -P "$$(dirname "$$f")" && cd ../../.. && pwd)
"""


def neutral_makefile(text: str, modules: list[str], kind: dict[str, str] | None = None) -> str:
    """The Makefile of an installation whose prefix is {prefix}. Raises ValueError if a place of the sandbox stays."""
    states = {f"MODULE_{name.upper()}_STATE": "yes" for name in modules}
    native = NATIVE if CROSS in text else {}
    lines = [_neutral_line(line, {**NEUTRAL, **native, **states, **(kind or {})}) for line in text.splitlines()]
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
        words = [
            word for word in re.findall(r"'[^']*'", value) if not (word == "'--enable-shared'" and values.get("PY_ENABLE_SHARED") == "0")
        ]
        if CROSS in value:
            words = [word for word in words if not word.startswith((CROSS, "'--build="))]
        return "CONFIG_ARGS= " + " ".join(word for word in words if word.startswith("'--")).replace("=/install'", f"={PREFIX}'")
    if name == "prefix":
        return f"prefix={PREFIX}"
    if name.endswith("_NODIST"):
        value = re.sub(r"-f\w+-prefix-map=\S+ ?", "", value)
    if name in values:
        value = values[name]
    return f"{name}{equals} {value}" if name in values or name.endswith("_NODIST") else line


def placed_makefile(text: str) -> str:
    """The same, finding its prefix when make reads it."""
    return re.sub(r"(?<!\$)\{prefix\}", "$(prefix)", text.replace(f"prefix={PREFIX}\n", MAKE_PREFIX))


def config_vars(makefile: str, pyconfig: Path) -> dict[str, object]:
    """What `python -m sysconfig --generate-posix-vars` collects."""
    with tempfile.NamedTemporaryFile("w", suffix="Makefile") as file:
        file.write(makefile)
        file.flush()
        values: dict[str, object] = dict(_parse_makefile(file.name))
    with pyconfig.open(encoding="utf-8") as header:
        parse_config_h(header, values)
    # as sysconfig does for a shared build: linking against the place where it was built helps nobody
    values["BLDSHARED"] = values["LDSHARED"]
    return {name: " ".join(value.split()) if isinstance(value, str) else value for name, value in values.items()}


SYSCONFIGDATA = """\
# system configuration generated and used by the sysconfig module
build_time_vars = {values}

# {{prefix}} is where this file lies. (Text that another interpreter runs has no place.)
if "__file__" in globals():
    from _relocatable_sysconfig import expanded

    build_time_vars = expanded(build_time_vars, __file__)
"""


def sysconfigdata(values: dict[str, object]) -> str:
    """Source of the _sysconfigdata module. Raises ValueError on a value that uv, which rewrites the dictionary as JSON, cannot read."""
    text = json.dumps(values, indent=4, sort_keys=True, ensure_ascii=False)
    escaped = set(re.findall(r"\\(.)", text)) - {"\\", '"'}
    if escaped:
        raise ValueError(f"a build setting holds a control character: {sorted(escaped)}")
    return SYSCONFIGDATA.format(values=text)


def sysconfig_vars(values: dict[str, object]) -> dict[str, object]:
    """_sysconfig_vars_*.json, of 3.14 and later: nothing computes it, so paths are relative to its folder."""
    return {name: value.replace(PREFIX, "../..") if isinstance(value, str) else value for name, value in values.items()}


def build_details(facts: Facts) -> dict[str, object]:
    """build-details.json (PEP 739): base_prefix relative to its own folder, lib/pythonX.Y, and the other paths to base_prefix."""
    minor, ldversion, suffixes = facts["minor"], facts["minor"] + facts["abiflags"], facts["ext_suffixes"]
    major, number = minor.split(".")
    stable = next((suffix for suffix in suffixes if suffix.startswith(".abi")), None)
    micro = int(facts["version"].split(".")[2])
    info = {"major": int(major), "minor": int(number), "micro": micro, "releaselevel": "final", "serial": 0}
    hexversion = int(major) << 24 | int(number) << 16 | micro << 8 | 0xF0
    tag = f"cpython-{major}{number}"
    return {
        "schema_version": "1.0",
        "base_prefix": "../..",
        "base_interpreter": f"bin/python{ldversion}",
        "platform": facts["platform_tag"],
        "language": {"version": minor, "version_info": info},
        "implementation": {
            "name": "cpython",
            "cache_tag": tag,
            "version": info,
            "hexversion": hexversion,
            "_multiarch": facts["multiarch"],
        },
        "abi": {
            "flags": list(facts["abiflags"]),
            "extension_suffix": suffixes[0],
            **({"stable_abi_suffix": stable} if stable else {}),
        },
        "suffixes": {
            "source": [".py"],
            "bytecode": [".pyc"],
            "optimized_bytecode": [".pyc"],
            "debug_bytecode": [".pyc"],
            "extensions": suffixes,
        },
        **({} if facts["static"] else {"libpython": libpython(facts)}),
        "c_api": {"headers": f"include/python{ldversion}", "pkgconfig_path": "lib/pkgconfig"},
        "arbitrary_data": {},
    }


def libpython(facts: Facts) -> dict[str, object]:
    """What build-details.json tells of the shared libraries."""
    # macOS has none
    none = "d" in facts["abiflags"] or not facts["soname"].partition(".so")[1]
    stable = {} if none else {"dynamic_stableabi": f"lib/libpython{facts['minor'].partition('.')[0]}.so"}
    return {"dynamic": f"lib/{facts['soname']}", **stable, "link_extensions": False}


def copy(source: Path, dest: Path, executable: bool = False) -> None:
    """Copy one file, with the usual mode."""
    dest.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, dest)
    dest.chmod(0o755 if executable else 0o644)


def configured(pyconfig: str, static: bool) -> str:
    """pyconfig.h of a distribution with a shared libpython (as given), or none. Raises ValueError if the given one says otherwise."""
    if not static:
        return pyconfig
    text, found = re.subn(r"(?m)^#define Py_ENABLE_SHARED 1$", "/* #undef Py_ENABLE_SHARED */", pyconfig)
    if found != 1:
        raise ValueError("pyconfig.h was not configured with --enable-shared")
    return text


def headers(src: Path, pyconfig: str, include: Path) -> None:
    """Include/ as `make inclinstall` places it, and pyconfig.h, of which the text is given."""
    for header in sorted((src / "Include").rglob("*.h")):
        copy(header, include / header.relative_to(src / "Include"))
    (include / "pyconfig.h").write_text(pyconfig)
    (include / "pyconfig.h").chmod(0o644)


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


def pkgconfig(work: Path, facts: Facts, folder: Path) -> None:
    """python-X.YABI.pc, python-X.YABI-embed.pc and the names without ABI flags."""
    folder.mkdir(parents=True)
    for kind in ("", "-embed"):
        text = (work / f"Misc/python{kind}.pc").read_text()
        name = f"python-{facts['minor']}{facts['abiflags']}{kind}.pc"
        (folder / name).write_text(placed_pkgconfig(text))
        for other in other_names(name, facts, "python3"):
            (folder / other).symlink_to(name)


def other_names(name: str, facts: Facts, short: str) -> list[str]:
    """Names beside `name`, which holds X.YABI: the one with X.Y, and the one of any Python 3."""
    minor, flags = facts["minor"], facts["abiflags"]
    plain = name.replace(minor + flags, minor)
    return [*([plain] if flags else []), short + plain.partition(minor)[2]]


def placed_pkgconfig(text: str) -> str:
    """The prefix from the file's own place. No quotes: pkgconf writes pcfiledir for a shell already."""
    return re.sub(r"^prefix=.*$", "prefix=${pcfiledir}/../..", text, flags=re.M)


def python_config(template: str, values: dict[str, object], facts: Facts, folder: Path) -> None:
    """pythonX.Y-config, from graph/runtime/python-config.sh."""
    known = {**values, "MULTIARCH": facts["multiarch"], "CONFIG_FOLDER": facts["config"]}
    path = folder / f"python{facts['minor']}{facts['abiflags']}-config"
    path.write_text(re.sub(r"@([A-Z_]+)@", lambda found: str(known[found.group(1)]), template))
    path.chmod(0o755)
    for other in other_names(path.name, facts, "python3"):
        (folder / other).symlink_to(path.name)


COMMANDS = (
    ("idle", "idle3", "from idlelib.pyshell import main\n\nmain()\n", ()),
    ("pydoc", "pydoc3", "import pydoc\n\npydoc.cli()\n", ()),
    ("2to3-", "2to3", 'import sys\nfrom lib2to3.main import main\n\nsys.exit(main("lib2to3.fixes"))\n', ("3.11", "3.12")),
)
"""Name before X.Y, name of the link to it, what it runs, and the Python versions that have it (none: all)."""


def commands(minor: str, folder: Path) -> None:
    """idleX.Y, pydocX.Y and the like, which find the interpreter beside them (sh reads a command, Python a string)."""
    for name, link, body, minors in COMMANDS:
        if not minors or minor in minors:
            path = folder / f"{name}{minor}"
            path.write_text(command(minor, body))
            path.chmod(0o755)
            (folder / link).symlink_to(path.name)


def links(facts: Facts, out: Path) -> None:
    """python3, python, and the name of libpython that a link step looks for."""
    name = f"python{facts['minor']}{facts['abiflags']}"
    for other in ("python", *other_names(name, facts, "python3")):
        (out / "bin" / other).symlink_to(name)
    if facts["static"]:
        # by this folder getpath knows the exec_prefix
        dynload = out / facts["lib"] / "lib-dynload"
        dynload.mkdir(parents=True)
        (dynload / "README.txt").write_text("Every extension module of this Python is in the program itself.\n")
    # (a .dylib has the one name already)
    elif facts["soname"].startswith(f"lib{name}.so."):
        (out / f"lib/lib{name}.so").symlink_to(facts["soname"])


def sysconfig_files(runtime: Path, lib: Path, values: dict[str, object], facts: Facts) -> None:
    """_sysconfigdata with the module that gives it its place; build-details.json; from 3.14 on, _sysconfig_vars as JSON."""
    name = f"{facts['abiflags']}_{facts['system']}_{facts['multiarch']}"
    (lib / f"_sysconfigdata_{name}.py").write_text(sysconfigdata(values))
    copy(runtime / "_relocatable_sysconfig.py", lib / "_relocatable_sysconfig.py")
    (lib / "build-details.json").write_text(json.dumps(build_details(facts), indent=2) + "\n")
    if tuple(map(int, facts["minor"].split("."))) >= (3, 14):
        (lib / f"_sysconfig_vars_{name}.json").write_text(json.dumps(sysconfig_vars(values), indent=2, sort_keys=True) + "\n")


def main(argv: list[str]) -> None:
    src, work, runtime, out = (Path(name) for name in argv[:4])
    facts: Facts = json.loads(Path(argv[4]).read_text())
    minor, lib = facts["minor"], out / facts["lib"]
    (out / "bin").mkdir(parents=True)
    include = out / f"include/python{minor}{facts['abiflags']}"
    headers(src, configured((work / "pyconfig.h").read_text(), facts["static"]), include)
    kind = STATIC if facts["static"] else {}
    makefile = neutral_makefile((work / "Makefile").read_text(), facts["modules"], kind)
    config_folder(src, work, out / facts["config"], placed_makefile(makefile))
    values = config_vars(makefile, include / "pyconfig.h")
    sysconfig_files(runtime, lib, values, facts)
    commands(minor, out / "bin")
    pkgconfig(work, facts, out / "lib/pkgconfig")
    python_config((runtime / "python-config.sh").read_text(), values, facts, out / "bin")
    links(facts, out)
    copy(src / "LICENSE", lib / "LICENSE.txt")
    copy(src / "LICENSE", out / "licenses/LICENSE.cpython.txt")
    copy(src / "Misc/python.man", out / f"share/man/man1/python{minor}.1")
    (out / "share/man/man1/python3.1").symlink_to(f"python{minor}.1")


if __name__ == "__main__":
    main(sys.argv[1:])
