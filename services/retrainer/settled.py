"""Waiting until the archive has what a request was decided on: it is written a little behind the topic."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing

from services.retrainer.archive.names import Part
from services.retrainer.archive.store import Archive, archive_url
from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.config import client_config
from shared.adapters.kafka.positions import GroupPositions
from shared.core.errors import Unavailable, UserError
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Clock
from shared.core.topics import topic
from shared.runtime.settings import Settings, read_secret

FLUSHES = 3.0
LEAST = 15.0  # s
POLL = 1.0


def wait_for_archive(
    spec: PipelineSpec, settings: Settings, say: Callable[[str], None], clock: Clock, sleep: Callable[[float], None]
) -> None:
    """Wait until every outcome that stands in the topic now is archived.

    An archiver that does not run is not waited for, and one that is late not for ever: the training learns from what
    there is, and says so.

    Raises:
        Unavailable: the broker or the archive does not answer.
    """
    archive, name = Archive(archive_url(settings), spec.name), topic(spec.name, "outcomes")
    if not archive.files():
        return
    conf, timeout = client_config(settings.kafka, read_secret), settings.loop.call_timeout * 2
    try:
        generation = KafkaAdmin(conf, timeout=timeout).generation(name)
        with closing(GroupPositions(conf, "tailrace-readable", name, timeout)) as asked:
            wanted = asked.readable()
    except UserError as error:
        raise Unavailable(str(error)) from error
    deadline = clock.monotonic() + max(LEAST, FLUSHES * settings.archive.flush)
    while late := behind((one.part for one in archive.files()), name, generation, wanted):
        if clock.monotonic() > deadline:
            say(f"the archive lacks the newest outcomes of {len(late)} partitions: it goes on with what there is")
            return
        sleep(POLL)


def behind(parts: Iterable[Part], name: str, generation: str, wanted: Mapping[int, int]) -> dict[int, int]:
    """How many offsets the archive lacks, by partition; those that lack none are left out.

    Args:
        parts: its files.
        name: of the topic.
        generation: of the topic, as the broker has it.
        wanted: the offset after the last outcome of each partition.
    """
    ends: dict[int, int] = {}
    for part in parts:
        if (part.log.topic, part.log.generation) == (name, generation):
            ends[part.log.partition] = max(ends.get(part.log.partition, 0), part.end)
    return {p: end - ends.get(p, 0) for p, end in wanted.items() if end > ends.get(p, 0)}
