"""What the observer's fold publishes, beside what the offline recomputation makes of the same entries."""

from collections.abc import Sequence
from typing import Any

from services.monitor.observer.fold import PartitionFold
from shared.core.monitor_records import account_key, scorecard_key
from shared.core.pipeline import PipelineSpec
from shared.core.scorecards import encode
from shared.testing.store import MemoryStore
from tailrace.recompute.compare import Compared, Recomputed, compare
from tailrace.recompute.features import Known
from tailrace.recompute.partition import recompute
from tailrace.recompute.published import Published, take_blocks, take_cards, take_outcomes
from tests.support import journals
from tests.support.journals import EDGES, SCORE_EDGES, as_bytes

COLUMNS = {"weight": None, "stops": None, "carrier": ("A", "B", "C"), "wind": None}
REFERENCE = {
    "features": {
        "weight": {"edges": EDGES, "counts": (1, 1, 1, 1)},
        "carrier": {"words": ("B", "A"), "counts": (5, 3, 1)},
        "wind": {"edges": (10.0,), "counts": (1, 1)},
    },
    "scores": {"edges": SCORE_EDGES, "counts": (1, 1, 1, 1)},
}


def known(version: str) -> Known | None:
    """The same profiles as `tests.support.journals` gives the observer."""
    return Known(COLUMNS, REFERENCE) if version.startswith("v") else None


def alone(spec: PipelineSpec, entries: Sequence[dict[str, Any]], *, gap: bool = False) -> Recomputed:
    """The recomputation of these entries."""
    return recompute(spec, list(enumerate(as_bytes(entries))), known, gap=gap)[0]


def online(spec: PipelineSpec, values: Sequence[bytes | None], end: int | None = None) -> Published:
    """What the observer's fold publishes of these, read back as of an offset."""
    fold, cards, outcomes, blocks = (
        PartitionFold(0, journals.rules_of(spec), MemoryStore()),
        list[tuple[bytes, bytes]](),
        list[tuple[int, bytes]](),
        list[bytes](),
    )
    fold.begin(0, -1)
    for at in range(0, len(values), 30):
        chunk = values[at : at + 30]
        told = fold.take(chunk, range(at, at + len(chunk)))
        fold.settle()
        cards += [(scorecard_key(card), encode(card)) for card in told.cards]
        cards += [(account_key(account), encode(account)) for account in told.accounts]
        blocks += [encode(block) for block in told.findings.blocks]
        for _, status, _, one, where in told.findings.outcomes:
            outcomes.append((0, encode({"status": status, "label": one, "at": where})))
    found, ends = {0: Published()}, {0: len(values) if end is None else end}
    take_cards(found, cards, ends)
    take_blocks(found, blocks, ends)
    take_outcomes(found, outcomes)
    return found[0]


def compared(found: Published, mine: Recomputed, *, still: bool = True) -> Compared:
    """The comparison of one partition."""
    made = Compared()
    compare(made, 0, found, mine, still=still, whole=True)
    return made
