"""The books of a simulated pipeline: each invariant of delivery, checked at every commit and once more at the end."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from shared.core.deadletter import REASON, SOURCE
from shared.core.records import Application, Headers
from shared.core.rollout import last_application
from shared.testing.group import Group
from shared.testing.log import Log, MemoryMessage, Transaction
from shared.testing.schedules.stream import OUTCOMES, Stream

At = tuple[int, int]  # partition and offset of a record
# The invariants, by the names that docs/delivery.md gives them.
I1, I2, I3, I4, I5, I6, I7, I8, LIVE, SOUND = "I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "live", "sound"
INVARIANTS: Final = (I1, I2, I3, I4, I5, I6, I7, I8, LIVE, SOUND)
WRITTEN: Final = ("out", "journal", "dlq", "rollouts")


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken: which, and where."""

    invariant: str
    what: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.what}"


class Books:
    """Sees everything that becomes visible.

    Args:
        stream: what went in.
        group: the consumer group, whose offsets are compared with outcomes.
        exactly_once: with False a record may have more outcomes than one, and nothing is atomic.
        local: `rollout.activation: local`: barriers do not say which version scores.
    """

    def __init__(self, stream: Stream, group: Group, *, exactly_once: bool, local: bool) -> None:
        self._stream, self._group, self._exactly, self._local = stream, group, exactly_once, local
        self._outcomes: dict[At, list[tuple[str, str]]] = {}  # (topic, reason or epoch)
        self._observed: Counter[At] = Counter()
        self._reached: dict[int, int] = {}  # partition -> offset up to which I3 is checked
        self._seen: dict[tuple[str, int], list[MemoryMessage]] = {}
        self._read: dict[tuple[str, int], int] = {}
        self.violations: list[Violation] = []

    @property
    def outcomes(self) -> int:
        """Records that have one or more."""
        return len(self._outcomes)

    def broken(self, invariant: str, what: str) -> None:
        """Write a violation down."""
        self.violations.append(Violation(invariant, what))

    def ended(self, log: Log, transaction: Transaction) -> None:
        """A transaction is committed: what it wrote is visible from here on, and so are its offsets."""
        if transaction.epoch != log.epoch(transaction.owner):
            self.broken(I7, f"{transaction.owner}: a fenced producer's transaction is committed")
        self.visible(log.written(transaction))

    def visible(self, messages: Iterable[MemoryMessage]) -> None:
        """These became visible together."""
        fresh: list[At] = []
        observed: list[At] = []
        for m in messages:
            if m.position.topic == "out":
                partition, offset, epoch = _line(m)
                fresh.append((partition, offset))
                self._outcome((partition, offset), "out", str(epoch))
            elif m.position.topic == "journal":
                observed.append(_line(m)[:2])
            elif m.position.topic == "dlq":
                at, reason = _letter(m.headers() or [])
                fresh.append(at)
                observed.append(at)
                self._outcome(at, "dlq", reason)
        if self._exactly:
            self._whole(fresh, observed)
        self.offsets()

    def offsets(self) -> None:
        """I3: below each committed offset there is nothing without an outcome."""
        for partition, committed in self._group.offsets.items():
            start = self._reached.get(partition, 0)
            for offset in range(start, committed.offset):
                at = partition, offset
                if at in self._stream.records and at not in self._outcomes:
                    self.broken(
                        I3, f"{partition}/{offset} has no outcome, and the committed offset is {committed.offset}"
                    )
            self._reached[partition] = max(start, committed.offset)

    def witness(self, log: Log) -> None:
        """A read_committed reader that runs all the time reads on."""
        for topic in WRITTEN:
            for partition in range(log.topics[topic]):
                where = topic, partition
                end = log.stable(topic, partition)
                found = log.fetch(topic, partition, self._read.get(where, 0), end)
                self._read[where] = end
                self._seen.setdefault(where, []).extend(found)

    def close(self, log: Log) -> None:
        """All is done: what was read on the way is what stands there now, and it is complete."""
        self.witness(log)
        self._same_for_all_readers(log)
        self._complete()
        self._ordered(log)
        self._steady()
        self._explained(log)

    def _outcome(self, at: At, topic: str, detail: str) -> None:
        had = self._outcomes.setdefault(at, [])
        had.append((topic, detail))
        if self._exactly and len(had) == 2:  # noqa: PLR2004 - one is what was promised
            self.broken(I2, f"{at[0]}/{at[1]} has a second outcome")

    def _whole(self, fresh: Sequence[At], observed: Sequence[At]) -> None:
        if Counter(fresh) != Counter(observed):
            self.broken(I6, f"outcomes of {fresh}, but observations or dead letters of {observed}")
        for partition, offset in fresh:
            committed = self._group.offsets.get(partition)
            if committed is None or offset >= committed.offset:
                self.broken(I6, f"the outcome of {partition}/{offset} is visible, its offset is not committed")

    def _same_for_all_readers(self, log: Log) -> None:
        for (topic, partition), seen in self._seen.items():
            now = log.fetch(topic, partition, 0, log.size(topic, partition))
            if any(m.transaction is not None and m.transaction.state != "committed" for m in seen):
                self.broken(I5, f"a reader of {topic}/{partition} saw a record of a transaction that is not committed")
            elif seen != now:
                self.broken(I2, f"a reader of {topic}/{partition} saw {len(seen)} records, a later one {len(now)}")

    def _complete(self) -> None:
        for at, kind in self._stream.records.items():
            got = self._outcomes.get(at, [])
            topic, reason = OUTCOMES[kind]
            if not got:
                self.broken(I1, f"{at[0]}/{at[1]} ({kind}) has no outcome")
            for where, detail in got:
                if where != topic or (reason and detail != reason):
                    self.broken(I1, f"{at[0]}/{at[1]} ({kind}) went to {where} ({detail})")
                elif where == "out" and not self._local and not self._stream.may_score(*at, int(detail)):
                    newest = self._stream.behind(*at)
                    self.broken(I8, f"{at[0]}/{at[1]} was scored by epoch {detail}; behind it stands epoch {newest}")
        for at in self._outcomes.keys() - self._stream.records.keys():
            self.broken(I1, f"{at[0]}/{at[1]} is no record, and has an outcome")

    def _ordered(self, log: Log) -> None:
        if not self._exactly:
            return
        for partition in range(log.topics["out"]):
            offsets = [_line(m)[1] for m in log.fetch("out", partition, 0, log.size("out", partition))]
            if offsets != sorted(offsets):
                self.broken(I4, f"the predictions of partition {partition} stand in the order {offsets}")

    def _steady(self) -> None:
        """I8: behind one barrier a version may be withdrawn, but none comes back that was."""
        last: dict[int, tuple[int, int]] = {}  # partition -> newest barrier and epoch of the record before
        for at in sorted(self._outcomes) if self._exactly and not self._local else ():
            for topic, epoch in self._outcomes[at]:
                if topic == "out":
                    newest, acted = last.get(at[0], (0, 0))
                    last[at[0]] = self._stream.behind(*at), int(epoch)
                    if last[at[0]][0] == newest and int(epoch) > acted:
                        self.broken(I8, f"{at[0]}/{at[1]} was scored by epoch {epoch} again, after {acted}")

    def _explained(self, log: Log) -> None:
        """I8: `rollouts` names the epoch of every prediction."""
        if not self._exactly:
            return
        known = applications(log)
        for (partition, offset), got in self._outcomes.items():
            for topic, epoch in got:
                if topic == "out" and last_application(known, partition, offset).acting != int(epoch):
                    self.broken(I8, f"{partition}/{offset} was scored by epoch {epoch}, which `rollouts` does not say")


def applications(log: Log) -> list[Application]:
    """The topic `rollouts`, as a read_committed reader sees it now."""
    return [msgspec.json.decode(m.value() or b"", type=Application) for m in log.read("rollouts")]


def _line(message: MemoryMessage) -> tuple[int, int, int]:
    partition, offset, epoch = (message.value() or b"").split()
    return int(partition), int(offset), int(epoch)


def _letter(headers: Headers) -> tuple[At, str]:
    found = dict(headers)
    partition, _, offset = (found[SOURCE] or b"").partition(b"[")[2].partition(b"]@")
    return (int(partition), int(offset)), (found[REASON] or b"").decode()
