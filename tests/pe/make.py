"""Makes the small PE files of this folder: `python tests/pe/make.py ZIG LLD`. Tests read them without a compiler.

ZIG and LLD (lld-link) are programs. Each file shows what graph/pe.py must see; `bad.pyd` has all that a file of ours must not.
"""

from __future__ import annotations

import struct
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent

CORE = """
__declspec(dllimport) double exp(double);
__declspec(dllexport) double Py_Answer(double x) { return exp(x); }
"""
PROGRAM = "__declspec(dllimport) double Py_Answer(double);\nint start(void) { return (int)Py_Answer(1); }"
MODULE = """
__declspec(dllimport) double Py_Answer(double);
__declspec(dllimport) int own_length(const char *);
__declspec(dllexport) int PyInit_fix(void) { return (int)Py_Answer(own_length("four")); }
"""
TEST = "__declspec(dllexport) int PyInit__testfix(void) { return 0; }\n__declspec(dllexport) int PyInit__another(void) { return 0; }"
OWN = "__declspec(dllexport) int own_length(const char *s) { int n = 0; while (s[n]) n++; return n; }"
BAD = """
__declspec(dllimport) int late(void);
__declspec(dllimport) int numbered(void);
__declspec(dllexport) int inflate(void) { return late() + numbered(); }
void *__delayLoadHelper2(void *a, void *b) { return a; }
"""
NEEDY = """
__declspec(dllimport) void *memset(void *, int, unsigned long long);
__declspec(dllimport) void *PyModule_Create2(void *, int);
/* struct PyModuleDef of a release build: its name is the sixth word */
static void *definition[13] = { (void *)1, 0, 0, 0, 0, "needy" };
__declspec(dllexport) void *PyInit_needy(void) { char x[9]; memset(x, 7, 9); return x[8] == 7 ? PyModule_Create2(definition, 1013) : 0; }
"""
LIBRARIES = {
    "python313": ("python313.dll", "Py_Answer"),
    "own": ("own.dll", "own_length"),
    "api": ("python313.dll", "PyModule_Create2"),
    "msvc": ("VCRUNTIME140.dll", "memset"),
    "math": ("api-ms-win-crt-math-l1-1-0.dll", "exp"),
    "late": ("late.dll", "late"),
    "numbered": ("numbered.dll", "numbered @7 NONAME"),
}
"""Import library -> DLL, and a line of its definition file."""
VERSION, PROGRAMS = (16,), (3, 14, 16, 24)
"""RT_VERSION; RT_ICON, RT_GROUP_ICON, RT_VERSION, RT_MANIFEST (winuser.h)."""
NAMED = "/timestamp:0 /debug /pdbaltpath:%_PDB% /pdbsourcepath:C:\\tests"
"""Names a PDB, which is not kept. It holds the current folder, and its GUID is of its content."""
DLL = f"/dll /noentry {NAMED} /dynamicbase /nxcompat /highentropyva"

FILES: dict[str, tuple[str, str, str, tuple[int, ...]]] = {
    "python313.dll": (CORE, "x86_64", f"{DLL} math.lib", VERSION),
    "python3.dll": ("", "x86_64", f"{DLL} /export:Py_Answer=python313.Py_Answer /machine:x64", VERSION),
    "python.exe": (PROGRAM, "x86_64", f"/entry:start /subsystem:console /stack:2000000 {NAMED} python313.lib", PROGRAMS),
    "pythonw.exe": (PROGRAM, "x86_64", f"/entry:start /subsystem:windows /stack:2000000 {NAMED} python313.lib", PROGRAMS),
    "own.dll": (OWN, "x86_64", DLL, VERSION),
    "fix.pyd": (MODULE, "x86_64", f"{DLL} python313.lib own.lib", VERSION),
    "debug.pyd": (MODULE, "x86_64", f"{DLL} /debug:dwarf python313.lib own.lib", VERSION),
    "test.pyd": (TEST, "x86_64", f"{DLL} /pdbaltpath:_testfix.pdb", VERSION),
    "bad.pyd": (
        BAD,
        "x86_64",
        "/dll /noentry /timestamp:1234567890 /build-id /fixed /dynamicbase:no /nxcompat:no /highentropyva:no "
        "/section:.text,ERW /delayload:late.dll late.lib numbered.lib",
        (),
    ),
    "vcruntime.dll": (OWN, "x86_64", f"{DLL} /timestamp:1234567890", VERSION),
    "needy.pyd": (NEEDY, "x86_64", f"{DLL} api.lib msvc.lib", VERSION),
    "arm64.exe": ("int start(void) { return 0; }", "aarch64", "/entry:start /subsystem:console /timestamp:0", ()),
    "i386.exe": ("int start(void) { return 0; }", "i686", "/entry:start /subsystem:console /timestamp:0 /safeseh:no", ()),
}


VERSIONED = {"vcruntime.dll": (14, 42, 34433, 7)}
"""Files whose version resource says one."""


def version_info(version: tuple[int, int, int, int]) -> bytes:
    """VS_VERSIONINFO with a VS_FIXEDFILEINFO (verrsrc.h), of a DLL for Windows NT, and no text."""
    high, low = (left << 16 | right for left, right in (version[:2], version[2:]))
    fixed = struct.pack("<13I", 0xFEEF04BD, 0x10000, high, low, high, low, 0x3F, 0, 0x40004, 2, 0, 0, 0)
    key = "VS_VERSION_INFO\0".encode("utf-16-le")
    return struct.pack("<HHH", 6 + len(key) + 2 + len(fixed), len(fixed), 0) + key + b"\0\0" + fixed


def resources(kinds: tuple[int, ...], version: bytes = b"") -> bytes:
    """A .res file of one resource of each kind: RESOURCEHEADER, its type and name as ordinals, after an empty one. None says anything but
    the version, if there is one."""
    entries = b""
    for kind in (0, *kinds):
        body = (version if kind == VERSION[0] and version else b"\0" * 4) if kind else b""
        entries += struct.pack("<IIHHHHIHHII", len(body), 32, 0xFFFF, kind, 0xFFFF, bool(kind), 0, 0, 0, 0, 0) + body
    return entries


def main(zig: str, lld: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for library, (dll, line) in LIBRARIES.items():
            (work / "x.def").write_text(f"LIBRARY {dll}\nEXPORTS\n{line}\n")
            link(lld, work, f"/lib /def:x.def /machine:x64 /out:{library}.lib")
        for name, (source, arch, options, kinds) in FILES.items():
            (work / "x.c").write_text(source)
            (work / "x.res").write_bytes(resources(kinds, version_info(VERSIONED[name]) if name in VERSIONED else b""))
            debug = "-gdwarf" if "dwarf" in options else "-g0"
            target = [f"--target={arch}-w64-windows-gnu", f"-ffile-prefix-map={work}=.", "-ffreestanding", "-fno-builtin", "-O1", debug]
            subprocess.run([zig, "clang", *target, "-c", "-o", "x.obj", "x.c"], cwd=work, check=True)
            link(lld, work, f"{options} /out:{name} x.obj {'x.res' if kinds else ''}")
            data = (work / name).read_bytes()
            (HERE / name).write_bytes(data)
            print(f"{len(data):6} {name}")


def link(lld: str, work: Path, options: str) -> None:
    """Runs lld as Microsoft's linker. (The PDB holds the program's name, too.)"""
    subprocess.run(["lld", "-flavor", "link", *options.split()], executable=lld, cwd=work, check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
