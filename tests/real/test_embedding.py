"""Programs that embed this Python, built in all the usual ways in a folder with spaces and letters beyond ASCII, then moved, and run."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from graph.testrun import prefix_of, unpack_archive
from tests.mini import Checkout
from tests.real.conftest import Folder, archive
from tests.real.machine import environment, patiently, said
from tests.real.version import MINOR, TAG

SOURCES = Path(__file__).with_name("embedding")
RUN_PATH = "-Wl,-rpath,$ORIGIN/../python/lib"
"""The program lies in bin/, beside the folder python/: an application that brings its Python along."""


@dataclass(frozen=True, slots=True)
class Application:
    """A folder with programs in bin/ and the distribution in python/; `scratch` is for what builds leave behind."""

    place: Path
    scratch: Path

    @property
    def prefix(self) -> Path:
        return self.place / "python"

    @property
    def full(self) -> Path:
        """The prefix of the full archive, which alone has the static libpython."""
        return prefix_of(self.place / "full")

    def program(self, name: str) -> Path:
        return self.full / "bin/by-hand" if name == "by-hand" else self.place / "bin" / name

    def shell(self, name: str, script: str, **more: str) -> None:
        """A user's command line that makes a program, typed in the folder with the sources."""
        given = {"OUT": str(self.program(name)), "RUN_PATH": RUN_PATH, "CONFIG": str(self.prefix / "bin/python3-config")}
        said("sh", "-euc", script, cwd=SOURCES, env=environment(PKG_CONFIG_PATH=str(self.prefix / "lib/pkgconfig"), **given, **more))


def by_pkg_config(app: Application) -> None:
    """What pkg-config writes is for a shell to read: eval does."""
    app.shell("by-pkg-config", f"""eval cc embed.c -o '"$OUT"' '"$RUN_PATH"' $(pkg-config --cflags --libs python-{MINOR}-embed)""")


def by_xargs(app: Application) -> None:
    """xargs reads backslashes as a shell does."""
    app.shell("by-xargs", f'pkg-config --cflags --libs python-{MINOR}-embed | xargs cc embed.c -o "$OUT" "$RUN_PATH"')


def by_python3_config(app: Application) -> None:
    app.shell("by-python3-config", """eval cc embed.c -o '"$OUT"' '"$RUN_PATH"' $("$CONFIG" --cflags --ldflags --embed)""")


def without_a_run_path(app: Application) -> None:
    app.shell("without-a-run-path", """eval cc embed.c -o '"$OUT"' $("$CONFIG" --cflags --ldflags --embed)""")


def by_make(app: Application) -> None:
    """A recipe's line is read by a shell: nothing more to do."""
    app.shell("by-make", 'make -s OUT="$OUT" PYTHON_CONFIG="$CONFIG"')


def by_cmake(app: Application) -> None:
    """The extension module of CMakeLists.txt too."""
    build = app.scratch / "cmake"
    options = (f"-DMINOR={MINOR}", f"-DPython3_ROOT_DIR={app.prefix}", f"-DCMAKE_INSTALL_PREFIX={app.place}")
    said("cmake", "-S", SOURCES, "-B", build, *options)
    said("cmake", "--build", build)
    said("cmake", "--install", build)


def by_cargo(app: Application) -> None:
    """PyO3; crates are fetched on the first run."""
    flags = f"-C link-arg={RUN_PATH}"
    env = environment(CARGO_TARGET_DIR=str(app.scratch / "cargo"), PYO3_PYTHON=str(app.prefix / "bin/python3"), RUSTFLAGS=flags)
    patiently(lambda: said("cargo", "build", "--quiet", "--locked", "--manifest-path", SOURCES / "rust/Cargo.toml", env=env))
    (app.scratch / "cargo/debug/by-cargo").rename(app.program("by-cargo"))


def by_hand(app: Application) -> None:
    """The static libpython: the program holds it, and shows its symbols to extension modules."""
    script = (
        f"""eval cc embed.c -o '"$OUT"' -rdynamic $("$FULL" --cflags) '"$("$FULL" --configdir)/libpython{MINOR}.a"' $("$FULL" --libs)"""
    )
    app.shell("by-hand", script, FULL=str(app.full / "bin/python3-config"))


BUILDERS: Mapping[str, Callable[[Application], None]] = {
    "by-pkg-config": by_pkg_config,
    "by-xargs": by_xargs,
    "by-python3-config": by_python3_config,
    "by-make": by_make,
    "by-cmake": by_cmake,
    "by-cargo": by_cargo,
    "by-hand": by_hand,
    "without-a-run-path": without_a_run_path,
}


@dataclass(frozen=True, slots=True)
class Moved:
    """The application after its move, and what went wrong before: program -> error."""

    app: Application
    built_at: Path
    errors: Mapping[str, str]

    def run(self, name: str, **env: str) -> subprocess.CompletedProcess[str]:
        """The program in an environment that holds nothing but a locale, in which it can print such paths, and `env`."""
        assert name not in self.errors, self.errors[name]
        return subprocess.run([self.app.program(name)], capture_output=True, text=True, env={"LANG": "C.UTF-8", **env})


@pytest.fixture(scope="module")
def application(first: Checkout, moved: Path, folder: Folder) -> Moved:
    """All programs are built in one place, then all is moved to another."""
    top = folder("embedding")
    app = Application(top / "hier gebaut/schöner Ort", top / "scratch")
    (app.place / "bin").mkdir(parents=True)
    app.scratch.mkdir()
    said("cp", "-a", moved, app.prefix)
    unpack_archive(archive(first, "full"), app.place / "full")
    errors = {}
    for name, build in BUILDERS.items():
        try:
            build(app)
        except (AssertionError, subprocess.TimeoutExpired, OSError) as failed:
            errors[name] = str(failed)
    place = top / "dort hin/größerer Ort"
    place.parent.mkdir()
    app.place.rename(place)
    return Moved(Application(place, app.scratch), app.place, errors)


def found(done: subprocess.CompletedProcess[str], prefix: Path) -> None:
    """The program ran with the standard library, extension modules and OpenSSL of this prefix."""
    assert done.returncode == 0, done.stderr
    *paths, openssl = done.stdout.splitlines()
    modules = prefix / f"lib/python{MINOR}"
    [ctypes] = (modules / "lib-dynload").glob("_ctypes.*")
    # the loader writes libpython's folder as the run path does: bin/../python/lib
    assert [Path(path).resolve() for path in paths] == [prefix, modules / "encodings/__init__.py", ctypes]
    assert openssl.startswith("OpenSSL 3.")
    assert done.stderr == ""


@pytest.mark.parametrize("name", sorted({*BUILDERS} - {"by-hand", "without-a-run-path"}))
def test_a_program_that_was_moved_with_its_python(application: Moved, name: str) -> None:
    found(application.run(name), application.app.prefix)


def test_a_program_that_holds_libpython(application: Moved) -> None:
    found(application.run("by-hand"), application.app.full)
    needed = said("readelf", "--dynamic", application.app.program("by-hand"))
    assert "libpython" not in needed


def test_a_program_told_by_the_library_path(application: Moved, tmp_path: Path) -> None:
    alone = application.run("without-a-run-path")
    assert alone.returncode != 0 and f"libpython{MINOR}.so.1.0" in alone.stderr
    prefix = application.app.prefix
    found(application.run("without-a-run-path", LD_LIBRARY_PATH=str(prefix / "lib")), prefix)


@pytest.mark.parametrize("name", sorted({*BUILDERS} - {"without-a-run-path"}))
def test_programs_name_no_place_to_the_loader(application: Moved, name: str) -> None:
    """Debug information and the like may."""
    assert name not in application.errors, application.errors[name]
    shown = said("readelf", "--dynamic", application.app.program(name))
    paths = re.findall(r"\(R(?:UN)?PATH\).*\[(.*)\]", shown)
    assert paths == ([] if name == "by-hand" else ["$ORIGIN/../python/lib"])
    assert str(application.built_at) not in shown


def test_an_extension_module_made_by_cmake(application: Moved) -> None:
    assert "by-cmake" not in application.errors, application.errors["by-cmake"]
    folder = application.app.place / "modules"
    assert [path.name for path in folder.iterdir()] == [f"where.cpython-{TAG}-x86_64-linux-gnu.so"]
    shown = said(application.app.prefix / "bin/python3", "-c", "import where; print(where.answer())", env={"PYTHONPATH": str(folder)})
    assert shown == f"{(3 << 8) + int(MINOR[2:])}\n"


def test_word_splitting_breaks_at_spaces(application: Moved) -> None:
    """As docs/runtime.md says: $(pkg-config ...) needs eval, whatever is quoted."""
    with pytest.raises(AssertionError, match=r"Python\.h"):
        application.app.shell("nothing", 'cc embed.c -o "$OUT" $("$CONFIG" --cflags --ldflags --embed)')


@pytest.mark.parametrize(
    "soname", [f"libpython{MINOR}.so.1.0", "libcrypto.so.3", "libssl.so.3", "libsqlite3.so.0", "libffi.so.8", "libz.so.1"]
)
def test_foreign_libraries_on_the_library_path(moved: Path, tmp_path: Path, soname: str) -> None:
    """Real ones, which end the process when they are loaded."""
    said("cc", "-shared", "-fPIC", SOURCES / "foreign.c", f"-Wl,-soname,{soname}", "-o", tmp_path / soname)
    env = {"LD_LIBRARY_PATH": str(tmp_path)}
    code = "import ctypes, hashlib, sqlite3, ssl, sys, zlib; print(sys.prefix)"
    assert said(moved / "bin/python3", "-c", code, env=env) == f"{moved}\n"
    killed = subprocess.run([moved / "bin/python3", "-c", f"import ctypes; ctypes.CDLL({soname!r})"], env=env)
    assert killed.returncode == 66
