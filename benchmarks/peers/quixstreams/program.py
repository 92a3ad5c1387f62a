"""Quix Streams: a streaming dataframe, one record at a time (it offers no batches), exactly once.

As it comes, it decodes and encodes JSON itself; tuned, bytes go in and out, and the function decodes them.
"""

from pathlib import Path
from typing import Any

from quixstreams import Application, message_context  # type: ignore[import-not-found] # only in its own environment

from benchmarks.peers.common import Scorer, consumer, producer, read_job, tuned


def main() -> None:
    """Score until SIGTERM."""
    job = read_job()
    scorer = Scorer(job)
    app = Application(
        broker_address=job.servers,
        consumer_group=job.group,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        auto_create_topics=False,
        consumer_extra_config=consumer(),
        producer_extra_config=producer(),
        state_dir=Path("state"),
        loglevel="WARNING",
    )

    def score(value: dict[str, Any]) -> dict[str, Any]:
        context = message_context()
        return scorer.plain((context.partition, context.offset), value)

    def score_bytes(value: bytes) -> bytes:
        context = message_context()
        return scorer.one((context.partition, context.offset), value)[1]

    form = "bytes" if tuned() else "json"
    source = app.topic(job.source, key_deserializer="bytes", value_deserializer=form)
    target = app.topic(job.target, key_serializer="bytes", value_serializer=form)
    app.dataframe(source).apply(score_bytes if tuned() else score).to_topic(target)
    app.run()


if __name__ == "__main__":
    main()
