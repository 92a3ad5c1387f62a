"""What is said of a move on `verdicts`, beside what the analyst says of the version."""

from services.retrainer.rollout.view import Move, View
from shared.core.monitor_records import Verdict
from shared.core.records import Rollout

METRIC = "rollout"


def verdict_of(move: Move, view: View) -> list[Verdict]:
    """A verdict on the version that the move is about: an alarm where it was taken back or refused; none of a rest."""
    if move.kind in ("rest", "stamp", "cancel") or not move.version:
        return []
    found, began = view.found, _began(move, view)
    at = found.event_time if found is not None and found.event_time is not None else 0
    bad = move.kind in ("withdraw", "refuse")
    quality = found.quality if found is not None and not bad else None
    return [
        Verdict(
            version=move.version,
            metric=METRIC,
            trigger=METRIC,
            verdict="alarm" if bad else "ok",
            n=found.count if found is not None else 0,
            window=(began, max(at, began)),
            since=began,
            at=at,
            value=move.figures.get("value", quality.value if quality is not None else None),
            threshold=move.figures.get("threshold"),
            reasons=(f"{move.kind}: {move.reason}",),
        )
    ]


def _began(move: Move, view: View) -> int:
    mine = [r.since for r in view.table if _of(r, move.version) and r.since]
    return min(mine, default=0)


def _of(rollout: Rollout, version: str) -> bool:
    other = rollout.challenger
    return rollout.plan == "trial" and (other.version if other is not None else rollout.champion.version) == version
