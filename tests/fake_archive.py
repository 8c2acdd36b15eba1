"""A tiny distribution with real ELF files (tests/elf) that breaks no rule, and archives made of it."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import zstandard

from graph.metadata import KEYS, TEXTS
from graph.target import Cell
from tests.data import TARGET

ELF = Path(__file__).resolve().parent / "elf"
VERSION = "3.13.15"
CELL = Cell(TARGET, VERSION, ("noopt",))
STEM = "cpython-3.13.15+20260801-x86_64-unknown-linux-gnu"
NAMES = {
    "full": f"{STEM}-noopt-full.tar.zst",
    "install_only": f"{STEM}-install_only.tar.gz",
    "install_only_stripped": f"{STEM}-install_only_stripped.tar.gz",
}
POLICY = r"""
[[limits]]
leaks = ["/build/", "/install"]
foreign = ["*/distlib/*.exe"]
extension_exports = ['PyInit_\w+']
core_exports = ['Py\w+']
required = { install = ["bin/python{minor}"], full = ["python/PYTHON.json"] }
forbidden = { install_only = ["*/libpython*.a"] }

[[limits]]
os = "linux"
libc = "gnu"
arch = ["x86_64", "x86_64_v2"]
format = "ELF"
machine = "x86_64"
multiarch = "x86_64-linux-gnu"
loader = "/lib64/ld-linux-x86-64.so.2"
needed = ["libc.so.6"]
versions = { GLIBC = "floor" }
banned_symbols = ["pthread_yield"]
interpreter_symbols = ["__stack_chk_fail", "__*_chk"]

[[limits]]
os = "windows"
format = "PE"

[[modules]]
os = "linux"
python = "3.13"
builtin = ["sys"]
shared = ["fix", "own"]
test = ["_testfix"]
"""


@dataclass(frozen=True)
class Member:
    """One member, its tar header as TarInfo has it."""

    data: bytes = b""
    mode: int = 0o644
    type: bytes = tarfile.REGTYPE
    link: str = ""
    mtime: int = 1_785_542_400
    uid: int = 0
    uname: str = ""
    pax: tuple[tuple[str, str], ...] = ()


Tree = dict[str, Member]


def elf(name: str) -> Member:
    """A file of tests/elf."""
    return Member((ELF / name).read_bytes(), 0o755)


TRIPLET = "x86_64-linux-gnu"
SYSCONFIGDATA = f"""# comment
build_time_vars = {{
    "ABIFLAGS": "",
    "EXT_SUFFIX": ".cpython-313-{TRIPLET}.so",
    "HOST_GNU_TYPE": "x86_64-unknown-linux-gnu",
    "LDVERSION": "3.13",
    "MACHDEP": "linux",
    "MACOSX_DEPLOYMENT_TARGET": "",
    "MULTIARCH": "{TRIPLET}",
    "SIZEOF_VOID_P": 8,
    "SOABI": "cpython-313-{TRIPLET}",
    "VERSION": "3.13",
}}
expand(build_time_vars)
"""
MAKEFILE = f"""VERSION=\t3.13
ABIFLAGS=
SOABI=\t\tcpython-313-{TRIPLET}
LDVERSION=\t$(VERSION)$(ABIFLAGS)
MULTIARCH=\t{TRIPLET}
HOST_GNU_TYPE=  x86_64-unknown-linux-gnu
"""
PYCONFIG = """#define SIZEOF_VOID_P 8
#if defined AC_APPLE_UNIVERSAL_BUILD
# if defined __BIG_ENDIAN__
#  define WORDS_BIGENDIAN 1
# endif
#else
# ifndef WORDS_BIGENDIAN
/* #  undef WORDS_BIGENDIAN */
# endif
#endif
"""


def install(prefix: str, *, stripped: bool = False) -> Tree:
    """What is under the install prefix."""
    dynload = f"{prefix}/lib/python3.13/lib-dynload"
    tree = {
        f"{prefix}/bin/python3": Member(type=tarfile.SYMTYPE, link="python3.13", mode=0o777),
        f"{prefix}/bin/python3.13": elf("good-python"),
        f"{prefix}/lib/libown.so.1": elf("good-private.so"),
        f"{prefix}/lib/libpython3.13.so.1.0": elf("good-libpython.so"),
        f"{prefix}/lib/python3.13/os.py": Member(b"# https://example.org/build/ and ../build/x are no leaks\n"),
        f"{prefix}/lib/python3.13/_sysconfigdata__linux_{TRIPLET}.py": Member(SYSCONFIGDATA.encode()),
        f"{prefix}/lib/python3.13/config-3.13-{TRIPLET}/Makefile": Member(MAKEFILE.encode()),
        f"{prefix}/include/python3.13/pyconfig.h": Member(PYCONFIG.encode()),
        f"{dynload}/fix.cpython-313-x86_64-linux-gnu.so": elf("good-module.so"),
        f"{dynload}/own.cpython-313-x86_64-linux-gnu.so": elf("uses-private.so"),
    }
    if stripped:
        tree |= {f"{prefix}/bin/python3.13": elf("stripped-python"), f"{prefix}/lib/libpython3.13.so.1.0": elf("stripped-libpython.so")}
    return tree


def document() -> dict[str, object]:
    """A PYTHON.json that names what the full archive has."""
    extension = {"in_core": True, "init_fn": "x", "links": [], "objs": [], "required": False, "variant": "default"}
    shared = "install/lib/python3.13/lib-dynload/{}.cpython-313-x86_64-linux-gnu.so"
    out = {name: [{**extension, "in_core": False, "shared_lib": shared.format(name)}] for name in ("fix", "own", "_testfix")}
    return {
        **{key: {} for key in KEYS},
        **dict.fromkeys(TEXTS, "x"),
        "version": "8",
        "target_triple": TARGET.triple,
        "build_options": "noopt",
        "libpython_link_mode": "shared",
        "python_abi_tag": "",
        "python_tag": "cp313",
        "python_stdlib_platform_config": "install/lib/python3.13/os.py",
        "run_tests": "build/core.o",
        "python_version": VERSION,
        "python_platform_tag": TARGET.platform_tag,
        "python_exe": "install/bin/python3.13",
        "license_path": "licenses/LICENSE.txt",
        "python_paths": {"stdlib": "install/lib/python3.13"},
        # no leak here: readers know it
        "python_config_vars": {"LIBDIR": "/install/lib"},
        "build_info": {
            "core": {"objs": ["build/core.o"], "links": [{"name": "dl", "system": True}], "shared_lib": "install/lib/libpython3.13.so.1.0"},
            "extensions": {"sys": [extension], **out},
        },
    }


def good(flavour: str) -> Tree:
    """All members of an archive that breaks no rule."""
    if flavour != "full":
        return install("python", stripped=flavour.endswith("stripped"))
    tree = install("python/install")
    test = "python/install/lib/python3.13/lib-dynload/_testfix.cpython-313-x86_64-linux-gnu.so"
    return tree | {
        test: elf("good-module.so"),
        "python/PYTHON.json": Member(json.dumps(document()).encode()),
        "python/build/core.o": elf("module.o"),
        "python/licenses/LICENSE.txt": Member(b"terms\n"),
    }


def tarred(tree: Mapping[str, Member], *, order: list[str] | None = None) -> bytes:
    """The members as a tar, sorted by name unless an order is given."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in order or sorted(tree):
            member = tree[name]
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.type, info.linkname = len(member.data), member.mode, member.type, member.link
            info.mtime, info.uid, info.uname, info.pax_headers = member.mtime, member.uid, member.uname, dict(member.pax)
            tar.addfile(info, io.BytesIO(member.data))
    return out.getvalue()


def write(folder: Path, flavour: str, tree: Mapping[str, Member], *, order: list[str] | None = None, name: str = "") -> Path:
    """The archive as a file."""
    path = folder / (name or NAMES[flavour])
    data = tarred(tree, order=order)
    path.write_bytes(zstandard.ZstdCompressor().compress(data) if flavour == "full" else gzip.compress(data, 1, mtime=0))
    return path


def changed(tree: Tree, path: str, **fields: object) -> Tree:
    """The tree with one member altered."""
    return {**tree, path: replace(tree[path], **fields)}  # type: ignore[arg-type]
