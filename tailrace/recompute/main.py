"""Everything of `tailrace monitor recompute`: read, recompute, compare, and say it. Shares no code with the monitor."""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from typing import Any

import msgspec

from shared.adapters.kafka.config import client_config
from shared.adapters.kafka.table import TableReader
from shared.core.pipeline import PipelineSpec
from shared.core.topics import TopicName, topic
from shared.runtime.settings import Settings, read_secret
from tailrace.recompute.compare import Compared, Difference, Recomputed, compare
from tailrace.recompute.figures import merged
from tailrace.recompute.fold import Told
from tailrace.recompute.partition import recompute
from tailrace.recompute.profiles import Bundles
from tailrace.recompute.published import Published, take_blocks, take_cards, take_outcomes
from tailrace.recompute.quality import quality
from tailrace.recompute.tables import STATUSES
from tailrace.recompute.terms import terms_of
from tailrace.recompute.topics import Say, Topics

TIMEOUT = 30.0  # s


class PartitionReport(msgspec.Struct, frozen=True):
    """One partition. `start` and `end` are offsets in `journal`; `watermark` is ms; `labels` counts each status."""

    partition: int
    start: int
    end: int
    entries: int
    watermark: int
    labels: dict[str, int]


class WindowReport(msgspec.Struct, frozen=True):
    """One version, role and window over all partitions: figures of quality, and the sums of its scorecards."""

    version: str
    shadow: bool
    window: int
    quality: dict[str, float]
    sums: dict[str, int]


class Report(msgspec.Struct, frozen=True):
    """What was recomputed and how it compares. `compared` counts scorecards, accounts, blocks, outcomes, figures.

    `skipped` windows lack entries that retention took. `refused` are versions whose bundle failed a check.
    """

    pipeline: str
    equal: bool
    differing: int
    compared: dict[str, int]
    skipped: int
    labels: dict[str, int]
    partitions: list[PartitionReport]
    windows: list[WindowReport]
    differences: list[Difference]
    refused: dict[str, str]


def recompute_monitor(
    spec: PipelineSpec,
    settings: Settings,
    say: Say,
    *,
    most: int = 1_000,
    timeout: float = TIMEOUT,
    keep: Callable[[int, Told], None] = lambda *_: None,
) -> Report:
    """Recompute everything that the observers have folded, and compare it with what they published.

    Args:
        spec: the pipeline.
        settings: where Kafka and the bundles are.
        say: told how far it is.
        most: at most so many differences are named; all are counted.
        timeout: s that the broker has for an answer.
        keep: given each partition and what its fold told.

    Raises:
        UserError: a topic does not exist, the observers have committed nothing, or the broker cannot be reached.
        Unavailable: the broker or a bundle's address stops to answer.
    """
    conf = client_config(settings.kafka, read_secret)
    topics = Topics(conf, spec.name, timeout, say)
    ends = topics.committed()
    outputs = topics.settled()
    with closing(TableReader(conf, topic(spec.name, "models"), timeout)) as reader:
        bundles = Bundles(spec, settings, reader)
    found = _published(topics, ends, outputs)
    still, whole = topics.committed(), not any(topics.starts("outcomes").values())
    starts, result = topics.starts("journal"), Compared()
    parts, judged, all_mine = list[PartitionReport](), list[Any](), list[Recomputed]()
    for partition, end in ends.items():
        values = [(m.offset(), m.value()) for m in topics.read("journal", partition, end)]
        say(f"partition {partition}: {len(values):,} entries up to offset {end:,}")
        mine, rows = recompute(spec, values, bundles, gap=starts[partition] > 0, keep=partial(keep, partition))
        # The outcomes were read before this second look: had the observers moved since, there might be more of them.
        compare(result, partition, found[partition], mine, still=still.get(partition) == end, whole=whole)
        parts.append(PartitionReport(partition, starts[partition], end, len(values), mine.mark, _labels([mine])))
        judged.append(rows)
        all_mine.append(mine)
    windows = _windows(spec, all_mine, judged)
    counts = {name: getattr(result, name) for name in ("cards", "accounts", "blocks", "outcomes", "figures")}
    return Report(
        spec.name, not result.differences, len(result.differences), counts, result.skipped, _labels(all_mine), parts,
        windows, result.differences[:most], bundles.refused,
    )  # fmt: skip


def _published(
    topics: Topics, ends: Mapping[int, int], outputs: Mapping[TopicName, Mapping[int, int]]
) -> dict[int, Published]:
    def read(name: TopicName) -> Any:
        return (message for partition, end in outputs[name].items() for message in topics.read(name, partition, end))

    every = range(max(len(outputs["outcomes"]), max(ends) + 1))
    found = {partition: Published() for partition in every}
    take_cards(found, ((m.key(), m.value()) for m in read("scorecards") if m.value()), ends)
    take_blocks(found, (m.value() for m in read("errors")), ends)
    take_outcomes(found, ((m.partition(), m.value()) for m in read("outcomes")))
    return found


def _labels(parts: list[Recomputed]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for part in parts:
        for figures in part.accounts.values():
            sums.update(figures)
    return {name: sums[name] for name in (*STATUSES, "labels", "astray")}


def _windows(spec: PipelineSpec, parts: list[Recomputed], judged: list[Any]) -> list[WindowReport]:
    sums, made = merged([part.cards for part in parts]), list[WindowReport]()
    for one in quality(judged, terms_of(spec)):
        version, shadow, window = (one.pop(name) for name in ("version", "shadow", "window"))
        made.append(WindowReport(version, shadow, window, one, sums.get((version, shadow, window), {})))
    return made
