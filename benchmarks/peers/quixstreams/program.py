"""Quix Streams: a streaming dataframe, one record at a time (it offers no batches), exactly once."""

from pathlib import Path

from quixstreams import Application, message_context  # type: ignore[import-not-found] # only in its own environment

from benchmarks.peers.common import CONSUMER, PRODUCER, Scorer, read_job


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
        consumer_extra_config=dict(CONSUMER),
        producer_extra_config=dict(PRODUCER),
        state_dir=Path("state"),
        loglevel="WARNING",
    )

    def score(value: bytes) -> bytes:
        context = message_context()
        return scorer.one((context.partition, context.offset), value)[1]

    source = app.topic(job.source, key_deserializer="bytes", value_deserializer="bytes")
    target = app.topic(job.target, key_serializer="bytes", value_serializer="bytes")
    app.dataframe(source).apply(score).to_topic(target)
    app.run()


if __name__ == "__main__":
    main()
