"""A build farm in this process: a REAPI server of tests/remotes.py that executes actions, and misbehaves as a test wants it to.

Its workers stage the input root as servers do, with times of now, and run the Command there (`hand`), or play it (`play`).
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from graph.digest import Digest
from graph.node import Step
from graph.sandbox import Job, Mount
from tests.fakes import CatRunner
from tests.remotes import PB, Api

OK, RESPONSE = 0, "type.googleapis.com/build.bazel.remote.execution.v2.ExecuteResponse"


@dataclass(frozen=True)
class Printed:
    """How a command ended."""

    status: int
    stdout: bytes
    stderr: bytes


def hand(root: Path, command: Any) -> Printed:
    """A worker as they are: the Command as it stands, in a folder that is anywhere."""
    env = {one.name: one.value for one in command.environment_variables}
    done = subprocess.run(list(command.arguments), cwd=root, env=env, capture_output=True, check=False)
    return Printed(done.returncode, done.stdout, done.stderr)


def play(root: Path, command: Any) -> Printed:
    """A worker for the small world of tests/fakes.py, whose one program is no program."""
    spec = json.loads((root / "spec.json").read_text())
    build, mounts = root / "build", []
    for name in ("work", "tmp", "out"):
        (build / name).mkdir(parents=True)
    for number, given in enumerate(spec["inputs"]):
        mounts.append(Mount(root / f"given/{number}", given["at"]))
    job = Job(build, tuple(mounts), tuple(Step(tuple(argv), cwd) for argv, cwd in spec["steps"]), (), (), root / "log")
    outcome = CatRunner().run(job)
    if outcome.status == 0:
        (build / spec["output"]).rename(root / "out")
    report = f"staged 0.5\nstep {outcome.failed_step or 0}\ndone {outcome.status}\n"
    return Printed(1 if outcome.status else 0, job.log.read_bytes(), report.encode())


class FarmApi(Api):
    """`worker` runs commands; `answer`, given the ExecuteResponse, may change it; `breaks` is how many streams break off."""

    def __init__(self, worker: Callable[[Path, Any], Printed] = play, **more: Any) -> None:
        super().__init__(**more)
        self.worker = worker
        self.executes = True
        self.answer: Callable[[Any], None] = lambda response: None
        self.breaks = 0
        self.held = threading.Event()
        """Actions wait for it."""
        self.held.set()
        self.cancelled: list[str] = []
        self.sent: list[str] = []
        """Hashes of blobs that clients sent in batches."""
        self.most = 0
        """Actions that ran at once, at most."""
        self._running = 0
        self._mutex = threading.Lock()
        self._done: dict[str, Any] = {}

    def capabilities(self, request: Any, context: Any) -> Any:
        found = super().capabilities(request, context)
        found.execution_capabilities.exec_enabled = self.executes
        return found

    def batch_update(self, request: Any, context: Any) -> Any:
        self.sent += [one.digest.hash for one in request.requests]
        return super().batch_update(request, context)

    def execute(self, request: Any, context: Any) -> Iterator[Any]:
        name = f"operations/{len(self._done)}-{request.action_digest.hash[:8]}"
        if not request.skip_cache_lookup or not PB.Action.FromString(self.kept.blobs[request.action_digest.hash]).do_not_cache:
            self.kept.wrong.append("the result of an action could be an older one's")
        self._done[name] = None
        with self._mutex:
            self._running += 1
            self.most = max(self.most, self._running)
        yield PB.Operation(name=name)
        self.held.wait(30)
        self._done[name] = self._response(request.action_digest)
        with self._mutex:
            self._running -= 1
        if self.breaks:
            self.breaks -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "the connection went")
        yield self._operation(name)

    def wait_execution(self, request: Any, context: Any) -> Iterator[Any]:
        if request.name not in self._done:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such operation")
        if self.breaks:
            self.breaks -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "the connection went again")
        yield self._operation(request.name)

    def cancel(self, request: Any, context: Any) -> Any:
        self.cancelled.append(request.name)
        self.held.set()
        return PB.Empty()

    def table(self) -> list[tuple[str, str, Any, Callable[[Any, Any], Any], Any]]:
        execution, out = "build.bazel.remote.execution.v2.Execution", grpc.unary_stream_rpc_method_handler
        return [
            *super().table(),
            (execution, "Execute", out, self.execute, PB.ExecuteRequest),
            (execution, "WaitExecution", out, self.wait_execution, PB.WaitExecutionRequest),
            (
                "google.longrunning.Operations",
                "CancelOperation",
                grpc.unary_unary_rpc_method_handler,
                self.cancel,
                PB.CancelOperationRequest,
            ),
        ]

    def _operation(self, name: str) -> Any:
        packed = PB.Any(type_url=RESPONSE, value=self._done[name].SerializeToString())
        return PB.Operation(name=name, done=True, response=packed)

    def _response(self, digest: Any) -> Any:
        response = PB.ExecuteResponse(status=PB.Status(code=OK))
        try:
            self._run(digest.hash, response)
        except KeyError as error:
            response.status.code, response.status.message = 9, f"blob {error} is missing"
        self.answer(response)
        return response

    def _run(self, action: str, response: Any) -> None:
        found = PB.Action.FromString(self.kept.blobs[action])
        command = PB.Command.FromString(self.kept.blobs[found.command_digest.hash])
        with tempfile.TemporaryDirectory(prefix="worker-") as folder:
            times = response.result.execution_metadata
            root = Path(folder, "deep", "in a folder")
            times.worker_start_timestamp.seconds = int(time.time())
            self.stage(found.input_root_digest, root)
            printed = self.worker(root, command)
            result = response.result
            result.exit_code = printed.status
            result.stderr_raw = printed.stderr
            result.stdout_digest.CopyFrom(self._keep(printed.stdout))
            result.execution_metadata.worker = "worker 7"
            for path in command.output_paths:
                if (root / path).is_dir():
                    tree = self._tree(root / path)
                    result.output_directories.add(path=path, tree_digest=self._keep(tree.SerializeToString(deterministic=True)))

    def stage(self, digest: Any, folder: Path) -> None:
        """A tree as a folder."""
        folder.mkdir(parents=True)
        found = PB.Directory.FromString(self.kept.blobs[digest.hash])
        for file in found.files:
            (folder / file.name).write_bytes(self.kept.blobs[file.digest.hash])
            (folder / file.name).chmod(0o755 if file.is_executable else 0o644)
        for below in found.directories:
            self.stage(below.digest, folder / below.name)
        for link in found.symlinks:
            (folder / link.name).symlink_to(link.target)

    def _keep(self, data: bytes) -> Any:
        digest = Digest.of(data)
        self.kept.blobs[digest.hash] = data
        return PB.Digest(hash=digest.hash, size_bytes=digest.size)

    def _tree(self, folder: Path) -> Any:
        tree = PB.Tree()
        tree.root.CopyFrom(self._folder(folder, tree))
        return tree

    def _folder(self, folder: Path, tree: Any) -> Any:
        made = PB.Directory()
        for path in sorted(folder.iterdir(), key=lambda one: one.name.encode()):
            if path.is_symlink():
                made.symlinks.add(name=path.name, target=os.readlink(path))  # noqa: PTH115
            elif path.is_dir():
                below = self._folder(path, tree)
                tree.children.append(below)
                made.directories.add(name=path.name, digest=self._keep(below.SerializeToString(deterministic=True)))
            else:
                execute = bool(path.stat().st_mode & 0o100)
                made.files.add(name=path.name, digest=self._keep(path.read_bytes()), is_executable=execute)
        return made
