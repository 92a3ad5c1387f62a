"""The table of topics, and the plan that leads a broker there."""

from typing import Any

import msgspec
import pytest

from shared.core.durations import parse, write
from shared.core.pipeline import (
    AggregateSpec,
    FeatureSpec,
    FieldSpec,
    LabelSpec,
    LookupSpec,
    ModelSpec,
    PipelineSpec,
    RecordSpec,
    TopicSpec,
)
from shared.core.pipeline_base import Duration
from shared.core.topic_plan import ActualTopic, compare, faults
from shared.core.topics import BATCH_BYTES, TABLE, TOPIC_NAMES, topic, wanted


def spec(**changes: Any) -> PipelineSpec:
    """A small pipeline named `p`, with some keys changed."""
    text = FieldSpec(type="string")
    record = RecordSpec(
        id="id", key="key", event_time="t", fields={"id": text, "key": text, "t": FieldSpec(type="timestamp")}
    )
    base = PipelineSpec(
        name="p",
        task="binary",
        record=record,
        features=(FeatureSpec(name="x"),),
        labels=LabelSpec(horizon=Duration(86_400)),
        model=ModelSpec(estimator="sklearn.linear_model.LogisticRegression"),
    )
    return msgspec.structs.replace(base, **changes)


def kept(over: float = 86_400, **changes: Any) -> PipelineSpec:
    """The small pipeline with a group that is kept from records."""
    count = AggregateSpec(take="count", over=Duration(over))
    group = LookupSpec(key="key", aggregates={"n": count}, late=Duration(3_600), max_age=Duration(60))
    return spec(lookups={"past": group}, **changes)


def as_made(pipeline: PipelineSpec) -> dict[str, ActualTopic]:
    """What a broker has once the plan was applied."""
    return {want.name: ActualTopic(want.partitions, want.replication, want.config) for want in wanted(pipeline)}


def test_another_partition_count_is_refused() -> None:
    """Partitions are never added: the plan refuses and says what growth is instead."""
    plan = compare(wanted(spec(partitions=8)), as_made(spec()))
    assert [action.topic for action in plan.refused][:2] == ["p.records", "p.records.dlq"]
    assert "new topic generation after a drain" in plan.refused[0].what
    assert plan.work == ()


def test_another_replication_is_only_said() -> None:
    """A replication factor that differs is a warning, since moving copies is the broker's own tools' work."""
    made = as_made(spec())
    made["p.models"] = ActualTopic(1, 3, made["p.models"].config)
    assert [(a.kind, a.topic) for a in compare(wanted(spec()), made).actions] == [("warn", "p.models")]


def test_what_is_missing_is_created_and_nothing_else() -> None:
    """On an empty broker every topic is created; on one that has them all there is nothing to do."""
    plan = compare(wanted(spec()), {})
    assert [want.name for want in wanted(spec())] == [action.topic for action in plan.work]
    assert {"create"} == {action.kind for action in plan.actions}
    assert compare(wanted(spec()), as_made(spec())).actions == ()


def test_a_config_that_differs_is_altered_alone() -> None:
    """Only the value that differs is changed, and the plan shows it before and after."""
    longer = spec(topics={"journal": TopicSpec(retention=Duration(60 * 86_400))})
    (action,) = compare(wanted(longer), as_made(spec())).work
    assert action.changes == {"retention.ms": ("2592000000", "5184000000")}
    assert "retention.ms 2592000000 -> 5184000000" in action.what


def test_faults_of_a_foreign_broker_are_named() -> None:
    """Unequal counts, producer time stamps and a journal shorter than the horizon are each said."""
    made = as_made(spec())
    made["p.predictions"] = ActualTopic(2, 1, made["p.predictions"].config)
    made["p.records"] = ActualTopic(4, 1, {**made["p.records"].config, "message.timestamp.type": "CreateTime"})
    made["p.journal"] = ActualTopic(4, 1, {**made["p.journal"].config, "retention.ms": "3600000"})
    unequal, stamped, short = faults(spec(), made)
    assert unequal == "partition counts must be equal: p.records 4, p.journal 4, p.predictions 2"
    assert stamped.startswith("p.records stamps CreateTime")
    assert short == "p.journal keeps 1h, but a label may come 1d after its record"
    assert faults(spec(), as_made(spec())) == ()


def test_every_topic_stamps_its_own_time() -> None:
    """No topic takes the producer's time: retention would delete records of old events."""
    everything = wanted(kept(), frozenset({"scoring", "edge", "monitor", "retraining"}))
    assert {"LogAppendTime"} == {want.config["message.timestamp.type"] for want in everything}
    assert len(TOPIC_NAMES) == len(everything) == len(TABLE)


def test_counts_that_have_a_meaning_are_equal() -> None:
    """Records, journal and predictions have the pipeline's count; what must be read in one order has one partition."""
    counts = {want.name: want.partitions for want in wanted(spec(partitions=6))}
    assert counts["p.records"] == counts["p.journal"] == counts["p.predictions"] == 6
    assert counts["p.models"] == counts["p.rollouts"] == counts["p.workers"] == 1


def test_a_limit_never_refuses_a_full_batch_of_small_records() -> None:
    """The broker checks whole batches, so the limit is never below a client's batch, however small the record."""
    small, large = spec(), spec(record=msgspec.structs.replace(spec().record, max_bytes=5_000_000))
    of = {want.name: int(want.config["max.message.bytes"]) for want in wanted(small)}
    assert of["p.records"] == BATCH_BYTES
    assert of["p.records.dlq"] > of["p.records"]
    of = {want.name: int(want.config["max.message.bytes"]) for want in wanted(large)}
    assert of["p.records.dlq"] > of["p.records"] > 5_000_000
    assert of["p.journal"] > of["p.records"]


def test_three_copies_need_two() -> None:
    """With replication 3 a write needs two copies; with less the broker's default stays."""
    assert {"2"} == {want.config["min.insync.replicas"] for want in wanted(spec(replication=3))}
    assert "min.insync.replicas" not in wanted(spec())[0].config


def test_a_quiet_topic_still_forgets() -> None:
    """Segments close at the retention, at a day at the latest, so that deletion is not a week late."""
    short = spec(topics={"predictions": TopicSpec(retention=Duration(3_600))})
    config = {want.name: want.config for want in wanted(short)}
    assert config["p.predictions"]["segment.ms"] == config["p.predictions"]["retention.ms"] == "3600000"
    assert config["p.records"]["segment.ms"] == "86400000"
    assert "retention.ms" not in config["p.models"]


def test_a_name_is_the_pipelines_and_the_topics() -> None:
    """Names are `<pipeline>.<topic>`."""
    assert topic("flights", "records.dlq") == "flights.records.dlq"


@pytest.mark.parametrize("text", ["2 hour", "2", "", "-1h", "1h30m", "1e3s", "h", "99999999d", "nan"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Only a number with one unit is a duration; the refusal says how to write one."""
    with pytest.raises(ValueError, match="is not a duration; write 2h, 90s or 1d"):
        parse(text)


@pytest.mark.parametrize("text", ["90s", "90m", "1d", "2h", "3ms", "0s", "400d"])
def test_durations_are_written_as_they_are_read(text: str) -> None:
    """Writing what was read gives the same text where it is the shortest."""
    assert write(parse(text)) == text


def test_entities_exist_only_where_aggregates_are_kept() -> None:
    """A pipeline without aggregates has no topic for them; one with them keeps it for as long as they look back."""
    assert "p.entities" not in [want.name for want in wanted(spec())]
    made = {want.name: want for want in wanted(kept(30 * 86_400))}["p.entities"]
    assert (spec().partitions, "delete") == (made.partitions, made.config["cleanup.policy"])
    assert str((30 * 86_400 + 3_600 + 7 * 86_400) * 1_000) == made.config["retention.ms"]
    wish = kept(topics={"entities": TopicSpec(retention=Duration(86_400))})
    assert "86400000" == {want.name: want for want in wanted(wish)}["p.entities"].config["retention.ms"]
