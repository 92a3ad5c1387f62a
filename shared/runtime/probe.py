"""What the world may see of a loop: metrics, health, spans and log lines, kept out of the loop's own text."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager

from shared.core.errors import Fenced, Indefinite, LogError, Unavailable
from shared.core.metrics import MetricName, Metrics, Outcome
from shared.core.pacing import Bounds
from shared.core.ports import Clock, Count, Message, Reject, Tracer
from shared.core.records import TRACEPARENT, Committed
from shared.core.rollout import Split
from shared.runtime.health import Health
from shared.runtime.logs import get_logger

GONE = float("nan")  # withdraws a series: a lost partition is unknown, not at its last value
OF_PARTITIONS: tuple[MetricName, ...] = (
    "tailrace_committed_offset",
    "tailrace_epoch_in_force",
    "tailrace_event_time_seconds",
    "tailrace_high_watermark",
    "tailrace_last_stable_offset",
)
TELL_EVERY = 1.0  # s between two log lines about dead letters
LINKED = 64  # records of a batch whose trace context is offered as a link


class Probe:
    """Told of everything by the loop; tells metrics, health, traces and the log.

    Args:
        pipeline: for labels and log lines.
        topic: the input topic.
        metrics: where figures go.
        health: liveness and readiness of the process.
        tracer: one span a batch.
        clock: wall time, for latency.
        outcome: what a record becomes that is neither a dead letter nor a control.
        announce: called when the assignment or what is stopped changes, and after each batch (for heartbeats).
    """

    def __init__(
        self,
        *,
        pipeline: str,
        topic: str,
        metrics: Metrics,
        health: Health,
        tracer: Tracer,
        clock: Clock,
        outcome: Outcome = "prediction",
        announce: Callable[[], None] | None = None,
    ) -> None:
        self._pipeline, self._topic, self._clock = pipeline, topic, clock
        self._metrics, self._health, self._tracer = metrics, health, tracer
        self._outcome = outcome
        self._announce = announce or (lambda: None)
        self._log = get_logger("loop").bind(pipeline=pipeline)
        self.owned: set[int] = set()
        self.halted: dict[int, str] = {}
        self.epochs: dict[int, int] = {}
        self.lag = 0
        self.committed_records = 0
        self.by_version: dict[MetricName, Counter[str]] = {}
        self._untold, self._told_at = 0, float("-inf")

    def turned(self, lag: int, bounds: Bounds, records: int) -> None:
        """The loop polled."""
        self.lag = lag
        self._health.turn()
        if records:
            self._metrics.count("tailrace_batches_total")
            self._metrics.observe("tailrace_batch_records", records)
            self._metrics.gauge("tailrace_batch_limit_records", bounds.limit)

    def batch(self, messages: Sequence[Message]) -> AbstractContextManager[None]:
        """The span of one batch, linked to a sample of its records' own traces."""
        links = []
        for message in messages[:LINKED]:
            for name, value in message.headers() or ():
                if name == TRACEPARENT and value:
                    links.append(value.decode("ascii", "replace"))
        attributes: dict[str, str | int] = {"messaging.batch.message_count": len(messages)}
        return self._tracer.batch("process", destination=self._topic, links=links, attributes=attributes)

    def committed(
        self,
        messages: Sequence[Message],
        last: Mapping[int, Message],
        cut: Split,
        rejects: Sequence[Reject],
        step: float,
        transaction: float,
    ) -> None:
        """A batch is durable: the last message of each partition; `step` and `transaction` are the seconds of each."""
        self.committed_records += len(messages)
        self._count(len(messages), cut, rejects)
        self._metrics.observe("tailrace_batch_seconds", step, stage="step")
        self._metrics.observe("tailrace_batch_seconds", transaction, stage="transaction")
        oldest = min(messages[0].timestamp()[1], messages[-1].timestamp()[1])
        self._metrics.observe("tailrace_latency_seconds", max(self._clock.time() - oldest / 1000, 0.0))
        for partition, m in last.items():
            self._metrics.gauge("tailrace_committed_offset", m.offset() + 1, partition=str(partition))
        if rejects:
            self._tell(rejects)
        self._follow(cut)
        self._announce()

    def _count(self, records: int, cut: Split, rejects: Sequence[Reject]) -> None:
        count = self._metrics.count
        controls = sum(cut.controls.values()) - cut.controls.get("forged", 0)
        done = records - len(rejects) - controls
        for outcome, n in ((self._outcome, done), ("dead_letter", len(rejects)), ("control", controls)):
            if n:
                count("tailrace_records_total", n, pipeline=self._pipeline, outcome=outcome)
        for reason, n in Counter(r.reason for r in rejects).items():
            count("tailrace_dead_letters_total", n, pipeline=self._pipeline, reason=reason)
        for result, n in cut.controls.items():
            count("tailrace_controls_total", n, result=result)
        count("tailrace_transactions_total", result="committed")

    def _tell(self, rejects: Sequence[Reject]) -> None:
        """One line a second at most, with the first dead letter and how many there were: the topic has them all.

        The letter's detail may quote the record, so it stays in the topic.
        """
        self._untold += len(rejects)
        now = self._clock.monotonic()
        if now - self._told_at < TELL_EVERY:
            return
        first, self._told_at = rejects[0], now
        trace = next((v for name, v in first.message.headers() or () if name == TRACEPARENT and v), b"")
        self._log.warning(
            "dead letters", reason=first.reason, partition=first.message.partition(), offset=first.message.offset(),
            trace_id=trace.decode("ascii", "replace")[3:35], since_last_line=self._untold,
        )  # fmt: skip
        self._untold = 0

    def _follow(self, cut: Split) -> None:
        for application in cut.applications:
            if application.cause == "revoked":
                self._metrics.count("tailrace_controls_total", result="revoked")
            self._log.info(
                "epoch acts", partition=application.partition, offset=application.offset,
                epoch=application.epoch, version=application.version, cause=application.cause,
            )  # fmt: skip
        for partition, note in cut.notes.items():
            if self.epochs.get(partition) != note.acting:
                self.epochs[partition] = note.acting
                self._metrics.gauge("tailrace_epoch_in_force", note.acting, partition=str(partition))

    def count(self, counts: Iterable[Count]) -> None:
        """What the step wants counted of a batch that is durable."""
        for one in counts:
            self._metrics.count(one.metric, one.value, **one.labels)
            if "version" in one.labels:
                self.by_version.setdefault(one.metric, Counter())[one.labels["version"]] += one.value

    def marks(self, partition: int, high: int, stable: int) -> None:
        """The partition's high watermark and last stable offset, every few seconds."""
        self._metrics.gauge("tailrace_high_watermark", high, partition=str(partition))
        self._metrics.gauge("tailrace_last_stable_offset", stable, partition=str(partition))

    def assigned(self, positions: Mapping[int, Committed]) -> None:
        """Partitions came, or were rewound to these positions."""
        fresh = set(positions) - self.owned
        if fresh:
            self._metrics.count("tailrace_rebalances_total", event="assigned")
            self._log.info("assigned", partitions=sorted(fresh), offsets=[positions[p].offset for p in sorted(fresh)])
        self.owned |= fresh
        for partition in fresh:
            self.halted.pop(partition, None)
        self.epochs.update({p: c.note.acting for p, c in positions.items()})
        self._assignment()

    def revoked(self, partitions: Sequence[int]) -> None:
        """Partitions went in good order."""
        self._gone("revoked", partitions)

    def lost(self, partitions: Sequence[int]) -> None:
        """Partitions went without our leave."""
        self._gone("lost", partitions)

    def stopped(self, partition: int, why: str) -> None:
        """A partition is stopped until an operator acts (restarting the worker tries it again)."""
        self.halted[partition] = why
        self._log.error("partition stopped", partition=partition, reason=why)
        self._assignment()

    def unavailable(self, error: Unavailable) -> None:
        """Something outside does not answer; the loop waits and tries again."""
        self._health.turn()
        self._log.warning("unavailable", error=str(error))

    def failed(self, error: LogError) -> None:
        """A delivery failed; the batch will be tried again."""
        result = "fenced" if isinstance(error, Fenced) else "indefinite" if isinstance(error, Indefinite) else "aborted"
        self._metrics.count("tailrace_transactions_total", result=result)
        self._log.warning("delivery failed", kind=type(error).__name__, error=str(error), transient=error.transient)

    def _gone(self, event: str, partitions: Sequence[int]) -> None:
        self._metrics.count("tailrace_rebalances_total", event=event)
        self._log.info(event, partitions=sorted(partitions))
        for partition in partitions:
            self.owned.discard(partition)
            self.halted.pop(partition, None)
            self.epochs.pop(partition, None)
            for name in OF_PARTITIONS:
                self._metrics.gauge(name, GONE, partition=str(partition))
        self._assignment()

    def _assignment(self) -> None:
        self._metrics.gauge("tailrace_partitions_assigned", len(self.owned))
        self._metrics.gauge("tailrace_partitions_stopped", len(self.halted))
        stopped = "; ".join(f"partition {p}: {why}" for p, why in sorted(self.halted.items()))
        self._health.set("assignment", bool(self.owned) and not self.halted, stopped or f"owns {sorted(self.owned)}")
        self._announce()
