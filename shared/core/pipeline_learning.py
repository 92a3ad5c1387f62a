"""What a pipeline's file means as a whole, third part: aggregates, search, target, intervals, goals and alerts."""

from collections.abc import Iterable, Iterator

from shared.core.mistakes import Mistake, at, known, near
from shared.core.pipeline import AggregateSpec, AlertSpec, LookupSpec, PipelineSpec
from shared.core.quality import FIGURES

Answers = Iterator[Mistake]


def aggregates(spec: PipelineSpec) -> Iterable[tuple[str, LookupSpec, AggregateSpec]]:
    """Every aggregate with its path and its group."""
    return (
        (f"lookups.{group}.aggregates.{name}", lookup, aggregate)
        for group, lookup in spec.lookups.items()
        for name, aggregate in lookup.aggregates.items()
    )


def aggregate_of(spec: PipelineSpec, path: str, _lookup: LookupSpec, aggregate: AggregateSpec) -> Answers:
    """`of` names a field that can be averaged or remembered, and stands only where it is used."""
    if aggregate.take in ("count", "time_since"):
        if aggregate.of:
            yield Mistake(at(path, "of"), f"has no meaning for {aggregate.take}", "take it away")
        return
    fields = {name: field for name, field in spec.record.fields.items() if field.type != "timestamp"}
    if not aggregate.of:
        yield Mistake(at(path, "of"), "is missing", f"name the field of the record to take the {aggregate.take} of")
    elif aggregate.of not in fields:
        yield Mistake(at(path, "of"), f'"{aggregate.of}" is no such field of the record', near(aggregate.of, fields))
    elif aggregate.take == "mean" and fields[aggregate.of].type == "string":
        yield Mistake(at(path, "of"), f'"{aggregate.of}" is a string', "only numbers have a mean; take last or count")
    if aggregate.of in (*spec.privacy.drop, *spec.privacy.hash):
        yield Mistake(at(path, "of"), f'"{aggregate.of}" is personal', "take it out of privacy, or of the aggregate")


def aggregate_over(_spec: PipelineSpec, path: str, lookup: LookupSpec, aggregate: AggregateSpec) -> Answers:
    """A span is longer than nothing, and than the steps it is counted in."""
    if aggregate.over <= 0 or aggregate.over < lookup.every:
        yield Mistake(at(path, "over"), "is shorter than one step of `every`", "write 1h, 30d ...")


def group_kind(_spec: PipelineSpec, path: str, lookup: LookupSpec) -> Answers:
    """A group comes from producers, or from records, not from both."""
    if len(lookup.fields) and len(lookup.aggregates):
        what = "are given beside fields"
        yield Mistake(at(path, "aggregates"), what, "a group comes from producers or from records; make two groups")
    if not len(lookup.aggregates):
        return
    if lookup.every < 0.001:  # noqa: PLR2004 - event times are in ms
        yield Mistake(at(path, "every"), "is shorter than a millisecond", "leave it out, or write 1s, 10m ...")
    if lookup.allow_newer:
        yield Mistake(at(path, "allow_newer"), "would let a record count itself", "take it away")


def search_metric(spec: PipelineSpec) -> Answers:
    """The metric is a figure of the task."""
    yield from _figure(spec, "model.metric", spec.model.metric) if spec.model.metric else ()


def target(spec: PipelineSpec) -> Answers:
    """A transform and an interval belong to regressions, calibration and stratified folds to classes."""
    regression = spec.task == "regression"
    if spec.model.target != "none" and not regression:
        yield Mistake("model.target", f"has no meaning in a {spec.task} task", "take it away")
    if spec.model.interval is not None and not regression:
        yield Mistake("model.interval", f"has no meaning in a {spec.task} task", "take it away")
    if spec.model.calibration != "none" and regression:
        yield Mistake("model.calibration", "has no meaning in a regression", "ask for `interval` instead")
    if spec.model.folds.kind == "stratified" and regression:
        yield Mistake("model.folds.kind", "a regression has no classes to stratify by", "write chronological")


def interval(spec: PipelineSpec) -> Answers:
    """A coverage leaves something out on both sides."""
    if spec.model.interval is not None and not 0.5 <= spec.model.interval.coverage < 1:  # noqa: PLR2004 - the error
        yield Mistake("model.interval.coverage", "is not between 0.5 and 1", "write 0.8, 0.9 or 0.95")


def goals(spec: PipelineSpec) -> Answers:
    """Goals name figures of the task, and a share within so many percent is that which is counted."""
    for name in spec.monitoring.goal:
        yield from _figure(spec, f"monitoring.goal.{name}", name)
        counted = f"within_{spec.monitoring.within * 100:g}"
        if name.startswith("within_") and name in FIGURES and name != counted:
            share = int(name.removeprefix("within_")) / 100
            yield Mistake(f"monitoring.goal.{name}", f"is not counted, {counted} is", f"add `within: {share:g}`")


def alerts(spec: PipelineSpec) -> Iterable[tuple[str, AlertSpec]]:
    """Every alert with its path."""
    listed = enumerate(spec.monitoring.alerts)
    return ((f"monitoring.alerts[{i}]", alert) for i, alert in listed if known(alert))


def alert(spec: PipelineSpec, path: str, one: AlertSpec) -> Answers:
    """An alert names a figure of the task and one threshold, on its bad side."""
    yield from _figure(spec, at(path, "metric"), one.metric, of_models=False)
    if (one.below is None) == (one.above is None):
        yield Mistake(path, "needs one threshold", "write either `below` or `above`")
    elif one.metric in FIGURES and one.metric != "coverage":
        bad = "below" if FIGURES[one.metric].better == "higher" else "above"
        other = "above" if bad == "below" else "below"
        if getattr(one, bad) is None:
            yield Mistake(at(path, other), f"would alarm when {one.metric} is good", f"write {bad}")


def _figure(spec: PipelineSpec, path: str, name: str, *, of_models: bool = True) -> Answers:
    fitting = [n for n, f in FIGURES.items() if spec.task in f.tasks and (f.by_model or not of_models)]
    if name not in fitting:
        yield Mistake(path, f'"{name}" is no figure of a {spec.task} task', near(name, fitting))


WHOLE = (search_metric, target, interval, goals)
AGGREGATE_CHECKS = (aggregates, (aggregate_of, aggregate_over))
ALERT_CHECKS = (alerts, (alert,))
