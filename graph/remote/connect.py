"""From settings to a remote store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from graph.remote.base import Moved, Remote, Watch
from graph.remote.folder import FolderRemote
from graph.remote.settings import Settings

if TYPE_CHECKING:
    from graph.remote.execute import RpcExecutor


def connect(settings: Settings, moved: Moved, watch: Watch | None = None) -> Remote:
    """The remote store at `settings.url`; nothing is asked of it yet. Raises RemoteError."""
    watch = watch or Watch()
    # imported when used: gRPC takes 0.2 s and may not be there
    if settings.scheme == "file":
        return FolderRemote(Path(unquote(urlsplit(settings.url).path)), moved)
    if settings.scheme in ("http", "https"):
        from graph.remote.web import WebRemote

        return WebRemote(settings, moved, watch)
    from graph.remote.rpc import RpcRemote

    return RpcRemote(settings, moved, watch)


def connect_farm(settings: Settings, moved: Moved, watch: Watch | None = None) -> RpcExecutor:
    """The farm at `settings.url`; nothing is asked of it yet. Raises RemoteError."""
    from graph.remote.execute import RpcExecutor

    return RpcExecutor(settings, moved, watch or Watch())
