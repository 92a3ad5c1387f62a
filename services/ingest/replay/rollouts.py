"""Rollouts as the log has them, for lockstep: `models` and `rollouts`, followed without a group."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from shared.adapters.kafka.table import TableReader
from shared.core.records import Application, Rollout
from shared.core.rollout import RolloutTable
from shared.core.topics import topic

T = TypeVar("T")
_TIMEOUT = 10.0


class KafkaRollouts:
    """What epochs mean, and where they act, as last read; opened only for `--lockstep`.

    Args:
        conf: connection settings of the client.
        pipeline: its name.
    """

    def __init__(self, conf: Mapping[str, Any], pipeline: str) -> None:
        self._models = TableReader(conf, topic(pipeline, "models"), _TIMEOUT)
        self._rollouts = TableReader(conf, topic(pipeline, "rollouts"), _TIMEOUT)
        self._applications: dict[tuple[int, int], Application] = {}
        self._table = RolloutTable()

    @property
    def table(self) -> RolloutTable:
        """What epochs mean."""
        return self._table

    @property
    def applications(self) -> Iterable[Application]:
        """Where epochs began to act: the last entry of each partition and epoch."""
        return self._applications.values()

    def refresh(self) -> None:
        """Take what is new.

        Raises:
            Unavailable: the broker does not answer, or a topic does not exist.
        """
        for rollout in _decoded(self._models.fresh(), Rollout):
            self._table.put(rollout)
        for entry in _decoded(self._rollouts.fresh(), Application):
            self._applications[entry.partition, entry.epoch] = entry

    def close(self) -> None:
        """Let the clients go."""
        self._models.close()
        self._rollouts.close()


def _decoded(values: Iterator[bytes], kind: type[T]) -> Iterator[T]:
    decode = msgspec.json.Decoder(kind).decode
    for value in values:
        try:
            yield decode(value)
        except msgspec.DecodeError:
            continue  # the scorer, whose topics these are, reports it; event time must not stand still for it
