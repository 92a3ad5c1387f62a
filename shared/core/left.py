"""Records as they left a scorer: without their dropped fields, and with hashes in place of hashed ones."""

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
