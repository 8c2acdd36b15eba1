"""Makes the small ELF files of this folder with zig: `python tests/elf/make.py path/to/zig`. Tests read them without a compiler.

Each file shows one property that graph/binaries.py must see; `good-*` break no rule of toolchains/policy.toml.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent

LIBRARY = """
#include <string.h>
#include <stdlib.h>
extern void __stack_chk_fail(void);
extern void *__memcpy_chk(void *, const void *, size_t, size_t);
void *Py_Answer(void *to, const void *from, size_t n) { if (!to) __stack_chk_fail(); return __memcpy_chk(to, from, n, 42); }
"""
PROGRAM = "extern void *Py_Answer(void *, const void *, unsigned long); int main(int n, char **v) { return Py_Answer(v, v, n) == 0; }"
MODULE = "#include <string.h>\nsize_t PyInit_fix(const char *s) { return strlen(s); }"
LEAKY = MODULE + "\nsize_t inflate(const char *s) { return PyInit_fix(s); }"
PRIVATE = '#include <string.h>\nsize_t own_length(const char *s) { return strlen(s); }\nconst char *own_name(void) { return "own"; }'
LONE = "extern int of_nobody(void); int PyInit_fix(void) { return of_nobody(); }"
ABSOLUTE = r"""__asm__(".text\n.globl PyInit_fix\nPyInit_fix: movabs $place, %rax\nret\n.data\n.globl place\nplace: .byte 0");"""

SAFE = "-Wl,-z,relro,-z,now,-z,noexecstack -fPIC -fvisibility=default"
VERSIONS = "OWN_1 { global: own_*; local: *; };"

FILES: dict[str, tuple[str, str]] = {
    "good-libpython.so": (LIBRARY, f"-shared {SAFE} -Wl,-soname,libpython3.13.so.1.0"),
    "good-python": (PROGRAM, "-pie -fPIE -Wl,-z,relro,-z,now -Wl,-rpath,$ORIGIN/../lib {libpython}"),
    "stripped-libpython.so": (LIBRARY, f"-shared -s {SAFE} -Wl,-soname,libpython3.13.so.1.0"),
    "stripped-python": (PROGRAM, "-pie -s -fPIE -Wl,-z,relro,-z,now -Wl,-rpath,$ORIGIN/../lib {libpython}"),
    "good-module.so": (MODULE, f"-shared {SAFE}"),
    "good-private.so": (PRIVATE, f"-shared {SAFE} -Wl,-soname,libown.so.1 -Wl,--version-script={{map}}"),
    "uses-private.so": (
        "extern int own_length(const char *); int PyInit_fix(const char *s) { return own_length(s); }",
        f"-shared {SAFE} -Wl,-rpath,$ORIGIN/../.. {{private}}",
    ),
    "bare-private.so": (PRIVATE, f"-shared {SAFE}"),
    "leaky-module.so": (LEAKY, f"-shared {SAFE}"),
    "lazy.so": (MODULE, "-shared -fPIC -Wl,-z,lazy,-z,norelro"),
    "textrel.so": (ABSOLUTE, f"-shared {SAFE} -Wl,-z,notext"),
    # of a name that no library gives, a linker knows no type
    "lone.so": (LONE, f"-shared {SAFE} -Wl,-z,undefs"),
    "rpath.so": (MODULE, f"-shared {SAFE} -Wl,-rpath,/opt/lib:$ORIGIN/../../../../..:$ORIGIN"),
    "fixed.bin": (PROGRAM.replace("Py_Answer(v, v, n) == 0", "0"), "-no-pie -fno-PIE"),
    "module.o": (MODULE, "-c -fPIC"),
    "debug.so": (MODULE, f"-shared {SAFE} -g3"),
}


def main(zig: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "map").write_text(VERSIONS)
        places = {"map": "map", "libpython": "libpython3.13.so.1.0", "private": "libown.so.1"}
        for name, (source, options) in FILES.items():
            (work / "a.c").write_text(source)
            strip = [] if name in ("debug.so", "good-libpython.so", "good-python") else ["-s"]
            options = options.format(**places)
            flags = ["-target", "x86_64-linux-gnu.2.17", "-O1", "-g0", f"-ffile-prefix-map={work}=.", *strip]
            subprocess.run([zig, "cc", *flags, "-o", name, "a.c", *options.split()], cwd=work, check=True)
            for good, place in (("good-libpython.so", "libpython3.13.so.1.0"), ("good-private.so", "libown.so.1")):
                if name == good:
                    (work / place).write_bytes((work / name).read_bytes())
            (HERE / name).write_bytes((work / name).read_bytes())
            print(f"{(HERE / name).stat().st_size:6} {name}")


if __name__ == "__main__":
    main(sys.argv[1])
