"""What the gate of trainings is told, from a real Kafka."""

from collections.abc import Iterable, Mapping
from typing import Any

from shared.adapters.kafka.log import LogReader
from shared.adapters.kafka.table import TableReader
from shared.core.topics import TopicName, topic

_TIMEOUT = 10.0


class KafkaNews:
    """Implements `News`: follows the topics without a group.

    Args:
        conf: connection settings of the client.
        pipeline: its name.
    """

    def __init__(self, conf: Mapping[str, Any], pipeline: str) -> None:
        def table(name: TopicName) -> TableReader:
            return TableReader(conf, topic(pipeline, name), _TIMEOUT)

        self._requests = LogReader(conf, topic(pipeline, "retrain"), _TIMEOUT)
        self._trainings, self._verdicts, self._models = table("trainings"), table("verdicts"), table("models")
        self._last = -1

    def requests(self) -> int:
        """See `News`."""
        for entries in self._requests.since(self._last + 1):
            self._last = entries[-1][0]
        return self._last

    def trainings(self) -> Iterable[bytes]:
        """See `News`."""
        return self._trainings.fresh()

    def verdicts(self) -> Iterable[bytes]:
        """See `News`."""
        return self._verdicts.fresh()

    def models(self) -> Iterable[bytes]:
        """See `News`."""
        return self._models.fresh()

    def close(self) -> None:
        """See `News`."""
        for reader in (self._requests, self._trainings, self._verdicts, self._models):
            reader.close()
