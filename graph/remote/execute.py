"""The Execution service of the Remote Execution API v2 over gRPC: an Action goes to a farm, and is waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from graph import reapi
from graph.digest import Digest
from graph.reapi import Executed, Operation
from graph.remote.base import Fault, Moved, Remote, Watch
from graph.remote.guard import PAUSES
from graph.remote.rpc import REAPI, RpcRemote
from graph.remote.settings import Settings

OPERATIONS = "/google.longrunning.Operations/"
CANCEL_SECONDS = 2.0
"""For all cancels together, after Ctrl-C."""
LASTED = 10.0
"""Seconds after which a connection that breaks had been a good one: servers and what is before them end long streams."""
MISSING = 9
"""FAILED_PRECONDITION: an input is not there any more."""
KINDS = {3: "wrong", 4: "wrong", 5: "closed", 7: "closed", 12: "closed", 16: "closed"}
"""google.rpc.Code of an action that did not run -> kind of fault; of any other: transient."""
REASONS = {4: "an action took longer than the farm allows", 8: "the farm's queue is full", MISSING: "the farm lost an input of an action"}


class Executor(Remote, Protocol):
    """A remote store with workers. execute() and cancel() may be called from many threads."""

    def execute(self, action: Digest) -> Executed:
        """Have an Action run whose blobs are there, and wait for it. Raises Fault; MissingInput if blobs are not there."""

    def cancel(self) -> None:
        """Ask that all that runs be ended, and wait for none of it."""


class MissingInput(Fault):
    """The farm no longer has a blob that it had."""

    def __init__(self, why: str) -> None:
        super().__init__("transient", why)


class RpcExecutor(RpcRemote):
    """`grpc(s)://HOST:PORT[/INSTANCE]` with an Execution service."""

    def __init__(self, settings: Settings, moved: Moved, watch: Watch) -> None:
        super().__init__(settings, moved, watch)
        self._calls: dict[Any, str] = {}
        """Running calls, with the names of their operations; empty before one is known."""
        self._calling = threading.Lock()
        self._cancelled = threading.Event()

    def execute(self, action: Digest) -> Executed:
        """See Executor."""
        if not self._can().executes:
            raise Fault("closed", "the server has no workers (its Execution service is off)")
        operation = self._follow("Execution/Execute", reapi.execute_request(self._instance, action))
        pauses = iter(PAUSES)
        while operation.name and not operation.done and (pause := next(pauses, None)) is not None:
            # the connection went, but the action may be running still
            self._cancelled.wait(pause)
            began = time.monotonic()
            operation = self._follow("Execution/WaitExecution", reapi.operation_name(operation.name), operation)
            if time.monotonic() - began > LASTED:
                pauses = iter(PAUSES)
        if not operation.done:
            raise Fault("transient", "the farm broke off while an action ran")
        return _executed(operation)

    def cancel(self) -> None:
        """See Executor."""
        self._cancelled.set()
        with self._calling:
            calls = dict(self._calls)
        asked = []
        with suppress(ValueError):
            # a channel that is closed already
            for call, name in calls.items():
                if name:
                    cancel = self._channel.unary_unary(OPERATIONS + "CancelOperation")
                    asked.append(cancel.future(reapi.operation_name(name), timeout=CANCEL_SECONDS, metadata=self._metadata))
                call.cancel()
        for one in asked:
            with suppress(self._grpc.RpcError, self._grpc.FutureCancelledError):
                one.result()

    def _follow(self, method: str, request: bytes, known: Operation | None = None) -> Operation:
        """The last that the server said of an operation; not done if the connection broke. Raises Fault when nothing is known of it."""
        operation = known or Operation("")
        try:
            with self._faults(), self._call_of(method, request) as (call, named):
                for message in call:
                    with suppress(ValueError):
                        operation = Operation.decode(message)
                    named(operation.name)
                    if operation.done:
                        break
        except Fault as fault:
            if fault.kind != "transient" or not operation.name or self._cancelled.is_set():
                raise
        return operation

    @contextmanager
    def _call_of(self, method: str, request: bytes) -> Iterator[tuple[Any, Callable[[str], None]]]:
        """A stream of operations, under cancel()'s hand, and how to tell the name of what it is about."""
        if self._cancelled.is_set():
            raise Fault("closed", "interrupted")
        call = self._channel.unary_stream(REAPI + method)(request, metadata=self._metadata)

        def named(name: str) -> None:
            with self._calling:
                self._calls[call] = name

        named("")
        try:
            yield call, named
        finally:
            with self._calling:
                self._calls.pop(call, None)


def _executed(operation: Operation) -> Executed:
    """The result of an operation that is done. Raises Fault."""
    if operation.code:
        why = REASONS.get(operation.code, f"an action was not run (code {operation.code})")
        why = f"{why}: {operation.message[:120]}" if operation.message else why
        raise MissingInput(why) if operation.code == MISSING else Fault(KINDS.get(operation.code, "transient"), why)
    try:
        return Executed.decode(operation.outcome)
    except ValueError as error:
        raise Fault("wrong", f"a malformed result: {error}") from None
