"""Bytewax: a dataflow with batches by `flat_map_batch`; no recovery store, so nothing is promised."""

import bytewax.operators as op  # type: ignore[import-not-found] # only in its own environment
from bytewax.connectors.kafka import (  # type: ignore[import-not-found] # the same
    KafkaSinkMessage,
    KafkaSource,
    KafkaSourceMessage,
)
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow  # type: ignore[import-not-found] # the same
from bytewax.run import cli_main  # type: ignore[import-not-found] # the same

from benchmarks.peers.common import Scorer, consumer, producer, read_job

BATCH = 1_000  # its default


def main() -> None:
    """Score until it is killed."""
    job = read_job()
    scorer = Scorer(job)

    def score(batch: list[KafkaSourceMessage]) -> list[KafkaSinkMessage]:
        answers = scorer.many([(m.partition, m.offset) for m in batch], [m.value for m in batch])
        return [KafkaSinkMessage(key, value) for key, value in answers]

    flow = Dataflow("peer")
    source = KafkaSource([job.servers], [job.source], batch_size=BATCH, add_config=consumer())
    scored = op.flat_map_batch("score", op.input("records", flow, source), score)
    kop.output("predictions", scored, brokers=[job.servers], topic=job.target, add_config=producer())
    cli_main(flow)


if __name__ == "__main__":
    main()
