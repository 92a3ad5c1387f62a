"""Starts all services of a pipeline, and waits until each is ready."""

import time
from collections.abc import Sequence
from dataclasses import replace

from shared.adapters.pipeline_yaml import Pipeline
from shared.core.errors import UserError
from tailrace.demo.screen import Screen
from tailrace.stack.endpoints import Endpoints
from tailrace.stack.program import Program
from tailrace.stack.ready import is_ready
from tailrace.stack.services import SERVICE_PROGRAMS, Order
from tailrace.stack.stack import Stack

READY_S = 120.0  # s until workers own partitions and have their model
LATE = ("rollout",)
# A day passes in a fraction of a second: what is done every few seconds would be done every month.
HASTE = {"TAILRACE_ARCHIVE__FLUSH": "1", "TAILRACE_MONITOR__TURN": "0.5"}


def start_services(
    pipeline: Pipeline, stack: Stack, endpoints: Endpoints, workers: int, screen: Screen
) -> list[Program]:
    """Start them; they come up while the first model is trained. What asks MLflow is left for `start_late`."""
    return _start(pipeline, stack, endpoints, workers, screen, [name for name in SERVICE_PROGRAMS if name not in LATE])


def start_late(pipeline: Pipeline, stack: Stack, endpoints: Endpoints, workers: int, screen: Screen) -> list[Program]:
    """Start the rest, once MLflow serves: two that ask it while it makes its tables would break them."""
    return _start(pipeline, stack, endpoints, workers, screen, LATE)


def _start(
    pipeline: Pipeline, stack: Stack, endpoints: Endpoints, workers: int, screen: Screen, names: Sequence[str]
) -> list[Program]:
    order = Order(pipeline.folder, endpoints, stack.state.path, workers, stack.port)
    programs = [p for name in names for p in SERVICE_PROGRAMS[name](order)]
    programs = [replace(program, env={**HASTE, **program.env}) for program in programs]
    stack.start(*programs)
    screen.step(f"starting {', '.join(p.name for p in programs)}")
    return programs


def await_services(programs: Sequence[Program], stack: Stack) -> None:
    """Wait until they are ready.

    Raises:
        UserError: one is not ready in time.
    """
    deadline = time.monotonic() + READY_S
    for program in programs:
        while not is_ready(program.address):
            status = next(s for s in stack.supervisor.status() if s.name == program.name)
            if status.state == "failed" or time.monotonic() > deadline:
                raise UserError(
                    f"{program.name} is not ready ({status.last_exit or status.state})", remedy=f"see {status.log}"
                )
            time.sleep(0.1)
