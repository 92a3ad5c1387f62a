"""The state folder of a stack: its data, its logs, its ports, and `stack.json`, which tells others what runs."""

import contextlib
import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import msgspec

from shared.core.errors import UserError


class ProgramEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One program in `stack.json`; times are Unix seconds, `log` a path, `pipeline` empty for what all share."""

    name: str
    state: str
    pid: int | None
    restarts: int
    last_exit: str
    started_at: float
    log: str
    address: str
    pipeline: str = ""


class StackFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a running stack says of itself.

    Its own pid, whether all is started, its endpoints by name, its programs, and why pipelines do not run, by name.
    """

    pid: int
    up: bool
    started_at: float
    endpoints: dict[str, str]
    programs: list[ProgramEntry]
    left_out: dict[str, str] = {}


def state_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The state folder: $TAILRACE_STATE, else ./.tailrace."""
    return Path(environ.get("TAILRACE_STATE") or ".tailrace").absolute()


class StateFolder:
    """A state folder, held by at most one stack at a time.

    Args:
        path: the folder; made when it is locked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[bytes] | None = None

    @property
    def logs(self) -> Path:
        """The folder of all logs."""
        return self.path / "logs"

    def acquire(self) -> None:
        """Take the folder. The kernel gives it back when this process ends, however it ends.

        Raises:
            UserError: if another stack holds it, or it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / "lock").open("a+b")
        except OSError as error:
            raise UserError(
                f"{self.path} cannot be written ({error.strerror})", remedy="set TAILRACE_STATE to another folder"
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            owner = self.read()
            who = f" (pid {owner.pid})" if owner else ""
            raise UserError(
                f"a stack already runs on {self.path}{who}",
                remedy="use it (`tailrace status`), stop it (`tailrace down`), or give another --state",
            ) from None
        self._lock = lock

    def release(self) -> None:
        """Give the folder back; `stack.json` goes with it."""
        if self._lock is not None:
            (self.path / "stack.json").unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def held(self) -> bool:
        """Whether a live stack holds the folder now."""
        try:
            with (self.path / "lock").open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def read(self) -> StackFile | None:
        """What the stack that runs (or was killed) here said last; None if there is nothing to read."""
        try:
            return msgspec.json.decode((self.path / "stack.json").read_bytes(), type=StackFile)
        except (OSError, msgspec.DecodeError):
            return None

    def write(self, content: StackFile) -> None:
        """Say what runs. Readers see the old content or the new, never a part."""
        self._write_json("stack.json", content)

    def ports(self) -> dict[str, int]:
        """The ports of the last start, so that addresses stay over restarts."""
        try:
            return msgspec.json.decode((self.path / "ports.json").read_bytes(), type=dict[str, int])
        except (OSError, msgspec.DecodeError):
            return {}

    def remember_ports(self, ports: Mapping[str, int]) -> None:
        """Keep ports for the next start."""
        self._write_json("ports.json", {**self.ports(), **ports})

    def _write_json(self, name: str, content: Any) -> None:
        partial = self.path / f".{name}.{os.getpid()}"
        try:
            partial.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
            partial.replace(self.path / name)
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
