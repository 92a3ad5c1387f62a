"""What the proof scores: records of the pipeline's own history, with ids that say their place in their key's order."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import msgspec
import numpy as np

from services.ingest.replay.convert import BadValueError, Converter
from services.ingest.replay.plan import Kind, Selection
from services.ingest.replay.source import ReplaySource
from services.retrainer.dataset import Files, bound
from shared.adapters.tables import read_rows
from shared.core.pipeline import PipelineSpec

POOL = 20_000  # records of the history that are taken in turn
MALFORMED_EVERY = 500
_LEARNT = 2 / 3  # of a history that does not say where training ends
_encode = msgspec.json.encode


@dataclass(frozen=True, slots=True)
class Pool:
    """Records as (key, fields), and the feature updates (key, value) that they look up.

    Training for the two versions ends at `older` and `start`, ms of event time; the records come after.
    """

    records: list[tuple[bytes, dict[str, Any]]]
    features: list[tuple[bytes | None, bytes]]
    older: int
    start: int


def take_pool(spec: PipelineSpec, files: Files, limit: int) -> Pool:
    """The first records after the end of training, in no longer a span than the cache keeps features.

    Raises:
        UserError: the history cannot be read, or has no record after the end of training.
    """
    times = np.sort(np.fromiter(_times(spec, files), dtype=np.int64))
    start = bound(spec.history.train_until, "history.train_until")
    if start is None:
        start = int(times[int(len(times) * _LEARNT)]) if len(times) else 0
    learnt = times[: int(np.searchsorted(times, start))]
    begin = bound(spec.history.train_from, "history.train_from")
    learnt = learnt[int(np.searchsorted(learnt, begin or 0)) :]
    older = int(learnt[int(len(learnt) * _LEARNT)]) if len(learnt) else start
    kept = min((int(lookup.keep * 1000) for lookup in spec.lookups.values()), default=0)
    end = start + kept // 2 if kept else None
    selection = Selection(start, end, min(limit, POOL), labels=False)
    records: list[tuple[bytes, dict[str, Any]]] = []
    features: list[tuple[bytes | None, bytes]] = []
    for item in ReplaySource(spec, files, read_rows, selection).items():
        if item.kind is Kind.RECORD:
            records.append((item.key or b"", msgspec.json.decode(item.value)))
        elif item.kind is Kind.FEATURE:
            features.append((item.key, item.value))
    return Pool(records, features, older, start)


def _times(spec: PipelineSpec, files: Files) -> Iterator[int]:
    converter = Converter(spec.record)
    for row in read_rows(files.records):
        try:
            yield converter.time(row)
        except BadValueError:
            continue  # loading the history says what is wrong with it, with its line


def messages(spec: PipelineSpec, pool: Pool, n: int, seed: int) -> Iterator[tuple[bytes, bytes]]:
    """As many messages (key, value) for `records`; now and then a malformed one, which must become a dead letter.

    An id is `p<n>.<place in the key's order>.<checksum>`.
    """
    dice, places = random.Random(seed), Counter[bytes]()  # noqa: S311 - a proof is repeatable
    for i in range(n):
        key, fields = pool.records[i % len(pool.records)]
        if dice.randrange(MALFORMED_EVERY) == 0:
            yield key, dice.choice((b"not json", b"", b"{}", b'{"cut": ', _encode({**fields, spec.record.id: ""})))
            continue
        places[key] += 1
        yield key, _encode({**fields, spec.record.id: identity(i, places[key], key)})


def identity(n: int, place: int, key: bytes) -> str:
    """The id of the n-th record, the `place`-th of its key."""
    said = f"p{n}.{place}"
    return f"{said}.{crc32(said.encode() + key):08x}"


def place_of(identity_: str, key: bytes) -> int | None:
    """The place in its key's order that an id says; None if the id is not one of ours, or was changed on the way."""
    said, _, checksum = identity_.rpartition(".")
    place = said.rpartition(".")[2]
    if not place.isdigit() or checksum != f"{crc32(said.encode() + key):08x}":
        return None
    return int(place)
