"""An MSI of a distribution, for one user, without questions: msi.py TREE TRIPLE OUT. WIXL and MSIBUILD name the programs that write it.

The same tree (its files' times stand in the cabinet) and the same msitools give the same bytes. Codes are UUIDs of names (version 5): the
product's of all that is inside, a component's of its path, so that it is the same in every version; the upgrade's of target, company and
minor version, so that each distribution replaces any other of its own. What wixl takes from the clock and at random is written anew.
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
import pe_version

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
PREVIOUS = "PREVIOUSDIR"
"""The property that has the folder of an earlier installation."""
AFTER_SEARCH = "51"
"""Number of the action that follows AppSearch (50). Told by After, wixl 0.101 puts it at the end, and RemoveExistingProducts with it."""
FEATURE = "Python"
WHOLE, PART = 8 | 16, 2 | 8 | 16
"""Attributes of the feature and of its parts: 2 as the parent, 8 never advertised, 16 nobody leaves it out. wixl 0.101 writes none."""
PER_FEATURE = 1000
"""Components of a feature. Windows Installer takes 1,600 at most (ICE47)."""
REINSTALL = "amus"
"""All files are written: an upgrade decides which while the old product's lie there, and these are removed before it writes."""
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
        self.own_key = f"Software\\{self.install['company']}\\{self.install['id']}"
        """In the registry; the install manager leaves it alone. At PEP 514's place the folder of one that it installed may stand."""
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
        self._previous(product)
        ET.SubElement(product, "Media", Id="1", Cabinet="python.cab", EmbedCab="yes")
        for name, value in (("ARPNOMODIFY", "1"), ("REINSTALLMODE", REINSTALL)):
            ET.SubElement(product, "Property", Id=name, Value=value)
        top = ET.SubElement(product, "Directory", Id="TARGETDIR", Name="SourceDir")
        programs = ET.SubElement(ET.SubElement(top, "Directory", Id="LocalAppDataFolder"), "Directory", Id="Programs", Name="Programs")
        folder = ET.SubElement(programs, "Directory", Id=FOLDER, Name=both_names(install["id"]))
        self._folders(folder)
        self._registry(folder)
        self._features(product)
        # of all that is in it: two that differ in what they register are two products, of which the one replaces the other
        described = hashlib.sha256(ET.tostring(root)).hexdigest()
        product.set("Id", code("product", self.identity, described, content(self.tree, self.files)))
        return root

    def _features(self, product: ET.Element) -> None:
        """One, whose parts are nobody's choice: each holds as many components as there may be."""
        feature = ET.SubElement(product, "Feature", Id=FEATURE, Title=self.install["display-name"], Level="1")
        for number, start in enumerate(range(0, len(self.components), PER_FEATURE), 1):
            part = ET.SubElement(feature, "Feature", Id=f"{FEATURE}{number}", Display="hidden", Level="1")
            for name in self.components[start : start + PER_FEATURE]:
                ET.SubElement(part, "ComponentRef", Id=name)

    def _previous(self, product: ET.Element) -> None:
        """It goes where an earlier one is, unless INSTALLDIR is given: AppSearch would replace even that, so it sets another property."""
        found = ET.SubElement(product, "Property", Id=PREVIOUS)
        place = {"Root": "HKCU", "Key": self.own_key, "Name": FOLDER, "Type": "directory"}
        ET.SubElement(found, "RegistrySearch", {"Id": "PreviousFolder", **place})
        # (Impersonate: else wixl 0.101 sets a bit that only deferred actions have)
        ET.SubElement(product, "CustomAction", Id="KeepFolder", Property=FOLDER, Value=f"[{PREVIOUS}]", Impersonate="yes")
        for name in ("InstallUISequence", "InstallExecuteSequence"):
            action = ET.SubElement(self._sequence(product, name), "Custom", Action="KeepFolder", Sequence=AFTER_SEARCH)
            action.text = f"{PREVIOUS} AND NOT {FOLDER}"

    def _sequence(self, product: ET.Element, name: str) -> ET.Element:
        found = product.find(name)
        return ET.SubElement(product, name) if found is None else found

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
        sequence = self._sequence(product, "InstallExecuteSequence")
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
        """What the install manager would register (PEP 514), and the folder for the next version's installer."""
        component = self._component(folder, "registration", "registration")
        own = {"Root": "HKCU", "Key": self.own_key, "Name": FOLDER, "Type": "string", "Value": f"[{FOLDER}]"}
        ET.SubElement(component, "RegistryValue", own)
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


def versions(tree: Path, files: list[str]) -> dict[str, tuple[str, str]]:
    """Version and languages of the files that have one. Raises ValueError."""
    found = {}
    for name in files:
        try:
            version = pe_version.version((tree / name).read_bytes())
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        if version is not None:
            found[name] = version
    return found


def complete(msi: Path, found: dict[str, tuple[str, str]]) -> None:
    """Have msibuild write what wixl does not: attributes of features, versions and languages of files. Raises CalledProcessError."""
    queries = [
        f"UPDATE `Feature` SET `Attributes` = {WHOLE}",
        f"UPDATE `Feature` SET `Attributes` = {PART} WHERE `Feature_Parent` = '{FEATURE}'",
    ]
    for name, (version, language) in found.items():
        key = identifier("f", name)
        queries.append(f"UPDATE `File` SET `Version` = '{version}', `Language` = '{language}' WHERE `File` = '{key}'")
        # hashes are for files without a version
        queries.append(f"DELETE FROM `MsiFileHash` WHERE `File_` = '{key}'")
    subprocess.run([os.environ["MSIBUILD"], str(msi), "-q", *queries], check=True)


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
    author = Author(tree, triple)
    document = author.document()
    arch = triple.partition("-")[0]
    write(document, tree, ARCHITECTURE[arch], out)
    complete(out, versions(tree, author.files))
    package = code("package", hashlib.sha256(ET.tostring(document)).hexdigest())
    out.write_bytes(fixed(out.read_bytes(), arch, package, int(os.environ["SOURCE_DATE_EPOCH"])))
    print(f"{out.name}: {out.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
