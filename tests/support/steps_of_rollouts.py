"""Rollouts by hand on a real broker: values of `models`, barriers, heartbeats; which version each record is owed."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Any

import msgspec
from confluent_kafka import Consumer, TopicPartition

from shared.adapters.kafka.announcer import Announcer
from shared.adapters.kafka.ranges import RangeReader
from shared.core.ports import Message
from shared.core.records import CONTROL_HEADER, Barrier, BundleRef, Headers, Heartbeat, Rollout
from shared.core.rollout import version_for
from tests.support.world import World


def put(world: World, rollout: Rollout) -> None:
    """Write a rollout into `models`."""
    world.send("models", [(f"{rollout.pipeline}/{rollout.epoch}", msgspec.json.encode(rollout), None)])


def barriers(world: World, epoch: int) -> None:
    """A barrier into each partition of `records`."""
    announcer = Announcer(world.conf, 30)
    value = msgspec.json.encode(Barrier(epoch))
    headers: Headers = [(CONTROL_HEADER, b"rollout")]
    announcer.send(
        f"{world.spec.name}.records", b"tailrace-control", value, headers=headers,
        partitions=range(world.spec.partitions),
    )  # fmt: skip
    announcer.close()


def heartbeats(world: World) -> dict[str, Heartbeat]:
    """The newest heartbeat of each worker."""
    told = [msgspec.convert(value, Heartbeat) for value in world.values("workers")]
    return {one.worker: one for one in told}


def messages(world: World, name: str) -> Iterable[Message]:
    """Every committed record of a topic, a partition at a time."""
    full = f"{world.spec.name}.{name}"
    with closing(Consumer({**world.conf, "group.id": "ends"})) as consumer:
        ends = [
            (p, consumer.get_watermark_offsets(TopicPartition(full, p), timeout=10)[1])
            for p in range(world.spec.partitions)
        ]
    ranges = RangeReader(world.conf, full, 30)
    for partition, end in ends:
        for chunk in ranges.read(partition, 0, end) if end else ():
            yield from chunk


def owed(world: World, rollouts: Sequence[Rollout]) -> dict[tuple[int, int], tuple[int, BundleRef]]:
    """The epoch and version of each record, from the records topic and the rollouts alone: f(epoch at offset, key)."""
    table = {rollout.epoch: rollout for rollout in rollouts}
    found: dict[tuple[int, int], tuple[int, BundleRef]] = {}
    epochs = dict.fromkeys(range(world.spec.partitions), rollouts[0].epoch)
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    for message in messages(world, "records"):
        partition, value = message.partition(), message.value() or b""
        if message.headers():
            epochs[partition] = max(epochs[partition], msgspec.json.decode(value, type=Barrier).epoch)
            continue
        epoch = epochs[partition]
        key = decode(value)[world.spec.record.key]
        found[partition, message.offset()] = epoch, version_for(table[epoch], key)
    return found
