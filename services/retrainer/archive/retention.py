"""How long an archive keeps its days: by event time, a whole day at a time."""

from datetime import UTC, datetime

from services.retrainer.archive.names import day_of, day_start
from services.retrainer.archive.store import Archive
from shared.core.durations import parse
from shared.core.errors import UserError
from shared.core.ports import Clock
from shared.runtime.logs import get_logger

_EVERY = 600.0  # s between two looks
_DAY = 86_400.0


def retention_of(text: str) -> float | None:
    """The seconds of `TAILRACE_ARCHIVE__RETENTION`; None where everything is kept.

    Raises:
        UserError: it is no duration of a day or more.
    """
    if not text:
        return None
    try:
        seconds = float(parse(text))
    except ValueError as error:
        raise UserError(f"TAILRACE_ARCHIVE__RETENTION: {error}", remedy="write 400d") from None
    if seconds < _DAY:
        what = f"TAILRACE_ARCHIVE__RETENTION: {text} is less than a day"
        raise UserError(what, remedy="days are removed whole: write 1d or more")
    return seconds


def first_kept(archive: Archive, keep: float, now: float) -> str:
    """The oldest day that is kept; "" for an archive without any.

    Counted back from the newest day, so that a replayed year is a year, but never from a day that is still to come
    (`now`: s since 1970): one record with a clock that is ahead must not take everything else with it.
    """
    newest = max((one.part.day for one in archive.files()), default="")
    today = datetime.fromtimestamp(now, UTC).date().isoformat()
    return day_of(day_start(min(newest, today)) - round(keep * 1_000)) if newest else ""


def prune(archive: Archive, before: str) -> list[str]:
    """Remove all days before one; the names of what went.

    Raises:
        Unavailable: the archive cannot be changed now.
    """
    old = [one.name for one in archive.files() if one.part.day and one.part.day < before]
    return [name for name in old if archive.folder.remove(name)]


class Retention:
    """Looks now and then whether there are days to remove.

    Args:
        archive: whose.
        keep: seconds of event time; None: for good.
        clock: for the time between two looks, and for today.
    """

    def __init__(self, archive: Archive, keep: float | None, clock: Clock) -> None:
        self._archive, self._keep, self._clock = archive, keep, clock
        self._looked = float("-inf")

    def __call__(self) -> None:
        """Remove what is too old, if it is time to look.

        Raises:
            Unavailable: the archive cannot be changed now.
        """
        if self._keep is None or self._clock.monotonic() - self._looked < _EVERY:
            return
        self._looked = self._clock.monotonic()
        before = first_kept(self._archive, self._keep, self._clock.time())
        if gone := prune(self._archive, before):
            get_logger("archive").info("days beyond retention removed", before=before, files=len(gone))
