"""What a pipeline's file means as a whole: the record, the features, the lookups; the rest is in `pipeline_policies`.

Each check asks one question about one thing and yields what is wrong. A check that needs a value which could not be
decoded stops there silently (`Unanswerable`): that value's mistake is already reported.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

from shared.core import pipeline_learning as learning
from shared.core import pipeline_policies as policies
from shared.core.aggregate_fields import fields_of
from shared.core.mistakes import Mistake, Unanswerable, at, known, near
from shared.core.pipeline import FeatureSpec, FieldSpec, LookupSpec, PipelineSpec

Answers = Iterator[Mistake]
_NUMBERS = ("integer", "number")
# What a feature of a kind may be made of; a boolean counts as 0 and 1, or as the words false and true.
_SOURCES = {"numeric": ("integer", "number", "boolean"), "category": ("string", "boolean")}


def check(spec: PipelineSpec) -> list[Mistake]:
    """Every mistake of meaning. Parts of `spec` may be `UNKNOWN`; questions about them are not asked."""
    found: list[Mistake] = []
    for ask in (*_WHOLE, *policies.WHOLE, *learning.WHOLE):
        found += _answers(ask, spec)
    for items, questions in (*_PARTS, *policies.PARTS):
        try:
            parts = list(items(spec))
        except Unanswerable:
            continue
        for part in parts:
            for question in questions:
                found += _answers(question, spec, *part)
    return found


def _answers(ask: Callable[..., Answers], *about: Any) -> list[Mistake]:
    found: list[Mistake] = []
    with suppress(Unanswerable):
        found.extend(ask(*about))
    return found


def _roles(_spec: PipelineSpec) -> Iterable[tuple[str, str]]:
    return (("id", "string"), ("key", "string"), ("event_time", "timestamp"))


def _role(spec: PipelineSpec, role: str, kind: str) -> Answers:
    name, path = getattr(spec.record, role), at("record", role)
    if name not in spec.record.fields:
        yield Mistake(path, f'"{name}" is no field of the record', near(name, spec.record.fields))
        return
    field = spec.record.fields[name]
    if field.type != kind:
        yield Mistake(path, f'field "{name}" is of type {field.type}', f"name a field of type {kind}")
    if not field.required or field.nullable:
        what = f"is the record's {role}, which every record must have"
        yield Mistake(f"record.fields.{name}", what, "take `required: false` and `nullable: true` away")


def _fields(spec: PipelineSpec) -> Iterable[tuple[str, FieldSpec]]:
    return spec.record.fields.items()


def _field_name(_spec: PipelineSpec, name: str, _field: FieldSpec) -> Answers:
    # Duplicate keys are found by counting raw quotes, which an escaped one in a name would spoil.
    if not name or not name.isprintable() or '"' in name or "\\" in name:
        yield Mistake(f"record.fields.{name}", "is no usable name", "use printable text without quotes and backslashes")


def _field_bounds(_spec: PipelineSpec, name: str, field: FieldSpec) -> Answers:
    path = f"record.fields.{name}"
    for bound in ("minimum", "maximum"):
        value = getattr(field, bound)
        if value is None:
            continue
        if field.type not in _NUMBERS:
            yield Mistake(
                at(path, bound), f"a {field.type} has no {bound}", "only integer and number fields have bounds"
            )
        elif field.type == "integer" and value != int(value):
            yield Mistake(at(path, bound), f"{value} is not whole", "the field is an integer")
    if field.minimum is not None and field.maximum is not None and field.minimum > field.maximum:
        what = f"{field.minimum:g} is above the maximum, {field.maximum:g}"
        yield Mistake(at(path, "minimum"), what, "no value could pass")
    if field.out_of_range == "flag" and field.minimum is None and field.maximum is None:
        yield Mistake(at(path, "out_of_range"), "flags nothing without bounds", "give minimum or maximum")


def _features_whole(spec: PipelineSpec) -> Answers:
    if len(spec.features) == 0:
        yield Mistake("features", "is empty", "a model needs at least one feature")


def _features(spec: PipelineSpec) -> Iterable[tuple[str, FeatureSpec]]:
    return ((f"features[{i}]", feature) for i, feature in enumerate(spec.features) if known(feature))


def _feature_name(spec: PipelineSpec, path: str, feature: FeatureSpec) -> Answers:
    if not feature.name or not feature.name.isprintable():
        yield Mistake(at(path, "name"), "is empty or has control characters", "name the column")
    others = ((i, other) for i, other in enumerate(spec.features) if known(other) and known(other.name))
    first = next(f"features[{i}]" for i, other in others if other.name == feature.name)
    if first != path:
        yield Mistake(at(path, "name"), f'"{feature.name}" is already {first}', "names are unique")


def _feature_source(spec: PipelineSpec, path: str, feature: FeatureSpec) -> Answers:
    key = "field" if feature.field else "name"
    if not feature.lookup:
        if feature.source not in spec.record.fields:
            remedy = near(feature.source, spec.record.fields)
            yield Mistake(at(path, key), f'"{feature.source}" is no field of the record', remedy)
        else:
            yield from _fit(path, feature, spec.record.fields[feature.source].type)
    elif feature.lookup not in spec.lookups:
        remedy = near(feature.lookup, spec.lookups) or "declare the group under lookups"
        yield Mistake(at(path, "lookup"), f'"{feature.lookup}" is no lookup group', remedy)
    elif feature.source not in (fields := fields_of(spec, feature.lookup)):
        what = f'"{feature.source}" is no field of the lookup group {feature.lookup}'
        yield Mistake(at(path, key), what, near(feature.source, fields))
    else:
        yield from _fit(path, feature, fields[feature.source])


def _fit(path: str, feature: FeatureSpec, kind: str) -> Answers:
    if kind not in _SOURCES[feature.kind]:
        remedy = f"use {' or '.join(_SOURCES[feature.kind])}"
        other = next((k for k, types in _SOURCES.items() if kind in types), "")
        yield Mistake(
            at(path, "kind"),
            f'"{feature.source}" is a {kind}, which cannot be {feature.kind}',
            f"write kind: {other}" if other else remedy,
        )


def _feature_default(_spec: PipelineSpec, path: str, feature: FeatureSpec) -> Answers:
    given = feature.default is not None
    if given != (feature.missing == "default"):
        where, what, remedy = (
            ("default", "is given, but `missing` is not default", "write missing: default, or take it away")
            if given
            else ("missing", "is default, but none is given", "write default: ...")
        )
        yield Mistake(at(path, where), what, remedy)
    if given and known(feature.default):
        text = isinstance(feature.default, str)
        if text != (feature.kind == "category"):
            needs = "a text" if feature.kind == "category" else "a number"
            yield Mistake(at(path, "default"), f"does not fit kind {feature.kind}", f"write {needs}")
        elif feature.categories is not None and feature.default not in feature.categories:
            yield Mistake(at(path, "default"), f'"{feature.default}" is none of the categories', "add it to them")


def _feature_categories(_spec: PipelineSpec, path: str, feature: FeatureSpec) -> Answers:
    if feature.categories is None:
        return
    if feature.kind != "category":
        yield Mistake(at(path, "categories"), f"a {feature.kind} feature has none", "write kind: category")
    yield from policies.distinct(at(path, "categories"), feature.categories)
    if len(feature.categories) == 0:
        yield Mistake(at(path, "categories"), "is empty", "leave it out to learn them in training")


def _lookups(spec: PipelineSpec) -> Iterable[tuple[str, LookupSpec]]:
    return ((f"lookups.{group}", lookup) for group, lookup in spec.lookups.items())


def _lookup_key(spec: PipelineSpec, path: str, lookup: LookupSpec) -> Answers:
    if lookup.key not in spec.record.fields:
        what = f'"{lookup.key}" is no field of the record'
        yield Mistake(at(path, "key"), what, near(lookup.key, spec.record.fields))
    elif (kind := spec.record.fields[lookup.key].type) != "string":
        yield Mistake(at(path, "key"), f'field "{lookup.key}" is of type {kind}', "entities are named by string fields")


def _lookup_fields(_spec: PipelineSpec, path: str, lookup: LookupSpec) -> Answers:
    if len(lookup.fields) == 0 and len(lookup.aggregates) == 0:
        yield Mistake(at(path, "fields"), "is empty", "declare what the group holds, `name: number` a line")


def _lookup_ages(_spec: PipelineSpec, path: str, lookup: LookupSpec) -> Answers:
    if lookup.max_age <= 0:
        yield Mistake(at(path, "max_age"), "must be longer than nothing", "write 2h, 90s or 1d")
    if lookup.keep < lookup.max_age:
        yield Mistake(at(path, "keep"), "is shorter than max_age", "the cache would forget what is still fresh")


_WHOLE = (_features_whole,)
_PARTS: tuple[tuple[Callable[[PipelineSpec], Iterable[tuple[Any, ...]]], tuple[Callable[..., Answers], ...]], ...] = (
    (_roles, (_role,)),
    (_fields, (_field_name, _field_bounds)),
    (_features, (_feature_name, _feature_source, _feature_default, _feature_categories)),
    (_lookups, (_lookup_key, _lookup_fields, _lookup_ages, learning.group_kind)),
    learning.AGGREGATE_CHECKS,
    learning.ALERT_CHECKS,
)
