"""What runs on a state folder, looked at from outside: by `stack.json`, /proc and a connection to each address."""

import contextlib
import os
import signal
import time
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from shared.core.errors import UserError
from tailrace.stack.endpoints import SETTINGS, check_reachable
from tailrace.stack.ports import reachable
from tailrace.stack.state import ProgramEntry, StackFile, StateFolder

_DOWN_S = 60.0
_POLL_S = 0.05
_REACH_S = 0.5


class PartStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One part, as `tailrace status --json` prints it.

    Attributes:
        name: part or program.
        state: `up`, `starting`, `backoff` (waits for a restart), `down`, `external` (not ours), or `left out` (a
            pipeline that could not be started; `last_exit` says why).
        ok: whether it serves.
        address: where; empty if it serves nothing.
        pid: process id, None if down or not ours.
        uptime_s: seconds since its last start, None if down or not ours.
        rss_mb: resident memory, megabytes.
        restarts: how often it was started again.
        last_exit: how it ended last, in words; empty if it never did.
        log: its log file.
        pipeline: whose it is; empty for what all share.
    """

    name: str
    state: str
    ok: bool
    address: str
    pid: int | None = None
    uptime_s: float | None = None
    rss_mb: float | None = None
    restarts: int = 0
    last_exit: str = ""
    log: str = ""
    pipeline: str = ""


class StackStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The whole stack, as `tailrace status --json` prints it; `ok` means that all that should run does."""

    ok: bool
    state: str
    pid: int | None
    uptime_s: float | None
    rss_mb: float
    parts: list[PartStatus]


def look(state: StateFolder, now: float) -> StackStatus:
    """Look at the stack of a state folder.

    Args:
        state: the folder.
        now: Unix time in seconds.

    Returns:
        Its status; not ok, with no parts, if nothing runs there.
    """
    content = state.read()
    if content is None or not state.held():
        return StackStatus(ok=False, state=str(state.path), pid=None, uptime_s=None, rss_mb=0.0, parts=[])
    parts = [_external(part, content) for part in _externals(content)]
    parts += [_program(entry, now) for entry in content.programs]
    parts += [
        PartStatus(name=name, state="left out", ok=False, address="", last_exit=why, pipeline=name)
        for name, why in content.left_out.items()
    ]
    return StackStatus(
        ok=content.up and all(part.ok for part in parts),
        state=str(state.path),
        pid=content.pid,
        uptime_s=round(now - content.started_at, 1),
        rss_mb=round(sum(part.rss_mb or 0.0 for part in parts), 1),
        parts=parts,
    )


def by_pipeline(status: StackStatus) -> dict[str, list[PartStatus]]:
    """The parts of each pipeline by its name, what all share first, as an empty name."""
    groups: dict[str, list[PartStatus]] = {"": []}
    for part in status.parts:
        groups.setdefault(part.pipeline, []).append(part)
    return groups


def take_down(state: StateFolder) -> bool:
    """Stop the stack of a state folder and wait until it is gone.

    Returns:
        False if none ran there.

    Raises:
        UserError: if it does not end in a minute.
    """
    content = state.read()
    if content is None or not state.held():
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(content.pid, signal.SIGTERM)
    deadline = time.monotonic() + _DOWN_S
    while state.held():
        if time.monotonic() > deadline:
            raise UserError(f"the stack (pid {content.pid}) did not stop", remedy=f"kill -9 {content.pid}")
        time.sleep(_POLL_S)
    return True


def rss_mb(pid: int) -> float | None:
    """Resident memory of a process in megabytes, None if /proc does not tell."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmRSS:"):
                return round(int(line.split()[1]) / 1024, 1)
    return None


def _externals(content: StackFile) -> list[str]:
    ours = {entry.name for entry in content.programs}
    return [part for part in SETTINGS if content.endpoints.get(part) and part not in ours]


def _external(part: str, content: StackFile) -> PartStatus:
    address = content.endpoints[part]
    try:
        check_reachable(part, address)
    except UserError:
        return PartStatus(name=part, state="external", ok=False, address=address)
    return PartStatus(name=part, state="external", ok=True, address=address)


def _program(entry: ProgramEntry, now: float) -> PartStatus:
    running = entry.pid is not None and Path(f"/proc/{entry.pid}").exists()
    ok = running and (not entry.address or _answers(entry.address))
    up = "up" if ok else "starting"
    down = "backoff" if entry.state == "backoff" else "down"
    return PartStatus(
        name=entry.name,
        state=up if running else down,
        ok=ok,
        address=entry.address,
        pid=entry.pid if running else None,
        uptime_s=round(now - entry.started_at, 1) if running else None,
        rss_mb=rss_mb(entry.pid) if running and entry.pid is not None else None,
        restarts=entry.restarts,
        last_exit=entry.last_exit,
        log=entry.log,
        pipeline=entry.pipeline,
    )


def _answers(address: str) -> bool:
    url = urlsplit(address if "://" in address else f"tcp://{address}")
    return url.hostname is not None and url.port is not None and reachable(url.hostname, url.port, _REACH_S)
