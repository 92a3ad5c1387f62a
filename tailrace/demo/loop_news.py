"""The topics of the closed loop, followed without a group."""

from collections.abc import Mapping
from typing import Any

from shared.adapters.kafka.table import TableReader
from shared.core.topics import TopicName, topic
from tailrace.demo.loop import Loop, News

_TIMEOUT = 10.0


class LoopTopics:
    """Keeps a `Loop` up to date.

    Args:
        conf: connection settings of the client.
        pipeline: its name.
        loop: what is kept.
    """

    def __init__(self, conf: Mapping[str, Any], pipeline: str, loop: Loop) -> None:
        def table(name: TopicName) -> TableReader:
            return TableReader(conf, topic(pipeline, name), _TIMEOUT)

        self._loop = loop
        self._retrain, self._trainings = table("retrain"), table("trainings")
        self._models, self._rollouts = table("models"), table("rollouts")

    def look(self, *, to_end: bool = False) -> None:
        """Take in what has arrived; `to_end`: all that there is.

        Raises:
            Unavailable: the broker does not answer.
        """
        readers = (self._retrain, self._trainings, self._models, self._rollouts)
        self._loop.take(News(*(one.to_end() if to_end else one.fresh() for one in readers)))

    def close(self) -> None:
        """Let the clients go."""
        for reader in (self._retrain, self._trainings, self._models, self._rollouts):
            reader.close()
