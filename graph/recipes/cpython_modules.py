"""CPython's extension modules that are files of their own: those that need an outside library, and the test modules.

All others are built into the core. Rows follow upstream's Modules/Setup.stdlib.in and the PY_STDLIB_MOD lines of configure.ac;
a row that differs between versions stands once for each, with `minors`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from graph.target import Cell


@dataclass(frozen=True, slots=True)
class Extension:
    """One shared module."""

    name: str
    sources: tuple[str, ...]
    """C files below Modules/."""
    reads: tuple[str, ...] = ()
    """Globs below Modules/ of what these include, beyond Include/ and their own argument clinic output."""
    flags: tuple[str, ...] = ()
    """What configure finds out when it sees the library, and include folders."""
    uses: tuple[str, ...] = ()
    """Packages, as in make:TRIPLE:NAME."""
    libs: tuple[str, ...] = ()
    """Linked static unless the package gives a shared library."""
    test: bool = False
    """Only CPython's own tests import it: it is left out of the install_only archives."""
    minors: tuple[str, ...] = ()
    """Python versions (major.minor) that have this row; empty for all."""
    systems: tuple[str, ...] = ()
    """Operating systems that have it (Target.os); empty for all."""
    sdk: bool = False
    """It needs Apple's SDK (Target.sdk)."""

    @property
    def object_names(self) -> tuple[str, ...]:
        """File names of its objects."""
        return _object_names(self.sources)


@cache
def _object_names(sources: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{name.rpartition('/')[2].removesuffix('.c')}.o" for name in sources)


@dataclass(frozen=True, slots=True)
class Absent:
    """A module that upstream could build here and this distribution leaves out."""

    name: str
    reason: str
    minors: tuple[str, ...] = ()
    """Python versions (major.minor) that have it; empty for all."""
    libcs: tuple[str, ...] = ()
    """C libraries (Target.libc) with which it is left out; empty for all."""
    without_sdk: str = ""
    """How to get it: it is left out of macOS where no SDK of Apple's was given."""


ABSENT = (
    Absent("_gdbm", "GNU dbm is under GPL-3.0-or-later, which an interpreter that is linked with it would inherit; dbm.ndbm serves"),
    Absent("_crypt", "crypt() has left glibc: some systems have it in libcrypt.so.1, others in libcrypt.so.2 or not", ("3.11",), ("gnu",)),
    Absent(
        "_tkinter",
        "Tk for macOS is written for Cocoa, whose headers are in Apple's SDK only",
        libcs=("none",),
        without_sdk="set SDKROOT to an SDK of macOS (docs/macos.md)",
    ),
    Absent("nis", "needs libnsl and libtirpc, which few systems have; NIS is out of use", ("3.11",)),
)

NOT_STATIC = {
    "_tkinter": "Tk is of use to those who find its functions in a shared library, and its window systems and fonts are the machine's",
}
"""Modules that a static program (musl) has not, besides those that only tests import, with the reason."""

SHARED_LIBS = {
    "openssl": ("libssl-fs.so.3", "libcrypto-fs.so.3"),
    "ncurses": ("libncursesw-fs.so.6",),
    "tcl": ("libtcl9.0-fs.so",),
    "tk": ("libtcl9tk9.0-fs.so",),
    "tk-aqua": ("libtcl9tk9.0-fs.so",),
}
"""Packages that several modules use: one shared copy each, in lib/ of the distribution, found by a relative run path.

Tcl and Tk have one module here, and others in site-packages, which find their functions through it (PIL.ImageTk, matplotlib).
"""

SHARED_FILES = {"tk": {"libx11": ("share/X11/locale/",), "dejavu": ("share/fonts/tk/",)}}
"""What parts of a shared library read at run time, and find by the library's place (docs/tkinter.md)."""

PARTS = {
    "tcl": ("zlib",),
    "tk": ("libxft", "fontconfig", "freetype", "expat", "libxrender", "libx11", "libxcb", "libxau", "libxdmcp"),
}
"""Packages that are linked into a shared library, in the order of the link: their licences go with it."""

_CURSES = tuple(
    f"-DHAVE_CURSES_{name}=1"
    for name in (
        *("IS_PAD", "IS_TERM_RESIZED", "RESIZE_TERM", "RESIZETERM", "IMMEDOK", "SYNCOK", "WCHGAT", "FILTER", "HAS_KEY", "TYPEAHEAD"),
        *("USE_ENV", "SET_ESCDELAY", "SET_TABSIZE", "ESCDELAY", "TABSIZE", "GETMOUSE"),
    )
)
_NCURSES = (
    "-D_XOPEN_SOURCE_EXTENDED=1",
    "-DHAVE_NCURSESW=1",
    "-DHAVE_CURSES_H=1",
    "-DHAVE_NCURSES_H=1",
    "-DHAVE_TERM_H=1",
    "-DHAVE_PANEL_H=1",
    *_CURSES,
)
_LIBEDIT = tuple(
    f"-DHAVE_RL_{name}=1"
    for name in (
        *("PRE_INPUT_HOOK", "COMPLETION_APPEND_CHARACTER", "COMPLETION_DISPLAY_MATCHES_HOOK", "COMPLETION_MATCHES", "RESIZE_TERMINAL"),
        *("COMPLETION_SUPPRESS_APPEND", "CATCH_SIGNAL", "APPEND_HISTORY", "COMPDISP_FUNC_T"),
    )
)
_CTYPES = tuple(f"_ctypes/{name}.c" for name in ("_ctypes", "callbacks", "callproc", "stgdict", "cfield"))
_LIBFFI = tuple(f"-DHAVE_FFI_{name}=1" for name in ("PREP_CIF_VAR", "PREP_CLOSURE_LOC", "CLOSURE_ALLOC"))
_SQLITE = ("blob", "connection", "cursor", "microprotocols", "module", "prepare_protocol", "row", "statement", "util")

EXTERNAL = (
    Extension("zlib", ("zlibmodule.c",), reads=("clinic/zlibmodule.c.h",), flags=("-DHAVE_ZLIB_COPY=1",), uses=("zlib",), libs=("-lz",)),
    Extension("_bz2", ("_bz2module.c",), reads=("clinic/_bz2module.c.h",), uses=("bzip2",), libs=("-lbz2",)),
    Extension("_lzma", ("_lzmamodule.c",), reads=("clinic/_lzmamodule.c.h",), uses=("xz",), libs=("-llzma", "-pthread")),
    Extension(
        "_ctypes",
        _CTYPES,
        reads=("_ctypes/ctypes.h", "_ctypes/ctypes_dlfcn.h"),
        flags=_LIBFFI,
        uses=("libffi",),
        libs=("-lffi", "-ldl"),
        minors=("3.11",),
        systems=("linux",),
    ),
    Extension(
        "_ctypes",
        _CTYPES,
        reads=("_ctypes/ctypes.h", "_ctypes/clinic/"),
        flags=_LIBFFI,
        uses=("libffi",),
        libs=("-lffi", "-ldl"),
        minors=("3.13",),
        systems=("linux",),
    ),
    Extension(
        "_ctypes",
        tuple(f"_ctypes/{name}.c" for name in ("_ctypes", "callbacks", "callproc", "stgdict", "cfield", "malloc_closure")),
        reads=("_ctypes/ctypes.h", "_ctypes/ctypes_dlfcn.h"),
        flags=(*_LIBFFI, "-DUSING_MALLOC_CLOSURE_DOT_C=1"),
        uses=("libffi",),
        libs=("-lffi", "-ldl"),
        minors=("3.11",),
        systems=("macos",),
    ),
    Extension(
        "_ctypes",
        tuple(f"_ctypes/{name}.c" for name in ("_ctypes", "callbacks", "callproc", "stgdict", "cfield", "malloc_closure")),
        reads=("_ctypes/ctypes.h", "_ctypes/clinic/"),
        flags=(*_LIBFFI, "-DUSING_MALLOC_CLOSURE_DOT_C=1"),
        uses=("libffi",),
        libs=("-lffi", "-ldl"),
        minors=("3.13",),
        systems=("macos",),
    ),
    Extension(
        "_curses",
        ("_cursesmodule.c",),
        reads=("clinic/_cursesmodule.c.h",),
        flags=_NCURSES,
        uses=("ncurses",),
        libs=("-lncursesw",),
    ),
    Extension(
        "_curses_panel",
        ("_curses_panel.c",),
        reads=("clinic/_curses_panel.c.h",),
        flags=_NCURSES,
        uses=("ncurses",),
        libs=("-lncursesw",),
    ),
    Extension(
        "_dbm",
        ("_dbmmodule.c",),
        reads=("clinic/_dbmmodule.c.h",),
        flags=("-DUSE_BERKDB=1",),
        uses=("bdb",),
        libs=("-ldb", "-lpthread"),
        systems=("linux",),
    ),
    # ndbm and uuid are part of libSystem
    Extension("_dbm", ("_dbmmodule.c",), reads=("clinic/_dbmmodule.c.h",), flags=("-DUSE_NDBM=1",), systems=("macos",)),
    Extension(
        "readline",
        ("readline.c",),
        reads=("clinic/readline.c.h",),
        # it has a name of old for a type of libedit's (https://github.com/python/cpython/issues/105323)
        flags=("-DWITH_EDITLINE=1", *_LIBEDIT, "-DVFunction=rl_compdisp_func_t"),
        uses=("libedit", "ncurses"),
        libs=("-ledit", "-lncursesw"),
        minors=("3.11",),
    ),
    Extension(
        "readline",
        ("readline.c",),
        reads=("clinic/readline.c.h",),
        flags=("-DWITH_EDITLINE=1", *_LIBEDIT),
        uses=("libedit", "ncurses"),
        libs=("-ledit", "-lncursesw"),
        minors=("3.13", "3.14", "3.15"),
    ),
    Extension(
        "_sqlite3",
        tuple(f"_sqlite/{name}.c" for name in _SQLITE),
        reads=("_sqlite/*.h", "_sqlite/clinic/"),
        flags=("-I../src/Modules/_sqlite", "-DPY_SQLITE_ENABLE_LOAD_EXTENSION=1", "-DPY_SQLITE_HAVE_SERIALIZE=1"),
        uses=("sqlite",),
        libs=("-lsqlite3", "-lm", "-ldl", "-lpthread"),
    ),
    Extension(
        "_ssl",
        ("_ssl.c",),
        reads=("_ssl.h", "_ssl/", "_ssl_data_*.h", "socketmodule.h", "clinic/_ssl.c.h"),
        uses=("openssl",),
        libs=("-lssl", "-lcrypto"),
    ),
    Extension("_hashlib", ("_hashopenssl.c",), reads=("hashlib.h", "clinic/_hashopenssl.c.h"), uses=("openssl",), libs=("-lcrypto",)),
    Extension(
        "_tkinter",
        ("_tkinter.c", "tkappinit.c"),
        reads=("tkinter.h", "clinic/_tkinter.c.h"),
        flags=("-DWITH_APPINIT=1",),
        uses=("tcl", "tk"),
        libs=("-ltcl9tk9.0", "-ltcl9.0"),
        systems=("linux",),
    ),
    Extension(
        "_tkinter",
        ("_tkinter.c", "tkappinit.c"),
        reads=("tkinter.h", "clinic/_tkinter.c.h"),
        flags=("-DWITH_APPINIT=1",),
        uses=("tcl", "tk-aqua"),
        libs=("-ltcl9tk9.0", "-ltcl9.0"),
        systems=("macos",),
        sdk=True,
    ),
    Extension("_scproxy", ("_scproxy.c",), libs=("-framework", "SystemConfiguration", "-framework", "CoreFoundation"), systems=("macos",)),
    Extension(
        "_uuid",
        ("_uuidmodule.c",),
        flags=("-DHAVE_UUID_UUID_H=1", "-DHAVE_UUID_GENERATE_TIME_SAFE=1"),
        uses=("libuuid",),
        libs=("-luuid",),
        systems=("linux",),
    ),
    Extension("_uuid", ("_uuidmodule.c",), flags=("-DHAVE_UUID_UUID_H=1",), systems=("macos",)),
)

_TESTCAPI = (
    *("vectorcall", "heaptype", "abstract", "unicode", "dict", "set", "list", "tuple", "getargs", "datetime", "docstring", "mem"),
    *(
        "watchers",
        "long",
        "float",
        "complex",
        "numbers",
        "structmember",
        "exceptions",
        "code",
        "buffer",
        "pyatomic",
        "run",
        "file",
        "codec",
    ),
    *("immortal", "gc", "hash", "time", "bytes", "object", "monitoring", "weakref"),
)
_TESTLIMITEDCAPI = (
    *("abstract", "bytearray", "bytes", "capsule", "complex", "dict", "eval", "float", "heaptype_relative", "import", "list", "long"),
    *("object", "pyos", "set", "sys", "tuple", "unicode", "vectorcall_limited", "file", "weakref", "run"),
)
_TESTINTERNALCAPI = ("test_lock", "pytime", "set", "test_critical_sections")

TESTS = (
    Extension("_testcapi", ("_testcapimodule.c",), reads=("testcapi_long.h", "_testcapi_feature_macros.inc"), test=True, minors=("3.11",)),
    Extension("_testinternalcapi", ("_testinternalcapi.c",), test=True, minors=("3.11",)),
    Extension("_testclinic", ("_testclinic.c",), reads=("clinic/_testclinic.c.h",), test=True, minors=("3.11",)),
    Extension(
        "_testcapi",
        ("_testcapimodule.c", *(f"_testcapi/{name}.c" for name in _TESTCAPI)),
        reads=("_testcapi/*.h", "_testcapi/clinic/", "_testcapi_feature_macros.inc"),
        test=True,
        minors=("3.13",),
    ),
    Extension(
        "_testlimitedcapi",
        ("_testlimitedcapi.c", *(f"_testlimitedcapi/{name}.c" for name in _TESTLIMITEDCAPI)),
        reads=("_testlimitedcapi/*.h", "_testlimitedcapi/clinic/"),
        test=True,
        minors=("3.13",),
    ),
    Extension(
        "_testinternalcapi",
        ("_testinternalcapi.c", *(f"_testinternalcapi/{name}.c" for name in _TESTINTERNALCAPI)),
        reads=("clinic/_testinternalcapi.c.h", "_testcapi/util.h", "_testinternalcapi/*.h", "_testinternalcapi/clinic/"),
        test=True,
        minors=("3.13",),
    ),
    Extension("_testbuffer", ("_testbuffer.c",), test=True),
    Extension(
        "_testclinic",
        ("_testclinic.c",),
        reads=("clinic/_testclinic.c.h", "clinic/_testclinic_depr.c.h"),
        test=True,
        minors=("3.13", "3.14"),
    ),
    Extension(
        "_testclinic_limited", ("_testclinic_limited.c",), reads=("clinic/_testclinic_limited.c.h",), test=True, minors=("3.13", "3.14")
    ),
    Extension("_testimportmultiple", ("_testimportmultiple.c",), test=True),
    Extension("_testmultiphase", ("_testmultiphase.c",), reads=("clinic/_testmultiphase.c.h",), test=True),
    Extension("_testsinglephase", ("_testsinglephase.c",), test=True, minors=("3.13", "3.14")),
    Extension("_testexternalinspection", ("_testexternalinspection.c",), test=True, minors=("3.13",)),
    Extension("_xxtestfuzz", ("_xxtestfuzz/_xxtestfuzz.c", "_xxtestfuzz/fuzzer.c"), test=True),
    Extension("_ctypes_test", ("_ctypes/_ctypes_test.c",), reads=("_ctypes/_ctypes_test.h",), libs=("-lm",), test=True),
    Extension("xxlimited", ("xxlimited.c",), test=True),
    Extension("xxlimited_35", ("xxlimited_35.c",), test=True),
)

TEST_PACKAGES = ("test", "idlelib.idle_test")
"""Packages of the standard library that only hold tests."""


def extensions(cell: Cell) -> tuple[Extension, ...]:
    """Every module of a cell that is built apart from the core, the test modules last."""
    return _rows(cell.minor, cell.target.os, bool(cell.target.sdk), cell.static)


def packages(cell: Cell) -> tuple[str, ...]:
    """What the modules of a cell use, as in make:TRIPLE:NAME."""
    return _used(cell.minor, cell.target.os, bool(cell.target.sdk), cell.static)


@cache
def _rows(minor: str, system: str, sdk: bool, static: bool) -> tuple[Extension, ...]:
    found = (ext for ext in EXTERNAL + TESTS if minor in (ext.minors or (minor,)) and system in (ext.systems or (system,)))
    given = (ext for ext in found if sdk or not ext.sdk)
    return tuple(ext for ext in given if not (static and (ext.test or ext.name in NOT_STATIC)))


@cache
def _used(minor: str, system: str, sdk: bool, static: bool) -> tuple[str, ...]:
    return tuple(dict.fromkeys(package for ext in _rows(minor, system, sdk, static) for package in ext.uses))


def absent(cell: Cell) -> tuple[Absent, ...]:
    """What is left out of a cell."""
    minor, libc = cell.minor, cell.target.libc
    found = (row for row in ABSENT if minor in (row.minors or (minor,)) and libc in (row.libcs or (libc,)))
    return tuple(row for row in found if not (row.without_sdk and cell.target.sdk))


def remarks(cells: Iterable[Cell]) -> tuple[str, ...]:
    """A line on each module that the cells are without, and could be with."""
    lacking: dict[Absent, dict[str, None]] = {}
    for cell in cells:
        for row in absent(cell):
            if row.without_sdk:
                lacking.setdefault(row, {})[str(cell.target)] = None
    return tuple(f"{', '.join(targets)}: no {row.name}. {row.reason}: {row.without_sdk}" for row, targets in lacking.items())


def modules_built_apart(cell: Cell) -> tuple[str, ...]:
    """Names that the core's configure is told are not available: `extensions`, those of other systems, and what is left out."""
    rows: tuple[Extension | Absent, ...] = (*extensions(cell), *EXTERNAL, *absent(cell))
    return tuple(sorted({row.name for row in rows}))
