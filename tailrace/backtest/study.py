"""`tailrace backtest`: a policy on a stream beside never, always and a plain clock, over start days or seeds."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from tailrace.backtest.bars import Bar, bars_of
from tailrace.backtest.models import Models
from tailrace.backtest.ours import Told, ours
from tailrace.backtest.playing import HEADLINE, Figures, gain, majority, oracle, periodic, scored, static
from tailrace.backtest.stream import DAY, Say, Stream, delayed, of_pipeline
from tailrace.backtest.synthetic import KINDS, of_generator

PIPELINES = {"flights_late": "flights", "flights_air": "flights_air"}
"""Streams that are the history of a pipeline of ours; any other name is a pipeline itself."""
LINE = (1, 2, 3, 4, 5, 7, 10, 14, 21, 30, 45, 60)
"""Steps between the refits of the clocks in a picture."""


class One(msgspec.Struct, frozen=True, kw_only=True):
    """One run: of a start day or a seed. `by_alarm` are promoted refits that a rise asked for, of `retrains`."""

    gain: float
    retrains: int
    by_alarm: int
    follow_ups: int
    candidates: int
    alarms: int
    requests: int
    figures: Figures
    clock_gain: float
    clock_retrains: int


class GateCost(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate costs: the mean gain without it, less that with it; and candidates of shuffled labels refused."""

    without: float
    cost: float
    shuffled: int
    refused: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All figures; means over `runs`, of which there is one a start day (`phases`) or seed.

    `metric`, `static`, `oracle`, `periodic` and `baseline` are of the figure `metric_name`: ours, never retrained,
    retrained at every step, by a plain clock of about as many refits (every `periodic_every` days), and the trivial
    answer. `gain` is the share of the oracle's gain in `loss`; `range` has the worst and the best run's.
    """

    stream: str
    gain: float
    retrains: float
    metric: float
    static: float
    oracle: float
    periodic: float
    range: tuple[float, float]
    baseline: float
    metric_name: str
    loss: str
    unit: Literal["phases", "seeds"]
    runs: tuple[One, ...]
    periodic_gain: float
    periodic_retrains: float
    periodic_every: float
    oracle_retrains: int
    records: int
    delay: float
    candidates: float
    by_alarm_per_100k: float
    of: dict[str, Figures]
    gate: GateCost | None
    line: tuple[tuple[float, float, float, float], ...]
    bars: tuple[Bar, ...]
    fits: int
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether every bar of the stream is reached."""
        return all(bar.ok for bar in self.bars)


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked for: so many start days (of a pipeline) or seeds (of a generator); `delay` in ms.

    `gate`: whether it is also run without the gate, and with shuffled candidates; `line`: plain clocks, for a picture.
    """

    stream: str
    runs: int
    delay: int = DAY
    gate: bool = False
    line: bool = False


@dataclass(frozen=True, slots=True)
class _Played:
    """One stream with what bounds every policy on it."""

    models: Models
    y: np.ndarray[tuple[int], np.dtype[np.float64]]
    never: Figures
    always: Figures
    always_retrains: int

    def gain(self, of: Figures) -> float:
        return gain(of.loss, self.never.loss, self.always.loss)


def study(ask: Ask, cache: Path, say: Say) -> Report:
    """Play it.

    Args:
        ask: what.
        cache: the cache folder; models that were fitted once are kept there.
        say: told how far it is.

    Raises:
        UserError: there is no such stream, or its history cannot be had.
    """
    begin = time.monotonic()
    streams = list(_streams(ask, cache, say))
    phases = [0] * len(streams) if ask.stream in KINDS else list(range(ask.runs))
    played = [_bounds(stream, cache, say) for stream in streams]
    pairs = list(zip(played, phases, strict=True)) if ask.stream in KINDS else [(played[0], p) for p in phases]
    say("playing our policy")
    told = [ours(one.models, phase=phase, shuffled=ask.gate) for one, phase in pairs]
    every = _every(pairs[0][0], told)
    runs = tuple(_one(one, phase, mine, every) for (one, phase), mine in zip(pairs, told, strict=True))
    cost = _gate_cost(pairs, told, runs) if ask.gate else None
    line = _line([one for one, _ in pairs], len(streams) > 1) if ask.line else ()
    return _report(ask, pairs, runs, every, cost, line, time.monotonic() - begin)


def _streams(ask: Ask, cache: Path, say: Say) -> Iterator[Stream]:
    if ask.stream in KINDS:
        for seed in range(1, ask.runs + 1):
            say(f"{ask.stream}, seed {seed}")
            yield delayed(of_generator(ask.stream, seed), ask.delay)
    else:
        yield delayed(of_pipeline(PIPELINES.get(ask.stream, ask.stream), cache, say), ask.delay)


def _bounds(stream: Stream, cache: Path, say: Say) -> _Played:
    models = Models(stream, cache / "backtest" / f"{stream.name}-{stream.fingerprint()}", say)
    y = scored(models)
    say(f"{len(y):,} records in {len(stream.looks)} steps; a model for each, where the cache has none")
    always = oracle(models)
    return _Played(models, y, static(models).figures(y), always.figures(y), always.retrains)


def _every(one: _Played, told: Sequence[Told]) -> int:
    """Steps of a plain clock that refits about as often as ours did."""
    retrains = float(np.mean([mine.run.retrains for mine in told]))
    return max(1, round(len(one.models.stream.looks) / max(retrains, 1.0)))


def _one(one: _Played, phase: int, mine: Told, every: int) -> One:
    found, clock = mine.run.figures(one.y), periodic(one.models, every, phase)
    return One(
        gain=one.gain(found), retrains=mine.run.retrains, by_alarm=mine.retrains("alarm"),
        follow_ups=mine.retrains("follow_up"), candidates=len(mine.acts), alarms=mine.alarms,
        requests=len(mine.requests), figures=found, clock_gain=one.gain(clock.figures(one.y)),
        clock_retrains=clock.retrains,
    )  # fmt: skip


def _gate_cost(pairs: Sequence[tuple[_Played, int]], told: Sequence[Told], runs: Sequence[One]) -> GateCost:
    free = [one.gain(ours(one.models, phase=phase, gate="none").run.figures(one.y)) for one, phase in pairs]
    twins = [act.shuffled_refused for mine in told for act in mine.acts if act.shuffled_refused is not None]
    without = float(np.mean(free))
    cost = without - float(np.mean([run.gain for run in runs]))
    return GateCost(without=without, cost=cost, shuffled=len(twins), refused=sum(twins))


def _line(played: Sequence[_Played], seeds: bool) -> tuple[tuple[float, float, float, float], ...]:  # noqa: FBT001 - private
    """Of plain clocks: refits, the mean gain, the worst and the best, over phases or seeds."""
    points = []
    for every in LINE:
        if every >= len(played[0].models.stream.looks):
            continue
        cases = [(one, 0) for one in played] if seeds else [(played[0], p) for p in range(min(every, 7))]
        made = [(one, periodic(one.models, every, phase)) for one, phase in cases]
        gains = [one.gain(run.figures(one.y)) for one, run in made]
        points.append(
            (float(np.mean([run.retrains for _, run in made])), float(np.mean(gains)), min(gains), max(gains))
        )
    return tuple(points)


def _report(
    ask: Ask, pairs: Sequence[tuple[_Played, int]], runs: tuple[One, ...], every: int, cost: GateCost | None,
    line: tuple[tuple[float, float, float, float], ...], seconds: float,
) -> Report:  # fmt: skip
    first = pairs[0][0]
    stream = first.models.stream
    name = HEADLINE[stream.spec.task] if ask.stream not in KINDS else "accuracy"
    clocks = [periodic(one.models, every, phase).figures(one.y) for one, phase in pairs]
    trivial = [majority(one.models.stream.y[one.models.learned_first()], one.y) for one, _ in pairs]
    of = {
        "ours": _mean([run.figures for run in runs]), "static": _mean([one.never for one, _ in pairs]),
        "oracle": _mean([one.always for one, _ in pairs]), "periodic": _mean(clocks), "baseline": _mean(trivial),
    }  # fmt: skip
    records = sum(len(one.y) for one, _ in pairs)
    report = Report(
        stream=ask.stream, gain=float(np.mean([run.gain for run in runs])),
        retrains=float(np.mean([run.retrains for run in runs])), metric=_of(of["ours"], name),
        static=_of(of["static"], name), oracle=_of(of["oracle"], name), periodic=_of(of["periodic"], name),
        range=(min(run.gain for run in runs), max(run.gain for run in runs)), baseline=_of(of["baseline"], name),
        metric_name=name, loss="squared error" if stream.spec.task == "regression" else "log-loss",
        unit="seeds" if ask.stream in KINDS else "phases", runs=runs,
        periodic_gain=float(np.mean([run.clock_gain for run in runs])),
        periodic_retrains=float(np.mean([run.clock_retrains for run in runs])),
        periodic_every=every * stream.step / DAY, oracle_retrains=first.always_retrains, records=len(first.y),
        delay=ask.delay / DAY, candidates=float(np.mean([run.candidates for run in runs])),
        by_alarm_per_100k=sum(run.by_alarm for run in runs) / records * 100_000, of=of, gate=cost, line=line, bars=(),
        fits=sum({id(one): one.models.fits for one, _ in pairs}.values()), seconds=round(seconds, 1),
    )  # fmt: skip
    return msgspec.structs.replace(report, bars=bars_of(report))


def _of(figures: Figures, name: str) -> float:
    return float(getattr(figures, name))


def _mean(given: Sequence[Figures]) -> Figures:
    def mean(name: str) -> float | None:
        values = [getattr(one, name) for one in given]
        return None if None in values else float(np.mean(values))

    return Figures(mean("loss") or 0.0, mean("accuracy"), mean("auc"), mean("rmse"), mean("mae"))
