"""__install__.json of a distribution for Windows, as the Python install manager reads it (PEP 773): install_json.py FACTS OUT.

FACTS is {"version": "3.13.15", "arch": "x86_64", "abiflags": "t", "programs": ["python3.13t.exe", "pythonw3.13t.exe"]}. Schema 1, as
PC/layout/support/pymanager.py writes it. The company (PEP 514) is our own:
what is installed never takes the place of python.org's Python.
"""

import json
import sys
from pathlib import Path
from typing import Any

COMPANY = "freestanding"
SYSTEM = {"x86_64": ("-64", "64bit"), "i686": ("-32", "32bit"), "aarch64": ("-arm64", "64bit")}
"""Architecture -> end of its tags, and PEP 514's SysArchitecture."""
KINDS = {"t": "free-threaded", "d": "debug"}
"""Letters of the ABI, which stand in tags as python.org's `t` does, and what people read."""


def describe(version: str, arch: str, abiflags: str, programs: list[str]) -> dict[str, Any]:
    """The whole file; `programs`: with a console, and without."""
    end, bits = SYSTEM[arch]
    end = abiflags + end
    minor = ".".join(version.split(".")[:2])
    tags = [f"{version}{end}", f"{minor}{end}", f"{minor.partition('.')[0]}{end}"]
    name = f"Python {version} ({', '.join([COMPANY, *(KINDS[letter] for letter in abiflags)])})"
    started: list[dict[str, Any]] = [{"target": programs[0]}, {"target": programs[1], "windowed": 1}]
    return {
        "schema": 1,
        "id": f"{COMPANY}-{minor}{end}",
        "sort-version": version,
        "company": COMPANY,
        "tag": f"{minor}{end}",
        "install-for": tags,
        "run-for": [{**program, "tag": tag} for program in started for tag in tags],
        # python3.13.exe and the like stay python.org's
        "alias": [],
        "shortcuts": [_registered(version, f"{minor}{end}", bits, name, programs)],
        "display-name": name,
        "executable": rf".\{programs[0]}",
    }


def _registered(version: str, tag: str, bits: str, name: str, programs: list[str]) -> dict[str, Any]:
    """PEP 514's keys."""
    places = {"_": "%PREFIX%", "ExecutablePath": f"%PREFIX%{programs[0]}", "WindowedExecutablePath": f"%PREFIX%{programs[1]}"}
    return {
        "kind": "pep514",
        "Key": rf"{COMPANY}\{tag}",
        "DisplayName": name,
        "SysArchitecture": bits,
        "SysVersion": ".".join(version.split(".")[:2]),
        "Version": version,
        "InstallPath": places,
    }


def main(argv: list[str]) -> None:
    Path(argv[1]).write_text(json.dumps(describe(**json.loads(Path(argv[0]).read_text())), indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
