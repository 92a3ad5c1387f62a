"""The model card: what a version is, what it learned from, how good it is beside the trivial answer, and its limits.

Source of the sections: Mitchell et al., Model Cards for Model Reporting (2019).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from services.retrainer.fingerprint import Ranges
from services.retrainer.learn import Learned
from shared.core.bundle_checks import classes_of
from shared.core.gate import GateFigures
from shared.core.pipeline import PipelineSpec
from shared.core.quality import is_better

TRIVIAL, LINEAR = "baseline_", "linear_"


class Told(msgspec.Struct, frozen=True):
    """What only the caller of a training knows: offsets that the archive's rows came from, the gate, why it was asked.

    `champion` is the version that it was judged beside.
    """

    offsets: Ranges = {}
    gate: GateFigures | None = None
    champion: str = ""
    asked: str = ""


NOTHING = Told()


def card_of(learned: Learned, told: Told, version: str) -> str:
    """The card, in Markdown."""
    spec = learned.content.spec
    parts = [
        [f"# {_plain(spec.title or spec.name)}, version {version}"],
        _what(spec, learned, told),
        _data(spec, learned, told),
        _figures(learned),
        _gate(told),
        _features(spec, learned),
        _limits(spec, learned),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _what(spec: PipelineSpec, learned: Learned, told: Told) -> list[str]:
    content = learned.content
    rows = [
        ("pipeline", spec.name),
        ("task", spec.task + (f": {', '.join(classes_of(spec))}" if classes_of(spec) else "")),
        ("estimator", spec.model.estimator),
        ("parameters", ", ".join(f"{name}={value}" for name, value in spec.model.parameters.items()) or "its defaults"),
        ("seed", str(spec.model.seed)),
        ("runtime", content.chosen.runtime),
        *([("asked for by", told.asked)] if told.asked else []),
        *([("run", content.run_id)] if content.run_id else []),
    ]
    return ["## What it is", "", *_table(("", ""), rows)]


def _data(spec: PipelineSpec, learned: Learned, told: Told) -> list[str]:
    content = learned.content
    rows = [
        ("records", f"{learned.n:,}"),
        ("event time", f"{_moment(content.trained_from)} to {_moment(content.trained_until)}"),
        (
            "judged on",
            f"{learned.n_holdout:,} later records, by a model of {learned.n_fit:,}; it was then fitted on all",
        ),
        ("between the two", f"a gap of the labels' horizon, {spec.labels.horizon / 3_600:g} h"),
        ("fingerprint", f"`{learned.fingerprint}`"),
        *((f"offsets of {place}", f"{first} to {end}") for place, (first, end) in sorted(told.offsets.items())),
    ]
    return ["## What it learned from", "", *_table(("", ""), rows)]


def _figures(learned: Learned) -> list[str]:
    metrics = learned.content.metrics
    own = [name for name in metrics if not name.startswith((TRIVIAL, LINEAR))]
    if not own:
        return ["## How good it is", "", "Nobody knows: it learned without labels."]
    linear = any(name.startswith(LINEAR) for name in metrics)
    head = ("figure", "model", "trivial answer", *(["linear model"] if linear else []))
    prefixes = ("", TRIVIAL, *([LINEAR] if linear else []))
    rows = [(name, *(_number(metrics, prefix + name) for prefix in prefixes)) for name in own]
    return ["## How good it is", "", "On the holdout, records later than all that the judged model had seen.", "",
            *_table(head, rows)]  # fmt: skip


def _gate(told: Told) -> list[str]:
    gate = told.gate
    if gate is None:
        return []
    whole = gate.whole
    beside = f"version {told.champion}" if told.champion else "the version in force"
    said = "passed" if gate.passed else "refused"
    lines = [f"**{said}** (`{gate.mode}`, {gate.errors:g} standard errors), beside {beside}.", ""]
    lines += [f"- {_plain(reason)}" for reason in gate.reasons]
    compared = {"everything": whole, **gate.slices}
    rows = [
        (name, f"{one.labels:,}", str(one.blocks), f"{one.champion:.5g}", f"{one.challenger:.5g}",
         f"{one.difference:+.4g}", "?" if one.error is None else f"{one.error:.3g}")
        for name, one in compared.items()
    ]  # fmt: skip
    head = ("of", "labels", "blocks", "loss before", "loss of this one", "difference", "standard error")
    return ["## The gate", "", *lines, *([""] if gate.reasons else []), *_table(head, rows)]


def _features(spec: PipelineSpec, learned: Learned) -> list[str]:
    importance = learned.content.reference.importance
    groups = {feature.name: feature.lookup for feature in spec.features}
    kinds = {column.name: column.kind for column in learned.content.columns}
    order = sorted(kinds, key=lambda name: -importance.get(name, 0.0))
    rows = [
        (name, kinds[name], groups.get(name) or "the record", f"{importance[name]:.4g}" if name in importance else "?")
        for name in order
    ]
    rise = "mean absolute error" if spec.task == "regression" else "log-loss"
    return ["## Features", "", f"Importance: the rise of the {rise} on the holdout when a feature says nothing.", "",
            *_table(("feature", "kind", "from", "importance"), rows)]  # fmt: skip


def _limits(spec: PipelineSpec, learned: Learned) -> list[str]:
    lines = [
        "- It says what usually came true in the time above; it knows no causes and nothing of what changed since.",
        f"- Labels that come later than {spec.labels.horizon / 86_400:g} days were not learned from.",
    ]
    rare = [f"{name} ({share:.1%})" for name, share in _shares(spec, learned) if share < 0.05]  # noqa: PLR2004 - seldom
    if rare:
        lines.append(f"- Rare classes, of which it has seen little: {', '.join(rare)}.")
    lines += [f"- {_plain(warning)}" for warning in learned.warnings]
    lines += [f"- Goal missed on the holdout: {words}." for words in _missed(spec, learned.content.metrics)]
    return ["## Limits", "", *lines]


def _shares(spec: PipelineSpec, learned: Learned) -> Iterable[tuple[str, float]]:
    if spec.task == "regression":
        return ()
    return zip(classes_of(spec), learned.content.reference.base_rate, strict=False)


def _missed(spec: PipelineSpec, metrics: Mapping[str, float]) -> Iterable[str]:
    for name, goal in spec.monitoring.goal.items():
        if name in metrics and is_better(name, goal, metrics[name]):
            yield f"{name} {metrics[name]:.4g}, wanted {goal:g}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(_plain(cell) for cell in line) + " |" for line in lines]


def _plain(text: str) -> str:
    """Words that cannot break a table or begin one."""
    return " ".join(text.replace("|", "\\|").split())


def _number(metrics: Mapping[str, float], name: str) -> str:
    return f"{metrics[name]:.4g}" if name in metrics else ""


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
