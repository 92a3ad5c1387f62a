"""The labels of a monitor's proof: when each comes, what it says, and what must become of it."""

import heapq
import random
from dataclasses import dataclass, field
from typing import Any

import msgspec

from shared.core import reasons
from shared.core.partitioning import partition_of
from shared.core.pipeline import PipelineSpec
from tailrace.proof.monitor_books import IN_TIME, LATE, Books, clear
from tailrace.proof.monitor_saying import Subject
from tailrace.proof.monitor_terms import DAY, HOUR, LATEST

EARLY = DAY // 2  # a label comes so much before its prediction at most
FLOOD = 1_000
_NEVER = 0.2  # share of the predictions
# Of the labels that come in time, which are seven in ten of the predictions.
_SECOND = (("corrected", 0.028), ("duplicate", 0.028), ("conflicting", 0.014), ("older", 0.005))
_UNKNOWN, _ASTRAY, _BAD, _WITHOUT_AT = 0.005, 0.003, 0.003, 0.2
_SECOND_LATE = 0.1
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Said:
    """One label: of which id, at which place, with which key."""

    id: str
    at: tuple[int, int] | None
    key: bytes


@dataclass(slots=True)
class Labels:
    """Labels on their way, in the order in which they come.

    Args:
        spec: the pipeline.
        dice: decides everything.
        books: noted in.
        keys: of the pool, for labels that go astray.
    """

    spec: PipelineSpec
    dice: random.Random
    books: Books
    keys: list[bytes]
    _heap: list[tuple[int, int, bytes, bytes]] = field(default_factory=list)
    _n: int = 0

    def until(self, time: int) -> list[tuple[bytes, bytes]]:
        """What comes before a moment (ms): (key, value)."""
        found: list[tuple[bytes, bytes]] = []
        while self._heap and self._heap[0][0] < time:
            _, _, key, value = heapq.heappop(self._heap)
            found.append((key, value))
        return found

    def of(self, subject: Subject, key: bytes) -> None:
        """The labels of one prediction: none, one, or one that is repeated, contradicted, corrected; and bad ones."""
        dice = self.dice
        if dice.random() < _UNKNOWN:
            self.orphan(f"x{subject.id}", subject.at, key, subject.time)
        if dice.random() < _BAD:
            self._bad(subject, key)
        if dice.random() < _NEVER:
            return
        elsewhere = self._elsewhere(key, subject.at[0]) if dice.random() < _ASTRAY else None
        if elsewhere is not None:
            self._send(Said(subject.id, None, elsewhere), subject.answer.truth, 0, subject.time + DAY)
            self.books.label("orphaned", at=False)
            return
        said = Said(subject.id, None if dice.random() < _WITHOUT_AT else subject.at, key)
        self._first(said, subject, self._delay(subject))

    def before(self, subject: Subject, key: bytes) -> None:
        """The label of a prediction that is scored late: known before the record's own time, or soon after it."""
        said = Said(subject.id, None if self.dice.random() < _WITHOUT_AT else subject.at, key)
        self._first(said, subject, self.dice.randrange(-EARLY, HOUR))

    def flood(self, subject: Subject, key: bytes, size: int) -> None:
        """The same label over and over: one is matched, the others are duplicates."""
        said = Said(subject.id, subject.at, key)
        for i in range(size):
            self._meet(said, subject, subject.answer.truth, 0, "duplicate" if i else "matched", DAY)

    def orphan(self, identity: str, at: tuple[int, int], key: bytes, time: int) -> None:
        """A label of a record that nobody predicted."""
        known = self.dice.random() < 0.5  # noqa: PLR2004 - one in two
        value = self.spec.labels.classes[0] if self.spec.labels.classes else 1.0
        self._send(Said(identity, at if known else None, key), value, 0, time + self.dice.randrange(5 * DAY))
        self.books.label("orphaned", at=known)

    def _first(self, said: Said, subject: Subject, delay: int) -> None:
        dice, answer = self.dice, subject.answer
        kind, share = "", dice.random()
        for name, part in _SECOND:
            if share < part:
                kind = name
                break
            share -= part
        if delay > IN_TIME:
            kind = ""
        revision = 1 if kind == "older" else 0
        self._meet(said, subject, answer.truth, revision, "matched", delay)
        if not kind:
            return
        late = dice.random() < _SECOND_LATE
        again = dice.randrange(*LATE) if late else dice.randrange(delay, IN_TIME + 1)
        value = answer.truth if kind == "duplicate" else answer.other
        self._meet(
            said, subject, value, 1 if kind == "corrected" else 0, "duplicate" if kind == "older" else kind, again
        )

    def _meet(self, said: Said, subject: Subject, value: Any, revision: int, status: str, delay: int) -> None:
        self._send(said, value, revision, subject.time + delay)
        self.books.meets(status, delay, (said.id, revision, status, value), at=said.at is not None)

    def _delay(self, subject: Subject) -> int:
        """Zero to thirty days, most of them short, shorter for one class than for others."""
        dice, classes = self.dice, self.spec.labels.classes
        power = 3 if classes and subject.answer.truth == classes[0] else 2
        while True:
            delay = int(LATEST * dice.random() ** power)
            if clear(delay):
                return delay

    def _elsewhere(self, key: bytes, partition: int) -> bytes | None:
        """A key that leads to another partition."""
        first = self.dice.randrange(len(self.keys))
        for i in range(min(len(self.keys), 100)):
            other = self.keys[(first + i) % len(self.keys)]
            if partition_of(other, self.spec.partitions) != partition:
                return other
        del key
        return None

    def _bad(self, subject: Subject, key: bytes) -> None:
        """A label that no router may let through."""
        good = {"id": subject.id, "time": subject.time + HOUR, "value": subject.answer.truth}
        wrong: list[tuple[str, bytes]] = [
            (reasons.NOT_JSON, b'{"id": '),
            (reasons.EMPTY, b""),
            (reasons.MISSING_FIELD, _encode({"id": subject.id, "value": good["value"]})),
            (reasons.UNKNOWN_FIELD, _encode({**good, "revison": 1})),
            (reasons.WRONG_TYPE, _encode({**good, "value": None})),
            (reasons.OUT_OF_RANGE, _encode({**good, "at": [self.spec.partitions, 0]})),
        ]
        if self.spec.labels.classes:
            wrong.append((reasons.UNKNOWN_CLASS, _encode({**good, "value": "no such class"})))
        reason, value = self.dice.choice(wrong)
        self.books.letters[reason] += 1
        self._push(subject.time + HOUR, key, value)

    def _send(self, said: Said, value: Any, revision: int, time: int) -> None:
        tree: dict[str, Any] = {"id": said.id, "value": value, "time": time}
        if said.at is not None:
            tree["at"] = said.at
        if revision:
            tree["revision"] = revision
        self._push(time, said.key, _encode(tree))

    def _push(self, time: int, key: bytes, value: bytes) -> None:
        self._n += 1
        heapq.heappush(self._heap, (time, self._n, key, value))
