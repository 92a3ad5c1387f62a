"""What is known of a challenger beside the champion, and what of it is reason enough to take it back.

With labels: the loss on the same windows, on the whole and by slice. Without: rejects, speed, memory, partitions that
stopped, and answers that are nothing like the champion's, or like those the version itself gave when it was judged.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec

from services.retrainer.rollout.cards import Cards, CellSums, Place
from services.retrainer.rollout.compare import Difference, Pair, added, beside, difference, limit, paired, sliced
from services.retrainer.rollout.vitals import LEAST_LEAK_MB, LEAST_RECORDS, LEAST_REJECTS, Tally, Vitals
from shared.core.pipeline_loop import RolloutSpec
from shared.core.records import Rollout

SignalName = Literal["quality", "slice", "rejects", "stopped", "speed", "memory", "answers"]
ANSWERS = 500  # fewer answers say little of their distribution
FAR = 2.0
"""PSI between the answers of two versions on the same windows beyond which one of them is wrong: refits, also after
abrupt drift, stay below 1; swapped classes of a 20 % problem are near 8."""
OWN = 1.0
"""PSI to the version's own reference beyond which it does not answer as it did when it was judged, if the champion's
answers have moved less than half as far."""
HALF = 0.5
ONE_BIN, NOT_ONE = 0.99, 0.9  # a constant: nearly all its answers are one, and the champion's are not


class Signal(NamedTuple):
    """A reason to take a challenger back. `value` was beyond `threshold`."""

    name: SignalName
    words: str
    value: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of the challenger of a trial.

    `event_time` is that of the partition furthest behind (ms; None: the monitor has said nothing), `count` the
    challenger's records that the monitor has counted, `quality` the difference of loss where labels say enough, `bad`
    what speaks against it, the strongest first.
    """

    event_time: int | None
    count: int
    quality: Difference | None
    bad: tuple[Signal, ...]

    @property
    def words(self) -> str:
        """The comparison in words."""
        if self.quality is None:
            return "too few labels to compare"
        found = self.quality
        return f"loss {found.value:+.4g} +- {found.error:.2g} ({found.labels} labels, {found.cells} cells)"


def evidence(
    spec: RolloutSpec, trial: Rollout, cards: Cards, vitals: Vitals, references: Mapping[str, Sequence[int]]
) -> Evidence:
    """Put together what is known of a trial.

    Args:
        spec: the limits.
        trial: the epoch of the step, a shadow or a canary.
        cards: what the monitor counts.
        vitals: what workers say.
        references: by version, the counts of its scores over the bins of its reference; those that are known.
    """
    if trial.challenger is None:
        return Evidence(cards.event_time(), 0, None, ())
    one, other, shadow = trial.challenger.version, trial.champion.version, trial.mode == "shadow"
    seen = cards.cells(one, shadow=shadow)
    champion = cards.cells(other, among=seen)
    beneath = cards.cells(one, shadow=True)
    told = difference(paired(beneath, other)) if shadow else difference(beside(seen, champion))
    before = None if shadow else difference(paired(beneath, other))
    bad = [
        *_quality(spec, told),
        *_quality(spec, before),
        *_slices(spec, sliced(seen, champion)),
        *_rejects(spec, vitals, one, other),
        *_stopped(vitals, one),
        *_speed(spec, vitals, one, other),
        *_memory(spec, vitals),
        *_answers(seen, champion, references.get(one), references.get(other)),
    ]
    return Evidence(cards.event_time(), cards.count(one, shadow=shadow), told, tuple(bad))


def live(spec: RolloutSpec, rollout: Rollout, cards: Cards, vitals: Vitals, before: str = "") -> Evidence:
    """The same of a version that scores everything: nothing stands beside it, but it must be able to score.

    Args:
        spec: the limits.
        rollout: its epoch.
        cards: what the monitor counts.
        vitals: what workers say.
        before: the version that was in force before: what it could not score, no other need score. Where no worker
            has counted it, only a version that cannot score half of its records is at fault.
    """
    version, usual = rollout.champion.version, vitals.tally(before)
    known = usual.scored + usual.rejects >= LEAST_RECORDS
    limits = spec if known else msgspec.structs.replace(spec, reject_share=max(spec.reject_share, HALF))
    bad = [*_rejects(limits, vitals, version, before), *_stopped(vitals, version)]
    return Evidence(cards.event_time(), cards.count(version), None, tuple(bad))


def psi(counts: Sequence[int], reference: Sequence[int]) -> float:
    """Population stability index of counts over the same bins, half a record added to each bin.

    Source: Siddiqi, "Credit risk scorecards" (2006).
    """
    size = max(len(counts), len(reference))
    ours, theirs = ([n + 0.5 for n in row] + [0.5] * (size - len(row)) for row in (counts, reference))
    total, other = math.fsum(ours), math.fsum(theirs)
    return math.fsum(
        (a / total - b / other) * math.log((a / total) / (b / other)) for a, b in zip(ours, theirs, strict=True)
    )


def _quality(spec: RolloutSpec, found: Difference | None) -> Iterator[Signal]:
    if found is not None and found.worse(spec.errors):
        words = f"loss is {found.value:.4g} above the champion's ({found.labels} labels, error {found.error:.2g})"
        yield Signal("quality", words, found.value, limit(spec.errors, 1, found.cells) * found.error)


def _slices(spec: RolloutSpec, pairs: Mapping[str, list[Pair]]) -> Iterator[Signal]:
    told = {name: found for name, rows in pairs.items() if (found := difference(rows)) is not None}
    for name, found in told.items():
        if found.worse(spec.errors, len(told)):
            words = f"loss on {name} is {found.value:.4g} above the champion's ({found.labels} labels)"
            yield Signal("slice", words, found.value, limit(spec.errors, len(told), found.cells) * found.error)


def _rejects(spec: RolloutSpec, vitals: Vitals, one: str, other: str) -> Iterator[Signal]:
    usual = max(vitals.tally(other).share, vitals.recent(other).share)
    for tally in (vitals.recent(one), vitals.tally(one)):
        if _many(tally) and tally.share - usual > spec.reject_share:
            words = f"{tally.rejects} of {tally.rejects + tally.scored} records got no valid answer ({tally.share:.1%})"
            yield Signal("rejects", words, tally.share, spec.reject_share + usual)
            return


def _many(tally: Tally) -> bool:
    return tally.rejects >= LEAST_REJECTS and tally.rejects + tally.scored >= LEAST_RECORDS


def _stopped(vitals: Vitals, one: str) -> Iterator[Signal]:
    stopped = vitals.stopped()
    if stopped and vitals.tally(one).rejects:
        why = "; ".join(f"partition {p}: {why}" for p, why in sorted(stopped.items()))
        yield Signal("stopped", f"dead letters stopped workers ({why})"[:300], float(len(stopped)), 0.0)


def _speed(spec: RolloutSpec, vitals: Vitals, one: str, other: str) -> Iterator[Signal]:
    times = vitals.slowness(one, other)
    if times is not None and times > spec.slower:
        yield Signal("speed", f"a record takes {times:.0f} times as long as the champion needs", times, spec.slower)


def _memory(spec: RolloutSpec, vitals: Vitals) -> Iterator[Signal]:
    leak = vitals.leak()
    if leak is None:
        return
    worker, ratio, more = leak
    if ratio > spec.heavier and more > LEAST_LEAK_MB:
        yield Signal("memory", f"{worker} has grown by {more:.0f} MB, to {ratio:.1f} times", ratio, spec.heavier)


def _answers(
    seen: Mapping[Place, CellSums],
    champion: Mapping[Place, CellSums],
    own: Sequence[int] | None,
    theirs: Sequence[int] | None,
) -> Iterator[Signal]:
    same = seen.keys() & champion.keys()
    (scores, answers), (usual, usual_answers) = (added(cells[p] for p in sorted(same)) for cells in (seen, champion))
    if min(sum(scores), sum(usual)) >= ANSWERS:
        if max(scores) >= ONE_BIN * sum(scores) and max(usual) < NOT_ONE * sum(usual):
            share = max(scores) / sum(scores)
            yield Signal("answers", f"{share:.1%} of its answers are the same", share, ONE_BIN)
        apart = psi(_tenths(scores), _tenths(usual))
        if apart > FAR:
            yield Signal("answers", f"its answers are nothing like the champion's (PSI {apart:.1f})", apart, FAR)
    if own and sum(answers) >= ANSWERS and len(answers) <= len(own):
        moved = psi(answers, own)
        usual_move = psi(usual_answers, theirs) if theirs and sum(usual_answers) >= ANSWERS else 0.0
        if moved > OWN and moved > 2 * usual_move:
            words = (
                f"its answers are not those that it was judged by (PSI {moved:.1f}, the champion's {usual_move:.1f})"
            )
            yield Signal("answers", words, moved, max(OWN, 2 * usual_move))


def _tenths(bins: Sequence[int]) -> list[int]:
    """40 bins as 10: each has enough to be compared."""
    filled = [*bins, *[0] * (-len(bins) % 4)]
    return [sum(filled[i : i + 4]) for i in range(0, len(filled), 4)]
