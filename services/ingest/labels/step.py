"""The label router's own logic: good labels into `journal`, next to their observations; the others are refused.

A partition of `journal` that gets nothing for a while does not know how late it is elsewhere, and its windows would
stay open: it gets a tick. Ticks are no state: one too many or too few changes when a window closes, never a figure.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from services.ingest.labels.check import LabelCheck
from shared.core.errors import Invalid
from shared.core.monitor_records import LabelEntry, Tick
from shared.core.partitioning import partition_of
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Block, Message, Part, Reject, Result
from shared.core.privacy import Redactor
from shared.core.records import Label
from shared.core.sampling import OBSERVED, sampled
from shared.core.watermark import max_step

_encode = msgspec.json.Encoder().encode
CONFIRM = 8
"""So many labels in a row must have passed a moment before others are told of it: one wrong clock moves nobody."""
MOST = 16
"""Ticks of one partition in a batch: after a long silence the rest follows with the next ones."""


class LabelStep:
    """Routes the labels of one pipeline; implements `Step`.

    Args:
        spec: the pipeline.
        redactor: turns personal ids and keys into pseudonyms, as the scorer does.
        journal: `<pipeline>.journal`.
    """

    def __init__(self, spec: PipelineSpec, redactor: Redactor, journal: str) -> None:
        self._check, self._redactor, self._journal = LabelCheck(spec), redactor, journal
        self._partitions, self._rate = spec.partitions, spec.monitoring.sample
        self._every = max(max_step(spec) // 2, 1)
        self._told = [-1] * spec.partitions  # of each partition of the journal: the last step of event time it knows
        self._next: dict[int, int] = {}
        self._recent: dict[int, deque[int]] = {}

    def __call__(self, part: Part) -> Result:
        """See `Step`. Every message ends as one entry or one reject."""
        self._begin(part.messages)
        rejects: list[Reject] = []
        keys: list[bytes | None] = []
        values: list[bytes | None] = []
        partitions: list[int] = []
        reached: dict[int, int] = {}
        for message in part.messages:
            try:
                label = self._check.label(message.value(), message.key(), message.timestamp()[1])
            except Invalid as error:
                rejects.append(Reject(message, error.reason, error.detail))
                continue
            key = message.key()
            where = label.at[0] if label.at else partition_of(key or b"", self._partitions)
            keys.append(None if key is None else self._redactor.key(key))
            values.append(self._entry(label, message))
            partitions.append(where)
            reached[where] = max(label.time, reached.get(where, -1))
            self._pass(message.partition(), label.time)
        ticks = self._ticks(reached)
        if ticks:
            keys += [None] * len(ticks)
            values += [value for _, value in ticks]
            partitions += [partition for partition, _ in ticks]
        blocks = [Block(self._journal, keys, values, None, partitions)] if values else []
        return Result(blocks, rejects)

    def _entry(self, label: Label, message: Message) -> bytes:
        chosen = sampled(label.id, self._rate, OBSERVED)  # by the id as the scorer saw it
        if self._redactor.hides_id:
            label = msgspec.structs.replace(label, id=self._redactor.pseudonym(label.id))
        at = (message.partition(), message.offset())
        return _encode(LabelEntry(label, at, message.timestamp()[1], sampled=chosen))

    def _begin(self, messages: Sequence[Message]) -> None:
        """A batch that comes again was not committed, and neither were the ticks that went with it."""
        firsts: dict[int, int] = {}
        for message in messages:
            firsts.setdefault(message.partition(), message.offset())
        if any(offset < self._next.get(partition, 0) for partition, offset in firsts.items()):
            self._told = [-1] * self._partitions
            self._recent.clear()
        self._next.update({m.partition(): m.offset() + 1 for m in messages})

    def _pass(self, partition: int, time: int) -> None:
        recent = self._recent.get(partition)
        if recent is None:
            recent = self._recent[partition] = deque(maxlen=CONFIRM)
        recent.append(time)

    def _ticks(self, reached: Mapping[int, int]) -> list[tuple[int, bytes]]:
        """For each partition of the journal that was not told of this step of event time: how far it is here."""
        passed = max((min(times) for times in self._recent.values() if len(times) == CONFIRM), default=-1)
        step = passed // self._every
        made: list[tuple[int, bytes]] = []
        for partition, told in enumerate(self._told if passed >= 0 else ()):
            if told >= step:
                continue
            self._told[partition] = step
            if reached.get(partition, -1) < passed:
                # Each moves it by two of our steps at most: where labels come in a rush, one would leave it behind.
                wanted = MOST if told < 0 else (step - told + 1) // 2
                self._told[partition] = step if wanted <= MOST else told + 2 * MOST
                made += [(partition, _encode(Tick(passed)))] * min(wanted, MOST)
        return made


def letter_body(redactor: Redactor) -> Any:
    """What makes a label fit to leave as a dead letter: a personal id as its pseudonym; None where it is no object."""

    def body(value: bytes) -> bytes | None:
        try:
            tree = msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if not isinstance(tree, dict):
            return None
        if redactor.hides_id and "id" in tree:
            tree["id"] = redactor.pseudonym(tree["id"])
        return msgspec.json.encode(tree)

    return body
