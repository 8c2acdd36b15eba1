"""The scripts that steps run, under this interpreter: merging, packing, compiling, pip, the files of the build and PYTHON.json."""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import importlib.util
import marshal
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

STEPS = Path(__file__).resolve().parent.parent / "toolchains" / "steps"
EPOCH = 1763856000


FACTS = {
    "minor": "3.13",
    "version": "3.13.15",
    "abiflags": "",
    "lib": "lib/python3.13",
    "config": "lib/python3.13/config-3.13-x86_64-linux-gnu",
    "system": "linux",
    "static": False,
    "deployment_target": "",
    "object_file_format": "elf",
    "triple": "x86_64-unknown-linux-gnu",
    "options": "noopt",
    "multiarch": "x86_64-linux-gnu",
    "platform_tag": "linux-x86_64",
    "ext_suffixes": [".cpython-313-x86_64-linux-gnu.so", ".abi3.so", ".so"],
    "soname": "libpython3.13.so.1.0",
    "libc": "gnu",
    "test_packages": ["test"],
}


def load(name: str) -> ModuleType:
    """A script as a module, which finds others of its folder as when it is run."""
    spec = importlib.util.spec_from_file_location(name, STEPS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(STEPS)
        spec.loader.exec_module(module)
    return module


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("-> "):
            path.symlink_to(text[3:])
        else:
            path.write_text(text)
            path.chmod(0o755 if name.startswith("bin/") else 0o644)
    return root


def test_merge_lays_parts_over_each_other(tmp_path: Path) -> None:
    one = tree(tmp_path / "one", {"bin/a": "a", "lib/x": "x", "lib/link": "-> x"})
    two = tree(tmp_path / "two", {"y": "y", "folder": "-> deep", "deep/z": "z"})
    load("merge").main([str(tmp_path / "out"), f"{one}=.", f"{two}=lib"])
    out = tmp_path / "out"
    assert (out / "lib/y").read_text() == "y"
    assert str((out / "lib/link").readlink()) == "x"
    assert str((out / "lib/folder").readlink()) == "deep"
    assert os.access(out / "bin/a", os.X_OK) and not os.access(out / "lib/x", os.X_OK)


@pytest.mark.parametrize("second", ["text", "-> other"])
def test_merge_refuses_one_path_from_two_parts(tmp_path: Path, second: str) -> None:
    one, two = tree(tmp_path / "one", {"a/b": "1"}), tree(tmp_path / "two", {"a/b": second})
    with pytest.raises(FileExistsError, match=r"a/b comes from .*two"):
        load("merge").main([str(tmp_path / "out"), f"{one}=.", f"{two}=."])


def packed(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive of two parts and a single file, made from fresh files."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(EPOCH))
    shutil.rmtree(tmp_path / "in", ignore_errors=True)
    install = tree(tmp_path / "in/install", {"lib/b": "b" * 5000, "bin/a": "a", "lib/a-link": "-> b", f"lib/{'long' * 40}": "l"})
    tests = tree(tmp_path / "in/tests", {"test/t": "t"})
    note = tree(tmp_path / "in", {"note.json": "{}"}) / "note.json"
    archive = tmp_path / name
    load("pack").main([str(archive), f"{install}=python/install", f"{tests}=python/install/lib", f"{note}=python/PYTHON.json"])
    return archive


def test_the_same_trees_give_the_same_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = packed(tmp_path, "one.tar.gz", monkeypatch).read_bytes()
    os.utime(tmp_path / "in/install/lib/b", (1, 1))
    second = packed(tmp_path, "two.tar.gz", monkeypatch).read_bytes()
    assert first == second
    assert first[3] == 0 and first[4:8] == b"\0\0\0\0"


def test_members_of_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tarfile.open(packed(tmp_path, "a.tar.gz", monkeypatch)) as tar:
        members = {member.name: member for member in tar}
        names = list(members)
    assert names == sorted(names)
    assert names[0] == "python"
    assert members["python/install/lib"].isdir() and "python/install/lib/test/t" in members
    assert members["python/install/bin/a"].mode == 0o755 and members["python/install/lib/b"].mode == 0o644
    assert members["python/install/lib/a-link"].linkname == "b"
    assert members["python/PYTHON.json"].size == 2
    assert {(member.uid, member.gid, member.uname, member.gname, member.mtime) for member in members.values()} == {(0, 0, "", "", EPOCH)}


def test_one_name_from_two_parts_is_refused(tmp_path: Path) -> None:
    one, two = tree(tmp_path / "one", {"x": "1"}), tree(tmp_path / "two", {"x": "2"})
    with pytest.raises(ValueError, match="python/x comes from"):
        load("pack").members([f"{one}=python", f"{two}=python"])


def test_zstd_is_a_program_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tree(tmp_path, {"bin/zstd": "#!/bin/sh\nexec gzip -n\n"}) / "bin/zstd"
    monkeypatch.setenv("ZSTD", str(fake))
    archive = packed(tmp_path, "a.tar.zst", monkeypatch)
    assert b"PYTHON.json" in gzip.decompress(archive.read_bytes())


def test_a_zstd_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tree(tmp_path, {"bin/zstd": "#!/bin/sh\ncat > /dev/null; exit 3\n"}) / "bin/zstd"
    monkeypatch.setenv("ZSTD", str(fake))
    with pytest.raises(OSError, match="status 3"):
        packed(tmp_path, "a.tar.zst", monkeypatch)


SOURCES = {
    "one.py": '"""Doc."""\nNAMES = ("alpha", "beta")\ndef f(x):\n    return {x, "alpha", 1.5}\n',
    "pack/__init__.py": "from one import f\nassert f\n",
    "pack/two.py": "NAMES = frozenset({'alpha', 'beta', 'gamma'})\ndef g(names=NAMES): return [n for n in names if n in {'beta', 1}]\n",
    "bad.py": "def (:\n",
    "skipped/three.py": "x = 1\n",
}


def compiled(root: Path, jobs: int, order: tuple[str, ...] = ()) -> dict[str, bytes]:
    """Compile the sources in a process of its own that has compiled `order` before."""
    tree(root, SOURCES)
    script = f"""
import sys; sys.path.insert(0, {str(STEPS)!r})
import compile_tree
for text in {order!r}: exec(compile(text, 'before', 'exec'))
compile_tree.compile_all(__import__('pathlib').Path({str(root)!r}), 'lib', ['skipped/*'], {jobs})
"""
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, stdout=subprocess.DEVNULL)
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.pyc"))}


def test_compiling_gives_the_same_bytes_with_any_number_of_jobs(tmp_path: Path) -> None:
    one = compiled(tmp_path / "a", 1)
    assert one == compiled(tmp_path / "b", 3)
    assert [Path(name).name.split(".")[0] for name in one] == ["one", "__init__", "two"]


def test_pycs_are_unchecked_and_name_no_folder_of_the_build(tmp_path: Path) -> None:
    data = compiled(tmp_path / "a", 2)[f"__pycache__/one.{sys.implementation.cache_tag}.pyc"]
    assert data[:4] == importlib.util.MAGIC_NUMBER
    assert int.from_bytes(data[4:8], "little") == 0b01
    assert data[8:16] == importlib.util.source_hash(SOURCES["one.py"].encode())
    code = marshal.loads(data[16:])
    assert code.co_filename == "lib/one.py"


def test_an_edited_source_is_not_looked_at(tmp_path: Path) -> None:
    """What unchecked means, and why the pycs stay valid whatever times an unpacker gives."""
    compiled(tmp_path, 1)
    (tmp_path / "one.py").write_text("NAMES = None\n")
    shown = subprocess.run([sys.executable, "-c", "import one; print(one.NAMES)"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert shown.stdout == "('alpha', 'beta')\n"


def test_a_failing_child_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, {"one.py": "x = 1\n"})
    (tmp_path / "__pycache__").write_text("in the way")
    with pytest.raises(RuntimeError, match="could not be compiled"):
        load("compile_tree").compile_all(tmp_path, "lib", [], 1)


def wheel(path: Path, **changes: str) -> Path:
    """A small wheel named pip, in which `changes` (file name less its folder) are not as RECORD says."""
    files = {
        "pip/__init__.py": "x = 1\n",
        "pip/_internal/cli/main.py": "def main(): return 0\n",
        "pip-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "pip-1.0.dist-info/METADATA": "Name: pip\nVersion: 1.0\n",
    }
    rows = [f"{name},{load('pip_tree').digest(text.encode())},{len(text)}" for name, text in files.items()]
    files["pip-1.0.dist-info/RECORD"] = "\n".join([*rows, "pip-1.0.dist-info/RECORD,,"]) + "\n"
    for name in files:
        files[name] = changes.get(Path(name).stem, files[name])
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, **{n: t for n, t in changes.items() if "/" in n}}.items():
            archive.writestr(name, text)
    return path


def test_pip_is_as_an_installer_leaves_it(tmp_path: Path) -> None:
    script, out = load("pip_tree"), tmp_path / "out"
    script.main([str(wheel(tmp_path / "pip.whl")), str(out / "lib/python3.13/site-packages"), "3.13"])
    site = out / "lib/python3.13/site-packages"
    tree(site, {"pip/__pycache__/__init__.pyc": "code"})
    script.main(["", str(site), "3.13", "--record"])
    info = site / "pip-1.0.dist-info"
    rows = {row[0]: row for row in csv.reader((info / "RECORD").read_text().splitlines())}
    files = {str(path.relative_to(site)) for path in site.rglob("*") if path.is_file()}
    assert set(rows) == files | {f"../../../bin/{name}" for name in ("pip", "pip3", "pip3.13")}
    assert rows["pip/__pycache__/__init__.pyc"] == ["pip/__pycache__/__init__.pyc", "", ""]
    assert (info / "INSTALLER").read_text() == "pip\n"
    for name, digest, size in rows.values():
        if digest:
            data = (site / name).read_bytes()
            assert digest == "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            assert size == str(len(data))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"__init__": "x = 2\n"}, "not as RECORD says"),
        ({"WHEEL": "Root-Is-Purelib: false\n"}, "not a pure wheel"),
        ({"pip/../../evil.py": ""}, "evil"),
    ],
)
def test_a_wheel_that_is_not_what_it_says(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load("pip_tree").main([str(wheel(tmp_path / "pip.whl", **changes)), str(tmp_path / "out"), "3.13"])


def test_each_version_has_its_commands(tmp_path: Path) -> None:
    common = {"idle3", "pydoc3"}
    for minor, more in (("3.11", {"2to3", "2to3-3.11"}), ("3.13", set[str]())):
        folder = tmp_path / minor
        folder.mkdir()
        load("build_files").commands(minor, folder)
        assert {path.name for path in folder.iterdir()} == {*common, f"idle{minor}", f"pydoc{minor}", *more}


@pytest.mark.parametrize("name", ["pip3", "pydoc3"])
def test_commands_find_the_interpreter_beside_them(tmp_path: Path, name: str) -> None:
    """In a place with a space, and through a link from elsewhere."""
    bin_folder = tmp_path / "a place/bin"
    if name == "pip3":
        load("pip_tree").main([str(wheel(tmp_path / "pip.whl")), str(bin_folder.parent / "lib/python3.13/site-packages"), "3.13"])
    else:
        bin_folder.mkdir(parents=True)
        load("build_files").commands("3.13", bin_folder)
    tree(bin_folder.parent, {"bin/python3.13": '#!/bin/sh\necho "ran $0 with $1 $2"\n'})
    link = tmp_path / "link"
    link.symlink_to(bin_folder / name)
    shown = subprocess.run([link, "an argument"], capture_output=True, text=True, check=True).stdout
    assert shown == f"ran {bin_folder}/python3.13 with {link} an argument\n"
    compile((bin_folder / name).read_text(), name, "exec")


def test_a_cross_build_says_what_is_right_where_it_is_installed() -> None:
    text = (
        "CONFIG_ARGS= '--build=x86_64-linux' '--host=aarch64-apple-darwin20' '--prefix=/install' "
        "'--with-build-python=build-python' 'CC=cc'\n"
        "BUILD_GNU_TYPE= x86_64-linux\nPYTHON_FOR_FREEZE=build-python\nPYTHON_FOR_BUILD=_X=$(abs_builddir) build-python\n"
    )
    made = load("build_files").neutral_makefile(text, [])
    assert made.splitlines()[0] == "CONFIG_ARGS= '--host=aarch64-apple-darwin20' '--prefix={prefix}'"
    assert "build-python" not in made and "x86_64" not in made
    # a build that was none keeps what configure wrote
    assert load("build_files").neutral_makefile("PYTHON_FOR_FREEZE=./_bootstrap_python\n", []) == "PYTHON_FOR_FREEZE=./_bootstrap_python\n"


def test_a_dylib_has_one_name_and_no_stable_abi_library(tmp_path: Path) -> None:
    module = load("build_files")
    facts = {"minor": "3.13", "abiflags": "", "soname": "libpython3.13.dylib", "static": False}
    (tmp_path / "bin").mkdir()
    (tmp_path / "lib").mkdir()
    module.links(facts, tmp_path)
    assert list((tmp_path / "lib").iterdir()) == []
    assert module.libpython(facts) == {"dynamic": "lib/libpython3.13.dylib", "link_extensions": False}
