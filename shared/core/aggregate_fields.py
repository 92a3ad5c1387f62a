"""The fields of a lookup group: as declared, or those of its aggregates with the types that follow from the record."""

import msgspec

from shared.core.pipeline import AggregateSpec, FieldType, PipelineSpec


def fields_of(spec: PipelineSpec, group: str) -> dict[str, FieldType]:
    """The fields of a group and their types.

    Raises:
        KeyError: no such group.
    """
    lookup = spec.lookups[group]
    return {**lookup.fields, **{name: _type(spec, aggregate) for name, aggregate in lookup.aggregates.items()}}


def resolved(spec: PipelineSpec) -> PipelineSpec:
    """The pipeline with `fields` filled in where a group is made of aggregates, as all readers of features want it."""
    if not any(lookup.aggregates for lookup in spec.lookups.values()):
        return spec
    lookups = {
        group: msgspec.structs.replace(lookup, fields=fields_of(spec, group)) for group, lookup in spec.lookups.items()
    }
    return msgspec.structs.replace(spec, lookups=lookups)


def _type(spec: PipelineSpec, aggregate: AggregateSpec) -> FieldType:
    if aggregate.take != "last" or aggregate.of not in spec.record.fields:
        return "number"
    kind = spec.record.fields[aggregate.of].type
    return kind if kind in ("string", "boolean") else "number"
