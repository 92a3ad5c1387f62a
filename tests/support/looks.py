"""A stream as the analyst hears of it: scorecards, accounts and error blocks of days, with a reference to match."""

from collections.abc import Sequence

import msgspec
import numpy as np

from services.monitor.analyst.subject import Subject
from services.monitor.analyst.terms import LookTerms
from shared.core.baseline import baseline
from shared.core.monitor_records import (
    BLOCK,
    DELAYS,
    SCORE_BINS,
    Account,
    AccountSums,
    ErrorBlock,
    FeatureCounts,
    Ints,
    Scorecard,
    Sums,
)
from shared.core.reference import FeatureProfile, Reference
from shared.core.scorecards import fixed, log_loss

DAY = 86_400_000
T0 = 1_000 * DAY
BINS, PARTITIONS, WRONG = 10, 2, 0.2
TERMS = LookTerms(
    pipeline="parcels", task="binary", classes=2, threshold=0.5, within=0.1, goal={}, window=DAY, rolling=7 * DAY,
    horizon=DAY, hold=DAY,
)  # fmt: skip
EVEN = (0.1,) * BINS
MOVED = (0.02, 0.04, 0.06, 0.08, 0.1, 0.1, 0.12, 0.14, 0.16, 0.18)
JUMPED = (0.0,) * (BINS - 1) + (1.0,)
_HIGH, _LOW = 0.8, 0.2  # the only two scores


def counts(n: int, shares: Sequence[float], seed: object) -> Ints:
    """Counts over bins of n drawn values; the same at every call with one seed."""
    rng = np.random.default_rng([ord(char) for char in repr(seed)])
    return tuple(rng.multinomial(n, shares).tolist())


def sums(n: int, wrong: int, labelled: int, *, temp: Ints = (), delay: int = 1, one_class: bool = False) -> Sums:
    """Of n records half have a high score, half a low one; of the labelled ones so many are wrong.

    Args:
        n: records.
        wrong: labels that say the opposite, split over both halves.
        labelled: records with a label.
        temp: counts of the one feature.
        delay: place of the labels' delay in its histogram.
        one_class: all labels are of the positive class; those of low scores are then the wrong ones.
    """
    high, low = labelled - labelled // 2, labelled // 2
    miss = (0, low) if one_class else (wrong - wrong // 2, wrong // 2)
    said, hits, seen = [0] * SCORE_BINS, [0] * SCORE_BINS, [0] * SCORE_BINS
    scores = [0] * SCORE_BINS
    at_high, at_low = int(_HIGH * SCORE_BINS), int(_LOW * SCORE_BINS)
    scores[at_high], scores[at_low] = n - n // 2, n // 2
    seen[at_high], seen[at_low] = high, low
    hits[at_high], hits[at_low] = high - miss[0], miss[1]
    said[at_high], said[at_low] = high * fixed(_HIGH), low * fixed(_LOW)
    right, bad = high - miss[0] + low - miss[1], sum(miss)
    delays = [0] * (len(DELAYS) + 1)
    delays[delay] = labelled
    return Sums(
        n=n, labelled=labelled, errors=bad, loss=right * log_loss(_HIGH) + bad * log_loss(_LOW),
        brier=right * fixed(_LOW**2) + bad * fixed(_HIGH**2),
        confusion=(low - miss[1], miss[0], miss[1], high - miss[0]),
        delays=tuple(delays), scores=tuple(scores), labelled_scores=tuple(seen), hits=tuple(hits),
        score_sums=tuple(said), answers=FeatureCounts((n // 2, n - n // 2)),
        features={"temp": FeatureCounts(temp)} if temp else {},
    )  # fmt: skip


def card(day: int, partition: int = 0, **more: object) -> Scorecard:
    """A card of one day in one partition, as it is known when `known` days are over; left out: just that day.

    `n`, `wrong` (a share), `labelled` (a share), `shares` of the feature's bins, `delay` and `one_class` say what is in
    it; any other name is a field of the card.
    """
    n, wrong = int(str(more.pop("n", 500))), float(str(more.pop("wrong", WRONG)))
    labelled = round(n * float(str(more.pop("labelled", 1.0))))
    shares = more.pop("shares", EVEN)
    assert isinstance(shares, tuple)
    known = int(str(more.pop("known", day + 1)))
    found = sums(
        n, round(labelled * wrong), labelled, temp=counts(n, shares, (day, partition, n)) if shares else (),
        delay=int(str(more.pop("delay", 1))), one_class=bool(more.pop("one_class", False)),
    )  # fmt: skip
    told = {
        "version": "v1", "window": T0 + day * DAY, "span": DAY, "partition": partition, "rate": 1_000_000,
        "watermark": T0 + known * DAY, "offset": known * 1_000, "closed": known > day + 1, "sums": found,
        **more,
    }  # fmt: skip
    return Scorecard(**told)  # type: ignore[arg-type] # by name


def account(day: int, partition: int = 0, **more: object) -> Account:
    """The entries of one day in one partition: 500 observations, as many labels; other names are sums or fields."""
    fields = {name: more.pop(name) for name in list(more) if name in Account.__struct_fields__}
    totals = {"observations": 500, "labels": 500, "matched": 500, **more}
    told = {
        "window": T0 + day * DAY, "span": DAY, "partition": partition, "watermark": T0 + (day + 1) * DAY,
        "offset": (day + 1) * 1_000, **fields,
    }  # fmt: skip
    return Account(sums=msgspec.convert(totals, AccountSums), **told)  # type: ignore[arg-type] # by name


def days(first: int, until: int, **more: object) -> list[Scorecard]:
    """Cards of days [first, until), in every partition, all as they are known when the last is over."""
    known = {"known": until} | more
    return [card(day, partition, **known) for day in range(first, until) for partition in range(PARTITIONS)]


def blocks(
    first: float, until: float, share: float, seed: int, version: str = "v1", **more: object
) -> list[ErrorBlock]:
    """Forty error blocks a day and partition of days [first, until) (labels come as records do)."""
    rng, made = np.random.default_rng(seed), list[ErrorBlock]()
    for at in np.arange(T0 + first * DAY, T0 + until * DAY, DAY // 40).astype(int).tolist():
        for partition in range(PARTITIONS):
            errors = int(rng.binomial(BLOCK, share))
            loss = errors * log_loss(_LOW) + (BLOCK - errors) * log_loss(_HIGH)
            told = {"opened": at, "closed": at + DAY // 40 - 1, "number": at // 1_000, "errors": errors, "loss": loss}
            told |= {"version": version, "partition": partition, "n": BLOCK, **more}
            made.append(ErrorBlock(**told))
    return made


def numbered(found: Sequence[ErrorBlock], first: int = 0) -> list[tuple[int, ErrorBlock]]:
    """Blocks with their offsets on `errors`."""
    return list(enumerate(found, first))


def subject(version: str = "v1", panes: int = 30, **more: object) -> Subject:
    """A version whose reference is as the stream usually is."""
    rows = tuple(counts(1_000, EVEN, ("pane", i)) for i in range(panes))
    whole = tuple(np.sum(rows, axis=0).tolist()) if rows else (100,) * BINS
    rng = np.random.default_rng(7)
    wrong = rng.binomial(BLOCK, WRONG, 400).tolist()
    losses = [k * log_loss(_LOW) + (BLOCK - k) * log_loss(_HIGH) for k in wrong]
    half = tuple((500, 500) for _ in range(panes))
    reference = Reference(
        n=sum(whole), base_rate=(0.5, 0.5), pane_ms=DAY if panes else 0,
        features={"temp": FeatureProfile(tuple(float(i) for i in range(BINS - 1)), counts=whole, panes=rows)},
        scores=FeatureProfile((0.5,), counts=(500, 500), panes=half),
        labels=FeatureProfile(words=("no", "yes"), counts=(500, 500), panes=half),
        baselines=(baseline("errors", wrong, BLOCK), baseline("loss", losses, BLOCK)),
    )  # fmt: skip
    reference = msgspec.structs.replace(reference, **more)
    return Subject(version, reference, {"accuracy": 1 - WRONG})
