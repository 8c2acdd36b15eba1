"""The Python that the real tests are run on: the default version, or what FREESTANDING_PYTHON names (a full version of the matrix)."""

from __future__ import annotations

import os

from graph.matrix import parse_matrix
from tests.mini import ROOT

VERSION = os.environ.get("FREESTANDING_PYTHON") or parse_matrix((ROOT / "toolchains/targets.toml").read_text()).versions[0]
MINOR = ".".join(VERSION.split(".")[:2])
TAG = MINOR.replace(".", "")
"""As in file names: 313."""
