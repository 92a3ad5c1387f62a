"""From scores to predictions and observations: pure, by columns, the same for scoring and replay."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.core import answering
from shared.core.answering import NOTHING, Post
from shared.core.codec import Decoded
from shared.core.features import Matrix
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Found
from shared.core.records import SCHEMA_VERSION, Prediction

_encode = msgspec.json.Encoder().encode
OBSERVATION = b'{"type":"observation"'
"""How an observation begins in the journal; labels and ticks begin otherwise."""
SHADOW_END = b',"shadow":true}'
"""How a shadow's observation ends, so that shadows pass over their own without taking them apart."""


@dataclass(frozen=True, slots=True)
class Version:
    """What every prediction of one model says of it. `classes` is the order of the model's probability columns.

    `post` is what is done to the model's output to make it an answer.
    """

    epoch: int
    version: str
    digest: str
    classes: tuple[str, ...]
    threshold: float
    post: Post = NOTHING


@dataclass(frozen=True, slots=True)
class Answers:
    """Scores taken apart, columns of length n; an empty one has nothing to say of any row."""

    scores: list[float]
    labels: Sequence[str | float]
    probabilities: Sequence[dict[str, float] | None]
    intervals: Sequence[tuple[float, float] | None]


def answers(spec: PipelineSpec, version: Version, raw: NDArray[np.float64]) -> Answers:
    """Turn a model's output into scores and labels.

    Args:
        spec: the pipeline; `labels.positive` names the positive class of a binary task.
        version: class order, threshold, and what is done to the output.
        raw: the model's output: (n, k) probabilities, or (n,) values for regression.

    Returns:
        Binary: probability and class by the threshold. Multiclass: the likeliest class, its probability, and all
        probabilities by class name in contract order. Regression: the value as both, and its interval where the
        model has one.
    """
    if spec.task == "regression":
        values: list[float] = answering.values(version.post, raw).tolist()
        return Answers(values, values, (), _intervals(version.post, raw))
    if spec.task == "binary":
        positive = version.classes.index(spec.labels.positive)
        yes, no = version.classes[positive], version.classes[1 - positive]
        scores: list[float] = answering.probabilities(version.post, raw, positive)[:, positive].tolist()
        return Answers(scores, [yes if s >= version.threshold else no for s in scores], (), ())
    shares, names = answering.probabilities(version.post, raw), version.classes
    best = shares.argmax(axis=1)
    by_name = [dict(zip(names, row, strict=True)) for row in shares.tolist()]
    return Answers(shares[np.arange(len(raw)), best].tolist(), [names[i] for i in best.tolist()], by_name, ())


def _intervals(post: Post, raw: NDArray[np.float64]) -> Sequence[tuple[float, float]]:
    found = answering.bounds(post, raw)
    return [] if found is None else list(zip(found[0].tolist(), found[1].tolist(), strict=True))


def flags_of(matrix: Matrix) -> Sequence[tuple[str, ...]]:
    """The flags of each row, in a fixed order; empty where no row has any."""
    if not matrix.flags:
        return ()
    names = sorted(matrix.flags)
    marks = np.stack([matrix.flags[name] for name in names], axis=1).tolist()
    return [tuple(name for name, on in zip(names, row, strict=True) if on) for row in marks]


def ages_of(found: Found) -> Sequence[dict[str, float | None] | None]:
    """The age of each looked-up group, a dict a row; empty for pipelines without look-ups."""
    if not found.ages:
        return ()
    groups = sorted(found.ages)
    return [dict(zip(groups, row, strict=True)) for row in zip(*(found.ages[g] for g in groups), strict=True)]


def predictions(
    decoded: Decoded,
    positions: Sequence[tuple[int, int]],
    version: Version,
    answer: Answers,
    flags: Sequence[tuple[str, ...]],
    ages: Sequence[dict[str, float | None] | None],
) -> list[bytes]:
    """One encoded `Prediction` a row; all arguments are columns of length n, `positions` being (partition, offset).

    Probabilities, intervals, flags and ages may be empty: no row has any.

    Made and encoded one after the other, so that n of them never stand in memory: half the cost of two passes.

    Raises:
        ValueError: the columns are of different lengths.
    """
    columns: list[Sequence[Any]] = [
        decoded.ids, decoded.keys, positions, decoded.times, answer.scores, answer.labels,
    ]  # fmt: skip
    said = map(repeat, (version.version, version.digest[:16], version.epoch))
    few = (answer.probabilities, answer.intervals, flags, ages)
    if any(few):
        columns += [
            column or [absent] * len(positions) for column, absent in zip(few, (None, None, (), None), strict=True)
        ]
    if len(set(map(len, columns))) != 1:
        raise ValueError(f"columns of {sorted(set(map(len, columns)))} rows")
    return list(map(_encode, map(Prediction, repeat(SCHEMA_VERSION), *columns[:6], *said, *columns[6:])))


class ObservationWriter:
    """Encodes observations, field by field as `records.Observation` has them, reusing what is already encoded.

    Few distinct feature versions serve many records, so their JSON is made once a batch.

    Args:
        found: the looked-up groups of a batch.
        n: records in the batch.
        digest: the model's full digest.
        body: makes a record's bytes fit to leave the service; None where they are as they came.
        shadow: whether they are a shadow's.
    """

    def __init__(
        self, found: Found, n: int, digest: str, body: Callable[[bytes], bytes | None] | None, *, shadow: bool = False
    ) -> None:
        self._body = body
        self._head = OBSERVATION + b',"v":%d,"prediction":' % SCHEMA_VERSION
        self._digest = b',"digest":"' + digest.encode() + b'","logged":'
        self._end = SHADOW_END if shadow else b',"shadow":false}'
        self._lookups = self._encoded(found, n)

    def encode(
        self, rows: Sequence[int], predictions: Sequence[bytes], records: Sequence[bytes], logged: Sequence[int]
    ) -> list[bytes]:
        """The observations of these rows, from the bytes of their predictions and records; columns of equal length."""
        head, end, digest = self._head, self._end, self._digest
        bodies = records if self._body is None else [self._body(record) or b"null" for record in records]
        looked = self._lookups if len(rows) == len(self._lookups) else [self._lookups[i] for i in rows]
        return [
            b"".join((head, prediction, b',"record":', body, b',"lookups":', found, digest, b"%d" % at, end))
            for prediction, body, found, at in zip(predictions, bodies, looked, logged, strict=True)
        ]

    @staticmethod
    def _encoded(found: Found, n: int) -> Sequence[bytes]:
        if not found.values:
            return [b"{}"] * n
        groups = sorted(found.values)
        memo: dict[tuple[int, ...], bytes] = {}
        columns: Mapping[str, Sequence[Any]] = found.values
        out: list[bytes] = []
        for row in zip(*(columns[g] for g in groups), strict=True):
            same = tuple(map(id, row))
            text = memo.get(same)
            if text is None:
                text = memo[same] = _encode(dict(zip(groups, row, strict=True)))
            out.append(text)
        return out
