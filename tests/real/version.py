"""The distribution that the real tests are run on: the default cell, or what FREESTANDING_PYTHON names (VERSION or VERSION:OPTIONS)."""

from __future__ import annotations

import os

from graph.matrix import parse_cell, parse_matrix
from tests.mini import ROOT

TARGET = "x86_64-unknown-linux-gnu"
MATRIX = parse_matrix((ROOT / "toolchains/targets.toml").read_text())
CELL = parse_cell(f"{TARGET}:{os.environ.get('FREESTANDING_PYTHON', '')}", MATRIX)
VERSION = CELL.version
MINOR = CELL.minor
TAG = MINOR.replace(".", "")
"""As in file names: 313."""
EMULATED, MUSL, STATIC, DARWIN = (
    f"{triple}:{CELL.version}:{options}"
    for triple, options in (
        ("aarch64-unknown-linux-gnu", "noopt"),
        ("x86_64-unknown-linux-musl", "noopt"),
        ("x86_64-unknown-linux-musl", "noopt+static"),
        ("aarch64-apple-darwin", "noopt"),
    )
)
"""What every run builds beside it, without link-time optimisation for want of time; full_matrix.py does the rest."""
ADDON = f"{TARGET}:toolchain"
WINDOWS = f"x86_64-pc-windows-gnu:{MATRIX.versions[0]}"
WINDOWS_32 = f"i686-pc-windows-gnu:{MATRIX.versions[0]}"
WINDOWS_CORE = f"core:{WINDOWS}:noopt"
WINDOWS_ARM = f"aarch64-pc-windows-gnu:{MATRIX.versions[0]}"
"""Built and looked at: nothing here runs it."""
