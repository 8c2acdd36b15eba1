"""pip as an installer would leave it: pip_tree.py WHEEL SITE X.Y [LAUNCHER]; and its RECORD anew: pip_tree.py WHEEL SITE X.Y --record.

SITE is PREFIX/lib/pythonX.Y/site-packages, and commands go to PREFIX/bin; of Windows PREFIX/Lib/site-packages, and PREFIX/Scripts.
LAUNCHER, of Windows alone, is the file of pip's distlib that pip makes commands of on the machine: t32.exe, t64.exe or t64-arm.exe.
"""

import base64
import csv
import hashlib
import io
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

from start import command

PIP = """\
import sys
from pip._internal.cli.main import main
if __name__ == "__main__":
    sys.argv[0] = sys.argv[0].removesuffix(".exe")
    sys.exit(main())
"""


LAUNCHERS = "pip/_vendor/distlib"
"""What pip makes commands of, on Windows: each runs the zip file at its end by the interpreter that the line before it names."""
BESIDE = b"#!<launcher_dir>\\..\\python.exe\n"
"""Wherever the folder is moved."""


def windows(site: Path) -> bool:
    """By its folder, which has no version."""
    return site.parent.name == "Lib"


def commands(site: Path) -> Path:
    """The folder of commands."""
    return site.parents[1] / "Scripts" if windows(site) else site.parents[2] / "bin"


def program(launcher: Path) -> bytes:
    """pip.exe."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo("__main__.py"), PIP)
    return launcher.read_bytes() + BESIDE + packed.getvalue()


def unpack(wheel: Path, site: Path) -> list[str]:
    """Unpack the wheel; the names of its files. Raises ValueError on a name that leads out."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        for name in names:
            if name.startswith("/") or ".." in Path(name).parts:
                raise ValueError(f"{wheel.name} holds {name!r}")
            path = site / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(name))
    return names


def check_wheel(info: Path, names: list[str], site: Path) -> None:
    """Every file must be as RECORD says, and the wheel pure. Raises ValueError."""
    wheel = HeaderParser().parsestr((info / "WHEEL").read_text())
    if wheel["Root-Is-Purelib"] != "true":
        raise ValueError("not a pure wheel")
    recorded = {row[0]: row[1] for row in csv.reader((info / "RECORD").read_text().splitlines())}
    for name in names:
        if recorded.get(name) and recorded[name] != digest((site / name).read_bytes()):
            raise ValueError(f"{name} is not as RECORD says")


def digest(data: bytes) -> str:
    """sha256 as RECORD spells it."""
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def record(site: Path, info: Path) -> str:
    """RECORD of all that lies in `site` and of the commands; a pyc has no hash, for it may be made anew."""
    rows: list[tuple[str, str, str]] = []
    scripts = sorted(commands(site).iterdir())
    above = "../.." if windows(site) else "../../.."
    for path in [*sorted(site.rglob("*")), *scripts]:
        if path.is_dir():
            continue
        name = f"{above}/{path.parent.name}/{path.name}" if path in scripts else path.relative_to(site).as_posix()
        data = path.read_bytes()
        rows.append((name, "", "") if name.endswith(".pyc") else (name, digest(data), str(len(data))))
    rows.append(((info / "RECORD").relative_to(site).as_posix(), "", ""))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(sorted(rows))
    return text.getvalue()


def main(argv: list[str]) -> None:
    wheel, site, minor, more = Path(argv[0]), Path(argv[1]), argv[2], argv[3:]
    folder = commands(site)
    if more == ["--record"]:
        [info] = site.glob("*.dist-info")
        (info / "RECORD").write_text(record(site, info))
        return
    names = unpack(wheel, site)
    [info] = site.glob("*.dist-info")
    check_wheel(info, names, site)
    (info / "RECORD").unlink()
    (info / "INSTALLER").write_text("pip\n")
    (info / "REQUESTED").write_text("")
    folder.mkdir()
    data = program(site / LAUNCHERS / more[0]) if windows(site) else command(minor, PIP).encode()
    for name in ("pip", "pip3", f"pip{minor}"):
        path = folder / (f"{name}.exe" if windows(site) else name)
        path.write_bytes(data)
        path.chmod(0o755)


if __name__ == "__main__":
    main(sys.argv[1:])
