"""Records as they left a scorer: without their dropped fields, and with hashes in place of hashed ones."""

from collections.abc import Set as AbstractSet

import msgspec

from shared.core.pipeline import FieldSpec, PipelineSpec


def as_left(spec: PipelineSpec) -> PipelineSpec:
    """The pipeline with the schema that its records have in `journal`; no feature is of a field that differs."""
    if not (spec.privacy.drop or spec.privacy.hash):
        return spec
    fields = {
        name: _left(field, dropped=name in spec.privacy.drop, hashed=name in spec.privacy.hash)
        for name, field in spec.record.fields.items()
    }
    return msgspec.structs.replace(spec, record=msgspec.structs.replace(spec.record, fields=fields))


def _left(field: FieldSpec, *, dropped: bool, hashed: bool) -> FieldSpec:
    if dropped:
        return msgspec.structs.replace(field, required=False)
    if hashed:
        return FieldSpec(type="string", required=field.required, nullable=field.nullable)
    return field


def narrowed(spec: PipelineSpec, wanted: AbstractSet[str]) -> PipelineSpec:
    """The pipeline with a record of these fields alone, as a scorer has let them pass: no bounds are asked again."""
    fields = {
        name: msgspec.structs.replace(field, minimum=None, maximum=None, max_length=1 << 30, out_of_range="flag")
        for name, field in spec.record.fields.items()
        if name in wanted
    } or {"none": FieldSpec(type="boolean", required=False)}
    one = next(iter(fields))  # a codec asks who names the record, which nobody reads here
    record = msgspec.structs.replace(spec.record, fields=fields, id=one, key=one, event_time=one, extra="ignore")
    return msgspec.structs.replace(spec, record=record)
