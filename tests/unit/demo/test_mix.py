"""Malformed records are made from the pipeline's own schema, and none of them can be scored."""

from itertools import pairwise

import msgspec
import pytest

from shared.adapters.pipeline_yaml import load_pipeline
from shared.core import reasons
from shared.core.codec import RecordCodec
from shared.core.pipeline import FieldSpec, PipelineSpec
from tailrace.demo.mix import Mix, malformed
from tests.support.spec import make_spec


def strict_spec() -> PipelineSpec:
    """Fields of all types, bounded, with one that is optional and one that may be null."""
    fields = {
        "id": FieldSpec(type="string"),
        "depot": FieldSpec(type="string", max_length=8),
        "at": FieldSpec(type="timestamp"),
        "weight": FieldSpec(type="number", minimum=-1.5, maximum=9),
        "stops": FieldSpec(type="integer", minimum=1, maximum=9, required=False),
        "fragile": FieldSpec(type="boolean", nullable=True),
    }
    base = make_spec()
    return msgspec.structs.replace(base, record=msgspec.structs.replace(base.record, fields=fields))


@pytest.mark.parametrize("spec", [strict_spec(), make_spec(), load_pipeline("flights").spec], ids=lambda s: s.title)
def test_every_one_is_refused(spec: PipelineSpec) -> None:
    """Each becomes a dead letter of its own, whatever the schema."""
    samples = malformed(spec.record)
    decoded = RecordCodec(spec).decode(samples, None, lambda: [1_700_000_000_000] * len(samples))
    assert (decoded.rows, [samples[i] for i in range(len(samples)) if i in set(decoded.index)]) == ([], [])
    assert len(decoded.refused) == len(samples)


def test_they_fail_for_every_reason_that_a_schema_gives() -> None:
    """Types, ranges, lengths, doubled and unknown keys, missing fields, times and ids, and texts that are no JSON."""
    samples = malformed(strict_spec().record)
    refused = RecordCodec(strict_spec()).decode(samples).refused
    assert {reason for _, reason, _ in refused} >= {
        reasons.NOT_JSON,
        reasons.EMPTY,
        reasons.WRONG_TYPE,
        reasons.MISSING_FIELD,
        reasons.UNKNOWN_FIELD,
        reasons.OUT_OF_RANGE,
        reasons.TOO_LONG,
        reasons.DUPLICATE_KEY,
        reasons.BAD_EVENT_TIME,
        reasons.BAD_ID,
    }


def test_the_same_seed_gives_the_same_ones_in_the_same_places() -> None:
    """What is mixed in, and where, is a matter of the seed alone; one comes after about `every` records."""
    record = make_spec().record
    first, again, other = (
        [mix(n) for n in range(20_000)] for mix in (Mix(record, 7, 100), Mix(record, 7, 100), Mix(record, 8, 100))
    )
    places = [n for n, value in enumerate(first) if value is not None]
    assert first == again
    assert first != other
    assert 120 <= len(places) <= 280
    assert all(a < b for a, b in pairwise(places))
