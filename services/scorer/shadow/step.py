"""The shadow's own logic: an observation in, the challenger's beside it out. A shadow harms nobody, whatever happens.

It scores what the champion was given: the record and the look-ups of the observation, so the inputs are the same by
construction, and nothing is looked up again. What it cannot score is counted, and is nobody's dead letter.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from services.scorer.speeds import Speeds
from services.scorer.step import CANARY_FLAG, Scoring
from shared.core.codec import Decoded, Row
from shared.core.errors import TailraceError
from shared.core.features import UNSEEN
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Block, Clock, Count, Found, Part, Result, merged
from shared.core.records import Headers, Observation
from shared.core.scoring import OBSERVATION, SHADOW_END, ObservationWriter, answers, flags_of, predictions
from shared.runtime.logs import get_logger

PIECE, BUDGET = 500, 10.0
"""Records that are scored at once, and seconds that a batch may take: a challenger that is far too slow must not keep
the worker from its group, or nobody would hear how slow it is. What is left then is passed over."""
BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
OWN_FLAGS = frozenset({UNSEEN, CANARY_FLAG})  # which depend on the version; what else is said is of record and look-ups
Seen = tuple[int, Observation, Row]  # the place in the part, what stands there, its record


class ShadowStep:
    """Scores the observations of one pipeline beside its champion.

    Args:
        spec: the pipeline.
        row: takes a record of the journal apart, as the scoring's builder wants it.
        target: the challenger that scores beside the champion now; None: nobody does. May raise `Unavailable`.
        journal: the topic, read and written.
        speeds: told how long the model takes.
        clock: for the budget.
    """

    def __init__(
        self,
        spec: PipelineSpec,
        row: Callable[[bytes | msgspec.Raw], Row],
        target: Callable[[], Scoring | None],
        journal: str,
        speeds: Speeds,
        clock: Clock,
    ) -> None:
        self._spec, self._row, self._target, self._journal = spec, row, target, journal
        self._speeds, self._clock = speeds, clock
        self._decode = msgspec.json.Decoder(Observation).decode
        self._log = get_logger("shadow")

    def __call__(self, part: Part) -> Result:
        """See `Step`."""
        scoring = self._target()
        if scoring is None:
            return Result()
        try:
            return self._beside(scoring, part)
        except TailraceError:
            raise
        except Exception as error:  # noqa: BLE001 - a bug here costs pairs, and must cost nobody anything else
            self._log.warning("observations passed over", error=type(error).__name__, records=len(part.messages))
            return Result()

    def _beside(self, scoring: Scoring, part: Part) -> Result:
        name, until = scoring.version.version, self._clock.monotonic() + BUDGET
        seen = [one for i, m in enumerate(part.messages) if (one := self._seen(i, m.value(), name))]
        done: list[Result] = []
        for start in range(0, len(seen), PIECE):
            if self._clock.monotonic() > until:
                self._log.warning("too slow: observations passed over", version=name, records=len(seen) - start)
                break
            done.append(self._made(scoring, part, seen[start : start + PIECE]))
        return merged(done) if done else Result()

    def _made(self, scoring: Scoring, part: Part, seen: list[Seen]) -> Result:
        version = scoring.version
        found = _found(self._spec, seen)
        matrix = scoring.builder.matrix([row for _, _, row in seen], found)
        good, raw = self._scores(scoring, matrix.values, [j for j in range(len(seen)) if j not in matrix.refused])
        counts = _counts(version.version, len(good), len(seen) - len(good))
        if not good:
            return Result(counts=counts)
        marks = flags_of(matrix)
        flags = [_flags(seen[j][1].prediction.flags, marks[j] if marks else ()) for j in good]
        kept = [seen[j] for j in good]
        shown = [one.prediction for _, one, _ in kept]
        decoded = Decoded(
            rows=[row for *_, row in kept], index=range(len(kept)), ids=[p.id for p in shown],
            keys=[p.key for p in shown], times=[p.event_time for p in shown], refused=[],
        )  # fmt: skip
        ages = [p.ages for p in shown]
        values = predictions(decoded, [p.at for p in shown], version, answers(self._spec, version, raw), flags, ages)
        writer = ObservationWriter(_found(self._spec, kept), len(kept), version.digest, None, shadow=True)
        records = [bytes(one.record) for _, one, _ in kept]
        written = writer.encode(range(len(kept)), values, records, [one.logged for _, one, _ in kept])
        return Result([self._block(part, [i for i, *_ in kept], written)], (), counts)

    def _block(self, part: Part, index: Sequence[int], values: list[bytes]) -> Block:
        """Back to the partitions that the observations stand in."""
        messages = [part.messages[i] for i in index]
        headers: list[Headers | None] = [part.headers[i] for i in index]
        return Block(self._journal, [m.key() for m in messages], values, headers, [m.partition() for m in messages])

    def _seen(self, place: int, value: bytes | None, version: str) -> Seen | None:
        """A champion's observation and its record; None for whatever else stands in the journal."""
        if value is None or not value.startswith(OBSERVATION) or value.endswith(SHADOW_END):
            return None
        try:
            one = self._decode(value)
            row = self._row(one.record)
        except BROKEN:
            return None
        return None if one.shadow or one.prediction.version == version else (place, one, row)

    def _scores(self, scoring: Scoring, values: Any, rows: list[int]) -> tuple[list[int], Any]:
        """The rows that the model gives finite answers for, and these; where it breaks, the rows are halved."""
        if not rows:
            return [], np.empty((0,))
        try:
            raw = self._speeds.timed(scoring.version.version, scoring.runtime, values[rows])
        except Exception:  # noqa: BLE001 - whatever a model that is only tried may raise
            if len(rows) == 1:
                return [], np.empty((0,))
            halves = [self._scores(scoring, values, some) for some in (rows[: len(rows) // 2], rows[len(rows) // 2 :])]
            answered = [half for _, half in halves if len(half)]
            return [j for some, _ in halves for j in some], np.concatenate(answered) if answered else np.empty((0,))
        fine = np.isfinite(raw.reshape(len(raw), -1)).all(axis=1)
        return [j for j, ok in zip(rows, fine.tolist(), strict=True) if ok], raw[fine]


def _found(spec: PipelineSpec, seen: Sequence[Seen]) -> Found:
    """The look-ups as the champion had them. Without causes: what they said of the record, its flags still say."""
    return Found({group: [one.lookups.get(group) for _, one, _ in seen] for group in spec.lookups})


def _flags(given: Sequence[str], own: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted({*(flag for flag in given if flag not in OWN_FLAGS), *own}))


def _counts(version: str, scored: int, rejected: int) -> list[Count]:
    labels = {"version": version}
    counts = [
        Count("tailrace_shadow_observations_total", scored, labels),
        Count("tailrace_version_rejects_total", rejected, labels),
    ]
    return [count for count in counts if count.value]
