"""Target, Cell and Addon: what is built. Parsed once, at the edge (matrix.py); below that, values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

OPTIONS = {
    "noopt": "no link-time optimisation",
    "lto": "ThinLTO over the interpreter",
    "debug": "CPython's --with-pydebug",
    "freethreaded": "without the global interpreter lock (PEP 703), Python 3.13 and later",
    "static": "one program without any shared library (musl)",
}
"""Every option, as python-build-standalone names them."""
ABI_OPTIONS = {"freethreaded": "t", "debug": "d"}
"""Options that extension modules see, and their letter in sys.abiflags, in its order."""


NAMED = ("freethreaded", "debug", "noopt", "pgo", "lto", "static")
"""The order of options in archives' names, which is python-build-standalone's."""


def spelled(options: tuple[str, ...]) -> str:
    """Options as an archive's name has them, e.g. freethreaded+debug."""
    return "+".join(sorted(options, key=NAMED.index))


def named(options: tuple[str, ...], best: tuple[str, ...], full: bool) -> tuple[str, ...]:
    """Options in an archive's name: all in a full one's; in others none of the target's best, and of these without the GIL that alone."""
    usual = {best: (), tuple(sorted({*best, "freethreaded"})): ("freethreaded",)}
    return options if full else usual.get(options, options)


@dataclass(frozen=True, slots=True)
class Target:
    """One row of toolchains/targets.toml, the platform table."""

    triple: str
    """Rust-style name, as python-build-standalone uses it."""
    os: str
    """linux, macos, windows (zig's names)."""
    arch: str
    libc: str
    """gnu, musl, none (libSystem), ucrt (Windows' Universal C Runtime)."""
    libc_floor: str
    """Oldest libc the archive runs on, e.g. 2.17 (glibc) or 1.2 (musl); empty where it is the system's own."""
    zig: str
    """zig's -target, libc version included."""
    clang: str
    """clang's --target, e.g. arm64-apple-macosx11.0."""
    autoconf: str
    """--host of configure scripts: a name that config.sub knows."""
    cpu_flags: tuple[str, ...]
    lto_flags: tuple[str, ...]
    """More for the link that optimises: what lld does not find in bitcode for the architecture."""
    page_size: int
    """Largest page size of the architecture in bytes: segments are aligned to it."""
    deployment_target: str
    """Oldest macOS that the archive runs on, e.g. 11.0; empty elsewhere."""
    multiarch: str
    """CPython's platform triplet (PEP 3149 suffix part), e.g. x86_64-linux-gnu."""
    platform_tag: str
    """sysconfig.get_platform(), e.g. linux-x86_64."""
    debian: str
    """Debian's name of the architecture, e.g. arm64: its cross packages have the target's libc. Empty where there are none."""
    openssl: str
    """OpenSSL's Configure target."""
    openssl_options: tuple[str, ...]
    """More of its options. Little-endian targets with __int128 have faster P-224, P-256 and P-521 (enable-ec_nistp_64_gcc_128)."""
    zig_wheel: str
    """The entry of sources.lock whose zig runs on the target: the compiler of its toolchain add-on. Empty: no add-on."""
    run: str
    """native, qemu, wine or none: how its programs run on the build host."""
    qemu: str
    """Name of the architecture in qemu-user, e.g. aarch64; empty where programs run without it, or not at all."""
    options: tuple[str, ...]
    """Option sets offered, best (the default) first; within one, options joined by +. See OPTIONS."""
    python_floor: str = ""
    """Oldest Python that is built for it, e.g. 3.13; empty: every one that is offered."""
    sdk: str = ""
    """Version of Apple's SDK that it is built with, e.g. 15.2; empty where none was given. No column of the table: SDKROOT names it."""
    slices: tuple[Target, ...] = ()
    """The targets whose distributions are merged into this one's, a slice of each in every file; none where it is compiled."""
    baseline: Target | None = None
    """Of a target that asks for more of its processors, the one that does not: where that is worth nothing, its libraries are taken."""

    @property
    def compiled(self) -> tuple[Target, ...]:
        """The targets that code is compiled for: this one, or those of its slices."""
        return self.slices or (self,)

    @property
    def with_baseline(self) -> tuple[Target, ...]:
        """The targets whose libraries its distributions hold: the baseline, if it has one, and itself."""
        return (self.baseline, self) if self.baseline else (self,)

    def __str__(self) -> str:
        return self.triple

    def has_glibc(self, major: int, minor: int) -> bool:
        """Whether what that version of glibc brought is there."""
        return self.libc == "gnu" and tuple(map(int, self.libc_floor.split("."))) >= (major, minor)


@dataclass(frozen=True, slots=True)
class Cell:
    """One distribution of the matrix: target x Python version x options."""

    target: Target
    version: str
    """Full Python version, e.g. 3.13.15."""
    options: tuple[str, ...]
    """Sorted, e.g. ("noopt",)."""

    @property
    def minor(self) -> str:
        """major.minor, e.g. 3.13."""
        return _minor(self.version)

    @property
    def nodot(self) -> str:
        """sysconfig's py_version_nodot, as in names of DLLs and bytecode, e.g. 313."""
        return self.minor.replace(".", "")

    @property
    def abiflags(self) -> str:
        """sys.abiflags, e.g. "td"."""
        return _abiflags(self.options)

    @property
    def ldversion(self) -> str:
        """CPython's LDVERSION, as in libpython and the interpreter's file name, e.g. 3.13td."""
        return self.minor + self.abiflags

    @property
    def lib(self) -> str:
        """The standard library's folder: the debug ABI shares it, the free-threaded does not (sysconfig's abi_thread)."""
        if self.target.os == "windows":
            return "Lib"
        return f"lib/python{self.minor}{self.abiflags.replace('d', '')}"

    @property
    def static(self) -> bool:
        """One program, every module in it."""
        return "static" in self.options

    @property
    def abi(self) -> str:
        """Name of what an extension module is built for: target, version and abiflags."""
        return f"{self.target}:{self.version}{self.abiflags}"

    def __str__(self) -> str:
        return f"{self.target}:{self.version}:{'+'.join(self.options)}"


@cache
def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


@cache
def _abiflags(options: tuple[str, ...]) -> str:
    return "".join(letter for option, letter in ABI_OPTIONS.items() if option in options)


@dataclass(frozen=True, slots=True)
class WindowsNames:
    """What CPython's files are called on Windows, which has letters of the ABI in names: PCbuild/python.props."""

    dll: str
    """The core, less .dll: python313, python313t_d."""
    stable: str
    """What the stable ABI's modules link with: python3, python3t_d."""
    program: str
    """Less .exe: python, python3.13t_d."""
    windowed: str
    """The one without a console: pythonw, pythonw3.13t_d."""
    launcher: str
    """What venv copies: venvlauncher, venvlaunchert_d."""
    windowed_launcher: str
    module: str
    """Ending of extension modules that come with it: .pyd, _d.cp313t-win_amd64.pyd."""
    suffixes: tuple[str, ...]
    """Endings of those that it loads, as in importlib.machinery."""


def windows_names(cell: Cell) -> WindowsNames:
    """The names of one cell."""
    free, debug = ("t" if "freethreaded" in cell.options else ""), ("_d" if "debug" in cell.options else "")
    threaded = f"{cell.minor}t" if free else ""
    tagged = f"{debug}.cp{cell.nodot}{free}-{cell.target.multiarch}.pyd"
    return WindowsNames(
        dll=f"python{cell.nodot}{free}{debug}",
        stable=f"python{cell.minor.partition('.')[0]}{free}{debug}",
        program=f"python{threaded}{debug}",
        windowed=f"pythonw{threaded}{debug}",
        launcher=f"venvlauncher{free}{debug}",
        windowed_launcher=f"venvwlauncher{free}{debug}",
        module=tagged if free else f"{debug}.pyd",
        suffixes=(tagged, f"{debug}.pyd"),
    )


@dataclass(frozen=True, slots=True)
class Addon:
    """An archive to unpack over a distribution of its target, of any Python version and options."""

    target: Target
    name: str
    """e.g. toolchain."""

    def __str__(self) -> str:
        return f"{self.target}:{self.name}"
