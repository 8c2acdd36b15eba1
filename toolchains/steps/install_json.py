"""__install__.json of a distribution for Windows, as the Python install manager reads it (PEP 773): install_json.py FACTS OUT.

FACTS is {"version": "3.13.15", "arch": "x86_64"}. Schema 1, as PC/layout/support/pymanager.py writes it. The company (PEP 514) is our own:
what is installed never takes the place of python.org's Python.
"""

import json
import sys
from pathlib import Path
from typing import Any

COMPANY = "freestanding"
SYSTEM = {"x86_64": ("-64", "64bit"), "i686": ("-32", "32bit"), "aarch64": ("-arm64", "64bit")}
"""Architecture -> end of its tags, and PEP 514's SysArchitecture."""
PROGRAMS = ({"target": "python.exe"}, {"target": "pythonw.exe", "windowed": 1})


def describe(version: str, arch: str) -> dict[str, Any]:
    """The whole file."""
    end, bits = SYSTEM[arch]
    minor = ".".join(version.split(".")[:2])
    tags = [f"{version}{end}", f"{minor}{end}", f"{minor.partition('.')[0]}{end}"]
    name = f"Python {version} ({COMPANY})"
    return {
        "schema": 1,
        "id": f"{COMPANY}-{minor}{end}",
        "sort-version": version,
        "company": COMPANY,
        "tag": f"{minor}{end}",
        "install-for": tags,
        "run-for": [{**program, "tag": tag} for program in PROGRAMS for tag in tags],
        # python3.13.exe and the like stay python.org's
        "alias": [],
        "shortcuts": [_registered(version, minor, bits, f"{minor}{end}", name)],
        "display-name": name,
        "executable": r".\python.exe",
    }


def _registered(version: str, minor: str, bits: str, tag: str, name: str) -> dict[str, Any]:
    """PEP 514's keys."""
    places = {"_": "%PREFIX%", "ExecutablePath": "%PREFIX%python.exe", "WindowedExecutablePath": "%PREFIX%pythonw.exe"}
    return {
        "kind": "pep514",
        "Key": rf"{COMPANY}\{tag}",
        "DisplayName": name,
        "SysArchitecture": bits,
        "SysVersion": minor,
        "Version": version,
        "InstallPath": places,
    }


def main(argv: list[str]) -> None:
    Path(argv[1]).write_text(json.dumps(describe(**json.loads(Path(argv[0]).read_text())), indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
