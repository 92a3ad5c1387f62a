"""A small supervisor: child processes, restarted with back-off, gone when it goes.

One thread a program starts it, waits for it and starts it again; so one program's back-off never delays
another's. The thread lives as long as its child because the kernel's parent-death signal, which ends
children whose supervisor was killed, follows the *thread* that started them.
"""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from shared.core.errors import UserError
from tailrace.stack.program import Event, Program, ProgramStatus
from tailrace.stack.watch import Backoff, Watch

_POLL_S = 0.05


class Supervisor:
    """Runs programs until it is stopped; a context manager.

    Args:
        logs: folder of the children's logs, `<name>.log` each.
        on_event: called with each event, from the thread of its program; must be quick.
        backoff: pauses between restarts.

    Attributes:
        closed: set once it stops for good; whoever waits for something else may watch it.
    """

    def __init__(
        self, logs: Path, *, on_event: Callable[[Event], None] | None = None, backoff: Backoff | None = None
    ) -> None:
        self._logs = logs
        self._on_event = on_event
        self._backoff = backoff or Backoff()
        self._guard = threading.Lock()
        self._watches: dict[str, Watch] = {}
        self._events: list[Event] = []
        self.closed = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def events(self) -> tuple[Event, ...]:
        """All that happened so far, oldest first."""
        with self._guard:
            return tuple(self._events)

    def start(self, *programs: Program) -> None:
        """Start programs; returns at once.

        Raises:
            UserError: if a program of that name already runs, or the supervisor is closed.
        """
        for program in programs:
            with self._guard:
                if self.closed.is_set():
                    raise UserError(f"{program.name} was not started", remedy="the stack is stopping")
                running = self._watches.get(program.name)
                if running is not None and running.alive:
                    raise UserError(f"{program.name} already runs", remedy="stop it first")
                watch = Watch(program, self._logs / f"{program.name}.log", self._record, self._backoff)
                self._watches[program.name] = watch
            watch.begin()

    def run(self, program: Program, timeout_s: float) -> ProgramStatus:
        """Run a program that is expected to end, and wait for that.

        Returns:
            Its status at the end; `last_code` is its exit code (negative: the signal that ended it).

        Raises:
            UserError: if it does not end in `timeout_s` seconds (it is stopped then).
        """
        self.start(program)
        watch = self._watches[program.name]
        try:
            if not watch.join(timeout_s):
                raise UserError(
                    f"{program.name} did not end within {timeout_s:g} s", remedy=f"see {watch.status().log}"
                )
            return watch.status()
        finally:
            watch.stop()
            with self._guard:
                del self._watches[program.name]

    def wait_ready(self, name: str, timeout_s: float, *, through_restarts: bool = False) -> float:
        """Wait until a program says it is ready.

        Args:
            name: the program.
            timeout_s: how long at most, in seconds.
            through_restarts: go on waiting although it ended before, as long as it is started again.

        Returns:
            Seconds waited.

        Raises:
            UserError: if it ends before, or is not ready in time; carries the last lines of its log.
        """
        watch = self._watches[name]
        began = time.monotonic()
        while True:
            status, ready = watch.status(), watch.program.ready
            waited = time.monotonic() - began
            if status.state in {"stopped", "failed"} or (status.last_exit and not through_restarts):
                ended = status.last_exit or "stopped"
                raise UserError(f"{name} did not start: {ended}{watch.tail()}", remedy=f"see {status.log}")
            if status.state == "running" and (ready is None or ready()):
                return waited
            if waited > timeout_s:
                raise UserError(f"{name} was not ready after {timeout_s:g} s{watch.tail()}", remedy=f"see {status.log}")
            watch.changed.wait(_POLL_S)

    def status(self) -> list[ProgramStatus]:
        """How each program is, in the order of their first start."""
        with self._guard:
            watches = list(self._watches.values())
        return [watch.status() for watch in watches]

    def pid(self, name: str) -> int | None:
        """The process id of a program now, None while it is down."""
        return self._watches[name].status().pid

    def stop(self, names: Sequence[str] | None = None) -> None:
        """Stop the named programs (all by default), all at once; returns when they are gone."""
        with self._guard:
            watches = [watch for name, watch in self._watches.items() if names is None or name in names]
        for watch in watches:
            watch.ask_to_stop()
        for watch in watches:
            watch.stop()

    def close(self) -> None:
        """Stop everything; nothing can be started afterwards."""
        with self._guard:
            self.closed.set()
        self.stop()

    def _record(self, event: Event) -> None:
        with self._guard:
            self._events.append(event)
        if self._on_event is not None:
            self._on_event(event)
