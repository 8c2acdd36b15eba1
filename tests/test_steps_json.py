"""PYTHON.json made from a small archive: every path that it names exists, and what the files say is what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.test_steps import FACTS, load, tree

CONFIG = "install/lib/python3.13/config-3.13-x86_64-linux-gnu"
DYNLOAD = "install/lib/python3.13/lib-dynload"
SUFFIX = ".cpython-313-x86_64-linux-gnu.so"
CONFIG_C = """
struct _inittab _PyImport_Inittab[] = {
    {"math", PyInit_math},
    {"_decimal", PyInit__decimal},
    {"pyexpat", PyInit_pyexpat},
    {"_io", PyInit__io},
    {"builtins", NULL},
    {0, 0}
};
"""
MAKEFILE = """\
Modules/math$(EXT_SUFFIX):  Modules/mathmodule.o; $(BLDSHARED)  Modules/mathmodule.o -o Modules/math$(EXT_SUFFIX)
Modules/_decimal$(EXT_SUFFIX):  Modules/_decimal/_decimal.o; $(BLDSHARED)
Modules/pyexpat$(EXT_SUFFIX):  Modules/pyexpat.o; $(BLDSHARED)
Modules/_io$(EXT_SUFFIX):  Modules/_io/_iomodule.o; $(BLDSHARED)
"""
OBJECTS = (
    *(
        "Modules/mathmodule.o",
        "Modules/_decimal/_decimal.o",
        "Modules/_decimal/libmpdec/io.o",
        "Modules/pyexpat.o",
        "Modules/expat/xmlparse.o",
    ),
    *("Modules/_io/_iomodule.o", "Modules/config.o", "Modules/_ssl.o", "Python/ceval.o", "Programs/python.o"),
)
FILES = {
    f"{CONFIG}/Makefile": MAKEFILE,
    f"{CONFIG}/Setup.bootstrap": "# comment\n*static*\n\n_io _io/_iomodule.c\n",
    f"{CONFIG}/libpython3.13.a": "",
    "install/lib/python3.13/_sysconfigdata__linux_x86_64-linux-gnu.py": "build_time_vars = {'ABIFLAGS': '', 'CC': 'cc', 'N': 1}\n",
    f"{DYNLOAD}/_ssl{SUFFIX}": "\0GLIBC_2.17\0",
    "install/lib/libssl-fs.so.3": "",
    "install/lib/libpython3.13.so.1.0": "",
    "install/include/python3.13/Python.h": "",
    "install/bin/python3.13": "x\0GLIBC_2.2.5\0GLIBC_2.14\0",
    "build/Modules/config.c": CONFIG_C,
    "build/run_tests.py": "",
    "licenses/LICENSE.cpython.txt": "",
    "licenses/LICENSE.openssl.txt": "",
    **{f"build/{name}": "" for name in OBJECTS},
}
SSL = {
    "links": [{"name": "ssl", "path_dynamic": "install/lib/libssl-fs.so.3"}],
    "objs": ["build/Modules/_ssl.o"],
    "licenses": ["Apache-2.0"],
    "license_paths": ["licenses/LICENSE.openssl.txt"],
    "test": False,
}


def described(tmp_path: Path, **more: str) -> dict[str, Any]:
    root = tree(tmp_path / "python", {**FILES, **more})
    (tmp_path / "facts.json").write_text(json.dumps({**FACTS, "modules": {"_ssl": SSL}}))
    load("python_json").main([str(root), str(tmp_path / "facts.json"), str(root / "PYTHON.json")])
    found: dict[str, Any] = json.loads((root / "PYTHON.json").read_text())
    return found


def test_every_path_named_exists(tmp_path: Path) -> None:
    found = described(tmp_path)
    paths = set(load("python_json").named_paths(found)) - set(found["python_paths"].values())
    assert len(paths) > 15
    assert [path for path in paths if not (tmp_path / "python" / path).exists()] == []


@pytest.mark.parametrize(
    "name", ["install/lib/libssl-fs.so.3", f"{DYNLOAD}/_ssl{SUFFIX}", f"{CONFIG}/libpython3.13.a", "build/run_tests.py"]
)
def test_a_path_that_is_not_there_is_an_error(tmp_path: Path, name: str) -> None:
    root = tree(tmp_path / "python", FILES)
    (root / name).unlink()
    (tmp_path / "facts.json").write_text(json.dumps({**FACTS, "modules": {"_ssl": SSL}}))
    with pytest.raises(FileNotFoundError, match=name.rpartition("/")[2].replace(".", r"\.")):
        load("python_json").main([str(root), str(tmp_path / "facts.json"), str(root / "PYTHON.json")])


def test_modules_are_in_the_core_built_in_or_shared(tmp_path: Path) -> None:
    table = {name: variants[0] for name, variants in described(tmp_path)["build_info"]["extensions"].items()}
    assert list(table) == sorted(table) == ["_decimal", "_io", "_ssl", "builtins", "math", "pyexpat"]
    assert {name for name, each in table.items() if each["in_core"]} == {"_io", "builtins"}
    assert table["builtins"]["init_fn"] is None and table["math"]["init_fn"] == "PyInit_math"
    assert table["_decimal"]["objs"] == ["build/Modules/_decimal/_decimal.o", "build/Modules/_decimal/libmpdec/io.o"]
    assert table["_ssl"]["shared_lib"] == f"{DYNLOAD}/_ssl{SUFFIX}" and table["_ssl"]["licenses"] == ["Apache-2.0"]


def test_objects_are_the_cores_or_one_modules(tmp_path: Path) -> None:
    info = described(tmp_path)["build_info"]
    of_modules = [path for variants in info["extensions"].values() for path in variants[0]["objs"]]
    assert sorted(info["core"]["objs"]) == ["build/Modules/_io/_iomodule.o", "build/Python/ceval.o"]
    assert len(set(of_modules)) == len(of_modules)
    assert not set(of_modules) & set(info["core"]["objs"])


def test_the_newest_symbol_version_is_read_from_the_files(tmp_path: Path) -> None:
    assert described(tmp_path)["crt_features"] == ["glibc-dynamic", "glibc-max-symbol-version:2.17"]


def test_facts_of_the_python(tmp_path: Path) -> None:
    found = described(tmp_path)
    assert found["python_config_vars"] == {"ABIFLAGS": "", "CC": "cc", "N": "1"}
    assert found["python_paths"]["stdlib"] == "install/lib/python3.13"
    assert found["python_implementation_hex_version"] == 0x030D0FF0
    assert found["python_exe"] == "install/bin/python3.13"
    assert found["version"] == "8"


SCHEME = {
    **dict.fromkeys(("stdlib", "platstdlib"), "{platbase}/{platlibdir}/{implementation_lower}{py_version_short}{abi_thread}"),
    **dict.fromkeys(("purelib", "platlib"), "{base}/lib/{implementation_lower}{py_version_short}{abi_thread}/site-packages"),
    **dict.fromkeys(("include", "platinclude"), "{installed_base}/include/{implementation_lower}{py_version_short}{abiflags}"),
    **{"scripts": "{base}/bin", "data": "{base}"},
}
"""sysconfig's posix_prefix from 3.13 on: the Python of the archive's version, which runs the script, has it."""


def with_flags(text: str, flags: str) -> str:
    """A name or text of FILES and FACTS as it is in a Python with these ABI flags."""
    for name in (
        *("bin/python3.13", "include/python3.13", "config-3.13", "libpython3.13", "cpython-313"),
        "_sysconfigdata_",
        "'ABIFLAGS': '",
    ):
        text = text.replace(name, name + flags)
    return text.replace("lib/python3.13", "lib/python3.13" + flags.replace("d", ""))


@pytest.mark.parametrize("flags", ["t", "d", "td"])
def test_names_of_other_abis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str) -> None:
    script = load("python_json")
    monkeypatch.setattr(script.sysconfig, "get_paths", lambda scheme, expand: SCHEME)
    root = tree(tmp_path / "python", {with_flags(name, flags): with_flags(text, flags) for name, text in FILES.items()})
    facts = {**json.loads(with_flags(json.dumps(FACTS), flags)), "abiflags": flags, "modules": {"_ssl": SSL}}
    # main() refuses a path that does not exist
    (tmp_path / "facts.json").write_text(json.dumps(facts))
    script.main([str(root), str(tmp_path / "facts.json"), str(root / "PYTHON.json")])
    found = json.loads((root / "PYTHON.json").read_text())
    lib, abi = "install/lib/python3.13" + flags.replace("d", ""), f"3.13{flags}"
    assert found["python_abi_tag"] == flags
    assert found["python_exe"] == f"install/bin/python{abi}"
    assert found["python_stdlib_platform_config"] == f"{lib}/_sysconfigdata_{flags}_linux_x86_64-linux-gnu.py"
    assert found["build_info"]["core"]["static_lib"] == f"{lib}/config-{abi}-x86_64-linux-gnu/libpython{abi}.a"
    assert found["build_info"]["core"]["shared_lib"] == f"install/lib/libpython{abi}.so.1.0"
    [ssl] = found["build_info"]["extensions"]["_ssl"]
    assert ssl["shared_lib"] == f"{lib}/lib-dynload/_ssl.cpython-313{flags}-x86_64-linux-gnu.so"
    assert found["crt_features"] == ["glibc-dynamic", "glibc-max-symbol-version:2.17"]
    # of all ABIs
    assert (found["python_tag"], found["python_implementation_cache_tag"]) == ("cp313", "cpython-313")
    paths = found["python_paths"]
    assert {paths["stdlib"], paths["platstdlib"]} == {lib} and {paths["purelib"], paths["platlib"]} == {f"{lib}/site-packages"}
    assert {paths["include"], paths["platinclude"]} == {f"install/include/python{abi}"}
