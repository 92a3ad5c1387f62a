"""What `tailrace why` says of one answer."""

from typing import Any, Literal

import msgspec

from shared.core.records import Prediction


class Place(msgspec.Struct, frozen=True):
    """Where an observation stands: its own position in `journal`; that of its record is in the prediction."""

    partition: int
    offset: int


class Input(msgspec.Struct, frozen=True, omit_defaults=True):
    """One feature: what the record or the look-up had, and what the model saw of it (null: no value).

    `age` is that of its looked-up group in seconds of event time. `importance` is by how much the loss on the holdout
    rose when the feature said nothing.
    """

    feature: str
    source: str
    given: Any
    seen: float | str | None
    age: float | None = None
    importance: float | None = None


class Contributions(msgspec.Struct, frozen=True):
    """What each feature adds to `base` to make the model's raw score of this answer.

    `raw` is what the estimator says, `total` is base and contributions added up; `exact`: they differ by at most 1e-6.
    `scale` names the unit of all of them, before calibration and target transform.
    """

    method: Literal["linear", "trees"]
    scale: str
    base: float
    parts: dict[str, float]
    total: float
    raw: float
    exact: bool


class Data(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a version was fitted on: how many records, their fingerprint, and offset ranges by topic and partition."""

    records: int = 0
    fingerprint: str = ""
    offsets: dict[str, tuple[int, int]] = {}


class Model(msgspec.Struct, frozen=True, omit_defaults=True):
    """The version that answered; `trained_from` and `trained_until` are event times of its records (ms)."""

    version: str
    digest: str
    epoch: int
    uri: str = ""
    runtime: str = ""
    run_id: str = ""
    trained_from: int | None = None
    trained_until: int | None = None
    data: Data = Data()


class Truth(msgspec.Struct, frozen=True):
    """A label. `at` is its position (partition, offset) in `labels`, `earlier` how many revisions it replaced."""

    value: str | float | bool
    time: int
    revision: int
    at: tuple[int, int]
    earlier: int


class Again(msgspec.Struct, frozen=True):
    """The score made again from the observation alone, with the version's own bundle.

    `equal`: to the last digit. `batch` is the number of records that had to be scored at once for that: a runtime that
    adds up in 32 bits rounds by it.
    """

    score: float
    label: str | float
    equal: bool
    batch: int


class Beside(msgspec.Struct, frozen=True):
    """What a shadow answered to the same record."""

    version: str
    score: float
    label: str | float


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """One answer, explained. `unknown` says in words what could not be had, and why. Times are event times in ms."""

    pipeline: str
    place: Place
    prediction: Prediction
    model: Model
    inputs: tuple[Input, ...]
    contributions: Contributions | None
    label: Truth | None
    again: Again | None
    shadows: tuple[Beside, ...]
    unknown: tuple[str, ...]
