"""The life of one supervised program: start, wait, back off, start again."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tailrace.stack.program import CONFIGURATION, Event, EventKind, Program, ProgramStatus, State, describe_exit

_CHILD = Path(__file__).with_name("child.py")
_LOG_LIMIT = 5_000_000
_TAIL_LINES = 5
_REASONS = {70: "watchdog", 4: "fenced"}  # exit codes of our workers, as their metric calls them


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses between restarts, in seconds: doubling from `first` to `longest`, anew after `healthy` seconds up."""

    first: float = 0.2
    longest: float = 10.0
    healthy: float = 30.0

    def after(self, failures: int) -> float:
        """Pause before the next start, after so many starts in a row that did not stay healthy."""
        return float(min(self.longest, self.first * 2 ** min(failures, 30)))


class Watch:
    """One program and the thread that keeps it alive.

    Args:
        program: what to run.
        log: its log file; grown beyond 5 MB, it is moved to `.log.1` at the next start.
        record: takes each event.
        backoff: pauses between restarts.
    """

    def __init__(self, program: Program, log: Path, record: Callable[[Event], None], backoff: Backoff) -> None:
        self.program = program
        self.changed = threading.Event()
        self._log = log
        self._record = record
        self._backoff = backoff
        self._stopping = threading.Event()
        self._guard = threading.Lock()
        self._thread = threading.Thread(target=self._live, name=f"watch-{program.name}", daemon=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._state: State = "starting"
        self._restarts = 0
        self._last_code: int | None = None
        self._started_at = time.time()

    @property
    def alive(self) -> bool:
        """Whether the program runs or will be started again."""
        return self._thread.is_alive()

    def begin(self) -> None:
        """Start the program and its thread."""
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait until the program ended for good; False if it did not in time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def status(self) -> ProgramStatus:
        """How the program is now."""
        with self._guard:
            running = self._process is not None and self._state == "running"
            return ProgramStatus(
                name=self.program.name,
                state=self._state,
                pid=self._process.pid if running and self._process is not None else None,
                restarts=self._restarts,
                last_code=self._last_code,
                last_exit="" if self._last_code is None else describe_exit(self._last_code),
                started_at=self._started_at,
                log=self._log,
                address=self.program.address,
                pipeline=self.program.pipeline,
            )

    def tail(self) -> str:
        """The last lines of the log, each on a line of its own; empty if there are none."""
        try:
            lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
        except OSError:
            return ""
        return "".join(f"\n  {line[:300]}" for line in lines)

    def ask_to_stop(self) -> None:
        """Send SIGTERM, once, and start no more; returns at once."""
        if self._stopping.is_set():
            return  # a second one may meet an interpreter that is shutting down, and kill what was ending in order
        self._stopping.set()
        self._signal(signal.SIGTERM)

    def stop(self) -> None:
        """Stop the program, by SIGKILL once its time is over; returns when it and its group are gone."""
        self.ask_to_stop()
        if self._thread.ident is not None and not self.join(self.program.stop_timeout):
            self._signal(signal.SIGKILL)
            self._thread.join()

    def _live(self) -> None:
        failures = 0
        down_since = 0.0
        while not self._stopping.is_set():
            began = time.monotonic()
            code = self._run_once(began - down_since if down_since else 0.0)
            if self._stopping.is_set():
                break
            if not self.program.restart or code == CONFIGURATION:
                self._turn("failed" if code else "stopped", "gave_up" if code else "stopped", code=code)
                return
            down_since = time.monotonic()
            failures = 0 if down_since - began >= self._backoff.healthy else failures
            pause = self._backoff.after(failures)
            failures += 1
            self._turn("backoff", "restarting", after_s=pause)
            if self._stopping.wait(pause):
                break
            with self._guard:
                self._restarts += 1
        self._turn("stopped", "stopped")

    def _run_once(self, down_s: float) -> int:
        process = self._spawn()
        self._turn("running", "started", pid=process.pid, after_s=down_s)
        if self._stopping.is_set():  # asked between the check and the start
            self._signal(signal.SIGTERM)
        # Not reaped yet: so its number cannot be another's while we clear its session of what it left behind.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        with self._guard:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
            self._process = None
            self._last_code = code
        self._record(Event(time.time(), self.program.name, "exited", process.pid, code))
        return code

    def _spawn(self) -> subprocess.Popen[bytes]:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if self._log.stat().st_size > _LOG_LIMIT:
                self._log.replace(self._log.with_suffix(".log.1"))
        wrapper = (sys.executable, "-I", "-S", str(_CHILD), str(os.getpid()))
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                (*wrapper, *self.program.argv),
                env={**os.environ, **self.program.env, **self._history()},
                cwd=self.program.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the supervisor only, which stops us in order
            )
        with self._guard:
            self._process = process
            self._started_at = time.time()
        return process

    def _history(self) -> dict[str, str]:
        """What a worker should know of its earlier lives, for its metrics."""
        if not self._restarts or self._last_code is None:
            return {}
        reason = "signal" if self._last_code < 0 else _REASONS.get(self._last_code, "exit")
        return {"TAILRACE_WORKER__RESTARTS": str(self._restarts), "TAILRACE_WORKER__LAST_EXIT": reason}

    def _signal(self, number: signal.Signals) -> None:
        with self._guard:
            if self._process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._process.pid, number)

    def _turn(
        self,
        state: State,
        kind: EventKind,
        *,
        pid: int | None = None,
        code: int | None = None,
        after_s: float = 0.0,
    ) -> None:
        with self._guard:
            self._state = state
        self._record(Event(time.time(), self.program.name, kind, pid, code, after_s))
        self.changed.set()
        self.changed.clear()
