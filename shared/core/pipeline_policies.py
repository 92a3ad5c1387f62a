"""What a pipeline's file means as a whole, second half: labels, model, history, delivery, topics, privacy."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from shared.core import durations, topics
from shared.core.mistakes import Mistake, at, near
from shared.core.pipeline import MonitoringSpec, PipelineSpec, TopicSpec
from shared.core.pipeline_loop_checks import gate, retraining
from shared.core.pipeline_rollout_checks import rollout

Answers = Iterator[Mistake]
_ESTIMATOR = re.compile(r"sklearn(\.[a-z][a-z0-9_]*)+\.[A-Z]\w*")
_TABLES = (".csv", ".parquet", ".jsonl")
MAX_CUTS = 20
# What the table decides, and the key that says it instead.
_DECIDED = {
    "retention.ms": "use the key `retention`",
    "max.message.bytes": "use the key `max_message_bytes`",
    "cleanup.policy": "readers rely on the table's",
    "message.timestamp.type": "retention would delete records of old events",
}


def distinct(path: str, words: Sequence[str]) -> Answers:
    """Each word that stands a second time, or is empty."""
    for i, word in enumerate(words):
        if not word:
            yield Mistake(at(path, i), "is empty", "take it away")
        elif word in words[:i]:
            yield Mistake(at(path, i), f'"{word}" stands twice', "take one away")


def _classes(spec: PipelineSpec) -> Answers:
    """Binary: two classes, one of them positive (a label true or false is then the positive or the other)."""
    labels, count = spec.labels, len(spec.labels.classes)
    yield from distinct("labels.classes", labels.classes)
    if spec.task == "binary" and count != 2:  # noqa: PLR2004 - that is what binary means
        what = f"has {count} classes, a binary task has 2"
        yield Mistake("labels.classes", what, 'name both; quote them where they are "true" and "false"')
    if spec.task == "multiclass" and count < 2:  # noqa: PLR2004 - one class is no choice
        yield Mistake("labels.classes", f"has {count} classes, a multiclass task has 2 or more", "name them all")
    if spec.task == "regression" and count:
        yield Mistake("labels.classes", "are given, but the task is regression", "take them away, or mend `task`")


def _positive(spec: PipelineSpec) -> Answers:
    labels = spec.labels
    if spec.task != "binary":
        if labels.positive:
            yield Mistake("labels.positive", f"has no meaning in a {spec.task} task", "take it away")
    elif labels.classes and labels.positive not in labels.classes:
        what = f'"{labels.positive}" is none of the classes' if labels.positive else "is missing"
        yield Mistake("labels.positive", what, f"name the class that the score is of: {' or '.join(labels.classes)}")


def _threshold(spec: PipelineSpec) -> Answers:
    if spec.task != "binary" and spec.labels.threshold != 0.5:  # noqa: PLR2004 - the default
        yield Mistake("labels.threshold", f"has no meaning in a {spec.task} task", "take it away")
    if spec.task != "regression" and spec.labels.unit:
        yield Mistake("labels.unit", "is given, but classes have no unit", "take it away")


def _horizon(spec: PipelineSpec) -> Answers:
    horizon = spec.labels.horizon
    if horizon <= 0:
        yield Mistake("labels.horizon", "must be longer than nothing", "write 2h, 90s or 1d")
    names: tuple[topics.TopicName, ...] = ("journal", "predictions")
    for name in names:
        kept = topics.retention(spec, name)
        if kept is not None and horizon > kept:
            what = f"{durations.write(horizon)} is longer than the retention of topic {name} ({durations.write(kept)})"
            yield Mistake("labels.horizon", what, f"raise topics.{name}.retention or lower the horizon")


def _estimator(spec: PipelineSpec) -> Answers:
    path = spec.model.estimator
    if not path.startswith("sklearn."):
        what = f'"{path}" is not from scikit-learn'
        remedy = "name a sklearn estimator: scorers load only types they know, never code that a model brings"
        yield Mistake("model.estimator", what, remedy)
    elif not _ESTIMATOR.fullmatch(path):
        remedy = "write it like sklearn.linear_model.LogisticRegression"
        yield Mistake("model.estimator", f'"{path}" is no import path of a class', remedy)


def _search(spec: PipelineSpec) -> Answers:
    for name, values in spec.model.search.items():
        if name not in spec.model.parameters:
            remedy = near(name, spec.model.parameters)
            remedy = remedy if remedy.startswith("did") else "give there the value that is taken without a search"
            yield Mistake(f"model.search.{name}", "is none of model.parameters", remedy)
        if len(values) == 0:
            yield Mistake(f"model.search.{name}", "is empty", "list the values to try")


def _model(spec: PipelineSpec) -> Answers:
    if spec.model.tolerance <= 0:
        yield Mistake("model.tolerance", "must be above 0", "leave it out for 1e-5")
    if len(spec.model.runtimes) == 0:
        yield Mistake("model.runtimes", "is empty", "leave it out for all")
    yield from distinct("model.runtimes", spec.model.runtimes)


def _history(spec: PipelineSpec) -> Answers:
    files = {name: getattr(spec.history, name) for name in ("records", "features", "labels")}
    named = [name for name, file in files.items() if file]
    if spec.history.hook and named:
        what = f"is given beside {', '.join(named)}"
        yield Mistake("history.hook", what, "past data comes from a hook or from files, not from both")
    if spec.history.hook and not spec.history.hook.endswith(".py"):
        yield Mistake("history.hook", f'"{spec.history.hook}" is no Python file', "name one, such as history.py")
    if named and not files["records"]:
        yield Mistake("history.records", "is missing", "features and labels belong to records")
    for name in named:
        if not files[name].endswith(_TABLES):
            yield Mistake(f"history.{name}", f'"{files[name]}" is no known kind of file', f"use {', '.join(_TABLES)}")


def _training(spec: PipelineSpec) -> Answers:
    bounds: list[datetime] = []
    for name in ("train_from", "train_until"):
        text = getattr(spec.history, name)
        if not text:
            continue
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            yield Mistake(f"history.{name}", f'"{text}" is no RFC 3339 time', "write it like 2013-02-01T00:00:00Z")
        else:
            bounds.append(moment)
    if len(bounds) == 2 and bounds[0] >= bounds[1]:  # noqa: PLR2004 - both are given
        yield Mistake("history.train_from", "is not before train_until", "no record could be trained on")


def _holdout(spec: PipelineSpec) -> Answers:
    if not 0 < spec.history.holdout < 1:
        what = f"{spec.history.holdout:g} leaves nothing to {'judge by' if not spec.history.holdout else 'fit'}"
        yield Mistake("history.holdout", what, "write a share between 0 and 1, such as 0.25")


def _delivery(spec: PipelineSpec) -> Answers:
    if spec.delivery.latency_target <= 0:
        yield Mistake("delivery.latency_target", "must be longer than nothing", "write 100ms")
    elif spec.delivery.gather >= spec.delivery.latency_target:
        what = f"{durations.write(spec.delivery.gather)} uses the whole latency target up"
        yield Mistake("delivery.gather", what, "make it a small part of latency_target")
    if spec.delivery.dead_letters.share <= 0:
        yield Mistake("delivery.dead_letters.share", "0 would stop at the first bad record", "write a share above 0")


def _monitoring(spec: PipelineSpec) -> Answers:
    if spec.monitoring.window <= 0:
        yield Mistake("monitoring.window", "must be longer than nothing", "write 1h or 1d")
    if spec.monitoring.max_step is not None and spec.monitoring.max_step <= 0:
        yield Mistake("monitoring.max_step", "would stop event time", "write 1h, or leave it out")


def _watched(spec: PipelineSpec) -> Answers:
    """Rolling quality is of whole windows; rises are looked for from the smallest on, and by one detector."""
    watched = spec.monitoring
    if watched.rolling is not None and watched.rolling < watched.window:
        what = f"{durations.write(watched.rolling)} is shorter than a window ({durations.write(watched.window)})"
        yield Mistake("monitoring.rolling", what, "write a few windows, or leave it out for seven")
    if not watched.rises or list(watched.rises) != sorted({rise for rise in watched.rises if 0 < rise < 1}):
        what = "are not rising shares between 0 and 1"
        yield Mistake("monitoring.rises", what, "list the smallest first, such as [0.05, 0.15, 0.45]")
    elif watched.detector == "adwin" and watched.rises != MonitoringSpec().rises:
        yield Mistake("monitoring.rises", "has no meaning with adwin, which finds any rise", "take it away")


def _sliced(spec: PipelineSpec) -> Iterable[tuple[str, str, tuple[float | str, ...]]]:
    return ((f"monitoring.slices.{name}", name, cuts) for name, cuts in spec.monitoring.slices.items())


def _slice_field(spec: PipelineSpec, path: str, name: str, cuts: tuple[float | str, ...]) -> Answers:
    """A slice is published in the clear, so it is of no personal field; words cut words, and bounds cut numbers."""
    if name not in spec.record.fields:
        yield Mistake(path, f'"{name}" is no field of the record', near(name, spec.record.fields))
        return
    kind = spec.record.fields[name].type
    words = kind in ("string", "boolean")
    if kind == "timestamp":
        yield Mistake(path, "is of a timestamp", "windows are slices of time already")
    elif any(isinstance(cut, str) != words for cut in cuts):
        yield Mistake(path, f"field is a {kind}", f"list {'words' if words else 'rising numbers'}")
    elif not words and list(cuts) != sorted(set(cuts)):
        yield Mistake(path, "bounds do not rise", "list each once, the smallest first")
    if name in (*spec.privacy.drop, *spec.privacy.hash):
        yield Mistake(path, f'"{name}" is personal', "figures are for everybody: take it away")


def _slice_count(_spec: PipelineSpec, path: str, _name: str, cuts: tuple[float | str, ...]) -> Answers:
    if not cuts:
        yield Mistake(path, "is empty", "list the words or the bounds that cut it")
    elif len(cuts) > MAX_CUTS:
        yield Mistake(path, f"has {len(cuts)} parts, {MAX_CUTS} at most", "each is a row in every scorecard")
    yield from distinct(path, [cut for cut in cuts if isinstance(cut, str)])


def _named_topics(spec: PipelineSpec) -> Iterable[tuple[str, TopicSpec]]:
    return spec.topics.items()


def _topic_name(_spec: PipelineSpec, name: str, _wish: TopicSpec) -> Answers:
    if name not in topics.TABLE:
        yield Mistake(f"topics.{name}", "is no topic of a pipeline", near(name, topics.TOPIC_NAMES))


def _topic_retention(_spec: PipelineSpec, name: str, wish: TopicSpec) -> Answers:
    if name not in topics.TABLE or wish.retention is None:
        return
    if topics.TABLE[name].cleanup == "compact":
        what, remedy = "is compacted: it keeps the last value of each key for ever", "take it away"
        yield Mistake(f"topics.{name}.retention", what, remedy)
    elif wish.retention <= 0:
        yield Mistake(f"topics.{name}.retention", "must be longer than nothing", "write 7d")


def _topic_bytes(spec: PipelineSpec, name: str, wish: TopicSpec) -> Answers:
    if name not in topics.TABLE or wish.max_message_bytes is None:
        return
    needed = topics.needed_bytes(spec, name)
    if wish.max_message_bytes < needed:
        what = f"{wish.max_message_bytes:,} is too small for a record of record.max_bytes ({spec.record.max_bytes:,})"
        yield Mistake(f"topics.{name}.max_message_bytes", what, f"give {needed:,} or more, or lower record.max_bytes")


def _topic_config(_spec: PipelineSpec, name: str, wish: TopicSpec) -> Answers:
    for key in wish.config:
        if key in _DECIDED:
            yield Mistake(f"topics.{name}.config", f"{key} cannot be set here", _DECIDED[key])


def _private(spec: PipelineSpec) -> Iterable[tuple[str, str, str]]:
    return (
        (how, f"privacy.{how}[{i}]", name)
        for how in ("drop", "hash")
        for i, name in enumerate(getattr(spec.privacy, how))
    )


def _privacy(spec: PipelineSpec, how: str, path: str, name: str) -> Answers:
    if name not in spec.record.fields:
        yield Mistake(path, f'"{name}" is no field of the record', near(name, spec.record.fields))
        return
    done = "dropped" if how == "drop" else "hashed"
    for use in _uses(spec, name, how):
        yield Mistake(path, f'"{name}" is {use}, so it cannot be {done}', "take it out of one of the two")
    if how == "hash" and spec.record.fields[name].type != "string":
        yield Mistake(path, f'"{name}" is a {spec.record.fields[name].type}', "only texts are hashed; drop it instead")
    if how == "hash" and name in spec.privacy.drop:
        yield Mistake(path, f'"{name}" is dropped as well', "take it out of one of the two")


def _uses(spec: PipelineSpec, name: str, how: str) -> Iterator[str]:
    if name == spec.record.event_time:
        yield "the event time"
    if how == "drop" and name in (spec.record.id, spec.record.key):
        yield "the record's id or key"
    if any(not feature.lookup and feature.source == name for feature in spec.features):
        yield "a feature"
    if any(lookup.key == name for lookup in spec.lookups.values()):
        yield "the key of a lookup"


WHOLE: tuple[Callable[[PipelineSpec], Answers], ...] = (
    _classes, _positive, _threshold, _horizon, _estimator, _search, _model,
    _history, _training, _holdout, _delivery, _monitoring, _watched, retraining, gate, rollout,
)  # fmt: skip
PARTS: tuple[tuple[Callable[[PipelineSpec], Iterable[tuple[Any, ...]]], tuple[Callable[..., Answers], ...]], ...] = (
    (_named_topics, (_topic_name, _topic_retention, _topic_bytes, _topic_config)),
    (_private, (_privacy,)),
    (_sliced, (_slice_field, _slice_count)),
)
