"""JSON Schemas of what crosses a pipeline's border, made from its declaration and from our own types. Pure."""

from collections.abc import Sequence
from typing import Any

import msgspec

from shared.core import deadletter, reasons
from shared.core.codec import EARLIEST_MS, LEAST_INTEGER, MOST_INTEGER
from shared.core.pipeline import FieldSpec, IntervalSpec, LookupSpec, PipelineSpec
from shared.core.records import SCHEMA_VERSION, FeatureUpdate, Label, Prediction

Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
_CLOCK = r"[Tt ]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):?[0-5]\d)$"
_DAY = r"-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
TIMESTAMP = rf"^\d{{4}}{_DAY}{_CLOCK}"
# The same from 1980 on: the earliest event time that is believed.
EVENT_TIME = rf"^(19[89]\d|[2-9]\d{{3}}){_DAY}{_CLOCK}"
# One printable character or more; written as "none of these" since `$` stands before a last newline in some engines.
PRINTABLE = (
    "^(?![\\s\\S]*[\\u0000-\\u001f\\u007f-\\u00a0\\u00ad\\u1680\\u2000-\\u200f\\u2028-\\u202f\\u205f-\\u206f\\u3000"
    "\\ue000-\\uf8ff\\ufeff])[\\s\\S]"
)


def record(spec: PipelineSpec) -> Schema:
    """What a record must be. What JSON Schema cannot say is in words in `shared/core/contract.py`."""
    record_ = spec.record
    fields = {name: _field(name, field, spec) for name, field in record_.fields.items()}
    required = [name for name, field in record_.fields.items() if field.required]
    return {
        "$schema": DIALECT,
        "title": f"{spec.name} record",
        "type": "object",
        "properties": fields,
        "required": required,
        "additionalProperties": record_.extra == "ignore",
    }


def prediction(spec: PipelineSpec) -> Schema:
    """What consumers get; keys may be added, and none is taken away within a version `v`."""
    schema = _of(Prediction, f"{spec.name} prediction")
    fields = schema["properties"]
    # What a task never has is not promised.
    fields.pop("probabilities")
    fields.pop("interval")
    if spec.task == "regression":
        fields["label"] = {"type": "number"}
        if spec.model.interval is not None:
            fields["interval"] = _interval(spec.model.interval)
    else:
        fields["label"] = {"enum": list(spec.labels.classes)}
        fields["score"] |= {"minimum": 0, "maximum": 1}
    if spec.task == "multiclass":
        fields["probabilities"] = _probabilities(spec.labels.classes)
        schema["required"].append("probabilities")
    fields["flags"]["items"] = {"type": "string", "examples": ["degraded", "stale", "first", "unseen", "out_of_range"]}
    return schema


def label(spec: PipelineSpec) -> Schema:
    """What producers of labels write."""
    schema = _of(Label, f"{spec.name} label")
    if spec.task == "regression":
        value: Schema = {"type": "number"}
    elif spec.task == "binary":
        value = {"anyOf": [{"enum": list(spec.labels.classes)}, {"type": "boolean"}]}
    else:
        value = {"enum": list(spec.labels.classes)}
    schema["properties"]["value"] = value
    schema["additionalProperties"] = False  # a misspelt `revision` must not pass for a label without one
    return schema


def feature_update(spec: PipelineSpec) -> Schema:
    """What producers of looked-up features write: one of the declared groups, with some or all of its fields."""
    schema = _of(FeatureUpdate, f"{spec.name} feature update")
    schema["properties"]["time"] |= {"minimum": EARLIEST_MS}
    schema["properties"]["group"] = {"enum": list(spec.lookups)}
    schema["oneOf"] = [_group(name, lookup) for name, lookup in spec.lookups.items()]
    return schema


def dead_letter_headers(spec: PipelineSpec) -> Schema:
    """The headers of a dead letter, as UTF-8 texts; its value is the original record's bytes."""
    position = rf"^{spec.name}\.[a-z.]+\[\d+\]@\d+$"
    return {
        "$schema": DIALECT,
        "title": f"{spec.name} dead letter headers",
        "type": "object",
        "properties": {
            deadletter.REASON: {"enum": sorted(reasons.ALL), "description": "A short stable code."},
            deadletter.DETAIL: {"type": "string", "description": "What exactly was wrong, for a person."},
            deadletter.SOURCE: {"type": "string", "pattern": position, "description": "The record's position."},
            deadletter.BODY: {
                "enum": ["original", "redacted", "withheld", "reference", "null"],
                "description": "The value is the original, or has its personal fields taken out, or is left out "
                "(withheld: personal fields could not be told apart; reference: too large), or was null.",
            },
            deadletter.ORIGIN: {"type": "string", "description": "The letter that this record was replayed from."},
            deadletter.ATTEMPT: {"type": "string", "description": "Which try of the record this is, after a replay."},
        },
        "required": [deadletter.REASON, deadletter.DETAIL, deadletter.SOURCE, deadletter.BODY],
    }


def _field(name: str, field: FieldSpec, spec: PipelineSpec) -> Schema:
    schema = _named(name, spec) | _typed(name, field, spec)
    about = " ".join(part for part in (field.description, f"[{field.unit}]" if field.unit else "") if part)
    if about:
        schema["description"] = about
    if field.nullable:
        return {"anyOf": [schema, {"type": "null"}]}
    return schema


def _typed(name: str, field: FieldSpec, spec: PipelineSpec) -> Schema:
    if field.type == "timestamp":
        event = name == spec.record.event_time
        return {
            "anyOf": [
                {"type": "integer", **({"minimum": EARLIEST_MS} if event else {})},
                {"type": "string", "pattern": EVENT_TIME if event else TIMESTAMP},
            ]
        }
    if field.type == "string":
        return {"type": "string", "maxLength": field.max_length}
    low, high = (field.minimum, field.maximum) if field.out_of_range == "reject" else (None, None)
    if field.type == "integer":
        low = LEAST_INTEGER if low is None else max(int(low), LEAST_INTEGER)
        high = MOST_INTEGER if high is None else min(int(high), MOST_INTEGER)
    bounds = {"minimum": low, "maximum": high}
    return {"type": field.type, **{word: bound for word, bound in bounds.items() if bound is not None}}


def _named(name: str, spec: PipelineSpec) -> Schema:
    return {"pattern": PRINTABLE} if name in (spec.record.id, spec.record.key) else {}


def _interval(interval: IntervalSpec) -> Schema:
    told = f"From and to, in the target's own unit: {interval.coverage:.0%} of the truths are expected between them."
    number: Schema = {"type": "number"}
    return {"type": "array", "prefixItems": [number, number], "minItems": 2, "maxItems": 2, "description": told}


def _probabilities(classes: Sequence[str]) -> Schema:
    share: Schema = {"type": "number", "minimum": 0, "maximum": 1}
    return {
        "type": "object",
        "properties": dict.fromkeys(classes, share),
        "required": list(classes),
        "additionalProperties": False,
        "description": "Of every class, in the order of the classes; they add up to 1.",
    }


def _group(name: str, lookup: LookupSpec) -> Schema:
    values = {field: {"type": [kind, "null"]} for field, kind in lookup.fields.items()}
    return {
        "title": name,
        "properties": {
            "group": {"const": name},
            "values": {"type": "object", "properties": values, "additionalProperties": False},
        },
    }


def _of(kind: type[msgspec.Struct], title: str) -> Schema:
    """One of our own types, without the indirection that a single definition does not need."""
    made: dict[str, Any] = msgspec.json.schema(kind)["$defs"][kind.__name__]
    schema = {"$schema": DIALECT, **made, "title": title, "description": " ".join(made["description"].split())}
    schema["properties"]["v"] = {"const": SCHEMA_VERSION, "description": "Version of this schema."}
    return schema
