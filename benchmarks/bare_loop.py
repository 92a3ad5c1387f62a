"""The floor: the shortest honest loop that does the scorer's job, beside which `tailrace bench` sets ours.

`python benchmarks/bare_loop.py JSON`, an object with the fields of `Job`. It shares no code with the services: plain
confluent-kafka, msgspec, numpy, onnxruntime and redis. It decodes as strictly, keys that stand twice included, and
writes predictions (and observations) that are byte for byte those of the scorer, headers and partitions too. It commits
exactly once or at least once, with the scorer's settings of the clients. It has no dead letters, rollouts, recovery,
time-outs of look-ups, metrics, health or traces.
"""

import gc
import signal
import sys
from bisect import bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any

import msgspec
import numpy as np
import onnxruntime
from confluent_kafka import Consumer, Producer, TopicPartition

CLIENT = {"partition.assignment.strategy": "cooperative-sticky", "session.timeout.ms": 6_000}
DIGITS = 13  # of the time before a version
QUOTE = ord('"')
PIECE = 2_000  # records that are scored together: what is made of so many stays in a core's cache


class Job(msgspec.Struct, frozen=True):
    """What to do. `digest` and `classes` are those of the bundle, `positive` is a class.

    `journal` is the topic of observations, none when empty. `redis` is its URL where features are looked up: `fields`
    of `group`, under keys that begin with `prefix`. `gather` is how long to wait for more than one record, s.
    """

    servers: str
    source: str
    target: str
    model: str
    features: list[str]
    digest: str
    classes: list[str]
    positive: str
    batch: int
    exactly_once: bool = True
    journal: str = ""
    redis: str = ""
    prefix: str = ""
    group: str = ""
    fields: list[str] = []
    gather: float = 0.05


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


class Aged(Prediction, gc=False):
    """The same where features are looked up."""

    ages: dict[str, float]


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
            "fetch.queue.backoff.ms": 20,
        }
    )
    once = {"transactional.id": f"{job.target}.bare", "transaction.timeout.ms": 10_000} if job.exactly_once else {}
    producer = Producer(
        {
            "bootstrap.servers": job.servers,
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "linger.ms": 5,
            "batch.size": 1_000_000,
            "queue.buffering.max.messages": 500_000,
            "retry.backoff.ms": 1,
            "retry.backoff.max.ms": 20,
            "message.timeout.ms": 10_000,
            **once,
        }
    )
    if job.exactly_once:
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


Looked = tuple[list[Any], list[float], list[bytes]]


def looker(job: Job) -> Callable[[Sequence[str], Sequence[int]], Looked]:
    """Looks a batch up: one MGET, then for each record the newest version at or before its time.

    Gives the values of `fields` in one flat list, ages in s, and the JSON of `lookups` in an observation.
    """
    import redis  # noqa: PLC0415 - only where features are looked up

    server = redis.Redis.from_url(job.redis, protocol=2)
    decode, values_of, group = msgspec.json.decode, itemgetter(*job.fields), job.group
    encode = msgspec.json.Encoder().encode

    def look(entities: Sequence[str], times: Sequence[int]) -> Looked:
        distinct = list(set(entities))
        stored: Any = server.mget([job.prefix + entity for entity in distinct])
        lines = {entity: value[:-1].split(b"\n")[::-1] for entity, value in zip(distinct, stored, strict=True)}
        known: dict[bytes, tuple[int, tuple[float, ...], bytes]] = {}
        flat, ages, texts = [], [], []
        for entity, at in zip(entities, times, strict=True):
            versions = lines[entity]
            line = versions[bisect_right(versions, b"%013d~" % at) - 1]
            found = known.get(line)
            if found is None:
                values = decode(line[DIGITS + 1 :])["v"]
                kept = {name: values[name] for name in job.fields}
                found = known[line] = (int(line[:DIGITS]), values_of(values), encode({group: kept}))
            flat.append(found[1])
            ages.append((at - found[0]) / 1_000)
            texts.append(found[2])
        return list(chain.from_iterable(flat)), ages, texts

    return look


def run(job: Job) -> None:  # noqa: C901, PLR0912, PLR0915 - it is the shortest loop: calls would cost it time
    """Score until SIGTERM."""
    fields: list[Any] = [("id", str), ("key", str), ("ts", int), *((name, float) for name in job.features)]
    record = msgspec.defstruct("Record", fields, gc=False, forbid_unknown_fields=True)
    decode: Any = msgspec.json.Decoder(record).decode
    encode = msgspec.json.Encoder().encode
    quotes = 2 * len(fields) + 4
    columns, own, digest = attrgetter(*job.features), len(job.features), job.digest[:16]
    width = own + len(job.fields)
    positive = job.classes.index(job.positive)
    yes, no = job.classes[positive], job.classes[1 - positive]
    model, given, wanted = session(job.model)
    look = looker(job) if job.redis else None
    piece = job.batch if job.redis else PIECE
    head, end = b'{"type":"observation","v":1,"prediction":', b',"shadow":false}'
    tail = b',"digest":"' + job.digest.encode() + b'","logged":'
    consumer, producer = clients(job)
    produce, target, journal, group = producer.produce, job.target, job.journal, job.group
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 50, 100)
    pool, under_way = ThreadPoolExecutor(1), None

    def finish(offsets: list[TopicPartition], metadata: Any) -> None:
        producer.flush()
        if job.exactly_once:
            producer.send_offsets_to_transaction(offsets, metadata)
            producer.commit_transaction()
        else:
            consumer.commit(offsets=offsets, asynchronous=False)

    while not stopping:
        taken = consumer.consume(1, 0.1)
        if not taken:
            continue
        taken += consumer.consume(job.batch - 1, job.gather)
        metadata = consumer.consumer_group_metadata()
        last: dict[int, int] = {}
        begun = False
        for start in range(0, len(taken), piece):
            messages = taken[start : start + piece]
            values: Any = [m.value() for m in messages]
            rows = list(map(decode, values))
            n = len(rows)
            if np.count_nonzero(np.frombuffer(b"".join(values), np.uint8) == QUOTE) != n * quotes:
                raise SystemExit("a key may stand twice in a record")
            matrix = np.empty((n, width), dtype=np.float32)
            matrix[:, :own] = np.fromiter(chain.from_iterable(map(columns, rows)), np.float32, n * own).reshape(n, own)
            ages: list[float] = []
            lookups = [b"{}"] * n
            if look is not None:
                flat, ages, lookups = look([row.key for row in rows], [row.ts for row in rows])
                matrix[:, own:] = np.array(flat, dtype=np.float32).reshape(n, width - own)
            (raw,) = model.run([wanted], {given: matrix})
            scores = np.asarray(raw, dtype=np.float64)[:, positive].tolist()
            if not begun:
                begun = True
                if under_way is not None:
                    under_way = under_way.result()
                if job.exactly_once:
                    producer.begin_transaction()
            for i, (message, row, score) in enumerate(zip(messages, rows, scores, strict=True)):
                partition: Any = message.partition()
                offset: Any = message.offset()
                label = yes if score >= 0.5 else no  # noqa: PLR2004 - the threshold
                key, at = row.key, (partition, offset)
                value = encode(
                    Aged(1, row.id, key, at, row.ts, score, label, "local", digest, 1, {group: ages[i]})
                    if ages
                    else Prediction(1, row.id, key, at, row.ts, score, label, "local", digest, 1)
                )
                headers: Any = message.headers()
                kept: Any = [h for h in headers if h[0] == "traceparent"] if headers else None
                name = key.encode()
                produce(target, value, name, partition, None, None, 0, kept)  # by name costs half as much again
                if journal:
                    logged = b"%d" % message.timestamp()[1]
                    parts = head, value, b',"record":', values[i], b',"lookups":', lookups[i], tail, logged, end
                    produce(journal, b"".join(parts), name, partition, None, None, 0, kept)
                last[partition] = offset
        offsets = [TopicPartition(job.source, p, o + 1) for p, o in sorted(last.items(), key=itemgetter(0))]
        if len(taken) == job.batch and job.exactly_once:  # more is waiting: the next batch is scored meanwhile
            under_way = pool.submit(finish, offsets, metadata)
        else:
            finish(offsets, metadata)
    if under_way is not None:
        under_way.result()
    consumer.close()


if __name__ == "__main__":
    run(msgspec.json.decode(sys.argv[1], type=Job))
