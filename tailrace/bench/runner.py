"""One program at a time over a preloaded topic: started, watched to the last commit, stopped, its group forgotten."""

import os
import time
from collections.abc import Callable
from typing import Any

import msgspec
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from shared.adapters.kafka.config import client_config
from shared.adapters.kafka.positions import GroupPositions
from shared.core.errors import Unavailable, UserError
from shared.runtime.settings import load_settings, read_secret
from tailrace.bench.process import Measured, measure_run
from tailrace.stack.program import Program
from tailrace.stack.stack import Stack, to_stderr


class Row(msgspec.Struct, frozen=True):
    """One run. CPU is that of the whole process, memory its peak, `n` the records between first and last commit."""

    name: str
    records_per_s: float
    cpu_us_per_record: float
    rss_mb: float
    n: int


class Runner:
    """Measures programs on an open stack.

    Args:
        stack: with Kafka up.
    """

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.settings, _ = load_settings({**os.environ, **stack.endpoints.env()})
        self.conf: dict[str, Any] = client_config(self.settings.kafka, read_secret)

    def row(self, name: str, program: Program, group: str, source: str, records: int) -> Row:
        """Run a program until its group has committed so many records of a topic.

        Raises:
            UserError: it ended, or did not finish in time.
        """
        to_stderr(f"running: {name}")
        supervisor = self.stack.supervisor
        supervisor.start(program)
        positions = GroupPositions(self.conf, group, source)
        try:
            pid, timeout = self._alive(program.name), 90.0 + records / 500
            seen = measure_run(pid, lambda: _committed(positions), records, timeout)
        finally:
            positions.close()
            supervisor.stop([program.name])
        self.forget(group)
        return _row(name, seen)

    def _alive(self, name: str) -> Callable[[], int | None]:
        def pid() -> int | None:
            status = next(s for s in self.stack.supervisor.status() if s.name == name)
            if status.last_exit:
                raise UserError(f"{name} ended ({status.last_exit})", remedy=f"see {status.log}")
            return status.pid

        return pid

    def forget(self, group: str) -> None:
        """The next run of this group begins at the start again. It is empty only once the broker has seen it go."""
        client, deadline = AdminClient({"log_level": 2, **self.conf}), time.monotonic() + 20
        while True:
            try:
                client.delete_consumer_groups([group])[group].result(10)
            except KafkaException as error:
                if time.monotonic() > deadline:
                    raise UserError(
                        f"group {group} cannot be deleted ({error})", remedy="see the broker's log"
                    ) from None
                time.sleep(0.1)
            else:
                return


def _committed(positions: GroupPositions) -> int:
    """Records, whatever partition they are in: the topic was written without transactions, from offset 0 on."""
    try:
        return sum(positions.committed().values())
    except Unavailable:  # the group's coordinator is not there yet
        return 0


def _row(name: str, seen: Measured) -> Row:
    seconds, n = max(seen.seconds, 1e-9), max(seen.records, 1)
    return Row(name, round(seen.records / seconds, 1), round(seen.cpu / n * 1e6, 2), seen.rss_mb, seen.records)
