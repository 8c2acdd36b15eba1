"""A web server on the loopback that misbehaves as a test wants it to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Behaviour = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Hands each path to its behaviour; an unknown path is a 404."""

    server: Server

    def do_GET(self) -> None:
        self.server.seen.append((self.command, self.path, self.headers.get("Range", "")))
        behaviour = self.server.behaviours.get(self.path)
        if behaviour is None:
            self.answer(404, b"")
        else:
            behaviour(self)

    do_HEAD = do_GET

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        """Status, headers (_ for -) with the body's length unless given, and the body."""
        self.send_response(status)
        told = {"Content_Length": str(len(body)), **headers}
        for name, value in told.items():
            if value:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


class Server(ThreadingHTTPServer):
    """behaviours: path -> what it does; seen: (method, path, Range) of each request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviours: dict[str, Behaviour] = {}
        self.seen: list[tuple[str, str, str]] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """Silence: clients that hang up are what is tested."""

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def url(self, path: str, behaviour: Behaviour) -> str:
        """The address of `path`, which behaves so from now on."""
        self.behaviours[path] = behaviour
        return self.base + path

    def paths(self) -> list[str]:
        return [path for _, path, _ in self.seen]


@contextmanager
def running() -> Iterator[Server]:
    server = Server()
    with serving(server):
        yield server


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[None]:
    """The server runs, in a thread of its own."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def status(code: int, body: bytes = b"", **headers: str) -> Behaviour:
    return lambda handler: handler.answer(code, body, **headers)


def whole(body: bytes, **headers: str) -> Behaviour:
    """A server that knows nothing of Range."""
    return status(200, body, **headers)


def ranged(body: bytes, etag: str = '"one"') -> Behaviour:
    """A good server: Range, If-Range."""

    def behave(handler: Handler) -> None:
        wanted = handler.headers.get("Range", "")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if not wanted or handler.headers.get("If-Range", etag) != etag:
            handler.answer(200, body, ETag=etag)
        elif start >= len(body):
            handler.answer(416, b"")
        else:
            handler.answer(206, body[start:], ETag=etag, Content_Range=f"bytes {start}-{len(body) - 1}/{len(body)}")

    return behave


def breaking(body: bytes, after: int, then: Behaviour) -> Behaviour:
    """The first time, `after` bytes of the promised body and the connection breaks; later `then`."""
    return first(lambda handler: handler.answer(200, body[:after], Content_Length=str(len(body)), ETag='"one"'), then)


def first(*behaviours: Behaviour) -> Behaviour:
    """One after another; the last stays."""
    left = list(behaviours)
    mutex = threading.Lock()

    def behave(handler: Handler) -> None:
        with mutex:
            now = left.pop(0) if len(left) > 1 else left[0]
        now(handler)

    return behave
