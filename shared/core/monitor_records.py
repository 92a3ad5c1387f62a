"""What the monitor's topics carry: entries of `journal` beside observations, outcomes, scorecards and error blocks.

Everything here is a sum of integers, so that what eight partitions say adds up to what one would have said, in any
order and after corrections. `shared/core/scorecards.py` has the sums' arithmetic.
"""

from typing import Literal

import msgspec

from shared.core.records import SCHEMA_VERSION, Label, Observation

BLOCK = 25
"""Labels in an error block."""
SCORE_BINS = 40
"""Equal bins of a score in [0, 1]: bin `i` holds `i / 40 <= score < (i + 1) / 40`, the last one 1 as well."""
DELAYS = (0, 60, 300, 900, 3_600, 10_800, 21_600, 43_200, 86_400, 172_800, 345_600, 604_800, 1_209_600, 2_592_000)
"""Edges (s) of the label-delay histogram: count `i` is of delays in `[edge[i-1], edge[i])`, the last of the rest."""

Ints = tuple[int, ...]


class LabelEntry(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag="label", tag_field="type"):
    """A label in `journal`: valid, its value one of the classes (or a number), copied by the label router.

    `at` is its position (partition, offset) in `labels`, `logged` its log-append time there in ms. `sampled` says
    whether the sample takes its record: decided where the id is still known, which may leave as a pseudonym.
    """

    label: Label
    at: tuple[int, int]
    logged: int
    sampled: bool = True
    v: int = SCHEMA_VERSION


class Tick(msgspec.Struct, frozen=True, gc=False, tag="tick", tag_field="type"):
    """How far event time (ms) is elsewhere, for a partition of `journal` that has nothing to say by itself."""

    time: int
    v: int = SCHEMA_VERSION


class Outcome(msgspec.Struct, frozen=True):
    """An observation and what came true, on `<pipeline>.outcomes`, keyed by entity; again when it was corrected.

    The highest `label.revision` of an id is in force. `at` is the label's position in `labels`.
    """

    v: int
    status: Literal["matched", "corrected"]
    observation: Observation
    label: Label
    at: tuple[int, int]


class FeatureCounts(msgspec.Struct, frozen=True, array_like=True):
    """Counts over a reference profile's bins; a category's last bin has the known words that are not in the profile.

    `missing` had no value, `unseen` a word that the model does not know.
    """

    counts: Ints = ()
    missing: int = 0
    unseen: int = 0


class GroupCounts(msgspec.Struct, frozen=True, array_like=True):
    """Look-ups of one group: how many found something, how many nothing, the sum of the ages found (ms)."""

    found: int = 0
    missing: int = 0
    age: int = 0


class SliceCounts(msgspec.Struct, frozen=True, array_like=True):
    """One declared slice: observations, labels, wrong ones, loss and bias (sums in fixed point)."""

    n: int = 0
    labelled: int = 0
    errors: int = 0
    loss: int = 0
    bias: int = 0


class PairCounts(msgspec.Struct, frozen=True, array_like=True):
    """A shadow beside the champion on the same labels; differences are shadow minus champion, in fixed point."""

    n: int = 0
    both_right: int = 0
    champion_only: int = 0
    shadow_only: int = 0
    loss: int = 0
    loss_squared: int = 0


class Sums(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that a scorecard counts; sums of losses, scores and values are in fixed point (units of 2^-20).

    `labelled` is how many of the `n` observations have a label. `confusion[i * k + j]` counts labels of class `i` that
    were predicted as `j`, in the file's order of classes. `loss` is log-loss, or the absolute error. `scores` are the
    observations by score, `labelled_scores`, `hits` (of the positive class, or of the predicted one) and `score_sums`
    the same of labelled ones, for AUC and calibration. `answers` and `truths` are over the reference's bins of scores.
    Of a regression's labelled observations `answer_labels` are how many and `answer_losses` how wrong, by those bins
    of what was answered.
    """

    n: int = 0
    labelled: int = 0
    corrected: int = 0
    duplicate: int = 0
    conflicting: int = 0
    delays: Ints = ()
    errors: int = 0
    loss: int = 0
    brier: int = 0
    confusion: Ints = ()
    scores: Ints = ()
    labelled_scores: Ints = ()
    hits: Ints = ()
    score_sums: Ints = ()
    squared: int = 0
    squared_log: int = 0
    unlogged: int = 0
    bias: int = 0
    target: int = 0
    target_squared: int = 0
    answers: FeatureCounts = FeatureCounts()
    truths: FeatureCounts = FeatureCounts()
    answer_labels: Ints = ()
    answer_losses: Ints = ()
    features: dict[str, FeatureCounts] = {}
    flags: dict[str, int] = {}
    groups: dict[str, GroupCounts] = {}
    slices: dict[str, SliceCounts] = {}
    pairs: dict[str, PairCounts] = {}


class Scorecard(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="scorecard", tag_field="type"):
    """One version over the observations of one window of event time in one partition; cumulative, the last one counts.

    `window` is the window's start and `span` its length (ms), `rate` the sample's share in millionths, `watermark` the
    partition's event time when it was told (ms), `offset` the one in `journal` after the last entry that is in it.
    A closed one is final. One that is not complete lacks entries that retention took.
    """

    version: str
    window: int
    span: int
    partition: int
    rate: int
    watermark: int
    offset: int
    shadow: bool = False
    closed: bool = False
    complete: bool = True
    sums: Sums = Sums()
    v: int = SCHEMA_VERSION


class AccountSums(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of every entry; `labels` is the sum of the eight statuses, of which `held` is not yet a last one.

    `astray` are those of `orphaned` that came by their key, for lack of a locator: perhaps to the wrong partition.
    `repeated` observations had an id that was taken, `expired` ones came when their window was over, `stray` ones are
    of a shadow, without the champion's. `shadows` are not in `observations`.
    """

    observations: int = 0
    shadows: int = 0
    stray: int = 0
    repeated: int = 0
    expired: int = 0
    ticks: int = 0
    invalid: int = 0
    labels: int = 0
    matched: int = 0
    corrected: int = 0
    late: int = 0
    held: int = 0
    orphaned: int = 0
    duplicate: int = 0
    conflicting: int = 0
    unsampled: int = 0
    astray: int = 0


class Account(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="account", tag_field="type"):
    """The entries that a partition folded while its watermark was in this window; on `scorecards`, last one counts."""

    window: int
    span: int
    partition: int
    watermark: int
    offset: int
    closed: bool = False
    complete: bool = True
    sums: AccountSums = AccountSums()
    v: int = SCHEMA_VERSION


class ErrorBlock(msgspec.Struct, frozen=True, kw_only=True):
    """25 labels of one version in one partition, in the order in which they came; never told differently again.

    `number` rises within a partition (it is the offset in `journal` of the block's last label). `opened` and `closed`
    are the watermark (ms) at its first and last label. `errors` counts wrong predictions (regression: beyond the
    tolerance), `loss` sums log-loss (regression: the absolute error) in fixed point. Corrections change no block.
    """

    version: str
    partition: int
    number: int
    opened: int
    closed: int
    n: int
    errors: int
    loss: int
    shadow: bool = False
    v: int = SCHEMA_VERSION


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="verdict", tag_field="type"):
    """What the analyst says of one figure, or one fault, of a version, on `verdicts`; of a key the last one counts.

    `window` is the span of event time [from, until) in ms that the `n` labels (or records) are of, `since` when this
    verdict began, `at` the event time at which it was said. Without a value the figure is unknown: never 0. `offsets`
    say up to where `journal` was read, by `journal/<partition>`.
    """

    version: str
    metric: str
    trigger: str
    verdict: Literal["ok", "warn", "alarm"]
    n: int
    window: tuple[int, int]
    since: int
    at: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    threshold: float | None = None
    reasons: tuple[str, ...] = ()
    offsets: dict[str, int] = {}
    v: int = SCHEMA_VERSION


class Said(msgspec.Struct, frozen=True, array_like=True):
    """A figure of `n` labels with its interval of 95 %; None: unknown, or no interval can be given."""

    value: float | None
    low: float | None
    high: float | None
    n: int


class WindowFigures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="window", tag_field="type"):
    """How good a version was in one window as it was known when event time passed the window's end; on `verdicts`.

    It is said once: labels that come later change what is known now, never this. `at` is the event time at which it was
    said, `offsets` how far `journal` was read then. `observed` predictions had `labelled` labels.
    """

    version: str
    window: int
    span: int
    at: int
    observed: int
    labelled: int
    figures: dict[str, Said] = {}
    offsets: dict[str, int] = {}
    v: int = SCHEMA_VERSION


class RetrainRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """That a version should be trained anew, on `retrain`; whoever reads it twice knows it by its id.

    The id is a hash of version, trigger and `block`: what the evidence begins with. `reasons` are ranked, the
    strongest first, with their windows and statistics; `offsets` say up to where the topics were read.
    """

    id: str
    pipeline: str
    version: str
    trigger: str
    block: str
    at: int
    reasons: tuple[Verdict, ...]
    offsets: dict[str, int] = {}
    v: int = SCHEMA_VERSION


def scorecard_key(card: Scorecard) -> bytes:
    """The key on `scorecards`: of equal keys the last value counts."""
    who = f"{card.version}/shadow" if card.shadow else card.version
    return f"{who}/{card.window}/{card.partition}/{card.rate}".encode()


def account_key(account: Account) -> bytes:
    """The key on `scorecards`; no version has an empty name, so it is nobody's scorecard."""
    return f"/{account.window}/{account.partition}".encode()


def verdict_key(verdict: Verdict) -> bytes:
    """The key on `verdicts`: of equal keys the last value counts."""
    return f"{verdict.version}/{verdict.metric}".encode()


def figures_key(figures: WindowFigures) -> bytes:
    """The key on `verdicts`; no metric is called `window/...`."""
    return f"{figures.version}/window/{figures.window}".encode()
