"""From scores to predictions and observations: pure, by columns, the same for scoring and replay."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
    """Scores taken apart, columns of length n."""

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
    n = len(raw)
    nothing: list[None] = [None] * n
    if spec.task == "regression":
        values: list[float] = answering.values(version.post, raw).tolist()
        return Answers(values, values, nothing, _intervals(version.post, raw) or nothing)
    if spec.task == "binary":
        positive = version.classes.index(spec.labels.positive)
        yes, no = version.classes[positive], version.classes[1 - positive]
        scores: list[float] = answering.probabilities(version.post, raw, positive)[:, positive].tolist()
        return Answers(scores, [yes if s >= version.threshold else no for s in scores], nothing, nothing)
    shares, names = answering.probabilities(version.post, raw), version.classes
    best = shares.argmax(axis=1)
    by_name = [dict(zip(names, row, strict=True)) for row in shares.tolist()]
    return Answers(shares[np.arange(n), best].tolist(), [names[i] for i in best.tolist()], by_name, nothing)


def _intervals(post: Post, raw: NDArray[np.float64]) -> Sequence[tuple[float, float]]:
    found = answering.bounds(post, raw)
    return [] if found is None else list(zip(found[0].tolist(), found[1].tolist(), strict=True))


def flags_of(matrix: Matrix, n: int) -> Sequence[tuple[str, ...]]:
    """The flags of each row, in a fixed order; the usual case, none at all, costs nothing."""
    if not matrix.flags:
        return [()] * n
    names = sorted(matrix.flags)
    marks = np.stack([matrix.flags[name] for name in names], axis=1).tolist()
    return [tuple(name for name, on in zip(names, row, strict=True) if on) for row in marks]


def ages_of(found: Found, n: int) -> Sequence[dict[str, float | None] | None]:
    """The age of each looked-up group, a dict a row; None for pipelines without look-ups."""
    if not found.ages:
        return [None] * n
    groups = sorted(found.ages)
    return [dict(zip(groups, row, strict=True)) for row in zip(*(found.ages[g] for g in groups), strict=True)]


def predictions(
    decoded: Decoded,
    positions: Sequence[tuple[int, int]],
    version: Version,
    answer: Answers,
    flags: Sequence[tuple[str, ...]],
    ages: Sequence[dict[str, float | None] | None],
) -> list[Prediction]:
    """One prediction a row; all arguments are columns of length n, `positions` being (partition, offset)."""
    epoch, name, digest = version.epoch, version.version, version.digest[:16]
    columns = zip(
        decoded.ids, decoded.keys, positions, decoded.times, answer.scores, answer.labels,
        answer.probabilities, answer.intervals, flags, ages, strict=True,
    )  # fmt: skip
    return [
        Prediction(SCHEMA_VERSION, id_, key, at, time, score, label, name, digest, epoch, probs, around, flag, age)
        for id_, key, at, time, score, label, probs, around, flag, age in columns
    ]


class ObservationWriter:
    """Encodes observations, field by field as `records.Observation` has them, reusing what is already encoded.

    Few distinct feature versions serve many records, so their JSON is made once a batch.

    Args:
        found: the looked-up groups of a batch.
        n: records in the batch.
        digest: the model's full digest.
        body: makes a record's bytes fit to leave the service.
    """

    def __init__(self, found: Found, n: int, digest: str, body: Callable[[bytes], bytes | None]) -> None:
        self._body = body
        self._head = b'{"type":"observation","v":%d,"prediction":' % SCHEMA_VERSION
        self._digest = b',"digest":"' + digest.encode() + b'","logged":'
        self._end = b',"shadow":false}'
        self._lookups = self._encoded(found, n)

    def encode(self, i: int, prediction: bytes, record: bytes, logged: int) -> bytes:
        """The observation of row i, from the bytes of its prediction and of its record."""
        body = self._body(record) or b"null"
        middle = b',"lookups":' + self._lookups[i] + self._digest
        return self._head + prediction + b',"record":' + body + middle + b"%d" % logged + self._end

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
