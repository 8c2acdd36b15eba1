"""Facts about a shipped archive: what is in it and what its binaries say of themselves. Values only; graph/rules judges them.

ELF, Mach-O and PE share one shape: a field that a format lacks keeps its default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Format(Enum):
    """Object file format."""

    ELF = "ELF"
    MACHO = "Mach-O"
    PE = "PE"


class Kind(Enum):
    """What a binary is for; OBJECT is only ever linked (ET_REL, MH_OBJECT; of a fat file bitcode and archives, too); BUNDLE is Mach-O's."""

    EXECUTABLE = "executable"
    SHARED = "shared"
    BUNDLE = "bundle"
    OBJECT = "object"


class Flavour(Enum):
    """The three archives of one distribution, by the end of their name, and the add-on to be unpacked over it."""

    FULL = "full"
    INSTALL_ONLY = "install_only"
    STRIPPED = "install_only_stripped"
    TOOLCHAIN = "toolchain"


MAGIC: tuple[tuple[bytes, Format], ...] = (
    (b"\x7fELF", Format.ELF),
    (b"\xcf\xfa\xed\xfe", Format.MACHO),
    (b"\xca\xfe\xba\xbe", Format.MACHO),
    (b"\xca\xfe\xba\xbf", Format.MACHO),
    (b"MZ", Format.PE),
)


def format_of(head: bytes) -> Format | None:
    """The object file format whose magic number `head` (the first bytes of a file) begins with."""
    return next((found for magic, found in MAGIC if head.startswith(magic)), None)


@dataclass(frozen=True, slots=True, order=True)
class Symbol:
    """A dynamic symbol, as C names it; version (GLIBC_2.17) and the library that is to give it are empty where the file does not say."""

    name: str
    version: str = ""
    library: str = ""
    weak: bool = False
    """An import that may be missing at run time (ELF: STB_WEAK; Mach-O: N_WEAK_REF)."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the file that is mapped at run time."""

    flags: str
    """Of r, w and x, in this order."""
    align: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Library:
    """A library that a Mach-O file loads: its install name and the oldest compatibility version that will do."""

    name: str
    compatibility: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """A Mach-O file's embedded code signature (xnu osfmk/kern/cs_blobs.h), as recomputed."""

    flags: int = 0
    """CS_ADHOC (2), CS_LINKER_SIGNED (0x20000), ..."""
    hashes: str = ""
    """Algorithm of the page hashes: sha256, sha1."""
    pages: int = 0
    wrong: tuple[int, ...] = ()
    """Pages and (negative) special slots whose hash is another."""
    limit: int = 0
    """codeLimit: bytes that are covered."""
    start: int = 0
    end: int = 0
    """Offsets of the signature in its slice of the file."""
    size: int = 0
    """Bytes of the slice."""
    broken: str = ""
    """Why it cannot be read; then nothing above counts."""


@dataclass(frozen=True, slots=True)
class Macho:
    """What only a Mach-O file says of itself."""

    flags: frozenset[str]
    """MH_ flags, lower case, without MH_."""
    platform: str
    minos: str
    """Oldest macOS that loads it, e.g. 11.0."""
    sdk: str
    libraries: tuple[Library, ...]
    compatibility: tuple[int, ...] = ()
    """Of its own install name."""
    padding: int = 0
    """Bytes between the load commands and the first section."""
    offset: int = 0
    """Where it lies in its file: a slice of a fat one."""
    signature: Signature | None = None


@dataclass(frozen=True, slots=True)
class Pdb:
    """Which PDB file: what a DLL or program says of its own, and what such a file says of itself."""

    name: str
    """As a DLL names it; a PDB does not say its name."""
    guid: str
    """Lower case, with hyphens."""
    age: int


@dataclass(frozen=True, slots=True)
class Pe:
    """What only a PE file says of itself (Microsoft's PE Format specification)."""

    characteristics: frozenset[str] = frozenset()
    """IMAGE_DLLCHARACTERISTICS_ names, lower case, without that."""
    timestamps: tuple[int, ...] = ()
    """Seconds since the epoch, or 0: of the header, each entry of the debug directory, the export table and the resources."""
    subsystem: str = ""
    """windows_cui: gets a console; windows_gui: gets none."""
    resources: frozenset[str] = frozenset()
    """Kinds, as winuser.h names them: icon, group_icon, manifest, version, ..."""
    forwards: Mapping[str, str] = field(default_factory=dict)
    """Export -> what it is forwarded to, e.g. python313.Py_Main."""
    stack: int = 0
    """Bytes that are reserved for the stack of the first thread, and of each that names no other size."""
    pdb: Pdb | None = None
    """Of its debug directory's CodeView record."""


@dataclass(frozen=True, slots=True)
class Binary:
    """One executable, shared library or object file."""

    path: str
    format: Format
    kind: Kind
    machine: str
    """As the format names it, lower case: x86_64, aarch64, i386, arm64, ..."""
    bits: int = 64
    byteorder: str = "little"
    abi: int = 0
    """e_flags: the ABI that an ELF file is for, where the machine has several."""
    isa: int = 0
    """Highest level of x86-64 (1 to 4) that its GNU property note says it needs."""
    name: str = ""
    """DT_SONAME, install name or DLL name."""
    interpreter: str = ""
    """PT_INTERP: set for a dynamic ELF executable."""
    dynamic: bool = False
    """Is loaded by a dynamic linker (has PT_DYNAMIC)."""
    needed: tuple[str, ...] = ()
    """DT_NEEDED, install names of LC_LOAD_DYLIB and its like, or DLL names, of delayed imports too."""
    search: tuple[str, ...] = ()
    """RPATH and RUNPATH entries, or LC_RPATH."""
    imports: tuple[Symbol, ...] = ()
    exports: tuple[Symbol, ...] = ()
    segments: tuple[Segment, ...] = ()
    stack: str = ""
    """Flags of PT_GNU_STACK; empty when there is no such header (the kernel then makes the stack executable)."""
    relro: bool = False
    bind_now: bool = False
    text_relocations: bool = False
    position_independent: bool = False
    symbols: bool = False
    """Has a full symbol table (ELF's .symtab, COFF's), or symbols of a Mach-O file that no linker needs."""
    debug: tuple[str, ...] = ()
    """Names of its debug sections; of a Mach-O file also the object files that its debug map (N_OSO) names."""
    macho: Macho | None = None
    pe: Pe | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One member of an archive, as its header says."""

    path: str
    kind: str
    """file, directory, symlink, hardlink or other."""
    mode: int = 0o644
    """Permission bits, set-id bits included."""
    size: int = 0
    mtime: float = 0
    """Seconds since the epoch."""
    owner: tuple[int, int, str, str] = (0, 0, "", "")
    """uid, gid, user name, group name."""
    link: str = ""
    """Target of a symlink or hard link."""
    pax: tuple[str, ...] = ()
    """Keywords of its pax header."""
    head: bytes = b""
    """The first 64 bytes of a file."""
    leaks: tuple[str, ...] = ()
    """Passages that look like a path of the build, one of a kind."""


@dataclass(frozen=True, slots=True)
class Archive:
    """Everything that is judged of one archive."""

    filename: str
    entries: tuple[Entry, ...]
    binaries: tuple[Binary, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    """Text of members that are read, by path: PYTHON.json, _sysconfigdata, Makefile and pyconfig.h."""
    indexes: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    """Of static libpythons, by path and, of a fat one, machine: the names that a linker finds in them, as the object format has them."""
    pdbs: Mapping[str, Pdb] = field(default_factory=dict)
    """PDB files, by path."""
    sources: Mapping[str, bytes] = field(default_factory=dict)
    """Of .pyc files, by path: the hash of the source beside it, as a hash-based one would have it (graph/pyc.py)."""
    stamp: tuple[int, bool] = (0, False)
    """Of a gzip file: its header's mtime, and whether the header holds a file name."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A limit that is broken: which rule, by which file of which archive, and how."""

    rule: str
    path: str
    message: str
    archive: str = ""

    def __str__(self) -> str:
        return f"{self.rule}  {self.archive}{': ' if self.archive else ''}{self.path}  {self.message}"
