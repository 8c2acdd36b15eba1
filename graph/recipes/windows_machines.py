"""What upstream's files and the tools for Windows call each architecture of the platform table, and what it lacks."""

from __future__ import annotations

from dataclasses import dataclass

from graph.target import Target


@dataclass(frozen=True, slots=True)
class Machine:
    """Of one architecture."""

    platform: str
    """MSBuild's $(Platform)."""
    dlltool: str
    """What dlltool -m takes. toolchains/windows/extension.sh, which users run alone, has it, too."""
    launcher: str
    """What pip makes commands of: a file of its distlib (distlib/scripts.py)."""
    dll_suffix: str = ""
    """End of the names of OpenSSL's DLLs (PCbuild/openssl.props). Without -x64, as python.org names them."""
    arithmetic: str = "-DANSI -DHAVE_UINT128_T=1"
    """libmpdec's, in the place of Microsoft's assembler (MASM): C's, or GNU's with the x87 for PPRO."""
    has_try: bool = True
    """clang for MinGW has __try: elsewhere it writes no tables for it, and Tcl and Tk have assembler of their own."""


MACHINES = {
    "x86_64": Machine("x64", "i386:x86-64", "t64.exe"),
    "i686": Machine("Win32", "i386", "t32.exe", arithmetic="-DASM", has_try=False),
    "aarch64": Machine("ARM64", "arm64", "t64-arm.exe", dll_suffix="-arm64"),
}
"""By Target.arch."""


def machine_of(target: Target) -> Machine:
    """Of a target for Windows."""
    return MACHINES[target.arch]
