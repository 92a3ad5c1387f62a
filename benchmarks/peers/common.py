"""What every peer's program does alike: its job, the decoding, the model, the answer. Only the framework differs.

The figures of a comparison should be those of the frameworks, so each of them gets the fastest decoder, encoder and
model call that the bare loop has. Each is run twice: with the settings of its client that it comes with, and `tuned`,
with those that the scorer uses and, where it would bring a decoder and an encoder of its own, with these instead.
"""

import sys
from collections.abc import Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
import onnxruntime

# For those that use librdkafka; none of these changes what is promised.
COMMITTED: dict[str, Any] = {"isolation.level": "read_committed"}
CONSUMER: dict[str, Any] = {
    **COMMITTED,
    "queued.min.messages": 50_000,
    "queued.max.messages.kbytes": 32_768,
    "fetch.message.max.bytes": 4_000_000,
    "fetch.wait.max.ms": 100,
    "fetch.queue.backoff.ms": 20,
}
PRODUCER: dict[str, Any] = {
    "partitioner": "murmur2_random",
    "compression.type": "lz4",
    "linger.ms": 5,
    "batch.size": 1_000_000,
    "queue.buffering.max.messages": 500_000,
    "retry.backoff.ms": 1,
    "retry.backoff.max.ms": 20,
}
THRESHOLD = 0.5
At = tuple[int, int]


class Job(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to do. `digest` and `classes` are those of the bundle, `positive` is a class."""

    servers: str
    source: str
    target: str
    group: str
    model: str
    features: list[str]
    digest: str
    classes: list[str]
    positive: str


class Prediction(msgspec.Struct, gc=False):
    """The public answer, field by field as the scorer writes it."""

    v: int
    id: str
    key: str
    at: At
    event_time: int
    score: float
    label: str
    version: str
    digest: str
    epoch: int


def read_job() -> Job:
    """The job on the command line.

    Raises:
        msgspec.ValidationError: a field is missing, unknown, or of another type.
    """
    return msgspec.json.decode(sys.argv[1], type=Job)


def tuned() -> bool:
    """Whether this run is of what made the framework faster."""
    return sys.argv[2:3] == ["tuned"]


def consumer() -> dict[str, Any]:
    """Settings of a consumer on librdkafka."""
    return dict(CONSUMER if tuned() else COMMITTED)


def producer() -> dict[str, Any]:
    """Settings of a producer on librdkafka."""
    return dict(PRODUCER) if tuned() else {}


class Scorer:
    """Decode, score and encode, one record or many at a time.

    Args:
        job: names the model and its features.
    """

    def __init__(self, job: Job) -> None:
        fields: list[Any] = [("id", str), ("key", str), ("ts", int), *((name, float) for name in job.features)]
        record = msgspec.defstruct("Record", fields, gc=False, forbid_unknown_fields=True)
        self.decode: Any = msgspec.json.Decoder(record).decode
        self._encode = msgspec.json.Encoder().encode
        self._names, self._columns, self._width = job.features, attrgetter(*job.features), len(job.features)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False
        self._model = onnxruntime.InferenceSession(job.model, options, providers=["CPUExecutionProvider"])
        self._given, self._wanted = self._model.get_inputs()[0].name, [self._model.get_outputs()[-1].name]
        self._positive = job.classes.index(job.positive)
        self._yes, self._no = job.positive, job.classes[1 - self._positive]
        self._digest = job.digest[:16]

    def one(self, at: At, value: bytes) -> tuple[bytes, bytes]:
        """Key and value of the answer to the record at this partition and offset."""
        row = self.decode(value)
        matrix = np.array([self._columns(row)], dtype=np.float32)
        (raw,) = self._model.run(self._wanted, {self._given: matrix})
        return row.key.encode(), self._answer(at, row, float(raw[0, self._positive]))

    def many(self, at: Sequence[At], values: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
        """Keys and values of the answers, in the order of the records."""
        rows = [self.decode(value) for value in values]
        flat = np.fromiter(chain.from_iterable(map(self._columns, rows)), np.float32, len(rows) * self._width)
        (raw,) = self._model.run(self._wanted, {self._given: flat.reshape(len(rows), self._width)})
        scores = np.asarray(raw, dtype=np.float64)[:, self._positive].tolist()
        answer = self._answer
        return [(row.key.encode(), answer(p, row, s)) for p, row, s in zip(at, rows, scores, strict=True)]

    def plain(self, at: At, row: Mapping[str, Any]) -> dict[str, Any]:
        """The same of a record that was decoded already, for who brings a decoder and an encoder of its own."""
        matrix = np.array([[row[name] for name in self._names]], dtype=np.float32)
        (raw,) = self._model.run(self._wanted, {self._given: matrix})
        made: dict[str, Any] = msgspec.structs.asdict(
            self._said(at, row["id"], row["key"], row["ts"], float(raw[0, self._positive]))
        )
        return made

    def _answer(self, at: At, row: Any, score: float) -> bytes:
        return self._encode(self._said(at, row.id, row.key, row.ts, score))

    def _said(self, at: At, name: str, key: str, ts: int, score: float) -> Prediction:
        label = self._yes if score >= THRESHOLD else self._no
        return Prediction(1, name, key, at, ts, score, label, "local", self._digest, 1)
