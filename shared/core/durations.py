"""Durations as people write them: `90s`, `15m`, `2h`, `1d`; numbers of seconds inside."""

import re

from shared.core.pipeline_base import Duration

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_WRITTEN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
PATTERN = r"^\d+(\.\d+)?(ms|s|m|h|d)$"
# A thousand years: no wish is longer, and every unit stays an exact integer of milliseconds.
_LONGEST = 86_400.0 * 366_000


def parse(text: str) -> Duration:
    """The seconds of `90s`, `15m`, `2h`, `1d` or `3ms`.

    Raises:
        ValueError: it is not written so, or is beyond a thousand years.
    """
    match = _WRITTEN.fullmatch(text)
    seconds = float(match[1]) * _UNITS[match[2]] if match else -1.0
    if not 0.0 <= seconds <= _LONGEST:
        raise ValueError(f'"{text}" is not a duration; write 2h, 90s or 1d')
    return Duration(seconds)


def write(seconds: float) -> str:
    """The shortest way to write it: 86400 is `1d`, 5400 is `90m`; milliseconds where seconds do not come out even."""
    millis = round(seconds * 1_000)
    for unit in ("d", "h", "m", "s"):
        size = round(_UNITS[unit] * 1_000)
        if millis and millis % size == 0:
            return f"{millis // size}{unit}"
    return f"{millis}ms" if millis else "0s"
