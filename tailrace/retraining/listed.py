"""All trainings of a pipeline as its retrainer wrote them down."""

from contextlib import closing
from datetime import UTC, datetime

import msgspec

from shared.adapters.kafka.config import client_config
from shared.adapters.kafka.table import TableReader
from shared.core.pipeline import PipelineSpec
from shared.core.retraining import Book, Training
from shared.core.topics import topic
from shared.runtime.settings import Settings, read_secret


class Listed(msgspec.Struct, frozen=True):
    """What is known: the newest trainings first, the one in hand, what stands in the way, refused values by reason."""

    pipeline: str
    now: int
    running: str
    faults: tuple[str, ...]
    refused: dict[str, int]
    trainings: tuple[Training, ...]


def listed(spec: PipelineSpec, settings: Settings, last: int) -> Listed:
    """Read `trainings` to its end.

    Raises:
        Unavailable: the broker does not answer, or there is no such topic.
    """
    conf, timeout = client_config(settings.kafka, read_secret), settings.loop.call_timeout * 2
    book, found = Book(), dict[str, Training]()
    with closing(TableReader(conf, topic(spec.name, "trainings"), timeout)) as reader:
        for value in reader.to_end():
            one = msgspec.json.decode(value, type=Book | Training)
            if isinstance(one, Book):
                book = one
            else:
                found[one.id] = one
    newest = sorted(found.values(), key=lambda one: (one.at, one.changed), reverse=True)[:last]
    running = book.running.id if book.running else ""
    return Listed(spec.name, book.now, running, tuple(sorted(book.faults)), book.refused, tuple(newest))


def table_of(found: Listed) -> str:
    """A line a training; below, what stands in the way."""
    lines = [_line(one) for one in found.trainings] or [f"no training of {found.pipeline} yet"]
    if found.faults:
        lines.append(f"held back by: {', '.join(found.faults)}")
    if found.refused:
        lines.append("values that were no requests: " + ", ".join(f"{k} {n}" for k, n in sorted(found.refused.items())))
    return "\n".join(lines)


def _line(one: Training) -> str:
    at = datetime.fromtimestamp(one.at / 1_000, UTC).strftime("%Y-%m-%d %H:%M")
    version = f"version {one.challenger.version}" if one.challenger else ""
    parts = (at, one.id[:12], one.trigger, one.state, version, gate_of(one), one.reason)
    return " · ".join(part for part in parts if part)


def gate_of(one: Training) -> str:
    """What the gate found, in figures."""
    if one.gate is None:
        return ""
    whole = one.gate.whole
    if whole.error is None:
        return f"gate: not judged ({whole.labels:,} labels)"
    return (
        f"gate: loss {whole.challenger:.4g} against {whole.champion:.4g} ({whole.difference:+.4g} +- {whole.error:.2g})"
    )
