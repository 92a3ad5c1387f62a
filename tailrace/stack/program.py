"""What a supervisor is told (`Program`) and what it tells (`Event`, `ProgramStatus`)."""

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

State = Literal["starting", "running", "backoff", "stopped", "failed"]
EventKind = Literal["started", "exited", "restarting", "gave_up", "stopped"]

CONFIGURATION = 2
_MEANINGS = {
    CONFIGURATION: "wrong configuration",
    3: "the model of the epoch in force was refused",
    4: "another worker has its transactional id",
    70: "ended by its watchdog",
    127: "the program was not found",
    130: "interrupted",
}


@dataclass(frozen=True, slots=True)
class Program:
    """A child process to keep alive.

    Attributes:
        name: unique within a supervisor; names the log file.
        argv: program and arguments.
        env: added to our own environment.
        cwd: working folder, ours by default.
        ready: says whether it serves yet; None means ready as soon as it runs.
        restart: start it again whenever it ends (but never after exit code 2, wrong configuration).
        stop_timeout: seconds between SIGTERM and SIGKILL.
        address: where it serves, for people; empty if nowhere.
        pipeline: whose it is; empty for what all share.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    ready: Callable[[], bool] | None = None
    restart: bool = True
    stop_timeout: float = 10.0
    address: str = ""
    pipeline: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One step in a program's life.

    Attributes:
        at: Unix time in seconds.
        name: the program.
        kind: what happened.
        pid: of the process it happened to, if there is one.
        code: exit code, negative for a signal (kinds `exited`, `gave_up`).
        after_s: for `restarting`, the back-off that follows; for `started` after a restart, the seconds down.
    """

    at: float
    name: str
    kind: EventKind
    pid: int | None = None
    code: int | None = None
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ProgramStatus:
    """How a program is now.

    Attributes:
        name: the program.
        state: `backoff` waits for a restart; `failed` will not be started again.
        pid: process id, None while it is down.
        restarts: how often it was started again.
        last_code: last exit code (negative: signal), None if it never ended.
        last_exit: the same in words, empty if it never ended.
        started_at: Unix time of the last start, seconds.
        log: its log file.
        address: where it serves.
        pipeline: whose it is; empty for what all share.
    """

    name: str
    state: State
    pid: int | None
    restarts: int
    last_code: int | None
    last_exit: str
    started_at: float
    log: Path
    address: str
    pipeline: str = ""


def describe_exit(code: int) -> str:
    """Put an exit code into words, e.g. `exit 70: ended by its watchdog` or `killed by SIGKILL`."""
    if code < 0:
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"killed by signal {-code}"
    meaning = _MEANINGS.get(code)
    return f"exit {code}: {meaning}" if meaning else f"exit {code}"
