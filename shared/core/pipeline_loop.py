"""The sections of `pipeline.yaml` that close the loop: what is trained, let through, rolled out."""

from typing import Literal

from shared.core.pipeline_base import Duration, Positive, Share, Spec

DAY = 86_400.0


class GateSpec(Spec, frozen=True, kw_only=True):
    """What a challenger must show beside the champion, on the same labels, before it is rolled out.

    It is trained on what was known `holdout` ago and judged, in pairs, on the labels since then of days that neither
    of the two has learnt, by blocks of `block`. `not_worse` refuses only what is worse by more than `errors` standard
    errors, on the whole or on a slice of `monitoring.slices`; `better` wants a better mean, `significantly_better` one
    that is better by so many. `none` judges only whether it is broken.
    """

    mode: Literal["not_worse", "better", "significantly_better", "none"] = "not_worse"
    holdout: Duration = Duration(DAY * 3)
    block: Duration = Duration(DAY)
    errors: float = 2.0


class LimitsSpec(Spec, frozen=True, kw_only=True):
    """What one training may use; it runs in a process of its own."""

    memory_mb: Positive = 8_192
    time: Duration = Duration(3_600)


class RetrainingSpec(Spec, frozen=True, kw_only=True):
    """When a new model is asked for, and what it learns from. All in event time.

    A rise of errors and a missed goal ask by themselves. `every` is the clock (null: none), counted from the last
    request or from the version's first look; after `labels` new labels it is asked for as well (left out: never).
    Between two requests lies `cooldown`, and between two alarms that are acted on `alarm_period` (left out: `every`);
    what asks too early is kept until its time. So an alarm soon after the clock does not wait for the clock.

    `data` is the newest `window` (null: everything), everything, or a random `reservoir` of it. After an alarm on
    errors or loss the `short` share of the window is learnt from, and again, of what is then known, so long after it
    as `follow_ups` say; any refit takes the place of those that are still to come. The defaults are a clock of an
    eighth of the window, as `tailrace backtest` found them good on flights; ask it about a stream of your own.
    """

    cooldown: Duration = Duration(DAY)
    every: Duration | None = Duration(DAY * 7)
    alarm_period: Duration | None = None
    labels: Positive | None = None
    data: Literal["recent", "all", "reservoir"] = "recent"
    window: Duration | None = Duration(DAY * 56)
    short: Share = 1 / 3
    follow_ups: tuple[Duration, ...] = (Duration(DAY * 3), Duration(DAY * 7), Duration(DAY * 14))
    reservoir: Positive = 100_000
    search: bool = False
    backend: Literal["local", "dask"] = "local"
    dask_address: str = ""
    gate: GateSpec = GateSpec()
    limits: LimitsSpec = LimitsSpec()


class ShadowSpec(Spec, frozen=True, kw_only=True):
    """How much event time and how many records a shadow lasts at least."""

    time: Duration = Duration(3_600)
    records: int = 1_000


class StepSpec(Spec, frozen=True, kw_only=True):
    """One step of a canary: the share of keys, and how much event time and how many records it lasts at least."""

    share: Share
    time: Duration = Duration(3_600)
    records: int = 1_000


class RolloutSpec(Spec, frozen=True, kw_only=True):
    """How a version comes into force: by a barrier in `records`, or at each worker's next batch.

    A challenger that passed the gate goes through `shadow` (it scores beside the champion, and nobody sees it; left
    out: it does not) and the `canary` steps before it is the champion. Their records are those that the monitor
    observes. It goes back by itself where it is worse than the champion by more than `errors` standard errors (of the
    loss on the same windows; slices together), where more than `reject_share` of what it scores ends as dead letters,
    where scoring a record takes it more than `slower` times as long, or where its workers come to `heavier` times the
    memory that they had.
    """

    activation: Literal["barrier", "local"] = "barrier"
    shadow: ShadowSpec | None = None
    canary: tuple[StepSpec, ...] = ()
    errors: float = 3.0
    reject_share: Share = 0.01
    slower: float = 20.0
    heavier: float = 2.0
