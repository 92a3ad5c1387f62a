"""One dead-letter topic with its ledger, read from Kafka."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import msgspec

from services.ingest.dlq.terms import Progress, no_progress
from shared.adapters.kafka.positions import GroupPositions
from shared.adapters.kafka.span import SpanReader
from shared.core.dlq import Ledger, Letter, Selection, read_letter, source_of
from shared.core.errors import UserError
from shared.core.ports import Message
from shared.core.topics import TABLE, TopicName, topic

_TELL_EVERY = 1_000  # messages
Spans = Mapping[int, tuple[int, int]]


class LetterBox:
    """Reads one dead-letter topic up to its end as of the call.

    Args:
        conf: connection settings of the client.
        pipeline: its name.
        name: of `letter_topics()`.
        progress: told how far a reading is.
    """

    def __init__(
        self, conf: Mapping[str, Any], pipeline: str, name: TopicName, progress: Progress = no_progress
    ) -> None:
        self._conf, self._progress = conf, progress
        self.topic, self.ledger_topic = topic(pipeline, name), topic(pipeline, "dlq.replayed")
        self.into = source_of(self.topic)
        # Only the newest value of a key stays in a compacted topic: an old one must not come behind a new one there.
        self.compacted = any(n == source_of(name) and row.cleanup == "compact" for n, row in TABLE.items())

    def partitions(self) -> int:
        """Of the source topic.

        Raises:
            UserError: it does not exist, or the broker cannot be reached.
        """
        return len(self._spans(self.into))

    def ledger(self) -> Ledger:
        """What was replayed.

        Raises:
            UserError: a message in it is not ours, or the topic does not exist.
            Unavailable: the broker gives nothing more.
        """
        ledger = Ledger()
        for message in self._read(self.ledger_topic, self._spans(self.ledger_topic)):
            value = message.value()
            if value is None:
                continue
            try:
                ledger.put(value)
            except msgspec.DecodeError as error:
                raise UserError(
                    f"{self.ledger_topic}@{message.offset()} is no line of the ledger ({error})",
                    remedy="find out who wrote it, and delete it by a message with its key and no value",
                ) from None
        return ledger

    def letters(self, selection: Selection) -> Iterator[Letter]:
        """The letters, in order a partition; where positions are named, only what stands around them.

        Raises:
            UserError: the topic does not exist, or the broker cannot be reached.
            Unavailable: the broker gives nothing more.
        """
        spans = self._spans(self.topic)
        if selection.positions:
            spans = _around(selection, spans)
        for message in self._read(self.topic, spans):
            yield read_letter(self.topic, message)

    def newest_good(self) -> dict[tuple[int, bytes], int]:
        """For a compacted source: the last offset of each partition and key whose value is no dead letter.

        Raises:
            UserError: a topic does not exist, or the broker cannot be reached.
            Unavailable: the broker gives nothing more.
        """
        sources = {letter.source for letter in self.letters(Selection())}
        dead = {
            (source.partition, source.offset) for source in sources if source is not None and source.topic == self.into
        }
        found: dict[tuple[int, bytes], int] = {}
        for message in self._read(self.into, self._spans(self.into)):
            partition, offset = message.partition(), message.offset()
            if (partition, offset) not in dead:
                found[partition, message.key() or b""] = offset
        return found

    def _spans(self, name: str) -> Spans:
        with closing(GroupPositions(self._conf, "tailrace-span", name)) as asked:
            starts, ends = asked.starts(), asked.ends()
        return {p: (starts[p], end) for p, end in ends.items()}

    def _read(self, name: str, spans: Spans) -> Iterator[Message]:
        total = sum(end - start for start, end in spans.values())
        if not total:
            return
        with closing(SpanReader(self._conf, name)) as reader:
            starts, ends = {p: s for p, (s, _) in spans.items()}, {p: e for p, (_, e) in spans.items()}
            for count, message in enumerate(reader.read(starts, ends)):
                if count % _TELL_EVERY == 0:
                    self._progress(name, count, total)
                yield message  # type: ignore[misc] # the client's stubs allow str for bytes


def _around(selection: Selection, spans: Spans) -> Spans:
    named: dict[int, list[int]] = {}
    for position in selection.positions:
        named.setdefault(position.partition, []).append(position.offset)
    return {
        p: (max(min(offsets), spans[p][0]), min(max(offsets) + 1, spans[p][1]))
        for p, offsets in named.items()
        if p in spans
    }
