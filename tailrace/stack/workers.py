"""`tailrace scorer` and `tailrace features`: a supervisor over workers, against servers that already run."""

import time
from pathlib import Path

from shared.adapters.pipeline_yaml import Pipeline
from tailrace.stack.endpoints import Endpoints
from tailrace.stack.ports import free_port
from tailrace.stack.program import CONFIGURATION, Event, describe_exit
from tailrace.stack.services import SERVICE_PROGRAMS, Order
from tailrace.stack.signals import Terminated, stoppable
from tailrace.stack.stack import to_stderr
from tailrace.stack.supervisor import Supervisor

_LOOK_S = 0.2


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
    with Supervisor(state / "logs", on_event=_say) as supervisor:
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


def _say(event: Event) -> None:
    if event.kind == "exited" and event.code is not None:
        to_stderr(f"{event.name}  {describe_exit(event.code)}")
    elif event.kind == "restarting":
        to_stderr(f"{event.name}  starts again in {event.after_s:.1f} s")
    elif event.kind == "gave_up":
        to_stderr(f"{event.name}  is not started again; see its log")
