"""Stub libraries: what a .tbd file offers to programs of an architecture."""

from __future__ import annotations

import pytest

from graph.errors import AuditFailed
from graph.tbd import Stub, offered, parse_tbd

TEXT = """--- !tapi-tbd
# a comment, with [ brackets ]
tbd-version:     4
targets:         [ x86_64-macos, x86_64-maccatalyst, arm64-macos,
                   arm64e-macos ]
install-name:    '/usr/lib/libA.dylib'
current-version: 1359
compatibility-version: 1
reexported-libraries:
  - targets:         [ x86_64-macos, arm64-macos ]
    libraries:       [ '/usr/lib/system/libB.dylib', '/usr/lib/libgone.dylib' ]
exports:
  - targets:         [ x86_64-macos ]
    symbols:         [ _intel, '_open$INODE64', dyld_stub_binder ]
  - targets:         [ arm64e-macos, arm64e-maccatalyst ]
    symbols:         [ _arm ]
    objc-classes:    [ NSObject ]
    objc-eh-types:   [ NSException ]
    objc-ivars:      [ NSObject._isa ]
  - targets:         [ x86_64-macos, arm64-macos ]
    symbols:         [ _both, # why
                       "_quoted" ]
    weak-symbols:    [ _weak ]
    thread-local-symbols: [ _thread ]
reexports:
  - targets:         [ arm64-macos ]
    symbols:         [ _given_on ]
undefineds:
  - targets:         [ x86_64-macos, arm64-macos ]
    symbols:         [ _not_here ]
--- !tapi-tbd
tbd-version:     4
targets:         [ x86_64-macos, arm64-macos ]
install-name:    /usr/lib/system/libB.dylib
reexported-libraries:
  - targets:         [ arm64-macos ]
    libraries:       [ '/usr/lib/libA.dylib' ]
exports:
  - targets:         [ x86_64-macos, arm64-macos ]
    symbols:         [ _inner ]
...
"""
BOTH = {"both", "quoted", "weak", "thread"}


def test_libraries_of_one_architecture() -> None:
    first, second = parse_tbd(TEXT, "x86_64")
    assert first.name == "/usr/lib/libA.dylib" and first.reexports == ("/usr/lib/system/libB.dylib", "/usr/lib/libgone.dylib")
    assert first.symbols == BOTH | {"intel", "open$INODE64", "dyld_stub_binder"}
    assert second == Stub("/usr/lib/system/libB.dylib", frozenset({"inner"}))


def test_programs_for_apple_silicon_find_what_arm64e_libraries_have() -> None:
    first, _ = parse_tbd(TEXT, "aarch64")
    objc = {"OBJC_CLASS_$_NSObject", "OBJC_METACLASS_$_NSObject", "OBJC_EHTYPE_$_NSException", "OBJC_IVAR_$_NSObject._isa"}
    assert first.symbols == BOTH | {"arm", "given_on"} | objc


def test_re_exported_libraries_count_and_a_circle_ends() -> None:
    found = offered(parse_tbd(TEXT, "aarch64"))
    assert {"inner", "arm"} <= found["/usr/lib/libA.dylib"] == found["/usr/lib/system/libB.dylib"]
    assert "intel" not in offered(parse_tbd(TEXT, "x86_64"))["/usr/lib/system/libB.dylib"]
    assert offered([]) == {}


def test_another_version_is_refused() -> None:
    with pytest.raises(AuditFailed, match="tbd-version 5") as error:
        parse_tbd(TEXT.replace("tbd-version:     4", "tbd-version: 5"), "x86_64", "usr/lib/libA.tbd")
    assert "usr/lib/libA.tbd" in str(error.value)
