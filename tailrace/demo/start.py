"""Starts all services of a pipeline, and waits until each is ready."""

import time

from shared.adapters.pipeline_yaml import Pipeline
from shared.core.errors import UserError
from tailrace.demo.screen import Screen
from tailrace.stack.ready import is_ready
from tailrace.stack.services import SERVICE_PROGRAMS, Order
from tailrace.stack.stack import Stack

READY_S = 60.0  # s until workers own partitions and have their model


def start_services(pipeline: Pipeline, stack: Stack, workers: int, screen: Screen) -> None:
    """Start them.

    Raises:
        UserError: one is not ready in time.
    """
    order = Order(pipeline.folder, stack.endpoints, stack.state.path, workers, stack.port)
    programs = [p for make in SERVICE_PROGRAMS.values() for p in make(order)]
    stack.start(*programs)
    screen.step(f"starting {', '.join(p.name for p in programs)}")
    deadline = time.monotonic() + READY_S
    for program in programs:
        while not is_ready(program.address):
            status = next(s for s in stack.supervisor.status() if s.name == program.name)
            if status.state == "failed" or time.monotonic() > deadline:
                raise UserError(
                    f"{program.name} is not ready ({status.last_exit or status.state})", remedy=f"see {status.log}"
                )
            time.sleep(0.1)
