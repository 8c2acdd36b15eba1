"""Makes the small Mach-O files of this folder: `python tests/macho/make.py ZIG LLD SYSROOT`. Tests read them without a compiler.

ZIG and LLD (ld64.lld) are programs, SYSROOT is the tree of libc:x86_64-apple-darwin. Each file shows one property that graph/macho.py must
see; `good-*` break no rule of toolchains/policy.toml.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent

LIBRARY = """
#include <string.h>
extern void __stack_chk_fail(void);
extern void *__memcpy_chk(void *, const void *, size_t, size_t);
void *Py_Answer(void *to, const void *from, size_t n) { if (!to) __stack_chk_fail(); return __memcpy_chk(to, from, n, 42); }
"""
PROGRAM = LIBRARY + "int main(int n, char **v) { return Py_Answer(v, v, n) == 0; }"
MODULE = "#include <string.h>\nextern void *Py_Answer(void *, const void *, size_t);\n"
MODULE += "size_t PyInit_fix(char *s) { return strlen(Py_Answer(s, s, 1)); }"
LEAKY = MODULE + "\nsize_t inflate(char *s) { return PyInit_fix(s); }"
PRIVATE = "#include <string.h>\nsize_t own_length(const char *s) { return strlen(s); }"
USER = "extern int own_length(const char *);\nint PyInit_fix(const char *s) { return own_length(s); }"
WEAK = "extern int preadv(void) __attribute__((weak_import));\nint PyInit_fix(void) { return preadv ? preadv() : 0; }"
ABSENT = "extern int no_such_function(void);\nint PyInit_fix(void) { return no_such_function(); }"

BUNDLE = "-bundle -undefined dynamic_lookup"
PYTHON = "-install_name @rpath/libpython3.13.dylib -compatibility_version 3.13.0 -current_version 3.13.0"
OWN = "-install_name @rpath/libown.1.dylib -compatibility_version 1.2.0"
EXPORT = "-exported_symbol _PyInit_*"
STRIP = "-S -x"

FILES: dict[str, tuple[str, str]] = {
    "good-libpython.dylib": (LIBRARY, f"-dylib -S {PYTHON}"),
    "good-python": (PROGRAM, "-S -pie -rpath @executable_path/../lib -exported_symbol _Py_*"),
    "good-module.so": (MODULE, f"{BUNDLE} {STRIP} {EXPORT}"),
    "good-private.dylib": (PRIVATE, f"-dylib {STRIP} {OWN}"),
    "uses-private.so": (USER, f"{BUNDLE} {STRIP} -rpath @loader_path/../.. libown.1.dylib"),
    "arm64-module.so": (MODULE, f"{BUNDLE} {STRIP} {EXPORT}"),
    "leaky-module.so": (LEAKY, f"{BUNDLE} {STRIP}"),
    "dylib-module.so": (MODULE, f"-dylib -undefined dynamic_lookup {STRIP} {EXPORT}"),
    "fixed-python": (PROGRAM, "-S -no_pie -rpath @executable_path/../lib -exported_symbol _Py_*"),
    "flat-module.so": (MODULE, f"{BUNDLE} -flat_namespace {STRIP} {EXPORT}"),
    "rpath-module.so": (
        MODULE,
        f"{BUNDLE} {STRIP} {EXPORT} -rpath /opt/lib -rpath @executable_path/../lib -rpath @loader_path/../../../../..",
    ),
    "newer-module.so": (MODULE, f"{BUNDLE} {STRIP} {EXPORT} -platform_version macos 12.0 27.0"),
    "debug-module.so": (MODULE, f"{BUNDLE} {EXPORT}"),
    "tight-module.so": (MODULE, f"{BUNDLE} {STRIP} {EXPORT} -headerpad 0x20"),
    "unsigned-module.so": (MODULE, f"{BUNDLE} {STRIP} {EXPORT} -no_adhoc_codesign"),
    "weak-module.so": (WEAK, f"{BUNDLE} {STRIP} {EXPORT}"),
    "absent-module.so": (ABSENT, f"{BUNDLE} {STRIP} {EXPORT}"),
}
SYSTEMS = {"x86_64": "10.15", "arm64": "11.0"}
"""Architecture -> oldest macOS."""


def make(name: str, source: str, options: str, tools: tuple[str, str, str], work: Path) -> bytes:
    """The bytes of one file."""
    zig, lld, sysroot = tools
    arch = "arm64" if name.startswith("arm64") else "x86_64"
    minos = SYSTEMS[arch]
    (work / "a.c").write_text(source)
    debug = "-g" if name.startswith("debug") else "-g0"
    target = [f"--target={arch}-apple-macosx{minos}", "-isysroot", sysroot, f"-ffile-prefix-map={work}=."]
    subprocess.run([zig, "clang", *target, "-O1", debug, "-fno-stack-protector", "-c", "-o", "a.o", "a.c"], cwd=work, check=True)
    base = ["-arch", arch, "-platform_version", "macos", minos, "27.0", "-syslibroot", sysroot, "-lSystem", "-adhoc_codesign"]
    pad = [] if "-headerpad" in options else ["-headerpad_max_install_names"]
    subprocess.run([lld, *base, *pad, "-oso_prefix", f"{work}/", *options.split(), "-o", name, "a.o"], cwd=work, check=True)
    if name == "good-private.dylib":
        (work / "libown.1.dylib").write_bytes((work / name).read_bytes())
    return (work / name).read_bytes()


def main(*tools: str) -> None:
    zig, lld, sysroot = tools
    with tempfile.TemporaryDirectory() as folder:
        for name, (source, options) in FILES.items():
            data = make(name, source, options, (zig, lld, sysroot), Path(folder))
            (HERE / name).write_bytes(data)
            print(f"{len(data):6} {name}")


if __name__ == "__main__":
    main(*sys.argv[1:])
