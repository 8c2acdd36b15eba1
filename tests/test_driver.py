"""The compiler drivers, run with a zig that only prints what it was called with."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

DRIVERS = Path(__file__).resolve().parent.parent / "toolchains/driver"
FAKE_ZIG = '#!/bin/sh\nprintf "%s\\n" "$@"\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """What /build is to a step, at a path with a space: drivers in tc/bin, the fake zig in zig/."""
    place = tmp_path / "a build"
    shutil.copytree(DRIVERS, place / "tc/bin")
    (place / "zig").mkdir()
    (place / "zig/zig").write_text(FAKE_ZIG)
    (place / "zig/zig").chmod(0o755)
    return place


def call(root: Path, driver: str, *argv: str, flags: str = "-march=x86-64 -mtune=generic") -> list[str]:
    environ = {
        "PATH": f"{root}/tc/bin:{os.environ['PATH']}",
        "ZIG": f"{root}/zig/zig",
        "CLANG_TARGET": "x86_64-unknown-linux-gnu",
        "CLANG_TARGET_FLAGS": flags,
    }
    done = subprocess.run([driver, *argv], env=environ, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_cc_is_clang_for_the_target_with_its_flags_split(root: Path) -> None:
    argv = call(root, "cc", "-c", "a.c")
    assert argv[:4] == ["clang", "--target=x86_64-unknown-linux-gnu", "-march=x86-64", "-mtune=generic"]


def test_cc_uses_nothing_but_its_own_sysroot_and_linker(root: Path) -> None:
    argv = call(root, "cc", "a.c")
    assert {f"--sysroot={root}/libc", f"-resource-dir={root}/libc/clang", f"--ld-path={root}/tc/bin/ld.lld"} <= set(argv)
    assert {"--gcc-install-dir=", "-rtlib=compiler-rt", "-unwindlib=none", "-fuse-ld=lld"} <= set(argv)


def test_the_callers_arguments_come_last_and_whole(root: Path) -> None:
    given = ["-O2", "-fno-stack-protector", '-DTEXT="a b"', "-Wl,-h,libx.so.1", "$HOME", "*", "", "-o", "out file", "in file.c"]
    assert call(root, "cc", *given)[-len(given) :] == given


def test_no_path_of_the_build_gets_into_an_object(root: Path) -> None:
    maps = [flag for flag in call(root, "cc", "a.c") if flag.startswith("-ffile-prefix-map=")]
    # clang takes the last map that fits
    assert maps == [f"-ffile-prefix-map={root}=..", f"-ffile-prefix-map={root}/work=."]


def test_links_are_hardened_and_keyed_by_content(root: Path) -> None:
    argv = call(root, "ld.lld", "-o", "x", "--no-as-needed")
    assert argv[0] == "ld.lld"
    assert argv[-3:] == ["-o", "x", "--no-as-needed"]
    for part in ("-z relro", "-z now", "-z noexecstack", "--build-id=sha1", "--as-needed", "--gc-sections"):
        assert part in " ".join(argv[1:-3])


def test_cc_alone_gives_no_linker_input_and_keeps_out_dates(root: Path) -> None:
    argv = call(root, "cc", "-v")
    assert [flag for flag in argv if not flag.startswith("-")] == ["clang"]
    assert not [flag for flag in argv if flag.startswith(("-Wl,", "-Xlinker", "-l", "-z"))]
    assert "-Werror=date-time" in argv


def test_cc_asks_for_no_debug_and_no_ndebug(root: Path) -> None:
    argv = call(root, "cc", "a.c")
    assert not [flag for flag in argv if flag.startswith(("-g", "-DNDEBUG", "-fsanitize"))]


def test_cxx_differs_from_cc_by_its_mode_alone(root: Path) -> None:
    c, cxx = call(root, "cc", "a.cc"), call(root, "c++", "a.cc")
    assert [flag for flag in cxx if flag not in c] == ["--driver-mode=g++"]
    assert [flag for flag in cxx if flag in c] == c


@pytest.mark.parametrize(("driver", "program"), [("ar", "ar"), ("ranlib", "ranlib"), ("ld", "ld.lld")])
def test_the_others_pass_their_arguments_on(root: Path, driver: str, program: str) -> None:
    assert call(root, driver, "rcs", "a b.a", "*.o") == [program, "rcs", "a b.a", "*.o"]


def test_a_failing_compiler_fails_the_driver(root: Path) -> None:
    (root / "zig/zig").write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(subprocess.CalledProcessError) as caught:
        call(root, "cc", "a.c")
    assert caught.value.returncode == 3


def test_every_driver_is_plain_sh_that_becomes_zig() -> None:
    for path in DRIVERS.iterdir():
        lines = path.read_text().splitlines()
        assert lines[0] == "#!/bin/sh"
        assert path.name == "emulate" or sum(line.startswith("exec ") for line in lines) == 1
        assert os.access(path, os.X_OK)


LINKER = """#!/bin/sh
# a zig that "links" a program which prints how it was called, and compiles to plain files
last= name=a.out mode=755
for word; do
    [ "$last" = -o ] && name=$word
    [ "$word" = -c ] && mode=644
    last=$word
done
printf '#!/bin/sh\\nthis program was linked\\necho "program $*"\\n' | sed 1d >"$name"
chmod $mode "$name"
"""


def emulated(root: Path, *argv: str, emulator: str = "sh -u") -> subprocess.CompletedProcess[str]:
    """A call of cc in the folder root/work, where programs do not run by themselves."""
    (root / "work").mkdir(exist_ok=True)
    (root / "zig/zig").write_text(LINKER)
    environ = {"PATH": f"{root}/tc/bin:{os.environ['PATH']}", "ZIG": f"{root}/zig/zig", "CLANG_TARGET": "t", "CLANG_TARGET_FLAGS": ""}
    return subprocess.run(
        ["cc", *argv], env={**environ, "EMULATOR": emulator}, cwd=root / "work", capture_output=True, text=True, check=True
    )


@pytest.mark.parametrize("name", ["a.out", "conftest", "folder/a b"])
def test_a_linked_program_runs_with_the_emulator(root: Path, name: str) -> None:
    (root / "work/folder").mkdir(parents=True)
    emulated(root, "-O2", "conftest.c", *(() if name == "a.out" else ("-o", name)))
    (root / "work" / f"{name}.bin").write_text('echo "program $*"')
    done = subprocess.run([f"./{name}", "one", "t w o"], cwd=root / "work", capture_output=True, text=True, check=True)
    assert done.stdout == "program one t w o\n"


def test_the_programs_own_bytes_can_still_be_searched(root: Path) -> None:
    emulated(root, "conftest.c", "-o", "conftest")
    assert "this program was linked" in (root / "work/conftest").read_text()
    assert (root / "work/conftest").read_text().startswith("#!/bin/sh\nexec sh -u ")


@pytest.mark.parametrize("argv", [("-c", "a.c", "-o", "a.o"), ("-shared", "a.o", "-o", "a.so"), ("-r", "a.o", "-o", "b.o")])
def test_what_is_no_program_stays_as_it_is(root: Path, argv: tuple[str, ...]) -> None:
    emulated(root, *argv)
    assert [path.name for path in (root / "work").iterdir()] == [argv[-1]]


def test_a_second_link_of_a_program_is_wrapped_once(root: Path) -> None:
    emulated(root, "a.c", "-o", "a")
    emulated(root, "a.c", "-o", "a")
    assert (root / "work/a").read_text().count("exec sh -u") == 1


def test_a_compiler_that_fails_fails_with_its_status(root: Path) -> None:
    (root / "zig/zig").write_text("#!/bin/sh\nexit 3\n")
    environ = {"PATH": f"{root}/tc/bin:{os.environ['PATH']}", "ZIG": f"{root}/zig/zig", "CLANG_TARGET": "t", "CLANG_TARGET_FLAGS": ""}
    assert subprocess.run(["cc", "a.c"], env={**environ, "EMULATOR": "x"}, cwd=root, check=False).returncode == 3
    assert not (root / "a.out").exists()


@pytest.fixture
def windows(root: Path) -> Path:
    """The same with the drivers for Windows; lld is run by a loader that only prints what it was called with."""
    shutil.copytree(DRIVERS.parent / "windows/driver", root / "tc/bin", dirs_exist_ok=True)
    for folder in ("lld/lib", "work/deeper"):
        (root / folder).mkdir(parents=True)
    loader = root / "lld/lib/ld-linux-x86-64.so.2"
    loader.write_text(FAKE_ZIG)
    loader.chmod(0o755)
    return root


def linked(root: Path, cwd: Path, *argv: str) -> list[str]:
    """What lld for Windows gets after the driver's own words."""
    done = subprocess.run([root / "tc/bin/ld.lld", *argv], cwd=cwd, capture_output=True, text=True, check=True)
    words = done.stdout.splitlines()
    return words[len(words) - len(argv) :]


def test_for_windows_no_path_of_the_build_gets_to_the_linker_which_writes_it_into_the_pdb(windows: Path) -> None:
    def words(root: str) -> list[str]:
        return ["-o", f"{root}out/a b.dll", f"-L{root}libc/lib", f"--out-implib={root}out/a.lib", "--pdb=", "x.o", "", "-Xlink=-def:x"]

    for cwd, up in ((windows / "work", "../"), (windows / "work/deeper", "../../"), (windows, "")):
        assert linked(windows, cwd, *words(f"{windows}/")) == words(up)
    # from elsewhere (no node does so) everything is found
    assert linked(windows, windows.parent, *words(f"{windows}/")) == words(f"{windows}/")


def test_for_windows_debug_information_says_neither_command_nor_folder(windows: Path) -> None:
    words = set(call(windows, "cc", "-c", "a.c"))
    assert {"-gno-codeview-command-line", "-fdebug-compilation-dir=.", f"-ffile-prefix-map={windows}/work=."} <= words
    done = subprocess.run([windows / "tc/bin/ld.lld", "x.o"], cwd=windows / "work", capture_output=True, text=True, check=True)
    told = {"--no-insert-timestamp", "-Xlink=-pdbaltpath:%_PDB%", r"-Xlink=-pdbsourcepath:C:\freestanding\work"}
    assert told <= {*done.stdout.splitlines()}
