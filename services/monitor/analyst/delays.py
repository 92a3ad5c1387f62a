"""How late labels come: quantiles of the label-delay histogram."""

import math

import msgspec

from shared.core.monitor_records import DELAYS, Ints

SHARES = (0.5, 0.9, 0.99)


class DelayQuantile(msgspec.Struct, frozen=True):
    """So many of the labels that came had come after `seconds`, by a straight line between the edges around it.

    What is sure is `least <= quantile <= most`; `most` is None beyond the last edge, and `least` before a label's own
    observation.
    """

    share: float
    seconds: float
    least: float | None
    most: float | None


def quantiles(counts: Ints) -> tuple[DelayQuantile, ...]:
    """The median, 90 % and 99 % of a histogram over `DELAYS`; nothing where no label came.

    Of the labels that came so far: while a window is open, slow ones are not in it yet.
    """
    total = sum(counts)
    return tuple(_quantile(counts, share, math.ceil(share * total)) for share in SHARES) if total else ()


def come_by(counts: Ints, seconds: float) -> float | None:
    """The share of labels whose delay was below this edge or the next lower one; None where no label came.

    Labels of a young window are compared with this share of an old one's: cohorts of equal age.
    """
    total = sum(counts)
    edges = sum(edge <= seconds for edge in DELAYS)
    return sum(counts[:edges]) / total if total else None


def _quantile(counts: Ints, share: float, rank: int) -> DelayQuantile:
    before, place = 0, 0
    while before + counts[place] < rank:
        before += counts[place]
        place += 1
    least = float(DELAYS[place - 1]) if place else None
    most = float(DELAYS[place]) if place < len(DELAYS) else None
    low, high = (least if least is not None else most), (most if most is not None else least)
    seconds = 0.0 if low is None or high is None else low + (high - low) * (rank - before) / counts[place]
    return DelayQuantile(share, seconds, least, most)
