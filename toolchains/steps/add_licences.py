"""Add licences to those that PYTHON.json names: add_licences.py PYTHON.json LICENCE... (SPDX, or LicenseRef-)."""

import json
import sys
from pathlib import Path


def main(argv: list[str]) -> None:
    path = Path(argv[0])
    described = json.loads(path.read_text())
    described["licenses"] += [licence for licence in argv[1:] if licence not in described["licenses"]]
    path.write_text(json.dumps(described, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
