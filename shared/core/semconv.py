"""What spans and their attributes are called, and how a trace context is written.

OpenTelemetry is renaming its messaging attributes: the names stand here and nowhere else.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

from shared.core.metrics import Metrics

SYSTEM: Final = "messaging.system"
OPERATION_NAME: Final = "messaging.operation.name"
OPERATION_TYPE: Final = "messaging.operation.type"
DESTINATION: Final = "messaging.destination.name"
PARTITION: Final = "messaging.destination.partition.id"
GROUP: Final = "messaging.consumer.group.name"
BATCH_COUNT: Final = "messaging.batch.message_count"
OFFSET: Final = "messaging.kafka.offset"
ERROR_TYPE: Final = "error.type"
SERVICE: Final = "service.name"
SERVICE_INSTANCE: Final = "service.instance.id"
PIPELINE: Final = "tailrace.pipeline"
VERSION: Final = "tailrace.model.version"
EPOCH: Final = "tailrace.epoch"

SAMPLED: Final = 0x01
_ANY_VERSION: Final = 55  # characters of version 00; later versions may append more after a dash
_HEAD = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)


class TraceContext(NamedTuple):
    """A parsed `traceparent`: lower-case hexadecimal ids, and the flags as a number."""

    trace_id: str
    span_id: str
    flags: int

    @property
    def sampled(self) -> bool:
        """Whether whoever began the trace records it."""
        return bool(self.flags & SAMPLED)

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"


def parse_traceparent(header: str) -> TraceContext | None:
    """A W3C Trace Context header, strictly: None for whatever the recommendation calls invalid."""
    match = _HEAD.fullmatch(header)
    if match is None or (header.startswith("00") and len(header) != _ANY_VERSION):
        return None
    return TraceContext(match[1], match[2], int(match[3], 16))


def chosen(trace_id: str, rate: float) -> bool:
    """Whether a trace belongs to the sample of this rate (0 to 1): the same answer in every service.

    The last 56 bits of a trace id are random by W3C Trace Context level 2; they are the hash.
    """
    return int(trace_id[-14:], 16) < rate * (1 << 56)


class NullTracer:
    """No spans; contexts are still carried from records to predictions, and malformed ones counted and dropped."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    @contextmanager
    def batch(
        self, name: str, *, destination: str, links: Sequence[str], attributes: Mapping[str, str | int]
    ) -> Iterator[None]:
        """Do nothing around the batch."""
        del name, destination, links, attributes
        yield

    def carry(self, traceparent: str | None) -> str | None:
        """The record's own context, where it is well formed."""
        context = read_context(traceparent, self._metrics)
        return None if context is None else str(context)

    def close(self) -> None:
        """Nothing to send."""


def read_context(traceparent: str | None, metrics: Metrics) -> TraceContext | None:
    """Parse a record's header; a malformed one is counted and treated as absent."""
    if traceparent is None:
        return None
    context = parse_traceparent(traceparent)
    if context is None:
        metrics.count("tailrace_trace_contexts_malformed_total")
    return context
