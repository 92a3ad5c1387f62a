"""What the proof's scorer says of a record, and what comes true: made up by a seed, for every task."""

import random
from dataclasses import dataclass, field
from typing import Any

import msgspec

from shared.core.pipeline import PipelineSpec
from shared.core.records import SCHEMA_VERSION, FeatureUpdate, Observation, Prediction
from tailrace.proof.material import Pool
from tailrace.proof.monitor_terms import HOUR

ABORTED = "proof_aborted"
"""The flag of observations that only an aborted transaction holds: nobody may ever count it."""
_GROUPS = 400  # looked-up values that are taken in turn
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Answer:
    """A score, the label that it makes, shares by class (multiclass), what comes true, and something else instead."""

    score: float
    label: str | float
    shares: dict[str, float] | None
    truth: str | float
    other: str | float


def answer(spec: PipelineSpec, dice: random.Random, drift: float) -> Answer:
    """One answer; the higher `drift` (0 to 1), the more often it is wrong."""
    if spec.task == "regression":
        score = round(dice.gauss(20.0, 6.0), 3)
        came = round(score * (1 + 0.1 * drift) + dice.gauss(0.0, 2.0), 3)
        return Answer(score, score, None, came, came + 1.0)
    return _likely(spec, dice, drift) if spec.task == "binary" else _likeliest(spec, dice, drift)


def _likely(spec: PipelineSpec, dice: random.Random, drift: float) -> Answer:
    positive = spec.labels.positive
    negative = next(name for name in spec.labels.classes if name != positive)
    score = dice.random() ** 2
    came, other = (positive, negative) if dice.random() < min(score * (1 + drift), 1.0) else (negative, positive)
    return Answer(score, positive if score >= spec.labels.threshold else negative, None, came, other)


def _likeliest(spec: PipelineSpec, dice: random.Random, drift: float) -> Answer:
    classes = spec.labels.classes
    raw = [dice.random() ** 3 + 1e-3 for _ in classes]
    shares = {name: one / sum(raw) for name, one in zip(classes, raw, strict=True)}
    best = max(shares, key=shares.__getitem__)
    came = dice.choices(classes, [share ** (1 - 0.5 * drift) for share in shares.values()])[0]
    return Answer(shares[best], best, shares, came, next(name for name in classes if name != came))


@dataclass(frozen=True, slots=True)
class Subject:
    """One observation to be written: `at` is its record's place, `n` its record in the pool."""

    id: str
    n: int
    at: tuple[int, int]
    time: int
    version: str
    answer: Answer
    shadow: bool = False


@dataclass(slots=True)
class Speaker:
    """Encodes observations as a scorer does.

    Args:
        spec: the pipeline.
        pool: records of its own history, and the values that they look up.
        digests: of the bundles, by version.
    """

    spec: PipelineSpec
    pool: Pool
    digests: dict[str, str]
    _values: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Take the values that are looked up."""
        for _, value in self.pool.features[: _GROUPS * max(len(self.spec.lookups), 1)]:
            update = msgspec.json.decode(value, type=FeatureUpdate)
            self._values.setdefault(update.group, []).append(update.values)

    def key(self, n: int) -> bytes:
        """The key of a record of the pool."""
        return self.pool.records[n % len(self.pool.records)][0]

    def observation(self, of: Subject, *, aborted: bool = False) -> bytes:
        """Its bytes; with `aborted` as only an aborted attempt has it: another score, and a flag that tells."""
        key, fields = self.pool.records[of.n % len(self.pool.records)]
        lookups, ages = self._looked_up(of.n)
        digest = self.digests.get(of.version, "0" * 64)
        said = of.answer
        prediction = Prediction(
            SCHEMA_VERSION, of.id, key.decode(), of.at, of.time, said.score / 2 if aborted else said.score, said.label,
            of.version, digest[:16], 1, said.shares, flags=(ABORTED,) if aborted else (), ages=ages,
        )  # fmt: skip
        record = self.spec.record
        body = msgspec.Raw(_encode({**fields, record.id: of.id, record.event_time: of.time}))
        return _encode(Observation(SCHEMA_VERSION, prediction, body, lookups, digest, of.time, of.shadow))

    def _looked_up(self, n: int) -> tuple[dict[str, dict[str, Any] | None], dict[str, float | None] | None]:
        values: dict[str, dict[str, Any] | None] = {}
        ages: dict[str, float | None] = {}
        for i, group in enumerate(sorted(self.spec.lookups)):
            known = self._values.get(group, [])
            missing = not known or (n + i) % 20 == 0
            values[group] = None if missing else known[(n + i) % len(known)]
            ages[group] = None if missing else float(n % HOUR) / 1_000
        return values, ages or None
