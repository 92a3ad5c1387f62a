"""What scorecards say of versions: kept by cell, a window in a partition, as little of each as a rollout needs."""

from collections.abc import Container, Iterable, Mapping
from typing import NamedTuple

import msgspec

from shared.core.monitor_records import FeatureCounts, Ints, PairCounts, SliceCounts
from shared.core.scorecards import merge
from shared.runtime.logs import get_logger

PRUNE = 10_000  # cards, between two looks for old ones
LOOK_BACK_MS = 60 * 86_400_000  # a trial is over by then; older windows are let go of


class CellSums(msgspec.Struct, frozen=True, omit_defaults=True):
    """The sums of a scorecard that matter here; see `shared.core.monitor_records.Sums`."""

    n: int = 0
    labelled: int = 0
    loss: int = 0
    scores: Ints = ()
    answers: FeatureCounts = FeatureCounts()
    slices: dict[str, SliceCounts] = {}
    pairs: dict[str, PairCounts] = {}


class _Card(msgspec.Struct, frozen=True, tag="scorecard", tag_field="type"):
    version: str
    window: int
    partition: int
    rate: int
    watermark: int
    offset: int
    shadow: bool = False
    sums: CellSums = CellSums()


class _Account(msgspec.Struct, frozen=True, tag="account", tag_field="type"):
    partition: int
    watermark: int


class Place(NamedTuple):
    """A cell: a window of event time (its start in ms) in a partition."""

    window: int
    partition: int


class Who(NamedTuple):
    """A version, in the champion's workers or as a shadow."""

    version: str
    shadow: bool


_decode = msgspec.json.Decoder(_Card | _Account).decode


class Cards:
    """The topic `scorecards`, as far as it was read. The last card of a key counts, and the one read furthest is it."""

    def __init__(self) -> None:
        self._cells: dict[Who, dict[tuple[Place, int], tuple[int, CellSums]]] = {}
        self._marks: dict[int, int] = {}
        self._taken = 0
        self._log = get_logger("scorecards")

    def take(self, values: Iterable[bytes]) -> None:
        """Take in what is new; what cannot be read is left out."""
        for value in values:
            try:
                said = _decode(value)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                self._log.warning("scorecards value ignored", error=str(error))
                continue
            self._marks[said.partition] = max(said.watermark, self._marks.get(said.partition, 0))
            if isinstance(said, _Card):
                self._keep(said)

    def event_time(self) -> int | None:
        """How far event time (ms) is in every partition that has said anything; None where none has."""
        return min(self._marks.values(), default=None)

    def cells(
        self, version: str, *, shadow: bool = False, among: Container[Place] | None = None
    ) -> Mapping[Place, CellSums]:
        """The cells of a version in a role, all or those `among` places; of several sample rates the sum."""
        found: dict[Place, CellSums] = {}
        for (place, _), (_, sums) in self._cells.get(Who(version, shadow), {}).items():
            if among is None or place in among:
                found[place] = merge(found[place], sums) if place in found else sums
        return found

    def count(self, version: str, *, shadow: bool = False) -> int:
        """Records of a version in a role that the monitor has counted."""
        return sum(sums.n for _, sums in self._cells.get(Who(version, shadow), {}).values())

    def _keep(self, card: _Card) -> None:
        own = self._cells.setdefault(Who(card.version, card.shadow), {})
        key = (Place(card.window, card.partition), card.rate)
        if key not in own or card.offset >= own[key][0]:
            own[key] = (card.offset, card.sums)
        self._taken += 1
        if self._taken % PRUNE == 0:
            self._prune(max(self._marks.values()) - LOOK_BACK_MS)

    def _prune(self, floor: int) -> None:
        for who, own in self._cells.items():
            self._cells[who] = {key: kept for key, kept in own.items() if key[0].window >= floor}
