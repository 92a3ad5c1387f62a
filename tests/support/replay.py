"""A small pipeline and a broker in memory."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shared.core.errors import Unavailable
from shared.core.pipeline import FeatureSpec, FieldSpec, LabelSpec, LookupSpec, ModelSpec, PipelineSpec, RecordSpec
from shared.core.pipeline_base import Duration
from shared.core.records import Headers

HOUR = 3_600_000


def shop() -> PipelineSpec:
    """A pipeline with one field of each type and one lookup group."""
    fields = {
        "id": FieldSpec(type="string"),
        "who": FieldSpec(type="string"),
        "at": FieldSpec(type="timestamp"),
        "amount": FieldSpec(type="number", nullable=True),
        "count": FieldSpec(type="integer", required=False),
        "new": FieldSpec(type="boolean", required=False),
    }
    return PipelineSpec(
        name="shop",
        task="binary",
        record=RecordSpec(id="id", key="who", event_time="at", fields=fields),
        features=(FeatureSpec(name="amount"),),
        lookups={"past": LookupSpec(key="who", fields={"mean": "number"}, max_age=Duration(3_600))},
        labels=LabelSpec(horizon=Duration(86_400), classes=("no", "yes"), positive="yes"),
        model=ModelSpec(estimator="sklearn.linear_model.LogisticRegression"),
    )


@dataclass
class Sent:
    """One message that the fake broker took."""

    topic: str
    key: bytes | None
    value: bytes
    headers: Headers | None


@dataclass
class Broker:
    """Takes messages, acknowledges them at the flush, and can fail after so many."""

    messages: list[Sent] = field(default_factory=list)
    acknowledged: int = 0
    fails_after: int = 1_000_000
    waiting: list[tuple[Callable[[int, int], None], int]] = field(default_factory=list)

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes,
        headers: Headers | None,
        done: Callable[[int, int], None] | None,
    ) -> None:
        """Take a message."""
        if len(self.messages) >= self.fails_after:
            raise Unavailable("the broker is gone")
        self.messages.append(Sent(topic, key, value, headers))
        if done is not None:
            self.waiting.append((done, self.count(topic) - 1))

    def flush(self, timeout: float) -> None:
        """Acknowledge all."""
        del timeout
        for done, offset in self.waiting:
            done(0, offset)
        self.waiting.clear()
        self.acknowledged = len(self.messages)

    def count(self, topic: str) -> int:
        """Messages in a topic."""
        return sum(m.topic == topic for m in self.messages)

    def values(self, topic: str) -> list[bytes]:
        """What a topic holds."""
        return [m.value for m in self.messages if m.topic == topic]


def write_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    """Write rows under the first one's column names."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path
