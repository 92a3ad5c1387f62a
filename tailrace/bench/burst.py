"""`tailrace bench burst`: the rate steps up and down again; what batches, lag and latency do meanwhile."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from shared.core.errors import UserError
from tailrace.bench.cases import ONCE
from tailrace.bench.flow import Arrivals, Feed, Rate, Reader
from tailrace.bench.ground import prepare
from tailrace.bench.material import LINEAR
from tailrace.bench.pin import pinned, placed
from tailrace.bench.plot import Panel, svg
from tailrace.bench.runner import Runner
from tailrace.bench.scrape import Scraped
from tailrace.stack.endpoints import Endpoints
from tailrace.stack.ready import is_ready
from tailrace.stack.stack import Stack, to_stderr

SAMPLE_S, WINDOW_S = 0.25, 0.5
CALM = 4  # windows in a row that count as calm: at 100 records/s the p99 of a window is its slowest record
READY_S, DRAIN_S = 60.0, 60.0
TARGET_MS, WANTED_S = 100.0, 5.0  # the pipeline's latency target; p99 is to be back within it so soon
BATCH = 10_000
PLOT, FIGURES = "burst.svg", "burst.json"


class Sample(msgspec.Struct, frozen=True):
    """At `t` s after the start: records/s sent, mean records of a batch since the one before, its limit, lag."""

    t: float
    rate: float
    batch: float
    limit: float
    lag: int


class Window(msgspec.Struct, frozen=True):
    """Half a second that begins at `t`: p99 in ms of the predictions that became readable in it; null for none."""

    t: float
    p99: float | None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` prints. Times are s after the start.

    `gone_s` is when the burst's backlog was gone, `back_s` how long after that p99 was back within `target_ms`
    for two seconds; null where it never was. `beyond_later` counts the windows beyond it after that: what else ran.
    """

    ok: bool
    low: float
    high: float
    sent_per_s: float
    burst: tuple[float, float]
    gone_s: float | None
    back_s: float | None
    beyond_later: int
    target_ms: float
    p99_before_ms: float
    p99_after_ms: float
    largest_batch: float
    most_lag: int
    lost: int
    doubled: int
    samples: list[Sample]
    windows: list[Window]
    load: float
    note: str


def measure(
    folder: Path, out: Path, *, low: float = 100.0, high: float = 50_000.0, seconds: float = 5.0, pin: bool = True
) -> Result:
    """Run the bench on an embedded Kafka in this folder, stop it, and write figures and a plot to `out`.

    Args:
        folder: for all that is made on the way.
        out: where the plot and the figures go.
        low: records/s before and after.
        high: records/s in the burst.
        seconds: of the burst, and before it; after it three times as long.
        pin: give the worker a core to itself.

    Raises:
        UserError: something could not be started, or no answers came.
    """
    up, down, end = seconds, 2 * seconds, 5 * seconds

    def rate(t: float) -> float:
        return high if up <= t < down else low

    with pinned(wish=pin) as core, Stack(folder / "state", parts=("kafka",), external=Endpoints()) as stack:
        feed, samples, came = _play(Runner(stack), folder, core, rate, end)
        result = _result((low, high), (up, down), feed.began, samples, came, placed(core))
    out.mkdir(parents=True, exist_ok=True)
    (out / PLOT).write_text(_plot(result), encoding="utf-8")
    (out / FIGURES).write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1))
    return result


def _play(
    runner: Runner, folder: Path, core: int | None, rate: Rate, end: float
) -> tuple[Feed, list[Sample], Arrivals]:
    ground = prepare(runner, folder, LINEAR, BATCH, core)
    side, supervisor = ground.ours(ONCE), runner.stack.supervisor
    reader, feed = Reader(runner.conf, side.predictions, LINEAR.partitions), Feed(runner.conf, ground.source, rate)
    supervisor.start(side.program)
    reader.start()
    try:
        deadline = time.monotonic() + READY_S
        while not is_ready(side.program.address):
            if time.monotonic() > deadline:
                raise UserError(f"the worker was not ready in {READY_S:g} s", remedy="see its log")
            time.sleep(0.1)
        feed.start()
        to_stderr(f"sending for {end:g} s")
        samples = _sample(side.program.address, feed, reader, end)
        feed.finish()
        reader.wait(len(feed.sent), DRAIN_S)
    finally:
        if feed.is_alive():
            feed.finish()
        reader.finish()
        supervisor.stop([side.program.name])
    return feed, samples, reader.arrivals(feed)


def _sample(address: str, feed: Feed, reader: Reader, end: float) -> list[Sample]:
    samples = list[Sample]()
    before, sent_before, at_before = Scraped(address), 0, time.perf_counter()
    while (t := time.perf_counter() - feed.began) < end:
        time.sleep(SAMPLE_S)
        now, sent, at = Scraped(address), len(feed.sent), time.perf_counter()
        batches = now.total("tailrace_batch_records_count") - before.total("tailrace_batch_records_count")
        records = now.total("tailrace_batch_records_sum") - before.total("tailrace_batch_records_sum")
        rate = (sent - sent_before) / (at - at_before)
        size, limit = records / batches if batches else 0.0, now.total("tailrace_batch_limit_records")
        samples.append(Sample(round(t, 2), round(rate), round(size, 1), limit, max(sent - reader.read, 0)))
        before, sent_before, at_before = now, sent, at
    return samples


def _windows(came: Arrivals, began: float, end: float) -> list[Window]:
    found = list[Window]()
    for t in np.arange(0.0, end, WINDOW_S).tolist():
        waited = came.waited[(came.at >= began + t) & (came.at < began + t + WINDOW_S)]
        found.append(Window(t, round(float(np.quantile(waited, 0.99)), 2) if len(waited) else None))
    return found


def back_after(windows: Sequence[Window], gone: float, target: float) -> float | None:
    """How long after `gone` (s) p99 was within the target (ms) for `CALM` windows in a row; None: it never was."""
    for i, first in enumerate(windows):
        calm = windows[i : i + CALM]
        within = all(one.p99 is not None and one.p99 <= target for one in calm)
        if first.t + WINDOW_S > gone and len(calm) == CALM and within:
            return round(max(first.t - gone, 0.0), 2)
    return None


def _result(
    rates: tuple[float, float],
    burst: tuple[float, float],
    began: float,
    samples: list[Sample],
    came: Arrivals,
    note: str,
) -> Result:
    (low, high), (up, down) = rates, burst
    windows = _windows(came, began, samples[-1].t)
    small = max(low * TARGET_MS / 1_000, 32)  # what is on its way at the low rate, and no backlog
    gone = next((one.t for one in samples if one.t >= down and one.lag <= small), None)
    back = None if gone is None else back_after(windows, gone, TARGET_MS)
    in_burst = int(((came.sent >= began + up) & (came.sent < began + down)).sum())
    return Result(
        ok=back is not None and back <= WANTED_S and came.lost == came.doubled == 0,
        low=low,
        high=high,
        sent_per_s=round(in_burst / (down - up)),
        burst=burst,
        gone_s=gone,
        back_s=back,
        beyond_later=sum((one.p99 or 0.0) > TARGET_MS for one in windows if one.t > (gone or down) + (back or 0.0)),
        target_ms=TARGET_MS,
        p99_before_ms=round(came.quantile(0.99, began, began + up), 2),
        p99_after_ms=round(came.quantile(0.99, began + (gone or down)), 2),
        largest_batch=max(one.batch for one in samples),
        most_lag=max(one.lag for one in samples),
        lost=came.lost,
        doubled=came.doubled,
        samples=samples,
        windows=windows,
        load=round(os.getloadavg()[0], 2),
        note=note,
    )


def _plot(result: Result) -> str:
    samples = result.samples
    p99 = [(one.t, one.p99) for one in result.windows if one.p99 is not None]
    return svg(
        f"{result.low:g} -> {result.high:g} -> {result.low:g} records/s",
        [
            Panel("records/s sent", [(one.t, one.rate) for one in samples]),
            Panel("records a batch", [(one.t, one.batch) for one in samples if one.batch]),
            Panel("lag, records", [(one.t, float(one.lag)) for one in samples]),
            Panel("p99, ms", p99, mark=result.target_ms),
        ],
    )


def table(result: Result) -> str:
    """The result, for a person."""
    begin, end = result.burst
    back = "not within the run" if result.back_s is None else f"{result.back_s:g} s after"
    gone = "never" if result.gone_s is None else f"{result.gone_s:.1f} s"
    return "\n".join(
        [
            f"burst from {begin:g} to {end:g} s at {result.sent_per_s:,.0f} records/s, {result.low:g} around it",
            f"largest batch {result.largest_batch:,.0f} records, most lag {result.most_lag:,} records",
            f"backlog gone: {gone}",
            f"p99 back within {result.target_ms:g} ms for two seconds: {back} (wanted: {WANTED_S:g} s)",
            f"half seconds beyond it later: {result.beyond_later}",
            f"p99 before {result.p99_before_ms:.1f} ms, after {result.p99_after_ms:.1f} ms",
            f"{result.lost} lost, {result.doubled} doubled; load {result.load:g}; {result.note}",
        ]
    )
