"""The table of topics: what each one carries, who writes and reads it, and what the broker must hold it to.

A pipeline has one set, named `<pipeline>.<topic>`. `shared/core/topic_plan.py` compares it with a broker's.
"""

from dataclasses import dataclass, field
from typing import Literal, get_args

from shared.core.pipeline import PipelineSpec, TopicSpec

TopicName = Literal[
    "records",
    "records.dlq",
    "features",
    "features.dlq",
    "entities",
    "predictions",
    "replies",
    "labels",
    "labels.dlq",
    "dlq.replayed",
    "journal",
    "outcomes",
    "scorecards",
    "errors",
    "verdicts",
    "retrain",
    "asks",
    "trainings",
    "analyst.cards",
    "analyst.memory",
    "models",
    "plans",
    "rollouts",
    "workers",
]
TOPIC_NAMES: tuple[TopicName, ...] = get_args(TopicName)
Cleanup = Literal["delete", "compact", "compact,delete"]
Part = Literal["scoring", "edge", "monitor", "retraining"]
# The parts that exist; a topic comes to be with the part that writes it.
PRESENT: frozenset[Part] = frozenset({"scoring", "monitor"})

HOUR, DAY = 3_600.0, 86_400.0
# A batch is checked against max.message.bytes as a whole, and clients send batches of up to 1,000,000 bytes:
# a topic whose limit is the size of its largest record would refuse many small ones. This is Kafka's default.
BATCH_BYTES = 1_048_588
# Key, headers (trace context, a dead letter's reason and position) and framing, beside the value.
ENVELOPE_BYTES = 8_192
# What an observation has beside its record: the prediction with its probabilities, the looked-up values.
OBSERVATION_BYTES = 262_144
# In these the number of a partition has a meaning: an observation goes to the number that its record came from.
EQUAL_COUNTS: tuple[TopicName, ...] = ("records", "journal", "predictions")


@dataclass(frozen=True, slots=True)
class Row:
    """One topic. `retention` is in seconds, None for a topic that is only compacted; `shared` has one partition."""

    key: str
    value: str
    cleanup: Cleanup
    retention: float | None
    written_by: str
    read_by: str
    introduced: Part = "scoring"
    single: bool = False


TABLE: dict[TopicName, Row] = {
    "records": Row("entity", "record, or Barrier", "delete", 7 * DAY, "producers, ingest, rollout", "scorer"),
    "records.dlq": Row("entity", "the original bytes", "delete", 14 * DAY, "scorer", "operator"),
    "features": Row(
        "group:entity", "FeatureUpdate", "compact", None, "producers, ingest, aggregates", "feature writer"
    ),
    "features.dlq": Row(
        "group:entity", "the original bytes", "delete", 14 * DAY, "feature writer, aggregates", "operator"
    ),
    "entities": Row("group:entity", "EntityEvent", "delete", 7 * DAY, "aggregates", "aggregates"),
    "predictions": Row("entity", "Prediction", "delete", 7 * DAY, "scorer", "consumers"),
    "replies": Row("request", "Prediction", "delete", HOUR, "scorer", "edge", "edge"),
    "labels": Row("entity", "Label", "delete", 30 * DAY, "producers, ingest", "label router"),
    "labels.dlq": Row("entity", "the original bytes", "delete", 14 * DAY, "label router", "operator", "monitor"),
    "dlq.replayed": Row("letter", "Replayed", "compact", None, "operator", "operator", single=True),
    "journal": Row(
        "entity", "Observation, Label or tick", "delete", 30 * DAY, "scorer, label router, shadow", "observer, shadow"
    ),
    "outcomes": Row("entity", "Outcome", "delete", 30 * DAY, "observer", "archiver", "monitor"),
    "scorecards": Row(
        "version, window, partition, rate", "Scorecard or Account", "compact,delete", 90 * DAY, "observer", "analyst",
        "monitor", single=True,
    ),
    "errors": Row(
        "version, partition", "ErrorBlock", "delete", 30 * DAY, "observer", "analyst", "monitor", single=True
    ),
    "verdicts": Row(
        "version, metric or window", "Verdict or WindowFigures", "compact,delete", 90 * DAY, "analyst",
        "console, retrainer", "monitor", single=True,
    ),
    "retrain": Row("pipeline", "RetrainRequest", "delete", 30 * DAY, "analyst", "retrainer", "monitor", single=True),
    "asks": Row("id", "Ask", "delete", 30 * DAY, "operator", "analyst", "monitor", single=True),
    "trainings": Row(
        "training", "Training or Book", "compact", None, "retrainer", "retrainer, console", "monitor", single=True
    ),
    "analyst.cards": Row(
        "as in scorecards", "as in scorecards", "compact", None, "analyst", "analyst", "monitor", single=True
    ),
    "analyst.memory": Row("pipeline", "memory, packed", "compact", None, "analyst", "analyst", "monitor", single=True),
    "models": Row(
        "pipeline/epoch", "Rollout", "compact", None, "rollout, operator", "scorer, ingest, analyst", single=True
    ),
    "plans": Row("pipeline", "PlanState", "compact", None, "rollout, operator", "rollout, console", single=True),
    "rollouts": Row("partition/offset", "Application", "compact", None, "scorer", "scorer, why", single=True),
    "workers": Row("worker", "Heartbeat", "compact", None, "scorer", "rollout, console", single=True),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class WantedTopic:
    """One topic as it must be. `config` has the broker's names; what it does not name is left alone."""

    name: str
    partitions: int
    replication: int
    config: dict[str, str] = field(default_factory=dict)


def topic(pipeline: str, name: TopicName) -> str:
    """The topic's name on the broker."""
    return f"{pipeline}.{name}"


def retention(spec: PipelineSpec, name: TopicName) -> float | None:
    """Seconds that the topic keeps a record: the pipeline's wish, else the table's; None is for ever.

    `entities` is kept for as long as aggregates look back, and the table's time on top: a fold that starts anew reads
    its windows from there.
    """
    wish = spec.topics.get(name, TopicSpec()).retention
    if wish is not None:
        return float(wish)
    usual = TABLE[name].retention
    return usual if usual is None or name != "entities" else usual + look_back(spec)


def look_back(spec: PipelineSpec) -> float:
    """Seconds of event time before the newest record in which another may still count in an aggregate; 0: none may."""
    spans = (one.over + lookup.late for lookup in spec.lookups.values() for one in lookup.aggregates.values())
    return max(map(float, spans), default=0.0)


def message_bytes(spec: PipelineSpec, name: TopicName) -> int:
    """The topic's `max.message.bytes`: the pipeline's wish, else room for what it must be able to carry."""
    wish = spec.topics.get(name, TopicSpec()).max_message_bytes
    return wish or max(BATCH_BYTES, needed_bytes(spec, name))


def needed_bytes(spec: PipelineSpec, name: TopicName) -> int:
    """The bytes below which a good message of the largest allowed size would be refused."""
    record = spec.record.max_bytes + ENVELOPE_BYTES
    if name == "records":
        return record
    if name == "records.dlq":
        # A dead letter is whatever `records` let in, plus its own headers.
        return message_bytes(spec, "records") + ENVELOPE_BYTES
    if name in ("journal", "outcomes"):
        return record + OBSERVATION_BYTES
    if name == "entities":
        return record
    return ENVELOPE_BYTES


def wanted(spec: PipelineSpec, present: frozenset[Part] = PRESENT) -> tuple[WantedTopic, ...]:
    """The topics that a pipeline needs, in the table's order.

    Args:
        spec: the pipeline.
        present: the parts that run; topics of the others are not asked for. `entities` is only wanted where a group
            is kept from records.
    """
    names = (name for name in TOPIC_NAMES if TABLE[name].introduced in present)
    return tuple(_wanted(spec, name) for name in names if name != "entities" or look_back(spec))


def _wanted(spec: PipelineSpec, name: TopicName) -> WantedTopic:
    partitions = 1 if TABLE[name].single else spec.partitions
    return WantedTopic(topic(spec.name, name), partitions, spec.replication, _config(spec, name))


def _config(spec: PipelineSpec, name: TopicName) -> dict[str, str]:
    config = {
        "cleanup.policy": TABLE[name].cleanup,
        # Event times as record timestamps are deleted by retention within minutes when they are old.
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(message_bytes(spec, name)),
        "compression.type": "producer",
    }
    config |= _compaction(name) if TABLE[name].cleanup != "delete" else {}
    if (seconds := retention(spec, name)) is not None and TABLE[name].cleanup != "compact":
        config["retention.ms"] = str(round(seconds * 1_000))
        # Only whole segments are deleted: without this a quiet topic would keep a record for a week longer.
        config.setdefault("segment.ms", str(round(min(max(seconds, 600.0), DAY) * 1_000)))
    if spec.replication >= 3:  # noqa: PLR2004 - with three copies one may be away, and nothing acknowledged is lost
        config["min.insync.replicas"] = "2"
    return config | spec.topics.get(name, TopicSpec()).config


def _compaction(name: TopicName) -> dict[str, str]:
    # The newest segment is never compacted: small topics that are read whole at each start must close theirs often.
    segment, dirty = (6 * HOUR, "0.3") if name == "features" else (HOUR, "0.1")
    return {"segment.ms": str(round(segment * 1_000)), "min.cleanable.dirty.ratio": dirty}
