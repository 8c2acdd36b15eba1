"""The scripts that steps of Windows run: pip's programs, the install manager's file and PYTHON.json."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.test_steps import load, tree, wheel


@pytest.mark.parametrize("launcher", ["t32.exe", "t64-arm.exe"])
def test_on_windows_its_commands_are_programs(tmp_path: Path, launcher: str) -> None:
    """pip's own launcher of that machine, a line that names the interpreter from its place, and a zip file that is run."""
    script, site = load("pip_tree"), tmp_path / "Lib/site-packages"
    made = wheel(tmp_path / "pip.whl")
    with zipfile.ZipFile(made, "a") as archive:
        for name in ("t32.exe", "t64.exe", "t64-arm.exe"):
            archive.writestr(f"{script.LAUNCHERS}/{name}", name)
    script.main([str(made), str(site), "3.13", launcher])
    script.main(["", str(site), "3.13", "--record"])
    programs = sorted(path.name for path in (tmp_path / "Scripts").iterdir())
    assert programs == ["pip.exe", "pip3.13.exe", "pip3.exe"]
    assert "../../Scripts/pip.exe,sha256=" in (site / "pip-1.0.dist-info/RECORD").read_text()
    data = (tmp_path / "Scripts/pip.exe").read_bytes()
    assert data.startswith(launcher.encode() + b"#!<launcher_dir>\\..\\python.exe\nPK")
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        assert packed.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)
        compile(packed.read("__main__.py"), "__main__.py", "exec")


def installed(tmp_path: Path, abiflags: str, *programs: str) -> dict[str, Any]:
    facts = {"version": "3.13.15", "arch": "x86_64", "abiflags": abiflags, "programs": programs}
    (tmp_path / "facts.json").write_text(json.dumps(facts))
    load("install_json").main([str(tmp_path / "facts.json"), str(tmp_path / "out.json")])
    told: dict[str, Any] = json.loads((tmp_path / "out.json").read_text())
    return told


def test_the_install_manager_is_told_what_there_is(tmp_path: Path) -> None:
    told = installed(tmp_path, "", "python.exe", "pythonw.exe")
    assert (told["schema"], told["id"], told["tag"], told["sort-version"]) == (1, "freestanding-3.13-64", "3.13-64", "3.13.15")
    assert told["install-for"] == ["3.13.15-64", "3.13-64", "3-64"]
    assert {run["target"] for run in told["run-for"]} == {"python.exe", "pythonw.exe"}
    [registered] = told["shortcuts"]
    assert registered["Key"] == r"freestanding\3.13-64"


def test_a_python_of_another_abi_has_tags_and_programs_of_its_own(tmp_path: Path) -> None:
    """As python.org's without the global interpreter lock (PC/layout/support/pymanager.py)."""
    told = installed(tmp_path, "t", "python3.13t.exe", "pythonw3.13t.exe")
    assert (told["id"], told["tag"], told["executable"]) == ("freestanding-3.13t-64", "3.13t-64", r".\python3.13t.exe")
    assert told["install-for"] == ["3.13.15t-64", "3.13t-64", "3t-64"]
    assert told["display-name"] == "Python 3.13.15 (freestanding, free-threaded)"
    assert {run["target"] for run in told["run-for"]} == {"python3.13t.exe", "pythonw3.13t.exe"}
    [registered] = told["shortcuts"]
    assert (registered["Key"], registered["SysVersion"]) == (r"freestanding\3.13t-64", "3.13")
    assert registered["InstallPath"]["WindowedExecutablePath"] == "%PREFIX%pythonw3.13t.exe"


CONFIG_C = """
extern PyObject* PyInit_array(void);
struct _inittab _PyImport_Inittab[] = {
    {"array", PyInit_array},
    {"sys", NULL},
    {0, 0}
};
"""


@pytest.mark.parametrize(("flags", "dll", "end"), [("", "python313", ""), ("d", "python313_d", "_d")])
def test_pythons_description_for_windows(tmp_path: Path, flags: str, dll: str, end: str) -> None:
    links = [{"name": "x", "path_dynamic": "install/DLLs/x.dll"}]
    module = {"links": links, "licenses": ["MIT"], "license_paths": ["licenses/LICENSE.x.txt"]}
    facts = {
        **{"minor": "3.13", "version": "3.13.15", "abiflags": flags, "triple": "x86_64-pc-windows-gnu", "options": "noopt"},
        **{"dll": dll, "suffixes": [f"{end}.cp313-win_amd64.pyd", f"{end}.pyd"], "module_suffix": f"{end}.pyd"},
        **{"platform_tag": "win-amd64", "modules": {"_x": {**module, "test": False}}, "test_packages": ["test"]},
    }
    files = ["install/python.exe", f"install/{dll}.dll", f"install/DLLs/_x{end}.pyd", "install/DLLs/x.dll", "build/run_tests.py"]
    files += ["licenses/LICENSE.x.txt", "licenses/LICENSE.cpython.txt"]
    tree(tmp_path / "python", dict.fromkeys(files, ""))
    (tmp_path / "facts.json").write_text(json.dumps(facts))
    (tmp_path / "config.c").write_text(CONFIG_C)
    argv = [str(tmp_path / name) for name in ("python", "facts.json", "config.c", "PYTHON.json")]
    load("python_json_windows").main(argv)
    told = json.loads((tmp_path / "PYTHON.json").read_text())
    assert told["python_suffixes"]["extension"] == facts["suffixes"] and told["build_info"]["core"]["shared_lib"] == f"install/{dll}.dll"
    assert told["python_paths"]["stdlib"] == "install/Lib" and told["python_paths"]["include"] == "install/include"
    values = told["python_config_vars"]
    assert (values["SOABI"], values["LDLIBRARY"], values["Py_GIL_DISABLED"]) == ("cp313-win_amd64", f"{dll}.dll", "0")
    [entry] = told["build_info"]["extensions"]["_x"]
    assert (entry["shared_lib"], entry["init_fn"], entry["licenses"]) == (f"install/DLLs/_x{end}.pyd", "PyInit__x", ["MIT"])
    assert told["build_info"]["extensions"]["sys"][0]["init_fn"] is None
    (tmp_path / "python/install/DLLs/x.dll").unlink()
    with pytest.raises(FileNotFoundError, match=r"install/DLLs/x\.dll"):
        load("python_json_windows").main(argv)


DECLARING = """
/* PyAPI_FUNC(int) Py_InAComment(void); */
PyAPI_FUNC(void) _Py_NO_RETURN Py_Exit(int);
Py_DEPRECATED(3.9) PyAPI_FUNC(PyObject *)
PyList_New(Py_ssize_t size);
PyAPI_DATA(int) (*PyOS_InputHook)(void);
PyAPI_DATA(const char *const) _Py_names[];
PyAPI_DATA(PyTypeObject) PyType_Type;
#define PyAPI_FUNC(RTYPE) Py_EXPORTED_SYMBOL RTYPE
"""


def sources(place: Path) -> Path:
    config = "#ifndef Py_GIL_DISABLED\n/* #define Py_GIL_DISABLED 1 */\n#endif\n"
    forwards = "#define EXPORT_FUNC(name) x\nEXPORT_FUNC(Py_Exit)\nEXPORT_DATA(PyType_Type)\n"
    definition = "PyAPI_FUNC(int) Py_Defined(int one) { return other(one); }\n"
    tree(
        place,
        {"Include/a.h": DECLARING, "Python/b.c": definition, "PC/python3dll.c": forwards, "PC/pyconfig.h.in": config},
    )
    return place


@pytest.mark.parametrize("free", [False, True])
def test_what_the_core_will_export_is_read_of_its_sources(tmp_path: Path, free: bool) -> None:
    (tmp_path / "out").mkdir()
    load("api").main([str(sources(tmp_path / "src")), str(tmp_path / "out"), "python313", "python3", *["FREE"] * free])
    core, stable = ((tmp_path / f"out/{name}.def").read_text() for name in ("python313", "python3"))
    names = ["PyList_New", "PyOS_InputHook DATA", "PyType_Type DATA", "Py_Defined", "Py_Exit", "_Py_names DATA"]
    assert core.splitlines() == ["LIBRARY python313.dll", "EXPORTS", *names]
    assert stable == "LIBRARY python3.dll\nEXPORTS\nPyType_Type DATA\nPy_Exit\n"
    assert ("\n#define Py_GIL_DISABLED 1\n" in (tmp_path / "out/pyconfig.h").read_text()) == free


def test_sources_that_are_not_understood_are_refused(tmp_path: Path) -> None:
    place = sources(tmp_path / "src")
    argv = [str(place), str(tmp_path), "python313t", "python3t"]
    (place / "PC/pyconfig.h.in").write_text("")
    with pytest.raises(ValueError, match="no place for Py_GIL_DISABLED"):
        load("api").main([*argv, "FREE"])
    (place / "PC/python3dll.c").write_text("")
    with pytest.raises(ValueError, match=r"declares nothing that python3t\.dll"):
        load("api").main(argv)
