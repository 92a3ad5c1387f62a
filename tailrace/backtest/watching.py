"""One version in force on a stream: its answers judged as labels come, in blocks, as the observer makes them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.monitor.analyst import alarms
from services.monitor.analyst.alarms import Watch
from services.monitor.analyst.terms import LookTerms
from services.retrainer.reference import Told
from shared.core.bundle_checks import classes_of
from shared.core.judging import Verdict, judge_of
from shared.core.monitor_records import BLOCK, ErrorBlock
from tailrace.backtest.models import Values
from tailrace.backtest.stream import Stream


class Watcher:
    """Holds labels back until they are known, and folds whole blocks of each partition into the analyst's watch.

    Args:
        stream: what is played.
        version: in force from now on.
        watch: over its errors, without blocks.
        terms: the analyst's.
    """

    def __init__(self, stream: Stream, version: str, watch: Watch, terms: LookTerms) -> None:
        self._stream, self._version, self._terms = stream, version, terms
        self.watch, self.labels = watch, 0
        self._waiting = np.empty(0, np.intp)
        self._verdicts: dict[int, Verdict] = {}
        self._open: dict[int, list[int]] = {}
        self._numbers: dict[int, int] = {}

    def scored(self, rows: slice, said: Values) -> None:
        """It has answered these records."""
        spec, classes = self._stream.spec, classes_of(self._stream.spec)
        judge, y = judge_of(spec), self._stream.y[rows].tolist()
        truths: list[Any] = [classes[int(code)] for code in y] if classes else y
        told = _told(said, classes, spec.labels.positive, spec.labels.threshold)
        judged = (judge(one, truth) for one, truth in zip(told, truths, strict=True))
        self._verdicts.update(zip(range(rows.start, rows.stop), judged, strict=True))
        self._waiting = np.concatenate([self._waiting, np.arange(rows.start, rows.stop)])

    def known_at(self, now: int) -> None:
        """Event time is `now` (ms): what came true by then is told."""
        stream = self._stream
        ripe = stream.known[self._waiting] <= now
        places = self._waiting[ripe]
        self._waiting = self._waiting[~ripe]
        self.labels += len(places)
        order = places[np.argsort(stream.known[places], kind="stable")]
        self.watch = alarms.add(self.watch, list(self._blocks(order)))

    def _blocks(self, order: NDArray[np.intp]) -> Iterator[ErrorBlock]:
        for place in order.tolist():
            partition = int(self._stream.partitions[place])
            block = self._open.setdefault(partition, [])
            block.append(place)
            if len(block) == BLOCK:
                yield self._block(partition, block)
                block.clear()

    def _block(self, partition: int, places: Sequence[int]) -> ErrorBlock:
        self._numbers[partition] = number = self._numbers.get(partition, -1) + 1
        judged = [self._verdicts.pop(place) for place in places]
        known = self._stream.known
        return ErrorBlock(
            version=self._version, partition=partition, number=number, opened=int(known[places[0]]),
            closed=int(known[places[-1]]), n=len(places), errors=sum(wrong for wrong, _ in judged),
            loss=sum(loss for _, loss in judged),
        )  # fmt: skip


def _told(said: Values, classes: Sequence[str], positive: str, threshold: float) -> Iterator[Told]:
    """Answers as predictions tell them; of classes without a positive one the likeliest is told."""
    if said.ndim == 1:
        return (Told(value, value, None) for value in said.tolist())
    if positive:
        at = classes.index(positive)
        other = classes[1 - at]
        return (Told(p, positive if p >= threshold else other, None) for p in said[:, at].tolist())
    best = said.argmax(axis=1).tolist()
    rows = zip(best, said.tolist(), strict=True)
    return (Told(row[i], classes[i], dict(zip(classes, row, strict=True))) for i, row in rows)
