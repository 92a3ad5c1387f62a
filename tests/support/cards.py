"""Scorecards of raw answers and truths, counted plainly, one record after the other."""

from collections.abc import Sequence

import msgspec

from shared.core.monitor_records import DELAYS, SCORE_BINS, Scorecard, Sums
from shared.core.scorecards import fixed, log_loss

DAY = 86_400_000


def binary(scores: Sequence[float], truths: Sequence[bool], threshold: float = 0.5, **more: object) -> Sums:
    """What labelled records of a binary task add; class 1 is the positive one."""
    confusion, seen, hits, said = [0] * 4, [0] * SCORE_BINS, [0] * SCORE_BINS, [0] * SCORE_BINS
    loss = brier = errors = 0
    for score, truth in zip(scores, truths, strict=True):
        place, chosen = min(int(score * SCORE_BINS), SCORE_BINS - 1), score >= threshold
        confusion[int(truth) * 2 + int(chosen)] += 1
        seen[place] += 1
        hits[place] += bool(truth)
        said[place] += fixed(score)
        loss += log_loss(score if truth else 1 - score)
        brier += fixed((score - truth) ** 2)
        errors += bool(chosen) != bool(truth)
    return msgspec.convert(
        {
            "n": len(scores), "labelled": len(scores), "errors": errors, "loss": loss, "brier": brier,
            "confusion": confusion, "scores": seen, "labelled_scores": seen, "hits": hits, "score_sums": said,
            "delays": [0, len(scores)] + [0] * (len(DELAYS) - 1), **more,
        },
        Sums,
    )  # fmt: skip


def multiclass(shares: Sequence[Sequence[float]], truths: Sequence[int]) -> Sums:
    """What labelled records of a task with several classes add."""
    k = len(shares[0])
    confusion, seen, hits, said = [0] * (k * k), [0] * SCORE_BINS, [0] * SCORE_BINS, [0] * SCORE_BINS
    loss = errors = 0
    for row, truth in zip(shares, truths, strict=True):
        chosen = max(range(k), key=lambda j: row[j])
        place = min(int(row[chosen] * SCORE_BINS), SCORE_BINS - 1)
        confusion[truth * k + chosen] += 1
        seen[place] += 1
        hits[place] += chosen == truth
        said[place] += fixed(row[chosen])
        loss += log_loss(row[truth])
        errors += chosen != truth
    return Sums(
        n=len(truths), labelled=len(truths), errors=errors, loss=loss, confusion=tuple(confusion),
        scores=tuple(seen), labelled_scores=tuple(seen), hits=tuple(hits), score_sums=tuple(said),
    )  # fmt: skip


def card(sums: Sums, window: int = 0, partition: int = 0, **more: object) -> Scorecard:
    """A card of a day."""
    told = {"version": "v1", "span": DAY, "rate": 1_000_000, "watermark": window * DAY + 1, "offset": 1, **more}
    return Scorecard(window=window * DAY, partition=partition, sums=sums, **told)  # type: ignore[arg-type] # by name
