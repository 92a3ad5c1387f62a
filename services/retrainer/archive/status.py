"""What an archive holds: rows, bytes, days, and for each partition how far its ranges go and which ones are missing."""

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from services.retrainer.archive.names import Log
from services.retrainer.archive.store import Archive, Stored
from shared.adapters.parquet import UnreadableError, footer


class LogStatus(msgspec.Struct, frozen=True):
    """One partition of one incarnation of the topic.

    `start` and `end` are offsets of complete ranges, `missing` the ranges between them without a file: nothing was in
    them, or their days are beyond retention, or they were lost. `tail` is how far the tail file goes; None: there is
    none.
    """

    topic: str
    generation: str
    partition: int
    start: int
    end: int
    ranges: int
    missing: tuple[tuple[int, int], ...]
    tail: int | None


class Status(msgspec.Struct, frozen=True):
    """The whole. `tail_rows` of `rows` are in tails; an offset that is in two files for a moment counts twice."""

    pipeline: str
    url: str
    range: int
    rows: int
    tail_rows: int
    bytes: int
    files: int
    days: int
    first_day: str
    last_day: str
    erased: int
    unreadable: tuple[str, ...]
    logs: tuple[LogStatus, ...]


def status(archive: Archive, pipeline: str, span: int) -> Status:
    """Look at every file's end.

    Raises:
        Unavailable: the archive cannot be read now.
    """
    files = archive.files()
    rows: dict[str, int] = {}
    unreadable: list[str] = []
    for one in files:
        try:
            with archive.folder.open(one.name) as file:
                rows[one.name] = footer(file)[0]
        except FileNotFoundError:
            continue
        except UnreadableError:
            unreadable.append(one.name)
    days = sorted({one.part.day for one in files if one.part.day})
    logs = sorted({one.part.log for one in files})
    return Status(
        pipeline, archive.folder.url, span, sum(rows.values()),
        sum(rows.get(one.name, 0) for one in files if not one.part.day), sum(one.size for one in files), len(files),
        len(days), days[0] if days else "", days[-1] if days else "", len(archive.erased()), tuple(unreadable),
        tuple(_log(log, [one for one in files if one.part.log == log]) for log in logs),
    )  # fmt: skip


def _log(log: Log, files: Sequence[Stored]) -> LogStatus:
    ranges = sorted({(one.part.start, one.part.end) for one in files if one.part.day})
    tails = [one.part.end for one in files if not one.part.day]
    start, end = (ranges[0][0], ranges[-1][1]) if ranges else (0, 0)
    pairs = pairwise(ranges)
    missing = tuple((before[1], after[0]) for before, after in pairs if before[1] < after[0])
    return LogStatus(*log, start, end, len(ranges), missing, max(tails, default=None))
