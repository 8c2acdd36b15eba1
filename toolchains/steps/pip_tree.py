"""pip as an installer would leave it: pip_tree.py WHEEL SITE X.Y. SITE is PREFIX/lib/pythonX.Y/site-packages; commands go to PREFIX/bin."""

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
    scripts = sorted((site.parents[2] / "bin").iterdir())
    for path in [*sorted(site.rglob("*")), *scripts]:
        if path.is_dir():
            continue
        name = f"../../../bin/{path.name}" if path in scripts else path.relative_to(site).as_posix()
        data = path.read_bytes()
        rows.append((name, "", "") if name.endswith(".pyc") else (name, digest(data), str(len(data))))
    rows.append(((info / "RECORD").relative_to(site).as_posix(), "", ""))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(sorted(rows))
    return text.getvalue()


def main(argv: list[str]) -> None:
    wheel, site, minor = Path(argv[0]), Path(argv[1]), argv[2]
    out = site.parents[2]
    if argv[3:] == ["--record"]:
        [info] = site.glob("*.dist-info")
        (info / "RECORD").write_text(record(site, info))
        return
    names = unpack(wheel, site)
    [info] = site.glob("*.dist-info")
    check_wheel(info, names, site)
    (info / "RECORD").unlink()
    (info / "INSTALLER").write_text("pip\n")
    (info / "REQUESTED").write_text("")
    (out / "bin").mkdir()
    for name in ("pip", "pip3", f"pip{minor}"):
        path = out / "bin" / name
        path.write_text(command(minor, PIP))
        path.chmod(0o755)


if __name__ == "__main__":
    main(sys.argv[1:])
