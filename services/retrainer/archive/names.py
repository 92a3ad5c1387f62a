"""What files of an archive are called: topic, generation, partition and range say exactly which rows a file may have.

`day=2013-01-05/flights.outcomes-1f2e3d4c-3-000000120000-000000130000.parquet` has the outcomes of that event day at
the offsets [120000, 130000) of partition 3; `_tail/...` those of a range that is not yet complete, of all days.
"""

import re
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

TAIL, ERASED, TERMS = "_tail", "_erased", "_archive.json"
_NAME = re.compile(
    r"(?:day=(?P<day>\d{4}-\d\d-\d\d)|_tail)/"
    r"(?P<topic>[A-Za-z0-9._-]+)-(?P<generation>[0-9a-f]{8})-(?P<partition>\d+)-(?P<start>\d+)-(?P<end>\d+)\.parquet"
)
_DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1)


class Log(NamedTuple):
    """One partition of one incarnation of a topic: a topic that was made anew counts its offsets from 0 again."""

    topic: str
    generation: str
    partition: int


class Part(NamedTuple):
    """A file: which log, which offsets `[start, end)`, and of which event day; "" for the tail, which has them all."""

    log: Log
    start: int
    end: int
    day: str = ""

    @property
    def name(self) -> str:
        """Its name below the pipeline's folder."""
        topic, generation, partition = self.log
        folder = f"day={self.day}" if self.day else TAIL
        return f"{folder}/{topic}-{generation}-{partition}-{self.start:012d}-{self.end:012d}.parquet"


def parse(name: str) -> Part | None:
    """The file of that name; None for one that is not of an archive."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    log = Log(match["topic"], match["generation"], int(match["partition"]))
    return Part(log, int(match["start"]), int(match["end"]), match["day"] or "")


def day_of(time_ms: int) -> str:
    """The day (UTC) of an event time."""
    return (_EPOCH + timedelta(days=time_ms // _DAY_MS)).isoformat()


def day_start(day: str) -> int:
    """The first millisecond of a day."""
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1_000)
