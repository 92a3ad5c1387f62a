"""`tailrace scorer` and `tailrace features`: a supervisor over workers, against servers that already run."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from shared.adapters.pipeline_yaml import Pipeline
from tailrace.stack.endpoints import Endpoints
from tailrace.stack.ports import free_port
from tailrace.stack.program import CONFIGURATION, Event, describe_exit
from tailrace.stack.services import SERVICE_PROGRAMS, Order
from tailrace.stack.signals import Terminated, stoppable
from tailrace.stack.stack import to_stderr
from tailrace.stack.supervisor import Supervisor

_LOOK_S = 0.2
_END_BYTES = 8_192
_LONGEST = 300


class _Ended(msgspec.Struct, frozen=True):
    """A log line that tells of an error."""

    error: str


def run_workers(
    service: str, pipeline: Pipeline, endpoints: Endpoints, state: Path, workers: int, first_slot: int
) -> int:
    """Run workers until Ctrl-C or SIGTERM; one that ends is started again, the others go on.

    Args:
        service: of `SERVICE_PROGRAMS`.
        pipeline: what they work on.
        endpoints: where the servers are.
        state: the state folder; logs go to `logs/` in it.
        workers: how many.
        first_slot: slot of the first; each slot has a transactional id of its own.

    Returns:
        0 when stopped; 2 when the configuration is wrong for all of them, so that trying again would not help.

    Raises:
        KeyboardInterrupt: after Ctrl-C, once all are stopped.
    """
    order = Order(pipeline.folder, endpoints, state, first_slot + workers, lambda _: free_port())
    programs = SERVICE_PROGRAMS[service](order)[first_slot:]
    with Supervisor(state / "logs", on_event=Teller(state / "logs")) as supervisor:
        try:
            with stoppable():
                supervisor.start(*programs)
                for program in programs:
                    to_stderr(f"{program.name}  {program.address}  log {state / 'logs' / program.name}.log")
                while not all(status.state == "failed" for status in supervisor.status()):
                    time.sleep(_LOOK_S)
        except Terminated:
            return 0
    return CONFIGURATION


class Teller:
    """Says in one line why a program ended, and what follows; nothing of those that are stopped on purpose.

    Args:
        logs: the folder of all logs.
        say: takes the lines.
    """

    def __init__(self, logs: Path, say: Callable[[str], None] = to_stderr) -> None:
        self._logs, self._say = logs, say
        self._codes: dict[str, int] = {}

    def __call__(self, event: Event) -> None:
        """Take one event; for a supervisor's `on_event`."""
        if event.kind == "exited" and event.code is not None:
            self._codes[event.name] = event.code
        elif event.kind == "restarting":
            self._say(f"{self._ended(event.name)}; starts again in {event.after_s:.1f} s")
        elif event.kind == "gave_up":
            self._say(f"{self._ended(event.name)}; is not started again, see {self._logs / event.name}.log")

    def _ended(self, name: str) -> str:
        code = self._codes.get(name, 0)
        cause = last_error(self._logs / f"{name}.log") if code > 0 else ""
        return f"{name}  {describe_exit(code)}{' - ' if cause else ''}{cause}"


def last_error(log: Path) -> str:
    """What a worker said last of why it ended, from the end of its log; empty if it said nothing of the kind."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _END_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return ""
    for line in reversed(lines):
        with contextlib.suppress(msgspec.DecodeError, msgspec.ValidationError):
            return msgspec.json.decode(line, type=_Ended).error[:_LONGEST]
    return ""
