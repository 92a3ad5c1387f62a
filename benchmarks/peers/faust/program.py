"""Faust: an agent with `take_events`, and its `exactly_once` as it is.

As it comes, or `tuned`: with another event loop, larger buffers and compression, all that was found to make it faster.
"""

import sys
import tempfile
from typing import Any

import faust
import mode.loop

from benchmarks.peers.common import Scorer, read_job, tuned

BATCH, WITHIN_S = 1_000, 0.1
TUNED = {
    "producer_compression_type": "lz4",
    "producer_linger": 0.005,
    "producer_max_batch_size": 1_000_000,
    "broker_max_poll_records": 5_000,
    "stream_buffer_maxsize": 16_384,
    "stream_wait_empty": False,
}


def main() -> None:
    """Score until SIGTERM."""
    mode.loop.use("uvloop" if tuned() else "aio")
    job = read_job()
    more: Any = TUNED if tuned() else {}
    scorer = Scorer(job)
    app = faust.App(
        job.group,
        broker=f"kafka://{job.servers}",
        processing_guarantee="exactly_once",
        key_serializer="raw",
        value_serializer="raw",
        store="memory://",
        datadir=tempfile.mkdtemp(prefix="faust-", dir="."),
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        **more,
    )
    source = app.topic(job.source, key_type=bytes, value_type=bytes)
    target = app.topic(job.target, key_type=bytes, value_type=bytes)

    async def score(stream: Any) -> None:
        async for events in stream.take_events(BATCH, within=WITHIN_S):
            at = [(event.message.partition, event.message.offset) for event in events]
            for key, value in scorer.many(at, [event.value for event in events]):
                await target.send(key=key, value=value)

    app.agent(source)(score)
    sys.argv[1:] = []
    faust.Worker(app, loglevel="WARNING").execute_from_commandline()


if __name__ == "__main__":
    main()
