"""What every version scored, read back by a consumer that shares nothing with the services."""

from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import msgspec
from confluent_kafka import Message

from shared.adapters.kafka.table import TableReader
from shared.core.topics import topic
from tailrace.proof.audit import Account, audit
from tailrace.proof.scene import Scene

READ_S = 180.0


class _Said(msgspec.Struct, frozen=True):
    at: tuple[int, int]
    version: str


class _Observed(msgspec.Struct, frozen=True):
    version: str


class _Seen(msgspec.Struct, frozen=True):
    prediction: _Observed


class Books:
    """The last prediction of each version (ms, by the broker's clock), the newest version of each partition, shadows.

    Args:
        scene: what was played on; its workers have stopped.
    """

    def __init__(self, scene: Scene) -> None:
        self._decode = msgspec.json.Decoder(_Said).decode
        self._newest: dict[int, tuple[int, str]] = {}
        self.last: dict[str, int] = {}
        self.letters: list[int] = []
        """When dead letters were written, ms."""
        self.account: Account = audit(scene.conf, scene.name, {}, READ_S, also=self._take)
        self.shadowed = _shadowed(scene)

    def behind(self, version: str) -> list[int]:
        """Partitions whose newest record was scored by another version."""
        return sorted(p for p, (_, other) in self._newest.items() if other != version)

    def _take(self, name: str, message: Message) -> None:
        at = message.timestamp()[1]
        if name == "records.dlq":
            self.letters.append(at)
        if name != "predictions":
            return
        value: Any = message.value()
        said = self._decode(value)
        self.last[said.version] = max(at, self.last.get(said.version, 0))
        partition, offset = said.at
        self._newest[partition] = max(self._newest.get(partition, (-1, "")), (offset, said.version))


def _shadowed(scene: Scene) -> Mapping[str, int]:
    """Observations of shadows by version."""
    found = Counter[str]()
    decode = msgspec.json.Decoder(_Seen).decode
    with closing(TableReader(scene.conf, topic(scene.name, "journal"), READ_S)) as reader:
        for value in reader.to_end():
            if b'"shadow":true' in value:
                found[decode(value).prediction.version] += 1
    return found
