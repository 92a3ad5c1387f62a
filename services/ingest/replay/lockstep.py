"""Holding event time while a rollout or a training is open, so that a fast replay decides as slow time would."""

from collections.abc import Callable, Iterable
from typing import Protocol

from shared.core.errors import Unavailable
from shared.core.records import Application
from shared.core.rollout import RolloutTable


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
