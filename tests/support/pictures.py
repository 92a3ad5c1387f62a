"""Made-up pasts of the parcels pipeline: scorecards day by day, of whatever task, and what is known from them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from services.monitor.analyst.subject import Subject
from shared.core.monitor_records import (
    DELAYS,
    Account,
    AccountSums,
    ErrorBlock,
    FeatureCounts,
    Said,
    Scorecard,
    SliceCounts,
    Sums,
    Verdict,
    WindowFigures,
)
from shared.core.records import Position
from shared.core.reference import FeatureProfile, Reference
from shared.core.scorecards import SCALE, fixed, merge
from shared.core.topics import TopicName
from shared.testing.log import MemoryMessage
from tailrace.monitor.known import Known
from tailrace.monitor.picture import Painter, Picture
from tests.support import cards
from tests.support.spec import make_spec

if TYPE_CHECKING:
    from shared.core.pipeline import PipelineSpec

DAY = 86_400_000
MAY = 15_826 * DAY
"""The first of May 2013, UTC, in ms."""
EDGES = (-1.28, -0.84, -0.52, -0.25, 0.0, 0.25, 0.52, 0.84, 1.28)
WORDS = ("A", "B", "C")
RATE, PARTITIONS = 1_000_000, 2


@dataclass
class Past:
    """A past that grows by days.

    Args:
        task: of the pipeline.
        seed: of everything that is drawn.
        per_day: records of a partition in a day.
        sections: of the pipeline's file, instead of its own.
        names: of the features; a first number, a second number, a category.
    """

    task: str = "binary"
    seed: int = 7
    per_day: int = 300
    sections: dict[str, Any] = field(default_factory=dict)
    names: Sequence[str] = ("weight", "stops", "carrier")
    known: Known = field(default_factory=Known)
    subjects: dict[str, Subject] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    offset: int = 0
    sent: list[tuple[TopicName, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.spec: PipelineSpec = make_spec(self.task, **self.sections)
        self.dice = np.random.default_rng(self.seed)

    def knows(self, version: str, panes: int = 40, **holdout: float) -> "Past":
        """A version with a reference of so many panes."""
        profiles = {name: self._profile(panes, words=i == 2) for i, name in enumerate(self.names)}
        scores = self._profile(panes, words=False)
        self.subjects[version] = Subject(version, Reference(
            sum(scores.counts), profiles, scores, (0.6, 0.4), pane_ms=DAY, labels=FeatureProfile()
        ), holdout)  # fmt: skip
        return self

    def goes_by(self, version: str, importance: dict[str, float]) -> "Past":
        """How important features are to a version that is known."""
        known = self.subjects[version]
        assert known.reference is not None
        reference = msgspec.structs.replace(known.reference, importance=importance)
        self.subjects[version] = msgspec.structs.replace(known, reference=reference)
        return self

    def _profile(self, panes: int, *, words: bool) -> FeatureProfile:
        rows = [self._counts(600, 0.0, words=words) for _ in range(panes)]
        total = tuple(int(n) for n in np.sum(rows, axis=0)) if rows else self._counts(600, 0.0, words=words)
        given = {"words": WORDS} if words else {"edges": EDGES}
        return msgspec.convert({**given, "counts": total, "missing": 3, "panes": rows}, FeatureProfile)

    def _counts(self, n: int, shift: float, *, words: bool) -> tuple[int, ...]:
        if words:
            share = np.array([0.5, 0.3, 0.15, 0.05]) + np.array([-0.2, 0.1, 0.1, 0.0]) * shift
            return tuple(self.dice.multinomial(n, share).tolist())
        bins = np.searchsorted(EDGES, self.dice.normal(shift, 1.0, n), side="left")
        return tuple(np.bincount(bins, minlength=len(EDGES) + 1).tolist())

    def day(
        self, number: int, version: str = "v1", *, worse: float = 0.0, shift: float = 0.0, labelled: bool = True,
        shadow: bool = False, closed: bool = True,
    ) -> "Past":  # fmt: skip
        """A day of a version: scores that are so much worse, features that are shifted by so much."""
        for partition in range(PARTITIONS):
            sums = merge(self._judged(worse), self._features(shift))
            if not labelled:
                sums = Sums(n=sums.n, scores=sums.scores, features=sums.features, answers=sums.answers,
                            slices={name: SliceCounts(n=one.n) for name, one in sums.slices.items()})  # fmt: skip
            self.offset += 2 * self.per_day
            start = MAY + number * DAY
            self._take("scorecards", Scorecard(
                version=version, window=start, span=DAY, partition=partition, rate=RATE, watermark=start + DAY,
                offset=self.offset, shadow=shadow, closed=closed, sums=sums,
            ))  # fmt: skip
            self._take("scorecards", Account(
                window=start, span=DAY, partition=partition, watermark=start + DAY, offset=self.offset, closed=closed,
                sums=AccountSums(observations=sums.n, labels=sums.labelled, matched=sums.labelled),
            ))  # fmt: skip
            for i in range(self.per_day // 25 if labelled else 0):
                at, errors = start + (i + 1) * DAY // 13, int(self.dice.binomial(25, 0.2 + worse))
                self._take("errors", ErrorBlock(
                    version=version, partition=partition, number=self.offset + i, opened=at - 1, closed=at, n=25,
                    errors=errors, loss=int(25 * (0.5 + worse) * SCALE), shadow=shadow,
                ))  # fmt: skip
        return self

    def card(self, value: Scorecard | Account) -> "Past":
        """A card of one's own, or one that comes again."""
        self._take("scorecards", value)
        return self

    def days(self, first: int, last: int, version: str = "v1", **more: Any) -> "Past":
        """Days [first, last) of a version."""
        for number in range(first, last):
            self.day(number, version, **more)
        return self

    def says(self, metric: str, trigger: str, verdict: str, day: int, version: str = "v1", **more: Any) -> "Past":
        """A verdict of the analyst, said at the end of a day."""
        at = MAY + (day + 1) * DAY
        self._take("verdicts", msgspec.convert({
            "type": "verdict", "version": version, "metric": metric, "trigger": trigger, "verdict": verdict, "n": 600,
            "window": (at - DAY, at), "since": at - DAY, "at": at, "reasons": ("it is so",), **more,
        }, Verdict))  # fmt: skip
        return self

    def then(self, day: int, version: str = "v1", **figures: float) -> "Past":
        """Figures of a day as they were known at its end."""
        said = {name: Said(value, value - 0.03, value + 0.03, 90) for name, value in figures.items()}
        start = MAY + day * DAY
        self._take("verdicts", WindowFigures(
            version=version, window=start, span=DAY, at=start + DAY, observed=600, labelled=90, figures=said,
        ))  # fmt: skip
        return self

    def picture(self) -> Picture:
        """What is to be seen of it."""
        return Painter(self.spec).draw(self.known, self.subjects, {}, self.refused)

    def _take(self, name: TopicName, value: Any) -> None:
        place = Position(name, 0, self.offset + len(self.known.blocks))
        self.sent.append((name, msgspec.json.encode(value)))
        self.known.take(name, MemoryMessage(place, b"", self.sent[-1][1], time=1_000))

    def _judged(self, worse: float) -> Sums:
        n = self.per_day
        if self.task == "regression":
            return self._numbers(n, worse)
        if self.task == "multiclass":
            truths = self.dice.integers(3, size=n)
            shares = self.dice.dirichlet((1, 1, 1), n) * (0.6 + worse)
            shares[np.arange(n), truths] += 1 - shares.sum(axis=1)
            return cards.multiclass(shares.tolist(), truths.tolist())
        chance = self.dice.beta(1.5, 2.5, n)
        late = self.dice.uniform(size=n) < chance * (1 - worse) + (1 - chance) * worse
        delays = np.bincount(self.dice.integers(2, 8, n), minlength=len(DELAYS) + 1).tolist()
        wrong = int(((chance >= 0.5) != late).sum())
        slices = {"depot=north": SliceCounts(n, n, wrong, n * SCALE // 2, 0), "depot=*": SliceCounts(5, 0, 0, 0, 0)}
        return cards.binary(chance.tolist(), late.tolist(), slices=slices, delays=delays)

    def _numbers(self, n: int, worse: float) -> Sums:
        truth = self.dice.normal(10, 3, n)
        error = self.dice.normal(0, 1 + worse, n)
        wrong = int((np.abs(error) > 0.1 * np.abs(truth)).sum())
        return Sums(
            n=n, labelled=n, errors=wrong, loss=sum(map(fixed, np.abs(error))),
            squared=sum(map(fixed, error**2)), target=sum(map(fixed, truth)), delays=(0, n),
            target_squared=sum(map(fixed, truth**2)),
        )  # fmt: skip

    def _features(self, shift: float) -> Sums:
        n = self.per_day
        found = {name: FeatureCounts(self._counts(n, shift, words=i == 2), 1) for i, name in enumerate(self.names)}
        return Sums(features=found, answers=FeatureCounts(self._counts(n, shift / 3, words=False)))
