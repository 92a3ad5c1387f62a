"""What a training learned from, as one number: equal data have equal fingerprints, whatever machine read them."""

import hashlib
from collections.abc import Mapping

import msgspec

from services.retrainer.dataset import Dataset
from shared.core.codec import RecordCodec
from shared.core.pipeline import PipelineSpec

Ranges = Mapping[str, tuple[int, int]]
"""Offsets [from, to) by topic and partition: `outcomes/3`."""


def fingerprint_of(spec: PipelineSpec, codec: RecordCodec, data: Dataset) -> str:
    """The sha256, in hexadecimal, over ids, event times and labels, in the order of the dataset.

    Args:
        spec: says which field is the id.
        codec: with the getters of the rows.
        data: n labelled records; ids of personal fields are pseudonyms or absent.
    """
    digest = hashlib.sha256()
    names = map(codec.getter(spec.record.id), data.rows)
    digest.update(msgspec.json.encode([name if isinstance(name, str) else "" for name in names]))
    digest.update(data.times.astype("<i8").tobytes())
    digest.update(data.y.astype("<f8").tobytes())
    return digest.hexdigest()
