"""A worker of BuildGrid, which has none of its own: it takes leases over the Remote Workers API and gives each to buildbox-run.

    python buildgrid_bot.py SERVER CASD NAME FOLDER PROGRAM [ARGUMENT...]

SERVER and CASD are HOST:PORT of BuildGrid and of a casd that stands before its CAS; PROGRAM is buildbox-run. Runs in BuildGrid's own
Python, as it has the messages.
"""

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import grpc
from buildgrid._protos.build.bazel.remote.execution.v2.remote_execution_pb2 import Action, ActionResult
from buildgrid._protos.google.devtools.remoteworkers.v1test2 import bots_pb2, bots_pb2_grpc

PENDING, ACTIVE, COMPLETED = 1, 2, 4
"""States of a lease (google/devtools/remoteworkers/v1test2/bots.proto)."""
OK = 1
"""State of a bot."""
SHORT = 3.5
"""Seconds; 80 % of them are less than BuildGrid's NETWORK_TIMEOUT."""
READY = "ready"
"""Printed when the server knows this worker."""
INTERNAL = 13
"""google.rpc.Code of a runner that failed."""


class Work:
    """One action, at work in a thread of its own."""

    def __init__(self, lease: Any, folder: Path, command: list[str]) -> None:
        self.lease = lease
        self._folder = folder
        self._command = command
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        action = Action()
        self.lease.payload.Unpack(action)
        given, made = self._folder / "action", self._folder / "result"
        given.write_bytes(action.SerializeToString())
        made.unlink(missing_ok=True)
        done = subprocess.run([*self._command, f"--action={given}", f"--action-result={made}"])
        result = ActionResult()
        if made.exists():
            result.ParseFromString(made.read_bytes())
        else:
            self.lease.status.code, self.lease.status.message = INTERNAL, f"the runner ended with {done.returncode}"
        result.execution_metadata.worker = self._folder.name
        self.lease.result.Pack(result)
        self.lease.state = COMPLETED


def main(server: str, casd: str, name: str, folder: Path, command: list[str]) -> None:
    """Work until killed."""
    bots = bots_pb2_grpc.BotsStub(grpc.insecure_channel(server))
    session = bots_pb2.BotSession(bot_id=name, status=OK)
    session.worker.devices.add(handle=name)
    # so short a time that the server does not keep it waiting for work
    session = bots.CreateBotSession(bots_pb2.CreateBotSessionRequest(parent="", bot_session=session), timeout=SHORT)
    print(READY, flush=True)
    at_work: dict[str, Work] = {}
    while True:
        for lease in session.leases:
            if lease.state == PENDING or (lease.state == ACTIVE and lease.id not in at_work):
                lease.state = ACTIVE
                at_work[lease.id] = Work(
                    bots_pb2.Lease.FromString(lease.SerializeToString()), folder, [*command, f"--remote=http://{casd}"]
                )
        for work in at_work.values():
            # whoever has something to tell looks again soon
            work.thread.join(1)
        for lease in session.leases:
            if lease.id in at_work and not at_work[lease.id].thread.is_alive():
                lease.CopyFrom(at_work[lease.id].lease)
        at_work = {one: work for one, work in at_work.items() if work.thread.is_alive() or one in {lease.id for lease in session.leases}}
        try:
            session = bots.UpdateBotSession(bots_pb2.UpdateBotSessionRequest(name=session.name, bot_session=session), timeout=15)
        except grpc.RpcError as error:
            print(error, flush=True)
            time.sleep(0.5)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]), sys.argv[5:])
