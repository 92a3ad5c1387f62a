"""FastStream on confluent-kafka: batches in, batches out, acknowledged once they are written: at least once."""

import asyncio
import logging
from typing import Any

from faststream import AckPolicy, FastStream  # type: ignore[import-not-found] # only in its own environment
from faststream.confluent import KafkaBroker, KafkaPublishMessage  # type: ignore[import-not-found] # the same

from benchmarks.peers.common import Scorer, consumer, producer, read_job

BATCH = 1_000


def main() -> None:
    """Score until SIGTERM."""
    job = read_job()
    scorer = Scorer(job)
    # Types are applied by pydantic otherwise, which costs more than all the rest.
    broker = KafkaBroker(
        job.servers, apply_types=False, allow_auto_create_topics=False, config={**consumer(), **producer()}, logger=None
    )

    async def decode(message: Any) -> list[tuple[bytes, bytes]]:
        batch = message.raw_message
        return scorer.many([(m.partition(), m.offset()) for m in batch], [m.value() for m in batch])

    @broker.publisher(job.target, batch=True)  # type: ignore[untyped-decorator] # not installed where mypy runs
    @broker.subscriber(  # type: ignore[untyped-decorator] # the same
        job.source,
        group_id=job.group,
        batch=True,
        max_records=BATCH,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        ack_policy=AckPolicy.ACK,
        decoder=decode,
    )
    async def score(answers: list[tuple[bytes, bytes]]) -> list[Any]:
        return [KafkaPublishMessage(value, key=key) for key, value in answers]

    asyncio.run(FastStream(broker, logger=None).run(log_level=logging.WARNING))


if __name__ == "__main__":
    main()
