"""The pipeline's file, written for people: one line a field, a comment where a guess was made."""

import json
import os
import re
from pathlib import Path

from shared.core import durations
from shared.core.topics import TABLE, TopicName
from tailrace.initialise.draft import Draft
from tailrace.initialise.plan import FieldPlan

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?: [A-Za-z0-9_]+)*")
_WORDS = {"yes", "no", "y", "n", "on", "off", "true", "false", "null", "none"}
_SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "pipeline.schema.json"
_SMALL = 1_000


def pipeline_text(made: Draft, folder: Path) -> str:
    """The text of `pipeline.yaml`.

    Args:
        made: the plan.
        folder: where the file will lie, so that editors find its schema.
    """
    blocks = [_head(made, folder), _record(made), _features(made), _labels(made), _model(made), _rest(made)]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def quoted(text: str) -> str:
    """A text as YAML: bare where that is safe."""
    bare = _PLAIN.fullmatch(text) is not None and text.lower() not in _WORDS
    return text if bare else _text(text)


def _head(made: Draft, folder: Path) -> list[str]:
    schema = [f"# yaml-language-server: $schema={os.path.relpath(_SCHEMA, folder)}"] if _SCHEMA.is_file() else []
    return [
        *schema,
        f"# Made by `tailrace init` from {_comment(made.sheet.source.path.name)}.",
        "# Every line is a guess from the data: change what you know better.",
        "schema: 1",
        f"name: {made.ask.name}",
        f"title: {quoted(title(made))}",
        f"task: {made.target.task}",
    ]


def title(made: Draft) -> str:
    """What the pipeline answers."""
    if not made.roles.label:
        return f"How unusual is a record of {made.sheet.source.path.name}?"
    return f"{made.roles.label}, from the other columns of {made.sheet.source.path.name}"


def _record(made: Draft) -> list[str]:
    roles, planned = made.roles, {field.column for field in made.fields}
    others = [name for name in made.sheet.columns if name not in planned and name != roles.label]
    size = sum(field.max_length for field in made.fields) * 4 + 100 * len(made.fields)
    return [
        "record:",
        f"  id: {quoted(roles.id_field)}",
        f"  key: {quoted(roles.key_field)}",
        f"  event_time: {quoted(roles.time or roles.time_field)}",
        *(["  # Columns that were left out may be sent along."] if others else []),
        *(["  extra: ignore"] if others else []),
        *([f"  max_bytes: {2 * size}"] if size > 65_536 else []),  # noqa: PLR2004 - the default
        "  # Bounds are half a span wider than what the file has; a value outside is scored and flagged.",
        "  fields:",
        *(f"    {quoted(field.name)}: {{{', '.join(_field(field))}}}" for field in made.fields),
    ]


def _field(field: FieldPlan) -> list[str]:
    bounded = field.minimum is not None or field.maximum is not None
    parts = [
        f"type: {field.type}",
        "required: false, nullable: true" if field.optional else "",
        f"minimum: {_number(field.minimum)}" if field.minimum is not None else "",
        f"maximum: {_number(field.maximum)}" if field.maximum is not None else "",
        "out_of_range: flag" if bounded else "",
        f"max_length: {field.max_length}" if field.max_length not in (0, 256) else "",
        f"unit: {_text(field.unit)}" if field.unit else "",
        f"description: {quoted(field.description)}" if field.description else "",
    ]
    return [part for part in parts if part]


def _number(value: float) -> str:
    if value == int(value) and abs(value) < 1e15:  # noqa: PLR2004 - exact
        return str(int(value))
    digits, e, power = repr(value).partition("e")
    return f"{digits}{'' if '.' in digits else '.0'}{e}{power}"  # YAML reads 1e-05 as a text


def _features(made: Draft) -> list[str]:
    lines = [
        "# An unseen category and a missing value are scored as missing; the first is flagged `unseen`.",
        "features:",
    ]
    for field in made.fields:
        if field.feature == "numeric":
            lines.append(f"  - {{name: {quoted(field.name)}}}")
        elif field.feature:
            known = f", categories: [{', '.join(map(_text, field.categories))}]" if field.categories else ""
            lines.append(f"  - {{name: {quoted(field.name)}, kind: category{known}}}")
    without = [
        f"  # {field.name}: {_comment(field.why_not)}" for field in made.fields if field.why_not and field.column
    ]
    return [*lines, *(["  # No features:"] if without else []), *without]


def _text(word: str) -> str:
    """A text in double quotes. JSON leaves bare what YAML refuses (DEL) or folds into a blank (U+2028)."""
    return "".join(c if c.isprintable() else _escaped(c) for c in json.dumps(word, ensure_ascii=False))


def _escaped(c: str) -> str:
    return f"\\u{ord(c):04x}" if ord(c) <= 0xFFFF else f"\\U{ord(c):08x}"  # noqa: PLR2004 - four digits hold no more


def _comment(text: str) -> str:
    """A text that ends no line: a file may be called anything."""
    return "".join(c if c.isprintable() else " " for c in text)


def _labels(made: Draft) -> list[str]:
    delay = durations.write(made.timeline.delay_ms / 1000)
    lines = ["labels:", "  # How long after its record a label still counts.", f"  horizon: {delay}"]
    if made.target.classes:
        lines.append(f"  classes: [{', '.join(map(_text, made.target.classes))}]")
    if made.target.positive:
        lines.append(f"  positive: {_text(made.target.positive)}")
    what = made.roles.label or "none: the score says how unusual a record is"
    return [*lines, f"  description: {quoted(what)}"]


def _model(made: Draft) -> list[str]:
    if not made.roles.label:
        return [
            "model:",
            "  estimator: sklearn.ensemble.IsolationForest",
            "  parameters: {n_estimators: 100}",
            "  impute: median",
            "  category: onehot",
        ]
    kind = "Regressor" if made.target.task == "regression" else "Classifier"
    small = made.target.labelled < _SMALL
    rounds = 60 if small or len(made.target.classes) > 10 else 100  # noqa: PLR2004 - a tree a class and round
    leaf = 5 if small else 20
    lines = [
        "model:",
        f"  estimator: sklearn.ensemble.HistGradientBoosting{kind}",
        f"  parameters: {{max_iter: {rounds}, learning_rate: 0.1, min_samples_leaf: {leaf}, early_stopping: false}}",
    ]
    if made.target.log:
        lines += ["  # Positive and skewed: its logarithm is learned, answers are in its own unit.", "  target: log1p"]
    if made.target.task == "regression":
        lines.append("  interval: {coverage: 0.9}")
    return lines


def _rest(made: Draft) -> list[str]:
    labels = ["  labels: labels.parquet"] if made.roles.label else []
    lines = ["history:", "  records: records.parquet", *labels, "", "partitions: 4"]
    short = [name for name in _KEPT if (kept := TABLE[name].retention) and made.timeline.delay_ms > kept * 1000]
    if short:
        longer = durations.write(2 * made.timeline.delay_ms / 1000)
        lines += ["", "# Kept until their labels have come.", "topics:"]
        lines += [f"  {name}: {{retention: {longer}}}" for name in short]
    return lines


_KEPT: tuple[TopicName, ...] = ("journal", "predictions")
