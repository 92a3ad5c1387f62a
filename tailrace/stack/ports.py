"""Loopback ports: free ones for what we start, and a clear word when a configured one is taken."""

import contextlib
import random
import socket
from pathlib import Path

from shared.core.errors import UserError

LOOPBACK = "127.0.0.1"
_FIRST, _BEYOND = 10_240, 32_768
_LISTEN = "0A"


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Servers set it too: a port whose last connections still linger is free to them.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_port(preferred: int | None = None) -> int:
    """Find a port that a server may listen on, also after a restart.

    The port lies below the range from which the kernel serves outgoing connections: a client that
    reconnects to a dead broker inside that range can be given the broker's own port, and the broker
    could not come back.

    Args:
        preferred: taken if it is free (the port of the last start, so that addresses stay).

    Returns:
        A TCP port number, free when it was looked at.

    Raises:
        UserError: if none of the ports tried is free.
    """
    if preferred is not None and is_free(preferred):
        return preferred
    draw = random.SystemRandom()
    first, beyond = _candidates()
    for _ in range(500):
        port = draw.randrange(first, beyond)
        if is_free(port):
            return port
    raise UserError(f"no free loopback port between {first} and {beyond}", remedy="stop what listens there")


def configured_port(port: int, setting: str) -> int:
    """Check a port that the user asked for.

    Raises:
        UserError: if it is no port number or is in use; names the process where /proc tells it.
    """
    if not 0 < port < 65_536:  # noqa: PLR2004 - the size of a TCP port
        raise UserError(f"{setting} {port} is not a port", remedy="give a number from 1 to 65535")
    if not is_free(port):
        raise UserError(
            f"port {port} ({setting}) is in use{_by_whom(port)}",
            remedy=f"stop that program, give another {setting}, or leave it out for a free one",
        )
    return port


def reachable(host: str, port: int, timeout_s: float = 1.0) -> bool:
    """Whether something accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout_s):
            return True
    except OSError:
        return False


def _candidates() -> tuple[int, int]:
    with contextlib.suppress(OSError, ValueError):
        lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
        if lowest > _FIRST + 1_000:
            return _FIRST, lowest
    return _FIRST, _BEYOND


def _by_whom(port: int) -> str:
    """Name the listener, e.g. ` by redis-server (pid 4711)`; empty if /proc does not tell."""
    inodes = _listening_inodes(port)
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for descriptor in (folder / "fd").iterdir():
                if str(descriptor.readlink()) in inodes:
                    return f" by {(folder / 'comm').read_text().strip()} (pid {folder.name})"
    return ""


def _listening_inodes(port: int) -> set[str]:
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{fields[9]}]")
    return found
