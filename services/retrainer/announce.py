"""Saying on `<pipeline>.models` that a bundle is ready, on a real Kafka."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from shared.adapters.kafka.announcer import Announcer
from shared.adapters.kafka.config import client_config
from shared.adapters.kafka.table import TableReader
from shared.core.announcing import next_rollout
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Clock
from shared.core.records import BundleRef, Rollout
from shared.core.topics import topic
from shared.runtime.settings import Settings, read_secret


@contextmanager
def announcing(spec: PipelineSpec, settings: Settings, clock: Clock) -> Iterator[Callable[[BundleRef], Rollout]]:
    """Open the topic, before the training, so that an hour is not lost on a broker that is not there.

    Raises:
        Unavailable: Kafka does not answer, or the topic does not exist.
    """
    conf, timeout = client_config(settings.kafka, read_secret), settings.loop.call_timeout * 2
    name = topic(spec.name, "models")
    reader, announcer = TableReader(conf, name, timeout), Announcer(conf, timeout)
    known: dict[tuple[str, int], Rollout] = {}

    def refresh() -> None:
        for value in reader.to_end():
            rollout = msgspec.json.decode(value, type=Rollout)
            known[rollout.pipeline, rollout.epoch] = rollout

    def announce(ref: BundleRef) -> Rollout:
        refresh()
        rollout = next_rollout(spec.name, known.values(), ref, int(clock.time() * 1000))
        announcer.send(name, f"{spec.name}/{rollout.epoch}".encode(), msgspec.json.encode(rollout))
        return rollout

    try:
        refresh()
        yield announce
    finally:
        announcer.close()
        reader.close()
