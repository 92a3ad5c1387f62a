"""One partition recomputed: from its entries to everything that the observer should have said of them."""

from collections.abc import Callable, Sequence

from shared.core.pipeline import PipelineSpec
from tailrace.recompute import features as described
from tailrace.recompute.compare import Recomputed
from tailrace.recompute.entries import Reader
from tailrace.recompute.figures import Cards, count_all
from tailrace.recompute.fold import Told, blocks_of, fold
from tailrace.recompute.quality import Judged, judged_of
from tailrace.recompute.tables import accounts, entries, observations
from tailrace.recompute.terms import terms_of, times_of

Profiles = Callable[[str], "described.Known | None"]
"""What is known of a version; None for one that has no profile."""


def recompute(
    spec: PipelineSpec,
    values: Sequence[tuple[int, bytes | None]],
    profiles: Profiles,
    *,
    gap: bool = False,
    keep: Callable[[Told], None] = lambda _: None,
) -> tuple[Recomputed, Judged]:
    """Recompute one partition.

    Args:
        spec: the pipeline.
        values: (offset, value) of its entries in `journal`, in offset order.
        profiles: the reference of each version.
        gap: entries before these are gone.
        keep: given what the fold told.

    Returns:
        What should have been published, and the labelled observations for figures of quality.
    """
    times, terms = times_of(spec), terms_of(spec)
    told, end = fold(values, times, terms, Reader(spec))
    keep(told)
    frame, cards = observations(told, times, terms), Cards()
    count_all(cards, frame, terms)
    rows = frame["record"].map(described.reader_of(spec))
    described.count_slices(cards, frame, rows, spec)
    for version, of in frame.groupby("version", sort=True):
        known = profiles(str(version))
        if known is not None:
            described.count_features(cards, of, rows[of.index], spec, known)
    figures, books = cards.figures(), accounts(entries(told))
    since = -1 if not gap else end.first + times.span + times.horizon + times.hold + times.grain
    made = Recomputed(end.mark, since, figures, books, blocks=blocks_of(told, times.span + times.horizon))
    made.outcomes = [one[1:] for one in told.outcomes]
    made.closed.update({key: end.mark > times.over(key[2]) for key in figures})
    made.closed.update({window: end.mark > window + times.span + times.hold for window in books})
    return made, judged_of(frame)
