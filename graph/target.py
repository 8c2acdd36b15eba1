"""Target, Cell and Addon: what is built. Parsed once, at the edge (matrix.py); below that, values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """One row of toolchains/targets.toml, the platform table."""

    triple: str
    """Rust-style name, as python-build-standalone uses it."""
    os: str
    """linux, macos, windows (zig's names)."""
    arch: str
    libc: str
    """gnu, musl, none (libSystem)."""
    libc_floor: str
    """Oldest libc the archive runs on, e.g. 2.17; empty where there is none."""
    zig: str
    """zig's -target, libc version included."""
    cpu_flags: tuple[str, ...]
    page_size: int
    """Largest page size of the architecture in bytes: segments are aligned to it."""
    multiarch: str
    """CPython's platform triplet (PEP 3149 suffix part), e.g. x86_64-linux-gnu."""
    platform_tag: str
    """sysconfig.get_platform(), e.g. linux-x86_64."""
    openssl: str
    """OpenSSL's Configure target."""
    zig_wheel: str
    """The entry of sources.lock whose zig runs on the target: the compiler of its toolchain add-on. Empty: no add-on."""
    run: str
    """native, qemu, wine or none: how its programs run on the build host."""
    options: tuple[str, ...]
    """Option sets offered, best (the default) first; within one, options joined by +."""

    def __str__(self) -> str:
        return self.triple


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
        return ".".join(self.version.split(".")[:2])

    def __str__(self) -> str:
        return f"{self.target}:{self.version}:{'+'.join(self.options)}"


@dataclass(frozen=True, slots=True)
class Addon:
    """An archive to unpack over a distribution of its target, of any Python version and options."""

    target: Target
    name: str
    """e.g. toolchain."""

    def __str__(self) -> str:
        return f"{self.target}:{self.name}"
