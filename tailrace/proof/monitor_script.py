"""The whole play of a monitor's proof, step by step of event time: what scorers write and what labels come.

A seed decides all of it. Beside each thing that is sent, the books note what must become of it.
"""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from shared.core.partitioning import partition_of
from tailrace.proof.monitor_books import Books
from tailrace.proof.monitor_labels import FLOOD, Labels
from tailrace.proof.monitor_saying import Speaker, Subject, answer
from tailrace.proof.monitor_terms import DAY, HOUR, PULSE, SPAN, STEP, TAIL

VERSIONS, UNKNOWN = ("1", "2"), "9"
SLOTS = 2
SECOND_FROM, SHADOWS_FROM = 0.5, 0.3  # shares of the span: the other version is the champion; there are shadows
_UNKNOWN, _EXPIRED, _SHADOW, _STRAY, _REPEATED, _BEFORE = 0.002, 0.001, 0.15, 0.0005, 0.005, 0.01
_ABORTED = 0.4  # of the attempts while predictions come, so that it is about three in ten of all
_LARGEST = 400  # observations in a transaction


@dataclass(frozen=True, slots=True)
class Written:
    """An observation on its way: where to, its bytes, and its bytes in an attempt that is aborted."""

    partition: int
    key: bytes
    value: bytes
    aborted: bytes


@dataclass(slots=True)
class Attempt:
    """A transaction of one scorer: so many attempts are aborted before it is committed.

    `ghosts` are only in the aborted ones: predictions that nobody ever made.
    """

    slot: int
    written: list[Written] = field(default_factory=list)
    aborts: int = 0
    ghosts: list[Written] = field(default_factory=list)


@dataclass(slots=True)
class Step:
    """What is sent for `STEP` of event time from `begins`: first the transactions, then the labels (key, value)."""

    begins: int
    attempts: list[Attempt] = field(default_factory=list)
    labels: list[tuple[bytes, bytes]] = field(default_factory=list)


class Script:
    """Makes the steps, in order, once.

    Args:
        speaker: encodes observations.
        records: predictions, beside the few that only move event time.
        seed: decides everything.
        start: where event time begins, ms.
    """

    def __init__(self, speaker: Speaker, records: int, seed: int, start: int) -> None:
        self._speaker, self._spec = speaker, speaker.spec
        self._dice = random.Random(seed)  # noqa: S311 - a proof is repeatable
        self._times = sorted(start + self._dice.randrange(SPAN) for _ in range(records))
        self._start, self._places, self._ghosts = start, Counter[int](), 0
        self._later: list[tuple[int, Subject, bytes]] = []  # (step that it is sent with, what, key)
        self.books = Books()
        keys = [speaker.key(n) for n in range(len(speaker.pool.records))]
        self._labels = Labels(self._spec, self._dice, self.books, keys)

    @property
    def half(self) -> int:
        """Event time at which no more predictions come, ms."""
        return self._start + SPAN

    def steps(self) -> Iterator[Step]:
        """All steps: predictions for `SPAN`, then only labels and what moves event time for `TAIL`."""
        n = 0
        for begins in range(self._start, self._start + SPAN + TAIL, STEP):
            step, due = Step(begins), [one for one in self._later if one[0] <= begins]
            self._later = [one for one in self._later if one[0] > begins]
            written = [self._observe(subject, key) for _, subject, key in due]
            while n < len(self._times) and self._times[n] < begins + STEP:
                written += self._predict(n)
                n += 1
            moments = range(begins, begins + STEP, PULSE)
            written += [self._pulse(p, time) for time in moments for p in range(self._spec.partitions)]
            step.attempts = self._attempts(written, begins)
            step.labels = self._labels.until(begins + STEP)
            yield step

    def pulse(self, time: int) -> list[Attempt]:
        """One observation a partition that nobody labels, in one transaction a scorer."""
        written = [self._pulse(p, time) for p in range(self._spec.partitions)]
        return [Attempt(slot, [w for w in written if w.partition % SLOTS == slot]) for slot in range(SLOTS)]

    def _pulse(self, partition: int, time: int) -> Written:
        place = self._place(partition)
        said = answer(self._spec, self._dice, 0.0)
        subject = Subject(f"p{partition}.{place[1]}", place[1], place, time, VERSIONS[time >= self.second], said)
        return self._observe(subject, self._speaker.key(place[1]))

    @property
    def second(self) -> int:
        """Event time from which the second version is the champion, ms."""
        return self._start + int(SPAN * SECOND_FROM)

    def _place(self, partition: int) -> tuple[int, int]:
        self._places[partition] += 1
        return partition, self._places[partition]

    def _observe(self, subject: Subject, key: bytes) -> Written:
        """A champion's observation, and the books' entry of it."""
        self.books.accounts["observations"] += 1
        return self._written(subject, key)

    def _written(self, subject: Subject, key: bytes) -> Written:
        speak = self._speaker.observation
        return Written(subject.at[0], key, speak(subject), speak(subject, aborted=True))

    def _predict(self, n: int) -> Iterator[Written]:
        """The n-th prediction, perhaps with a shadow, perhaps twice; its labels go their own way."""
        dice, key, now = self._dice, self._speaker.key(n), self._times[n]
        share = (now - self._start) / SPAN
        champion, other = VERSIONS[now >= self.second], VERSIONS[now < self.second]
        version = UNKNOWN if dice.random() < _UNKNOWN else champion
        place, said = self._place(partition_of(key, self._spec.partitions)), answer(self._spec, dice, share)
        jump = n in (len(self._times) // 3, len(self._times) * 2 // 3)  # a clock that is far ahead
        time = now + 300 * DAY if jump else now - dice.randrange(HOUR)
        subject = Subject(f"m{n}", n, place, time, version, said)
        if dice.random() < _BEFORE and not jump:  # its label is there first
            self._later.append((now + 2 * STEP, subject, key))
            self._labels.before(subject, key)
            return
        yield self._observe(subject, key)
        if share > SHADOWS_FROM and dice.random() < _SHADOW:
            yield self._shadow(Subject(subject.id, n, place, time, other, answer(self._spec, dice, share), shadow=True))
        if dice.random() < _STRAY:
            self.books.accounts["stray"] += 1
            yield self._shadow(Subject(f"s{n}", n, place, time, other, said, shadow=True))
        if share > SECOND_FROM and dice.random() < _EXPIRED:  # what is so old was forgotten before it came
            self.books.accounts["expired"] += 1
            yield self._observe(Subject(f"e{n}", n, place, now - 30 * DAY, version, said), key)
        if dice.random() < _REPEATED:
            self.books.accounts["repeated"] += 1
            self._later.append((now + STEP, subject, key))
        if n == len(self._times) // 4:
            self._labels.flood(subject, key, min(FLOOD, len(self._times) // 10))
        elif not jump:
            self._labels.of(subject, key)

    def _shadow(self, subject: Subject) -> Written:
        self.books.accounts["shadows"] += 1
        return self._written(subject, self._speaker.key(subject.n))

    def _attempts(self, written: list[Written], begins: int) -> list[Attempt]:
        """Transactions of both scorers; three in ten attempts are aborted."""
        made: list[Attempt] = []
        for slot in range(SLOTS):
            mine = [one for one in written if one.partition % SLOTS == slot]
            while mine:
                size = self._dice.randint(1, _LARGEST)
                attempt = Attempt(slot, mine[:size])
                mine = mine[size:]
                while begins < self.half and self._dice.random() < _ABORTED:
                    attempt.aborts += 1
                if attempt.aborts:
                    attempt.ghosts.append(self._ghost(attempt.written[0], begins))
                made.append(attempt)
        return made

    def _ghost(self, beside: Written, begins: int) -> Written:
        """A prediction that only an aborted attempt has; its label must end as an orphan."""
        self._ghosts += 1
        place, n = self._place(beside.partition), self._ghosts
        subject = Subject(f"g{n}", n, place, begins, VERSIONS[0], answer(self._spec, self._dice, 0.0))
        self._labels.orphan(subject.id, place, beside.key, begins)
        value = self._speaker.observation(subject, aborted=True)
        return Written(beside.partition, beside.key, value, value)
