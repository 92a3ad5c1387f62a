"""A history as it would have been scored and archived: the scorer's own code makes every byte, but for the model."""

from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec
import numpy as np

from services.retrainer.archive.filling import Filling
from services.retrainer.archive.store import Archive
from services.retrainer.dataset import Files
from shared.adapters.tables import read_rows
from shared.core.asof import HistoryLookups
from shared.core.codec import Decoded, RecordCodec
from shared.core.history import to_label, to_update
from shared.core.pipeline import PipelineSpec
from shared.core.privacy import Redactor
from shared.core.records import Label
from shared.core.scoring import ObservationWriter, Version, ages_of, answers, predictions
from tests.support.archives import SPAN, log_of

_encode = msgspec.json.Encoder().encode


def observations(
    spec: PipelineSpec, files: Files, redactor: Redactor | None = None
) -> dict[str, tuple[bytes, Decoded]]:
    """The observation of each record of a history, by id, with what it was decoded to."""
    codec = RecordCodec(spec)
    values = [_encode(producible(spec, row)) for row in read_rows(files.records)]
    decoded = codec.decode(values)
    assert decoded.refused == []
    updates = [to_update(row, spec.lookups[str(row["group"])].fields) for row in read_rows(files.features or Path())]
    entities = {group: list(map(codec.getter(one.key), decoded.rows)) for group, one in spec.lookups.items()}
    found = HistoryLookups(updates, spec.lookups).get_many(entities, decoded.times)
    n, dice = len(decoded.rows), np.random.default_rng(5)
    raw = dice.uniform(size=n) if spec.task == "regression" else dice.dirichlet(np.ones(len(spec.labels.classes)), n)
    version = Version(4, "7", "d" * 64, tuple(spec.labels.classes), 0.5)
    said = predictions(
        decoded, [(i % 3, i // 3) for i in range(n)], version, answers(spec, version, raw), (), ages_of(found)
    )
    writer = ObservationWriter(found, n, version.digest, redactor.body if redactor else None)
    seen = writer.encode(range(n), said, values, decoded.times)
    return {name: (one, decoded) for name, one in zip(decoded.ids, seen, strict=True)}


def archive_history(
    spec: PipelineSpec, files: Files, url: str, redactor: Redactor | None = None, span: int = SPAN
) -> dict[str, int]:
    """Archive a history's records with all of their labels, in the order of labels; how many outcomes a partition."""
    seen = observations(spec, files, redactor)
    labels = [to_label(row, numeric=spec.task == "regression") for row in read_rows(files.labels or Path())]
    archive = Archive(url, spec.name)
    archive.begin(span)
    fillings = [Filling(archive, log_of(partition), span, 0) for partition in range(3)]
    revisions: set[tuple[str, int]] = set()
    for label in labels:
        if label.id in seen and (label.id, label.revision) not in revisions:
            revisions.add((label.id, label.revision))
            one = fillings[crc32(label.id.encode()) % 3]
            one.take([(one.next, _outcome(seen[label.id][0], label))])
    for one in fillings:
        one.write_tail()
    return {f"outcomes/{partition}": one.next for partition, one in enumerate(fillings)}


def _outcome(seen: bytes, label: Label) -> bytes:
    status = b"corrected" if label.revision else b"matched"
    return b'{"v":1,"status":"' + status + b'","observation":' + seen + b',"label":' + _encode(label) + b',"at":[0,1]}'


def producible(spec: PipelineSpec, row: dict[str, Any]) -> dict[str, Any]:
    """A row as a producer sends it: cells of CSV by their declared types, null only where that may be."""
    kinds = {"number": float, "integer": int, "timestamp": int}
    fields, out = spec.record.fields, {}
    for name, value in row.items():
        if value is not None or fields[name].nullable:
            out[name] = (
                kinds[fields[name].type](value) if isinstance(value, str) and fields[name].type in kinds else value
            )
    return out
