"""Dates as people write them: a row by itself where it can be read in one way only, else by the whole column."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Order = Literal["", "day-first", "month-first"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CLOCK = r"(?:[T ,]+(?P<h>\d{1,2}):(?P<mi>\d{2})(?::(?P<s>\d{2})(?:[.,](?P<f>\d{1,9}))?)?\s*(?P<ap>[AaPp]\.?[Mm]\.?)?)?"
_ZONE = r"\s*(?P<z>Z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})?"
_ISO = re.compile(rf"(?P<y>\d{{4}})(?P<sep>[-/.])(?P<m>\d{{1,2}})(?P=sep)(?P<d>\d{{1,2}}){_CLOCK}{_ZONE}", re.ASCII)
_PACKED = re.compile(rf"(?P<y>(?:19|20)\d{{2}})(?P<m>\d{{2}})(?P<d>\d{{2}}){_CLOCK}{_ZONE}", re.ASCII)
_PAIR = re.compile(
    rf"(?P<a>\d{{1,2}})(?P<sep>[-/.])(?P<b>\d{{1,2}})(?P=sep)(?P<y>\d{{4}}|\d{{2}}){_CLOCK}{_ZONE}", re.ASCII
)
_NAMED = re.compile(
    r"(?:(?P<d>\d{1,2})(?:st|nd|rd|th)?[ .-]+(?P<m>[A-Za-z]{3,9})"
    r"|(?P<m2>[A-Za-z]{3,9})\.?[ -]+(?P<d2>\d{1,2})(?:st|nd|rd|th)?)"
    rf"[ .,-]+(?P<y>\d{{4}}|\d{{2}}){_CLOCK}{_ZONE}",
    re.ASCII,
)
_SHORT = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: i for i, name in enumerate(_SHORT, 1)}
_STAMP = re.compile(r"\d{10}(?:\d{3})?(?:\.\d+)?", re.ASCII)
_SAMPLE = 500


@dataclass(frozen=True, slots=True)
class Moments:
    """k distinct texts as ms since 1970 UTC, and where a text is one; `how` says what was decided."""

    ms: NDArray[np.int64]
    ok: NDArray[np.bool_]
    how: str = ""
    guessed: bool = False


def parse_moments(texts: list[str], counts: NDArray[np.int64], *, order: Order = "", numbers: bool = False) -> Moments:
    """Read texts as instants.

    Args:
        texts: k distinct texts.
        counts: (k,) how often each stands.
        order: of day and month in 3/4/2013; empty: by the column as a whole.
        numbers: whether 20130403 and 1364947200 may be instants (the column's name says so).
    """
    sample = range(0, len(texts), max(1, len(texts) // _SAMPLE))
    if sum(_match(texts[i], numbers=numbers) is not None for i in sample) < len(sample) / 2:
        return Moments(np.zeros(len(texts), np.int64), np.zeros(len(texts), np.bool_))
    day_first, how, guessed = _order(texts, counts, order)
    ms, ok = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.bool_)
    kinds: set[str] = set()
    zoneless = False
    for i, text in enumerate(texts):
        found = _match(text, numbers=numbers)
        moment = None if found is None else found[1](text, found[2], day_first)
        if moment is None or found is None:
            continue
        kinds.add(found[0])
        zoneless |= moment.tzinfo is None
        since = (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment) - _EPOCH
        ms[i], ok[i] = since // timedelta(milliseconds=1), True
    said = [f"{len(kinds)} formats, each row by its own"] if len(kinds) > 1 else []
    said += [how] if how else []
    said += ["no zone: taken as UTC"] if zoneless else []
    return Moments(ms, ok, ", ".join(said), guessed)


_Reading = Callable[[str, "re.Match[str]", bool], datetime | None]


def _match(text: str, *, numbers: bool) -> tuple[str, _Reading, re.Match[str]] | None:
    for kind, pattern, read in _FORMATS:
        if kind in ("packed", "stamp") and not numbers:
            continue
        if match := pattern.fullmatch(text):
            return kind, read, match
    return None


def _order(texts: list[str], counts: NDArray[np.int64], order: Order) -> tuple[bool, str, bool]:
    """Whether the day stands first, how that is known, and whether it is a mere guess."""
    pairs = [(m, int(counts[i])) for i, text in enumerate(texts) if (m := _PAIR.fullmatch(text))]
    if not pairs:
        return True, "", False
    if order:
        return order == "day-first", f"{order}, as asked", False
    day = sum(n for m, n in pairs if int(m["a"]) > 12)  # noqa: PLR2004 - no month
    month = sum(n for m, n in pairs if int(m["b"]) > 12)  # noqa: PLR2004 - no month
    if day != month:
        first = "day" if day > month else "month"
        example = next(m[0] for m, _ in pairs if int(m["a" if first == "day" else "b"]) > 12)  # noqa: PLR2004 - the same
        return day > month, f"the {first} stands first ({example} allows nothing else)", False
    by_sign = sum(n for m, n in pairs if m["sep"] != "/") * 2 > sum(n for _, n in pairs)
    first = "day" if by_sign else "month"
    return by_sign, f"GUESSED that the {first} stands first (no row shows it; --dates says it)", True


def _clock(match: re.Match[str], year: int, month: int, day: int) -> datetime | None:
    hour = int(match["h"] or 0)
    if match["ap"]:
        hour = hour % 12 + (12 if match["ap"][0] in "Pp" else 0)
    micro = int((match["f"] or "0").ljust(6, "0")[:6])
    try:
        return datetime(
            year, month, day, hour, int(match["mi"] or 0), int(match["s"] or 0), micro, tzinfo=_zone(match["z"])
        )
    except ValueError:
        return None


def _zone(text: str | None) -> timezone | None:
    if not text:
        return None
    if text in ("Z", "UTC", "GMT"):
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)


def _year(text: str) -> int:
    number = int(text)
    if len(text) > 2:  # noqa: PLR2004 - all its digits
        return number
    return number + (2000 if number < 69 else 1900)  # noqa: PLR2004 - POSIX's own border


def _iso(_text: str, match: re.Match[str], _day_first: bool) -> datetime | None:  # noqa: FBT001 - one signature
    return _clock(match, int(match["y"]), int(match["m"]), int(match["d"]))


def _pair(_text: str, match: re.Match[str], day_first: bool) -> datetime | None:  # noqa: FBT001 - one signature
    a, b = int(match["a"]), int(match["b"])
    day, month = (a, b) if (day_first and b <= 12) or a > 12 else (b, a)  # noqa: PLR2004 - a row that allows one order
    return _clock(match, _year(match["y"]), month, day)


def _named(_text: str, match: re.Match[str], _day_first: bool) -> datetime | None:  # noqa: FBT001 - one signature
    month = _MONTHS.get((match["m"] or match["m2"])[:3].lower())
    return None if month is None else _clock(match, _year(match["y"]), month, int(match["d"] or match["d2"]))


def _stamp(text: str, _match: re.Match[str], _day_first: bool) -> datetime | None:  # noqa: FBT001 - one signature
    seconds = float(text)
    return _EPOCH + timedelta(seconds=seconds if seconds < 1e11 else seconds / 1000)  # noqa: PLR2004 - ms from there


_FORMATS: tuple[tuple[str, re.Pattern[str], _Reading], ...] = (
    ("iso", _ISO, _iso),
    ("pair", _PAIR, _pair),
    ("named", _NAMED, _named),
    ("packed", _PACKED, _iso),
    ("stamp", _STAMP, _stamp),
)
