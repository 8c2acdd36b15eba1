"""An MSI of a distribution, for one user, without questions: msi.py TREE TRIPLE OUT. WIXL names the program that writes it.

The same tree and the same wixl give the same bytes. Codes are UUIDs of names (version 5): the product's of all that is inside, a
component's of its path, so that it is the same in every version; the upgrade's of target, company and minor version, so that each
distribution replaces any other of its own. What wixl takes from the clock and at random is written anew.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import compound_file
import members

NAMESPACE = uuid.UUID("b1e0a8a6-0f3c-4a5c-9c1b-5f3f6f0f6a52")
"""Of all codes; random, and never another."""
WIX = "http://schemas.microsoft.com/wix/2006/wi"
ARCHITECTURE = {"x86_64": "x64", "i686": "x86", "aarch64": "x64"}
"""wixl's name of it. It knows none of Arm: such an MSI is made as for x64 and says in its summary for what it is."""
LANGUAGE = "1033"
FOLDER = "INSTALLDIR"
"""The property that the user may set."""
PREFIX = "%PREFIX%"
"""What __install__.json has for the folder, in which the install manager puts it."""
PYTHON_KEY = "Software\\Python"
"""PEP 514's, in the user's own part of the registry."""
TEMPLATE, CODE, CREATED, SAVED = 7, 9, 12, 13
"""Properties of an MSI's summary: machine and language, package code, times."""
CODE_PAGE = "cp1252"
"""Of wixl's texts."""
SHORT = re.compile(r"[A-Za-z0-9_-]{1,8}(\.[A-Za-z0-9_-]{1,3})?")
"""A name that a file system of DOS could have."""


def code(*names: str) -> str:
    """The UUID of these names, as MSI has it."""
    return f"{{{uuid.uuid5(NAMESPACE, chr(10).join(names))}}}".upper()


def files_of(tree: Path) -> list[str]:
    """Paths of all files, sorted. Raises ValueError at what an MSI cannot hold."""
    found = members.files(tree)
    for name in found:
        name.encode(CODE_PAGE)
    return found


def content(tree: Path, files: list[str]) -> str:
    """A hash of all names and bytes."""
    lines = (f"{hashlib.sha256((tree / name).read_bytes()).hexdigest()} {name}\n" for name in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def identifier(kind: str, path: str) -> str:
    """A key of MSI's tables: letters and digits, at most 72."""
    return f"{kind}{uuid.uuid5(NAMESPACE, path).hex}"


def both_names(path: str) -> str:
    """The last part of the path as MSI has names: 8.3, and the long one where that is another (Filename)."""
    name = path.rpartition("/")[2]
    if SHORT.fullmatch(name):
        return name
    end = re.sub(r"[^A-Za-z0-9]", "", name.rpartition(".")[2] if "." in name else "")[:3]
    short = f"{uuid.uuid5(NAMESPACE, path).hex[:8]}{'.' if end else ''}{end}".upper()
    return f"{short}|{name}"


class Author:
    """Writes the description that wixl reads."""

    def __init__(self, tree: Path, triple: str) -> None:
        self.tree = tree
        self.files = files_of(tree)
        self.install: dict[str, Any] = json.loads((tree / "__install__.json").read_text(encoding="utf-8"))
        self.wide = not triple.startswith("i686")
        self.identity = f"{triple} {self.install['id']}"
        self.components: list[str] = []

    def document(self) -> ET.Element:
        """The whole."""
        install, version = self.install, self.install["sort-version"]
        root = ET.Element("Wix", xmlns=WIX)
        product = ET.SubElement(
            root,
            "Product",
            Name=install["display-name"],
            Manufacturer=install["company"],
            Language=LANGUAGE,
            Version=version,
            UpgradeCode=code("upgrade", self.identity),
        )
        ET.SubElement(product, "Package", InstallerVersion="500", Compressed="yes", InstallScope="perUser")
        self._upgrade(product, version)
        ET.SubElement(product, "Media", Id="1", Cabinet="python.cab", EmbedCab="yes")
        ET.SubElement(product, "Property", Id="ARPNOMODIFY", Value="1")
        top = ET.SubElement(product, "Directory", Id="TARGETDIR", Name="SourceDir")
        programs = ET.SubElement(ET.SubElement(top, "Directory", Id="LocalAppDataFolder"), "Directory", Id="Programs", Name="Programs")
        folder = ET.SubElement(programs, "Directory", Id=FOLDER, Name=both_names(install["id"]))
        self._folders(folder)
        self._registry(folder)
        feature = ET.SubElement(product, "Feature", Id="Python", Title=install["display-name"], Level="1")
        for name in self.components:
            ET.SubElement(feature, "ComponentRef", Id=name)
        # of all that is in it: two that differ in what they register are two products, of which the one replaces the other
        described = hashlib.sha256(ET.tostring(root)).hexdigest()
        product.set("Id", code("product", self.identity, described, content(self.tree, self.files)))
        return root

    def _upgrade(self, product: ET.Element, version: str) -> None:
        """Any other of the same minor version, this one too, is removed first; a newer one stays, and this one is not installed."""
        upgrade = ET.SubElement(product, "Upgrade", Id=code("upgrade", self.identity))
        *first, last = version.split(".")
        # (wixl takes no maximum that is meant itself)
        following = ".".join((*first, str(int(last) + 1)))
        older = {"Property": "OLDER", "Minimum": "0.0.0", "IncludeMinimum": "yes", "Maximum": following, "OnlyDetect": "no"}
        newer = {"Property": "NEWER", "Minimum": following, "IncludeMinimum": "yes", "OnlyDetect": "yes"}
        for one in (older, newer):
            ET.SubElement(upgrade, "UpgradeVersion", one)
        condition = ET.SubElement(product, "Condition", Message=f"A newer version of {self.install['display-name']} is installed.")
        condition.text = "NOT NEWER"
        sequence = ET.SubElement(product, "InstallExecuteSequence")
        ET.SubElement(sequence, "RemoveExistingProducts", After="InstallInitialize")

    def _folders(self, top: ET.Element) -> None:
        """A component for each file, in the folder that it goes to."""
        folders = {"": top}
        for path in self.files:
            parent = self._folder(folders, path.rpartition("/")[0])
            component = self._component(parent, identifier("c", path), path)
            ET.SubElement(component, "File", Id=identifier("f", path), Name=both_names(path), Source=path, KeyPath="yes")

    def _folder(self, folders: dict[str, ET.Element], path: str) -> ET.Element:
        if path not in folders:
            parent = self._folder(folders, path.rpartition("/")[0])
            folders[path] = ET.SubElement(parent, "Directory", Id=identifier("d", path), Name=both_names(path))
        return folders[path]

    def _component(self, parent: ET.Element, name: str, what: str) -> ET.Element:
        self.components.append(name)
        return ET.SubElement(parent, "Component", Id=name, Win64="yes" if self.wide else "no", Guid=code("component", self.identity, what))

    def _registry(self, folder: ET.Element) -> None:
        """What the install manager would register (PEP 514)."""
        component = self._component(folder, "registration", "registration")
        for shortcut in self.install["shortcuts"]:
            if shortcut["kind"] == "pep514":
                values = {name: value for name, value in shortcut.items() if name not in ("kind", "Key")}
                for key, name, text in registered(f"{PYTHON_KEY}\\{shortcut['Key']}", values):
                    named = {"Name": name} if name else {}
                    ET.SubElement(component, "RegistryValue", {"Root": "HKCU", "Key": key, "Type": "string", "Value": text, **named})


def registered(key: str, values: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(key, name, text) of all values; the default one has no name."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from registered(f"{key}\\{name}", value)
        else:
            yield key, "" if name == "_" else name, str(value).replace(PREFIX, f"[{FOLDER}]")


def write(document: ET.Element, tree: Path, arch: str, out: Path) -> None:
    """Have wixl write it, in the tree, where it finds the files. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "python.wxs")
        ET.ElementTree(document).write(source, "utf-8", xml_declaration=True)
        subprocess.run([os.environ["WIXL"], "--arch", arch, "--output", str(out.absolute()), str(source)], cwd=tree, check=True)


def fixed(data: bytes, arch: str, package: str, epoch: int) -> bytes:
    """The MSI with machine, this package code and time in its summary, and no other time anywhere."""
    file = compound_file.CompoundFile(data)
    summary = file.read(compound_file.SUMMARY)
    values: dict[int, str | int] = {CODE: package, CREATED: epoch, SAVED: epoch}
    if arch == "aarch64":
        values[TEMPLATE] = f"Arm64;{LANGUAGE}"
    file.write(compound_file.SUMMARY, compound_file.changed(summary, values))
    file.without_times()
    return bytes(file.data)


def main(argv: list[str]) -> None:
    tree, triple, out = Path(argv[0]), argv[1], Path(argv[2])
    out.parent.mkdir(parents=True, exist_ok=True)
    document = Author(tree, triple).document()
    arch = triple.partition("-")[0]
    write(document, tree, ARCHITECTURE[arch], out)
    package = code("package", hashlib.sha256(ET.tostring(document)).hexdigest())
    out.write_bytes(fixed(out.read_bytes(), arch, package, int(os.environ["SOURCE_DATE_EPOCH"])))
    print(f"{out.name}: {out.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
