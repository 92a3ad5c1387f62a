"""What a replay waits for, so that a year in a minute decides as a year would: features, the scorer, rollouts."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from services.ingest.replay.plan import Slice
from shared.core.errors import Unavailable
from shared.core.records import Application
from shared.core.rollout import RolloutTable

Offsets = Mapping[int, int]


class Group(Protocol):
    """A consumer group on a topic, seen from outside. Each call asks the broker and may raise `Unavailable`."""

    def committed(self) -> Offsets:
        """The next offset a partition to be read; partitions without a commit are left out."""

    def ends(self) -> Offsets:
        """The high watermark of each partition."""

    def starts(self) -> Offsets:
        """The first offset of each partition."""


class Gate(Protocol):
    """Something to wait for."""

    def reason(self) -> str:
        """Why not to go on now, in words; empty: go on."""


class FeatureGate:
    """Records of a span wait until the feature writer has committed beyond the features that they may look up."""

    def __init__(self, group: Group, name: str) -> None:
        self._group, self._name = group, name
        self._open: deque[tuple[int, dict[int, int]]] = deque()
        self._needed: dict[int, int] = {}

    def begin(self) -> None:
        """What an earlier replay or another producer left in the topic has to be written as well."""
        starts = self._group.starts()
        self._needed = {p: end for p, end in self._group.ends().items() if end > starts.get(p, 0)}

    def sending(self, part: Slice) -> dict[int, int]:
        """A place for the offsets of a slice's features: partition -> newest acknowledged offset + 1."""
        offsets: dict[int, int] = {}
        if part.features:
            self._open.append((min(item.time for item in part.features), offsets))
        return offsets

    def need(self, before: int) -> None:
        """From now on, features with a time before this (ms) must have been written. Theirs must be acknowledged."""
        while self._open and self._open[0][0] < before:
            for partition, offset in self._open.popleft()[1].items():
                self._needed[partition] = max(offset, self._needed.get(partition, 0))

    def reason(self) -> str:
        """Why the records of a slice must wait."""
        if not self._needed:
            return ""
        try:
            committed = self._group.committed()
        except Unavailable as error:
            return f"the feature writer's offsets cannot be read ({error})"
        self._needed = {p: offset for p, offset in self._needed.items() if committed.get(p, 0) < offset}
        behind = sum(offset - committed.get(p, 0) for p, offset in self._needed.items())
        return f"group {self._name} has {behind:,} feature messages still to write" if behind else ""


class LagGate:
    """Pauses while more than `limit` records wait for the scorer; 0: no limit.

    Between two questions to the broker the lag is bounded by the last answer plus what was sent since.
    """

    def __init__(self, group: Group, name: str, limit: int) -> None:
        self._group, self._name, self._limit = group, name, limit
        self._since = limit + 1
        self.lag = 0

    def sent(self, count: int) -> None:
        """So many more records were sent."""
        self._since += count

    def ask(self) -> int:
        """The lag now, in records."""
        ends, starts, committed = self._group.ends(), self._group.starts(), self._group.committed()
        self.lag = sum(max(0, end - committed.get(p, starts.get(p, 0))) for p, end in ends.items())
        self._since = 0
        return self.lag

    def reason(self) -> str:
        """Why the next chunk must wait."""
        if not self._limit or self.lag + self._since <= self._limit:
            return ""
        try:
            lag = self.ask()
        except Unavailable as error:
            return f"the scorer's lag cannot be read ({error})"
        return "" if lag <= self._limit else f"group {self._name} lags by {lag:,} records, more than {self._limit:,}"


class RolloutView(Protocol):
    """`models` and `rollouts` as last read."""

    def refresh(self) -> None:
        """Take what is new."""

    @property
    def table(self) -> RolloutTable:
        """What epochs mean."""

    @property
    def applications(self) -> Iterable[Application]:
        """Where epochs began to act."""


class Trainings(Protocol):
    """Open trainings. The retrainer's topics (`retrain`, `verdicts`) give an implementation of this when they exist."""

    def open(self) -> str:
        """The trigger of a retrain request without its verdict; empty: none."""


class NoTrainings:
    """There is no retrainer, hence nothing to wait for."""

    def open(self) -> str:
        """Never any."""
        return ""


class LockstepGate:
    """Holds event time while a rollout or a training is open.

    A barrier is applied whatever else comes, so it can be waited for. A revocation and a local activation act at a
    worker's next batch: they are waited for only while records wait to be scored, else nothing would ever happen.
    """

    def __init__(
        self, view: RolloutView, partitions: int, trainings: Trainings, pending: Callable[[], int], *, local: bool
    ) -> None:
        self._view, self._partitions, self._trainings = view, partitions, trainings
        self._pending, self._local = pending, local

    def reason(self) -> str:
        """Why event time must stand still."""
        if trigger := self._trainings.open():
            return f"a training is open ({trigger})"
        try:
            self._view.refresh()
        except Unavailable as error:
            return f"rollouts cannot be read ({error})"
        epoch, waiting, barrier = open_rollout(self._view.table, self._view.applications, self._partitions)
        if not waiting or ((self._local or not barrier) and not self._pending_or_unknown()):
            return ""
        return f"epoch {epoch} does not act yet in partition {', '.join(map(str, waiting))}"

    def _pending_or_unknown(self) -> int:
        try:
            return self._pending()
        except Unavailable:
            return 1


def open_rollout(
    table: RolloutTable, applications: Iterable[Application], partitions: int
) -> tuple[int, list[int], bool]:
    """The epoch that ought to act, the partitions where it does not, and whether a barrier brings it.

    The oldest epoch needs no application to be in force: a partition without a history begins with it.
    """
    newest = table.newest_active()
    started = [r.epoch for r in table if r.state != "announced"]
    if newest is None or len(started) < 2:  # noqa: PLR2004 - a change takes two
        return 0, [], False
    acting: dict[int, Application] = {}
    for entry in applications:
        known = acting.get(entry.partition)
        if known is None or (entry.offset, entry.barrier) > (known.offset, known.barrier):
            acting[entry.partition] = entry
    # A partition that nothing was scored in yet holds the barrier of the newest epoch, if one was written.
    waiting = [p for p in range(partitions) if p not in acting or acting[p].epoch != newest.epoch]
    return newest.epoch, waiting, newest.epoch == max(started)
