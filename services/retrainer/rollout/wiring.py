"""A `RolloutControl` on a real Kafka."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any

import msgspec

from services.retrainer.rollout.books import KafkaBooks
from services.retrainer.rollout.control import RolloutControl
from services.retrainer.rollout.verdict import METRIC
from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.announcer import Announcer
from shared.adapters.kafka.config import client_config
from shared.adapters.kafka.sink import KafkaSink
from shared.adapters.kafka.table import TableReader
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Clock
from shared.core.records import Heartbeat, Note
from shared.core.topics import topic
from shared.runtime.clock import SystemClock
from shared.runtime.follow import RolloutFollower, applications_from
from shared.runtime.settings import Settings, read_secret


class _Word(msgspec.Struct, frozen=True):
    """A verdict, as far as it concerns us; windows' figures on the same topic have no metric."""

    version: str
    metric: str = ""
    reasons: tuple[str, ...] = ()


@contextmanager
def rollout_control(
    spec: PipelineSpec, settings: Settings, say: Callable[[str], None] = lambda _: None
) -> Iterator[RolloutControl]:
    """Open a controller of one pipeline, and close its clients.

    Raises:
        UserError: Kafka cannot be reached, or the pipeline's topics do not exist.
    """
    conf, timeout = client_config(settings.kafka, read_secret), settings.loop.call_timeout * 2
    admin, clock = KafkaAdmin(conf, timeout=timeout), SystemClock()
    with ExitStack() as stack:
        books = stack.enter_context(closing(kafka_books(spec, settings, conf, clock, stack)))
        workers = stack.enter_context(closing(TableReader(conf, topic(spec.name, "workers"), timeout)))
        announcer = stack.enter_context(closing(Announcer(conf, timeout)))
        newest: dict[str, Heartbeat] = {}

        def heartbeats() -> Sequence[Heartbeat]:
            for value in workers.to_end():
                with suppress(msgspec.DecodeError):  # of another release: whoever says nothing else counts as silent
                    heartbeat = msgspec.json.decode(value, type=Heartbeat)
                    newest[heartbeat.worker] = heartbeat
            return list(newest.values())

        def notes() -> Mapping[int, Note]:
            group, records = f"tailrace.{spec.name}.scorer", topic(spec.name, "records")
            answer = admin.committed(group, records, range(spec.partitions))
            return {p: _note(answer[p][1]) if p in answer else Note() for p in range(spec.partitions)}

        yield RolloutControl(
            spec,
            books=books,
            heartbeats=heartbeats,
            notes=notes,
            send=announcer.send,
            fence=lambda name: _sink(conf, settings, clock, name).close(),
            clock=clock,
            sleep=time.sleep,
            say=say,
        )


def kafka_books(
    spec: PipelineSpec, settings: Settings, conf: Mapping[str, Any], clock: Clock, stack: ExitStack
) -> KafkaBooks:
    """The books of a pipeline on a real Kafka; `stack` closes its readers."""
    timeout = settings.loop.call_timeout * 2
    models = stack.enter_context(closing(TableReader(conf, topic(spec.name, "models"), timeout)))
    plans = stack.enter_context(closing(TableReader(conf, topic(spec.name, "plans"), timeout)))
    follower = RolloutFollower(models, spec.name, lambda _: None)
    name = f"tailrace.{spec.name}.rollout"
    return KafkaBooks(spec.name, lambda: follower.refresh(True), plans, lambda: _sink(conf, settings, clock, name))


def _sink(conf: Mapping[str, Any], settings: Settings, clock: Clock, transactional_id: str) -> KafkaSink:
    loop = settings.loop
    return KafkaSink(
        conf,
        transactional_id=transactional_id,
        transaction_timeout=loop.transaction_timeout,
        call_timeout=loop.call_timeout,
        clock=clock,
    )


def _note(metadata: str) -> Note:
    try:
        return msgspec.json.decode(metadata, type=Note) if metadata else Note()
    except msgspec.DecodeError:
        return Note()


def rollout_picture(spec: PipelineSpec, settings: Settings) -> list[dict[str, Any]]:
    """Every epoch of a pipeline, and the offset at which it began to act in each partition.

    Raises:
        UserError: Kafka cannot be reached, or the pipeline's topics do not exist.
    """
    conf, timeout = client_config(settings.kafka, read_secret), settings.loop.call_timeout * 2
    KafkaAdmin(conf, timeout=timeout).broker()
    models = TableReader(conf, topic(spec.name, "models"), timeout)
    begun = TableReader(conf, topic(spec.name, "rollouts"), timeout)
    try:
        table = RolloutFollower(models, spec.name, lambda _: None).refresh(True)
        applications = applications_from(begun)()
    finally:
        models.close()
        begun.close()
    return [
        {
            "epoch": r.epoch,
            "version": r.champion.version,
            "digest": r.champion.digest,
            "mode": r.mode,
            "challenger": r.challenger.version if r.challenger else None,
            "share": r.share,
            "state": r.state,
            "reason": r.reason,
            "began": {str(a.partition): a.offset for a in applications if a.epoch == r.epoch},
        }
        for r in table
    ]


def last_words(spec: PipelineSpec, settings: Settings) -> dict[str, str]:
    """What the controller said last of each version, on `verdicts`.

    Raises:
        Unavailable: Kafka cannot be reached, or the topic does not exist.
    """
    conf, timeout = client_config(settings.kafka, read_secret), settings.loop.call_timeout * 2
    decode = msgspec.json.Decoder(_Word).decode
    with closing(TableReader(conf, topic(spec.name, "verdicts"), timeout)) as reader:
        words = [decode(value) for value in reader.to_end()]
    return {word.version: "; ".join(word.reasons) for word in words if word.metric == METRIC}
