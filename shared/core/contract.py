"""What a pipeline's neighbours must know: schemas, key, headers, rules for id and time, examples. Pure generation."""

import json
from typing import Any

from shared.core import contract_schemas as schemas
from shared.core import durations, topics
from shared.core.pipeline import FieldSpec, PipelineSpec
from shared.core.records import CONTROL_HEADER, SCHEMA_VERSION, TRACEPARENT, TRACESTATE

Tree = dict[str, Any]
PARTITIONER = "murmur2_random"
_SAMPLE_TIME = "2026-01-31T12:00:00Z"
_SAMPLE_MS = 1_769_860_800_000
_TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def contract(spec: PipelineSpec) -> Tree:
    """The whole contract as one tree of plain values."""
    messages = _messages(spec)
    return {
        "pipeline": spec.name,
        "title": spec.title,
        "version": SCHEMA_VERSION,
        "topics": {name: _topic(spec, name) for name in messages},
        "headers": headers(),
        "rules": rules(spec),
        "schemas": messages,
        "examples": {"record": example(spec), "python": python_example(spec), "kcat": kcat_example(spec)},
    }


def asyncapi(spec: PipelineSpec, servers: str = "127.0.0.1:9092") -> Tree:
    """The contract as an AsyncAPI 3.0 document, from the side of a neighbour of Tailrace.

    Args:
        spec: the pipeline.
        servers: bootstrap servers, `host:port`, comma separated.
    """
    messages = _messages(spec)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": spec.title or spec.name,
            "version": f"{SCHEMA_VERSION}.0.0",
            "description": "\n".join(f"- {rule}" for rule in rules(spec)),
        },
        "defaultContentType": "application/json",
        "servers": {
            f"kafka{i}": {"host": host.strip(), "protocol": "kafka"} for i, host in enumerate(servers.split(","))
        },
        "channels": {_id(name): _channel(spec, name) for name in messages},
        "operations": {_verb(name) + _id(name)[:1].upper() + _id(name)[1:]: _operation(name) for name in messages},
        "components": {"messages": {_id(name): _message(name, schema) for name, schema in messages.items()}},
    }


def headers() -> Tree:
    """The headers of records, by name."""
    return {
        TRACEPARENT: "optional; W3C Trace Context, carried to the prediction",
        TRACESTATE: "optional; carried with it",
        CONTROL_HEADER: "forbidden; it marks Tailrace's own control records, and a forged one becomes a dead letter",
    }


def rules(spec: PipelineSpec) -> list[str]:
    """What no schema can say, a sentence each."""
    record, found = spec.record, []
    found.append(
        f"Kafka key: the UTF-8 text of `{record.key}`; order holds within a key. A key that differs is refused."
    )
    found.append(f"Partitioner: {PARTITIONER} (Java's murmur2); librdkafka's own default puts keys elsewhere.")
    found.append(
        f"Id: `{record.id}` names the record for ever: printable, unique, the same when a record is sent again. "
        "Every position in the log gets one outcome; of equal ids the first counts in monitoring."
    )
    found.append(
        f"Time: `{record.event_time}` is when it happened: RFC 3339 with an offset, or integer milliseconds since "
        f"1970; from 1980 to at most {durations.write(record.max_future)} after its arrival. "
        "The Kafka timestamp is not read."
    )
    found.append(
        f"Value: one JSON object in UTF-8, at most {record.max_bytes:,} bytes, no key twice, nothing coerced "
        "(no numbers as text, no 1.0 for an integer, no NaN)."
    )
    found.append(
        "Producers: acks=all and enable.idempotence=true, or records may be lost or doubled before they arrive."
    )
    found.append("Consumers: isolation.level=read_committed, or aborted predictions are read as well.")
    found.append(
        "Consumers ignore keys that they do not know; a message whose `v` is another number is another format."
    )
    found.append(
        f"A record that cannot be scored becomes one message on {spec.name}.records.dlq: the original bytes, "
        "the reason and position in headers."
    )
    found.append(
        f"Labels carry the record's id and its Kafka key, and count for {durations.write(spec.labels.horizon)} of "
        "event time; a correction has a higher `revision`."
    )
    if spec.lookups:
        found.append(
            "Feature updates are keyed `<group>:<entity>`; `time` is from when the values hold, in milliseconds."
        )
    return found


def example(spec: PipelineSpec) -> Tree:
    """A record that the schema and the decoder accept."""
    return {name: _sample(spec, name, field) for name, field in spec.record.fields.items() if field.required}


def python_example(spec: PipelineSpec) -> str:
    """A producer and a consumer with confluent-kafka."""
    return f"""\
import json
from confluent_kafka import Consumer, Producer

record = {example(spec)!r}
producer = Producer({{
    "bootstrap.servers": "127.0.0.1:9092", "partitioner": "{PARTITIONER}", "enable.idempotence": True,
}})
producer.produce(
    "{spec.name}.records", key=record[{spec.record.key!r}], value=json.dumps(record),
    headers={{"{TRACEPARENT}": "{_TRACE}"}},
)
producer.flush()

consumer = Consumer({{
    "bootstrap.servers": "127.0.0.1:9092", "group.id": "me",
    "auto.offset.reset": "earliest", "isolation.level": "read_committed",
}})
consumer.subscribe(["{spec.name}.predictions"])
while (message := consumer.poll(30)) is not None:
    if message.error():
        raise SystemExit(message.error())
    print(json.loads(message.value()))
"""


def kcat_example(spec: PipelineSpec) -> str:
    """The same with kcat."""
    record = example(spec)
    key, value = (text.replace("'", "'\\''") for text in (str(record[spec.record.key]), json.dumps(record)))
    return (
        f"printf '%s\\t%s\\n' '{key}' '{value}' | kcat -P -b 127.0.0.1:9092 -t {spec.name}.records "
        f"-K '\\t' -X partitioner={PARTITIONER} -X enable.idempotence=true\n"
        f"kcat -C -b 127.0.0.1:9092 -t {spec.name}.predictions -X isolation.level=read_committed -e\n"
    )


def _messages(spec: PipelineSpec) -> dict[topics.TopicName, Tree]:
    found: dict[topics.TopicName, Tree] = {
        "records": schemas.record(spec),
        "predictions": schemas.prediction(spec),
        "labels": schemas.label(spec),
        "records.dlq": schemas.dead_letter_headers(spec),
    }
    if spec.lookups:
        found["features"] = schemas.feature_update(spec)
    return found


def _sample(spec: PipelineSpec, name: str, field: FieldSpec) -> Any:
    if field.type == "timestamp":
        return _SAMPLE_TIME
    if field.type == "string":
        return ("example-1" if name == spec.record.id else "example")[: field.max_length]
    if field.type == "boolean":
        return True
    low = field.minimum if field.minimum is not None else min(1.0, field.maximum if field.maximum is not None else 1.0)
    return int(low) if field.type == "integer" else low


def _topic(spec: PipelineSpec, name: topics.TopicName) -> Tree:
    row, kept = topics.TABLE[name], topics.retention(spec, name)
    return {
        "name": topics.topic(spec.name, name),
        "key": spec.record.key if row.key == "entity" else row.key,
        "you": "write" if _verb(name) == "send" else "read",
        "partitions": spec.partitions,
        "cleanup": row.cleanup,
        "retention": "for ever" if kept is None else durations.write(kept),
        "max_message_bytes": topics.message_bytes(spec, name),
    }


def _verb(name: topics.TopicName) -> str:
    return "send" if name in ("records", "labels", "features") else "receive"


def _id(name: str) -> str:
    return {"records.dlq": "deadLetters"}.get(name, name)


def _channel(spec: PipelineSpec, name: topics.TopicName) -> Tree:
    row, kept = topics.TABLE[name], topics.retention(spec, name)
    config: Tree = {"cleanup.policy": row.cleanup.split(","), "max.message.bytes": topics.message_bytes(spec, name)}
    if kept is not None:
        config["retention.ms"] = round(kept * 1_000)
    binding = {
        "topic": topics.topic(spec.name, name),
        "partitions": spec.partitions,
        "replicas": spec.replication,
        "topicConfiguration": config,
        "bindingVersion": "0.5.0",
    }
    return {
        "address": topics.topic(spec.name, name),
        "messages": {_id(name): {"$ref": f"#/components/messages/{_id(name)}"}},
        "bindings": {"kafka": binding},
    }


def _operation(name: topics.TopicName) -> Tree:
    channel = f"#/channels/{_id(name)}"
    return {
        "action": _verb(name),
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{_id(name)}"}],
    }


def _message(name: topics.TopicName, schema: Tree) -> Tree:
    key = {"type": "string", "description": topics.TABLE[name].key}
    message: Tree = {"name": _id(name), "bindings": {"kafka": {"key": key, "bindingVersion": "0.5.0"}}}
    if name == "records.dlq":
        return {**message, "contentType": "application/octet-stream", "headers": _embedded(schema)}
    if name in ("records", "predictions"):
        traced = {"type": "object", "properties": {TRACEPARENT: {"type": "string"}, TRACESTATE: {"type": "string"}}}
        message["headers"] = traced
    format_ = "application/schema+json;version=draft-2020-12"
    return {**message, "payload": {"schemaFormat": format_, "schema": schema}}


def _embedded(schema: Tree) -> Tree:
    return {key: value for key, value in schema.items() if key != "$schema"}
