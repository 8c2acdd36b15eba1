"""`--vcruntime DIR`: Microsoft's C and C++ run time in Windows distributions, for who has a licence. The DLLs here are our own."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path

import pytest
from doit.cmd_base import ModuleTaskLoader

from graph.commands import Run
from graph.errors import UsageError
from graph.local import refuse_idle
from graph.lock import VCRUNTIME
from graph.matrix import parse_cell
from graph.node import Run as Steps
from graph.session import Session
from graph.vcruntime import NAMES
from tests.fake_pe import PE
from tests.mini import Checkout
from tests.test_steps import load

ROOT = Path(__file__).resolve().parent.parent
SESSION = Session(ROOT, {})
CELL = parse_cell("x86_64-pc-windows-gnu", SESSION.matrix)
DLL = (PE / "vcruntime.dll").read_bytes()


def bring(folder: Path, **files: bytes) -> Path:
    """A folder with vcruntime140.dll, and DLLs of these names and bytes."""
    folder.mkdir()
    for name, data in {"vcruntime140": DLL, **files}.items():
        (folder / f"{name}.dll").write_bytes(data)
    return folder


def given(folder: Path) -> Session:
    """As typed, with a store beside the folder."""
    return Session(ROOT, {"FREESTANDING_VCRUNTIME": str(folder), "FREESTANDING_STORE": str(folder.parent / "store")})


def test_dlls_of_the_run_time_become_a_source(tmp_path: Path) -> None:
    folder = bring(tmp_path / "crt", msvcp140d=DLL, python313=DLL, vccorlib140=DLL, MSVCP140_1=DLL, Concrt140=b"")
    (folder / "Concrt140.dll").unlink()
    (folder / "Concrt140.dll").symlink_to("MSVCP140_1.dll")
    (folder / "vcruntime140_1.dll").mkdir()
    session = given(folder)
    source = session.lock.sources[VCRUNTIME]
    assert (source.version, source.ways) == ("14.42.34433.7", ())
    assert source.licence.startswith("LicenseRef-")
    with tarfile.open(tmp_path / "store/local" / source.filename) as tar:
        found = {member.name: (member.isreg(), member.mode) for member in tar}
    assert found == {f"vcruntime/{name}.dll": (True, 0o755) for name in ("concrt140", "msvcp140_1", "vcruntime140")}
    # nothing of it leaves this machine
    assert not any(session._may_leave(name) for name in ("fetch:vcruntime", f"dist:{CELL}"))
    assert session._may_leave(f"core:{CELL}")


def test_case_modes_and_place_of_the_files_do_not_matter(tmp_path: Path) -> None:
    one, other = bring(tmp_path / "one", msvcp140=DLL), bring(tmp_path / "other", MSVCP140=DLL)
    (other / "vcruntime140.dll").rename(other / "VCRUNTIME140.DLL")
    (other / "VCRUNTIME140.DLL").chmod(0o400)
    assert given(one).lock.sources[VCRUNTIME].sha256 == given(other).lock.sources[VCRUNTIME].sha256
    (other / "MSVCP140.dll").write_bytes(DLL + b"\0")
    assert given(one).lock.sources[VCRUNTIME].sha256 != given(other).lock.sources[VCRUNTIME].sha256


def for_machine(number: int) -> bytes:
    """The DLL, said to be for another machine."""
    other = bytearray(DLL)
    at = int.from_bytes(other[0x3C:0x40], "little") + 4
    other[at : at + 2] = number.to_bytes(2, "little")
    return bytes(other)


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({"vcruntime140": for_machine(0x1C4)}, "vcruntime140.dll is for ARMNT, not aarch64 or i686 or x86_64"),
        ({"msvcp140": (PE / "arm64.exe").read_bytes()}, "msvcp140.dll is for aarch64, not x86_64"),
        ({"vcruntime140": b"MZ"}, "vcruntime140.dll is no DLL"),
        ({"vcruntime140": (PE / "own.dll").read_bytes()}, "vcruntime140.dll says no version of itself"),
        ({"VCRUNTIME140": DLL}, "crt has both VCRUNTIME140.dll and vcruntime140.dll"),
    ],
)
def test_dlls_that_cannot_serve_are_refused(tmp_path: Path, files: dict[str, bytes], what: str) -> None:
    with pytest.raises(UsageError, match=re.escape(what)) as caught:
        assert given(bring(tmp_path / "crt", **files)).plan
    assert caught.value.place == "--vcruntime" and "Microsoft.VC143.CRT" in caught.value.hint


@pytest.mark.parametrize(("name", "what"), [("crt", "crt has no vcruntime140.dll"), ("gone", "gone is no folder"), ("x", "x is no folder")])
def test_a_place_without_them_is_refused(tmp_path: Path, name: str, what: str) -> None:
    (bring(tmp_path / "crt", msvcp140=DLL) / "vcruntime140.dll").rename(tmp_path / "x")
    with pytest.raises(UsageError, match=re.escape(f"{tmp_path}/{what}")):
        assert given(tmp_path / name).lock


def test_windows_distributions_alone_change(tmp_path: Path) -> None:
    session = given(bring(tmp_path / "crt"))
    old, new = SESSION.plan.nodes, session.plan.nodes
    changed = {name for name in new if new[name] != old.get(name)}
    assert not old.keys() - new.keys()
    fetched, source = "fetch:vcruntime", "source:vcruntime"
    cells = [cell for cell in SESSION.cells if cell.target == CELL.target]
    assert len(cells) > 1
    flavours = ("full", "install_only", "install_only_stripped")
    dist = {f"archive:{cell}:{flavour}" for cell in cells for flavour in flavours}
    dist |= {f"{kind}:{cell}" for cell in cells for kind in ("dist", "zip", "msi")}
    trees = {f"assemble:{cell}:{variant}" for cell in cells for variant in ("full", "stripped")}
    described = {name for cell in cells for name in (f"licences:{cell.abi}", f"metadata:{cell}")}
    assert changed == {fetched, source, *described, *trees, *dist}
    assert {name for name in trees | dist if source in {one.node for one in new[name].inputs}} == trees


def test_those_of_another_machine_go_to_its_distributions(tmp_path: Path) -> None:
    arm = parse_cell("aarch64-pc-windows-gnu", SESSION.matrix)
    session = given(bring(tmp_path / "crt", vcruntime140=for_machine(0xAA64)))
    changed = {name for name, node in session.plan.nodes.items() if node != SESSION.plan.nodes.get(name)}
    assert f"dist:{arm}" in changed and not [name for name in changed if str(CELL.target) in name]
    assert (session.lock.vcruntime(arm.target) is not None, session.lock.vcruntime(CELL.target)) == (True, None)


ARM, NARROW = "aarch64-pc-windows-gnu", "i686-pc-windows-gnu"


@pytest.fixture(scope="module")
def brought(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return given(bring(tmp_path_factory.mktemp("brought") / "crt"))


@pytest.mark.parametrize(
    "typed",
    [
        (f"dist:{ARM}",),
        (f"check:{NARROW}", "dist:linux"),
        (f"zip:{ARM}", f"msi:{NARROW}"),
        ("dist:x86_64-unknown-linux-gnu",),
        (f"core:{CELL}",),
    ],
)
def test_those_that_nothing_asked_for_would_hold_are_refused(brought: Session, monkeypatch: pytest.MonkeyPatch, typed: tuple[str]) -> None:
    """Typed, that is; the variable is for all commands."""
    monkeypatch.setattr("graph.commands.here", lambda: brought)
    with pytest.raises(UsageError, match="DLLs are for Windows on x86_64, and none of what was named") as caught:
        Run(task_loader=ModuleTaskLoader({})).execute({"vcruntime": brought.vcruntime, "closure": False}, [*typed])
    assert (caught.value.exit_code, caught.value.place) == (10, "--vcruntime")
    assert caught.value.hint.startswith(f"doit run --vcruntime DIR dist:{CELL.target},")
    assert ran(monkeypatch, "", *typed)


@pytest.mark.parametrize(
    "typed", [f"dist:{CELL.target}", f"check:{CELL}", "dist:windows", "dist:all", f"msi:{CELL.target}", f"assemble:{CELL}:full"]
)
def test_one_distribution_that_holds_them_is_enough(brought: Session, monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    monkeypatch.setattr("graph.commands.here", lambda: brought)
    assert ran(monkeypatch, brought.vcruntime, f"dist:{ARM}", typed)
    # where nothing is named, nothing is refused
    assert ran(monkeypatch, brought.vcruntime) == [[]]


def test_where_none_were_brought_none_are_missed() -> None:
    refuse_idle(SESSION.lock, SESSION.matrix, SESSION.plan.closure([f"dist:{SESSION.matrix.default(CELL.target)}"]))


def ran(monkeypatch: pytest.MonkeyPatch, option: str, *typed: str) -> list[list[str]]:
    """The tasks that `run` gives to doit, which does nothing here."""
    seen: list[list[str]] = []
    monkeypatch.setattr("graph.commands.DoitRun.execute", lambda command, params, args: seen.append(args))
    monkeypatch.setattr("graph.session.Session.choose", lambda session, tasks, whole: None)
    assert Run(task_loader=ModuleTaskLoader({})).execute({"vcruntime": option, "closure": False}, [*typed]) == 0
    return seen


@pytest.mark.whole
def test_as_an_option_they_must_be_of_use_and_as_a_setting_they_need_not(tmp_path: Path) -> None:
    checkout, folder = Checkout(ROOT), str(bring(tmp_path / "crt"))
    checkout.settings = {"FREESTANDING_STORE": str(tmp_path / "store"), "FREESTANDING_OFFLINE": "1", "FREESTANDING_MIRROR": ""}
    refused = checkout.doit("run", "--vcruntime", folder, "source:zlib")
    assert refused.returncode == 10 and "--vcruntime: its DLLs are for Windows on x86_64" in refused.stderr, refused.stderr
    # (offline there is no way to zlib)
    done = checkout.doit("run", "source:zlib", FREESTANDING_VCRUNTIME=folder)
    assert done.returncode == 12, done.stdout + done.stderr


def test_they_lie_beside_the_interpreter_and_archives_say_so(tmp_path: Path) -> None:
    session = given(bring(tmp_path / "crt"))
    source = session.lock.sources[VCRUNTIME]
    assemble, metadata, archive = (argvs(session, name) for name in (f"assemble:{CELL}:full", f"metadata:{CELL}", f"archive:{CELL}:full"))
    assert "/build/part/vcruntime=." in assemble
    assert metadata[metadata.index("/build/steps/add_licences.py") + 1 :][:2] == ["/build/out/PYTHON.json", source.licence]
    stem = f"cpython-{CELL.version}+{SESSION.lock.release}"
    assert f"/build/out/{stem}.vcruntime.{source.sha256[:8]}-{CELL.target}-lto-full.tar.zst" in archive
    assert any("freestanding neither has nor gives them" in file.data.decode() for file in session.plan.nodes[f"licences:{CELL.abi}"].files)


def argvs(session: Session, name: str) -> list[str]:
    action = session.plan.nodes[name].action
    assert isinstance(action, Steps)
    return [word for step in action.steps for word in step.argv]


def test_all_that_is_taken_is_named_as_microsoft_names_it() -> None:
    """In lower case, as the archive has it; the policy holds each for Microsoft's."""
    assert [name for name in NAMES if not re.fullmatch(r"(vcruntime|msvcp|concrt)140(_\w+)?\.dll", name)] == []


def test_licences_are_added_to_those_of_the_interpreter(tmp_path: Path) -> None:
    path = tmp_path / "PYTHON.json"
    path.write_text(json.dumps({"licenses": ["Python-2.0"], "version": "8"}))
    for _ in range(2):
        load("add_licences").main([str(path), "LicenseRef-A", "Python-2.0"])
    assert json.loads(path.read_text()) == {"licenses": ["Python-2.0", "LicenseRef-A"], "version": "8"}
