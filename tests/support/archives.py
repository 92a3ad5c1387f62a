"""Outcomes made by dice, as they stand in the log, and an archiver over them without a broker."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec

from services.retrainer.archive.names import Log
from services.retrainer.archive.step import Archiving, Terms
from services.retrainer.archive.store import Archive
from shared.adapters.files import no_mark
from shared.adapters.parquet import Schema, Table, joined, values
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Message
from shared.core.records import Committed, Note, Position
from shared.testing.clock import ManualClock
from shared.testing.log import MemoryMessage
from shared.testing.metrics import RecordingMetrics
from tests.support.journals import DAY, HOUR, T0, label, observation, value_of

TOPIC, GENERATION, SPAN = "parcels.outcomes", "0123abcd", 10
Key = tuple[int, int]
PLACE: Schema = {"partition": "int", "offset": "int"}


def log_of(partition: int) -> Log:
    """A partition of the topic."""
    return Log(TOPIC, GENERATION, partition)


def outcome(spec: PipelineSpec, number: int, dice: Random, *, revision: int = 0, **more: Any) -> bytes:
    """The outcome of record `number`, seven hours after the one before; `key`, `time`, `value`, `late` may be given."""
    time = more.get("time", T0 + number * 7 * HOUR)
    seen = observation(spec, f"r{number}", time, dice)
    seen["prediction"] |= {"key": more.get("key", f"D{number % 3}"), "at": [0, number]}
    told = label(f"r{number}", more.get("value", value_of(spec, dice)), time + more.get("late", HOUR), revision)
    status = "corrected" if revision else "matched"
    return msgspec.json.encode(
        {"v": 1, "status": status, "observation": seen, "label": told["label"], "at": [0, number]}
    )


@dataclass
class Topic:
    """`outcomes` in memory: for each partition values by offset; retention may have taken the first ones."""

    held: dict[int, dict[int, bytes]] = field(default_factory=dict)
    starts: dict[int, int] = field(default_factory=dict)

    def fill(self, spec: PipelineSpec, partition: int, offsets: Iterable[int], dice: Random) -> None:
        """An outcome at each of these offsets."""
        for offset in offsets:
            self.held.setdefault(partition, {})[offset] = outcome(spec, partition * 1_000 + offset, dice)

    def start(self, partition: int) -> int:
        """As `Ranges`."""
        return self.starts.get(partition, 0)

    def read(self, partition: int, start: int, end: int) -> Iterable[Sequence[Message]]:
        """As `Ranges`."""
        yield self.messages(partition, max(start, self.start(partition)), end)

    def messages(self, partition: int, start: int, end: int) -> list[Message]:
        """What stands at offsets of `[start, end)`."""
        held = self.held.get(partition, {})
        return [
            MemoryMessage(Position(TOPIC, partition, offset), b"k", held[offset])
            for offset in sorted(held)
            if start <= offset < end
        ]


@dataclass
class Rig:
    """One archiver process, driven by hand as the loop drives it."""

    topic: Topic
    url: str
    mark: Callable[[str], None] = no_mark
    tidy: Callable[[], None] = lambda: None
    clock: ManualClock = field(default_factory=ManualClock)
    metrics: RecordingMetrics = field(default_factory=RecordingMetrics)
    gaps: list[tuple[int, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.archive = Archive(self.url, "parcels", self.mark)
        self.span = self.archive.begin(SPAN)
        self.archiving = Archiving(
            self.archive, Terms(TOPIC, GENERATION, self.span, 10.0), self.topic,
            gap=lambda *gone: self.gaps.append(gone), turn=lambda: None, metrics=self.metrics, clock=self.clock,
            tidy=self.tidy,
        )  # fmt: skip

    def assign(self, positions: Mapping[int, int]) -> None:
        """Partitions come, at these committed offsets (-1: none)."""
        self.archiving.notes({p: Committed(offset, Note()) for p, offset in positions.items()})

    def turn(self, partition: int, start: int, end: int) -> int:
        """One batch of a partition; gives the offset that is committed after it."""
        messages = self.topic.messages(partition, start, end)
        cut = self.archiving.split(messages, {partition: Note()})
        for part in cut.parts:
            for count in self.archiving(part).counts:
                self.metrics.count(count.metric, count.value, **count.labels)
        return messages[-1].offset() + 1

    def flush(self) -> None:
        """The time for tails comes."""
        self.clock.advance(11)
        self.archiving.refresh()


def rows(archive: Archive, *, tails: bool = True) -> list[Key]:
    """(partition, offset) of every row in every file, sorted; a row that stands twice is there twice."""
    while True:
        try:
            found = [archive.table(one.name, PLACE) for one in archive.files() if tails or one.part.day]
            return sorted(key for table in found for key in keys(table))
        except FileNotFoundError:  # a tail that was replaced meanwhile
            continue


def keys(table: Table) -> list[Key]:
    """(partition, offset) of the rows of a table."""
    return list(zip(values(table, "partition"), values(table, "offset"), strict=True))


def contents(archive: Archive) -> dict[str, bytes]:
    """Every file's bytes, by name."""
    return {one.name: archive.folder.read(one.name) for one in archive.files()}


def whole(archive: Archive) -> Table:
    """All rows of all files."""
    return joined([archive.table(one.name) for one in archive.files()])


__all__ = ["DAY", "GENERATION", "HOUR", "SPAN", "T0", "TOPIC", "Rig", "Topic", "contents", "log_of", "rows", "whole"]
