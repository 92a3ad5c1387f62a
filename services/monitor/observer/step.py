"""The observer as a step of the loop: entries of the journal in; outcomes, scorecards and error blocks out."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from services.monitor.observer.accounts import STATUSES
from services.monitor.observer.fold import PIECE, PartitionFold, Told
from services.monitor.observer.rules import Rules
from shared.core.errors import Abortable, Unavailable
from shared.core.metrics import MetricName, Metrics
from shared.core.monitor_records import account_key, scorecard_key
from shared.core.ports import Block, Count, Message, Part, Result
from shared.core.scorecards import encode
from shared.core.store import Store

_encode = msgspec.json.Encoder().encode
OTHERS = ("observations", "shadows", "stray", "repeated", "expired", "ticks", "invalid")
GONE = float("nan")
OF_PARTITIONS: tuple[MetricName, ...] = ("tailrace_monitor_watermark_seconds", "tailrace_monitor_ids")


class ObserverStep:
    """Folds the partitions that a worker owns; implements `Step`.

    Args:
        rules: of the pipeline.
        topics: (outcomes, scorecards, errors).
        open_store: gives the store of a partition.
        metrics: told how far event time is, and how much is remembered.
    """

    def __init__(
        self, rules: Rules, topics: tuple[str, str, str], open_store: Callable[[int], Store], metrics: Metrics
    ) -> None:
        self._rules, self._open, self._metrics = rules, open_store, metrics
        self._outcomes, self._scorecards, self._errors = topics
        self._folds: dict[int, PartitionFold] = {}

    def __call__(self, part: Part) -> Result:
        """See `Step`. No entry is refused: what is none is counted.

        Raises:
            Unavailable: a version's profile cannot be read now.
            Abortable: a bug; the memory no longer agrees with the log and is read again.
        """
        of: defaultdict[int, list[Message]] = defaultdict(list)
        partitions = part.partitions or [message.partition() for message in part.messages]
        for partition, message in zip(partitions, part.messages, strict=True):
            of[partition].append(message)
        blocks: list[Block] = []
        counts: Counter[str] = Counter()
        try:
            for partition, messages in of.items():
                fold = self._folds[partition]
                told = fold.take_pieces(_pieces(messages))
                blocks += self._blocks(partition, told)
                counts.update(told.counts)
                mark, name = fold.mark / 1_000, str(partition)
                self._metrics.gauge("tailrace_monitor_watermark_seconds", mark, partition=name)
                self._metrics.gauge("tailrace_monitor_ids", fold.remembered, partition=name)
        except Unavailable:
            self.forget([partition for partition in of if self._folds[partition].next < 0])
            raise  # nothing of that partition was taken in; the others are put back with their offsets
        except Exception as error:
            self.forget(of)
            raise Abortable(f"the journal could not be folded: {type(error).__name__}: {error}") from error
        return Result(_joined(blocks), (), list(_counts(counts)))

    def fold(self, partition: int) -> PartitionFold | None:
        """The fold of a partition, if it is remembered."""
        return self._folds.get(partition)

    def folds(self) -> Sequence[tuple[int, PartitionFold]]:
        """Every partition that is remembered."""
        return list(self._folds.items())

    def open(self, partition: int) -> PartitionFold:
        """A fold over the partition's store, as it was left; it knows nothing before `begin` or `resume`."""
        self.forget([partition])
        fold = self._folds[partition] = PartitionFold(partition, self._rules, self._open(partition))
        return fold

    def refill(self, partition: int, messages: Sequence[Message]) -> None:
        """Take in entries that were committed, without any result."""
        if messages:
            fold = self._folds[partition]
            fold.take_pieces(_pieces(messages))
            fold.settle()

    def forget(self, partitions: Iterable[int]) -> None:
        """Let partitions go; what their stores know stays there."""
        for partition in list(partitions):
            fold = self._folds.pop(partition, None)
            if fold is not None:
                fold.close()
                for name in OF_PARTITIONS:
                    self._metrics.gauge(name, GONE, partition=str(partition))

    def _blocks(self, partition: int, told: Told) -> list[Block]:
        made: list[Block] = []
        outcomes = told.outcomes
        if outcomes.keys:
            made.append(Block(self._outcomes, outcomes.keys, outcomes.values, None, [partition] * len(outcomes.keys)))
        cards, accounts = told.cards, told.accounts
        if cards or accounts:
            keys = [*map(scorecard_key, cards), *map(account_key, accounts)]
            made.append(Block(self._scorecards, keys, list(map(encode, [*cards, *accounts]))))
        if errors := told.findings.blocks:
            keys = [f"{block.version}/{block.partition}".encode() for block in errors]
            made.append(Block(self._errors, keys, list(map(_encode, errors))))
        return made


def _pieces(messages: Sequence[Message]) -> Iterator[tuple[list[bytes | None], list[int]]]:
    """Values and offsets, looked up just before they are folded."""
    for at in range(0, len(messages), PIECE):
        piece = messages[at : at + PIECE]
        yield [m.value() for m in piece], [m.offset() for m in piece]


def _joined(blocks: Sequence[Block]) -> list[Block]:
    """One block a topic: fewer calls, and no other order within a topic."""
    of: dict[str, list[Block]] = {}
    for block in blocks:
        of.setdefault(block.topic, []).append(block)
    return [
        Block(
            topic,
            [key for one in same for key in one.keys],
            [value for one in same for value in one.values],
            None,
            None if same[0].partitions is None else [p for one in same for p in one.partitions or ()],
        )
        for topic, same in of.items()
    ]


def _counts(counts: Counter[str]) -> Iterable[Count]:
    for status in STATUSES:
        if counts[status] > 0 and status != "held":
            yield Count("tailrace_labels_total", counts[status], {"status": status})
    for what in OTHERS:
        if counts[what] > 0:
            yield Count("tailrace_journal_entries_total", counts[what], {"entry": what})
