"""Following the `models` topic, and reading `rollouts` where an offset's metadata is gone."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from shared.core.ports import Block
from shared.core.records import Application, Rollout
from shared.core.rollout import RolloutTable
from shared.runtime.logs import get_logger

_encode = msgspec.json.Encoder().encode


class TopicReader(Protocol):
    """Values of a compacted topic, in offset order; `shared.adapters.kafka.table.TableReader` is one."""

    def fresh(self) -> Iterable[bytes]:
        """What arrived since the last call, without waiting; the whole topic at the first call."""

    def to_end(self) -> Iterable[bytes]:
        """The same, up to the end of the topic as of this call. Raises `Unavailable`."""


class RolloutFollower:
    """Keeps a `RolloutTable` as new as the `models` topic.

    Args:
        reader: of `<pipeline>.models`.
        pipeline: values of another pipeline are ignored.
        changed: told of each new value, e.g. to load its model beforehand; may be set later.
    """

    def __init__(self, reader: TopicReader, pipeline: str, changed: Callable[[Rollout], None]) -> None:
        self._reader, self._pipeline, self.changed = reader, pipeline, changed
        self._decode = msgspec.json.Decoder(Rollout).decode
        self._log = get_logger("models")
        self.table = RolloutTable()

    def refresh(self, to_end: bool = False) -> RolloutTable:  # noqa: FBT001,FBT002 - `refresh(True)` is the port's shape
        """Take in what is new; with `to_end` everything that was written before this call."""
        for value in self._reader.to_end() if to_end else self._reader.fresh():
            try:
                rollout = self._decode(value)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                self._log.warning("models value ignored", error=str(error))
                continue
            if rollout.pipeline == self._pipeline:
                self.table.put(rollout)
                self.changed(rollout)
        return self.table


def applications_from(reader: TopicReader) -> Callable[[], Sequence[Application]]:
    """A function that reads all of `rollouts`, once to its end and then what is new."""
    known: dict[tuple[int, int], Application] = {}

    def read() -> Sequence[Application]:
        for value in reader.to_end():
            application = msgspec.json.decode(value, type=Application)
            known[application.partition, application.offset] = application
        return list(known.values())

    return read


def application_block(topic: str) -> Callable[[Sequence[Application]], Block]:
    """A function that makes the `rollouts` messages of applications."""

    def encode(applications: Sequence[Application]) -> Block:
        # An epoch may begin to act twice in a partition (again after a revocation): keyed by epoch, compaction would
        # take its first beginning away, and a replay of the records between would be scored by another version.
        keys = [f"{a.partition}/{a.offset}".encode() for a in applications]
        return Block(topic, keys, list(map(_encode, applications)))

    return encode
