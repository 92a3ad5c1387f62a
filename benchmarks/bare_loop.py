"""The floor: the shortest honest loop that does the scorer's job, beside which `tailrace bench scorer` sets ours.

`python benchmarks/bare_loop.py JSON`, an object with the fields of `Job`. It shares no code with the services: plain
confluent-kafka, msgspec, numpy and onnxruntime. It decodes as strictly as a msgspec struct can, writes predictions
that are byte for byte those of the scorer, headers and partitions too, and commits exactly once, with the scorer's
settings of the clients. It has no dead letters, rollouts, recovery, metrics, health or traces.
"""

import signal
import sys
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any

import msgspec
import numpy as np
import onnxruntime
from confluent_kafka import Consumer, Producer, TopicPartition

CLIENT = {"partition.assignment.strategy": "cooperative-sticky", "session.timeout.ms": 6_000}


class Job(msgspec.Struct, frozen=True):
    """What to do. `digest` and `classes` are those of the bundle, `positive` is a class."""

    servers: str
    source: str
    target: str
    model: str
    features: list[str]
    digest: str
    classes: list[str]
    positive: str
    batch: int


class Prediction(msgspec.Struct, gc=False):
    """The public answer, field by field as the scorer writes it."""

    v: int
    id: str
    key: str
    at: tuple[int, int]
    event_time: int
    score: float
    label: str
    version: str
    digest: str
    epoch: int


def clients(job: Job) -> tuple[Consumer, Producer]:
    """The clients, with the settings of the scorer's."""
    consumer = Consumer(
        {
            **CLIENT,
            "bootstrap.servers": job.servers,
            "group.id": f"{job.target}.bare",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "queued.min.messages": 50_000,
            "queued.max.messages.kbytes": 32_768,
            "fetch.message.max.bytes": 4_000_000,
            "fetch.wait.max.ms": 100,
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": job.servers,
            "transactional.id": f"{job.target}.bare",
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "linger.ms": 5,
            "batch.size": 1_000_000,
            "queue.buffering.max.messages": 500_000,
            "retry.backoff.ms": 1,
            "retry.backoff.max.ms": 20,
            "message.timeout.ms": 10_000,
            "transaction.timeout.ms": 10_000,
        }
    )
    producer.init_transactions()
    consumer.subscribe([job.source])
    return consumer, producer


def session(model: str) -> tuple[Any, str, str]:
    """The model with one thread, its input, and the output that has the probabilities."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    made = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return made, made.get_inputs()[0].name, made.get_outputs()[-1].name


def run(job: Job) -> None:
    """Score until SIGTERM."""
    fields: list[Any] = [("id", str), ("key", str), ("ts", int), *((name, float) for name in job.features)]
    record = msgspec.defstruct("Record", fields, gc=False, forbid_unknown_fields=True)
    decode: Any = msgspec.json.Decoder(record).decode
    encode = msgspec.json.Encoder().encode
    columns, width, digest = attrgetter(*job.features), len(job.features), job.digest[:16]
    positive = job.classes.index(job.positive)
    yes, no = job.classes[positive], job.classes[1 - positive]
    model, given, wanted = session(job.model)
    consumer, producer = clients(job)
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    while not stopping:
        messages = consumer.consume(1, 0.1)
        if not messages:
            continue
        messages += consumer.consume(job.batch - 1, 0.05)
        group = consumer.consumer_group_metadata()
        rows = [decode(m.value()) for m in messages]
        flat = np.fromiter(chain.from_iterable(map(columns, rows)), dtype=np.float32, count=len(rows) * width)
        (raw,) = model.run([wanted], {given: flat.reshape(len(rows), width)})
        scores = np.asarray(raw, dtype=np.float64)[:, positive].tolist()
        producer.begin_transaction()
        last: dict[int, int] = {}
        for message, row, score in zip(messages, rows, scores, strict=True):
            partition, offset = message.partition(), message.offset()
            made = Prediction(
                1, row.id, row.key, (partition, offset), row.ts, score, yes if score >= 0.5 else no, "local",  # type: ignore[arg-type] # noqa: PLR2004 - set; the threshold
                digest, 1,
            )  # fmt: skip
            headers = message.headers()
            kept = [h for h in headers if h[0] == "traceparent"] if headers else None
            producer.produce(job.target, encode(made), row.key.encode(), partition, headers=kept)  # type: ignore[arg-type] # theirs is a wider union
            last[partition] = offset  # type: ignore[index,assignment] # every record has both
        producer.flush()
        offsets = [TopicPartition(job.source, p, o + 1) for p, o in sorted(last.items(), key=itemgetter(0))]
        producer.send_offsets_to_transaction(offsets, group)
        producer.commit_transaction()
    consumer.close()


if __name__ == "__main__":
    run(msgspec.json.decode(sys.argv[1], type=Job))
