"""One partition of `journal`, entry by entry in offset order, by the definitions of docs/monitor.md."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tailrace.recompute.entries import Body, Label, Observation, Reader, Tick
from tailrace.recompute.lives import Held, Life, Seen, says_again
from tailrace.recompute.terms import Terms, Times


@dataclass(slots=True)
class Told:
    """What a partition came to, as rows for tables.

    `entries` has (account's window, what) of whatever is not a label; `labels` maps an offset to [account's window,
    status, astray]; `outcomes` has (offset, status, id, revision, value, place in `labels`); `verdicts` has (offset,
    watermark, version, shadow, error, loss) of each first label of an observation.
    """

    entries: list[tuple[int, str]] = field(default_factory=list)
    labels: dict[int, list[Any]] = field(default_factory=dict)
    outcomes: list[tuple[int, str, str, int, Any, tuple[int, int]]] = field(default_factory=list)
    verdicts: list[tuple[int, int, str, bool, int, int]] = field(default_factory=list)
    lives: list[Life] = field(default_factory=list)


class Fold:
    """Takes the entries of one partition.

    Args:
        times: how event time is measured.
        terms: how wrong a prediction was.
        reader: of the pipeline's entries.
    """

    def __init__(self, times: Times, terms: Terms, reader: Reader) -> None:
        self._times, self._terms, self._reader = times, terms, reader
        self._known: dict[str, Life] = {}
        self._offset, self._told = -1, Told()
        self.mark = -1
        """The watermark, ms; -1 before the first entry."""
        self.first = -1
        """The watermark after the first entry that has a time."""

    def take(self, offset: int, value: bytes | None) -> None:
        """Take in the entry at an offset, as its bytes stand there."""
        entry = self._reader(value)
        self._offset = offset
        if entry is not None:
            self._advance(entry.time)
        if isinstance(entry, Observation):
            self._observe(entry)
        elif isinstance(entry, Label):
            self._label(entry)
        else:
            self._note("ticks" if isinstance(entry, Tick) else "invalid")

    def finish(self) -> Told:
        """The end of the entries: what has waited for too long is orphaned; everything that was told."""
        for life in self._known.values():
            self._orphan(life)
        self._told.lives += self._known.values()
        self._known = {}
        return self._told

    def _advance(self, time: int) -> None:
        if self.mark < 0:
            self.first = self.mark = time
        else:
            self.mark = max(self.mark, min(time, self.mark + self._times.step))

    def _note(self, what: str) -> None:
        self._told.entries.append((self._times.window(self.mark), what))

    def _alive(self, identity: str) -> Life | None:
        life = self._known.get(identity)
        if life is not None and self.mark > life.until:
            self._orphan(life)
            self._told.lives.append(self._known.pop(identity))
            return None
        return life

    def _orphan(self, life: Life) -> None:
        for one in life.give_up(self.mark):
            self._told.labels[one.offset][1:] = ["orphaned", one.label.at is None]

    def _observe(self, entry: Observation) -> None:
        if entry.shadow:
            self._shadow(entry)
            return
        self._note("observations")
        identity, until = entry.prediction.id, self._times.life(entry.time)
        life = self._alive(identity)
        if life is None and self.mark > until:
            self._note("expired")
            return
        if life is None:
            life = self._known[identity] = Life(until)
        life.until = max(life.until, until)
        if life.seen is not None:
            self._note("repeated")
            return
        life.seen = Seen(entry, entry.time, self._open(entry.time), self._offset)
        self._orphan(life)
        held, life.held = life.held, []
        for one in held:
            self._told.labels[one.offset][1] = self._meet(life, life.seen, one.label, one.at)

    def _shadow(self, entry: Observation) -> None:
        self._note("shadows")
        life = self._alive(entry.prediction.id)
        if life is None or life.seen is None:
            self._note("stray")
        elif any(one.version == entry.prediction.version for one in life.shadows):
            self._note("repeated")
        else:
            time = life.seen.time
            new = Seen(entry, time, self._open(time), self._offset)
            life.shadows.append(new)
            if life.label is not None and new.counts:
                self._judge(new, life.label, shadow=True)

    def _open(self, time: int) -> bool:
        return self.mark <= self._times.over(time)

    def _label(self, entry: Label) -> None:
        label, row = entry.label, [self._times.window(self.mark), "", False]
        self._told.labels[self._offset] = row
        reach = min(label.time, self.mark) + self._times.hold
        life = self._alive(label.id)
        if life is not None:
            life.until = max(life.until, self._times.up(reach))
        if life is not None and life.seen is not None:
            row[1] = self._meet(life, life.seen, label, entry.at)
        elif not entry.sampled:
            row[1] = "unsampled"
        elif self.mark > reach:
            row[1:] = ["orphaned", label.at is None]
        else:
            row[1] = self._hold(life, Held(self._offset, reach, label, entry.at))

    def _hold(self, life: Life | None, new: Held) -> str:
        if life is None:
            life = self._known[new.label.id] = Life(self._times.up(new.reach))
        self._orphan(life)
        if life.held and (status := says_again(new.label, life.held[-1].label)):
            return status
        life.held.append(new)
        return "held"

    def _meet(self, life: Life, seen: Seen, label: Body, at: tuple[int, int]) -> str:
        """The status of a label whose observation is there."""
        if self.mark > seen.time + self._times.horizon:
            return "late"
        if life.label is not None and (status := says_again(label, life.label)):
            life.repeats[status] += 1
            return status
        status = "matched" if life.label is None else "corrected"
        for one, shadow in life.all():
            if life.label is None:
                self._judge(one, label, shadow=shadow)
            else:
                one.corrected += 1
        life.label = label
        life.forces.append((self._offset, label))
        self._told.outcomes.append((self._offset, status, label.id, label.revision, label.value, at))
        return status

    def _judge(self, seen: Seen, label: Body, *, shadow: bool) -> None:
        verdict = self._terms.verdict(seen.observation.prediction, label.value)
        self._told.verdicts.append((self._offset, self.mark, seen.version, shadow, *verdict))


def fold(entries: Sequence[tuple[int, bytes | None]], times: Times, terms: Terms, reader: Reader) -> tuple[Told, Fold]:
    """All (offset, value) of a partition, in offset order: what they come to, and the fold at their end."""
    one = Fold(times, terms, reader)
    for offset, value in entries:
        one.take(offset, value)
    return one.finish(), one


def blocks_of(told: Told, patience: int, size: int = 25) -> list[dict[str, Any]]:
    """The error blocks: every `size` first labels of a version, in order; dropped after `patience` ms without one."""
    made: list[dict[str, Any]] = []
    filling: dict[tuple[str, bool], list[tuple[int, int, int, int]]] = defaultdict(list)
    for offset, mark, version, shadow, error, loss in told.verdicts:
        block = filling[version, shadow]
        if block and mark > block[-1][1] + patience:
            block.clear()
        block.append((offset, mark, error, loss))
        if len(block) == size:
            sums = {"errors": sum(b[2] for b in block), "loss": sum(b[3] for b in block)}
            who = {"version": version, "shadow": shadow, "number": offset}
            made.append({**who, "opened": block[0][1], "closed": mark, "n": size, **sums})
            block.clear()
    return made
