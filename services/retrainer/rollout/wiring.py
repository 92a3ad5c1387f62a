"""A `RolloutControl` on a real Kafka."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from services.retrainer.rollout.control import RolloutControl
from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.announcer import Announcer
from shared.adapters.kafka.config import client_config
from shared.adapters.kafka.sink import KafkaSink
from shared.adapters.kafka.table import TableReader
from shared.core.pipeline import PipelineSpec
from shared.core.records import Heartbeat, Note
from shared.core.topics import topic
from shared.runtime.clock import SystemClock
from shared.runtime.follow import RolloutFollower, applications_from
from shared.runtime.settings import Settings, read_secret


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
    models = TableReader(conf, topic(spec.name, "models"), timeout)
    workers = TableReader(conf, topic(spec.name, "workers"), timeout)
    follower = RolloutFollower(models, spec.name, lambda _: None)
    newest: dict[str, Heartbeat] = {}
    announcer = Announcer(conf, timeout)

    def heartbeats() -> Sequence[Heartbeat]:
        for value in workers.to_end():
            heartbeat = msgspec.json.decode(value, type=Heartbeat)
            newest[heartbeat.worker] = heartbeat
        return list(newest.values())

    def notes() -> Mapping[int, Note]:
        group, records = f"tailrace.{spec.name}.scorer", topic(spec.name, "records")
        answer = admin.committed(group, records, range(spec.partitions))
        return {p: _note(answer[p][1]) if p in answer else Note() for p in range(spec.partitions)}

    def fence(transactional_id: str) -> None:
        loop = settings.loop
        KafkaSink(
            conf,
            transactional_id=transactional_id,
            transaction_timeout=loop.transaction_timeout,
            call_timeout=loop.call_timeout,
            clock=clock,
        ).close()

    try:
        yield RolloutControl(
            spec,
            table=lambda: follower.refresh(True),
            heartbeats=heartbeats,
            notes=notes,
            send=announcer.send,
            fence=fence,
            clock=clock,
            sleep=time.sleep,
            say=say,
        )
    finally:
        announcer.close()
        models.close()
        workers.close()


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
            "state": r.state,
            "reason": r.reason,
            "began": {str(a.partition): a.offset for a in applications if a.epoch == r.epoch},
        }
        for r in table
    ]
