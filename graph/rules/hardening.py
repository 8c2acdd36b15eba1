"""What protects a running program, the ABI that an ELF file is for, and what is stripped."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from graph.facts import Archive, Finding, Flavour, Format, Kind
from graph.policy import Policy
from graph.rules.common import Findings, elf, flavour_of, is_core, shipped
from graph.target import Target


def hardening(archive: Archive, policy: Policy) -> Findings:
    """ELF: stack, RELRO, binding, text relocations, address."""
    for binary in elf(archive):
        for broken, rule, message in (
            ("x" in binary.stack or not binary.stack, "stack-exec", "executable stack" if binary.stack else "no PT_GNU_STACK"),
            (binary.dynamic and not binary.relro, "relro", "no PT_GNU_RELRO"),
            (binary.dynamic and not binary.bind_now, "bind-now", "binds lazily, so RELRO is partial"),
            (binary.text_relocations, "textrel", "relocates its text"),
            (not binary.position_independent, "pie", "loads at a fixed address"),
        ):
            if broken:
                yield Finding(rule, binary.path, message)


def segments(archive: Archive, policy: Policy) -> Findings:
    """What is mapped: no page both writable and executable, and none that a kernel with large pages could not map."""
    for binary in shipped(archive):
        for segment in binary.segments:
            if "w" in segment.flags and "x" in segment.flags:
                yield Finding("w-and-x", binary.path, "a segment is writable and executable")
            if segment.align < policy.target.page_size:
                yield Finding("page-size", binary.path, f"a segment is aligned to {segment.align}, below {policy.target.page_size}")
        if binary.macho and binary.macho.offset % policy.target.page_size:
            yield Finding("page-size", binary.path, f"its slice lies at {binary.macho.offset:#x}, no multiple of {policy.target.page_size}")


def elf_abi(archive: Archive, policy: Policy) -> Findings:
    """ELF: dynamic linker, float ABI and level of the processor."""
    mask, wanted = policy.abi
    level = isa_level(policy.target)
    for binary in elf(archive):
        if binary.interpreter != policy.loader and (binary.interpreter or (binary.dynamic and binary.kind is Kind.EXECUTABLE)):
            yield Finding("loader", binary.path, f"asks for {binary.interpreter or 'no dynamic linker'}, not {policy.loader or 'none'}")
        if binary.abi & mask != wanted:
            yield Finding("abi-flags", binary.path, f"e_flags are {binary.abi:#x}, not {wanted:#x} in {mask:#x}")
        if binary.isa > level:
            yield Finding("isa-level", binary.path, f"needs level {binary.isa} of x86-64, above {level}")


def isa_level(target: Target) -> int:
    """Level of the x86-64 psABI that a target's cpu_flags allow: 1 (the baseline) to 4."""
    found = [re.fullmatch(r"-march=x86-64-v([2-4])", flag) for flag in target.cpu_flags]
    return max((int(match[1]) for match in found if match), default=1)


def interpreter(archive: Archive, policy: Policy) -> Findings:
    """The compiler's hardening flags arrived: the core calls what they make it call."""
    core = [binary for binary in shipped(archive) if is_core(binary)]
    names = {symbol.name for binary in core for symbol in binary.imports}
    for glob in policy.interpreter_symbols:
        if not any(fnmatchcase(name, glob) for name in names):
            yield Finding("hardened-calls", core[0].path if core else "python/bin", f"the interpreter calls no {glob}")


def symbols(archive: Archive, policy: Policy) -> Findings:
    """Symbol tables and debug information, as the name of the archive says."""
    flavour = flavour_of(archive.filename)
    for binary in shipped(archive):
        if flavour is Flavour.STRIPPED and (binary.symbols or binary.debug):
            yield Finding("stripped", binary.path, f"still has {', '.join(binary.debug) or 'its symbol table'}")
        elif flavour is not Flavour.STRIPPED and not binary.symbols and binary.format is Format.ELF and is_core(binary):
            yield Finding("stripped", binary.path, f"has no symbol table, which {flavour.value if flavour else 'it'} should")
