"""When each record happened and when its label came: from the time's column, or made up from the order of rows."""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from shared.core import durations
from shared.core.errors import UserError
from tailrace.initialise.plan import Findings, Request, Sheet, Target

_START_MS = 946_684_800_000  # 2000-01-01: nobody takes it for the real time
_DAY_MS = 86_400_000
_NICE_S = (86_400, 43_200, 21_600, 10_800, 3_600, 1_800, 600, 300, 60, 30, 10, 5, 1)
_STEPS = 50  # label delays in a history: the gap before the records that judge is then 2 % of it
_HOLDOUT = 0.25


@dataclass(frozen=True, slots=True)
class Timeline:
    """Of n rows: `times` in ms, `order` the places in order of time; labels come `delay_ms` after their records."""

    times: NDArray[np.int64]
    order: NDArray[np.intp]
    delay_ms: int


def make_timeline(sheet: Sheet, target: Target, ask: Request, say: Findings, time: str) -> Timeline:
    """Order the rows.

    Raises:
        UserError: `--label-delay` is no duration, or too long for the history.
    """
    asked = _asked(ask.delay)
    if not time:
        return _by_rows(target, asked or _DAY_MS, len(sheet.keep), say)
    times = sheet.values(time)
    span = int(times.max()) - int(times.min())
    delay = asked or _fitting(span)
    if delay > span / 4:
        raise UserError(
            f"--label-delay {durations.write(delay / 1000)} leaves nothing to learn from: the file spans "
            f"{durations.write(span // 1000) if span >= 1000 else f'{span}ms'}",  # noqa: PLR2004 - a second
            remedy="name a shorter one, or --time none",
        )
    if target.labelled:
        why = "as asked" if asked else "not in the file; how long after its record a label is known"
        say.guess("label delay", durations.write(delay / 1000), why, "--label-delay")
    made = Timeline(times, np.argsort(times, kind="stable"), delay)
    _warn(target, made, say)
    return made


def _asked(text: str) -> int:
    if not text:
        return 0
    try:
        seconds = durations.parse(text)
    except ValueError as error:
        raise UserError(f"--label-delay: {error}", remedy="for example 1d") from None
    if seconds < 0.001:  # noqa: PLR2004 - event times are in ms
        raise UserError("--label-delay: must be longer than nothing", remedy="for example 1d")
    return round(seconds * 1000)


def _fitting(span_ms: int) -> int:
    return next((nice * 1000 for nice in _NICE_S if nice * 1000 <= span_ms / _STEPS), max(1, span_ms // _STEPS))


def _by_rows(target: Target, delay: int, n: int, say: Findings) -> Timeline:
    order = np.arange(n, dtype=np.intp)
    if target.labelled and _is_sorted(target):
        order = np.random.default_rng(0).permutation(n).astype(np.intp)
        say.guess("order of rows", "shuffled", "the file is sorted by its label; the last quarter judges the model")
    spacing = max(1, delay // max(1, n // _STEPS))
    times = np.empty(n, dtype=np.int64)
    times[order] = _START_MS + spacing * np.arange(n, dtype=np.int64)
    if target.labelled:
        why = "how long after its record a label is known; on the made-up dates as well"
        say.guess("label delay", durations.write(delay / 1000), why, "--label-delay")
    return Timeline(times, order, delay)


def _is_sorted(target: Target) -> bool:
    y = [value for value in target.y.tolist() if value is not None]
    if target.task == "regression":
        values = np.array(y, dtype=np.float64)
        return abs(float(np.corrcoef(np.arange(len(values)), values)[0, 1])) > 0.5  # noqa: PLR2004 - a trend
    counts = Counter(y)
    changes = sum(a != b for a, b in pairwise(y))
    expected = len(y) * (1 - sum((count / len(y)) ** 2 for count in counts.values()))
    if changes < expected / 2:
        return True
    border = int(len(y) * (1 - _HOLDOUT))
    return not set(target.classes) == set(y[:border]) == set(y[border:])


def _warn(target: Target, made: Timeline, say: Findings) -> None:
    """Classes that come and go with time are judged badly, or cannot be learned before they are judged."""
    if not target.classes:
        return
    labelled = [i for i in made.order.tolist() if target.y[i] is not None]
    border = made.times[labelled[min(int(len(labelled) * (1 - _HOLDOUT)), len(labelled) - 1)]]
    early = {target.y[i] for i in labelled if made.times[i] < border - made.delay_ms}
    late = {target.y[i] for i in labelled if made.times[i] >= border}
    for where, found in (("the first three quarters", early), ("the last quarter", late)):
        absent = [name for name in target.classes if name not in found]
        if absent:
            say.warnings.append(
                f"{', '.join(absent)}: not in {where} of the time, so training cannot judge it; --time none shuffles"
            )
