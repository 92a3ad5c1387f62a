"""A pipeline is data: the frozen types of `pipelines/<name>/pipeline.yaml`.

Types and their defaults only; `shared/core/pipeline_file.py` decodes the file and reports every mistake at once.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta

from shared.core.pipeline_base import Duration, Name, Positive, Share, Spec
from shared.core.pipeline_loop import RetrainingSpec, RolloutSpec


class FieldSpec(Spec, frozen=True, kw_only=True):
    """One field of the record, strictly typed: nothing is coerced.

    `timestamp` is RFC 3339 text with an offset, or an integer of milliseconds since 1970. A value outside
    [minimum, maximum] rejects the record, or is flagged `out_of_range` and scored.
    """

    type: Literal["string", "integer", "number", "boolean", "timestamp"]
    required: bool = True
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    out_of_range: Literal["reject", "flag"] = "reject"
    max_length: Positive = 256
    unit: str = ""
    description: str = ""


class RecordSpec(Spec, frozen=True, kw_only=True):
    """The record: which field names it, which one is the entity (and Kafka key), which one is the event time."""

    id: str
    key: str
    event_time: str
    fields: dict[str, FieldSpec]
    extra: Literal["refuse", "ignore"] = "refuse"
    max_bytes: Positive = 65_536
    max_future: Duration = Duration(86_400 * 400)


FieldType = Literal["number", "string", "boolean"]


class AggregateSpec(Spec, frozen=True, kw_only=True):
    """One value over the earlier records of an entity: those of event time in `[stamp - over, stamp)`.

    `count` counts them, `mean` averages the numbers of field `of`, `last` is its value in the newest of them,
    `time_since` the seconds from the newest of them to the event. Records that lack the value count in `count` only.
    """

    take: Literal["count", "mean", "last", "time_since"]
    of: str = ""
    over: Duration


class LookupSpec(Spec, frozen=True, kw_only=True):
    """A feature group cached in Redis, looked up by a field of the record, as of the record's event time.

    Its values come from producers (`fields`), or the platform keeps them itself from `records` (`aggregates`). An
    aggregate is stamped with the next multiple of `every` after a record, so that a record never counts itself;
    a record that comes more than `late` of event time behind the newest one is left out of aggregates.


    A version older than `max_age` is `stale`: it is used and flagged, or treated as missing (`on_stale`). With
    `on_missing: degrade` the features take their missing-value policy and the prediction is flagged; `reject` makes
    it a dead letter.
    `keep` is how far back (event time) the cache holds versions, so that a lagging scorer still finds its own.
    """

    key: str
    fields: dict[str, FieldType] = {}
    aggregates: dict[Name, AggregateSpec] = {}
    every: Duration = Duration(0.001)
    late: Duration = Duration(3_600)
    max_age: Duration
    keep: Duration = Duration(86_400)
    max_versions: Positive = 4_096
    allow_newer: bool = False
    on_missing: Literal["degrade", "reject"] = "degrade"
    on_stale: Literal["use", "missing"] = "use"
    schema_version: Positive = 1


class FeatureSpec(Spec, frozen=True, kw_only=True):
    """One column of the matrix: from a field of the record, or from a field of a lookup group.

    `missing: nan` gives NaN, `default` the declared default, `reject` a dead letter.
    A category outside `categories` (declared, or learnt in training) is NaN in the matrix and flags `unseen`.
    """

    name: str
    kind: Literal["numeric", "category"] = "numeric"
    field: str = ""
    lookup: str = ""
    missing: Literal["nan", "default", "reject"] = "nan"
    default: float | str | None = None
    categories: tuple[str, ...] | None = None

    @property
    def source(self) -> str:
        """The field it is read from: declared, or of the feature's own name."""
        return self.field or self.name


class LabelSpec(Spec, frozen=True, kw_only=True):
    """What comes true: its kind, and how long after the record a label still counts."""

    horizon: Duration
    classes: tuple[str, ...] = ()
    positive: str = ""
    threshold: Share = 0.5
    unit: str = ""
    description: str = ""


class FoldsSpec(Spec, frozen=True, kw_only=True):
    """How a search splits the records: by time, each fold judged on what came after it, or stratified by class."""

    kind: Literal["chronological", "stratified"] = "chronological"
    count: Annotated[int, Meta(ge=2)] = 5
    records: Annotated[int, Meta(ge=100)] | None = None


class IntervalSpec(Spec, frozen=True, kw_only=True):
    """An interval around each regression value, by split conformal prediction on records the model had not seen.

    The errors' quantiles are taken apart in so many bins of the predicted value. Source: Vovk, Gammerman, Shafer,
    Algorithmic Learning in a Random World (2005); Mondrian by prediction: Bostroem, Johansson (2020).
    """

    coverage: Share = 0.9
    bins: Annotated[int, Meta(ge=1, le=100)] = 1


class ModelSpec(Spec, frozen=True, kw_only=True):
    """A scikit-learn estimator by import path, and how columns are prepared for it.

    A regression may learn `log1p` of its target: predictions and figures are in the target's own unit again.
    """

    estimator: str
    parameters: dict[str, Any] = {}
    numeric: Literal["none", "standard"] = "none"
    category: Literal["ordinal", "onehot"] = "ordinal"
    impute: Literal["none", "median", "mean"] = "none"
    metric: str = ""
    search: dict[str, list[Any]] = {}
    draws: Positive | None = None
    folds: FoldsSpec = FoldsSpec()
    target: Literal["none", "log1p"] = "none"
    interval: IntervalSpec | None = None
    calibration: Literal["none", "sigmoid", "isotonic"] = "none"
    seed: int = 0
    runtimes: tuple[Literal["onnx", "treelite", "sklearn"], ...] = ("onnx", "treelite", "sklearn")
    tolerance: float = 1e-5
    max_bytes: Positive = 200_000_000


class HistorySpec(Spec, frozen=True, kw_only=True):
    """Where past records, features and labels are, for training and replay.

    Either files (CSV, Parquet or JSON lines, relative to the pipeline folder) or `hook`, a Python file in the
    folder with `write(folder, seed)` that writes `records.parquet`, `features.parquet`, `labels.parquet`.
    Training takes records with `train_from <= event time < train_until` (RFC 3339; empty: no bound).
    """

    hook: str = ""
    records: str = ""
    features: str = ""
    labels: str = ""
    train_from: str = ""
    train_until: str = ""
    holdout: Share = 0.25


class DeadLetterLimit(Spec, frozen=True, kw_only=True):
    """When a partition stops instead of draining into dead letters: so many in a row, or such a share of a window."""

    in_a_row: Positive = 1_000
    share: Share = 0.5
    window: Positive = 2_000


class DeliverySpec(Spec, frozen=True, kw_only=True):
    """How records are taken and promised."""

    guarantee: Literal["exactly_once", "at_least_once"] = "exactly_once"
    max_batch: Positive = 10_000
    latency_target: Duration = Duration(0.1)
    gather: Duration = Duration(0.003)
    dead_letters: DeadLetterLimit = DeadLetterLimit()


class TopicSpec(Spec, frozen=True, kw_only=True):
    """What may differ a topic; empty means the table's default."""

    retention: Duration | None = None
    max_message_bytes: Positive | None = None
    config: dict[str, str] = {}


class AlertSpec(Spec, frozen=True, kw_only=True):
    """When a figure calls for somebody: below or above a threshold."""

    metric: str
    below: float | None = None
    above: float | None = None
    severity: Literal["warning", "critical"] = "warning"


class DriftSpec(Spec, frozen=True, kw_only=True):
    """What follows when features have moved from what the model was trained on.

    `show` says so, and calls for somebody only beside a rise of errors or a worse estimate; `retrain` asks for
    retraining too. A rise of errors always asks.
    """

    action: Literal["show", "retrain"] = "show"


class MonitoringSpec(Spec, frozen=True, kw_only=True):
    """How much is observed, what is aimed at, and what raises an alarm.

    `sample` is the share of records that leave an observation in the journal; `goal` the least (or, where smaller is
    better, the most) that a model of this pipeline must reach, by metric.

    A label without its observation is held for `hold` of event time. One entry of the journal may advance the event
    time of its partition by at most `max_step` (left out: an eighth of `window`). A number counts as right `within`
    this share of what came true. `slices` are views of the same figures by a field: a list of words, or of rising
    bounds.

    Quality is of the newest windows whose labels have had their time, `rolling` long in all (left out: seven windows).
    Of fewer than `minimum` labels or records nothing is said. `detector` watches the errors of the version in force:
    `cusum` against its holdout, for rises of the share of errors by `rises`, or `adwin`, which needs no reference.
    """

    sample: Share = 1.0
    window: Duration = Duration(86_400)
    rolling: Duration | None = None
    hold: Duration = Duration(86_400)
    max_step: Duration | None = None
    within: Share = 0.1
    slices: dict[str, tuple[float | str, ...]] = {}
    goal: dict[str, float] = {}
    minimum: Positive = 200
    detector: Literal["cusum", "adwin"] = "cusum"
    rises: tuple[Share, ...] = (0.05, 0.15, 0.45)
    drift: DriftSpec = DriftSpec()
    alerts: tuple[AlertSpec, ...] = ()


class PrivacySpec(Spec, frozen=True, kw_only=True):
    """Personal fields: dropped, or replaced by a keyed hash, before anything leaves the first service to see them."""

    drop: tuple[str, ...] = ()
    hash: tuple[str, ...] = ()


class PipelineSpec(Spec, frozen=True, kw_only=True):
    """One pipeline, whole. `topics` maps names of the topic table (`predictions`, `journal` ...) to what differs."""

    schema: Literal[1] = 1
    name: Name
    title: str = ""
    task: Literal["binary", "multiclass", "regression"]
    record: RecordSpec
    features: tuple[FeatureSpec, ...]
    labels: LabelSpec
    model: ModelSpec
    lookups: dict[Name, LookupSpec] = {}
    history: HistorySpec = HistorySpec()
    partitions: Positive = 4
    replication: Positive = 1
    topics: dict[str, TopicSpec] = {}
    delivery: DeliverySpec = DeliverySpec()
    monitoring: MonitoringSpec = MonitoringSpec()
    retraining: RetrainingSpec = RetrainingSpec()
    rollout: RolloutSpec = RolloutSpec()
    privacy: PrivacySpec = PrivacySpec()
