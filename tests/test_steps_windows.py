"""The scripts that steps of Windows run: pip's programs, the install manager's file and PYTHON.json."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest

from tests.test_steps import load, tree, wheel


def test_on_windows_its_commands_are_programs(tmp_path: Path) -> None:
    """pip's own launcher, a line that names the interpreter from its place, and a zip file that is run."""
    script, site = load("pip_tree"), tmp_path / "Lib/site-packages"
    made = wheel(tmp_path / "pip.whl")
    with zipfile.ZipFile(made, "a") as archive:
        archive.writestr(script.LAUNCHER, "launcher")
    script.main([str(made), str(site), "3.13"])
    script.main(["", str(site), "3.13", "--record"])
    programs = sorted(path.name for path in (tmp_path / "Scripts").iterdir())
    assert programs == ["pip.exe", "pip3.13.exe", "pip3.exe"]
    assert "../../Scripts/pip.exe,sha256=" in (site / "pip-1.0.dist-info/RECORD").read_text()
    data = (tmp_path / "Scripts/pip.exe").read_bytes()
    assert data.startswith(b"launcher#!<launcher_dir>\\..\\python.exe\nPK")
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        assert packed.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)
        compile(packed.read("__main__.py"), "__main__.py", "exec")


def test_the_install_manager_is_told_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "facts.json").write_text(json.dumps({"version": "3.13.15", "arch": "x86_64"}))
    load("install_json").main([str(tmp_path / "facts.json"), str(tmp_path / "out.json")])
    told = json.loads((tmp_path / "out.json").read_text())
    assert (told["schema"], told["id"], told["tag"], told["sort-version"]) == (1, "freestanding-3.13-64", "3.13-64", "3.13.15")
    assert told["install-for"] == ["3.13.15-64", "3.13-64", "3-64"]
    assert {run["target"] for run in told["run-for"]} == {"python.exe", "pythonw.exe"}
    [registered] = told["shortcuts"]
    assert registered["Key"] == r"freestanding\3.13-64"


CONFIG_C = """
extern PyObject* PyInit_array(void);
struct _inittab _PyImport_Inittab[] = {
    {"array", PyInit_array},
    {"sys", NULL},
    {0, 0}
};
"""


def test_pythons_description_for_windows(tmp_path: Path) -> None:
    links = [{"name": "x", "path_dynamic": "install/DLLs/x.dll"}]
    module = {"links": links, "licenses": ["MIT"], "license_paths": ["licenses/LICENSE.x.txt"]}
    facts = {
        **{"minor": "3.13", "version": "3.13.15", "abiflags": "", "triple": "x86_64-pc-windows-gnu", "options": "noopt"},
        **{"platform_tag": "win-amd64", "modules": {"_x": {**module, "test": False}}, "test_packages": ["test"]},
    }
    files = ["install/python.exe", "install/python313.dll", "install/DLLs/_x.pyd", "install/DLLs/x.dll", "build/run_tests.py"]
    files += ["licenses/LICENSE.x.txt", "licenses/LICENSE.cpython.txt"]
    tree(tmp_path / "python", dict.fromkeys(files, ""))
    (tmp_path / "facts.json").write_text(json.dumps(facts))
    (tmp_path / "config.c").write_text(CONFIG_C)
    argv = [str(tmp_path / name) for name in ("python", "facts.json", "config.c", "PYTHON.json")]
    load("python_json_windows").main(argv)
    told = json.loads((tmp_path / "PYTHON.json").read_text())
    assert told["python_suffixes"]["extension"] == [".cp313-win_amd64.pyd", ".pyd"]
    assert told["python_paths"]["stdlib"] == "install/Lib" and told["python_paths"]["include"] == "install/include"
    [entry] = told["build_info"]["extensions"]["_x"]
    assert (entry["shared_lib"], entry["init_fn"], entry["licenses"]) == ("install/DLLs/_x.pyd", "PyInit__x", ["MIT"])
    assert told["build_info"]["extensions"]["sys"][0]["init_fn"] is None
    (tmp_path / "python/install/DLLs/x.dll").unlink()
    with pytest.raises(FileNotFoundError, match=r"install/DLLs/x\.dll"):
        load("python_json_windows").main(argv)
